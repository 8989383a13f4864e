import { SqliteClient } from "@effect-payments/sqlite"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Schedule, Schema, Scope } from "effect"
import { Card, Idempotency, Money, PaymentError, PaymentGateway, Saga, SagaLog } from "effect-payments"
import { TestGateway } from "effect-payments/testing"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { checkout, Refusal, sagas, Shop, ShopError, Unreachable, world } from "./saga/checkout.ts"
import { over, settled } from "./saga/time.ts"

const all = sagas().pipe(Layer.provideMerge(world))
const order = { orderId: "1" }
const o1 = { id: "o1" }
const refusal = Effect.fail(new Refusal({ why: "no" }))
const unreachable = Effect.fail(new Unreachable())
const timeout = TestGateway.failAfter

const methods = Effect.flatMap(
  TestGateway.TestGateway,
  ({ calls }) => Effect.map(calls, (calls) => calls.map((x) => x.method))
)
const shopCalls = Effect.map(Shop, ({ calls }) => [...calls])

/** What the payer is out of pocket, and what is still blocked on the card. */
const books = Effect.gen(function*() {
  const { charges, totals } = yield* Effect.flatMap(TestGateway.TestGateway, ({ ledger }) => ledger)
  return {
    charges,
    net: Number(totals["EUR"]?.net.amount.value ?? 0n),
    held: Number(totals["EUR"]?.held.amount.value ?? 0n)
  }
})
const clean = (charges: number) => ({ charges, net: 0, held: 0 })

/** An engine of its own over the log that is there: another process. */
const process = (options?: Saga.Options, log?: SagaLog.SagaLog["Service"]) =>
  Effect.gen(function*() {
    const scope = yield* Scope.fork(yield* Effect.scope)
    const own = Layer.succeed(SagaLog.SagaLog, log ?? (yield* SagaLog.SagaLog))
    const context = yield* Layer.buildWithScope(Layer.fresh(sagas(options)).pipe(Layer.provide(own)), scope)
    return {
      run: <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, Exclude<R, Saga.Sagas>> =>
        Effect.provide(self, context),
      close: Scope.close(scope, Exit.void)
    }
  })

const stateOf = (id: string, saga = "checkout") =>
  Effect.flatMap(
    SagaLog.SagaLog,
    (log) => Effect.map(log.list({ saga, limit: 100 }), (runs) => runs.find((run) => run.id === id)?.state)
  )

const payload = Schema.Struct({ orderId: Schema.String })
const base = { success: Schema.String, error: ShopError, verify: "rerun" } as const
const call = (name: string) => Effect.flatMap(Shop, (shop) => shop.call(name))
const compensate = () => call("undo")

describe("a checkout", () => {
  it.effect("completes, with the results of all steps by name", () =>
    Effect.gen(function*() {
      const execution = yield* Saga.execute(checkout, order, o1)
      assert.strictEqual(execution._tag, "Completed")
      if (execution._tag !== "Completed") return
      assert.deepStrictEqual(execution.results.payload, order)
      assert.deepStrictEqual(execution.results.ship, { parcel: "p-1" })
      assert.strictEqual(execution.results.capture.status, "captured")
      assert.deepStrictEqual(yield* methods, ["authorize", "capture"])
      assert.deepStrictEqual(yield* shopCalls, ["reserve", "ship", "receipt"])
    }).pipe(Effect.provide(all)))

  it.effect("that cannot ship is undone in reverse: refunded, closed, released", () =>
    Effect.gen(function*() {
      ;(yield* Shop).plan.set("ship", refusal)
      const execution = yield* Saga.execute(checkout, order, o1)
      assert.deepStrictEqual(execution, {
        _tag: "Compensated",
        cause: { _tag: "Failed", step: "ship", error: new Refusal({ why: "no" }), detail: "Refusal" },
        undos: [
          { _tag: "Undone", step: "capture" },
          { _tag: "Skipped", step: "authorize", by: "engine", reason: `closed by "capture"` },
          { _tag: "Undone", step: "reserve" }
        ]
      })
      assert.deepStrictEqual(yield* methods, ["authorize", "capture", "refund"])
      assert.deepStrictEqual(yield* shopCalls, ["reserve", "ship", "release r-1"])
      assert.deepStrictEqual(yield* books, clean(1))
    }).pipe(Effect.provide(all)))

  it.effect("that cannot capture is voided and released", () =>
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      yield* gateway.plan(({ method }) => method === "capture" ? TestGateway.decline("expired_card") : undefined)
      const execution = yield* Saga.execute(checkout, order, o1)
      assert.strictEqual(execution._tag, "Compensated")
      if (execution._tag !== "Compensated" || execution.cause._tag !== "Failed") return assert.fail()
      assert.instanceOf(execution.cause.error, PaymentError.PaymentError)
      assert.strictEqual(execution.cause.detail, "PaymentError/CardDeclined")
      assert.deepStrictEqual(execution.undos.map(({ _tag, step }) => `${step} ${_tag}`), [
        "authorize Undone",
        "reserve Undone"
      ])
      assert.deepStrictEqual(yield* books, clean(1))
    }).pipe(Effect.provide(all)))

  it.effect("that cannot even reserve leaves nothing to undo", () =>
    Effect.gen(function*() {
      ;(yield* Shop).plan.set("reserve", refusal)
      const execution = yield* Saga.execute(checkout, order, o1)
      assert.deepInclude(execution, { _tag: "Compensated", undos: [] })
      assert.deepStrictEqual(yield* shopCalls, ["reserve"])
      assert.deepStrictEqual(yield* methods, [])
    }).pipe(Effect.provide(all)))

  it.effect("sends each call under a key of its own, the same in every process", () =>
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      ;(yield* Shop).plan.set("ship", refusal)
      yield* Saga.execute(checkout, order, o1)
      const first = (yield* gateway.calls).map(({ downstreamKey }) => downstreamKey)
      assert.strictEqual(new Set(first).size, 3)
      const other = yield* process()
      yield* other.run(Saga.execute(checkout, order, { id: "o2" }))
      const second = (yield* gateway.calls).slice(3).map(({ downstreamKey }) => downstreamKey)
      assert.strictEqual(new Set([...first, ...second]).size, 6)
      for (const key of first) assert.match(key, /^ep1_[0-9a-f]{40}$/)
    }).pipe(Effect.scoped, Effect.provide(all)))
})

