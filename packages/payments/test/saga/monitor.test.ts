/** What the explorer takes for the same. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { SagaLog } from "effect-payments"
import { Messages } from "../../src/internal/testing/sagaTest/messages.ts"
import { Monitor } from "../../src/internal/testing/sagaTest/monitor.ts"

const monitorOf = Effect.map(
  SagaLog.SagaLog,
  (log) => new Monitor(log, SagaLog.runId("order", "o1"), [], new Messages([], []))
)

describe("two states", () => {
  it.effect("differ when a service was called once more, though the call has failed", () =>
    Effect.gen(function*() {
      const [once, again] = [yield* monitorOf, yield* monitorOf]
      once.comes("reserve", "run", false)
      again.comes("reserve", "run", false)
      assert.strictEqual(once.fingerprint, again.fingerprint)
      again.comes("reserve", "run", false)
      assert.notStrictEqual(once.fingerprint, again.fingerprint)
    }).pipe(Effect.provide(SagaLog.layerStoreMemory())))

  it.effect("are one where calls do not come to their service, however many", () =>
    Effect.gen(function*() {
      const [once, again] = [yield* monitorOf, yield* monitorOf]
      for (const monitor of [once, again, again]) monitor.isLost("reserve", "run")
      assert.strictEqual(once.fingerprint, again.fingerprint)
    }).pipe(Effect.provide(SagaLog.layerStoreMemory())))
})
