import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Schema, Scope } from "effect"
import { Card, type Idempotency, Money, PaymentError, PaymentGateway, Saga, SagaLog } from "effect-payments"
import { TestGateway } from "effect-payments/testing"
import { TestClock } from "effect/testing"
import { Refusal, sagas } from "./checkout.ts"
import { over, settled } from "./time.ts"

const money = Money.makeUnsafe("EUR", "50.00")
const part = Money.makeUnsafe("EUR", "20.00")
const gateway = PaymentGateway.PaymentGateway
const o1 = { id: "o1" }
const token = Card.CardToken.make("tok_visa")
const authorize = Effect.flatMap(gateway, (gateway) => gateway.authorize({ token, money }))

type Refund = Effect.Effect<
  PaymentGateway.Transaction,
  PaymentError.PaymentError,
  PaymentGateway.PaymentGateway | Idempotency.Claim
>

/** A charge whose undo gives a part back: of a second refund the gateway would not know that it is one too many. */
const charge = (name: string, refunding: (refund: Refund) => Refund) =>
  Saga.make(name, { payload: Schema.String }).pipe(
    Saga.step("authorize", {
      success: PaymentGateway.Transaction,
      error: PaymentError.PaymentError,
      verify: Saga.verifyByLookup({ phase: "authorize" }),
      run: () => authorize,
      compensate: () => Effect.succeed(Saga.skip("captured"))
    }),
    Saga.step("capture", {
      success: PaymentGateway.Transaction,
      error: PaymentError.PaymentError,
      verify: Saga.verifyByLookup({ phase: "capture" }),
      run: ({ authorize }) => Effect.flatMap(gateway, (gateway) => gateway.capture({ transactionId: authorize.id })),
      compensate: (outcome) =>
        outcome._tag === "Done"
          ? refunding(
            Effect.flatMap(gateway, (gateway) => gateway.refund({ transactionId: outcome.result.id, money: part }))
          )
          : Effect.die("in doubt")
    }),
    Saga.pivot("ship", {
      success: Schema.Void,
      error: Refusal,
      verify: "rerun",
      run: (): Effect.Effect<void, Refusal> => Effect.fail(new Refusal({ why: "no" }))
    })
  )

const plain = charge("plain", (refund) => refund)
const once = charge("once", (refund) => refund.pipe(Saga.onceByLookup({ phase: "refund" })))

const refunds = Effect.map(
  Effect.flatMap(TestGateway.TestGateway, ({ ledger }) => ledger),
  ({ entries }) => entries.filter(({ transaction }) => transaction.kind === "refund").length
)

/** What the tries of the refund meet, one after the other; then all goes well. */
const refundsMeet = (...behaviours: ReadonlyArray<TestGateway.Behaviour>) =>
  Effect.flatMap(
    TestGateway.TestGateway,
    ({ plan }) => plan(({ attempt, method }) => method === "refund" ? behaviours[attempt - 1] : undefined)
  )

const world = (options?: TestGateway.Options) =>
  sagas().pipe(Layer.provideMerge([SagaLog.layerStoreMemory(), TestGateway.layer(options)]))
const forgetful = world({ deduplicates: false })

const undoOf = <Ctx, E>(execution: Saga.Execution<Ctx, E>, step: string) =>
  execution._tag === "Compensated" || execution._tag === "FailedCompensation"
    ? execution.undos.find((undo) => undo.step === step)
    : undefined

/** Another process over the same log, gateway and shop. */
const elsewhere = <A, E, R>(self: Effect.Effect<A, E, R | Saga.Sagas>) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const log = Layer.succeed(SagaLog.SagaLog, yield* SagaLog.SagaLog)
    const context = yield* Layer.buildWithScope(Layer.fresh(sagas()).pipe(Layer.provide(log)), scope)
    return yield* Effect.onExit(Effect.provide(self, context), () => Scope.close(scope, Exit.void))
  })