describe("the id of a run", () => {
  it.effect("joins a run under way, and gets its end ever after", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      ;(yield* Shop).plan.set("reserve", Deferred.await(gate))
      const first = yield* Effect.forkChild(Saga.execute(checkout, order, o1))
      const second = yield* Effect.forkChild(Saga.execute(checkout, order, o1))
      yield* settled
      yield* Deferred.succeed(gate, undefined)
      const execution = yield* Fiber.join(first)
      assert.deepStrictEqual(yield* Fiber.join(second), execution)
      assert.deepStrictEqual(yield* Saga.execute(checkout, order, o1), execution)
      assert.deepStrictEqual(yield* Saga.result(checkout, o1), execution)
      const other = yield* process()
      assert.deepStrictEqual(yield* other.run(Saga.execute(checkout, order, o1)), execution)
      assert.deepStrictEqual(yield* books, { charges: 1, net: 4990, held: 0 })
    }).pipe(Effect.scoped, Effect.provide(all)))

  it.effect("is tied to its payload, under way and after", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      ;(yield* Shop).plan.set("reserve", Deferred.await(gate))
      const fiber = yield* Effect.forkChild(Saga.execute(checkout, order, o1), { startImmediately: true })
      const other = yield* process()
      const conflicting = Saga.execute(checkout, { orderId: "2" }, o1)
      // Before and after the claim of the first has been answered.
      const early = yield* Effect.forkChild(Effect.flip(conflicting), { startImmediately: true })
      yield* settled
      for (const self of [Fiber.join(early), Effect.flip(conflicting), Effect.flip(other.run(conflicting))]) {
        assert.deepInclude(yield* self, {
          _tag: "SagaError",
          disposition: "Refused",
          message: new Saga.IdConflict({}).message
        })
      }
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(fiber)
      assert.strictEqual((yield* Effect.flip(conflicting)).reason._tag, "IdConflict")
    }).pipe(Effect.scoped, Effect.provide(all)))

  it.effect("answers every time alike, also how it was undone", () =>
    Effect.gen(function*() {
      ;(yield* Shop).plan.set("ship", refusal)
      const first = yield* Saga.execute(checkout, order, o1)
      const again = yield* Saga.execute(checkout, order, o1)
      assert.deepStrictEqual(again, first)
      if (again._tag !== "Compensated" || again.cause._tag !== "Failed") return assert.fail()
      assert.instanceOf(again.cause.error, Refusal)
    }).pipe(Effect.provide(all)))

  it.effect("says that another process holds it, after a while", () =>
    Effect.gen(function*() {
      ;(yield* Shop).plan.set("reserve", Effect.never)
      yield* Effect.forkChild(Saga.execute(checkout, order, o1))
      yield* settled
      const other = yield* process({ awaitAtMost: "5 seconds" })
      const calls = [
        other.run(Saga.execute(checkout, order, o1)),
        other.run(Saga.result(checkout, o1))
      ]
      for (const self of calls) {
        const error = yield* over(Effect.flip(self), "6 seconds")
        assert.strictEqual(error.reason._tag, "InFlight")
        assert.isTrue(error.repeatable)
        assert.isDefined(error.retryAfter)
      }
      assert.strictEqual((yield* Effect.flip(Saga.result(checkout, { id: "none" }))).reason._tag, "NotFound")
      assert.strictEqual((yield* Effect.flip(Saga.cancel(checkout, { id: "none" }))).reason._tag, "NotFound")
    }).pipe(Effect.scoped, Effect.provide(all)))
})

