import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Idempotency } from "effect-payments"
import { TestGateway } from "effect-payments/testing"
import { charge, makeProcess, memory, sqlite } from "./harness.ts"

const timers = Effect.sync(() => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length)

for (const { layer, name } of [memory, sqlite]) {
  it.live(`calls leave no timer, no lease and no entry behind: ${name}`, () =>
    Effect.gen(function*() {
      const engine = yield* makeProcess()
      const keyOf = (index: number) => Idempotency.Key.make(`key-${index}`)
      const calls = Array.from({ length: 300 }, (_, index) =>
        engine.run(Effect.exit(charge({ key: keyOf(index % 100), duplicates: index % 2 === 0 ? "await" : "reject" }))))
      const gateway = yield* TestGateway.TestGateway
      yield* gateway.plan(({ number }) =>
        number % 3 === 0 ? TestGateway.lostReply : TestGateway.delay("1 millis")
      )
      const before = yield* timers
      yield* Effect.all(calls, { concurrency: "unbounded" })
      assert.deepStrictEqual(engine.left(), { live: 0, held: 0 })
      // One is left that looks after the leases, for all of them; the test runner has a few of its own.
      assert.isBelow(yield* timers, before + 10)
      assert.strictEqual(yield* gateway.charges, 100)
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(layer, TestGateway.layer()))))
}