describe("an undo that may have happened", () => {
  it.effect("is sent again while the gateway recognises its key", () =>
    Effect.gen(function*() {
      yield* refundsMeet(TestGateway.failAfter)
      const execution = yield* over(Saga.execute(plain, "a", o1), "10 seconds")
      assert.deepStrictEqual(undoOf(execution, "capture"), { _tag: "Undone", step: "capture" })
      assert.strictEqual(yield* refunds, 1)
    }).pipe(Effect.provide(world())))

  it.effect("is held back where the gateway does not recognise keys", () =>
    Effect.gen(function*() {
      yield* refundsMeet(TestGateway.failAfter)
      const execution = yield* over(Saga.execute(plain, "a", o1), "10 seconds")
      assert.deepStrictEqual(undoOf(execution, "capture"), {
        _tag: "Failed",
        step: "capture",
        detail: "defect NotSentAgain"
      })
      assert.strictEqual(yield* refunds, 1)
      yield* TestClock.adjust("1 hour")
      yield* over(Saga.resume(plain, o1), "10 seconds")
      assert.strictEqual(yield* refunds, 1)
    }).pipe(Effect.provide(forgetful)))

  it.effect("is held back once the gateway has forgotten the key", () =>
    Effect.gen(function*() {
      yield* refundsMeet(TestGateway.failAfter, TestGateway.failAfter, TestGateway.failAfter)
      yield* over(Saga.execute(plain, "a", o1), "10 seconds")
      yield* TestClock.adjust("3 days")
      const execution = yield* over(Saga.resume(plain, o1), "10 seconds")
      assert.strictEqual(execution._tag, "FailedCompensation")
      assert.strictEqual(yield* refunds, 1)
    }).pipe(Effect.provide(world())))

  it.effect("is sent as if for the first time when it surely never left", () =>
    Effect.gen(function*() {
      yield* refundsMeet(TestGateway.failBefore, TestGateway.failBefore, TestGateway.failBefore)
      yield* over(Saga.execute(plain, "a", o1), "10 seconds")
      assert.strictEqual(yield* refunds, 0)
      assert.strictEqual((yield* Saga.resume(plain, o1))._tag, "Compensated")
      assert.strictEqual(yield* refunds, 1)
    }).pipe(Effect.provide(forgetful)))

  it.effect("is held back after a crash too, but not an older one that is still to come", () =>
    Effect.gen(function*() {
      const test = yield* TestGateway.TestGateway
      yield* refundsMeet(TestGateway.hang({ happened: true }))
      const saga = charge("two", (refund) => refund)
      const fiber = yield* Effect.forkChild(elsewhere(Saga.execute(saga, "a", o1)))
      yield* settled
      assert.strictEqual(yield* refunds, 1)
      yield* Fiber.interrupt(fiber)
      const execution = yield* over(Saga.execute(saga, "a", o1), "10 seconds")
      assert.deepInclude(undoOf(execution, "capture"), { _tag: "Failed", detail: "defect NotSentAgain" })
      assert.deepInclude(undoOf(execution, "authorize"), { _tag: "Skipped", by: "compensation" })
      assert.strictEqual(yield* refunds, 1)
      assert.strictEqual((yield* test.calls).filter(({ method }) => method === "refund").length, 1)
    }).pipe(Effect.provide(forgetful)))
})

describe("onceByLookup", () => {
  it.effect("costs no look-up where the first try goes well", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* Saga.execute(once, "a", o1))._tag, "Compensated")
      assert.strictEqual(yield* Effect.flatMap(TestGateway.TestGateway, ({ lookups }) => lookups), 0)
      assert.strictEqual(yield* refunds, 1)
    }).pipe(Effect.provide(forgetful)))

  it.effect("finds what has happened, in the next try, in another process and days later", () =>
    Effect.gen(function*() {
      const test = yield* TestGateway.TestGateway
      yield* refundsMeet(TestGateway.failAfter)
      assert.strictEqual((yield* over(Saga.execute(once, "a", o1), "10 seconds"))._tag, "Compensated")
      assert.strictEqual(yield* refunds, 1)

      yield* refundsMeet(TestGateway.hang({ happened: true }))
      const fiber = yield* Effect.forkChild(elsewhere(Saga.execute(once, "a", { id: "o2" })))
      yield* settled
      yield* Fiber.interrupt(fiber)
      assert.strictEqual((yield* over(Saga.execute(once, "a", { id: "o2" }), "10 seconds"))._tag, "Compensated")
      assert.strictEqual(yield* refunds, 2)

      yield* refundsMeet(TestGateway.failAfter)
      yield* test.planLookups(() => "stillUnknown")
      const failed = yield* over(Saga.execute(once, "a", { id: "o3" }), "10 seconds")
      assert.strictEqual(failed._tag, "FailedCompensation")
      yield* TestClock.adjust("3 days")
      yield* test.planLookups([])
      assert.strictEqual((yield* Saga.resume(once, { id: "o3" }))._tag, "Compensated")
      assert.strictEqual(yield* refunds, 3)
    }).pipe(Effect.provide(forgetful)))

  it.effect("sends again what never arrived, once that is settled", () =>
    Effect.gen(function*() {
      yield* refundsMeet(TestGateway.lostRequest)
      const failed = yield* over(Saga.execute(once, "a", o1), "10 seconds")
      assert.deepInclude(undoOf(failed, "capture"), { _tag: "Failed", detail: "defect NotSentAgain" })
      assert.strictEqual(yield* refunds, 0)
      yield* TestClock.adjust("5 minutes")
      assert.strictEqual((yield* Saga.resume(once, o1))._tag, "Compensated")
      assert.strictEqual(yield* refunds, 1)
    }).pipe(Effect.provide(forgetful)))

  it.effect("fails with what the gateway has refused", () =>
    Effect.gen(function*() {
      const refusal = TestGateway.refuse(new PaymentError.InvalidRequest({ code: "closed" }))
      yield* refundsMeet({ ...refusal, answer: new PaymentError.GatewayTimeout({}) })
      const failed = yield* over(Saga.execute(once, "a", o1), "10 seconds")
      assert.deepInclude(undoOf(failed, "capture"), { _tag: "Failed", detail: "PaymentError/InvalidRequest" })
      const { calls } = yield* TestGateway.TestGateway
      assert.strictEqual((yield* calls).filter(({ method }) => method === "refund").length, 1)
    }).pipe(Effect.provide(forgetful)))
})