describe("a step that nobody knows about", () => {
  it.effect("is verified, and goes on when its request had arrived", () =>
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      yield* gateway.plan([timeout])
      const execution = yield* Saga.execute(checkout, order, o1)
      assert.strictEqual(execution._tag, "Completed")
      assert.deepStrictEqual(yield* books, { charges: 1, net: 4990, held: 0 })
      assert.deepStrictEqual(yield* methods, ["authorize", "capture"])
    }).pipe(Effect.provide(all)))

  it.effect("is verified again when the saga unwinds, and undone with its result", () =>
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      yield* gateway.plan([timeout])
      yield* gateway.planLookups(["stillUnknown", "stillUnknown", "stillUnknown"])
      const execution = yield* over(Saga.execute(checkout, order, o1), "6 seconds")
      assert.deepStrictEqual(execution, {
        _tag: "Compensated",
        cause: { _tag: "InDoubt", step: "authorize", detail: "PaymentError/GatewayTimeout" },
        undos: [{ _tag: "Undone", step: "authorize" }, { _tag: "Undone", step: "reserve" }]
      })
      assert.deepStrictEqual(yield* methods, ["authorize", "void"])
      assert.deepStrictEqual(yield* books, clean(1))
    }).pipe(Effect.provide(all)))

  it.effect("is undone in doubt when nobody can tell, by the key that it was sent under", () =>
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      yield* gateway.plan([timeout])
      yield* gateway.planLookups(Array.from({ length: 6 }, () => "stillUnknown"))
      const execution = yield* over(Saga.execute(checkout, order, o1), "12 seconds")
      assert.strictEqual(execution._tag, "Compensated")
      assert.deepStrictEqual(yield* methods, ["authorize", "void"])
      assert.deepStrictEqual(yield* books, clean(1))
    }).pipe(Effect.provide(all)))

  it.effect("that the gateway has not seen is sent again under the same key, and happens once", () =>
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      yield* gateway.plan([TestGateway.late("25 seconds")])
      const execution = yield* over(Saga.execute(checkout, order, o1), "30 seconds")
      assert.strictEqual(execution._tag, "Completed")
      assert.deepStrictEqual(yield* methods, ["authorize", "authorize", "capture"])
      const [first, second] = yield* gateway.calls
      assert.strictEqual(first?.downstreamKey, second?.downstreamKey)
      assert.strictEqual(yield* gateway.executions(first?.downstreamKey ?? ""), 1)
    }).pipe(Effect.provide(all)))

  it.effect("where nobody de-duplicates is not sent again, and not called undone while it may still arrive", () =>
    Effect.gen(function*() {
      const { gateway, ...hand } = yield* TestGateway.make({
        deduplicates: false,
        plan: [TestGateway.late("1 minute")]
      })
      const onGateway = Effect.provideService(PaymentGateway.PaymentGateway, gateway)
      const held = Effect.map(hand.ledger, ({ totals }) => Number(totals["EUR"]?.held.amount.value ?? 0n))
      const execution = yield* over(onGateway(Saga.execute(checkout, order, o1)), "50 seconds")
      if (execution._tag !== "FailedCompensation") return assert.fail(execution._tag)
      assert.deepStrictEqual(execution.undos, [
        { _tag: "Failed", step: "authorize", detail: "PaymentError/GatewayTimeout" },
        { _tag: "Undone", step: "reserve" }
      ])
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual(yield* held, 4990)
      assert.strictEqual((yield* onGateway(Saga.resume(checkout, o1)))._tag, "Compensated")
      assert.strictEqual(yield* held, 0)
      assert.deepStrictEqual((yield* hand.calls).map(({ method }) => method), ["authorize", "void"])
    }).pipe(Effect.provide(all)))

  it.effect("that never arrived is passed over once that is settled", () =>
    Effect.gen(function*() {
      const { gateway, ...hand } = yield* TestGateway.make({ deduplicates: false, plan: [TestGateway.lostRequest] })
      const onGateway = Effect.provideService(PaymentGateway.PaymentGateway, gateway)
      const execution = yield* over(onGateway(Saga.execute(checkout, order, o1)), "30 seconds")
      assert.strictEqual(execution._tag, "FailedCompensation")
      yield* TestClock.adjust("5 minutes")
      const resumed = yield* onGateway(Saga.resume(checkout, o1))
      if (resumed._tag !== "Compensated") return assert.fail(resumed._tag)
      assert.deepStrictEqual(resumed.undos[0], {
        _tag: "Skipped",
        step: "authorize",
        by: "engine",
        reason: "never happened"
      })
      assert.deepStrictEqual((yield* hand.calls).map(({ method }) => method), ["authorize"])
    }).pipe(Effect.provide(all)))

  it.effect("hangs for its timeout at the most", () =>
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      yield* gateway.plan([TestGateway.hang({ happened: true })])
      const execution = yield* over(Saga.execute(checkout, order, o1), "20 seconds")
      assert.strictEqual(execution._tag, "Completed")
      assert.strictEqual((yield* books).charges, 1)
    }).pipe(Effect.provide(all)))

  it.effect("is in doubt also when it dies or fails without a word on what is known", () =>
    Effect.gen(function*() {
      const told: Array<string> = []
      const saga = (name: string, run: Effect.Effect<string, Refusal | Unreachable>) =>
        Saga.make(name, { payload }).pipe(
          Saga.step("a", {
            ...base,
            verify: () => Effect.succeed(PaymentGateway.stillUnknown),
            run: () => run,
            compensate: (outcome) => Effect.sync(() => void told.push(outcome._tag === "Done" ? "done" : outcome.cause))
          })
        )
      const ends = [
        Effect.die(new TypeError("4111 1111 1111 1111")),
        Effect.interrupt,
        Effect.sync((): string => {
          throw new RangeError("x")
        })
      ]
      for (const [index, end] of ends.entries()) {
        const execution = yield* over(Saga.execute(saga(`s${index}`, end), order, o1), "20 seconds")
        assert.strictEqual(execution._tag, "Compensated")
      }
      assert.deepStrictEqual(told, ["defect TypeError", "interrupted", "defect RangeError"])
    }).pipe(Effect.provide(all)))

  it.effect("parks the saga instead, where the step says so", () =>
    Effect.gen(function*() {
      let answer: Saga.Verdict<string, never> = PaymentGateway.stillUnknown
      const saga = Saga.make("careful", { payload }).pipe(
        Saga.step("a", {
          ...base,
          verify: () => Effect.sync(() => answer),
          run: () => Effect.andThen(call("a"), Effect.die("x")),
          compensate,
          inDoubt: "park"
        })
      )
      const parked = yield* over(Saga.execute(saga, order, o1), "6 seconds")
      assert.deepStrictEqual(parked, { _tag: "Parked", step: "a", reason: "in doubt: defect string" })
      assert.deepStrictEqual(yield* Saga.execute(saga, order, o1), parked)
      answer = PaymentGateway.happened("found")
      const resumed = yield* Saga.resume(saga, o1)
      assert.deepStrictEqual(resumed, { _tag: "Completed", results: { payload: order, a: "found" } })
      assert.deepStrictEqual(yield* shopCalls, ["a"])
    }).pipe(Effect.provide(all)))
})

describe("the pivot", () => {
  const saga = (verdicts: Array<Saga.Verdict<string, Refusal>>) =>
    Saga.make("pivotal", { payload }).pipe(
      Saga.step("a", { ...base, run: () => Effect.as(call("a"), "a"), compensate }),
      Saga.pivot("p", {
        ...base,
        verify: () => Effect.sync(() => verdicts.shift() ?? PaymentGateway.stillUnknown),
        run: () => Effect.andThen(call("p"), Effect.die("x"))
      })
    )

  it.effect("in doubt parks the saga, and nothing is undone", () =>
    Effect.gen(function*() {
      const execution = yield* over(Saga.execute(saga([]), order, o1), "6 seconds")
      assert.deepStrictEqual(execution, { _tag: "Parked", step: "p", reason: "in doubt: defect string" })
      assert.deepStrictEqual(yield* shopCalls, ["a", "p"])
      assert.deepStrictEqual((yield* Saga.list({ state: "Parked" })).map(({ id }) => id), ["o1"])
    }).pipe(Effect.provide(all)))

  it.effect("found refused unwinds, found happened goes on", () =>
    Effect.gen(function*() {
      const refused = yield* Saga.execute(saga([PaymentGateway.refused(new Refusal({ why: "late" }))]), order, o1)
      assert.deepStrictEqual(refused, {
        _tag: "Compensated",
        cause: { _tag: "Failed", step: "p", error: new Refusal({ why: "late" }), detail: "Refusal" },
        undos: [{ _tag: "Undone", step: "a" }]
      })
      const happened = yield* Saga.execute(saga([PaymentGateway.happened("yes")]), order, { id: "o2" })
      assert.strictEqual(happened._tag, "Completed")
    }).pipe(Effect.provide(all)))

  it.effect("that never happened is tried again by its schedule, and then unwinds", () =>
    Effect.gen(function*() {
      const never = Array.from({ length: 9 }, () => PaymentGateway.neverHappened)
      const execution = yield* over(Saga.execute(saga(never), order, o1), "6 seconds")
      assert.strictEqual(execution._tag, "Compensated")
      assert.deepStrictEqual(yield* shopCalls, ["a", "p", "p", "p", "undo"])
    }).pipe(Effect.provide(all)))
})

