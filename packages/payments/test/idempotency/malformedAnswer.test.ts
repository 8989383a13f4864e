import { NodeCrypto } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Idempotency, IdempotencyStore } from "effect-payments"
import { TestClock } from "effect/testing"
import { callOptions } from "./callOptions.ts"

// A user's store that answers with what is no record: a defect of the call, at the latest after its leases, and no silence.
it.effect("a store that answers with no record keeps nobody waiting", () =>
  Effect.gen(function*() {
    const { local: _, ...memory } = yield* IdempotencyStore.IdempotencyStore
    const store = {
      ...memory,
      claim: () => Effect.delay(Effect.succeed({ record: undefined, now: 0 } as never), "1 second")
    }
    const call = Idempotency.idempotent(Effect.succeed("done"), { ...callOptions, onInterrupt: "indeterminate" })
    const fiber = yield* Effect.forkChild(
      Effect.provide(
        call,
        Idempotency.layer().pipe(Layer.provide(Layer.succeed(IdempotencyStore.IdempotencyStore, store)))
      ),
      { startImmediately: true }
    )
    yield* TestClock.adjust("10 minutes")
    assert.isDefined(fiber.pollUnsafe())
  }).pipe(Effect.provide([IdempotencyStore.layerStoreMemory(), NodeCrypto.layer])))
