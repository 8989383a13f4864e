import { NodeCrypto } from "@effect/platform-node"
import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Clock, Data, Effect, Exit, Fiber, Layer, Random, Schema } from "effect"
import { Card, Idempotency, IdempotencyStore, Money, PaymentError, PaymentGateway } from "effect-payments"
import { Chaos, TestGateway } from "effect-payments/testing"
import { TestClock } from "effect/testing"

class Broken extends Data.TaggedError("Broken")<{}> {}

const counted = () => {
  let runs = 0
  return { call: Effect.sync(() => ++runs), runs: () => runs }
}

describe("a plan", () => {
  const struck = (plan: Chaos.Plan, calls: number) =>
    Effect.gen(function*() {
      const call = Chaos.fault(counted().call, plan, "struck")
      const exits = yield* Effect.forEach(Array.from({ length: calls }), () => Effect.exit(call))
      return exits.map(Exit.isFailure)
    })

  it.effect("is a list, of which nothing is left after its end", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* struck([true, false, true], 5), [true, false, true, false, false])
    }))

  it.effect("is a function of the call's number", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* struck((call) => call % 2 === 0, 4), [false, true, false, true])
    }))

  it.effect("is a rate, the same for the same seed", () =>
    Effect.gen(function*() {
      const seeded = Random.withSeed(struck(0.3, 1000), "chaos")
      const all = yield* seeded
      assert.approximately(all.filter(Boolean).length, 300, 50)
      assert.deepStrictEqual(yield* seeded, all)
      assert.notInclude(yield* struck(0, 100), true)
      assert.notInclude(yield* struck(1, 100), false)
    }))

  it.effect("counts the calls of all that one combinator was applied to", () =>
    Effect.gen(function*() {
      const second = Chaos.fault([false, true], "struck")
      yield* second(Effect.void)
      assert.strictEqual(yield* Effect.flip(second(Effect.void)), "struck")
    }))
})

describe("faults", () => {
  it.effect("fault strikes before", () =>
    Effect.gen(function*() {
      const { call, runs } = counted()
      const error = yield* Effect.flip(Chaos.fault(call, 1, new Broken()))
      assert.deepStrictEqual([error._tag, runs()], ["Broken", 0])
    }))

  it.effect("latency waits before, and no longer", () =>
    Effect.gen(function*() {
      const { call, runs } = counted()
      const fiber = yield* Effect.forkChild(
        Effect.andThen(Chaos.latency(call, 1, "2 seconds"), Clock.currentTimeMillis),
        {
          startImmediately: true
        }
      )
      yield* TestClock.adjust(1999)
      assert.strictEqual(runs(), 0)
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* Fiber.join(fiber), 2000)
    }))

  it.effect("crashAfter runs, and dies", () =>
    Effect.gen(function*() {
      const { call, runs } = counted()
      const exit = yield* Effect.exit(Chaos.crashAfter(call, [true]))
      const reason = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
      assert.isTrue(reason?._tag === "Die" && reason.defect instanceof Chaos.Crash)
      assert.strictEqual(runs(), 1)
      assert.strictEqual(yield* Effect.flip(Chaos.crashAfter(Effect.fail("first"), 1)), "first")
    }))

  it.effect("lostReply runs, and tells neither a yes nor a no", () =>
    Effect.gen(function*() {
      const { call, runs } = counted()
      const lost = yield* Effect.flip(Chaos.lostReply(call, 1))
      assert.deepStrictEqual([lost.disposition, runs()], ["Unknown", 1])
      assert.instanceOf(yield* Effect.flip(Chaos.lostReply(Effect.fail("no"), 1, new Broken())), Broken)
      assert.isTrue(Exit.hasDies(yield* Effect.exit(Chaos.lostReply(Effect.die("defect"), 1))))
    }))

  it("say in their types what they add", () => {
    const call: Effect.Effect<number, "declared", "service"> = Effect.never
    expectTypeOf(Chaos.fault(call, 1, new Broken())).toEqualTypeOf<
      Effect.Effect<number, "declared" | Broken, "service">
    >()
    expectTypeOf(call.pipe(Chaos.latency(1, 1))).toEqualTypeOf<typeof call>()
    expectTypeOf(call.pipe(Chaos.crashAfter(1))).toEqualTypeOf<typeof call>()
    expectTypeOf(call.pipe(Chaos.lostReply(1))).toEqualTypeOf<
      Effect.Effect<number, "declared" | PaymentError.PaymentError, "service">
    >()
  })
})

describe("a charge under chaos", () => {
  it.effect("is made once, whatever strikes", () =>
    Effect.gen(function*() {
      const { charges } = yield* TestGateway.TestGateway
      const lost = Chaos.lostReply(0.4)
      const crash = Chaos.crashAfter(0.2)
      const down = Chaos.fault(0.2, PaymentError.make(new PaymentError.NetworkError({ sent: false })))
      const charge = (order: string) =>
        Effect.flatMap(
          PaymentGateway.PaymentGateway,
          (gateway) =>
            gateway.authorize({ token: Card.CardToken.make("tok_visa"), money: Money.makeUnsafe("EUR", "12.50") })
        ).pipe(
          down,
          lost,
          crash,
          Idempotency.idempotent({
            scope: Idempotency.Scope.make({ tenant: "acme", operation: "charge", version: 1 }),
            key: Idempotency.Key.make(order),
            payload: "12.50",
            payloadSchema: Schema.String,
            success: PaymentGateway.Transaction,
            error: PaymentError.PaymentError,
            resolve: Idempotency.resolveByLookup({ phases: ["authorize"] })
          })
        )
      for (let order = 0; order < 50; order++) {
        let exit = yield* Effect.exit(charge(`order-${order}`))
        for (let again = 0; Exit.isFailure(exit) && again < 20; again++) {
          exit = yield* Effect.exit(charge(`order-${order}`))
        }
        assert.isTrue(Exit.isSuccess(exit))
      }
      assert.strictEqual(yield* charges, 50)
    }).pipe(
      Effect.provide(Layer.mergeAll(
        TestGateway.layer(),
        Layer.provide(Idempotency.layer(), [Layer.orDie(IdempotencyStore.layerStoreMemory()), NodeCrypto.layer])
      )),
      Random.withSeed("chaos")
    ))
})