describe("tries", () => {
  it.effect("go on for what surely did not happen, 2 and 4 seconds apart, then the saga fails", () =>
    Effect.gen(function*() {
      const shop = yield* Shop
      shop.plan.set("reserve", unreachable)
      const fiber = yield* Effect.forkChild(Saga.execute(checkout, order, o1))
      const counts: Array<number> = []
      for (const wait of [0, 1999, 1, 3999, 1]) {
        yield* TestClock.adjust(wait)
        yield* settled
        counts.push(shop.calls.length)
      }
      assert.deepStrictEqual(counts, [1, 1, 2, 2, 3])
      const execution = yield* Fiber.join(fiber)
      assert.deepStrictEqual(execution, {
        _tag: "Compensated",
        cause: { _tag: "Failed", step: "reserve", error: new Unreachable(), detail: "Unreachable" },
        undos: []
      })
    }).pipe(Effect.provide(all)))

  it.effect("never repeat a refusal", () =>
    Effect.gen(function*() {
      const shop = yield* Shop
      shop.plan.set("reserve", refusal)
      yield* Saga.execute(checkout, order, o1)
      assert.strictEqual(shop.calls.length, 1)
    }).pipe(Effect.provide(all)))

  it.effect("do not take back a doubt: a try that was not sent says nothing of the one before", () =>
    Effect.gen(function*() {
      const ends = [Effect.die("x"), unreachable, unreachable]
      const told: Array<string> = []
      const saga = Saga.make("doubtful", { payload }).pipe(
        Saga.step("a", {
          ...base,
          run: () => Effect.suspend(() => ends.shift() ?? Effect.die("y")),
          compensate: (outcome) => Effect.sync(() => void told.push(outcome._tag))
        })
      )
      const execution = yield* over(Saga.execute(saga, order, o1), "6 seconds")
      assert.deepInclude(execution, { cause: { _tag: "InDoubt", step: "a", detail: "Unreachable" } })
      assert.deepStrictEqual(told, ["InDoubt"])
    }).pipe(Effect.provide(all)))

  it.effect("of an earlier process count: what was not sent now may have happened then", () =>
    Effect.gen(function*() {
      const shop = yield* Shop
      shop.plan.set("reserve", Effect.never)
      const fiber = yield* Effect.forkChild(Saga.execute(checkout, order, o1))
      yield* settled
      yield* Fiber.interrupt(fiber)
      shop.plan.set("reserve", unreachable)
      const execution = yield* over(Saga.execute(checkout, order, o1), "6 seconds")
      assert.deepStrictEqual(execution, {
        _tag: "Compensated",
        cause: { _tag: "InDoubt", step: "reserve", detail: "Unreachable" },
        undos: [{ _tag: "Undone", step: "reserve" }]
      })
      assert.strictEqual(shop.calls.at(-1), "release?")
    }).pipe(Effect.provide(all)))

  it.effect("of a step with two calls are in doubt while one of them is, whatever the other says", () =>
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      yield* gateway.plan([timeout, TestGateway.decline("expired_card")])
      const told: Array<string> = []
      const authorize = Effect.flatMap(
        PaymentGateway.PaymentGateway,
        (gateway) =>
          gateway.authorize({ token: Card.CardToken.make("tok_visa"), money: Money.makeUnsafe("EUR", "1.00") })
      )
      const saga = Saga.make("two", { payload }).pipe(
        Saga.step("a", {
          success: PaymentGateway.Transaction,
          error: PaymentError.PaymentError,
          verify: () => Effect.succeed(PaymentGateway.stillUnknown),
          run: () => Effect.catch(authorize, () => Idempotency.phase(authorize, "second-card")),
          compensate: (outcome) => Effect.sync(() => void told.push(outcome._tag))
        })
      )
      const execution = yield* over(Saga.execute(saga, order, o1), "20 seconds")
      assert.deepInclude(execution, { cause: { _tag: "InDoubt", step: "a", detail: "PaymentError/CardDeclined" } })
      assert.deepStrictEqual(told, ["InDoubt"])
    }).pipe(Effect.provide(all)))

  it.effect("of a retriable step end parked, and resume goes on", () =>
    Effect.gen(function*() {
      const shop = yield* Shop
      shop.plan.set("receipt", Effect.die("down"))
      const execution = yield* over(Saga.execute(checkout, order, o1), "10 minutes")
      assert.deepStrictEqual(execution, { _tag: "Parked", step: "receipt", reason: "in doubt: defect string" })
      assert.strictEqual(shop.calls.filter((name) => name === "receipt").length, 10)
      shop.plan.delete("receipt")
      assert.strictEqual((yield* Saga.resume(checkout, o1))._tag, "Completed")
      assert.deepStrictEqual(yield* methods, ["authorize", "capture"])
    }).pipe(Effect.provide(all)))

  it.effect("of a retriable step that is refused end at once, parked under a name", () =>
    Effect.gen(function*() {
      const shop = yield* Shop
      shop.plan.set("receipt", refusal)
      const execution = yield* Saga.execute(checkout, order, o1)
      assert.deepStrictEqual(execution, { _tag: "Parked", step: "receipt", reason: "the receipt is refused" })
      assert.strictEqual(shop.calls.filter((name) => name === "receipt").length, 1)
    }).pipe(Effect.provide(all)))
})

describe("an undo", () => {
  const failing = Effect.gen(function*() {
    const shop = yield* Shop
    shop.plan.set("ship", refusal)
    return shop
  })

  it.effect("is tried again by its schedule, under the same key", () =>
    Effect.gen(function*() {
      yield* failing
      const gateway = yield* TestGateway.TestGateway
      let refunds = 0
      yield* gateway.plan(({ method }) => method === "refund" && refunds++ < 2 ? TestGateway.failBefore : undefined)
      const fiber = yield* Effect.forkChild(Saga.execute(checkout, order, o1))
      const counts: Array<number> = []
      for (const wait of [0, 1999, 1, 3999, 1]) {
        yield* TestClock.adjust(wait)
        yield* settled
        counts.push(refunds)
      }
      assert.deepStrictEqual(counts, [1, 1, 2, 2, 3])
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "Compensated")
      const keys = (yield* gateway.calls).filter(({ method }) => method === "refund").map((x) => x.downstreamKey)
      assert.strictEqual(new Set(keys).size, 1)
      assert.deepStrictEqual(yield* books, clean(1))
    }).pipe(Effect.provide(all)))

  it.effect("that fails for good stops no other one, and all causes are kept", () =>
    Effect.gen(function*() {
      yield* failing
      const gateway = yield* TestGateway.TestGateway
      yield* gateway.plan(({ method }) => method === "refund" ? TestGateway.failBefore : undefined)
      const execution = yield* over(Saga.execute(checkout, order, o1), "6 seconds")
      assert.deepStrictEqual(execution, {
        _tag: "FailedCompensation",
        cause: { _tag: "Failed", step: "ship", error: new Refusal({ why: "no" }), detail: "Refusal" },
        undos: [
          { _tag: "Failed", step: "capture", detail: "PaymentError/NetworkError" },
          { _tag: "Skipped", step: "authorize", by: "engine", reason: `closed by "capture"` },
          { _tag: "Undone", step: "reserve" }
        ]
      })
      assert.strictEqual((yield* shopCalls).at(-1), "release r-1")
      assert.strictEqual(yield* stateOf("o1"), "FailedCompensation")
      assert.deepStrictEqual(yield* Saga.execute(checkout, order, o1), execution)
      // The others are not run again when it is resumed.
      yield* gateway.plan([])
      const resumed = yield* Saga.resume(checkout, o1)
      assert.strictEqual(resumed._tag, "Compensated")
      assert.strictEqual((yield* shopCalls).filter((name) => name.startsWith("release")).length, 1)
      assert.deepStrictEqual(yield* books, clean(1))
    }).pipe(Effect.provide(all)))

  it.effect("that hangs ends after its timeout", () =>
    Effect.gen(function*() {
      const shop = yield* failing
      shop.plan.set("release r-1", Effect.never)
      const execution = yield* over(Saga.execute(checkout, order, o1), "4 minutes")
      if (execution._tag !== "FailedCompensation") return assert.fail(execution._tag)
      assert.deepStrictEqual(execution.undos.at(-1), { _tag: "Failed", step: "reserve", detail: "timeout" })
      assert.strictEqual(shop.calls.filter((name) => name === "release r-1").length, 3)
    }).pipe(Effect.provide(all)))
})

