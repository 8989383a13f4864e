import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Saga } from "effect-payments"
import { TestGateway } from "effect-payments/testing"
import { checkout, Refusal, sagas, Shop, world } from "./saga/checkout.ts"

const all = sagas().pipe(Layer.provideMerge(world))
const order = { orderId: "1" }

describe("a checkout", () => {
  it.effect("completes, with the results of all steps by name", () =>
    Effect.gen(function*() {
      const execution = yield* Saga.execute(checkout, order, { id: "o1" })
      assert.strictEqual(execution._tag, "Completed")
      if (execution._tag !== "Completed") return
      assert.deepStrictEqual(execution.results.payload, order)
      assert.deepStrictEqual(execution.results.ship, { parcel: "p-1" })
      assert.strictEqual(execution.results.capture.status, "captured")
      const gateway = yield* TestGateway.TestGateway
      assert.deepStrictEqual((yield* gateway.calls).map(({ method }) => method), ["authorize", "capture"])
      assert.deepStrictEqual((yield* Shop).calls, ["reserve", "ship", "receipt"])
    }).pipe(Effect.provide(all)))

  it.effect("that cannot ship is undone in reverse: refunded, closed, released", () =>
    Effect.gen(function*() {
      const shop = yield* Shop
      shop.plan.set("ship", Effect.fail(new Refusal({ why: "no carrier" })))
      const execution = yield* Saga.execute(checkout, order, { id: "o1" })
      assert.deepStrictEqual(execution, {
        _tag: "Compensated",
        cause: { _tag: "Failed", step: "ship", error: new Refusal({ why: "no carrier" }), detail: "Refusal" },
        undos: [
          { _tag: "Undone", step: "capture" },
          { _tag: "Skipped", step: "authorize", by: "engine", reason: `closed by "capture"` },
          { _tag: "Undone", step: "reserve" }
        ]
      })
      const gateway = yield* TestGateway.TestGateway
      const { totals } = yield* gateway.ledger
      assert.strictEqual(totals["EUR"]?.net.amount.value, 0n)
      assert.strictEqual(totals["EUR"]?.held.amount.value, 0n)
    }).pipe(Effect.provide(all)))
})
