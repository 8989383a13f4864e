/** A step that may have happened, and is refused when it is run again. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Option, Schema } from "effect"
import { Card, Money, PaymentError, PaymentGateway, Saga } from "effect-payments"
import { TestGateway } from "effect-payments/testing"
import { Refusal, sagas, world } from "./checkout.ts"
import { over, settled } from "./time.ts"

const all = sagas().pipe(Layer.provideMerge(world))
const o1 = { id: "o1" }
const gateway = PaymentGateway.PaymentGateway
const refuse: Effect.Effect<never, Refusal> = Effect.fail(new Refusal({ why: "no" }))
const authorize = Effect.flatMap(
  gateway,
  (gateway) => gateway.authorize({ token: Card.CardToken.make("tok_visa"), money: Money.makeUnsafe("EUR", "50.00") })
)

const verifyByLookup = Saga.verifyByLookup({ phase: "authorize" })

/** A check of the step's own before the call, which lets the first try pass alone. */
const checked = (verify: "rerun" | typeof verifyByLookup) => {
  let runs = 0
  const told: Array<string> = []
  const saga = Saga.make("checked", { payload: Schema.String }).pipe(
    Saga.step("authorize", {
      success: PaymentGateway.Transaction,
      error: Schema.Union([PaymentError.PaymentError, Refusal]),
      verify,
      run: () => Effect.andThen(Effect.suspend(() => runs++ > 0 ? refuse : Effect.void), authorize),
      compensate: (outcome) =>
        Effect.gen(function*() {
          told.push(outcome._tag)
          const held = yield* Saga.transactionOf(outcome, { phase: "authorize" })
          return Option.isNone(held)
            ? Saga.skip("nothing was authorized")
            : yield* (yield* gateway).void({ transactionId: held.value.id })
        })
    })
  )
  return { saga, told }
}

const held = Effect.map(
  Effect.flatMap(TestGateway.TestGateway, ({ ledger }) => ledger),
  ({ charges, totals }) => ({ charges, held: totals["EUR"]?.held.amount.value ?? 0n })
)

describe("a refusal after a doubt", () => {
  it.effect("of the step's own does not say that the request before never happened: it is looked up", () =>
    Effect.gen(function*() {
      const test = yield* TestGateway.TestGateway
      // Under way for longer than the first look-up, and then it arrives.
      yield* test.plan([TestGateway.late("1 second")])
      const { saga, told } = checked(verifyByLookup)
      const first = yield* Effect.forkChild(Saga.execute(saga, "a", o1))
      yield* settled
      yield* Fiber.interrupt(first)
      const execution = yield* over(Saga.execute(saga, "a", o1), "20 seconds")
      assert.strictEqual(execution._tag, "Completed")
      assert.deepStrictEqual(told, [])
      assert.strictEqual((yield* held).charges, 1)
    }).pipe(Effect.provide(all)))

  it.effect("is undone in doubt where the step is verified by running it again", () =>
    Effect.gen(function*() {
      const test = yield* TestGateway.TestGateway
      yield* test.plan([TestGateway.lostReply])
      const { saga, told } = checked("rerun")
      const execution = yield* over(Saga.execute(saga, "a", o1), "20 seconds")
      assert.deepInclude(execution, {
        _tag: "Compensated",
        cause: { _tag: "InDoubt", step: "authorize", detail: "Refusal" }
      })
      assert.deepStrictEqual(told, ["InDoubt"])
      assert.deepStrictEqual(yield* held, { charges: 1, held: 0n })
    }).pipe(Effect.provide(all)))

  it.effect("by the gateway under the same key is the answer to both", () =>
    Effect.gen(function*() {
      const test = yield* TestGateway.TestGateway
      yield* test.plan([TestGateway.lostRequest, TestGateway.decline("expired_card")])
      const saga = Saga.make("declined", { payload: Schema.String }).pipe(
        Saga.step("authorize", {
          success: PaymentGateway.Transaction,
          error: PaymentError.PaymentError,
          verify: "rerun",
          run: () => authorize,
          compensate: () => Effect.die("nothing to undo")
        })
      )
      const execution = yield* over(Saga.execute(saga, "a", o1), "20 seconds")
      assert.deepInclude(execution, { _tag: "Compensated", undos: [] })
    }).pipe(Effect.provide(all)))

  it.effect("parks a pivot that is verified by running it again, and a verification gets it out", () =>
    Effect.gen(function*() {
      const ends: Array<Effect.Effect<string, Refusal>> = [Effect.die("lost"), refuse]
      const pivotal = (verify: "rerun" | (() => Effect.Effect<Saga.Verdict<string, Refusal>>)) =>
        Saga.make("pivotal", { payload: Schema.String }).pipe(
          Saga.pivot("ship", {
            success: Schema.String,
            error: Refusal,
            verify,
            run: () => Effect.suspend(() => ends.shift() ?? refuse)
          })
        )
      const execution = yield* over(Saga.execute(pivotal("rerun"), "a", o1), "20 seconds")
      assert.deepStrictEqual(execution, { _tag: "Parked", step: "ship", reason: "in doubt: Refusal" })
      const looked = pivotal(() => Effect.succeed({ _tag: "Happened", result: "p-1" }))
      const resumed = yield* over(Saga.resume(looked, o1), "20 seconds")
      assert.deepStrictEqual(resumed, { _tag: "Completed", results: { payload: "a", ship: "p-1" } })
    }).pipe(Effect.provide(all)))
})