describe("interrupting", () => {
  it.effect("suspends: nothing is undone, and the same call finishes", () =>
    Effect.gen(function*() {
      const shop = yield* Shop
      shop.plan.set("ship", Effect.never)
      const fiber = yield* Effect.forkChild(Saga.execute(checkout, order, o1))
      yield* settled
      assert.strictEqual(shop.calls.at(-1), "ship")
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* methods, ["authorize", "capture"])
      assert.deepStrictEqual(shop.calls, ["reserve", "ship"])
      assert.strictEqual(yield* stateOf("o1"), "Running")
      shop.plan.clear()
      // The lease was given back: no time has to pass.
      const other = yield* process()
      assert.strictEqual((yield* other.run(Saga.execute(checkout, order, o1)))._tag, "Completed")
      assert.deepStrictEqual(shop.calls, ["reserve", "ship", "ship", "receipt"])
      assert.deepStrictEqual(yield* books, { charges: 1, net: 4990, held: 0 })
    }).pipe(Effect.scoped, Effect.provide(all)))

  it.effect("an undo suspends the unwinding, and only what is open is undone later", () =>
    Effect.gen(function*() {
      const shop = yield* Shop
      shop.plan.set("ship", refusal)
      shop.plan.set("release r-1", Effect.never)
      const fiber = yield* Effect.forkChild(Saga.execute(checkout, order, o1))
      yield* settled
      assert.strictEqual(shop.calls.at(-1), "release r-1")
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* stateOf("o1"), "Compensating")
      shop.plan.clear()
      const execution = yield* Saga.execute(checkout, order, o1)
      assert.strictEqual(execution._tag, "Compensated")
      // What was refused is not tried again: the failure is durable.
      assert.deepStrictEqual(shop.calls, ["reserve", "ship", "release r-1", "release r-1"])
      assert.deepStrictEqual(yield* methods, ["authorize", "capture", "refund"])
    }).pipe(Effect.provide(all)))

  it.effect("one caller leaves the others alone; started runs go on without any", () =>
    Effect.gen(function*() {
      const shop = yield* Shop
      const gate = yield* Deferred.make<void>()
      shop.plan.set("ship", Deferred.await(gate))
      const first = yield* Effect.forkChild(Saga.execute(checkout, order, o1))
      const second = yield* Effect.forkChild(Saga.execute(checkout, order, o1))
      yield* Saga.start(checkout, order, { id: "o2" })
      assert.strictEqual(yield* stateOf("o2"), "Running")
      const third = yield* Effect.forkChild(Saga.execute(checkout, order, { id: "o2" }))
      yield* settled
      yield* Fiber.interrupt(first)
      yield* Fiber.interrupt(third)
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual((yield* Fiber.join(second))._tag, "Completed")
      assert.strictEqual((yield* Saga.result(checkout, { id: "o2" }))._tag, "Completed")
      assert.strictEqual(shop.calls.filter((name) => name === "ship").length, 2)
    }).pipe(Effect.provide(all)))

  it.effect("the process suspends all its runs, and another one recovers them at once", () =>
    Effect.gen(function*() {
      const shop = yield* Shop
      const first = yield* process()
      shop.plan.set("ship", Effect.never)
      const ids = ["o1", "o2", "o3"]
      for (const id of ids) yield* first.run(Saga.start(checkout, order, { id }))
      yield* settled
      yield* first.close
      assert.deepStrictEqual(yield* Effect.forEach(ids, (id) => stateOf(id)), ["Running", "Running", "Running"])
      shop.plan.clear()
      const second = yield* process()
      assert.strictEqual(yield* second.run(Saga.recover([checkout], { limit: 2 })), 2)
      assert.strictEqual(yield* second.run(Saga.recover([checkout])), 1)
      yield* Effect.forEach(ids, (id) => second.run(Saga.result(checkout, { id })))
      assert.deepStrictEqual(yield* Effect.forEach(ids, (id) => stateOf(id)), ["Completed", "Completed", "Completed"])
      assert.deepStrictEqual(yield* books, { charges: 3, net: 3 * 4990, held: 0 })
    }).pipe(Effect.scoped, Effect.provide(all)))
})

describe("cancelling", () => {
  it.effect("undoes what is done once the step under way has ended, and starts nothing more", () =>
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      yield* gateway.plan([TestGateway.delay("5 seconds")])
      const fiber = yield* Effect.forkChild(Saga.execute(checkout, order, o1))
      yield* settled
      const cancelled = yield* over(Saga.cancel(checkout, o1), "5 seconds")
      assert.deepStrictEqual(cancelled, {
        _tag: "Compensated",
        cause: { _tag: "Cancelled" },
        undos: [{ _tag: "Undone", step: "authorize" }, { _tag: "Undone", step: "reserve" }]
      })
      assert.deepStrictEqual(yield* Fiber.join(fiber), cancelled)
      assert.deepStrictEqual(yield* methods, ["authorize", "void"])
      assert.deepStrictEqual(yield* books, clean(1))
    }).pipe(Effect.provide(all)))

  it.effect("undoes a run that nobody drives", () =>
    Effect.gen(function*() {
      const shop = yield* Shop
      shop.plan.set("ship", Effect.never)
      const fiber = yield* Effect.forkChild(Saga.execute(checkout, order, o1))
      yield* settled
      yield* Fiber.interrupt(fiber)
      // The pivot has arrived: it goes forward, whoever wants it undone.
      shop.plan.clear()
      yield* shop.call("ship", order.orderId)
      assert.strictEqual((yield* Saga.cancel(checkout, o1))._tag, "Completed")

      const gateway = yield* TestGateway.TestGateway
      yield* gateway.plan([TestGateway.hang({ happened: true })])
      const second = yield* Effect.forkChild(Saga.execute(checkout, order, { id: "o2" }))
      yield* settled
      yield* Fiber.interrupt(second)
      const cancelled = yield* Saga.cancel(checkout, { id: "o2" })
      assert.deepInclude(cancelled, { _tag: "Compensated", cause: { _tag: "Cancelled" } })
      assert.deepStrictEqual(yield* books, { charges: 2, net: 4990, held: 0 })
    }).pipe(Effect.provide(all)))

  it.effect("reaches the process that holds the run", () =>
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      yield* gateway.plan([TestGateway.delay("5 seconds")])
      const fiber = yield* Effect.forkChild(Saga.execute(checkout, order, o1))
      yield* settled
      const other = yield* process()
      const cancelled = yield* over(other.run(Saga.cancel(checkout, o1)), "6 seconds")
      assert.deepInclude(cancelled, { _tag: "Compensated", cause: { _tag: "Cancelled" } })
      assert.deepStrictEqual(yield* Fiber.join(fiber), cancelled)
    }).pipe(Effect.scoped, Effect.provide(all)))
})

