/** Cancelling a run that is parked: what can be undone is, and what cannot says so. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { PaymentGateway, Saga } from "effect-payments"
import { checkout, Refusal, sagas, Shop, ShopError, world } from "./checkout.ts"
import { over } from "./time.ts"

const all = sagas().pipe(Layer.provideMerge(world))
const o1 = { id: "o1" }
const call = (name: string) => Effect.flatMap(Shop, (shop) => shop.call(name))
const base = { success: Schema.String, error: ShopError } as const
const calls = Effect.map(Shop, ({ calls }) => [...calls])
const cancelled = { _tag: "Cancelled" } as const

/** What a look-up finds; `undefined` asks for none. */
type Found = Saga.Verdict<string, never>

const sagaOf = (find: () => Found, verify: "look" | "rerun" = "look") => {
  const looked = verify === "rerun" ? verify : () => Effect.sync(find)
  return Saga.make("parking", { payload: Schema.String }).pipe(
    Saga.step("a", {
      ...base,
      verify: () => Effect.sync(find),
      inDoubt: "park",
      run: () => Effect.as(call("a"), "a"),
      compensate: (outcome) => call(`undo a ${outcome._tag}`)
    }),
    Saga.pivot("p", { ...base, verify: looked, run: () => Effect.as(call("p"), "p") }),
    Saga.retriable("r", {
      success: Schema.String,
      verify: "rerun",
      run: () => Effect.as(call("r"), "r").pipe(Saga.park("refused"))
    })
  )
}

/** Parked at this step, which may have happened. */
const parkedAt = (step: string, saga: ReturnType<typeof sagaOf>) =>
  Effect.gen(function*() {
    const { plan } = yield* Shop
    plan.set(step, step === "r" ? Effect.fail(new Refusal({ why: "no" })) : Effect.die("lost"))
    const execution = yield* over(Saga.execute(saga, "p", o1), "30 seconds")
    assert.deepInclude(execution, { _tag: "Parked", step })
    plan.clear()
  })

describe("cancelling a parked run", () => {
  it.effect("undoes a step in doubt that waited for someone to decide", () =>
    Effect.gen(function*() {
      const saga = sagaOf(() => PaymentGateway.stillUnknown)
      yield* parkedAt("a", saga)
      const execution = yield* over(Saga.cancel(saga, o1), "30 seconds")
      assert.deepStrictEqual(execution, {
        _tag: "Compensated",
        cause: cancelled,
        undos: [{ _tag: "Undone", step: "a" }]
      })
      assert.deepStrictEqual(yield* calls, ["a", "undo a InDoubt"])
      assert.deepStrictEqual(yield* Saga.cancel(saga, o1), execution)
    }).pipe(Effect.provide(all)))

  it.effect("looks a pivot in doubt up: undone when it never happened", () =>
    Effect.gen(function*() {
      let found: Found = PaymentGateway.stillUnknown
      const saga = sagaOf(() => found)
      yield* parkedAt("p", saga)
      assert.deepInclude(yield* over(Saga.cancel(saga, o1), "30 seconds"), {
        _tag: "Parked",
        step: "p",
        reason: "in doubt: interrupted"
      })
      found = PaymentGateway.neverHappened
      const execution = yield* over(Saga.cancel(saga, o1), "30 seconds")
      assert.deepStrictEqual(execution, {
        _tag: "Compensated",
        cause: cancelled,
        undos: [{ _tag: "Undone", step: "a" }]
      })
      assert.deepStrictEqual(yield* calls, ["a", "p", "undo a Done"])
    }).pipe(Effect.provide(all)))

  it.effect("finds a pivot that has happened, and then the saga goes forward", () =>
    Effect.gen(function*() {
      let found: Found = PaymentGateway.stillUnknown
      const saga = sagaOf(() => found)
      yield* parkedAt("p", saga)
      found = PaymentGateway.happened("found")
      assert.deepInclude(yield* over(Saga.cancel(saga, o1), "30 seconds"), { _tag: "Completed" })
    }).pipe(Effect.provide(all)))

  it.effect("sends nothing: a pivot that could only be run again stays parked", () =>
    Effect.gen(function*() {
      const saga = sagaOf(() => PaymentGateway.stillUnknown, "rerun")
      yield* parkedAt("p", saga)
      const before = yield* calls
      assert.deepInclude(yield* over(Saga.cancel(saga, o1), "30 seconds"), { _tag: "Parked", step: "p" })
      assert.deepStrictEqual(yield* calls, before)
    }).pipe(Effect.provide(all)))

  it.effect("sends nothing: a pivot that was not seen yet stays parked until that is settled", () =>
    Effect.gen(function*() {
      let found: Found = Saga.notSeen
      const saga = sagaOf(() => found)
      yield* parkedAt("p", saga)
      const before = yield* calls
      assert.deepInclude(yield* over(Saga.cancel(saga, o1), "30 seconds"), { _tag: "Parked", step: "p" })
      assert.deepStrictEqual(yield* calls, before)
      found = PaymentGateway.neverHappened
      assert.strictEqual((yield* over(Saga.cancel(saga, o1), "30 seconds"))._tag, "Compensated")
    }).pipe(Effect.provide(all)))

  it.effect("is too late behind the pivot: it stays parked and says why", () =>
    Effect.gen(function*() {
      const saga = sagaOf(() => PaymentGateway.stillUnknown)
      yield* parkedAt("r", saga)
      const before = yield* calls
      assert.deepStrictEqual(yield* over(Saga.cancel(saga, o1), "30 seconds"), {
        _tag: "Parked",
        step: "r",
        reason: "refused"
      })
      assert.deepStrictEqual(yield* calls, before)
      assert.strictEqual((yield* over(Saga.resume(saga, o1), "30 seconds"))._tag, "Completed")
    }).pipe(Effect.provide(all)))
})

describe("cancelling what has ended otherwise", () => {
  it.effect("answers how", () =>
    Effect.gen(function*() {
      const execution = yield* Saga.execute(checkout, { orderId: "1" }, o1)
      assert.deepStrictEqual(yield* Saga.cancel(checkout, o1), execution)
    }).pipe(Effect.provide(all)))
})