describe("a step that may be run again", () => {
  const rerun = Saga.make("rerun", { payload: Schema.String }).pipe(
    Saga.step("authorize", {
      success: PaymentGateway.Transaction,
      error: PaymentError.PaymentError,
      verify: "rerun",
      run: () => authorize,
      compensate: (outcome) => Effect.succeed(Saga.skip(outcome._tag))
    })
  )
  const crashed = Effect.gen(function*() {
    const test = yield* TestGateway.TestGateway
    yield* test.plan([TestGateway.hang({ happened: true })])
    const fiber = yield* Effect.forkChild(elsewhere(Saga.execute(rerun, "a", o1)))
    yield* settled
    yield* Fiber.interrupt(fiber)
    return test
  })

  it.effect("is, by another process, while the gateway recognises its key", () =>
    Effect.gen(function*() {
      const { charges } = yield* crashed
      yield* TestClock.adjust("23 hours")
      assert.strictEqual((yield* Saga.execute(rerun, "a", o1))._tag, "Completed")
      assert.strictEqual(yield* charges, 1)
    }).pipe(Effect.provide(world())))

  it.effect("is in doubt after that, and charges nobody twice", () =>
    Effect.gen(function*() {
      const { charges } = yield* crashed
      yield* TestClock.adjust("25 hours")
      const execution = yield* over(Saga.execute(rerun, "a", o1), "10 seconds")
      assert.deepInclude(execution, { cause: { _tag: "InDoubt", step: "authorize", detail: "defect NotSentAgain" } })
      assert.deepInclude(undoOf(execution, "authorize"), { reason: "InDoubt" })
      assert.strictEqual(yield* charges, 1)
    }).pipe(Effect.provide(world())))
})

describe("a pivot in doubt", () => {
  const saga = Saga.make("pivotal", { payload: Schema.String }).pipe(
    Saga.pivot("authorize", {
      success: PaymentGateway.Transaction,
      error: PaymentError.PaymentError,
      verify: Saga.verifyByLookup({ phase: "authorize" }),
      run: () => authorize
    })
  )

  it.effect("goes on when it is resumed after the gateway's word has settled", () =>
    Effect.gen(function*() {
      const test = yield* TestGateway.TestGateway
      yield* test.plan([TestGateway.lostRequest])
      assert.strictEqual((yield* over(Saga.execute(saga, "a", o1), "10 seconds"))._tag, "Parked")
      yield* TestClock.adjust("4 minutes")
      assert.strictEqual((yield* over(Saga.resume(saga, o1), "10 seconds"))._tag, "Parked")
      assert.strictEqual(yield* test.charges, 0)
      yield* TestClock.adjust("5 minutes")
      assert.strictEqual((yield* Saga.resume(saga, o1))._tag, "Completed")
      assert.strictEqual(yield* test.charges, 1)
    }).pipe(Effect.provide(forgetful)))
})