describe("a log", () => {
  /** The log, until it is down. */
  const flaky = Effect.map(SagaLog.SagaLog, (log) => {
    const state = { down: false, hangs: false, renews: true }
    const or = <A>(self: Effect.Effect<A, SagaLog.LogUnavailable>) =>
      Effect.suspend(() =>
        state.hangs
          ? Effect.never
          : state.down
          ? Effect.fail(new SagaLog.LogUnavailable({ operation: "append", detail: "down" }))
          : self
      )
    const { cancel, inbox, list, orphans, pause, read, signal, sweep } = log
    const service: SagaLog.SagaLog["Service"] = {
      cancel,
      inbox,
      list,
      orphans,
      pause,
      read,
      signal,
      sweep,
      claim: (request) => or(log.claim(request)),
      append: (request) => or(log.append(request)),
      release: (request) => or(log.release(request)),
      renew: (requests) => state.renews ? or(log.renew(requests)) : Effect.never
    }
    return { state, service }
  })

  it.effect("that cannot be written begins nothing", () =>
    Effect.gen(function*() {
      const { service, state } = yield* flaky
      state.down = true
      const first = yield* process({}, service)
      const error = yield* Effect.flip(first.run(Saga.execute(checkout, order, o1)))
      assert.strictEqual(error.reason._tag, "LogUnavailable")
      assert.deepStrictEqual(yield* shopCalls, [])
    }).pipe(Effect.scoped, Effect.provide(all)))

  for (const how of ["down", "hangs"] as const) {
    it.effect(`that is ${how} stops the saga before the next step leaves, and nothing is undone or forgotten`, () =>
      Effect.gen(function*() {
        const { service, state } = yield* flaky
        const gateway = yield* TestGateway.TestGateway
        const first = yield* process({}, service)
        yield* gateway.plan(({ method }) => {
          if (method === "authorize") state[how] = true
          return undefined
        })
        const error = yield* over(Effect.flip(first.run(Saga.execute(checkout, order, o1))), "40 seconds")
        assert.strictEqual(error.reason._tag, "Suspended")
        assert.strictEqual(error.reason._tag === "Suspended" && error.reason.by, "LogUnavailable")
        assert.deepStrictEqual(yield* methods, ["authorize"])
        assert.deepStrictEqual(yield* shopCalls, ["reserve"])
        state[how] = false
        yield* gateway.plan([])
        yield* TestClock.adjust("31 seconds")
        assert.strictEqual((yield* first.run(Saga.execute(checkout, order, o1)))._tag, "Completed")
        // It was looked up, and not charged again.
        assert.deepStrictEqual(yield* methods, ["authorize", "capture"])
        assert.strictEqual((yield* books).charges, 1)
      }).pipe(Effect.scoped, Effect.provide(all)))
  }

  it.effect("that comes back in time loses nothing", () =>
    Effect.gen(function*() {
      const { service, state } = yield* flaky
      const gateway = yield* TestGateway.TestGateway
      const first = yield* process({}, service)
      yield* gateway.plan(({ method }) => {
        if (method === "authorize") state.down = true
        return undefined
      })
      const fiber = yield* Effect.forkChild(first.run(Saga.execute(checkout, order, o1)))
      yield* settled
      yield* TestClock.adjust("5 seconds")
      state.down = false
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "Completed")
    }).pipe(Effect.scoped, Effect.provide(all)))

  it.effect("that renews no lease fences its owner, and another one takes over", () =>
    Effect.gen(function*() {
      const { service, state } = yield* flaky
      const shop = yield* Shop
      state.renews = false
      shop.plan.set("ship", Effect.never)
      const first = yield* process({}, service)
      const fiber = yield* Effect.forkChild(Effect.flip(first.run(Saga.execute(checkout, order, o1))))
      yield* settled
      const second = yield* process()
      assert.strictEqual(yield* second.run(Saga.recover([checkout])), 0)
      yield* TestClock.adjust("31 seconds")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error.reason._tag === "Suspended" && error.reason.by, "LeaseLost")
      shop.plan.clear()
      assert.strictEqual(yield* second.run(Saga.recover([checkout])), 1)
      assert.strictEqual((yield* second.run(Saga.result(checkout, o1)))._tag, "Completed")
      assert.strictEqual((yield* books).charges, 1)
    }).pipe(Effect.scoped, Effect.provide(all)))

  it.effect("that is down while it unwinds suspends all undos that are left", () =>
    Effect.gen(function*() {
      const { service, state } = yield* flaky
      const shop = yield* Shop
      shop.plan.set("ship", refusal)
      const gateway = yield* TestGateway.TestGateway
      yield* gateway.plan(({ method }) => {
        if (method === "refund") state.down = true
        return undefined
      })
      const first = yield* process({}, service)
      const error = yield* over(Effect.flip(first.run(Saga.execute(checkout, order, o1))), "20 seconds")
      assert.strictEqual(error.reason._tag, "Suspended")
      assert.deepStrictEqual(shop.calls, ["reserve", "ship"])
      state.down = false
      yield* gateway.plan([])
      yield* TestClock.adjust("31 seconds")
      const execution = yield* first.run(Saga.execute(checkout, order, o1))
      assert.strictEqual(execution._tag, "Compensated")
      assert.deepStrictEqual(yield* books, clean(1))
    }).pipe(Effect.scoped, Effect.provide(all)))

  it.effect("keeps out an owner that does not know that it has been replaced", () =>
    Effect.gen(function*() {
      const log = yield* SagaLog.SagaLog
      const gate = yield* Deferred.make<void>()
      const shop = yield* Shop
      shop.plan.set("reserve", Deferred.await(gate))
      // It believes that its lease is renewed.
      const blind = { ...log, renew: (all: ReadonlyArray<SagaLog.RenewRequest>) => Effect.succeed(all.map(() => true)) }
      const first = yield* process({}, blind)
      const fiber = yield* Effect.forkChild(Effect.flip(first.run(Saga.execute(checkout, order, o1))))
      yield* settled
      yield* TestClock.adjust("31 seconds")
      shop.plan.set("reserve", Effect.never)
      const second = yield* process()
      assert.strictEqual(yield* second.run(Saga.recover([checkout])), 1)
      yield* settled
      yield* Deferred.succeed(gate, undefined)
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error.reason._tag === "Suspended" && error.reason.by, "LeaseLost")
      assert.deepStrictEqual(shop.calls, ["reserve", "reserve"])
      assert.deepStrictEqual(yield* methods, [])
    }).pipe(Effect.scoped, Effect.provide(all)))

  it.effect("keeps the lease of a long step alive", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      ;(yield* Shop).plan.set("reserve", Deferred.await(gate))
      const fiber = yield* Effect.forkChild(Saga.execute(checkout, order, o1))
      yield* settled
      const other = yield* process()
      for (let i = 0; i < 20; i++) yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* other.run(Saga.recover([checkout])), 0)
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "Completed")
    }).pipe(Effect.scoped, Effect.provide(all)))

  it.effect("in a database does not share the transaction of its caller", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const error = yield* Effect.flip(sql.withTransaction(Saga.execute(checkout, order, o1)))
      assert.strictEqual(error._tag === "SagaError" && error.reason._tag, "InsideTransaction")
      assert.deepStrictEqual(yield* shopCalls, [])
    }).pipe(Effect.provide(
      sagas().pipe(
        Layer.provideMerge(SagaLog.layerStoreSql()),
        Layer.provideMerge(SqliteClient.layer({ filename: ":memory:" })),
        Layer.provideMerge(world)
      )
    )))
})

describe("recovery", () => {
  it.effect("resumes and unwinds orphans as they come, and leaves unknown sagas alone", () =>
    Effect.gen(function*() {
      const shop = yield* Shop
      const first = yield* process()
      const foreign = Saga.make("foreign", { payload }).pipe(
        Saga.step("a", { ...base, run: () => Effect.never, compensate })
      )
      shop.plan.set("ship", Effect.never)
      yield* first.run(Saga.start(checkout, order, o1))
      yield* first.run(Saga.start(foreign, order, { id: "f1" }))
      yield* settled
      shop.plan.set("ship", refusal)
      shop.plan.set("release r-1", Effect.never)
      yield* first.run(Saga.start(checkout, order, { id: "o2" }))
      yield* settled
      yield* first.close
      assert.strictEqual(yield* stateOf("o2"), "Compensating")
      shop.plan.clear()
      const log = yield* SagaLog.SagaLog
      yield* Effect.gen(function*() {
        yield* settled
        assert.deepStrictEqual(yield* Effect.all([stateOf("o1"), stateOf("o2")]), ["Completed", "Compensated"])
        assert.strictEqual(yield* stateOf("f1", "foreign"), "Running")
        // One that comes later is found by the next look.
        shop.plan.set("ship", Effect.never)
        const third = yield* process()
        yield* third.run(Saga.start(checkout, order, { id: "o3" }))
        yield* settled
        yield* third.close
        shop.plan.clear()
        yield* TestClock.adjust("10 seconds")
        yield* settled
        assert.strictEqual(yield* stateOf("o3"), "Completed")
      }).pipe(
        Effect.provide(
          Saga.layerRecover([checkout]).pipe(
            Layer.provide(Layer.fresh(sagas())),
            Layer.provide(Layer.succeed(SagaLog.SagaLog, log))
          )
        )
      )
    }).pipe(Effect.scoped, Effect.provide(all)))
})

describe("a saga that has changed", () => {
  const version = (
    options: { readonly a?: Schema.Codec<string, unknown>; readonly last: string; readonly gate: Effect.Effect<void> }
  ) =>
    Saga.make("versioned", { payload }).pipe(
      Saga.step("a", {
        ...base,
        success: options.a ?? Schema.String,
        run: () => Effect.as(call("a"), "a"),
        compensate
      }),
      Saga.step("b", { ...base, run: () => Effect.as(Effect.andThen(call("b"), options.gate), "b"), compensate }),
      Saga.pivot(options.last as "last", { ...base, run: () => Effect.as(call(options.last), "c") })
    )

  const begun = Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(Saga.execute(version({ last: "c", gate: Effect.never }), order, o1))
    yield* settled
    yield* Fiber.interrupt(fiber)
  })

  it.effect("goes on where all that was started is the same", () =>
    Effect.gen(function*() {
      yield* begun
      const next = version({ last: "renamed", gate: Effect.void })
      assert.strictEqual((yield* Saga.execute(next, order, o1))._tag, "Completed")
      assert.deepStrictEqual(yield* shopCalls, ["a", "b", "b", "renamed"])
      assert.strictEqual((yield* Saga.execute(next, order, o1))._tag, "Completed")
    }).pipe(Effect.provide(all)))

  it.effect("is parked by the name of what has changed otherwise, and goes on once that is mended", () =>
    Effect.gen(function*() {
      yield* begun
      const next = version({ a: Schema.String.check(Schema.isMaxLength(3)), last: "c", gate: Effect.void })
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* Saga.execute(next, order, o1), {
        _tag: "Parked",
        step: undefined,
        reason: "the definition has changed: a"
      })
      assert.deepStrictEqual(yield* shopCalls, ["a", "b"])
      const mended = version({ last: "c", gate: Effect.void })
      assert.strictEqual((yield* Saga.resume(mended, o1))._tag, "Completed")
    }).pipe(Effect.provide(all)))
})

describe("bounds", () => {
  const single = (name: string, run: () => Effect.Effect<string, Refusal | Unreachable>) =>
    Saga.make(name, { payload }).pipe(Saga.step("a", { ...base, run, compensate }))
  const fine = single("fine", () => Effect.succeed("a"))
  const reasonOf = <A, R>(self: Effect.Effect<A, Saga.SagaError, R>) =>
    Effect.map(Effect.flip(self), ({ reason }) => reason._tag)

  it.effect("refuse an id, a payload, a saga that is none", () =>
    Effect.gen(function*() {
      for (const id of ["", " a", "a".repeat(256), "ä"]) {
        assert.strictEqual(yield* reasonOf(Saga.execute(fine, order, { id })), "SagaInvalid")
      }
      assert.strictEqual(yield* reasonOf(Saga.execute(fine, { orderId: "x".repeat(300_000) }, o1)), "PayloadInvalid")
      assert.strictEqual(yield* reasonOf(Saga.execute(Saga.make("empty", { payload }), order, o1)), "SagaInvalid")
      assert.strictEqual(yield* reasonOf(Saga.execute(single("", () => Effect.succeed("a")), order, o1)), "SagaInvalid")
      let long = Saga.make("long", { payload }) as unknown as typeof fine
      for (let i = 0; i <= 100; i++) {
        long = long.pipe(Saga.step(`s${i}` as "s", { ...base, run: () => Effect.succeed("a"), compensate })) as never
      }
      assert.strictEqual(yield* reasonOf(Saga.execute(long, order, o1)), "SagaInvalid")
      const unstored = Saga.make("unstored", { payload }).pipe(
        Saga.step("a", { ...base, success: Schema.Unknown, run: () => Effect.succeed("a"), compensate })
      )
      assert.strictEqual(yield* reasonOf(Saga.execute(unstored, order, o1)), "SagaInvalid")
      assert.deepStrictEqual(yield* Saga.list(), [])
    }).pipe(Effect.provide(all)))

  it.effect("take a result that is too large for one that nobody knows", () =>
    Effect.gen(function*() {
      const execution = yield* Saga.execute(single("large", () => Effect.succeed("x".repeat(300_000))), order, o1)
      assert.deepInclude(execution, {
        _tag: "Compensated",
        cause: { _tag: "InDoubt", step: "a", detail: "the result is too large" }
      })
      assert.deepStrictEqual(yield* shopCalls, ["undo"])
    }).pipe(Effect.provide(all)))

  it.effect("hold for the runs of a process and the entries of a run", () =>
    Effect.gen(function*() {
      const small = yield* process({ runsMax: 1, entriesMax: 2 })
      const never = single("never", () => Effect.never)
      yield* small.run(Saga.start(never, order, o1))
      assert.strictEqual(yield* reasonOf(small.run(Saga.start(never, order, { id: "o2" }))), "TooManyRuns")
      const other = yield* process({ entriesMax: 2 })
      const parking = single("parking", () => refusal.pipe(Saga.park("why"), Effect.orDie))
      assert.strictEqual((yield* other.run(Saga.execute(parking, order, o1)))._tag, "Parked")
      assert.strictEqual(yield* reasonOf(other.run(Saga.resume(parking, o1))), "HistoryFull")
    }).pipe(Effect.scoped, Effect.provide(all)))

  it.effect("hold for the tries, whatever a schedule says", () =>
    Effect.gen(function*() {
      const saga = Saga.make("eager", { payload }).pipe(
        Saga.step("a", { ...base, run: () => Effect.as(call("a"), "a"), compensate, schedule: Schedule.forever })
      )
      ;(yield* Shop).plan.set("a", unreachable)
      assert.strictEqual((yield* over(Saga.execute(saga, order, o1), "1 second"))._tag, "Compensated")
      assert.strictEqual((yield* shopCalls).length, 100)
    }).pipe(Effect.provide(all)))

  it.effect("let what has ended go after its retention", () =>
    Effect.gen(function*() {
      yield* Saga.execute(fine, order, o1)
      yield* TestClock.adjust("29 days")
      assert.strictEqual((yield* Saga.list()).length, 1)
      yield* TestClock.adjust("2 days")
      assert.strictEqual((yield* Saga.list()).length, 0)
    }).pipe(Effect.provide(sagas({ sweepEvery: "1 hour" }).pipe(Layer.provideMerge(world)))))
})

describe("ends", () => {
  it.effect("are results or errors", () =>
    Effect.gen(function*() {
      const shop = yield* Shop
      const { ship } = yield* Saga.execute(checkout, order, o1).pipe(Saga.assertSucceeded)
      assert.deepStrictEqual(ship, { parcel: "p-1" })
      shop.plan.set("ship", refusal)
      const failed = Saga.execute(checkout, order, { id: "o2" }).pipe(
        (self) => Saga.assertSucceeded(self, { saga: "checkout" }),
        Effect.catchReason("SagaFailed", "Compensated", ({ cause }) => Effect.succeed(cause))
      )
      assert.deepStrictEqual(yield* failed, {
        _tag: "Failed",
        step: "ship",
        error: new Refusal({ why: "no" }),
        detail: "Refusal"
      })
      shop.plan.set("release r-1", refusal)
      const stuck = yield* Effect.flip(
        Saga.assertSucceeded(Saga.execute(checkout, order, { id: "o3" }), { saga: "checkout" })
      )
      if (stuck._tag !== "SagaFailed") return assert.fail(stuck._tag)
      assert.strictEqual(stuck.disposition, "Unknown")
      assert.strictEqual(
        stuck.message,
        `saga "checkout" could not be undone: "reserve" (Refusal) failed, after "ship" failed: Refusal. Someone has to look`
      )
    }).pipe(Effect.provide(all)))

  it("are drawn with names that Mermaid could take for markup", () => {
    const name = "1. a#b;<c>\"`d`\n- [e](f) & **g**"
    const drawn = Saga.toMermaid(
      Saga.make("names", { payload }).pipe(
        Saga.step("- é-1_x", { ...base, run: () => Effect.succeed(""), compensate }),
        Saga.pivot(name as "name", { ...base, run: () => Effect.succeed("") })
      )
    ).split("\n")
    assert.strictEqual(drawn[2], `  s0["#45; é-1_x"]`)
    const label = /^  s1\{\{"(.*)"\}\}$/.exec(drawn[3] ?? "")?.[1] ?? ""
    assert.match(label, /^(?:[\p{L}\p{N} _-]|#\d+;)+$/u)
    assert.strictEqual(label.replace(/#(\d+);/g, (_, code) => String.fromCodePoint(Number(code))), name)
    assert.lengthOf(drawn, 12)
  })

  it("are drawn", () => {
    assert.strictEqual(
      Saga.toMermaid(checkout),
      `flowchart TD
  start([start])
  s0["reserve"]
  s1["authorize"]
  s2["capture"]
  s3{{"ship"}}
  s4(["receipt"])
  start --> s0
  s0 --> s1
  s1 --> s2
  s2 --> s3
  s3 --> s4
  s4 --> completed([completed])
  u0["undo reserve"]
  u1["undo authorize"]
  u2["undo capture"]
  s0 -. fails .-> u0
  s1 -. fails .-> u1
  s2 -. fails .-> u2
  s3 -. fails .-> u2
  u0 --> compensated
  u1 --> u0
  u2 --> u1
  compensated([compensated])`
    )
  })
})
