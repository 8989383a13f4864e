import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Deferred, Effect, Exit, Fiber, Layer, Logger, Schedule, Schema, Scope } from "effect"
import { Card, Money, PaymentError, PaymentGateway, Resilience, Saga, SagaLog } from "effect-payments"
import { TestGateway } from "effect-payments/testing"
import { TestClock } from "effect/testing"
import { checkout, Refusal, sagas, Shop, ShopError, Unreachable, world } from "./checkout.ts"
import { over, settled } from "./time.ts"

const all = sagas().pipe(Layer.provideMerge(world))
const order = { orderId: "1" }
const o1 = { id: "o1" }
const gateway = PaymentGateway.PaymentGateway
const money = Money.makeUnsafe("EUR", "50.00")
const token = Card.CardToken.make("tok_visa")
const authorize = Effect.flatMap(gateway, (gateway) => gateway.authorize({ token, money }))
const payload = Schema.Struct({ orderId: Schema.String })
const base = { success: Schema.String, error: ShopError, verify: "rerun" } as const
const call = (name: string) => Effect.flatMap(Shop, (shop) => shop.call(name))
const compensate = () => call("undo")

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

describe("a doubt that is swallowed", () => {
  it.effect("by a step is one all the same", () =>
    Effect.gen(function*() {
      const test = yield* TestGateway.TestGateway
      yield* test.plan([TestGateway.failAfter])
      const told: Array<string> = []
      const saga = Saga.make("swallowing", { payload }).pipe(
        Saga.step("a", {
          ...base,
          error: PaymentError.PaymentError,
          verify: () => Effect.succeed(PaymentGateway.stillUnknown),
          run: () => Effect.as(Effect.ignore(authorize), "fine"),
          compensate: (outcome) => Effect.sync(() => void told.push(outcome._tag))
        })
      )
      const execution = yield* over(Saga.execute(saga, order, o1), "20 seconds")
      assert.strictEqual(execution._tag, "Compensated")
      assert.deepStrictEqual(told, ["InDoubt"])
    }).pipe(Effect.provide(all)))

  it.effect("by an undo does not count as undone", () =>
    Effect.gen(function*() {
      const test = yield* TestGateway.TestGateway
      yield* test.plan(({ method }) => method === "void" ? TestGateway.failAfter : undefined)
      const saga = Saga.make("swallowing", { payload }).pipe(
        Saga.step("a", {
          success: PaymentGateway.Transaction,
          error: PaymentError.PaymentError,
          verify: "rerun",
          run: () => authorize,
          compensate: (outcome) =>
            outcome._tag === "Done"
              ? Effect.ignore(Effect.flatMap(gateway, (gateway) => gateway.void({ transactionId: outcome.result.id })))
              : Effect.void
        }),
        Saga.pivot("p", { ...base, run: (): Effect.Effect<string, Refusal> => Effect.fail(new Refusal({ why: "no" })) })
      )
      const execution = yield* over(Saga.execute(saga, order, o1), "20 seconds")
      assert.strictEqual(execution._tag, "FailedCompensation")
    }).pipe(Effect.provide(all)))
})

describe("a look-up", () => {
  it.effect("by one phase does not speak for a step that sent two", () =>
    Effect.gen(function*() {
      const test = yield* TestGateway.TestGateway
      yield* test.plan(({ method }) => method === "capture" ? TestGateway.lostRequest : undefined)
      const saga = Saga.make("both", { payload }).pipe(
        Saga.pivot("p", {
          success: PaymentGateway.Transaction,
          error: PaymentError.PaymentError,
          verify: Saga.verifyByLookup({ phase: "authorize" }),
          run: () =>
            Effect.flatMap(authorize, ({ id }) =>
              Effect.flatMap(gateway, (gateway) => gateway.capture({ transactionId: id })))
        })
      )
      const execution = yield* over(Saga.execute(saga, order, o1), "10 seconds")
      assert.deepInclude(execution, { _tag: "Parked", reason: "in doubt: PaymentError/NetworkError" })
    }).pipe(Effect.provide(all)))

  it.effect("that would settle never or at once is refused before anything begins", () =>
    Effect.gen(function*() {
      for (const settle of [Number.NaN, 0, -1, Number.POSITIVE_INFINITY]) {
        const saga = Saga.make("unsettled", { payload }).pipe(
          Saga.pivot("p", {
            success: PaymentGateway.Transaction,
            error: PaymentError.PaymentError,
            verify: Saga.verifyByLookup({ phase: "authorize", settle }),
            run: () => authorize
          })
        )
        assert.strictEqual((yield* Effect.flip(Saga.execute(saga, order, o1))).reason._tag, "SagaInvalid")
      }
      assert.deepStrictEqual(yield* Saga.list(), [])
    }).pipe(Effect.provide(all)))
})

describe("the id of a run", () => {
  it.effect("is tied to its payload also where the run is cancelled or resumed here", () =>
    Effect.gen(function*() {
      const shop = yield* Shop
      shop.plan.set("receipt", Effect.fail(new Refusal({ why: "no" })))
      yield* Saga.execute(checkout, order, o1)
      const gate = yield* Deferred.make<void>()
      shop.plan.set("receipt", Deferred.await(gate))
      const resumed = yield* Effect.forkChild(Saga.resume(checkout, o1))
      yield* settled
      const other = yield* Effect.forkChild(Effect.flip(Saga.execute(checkout, { orderId: "2" }, o1)))
      const early = yield* Effect.forkChild(Saga.execute(checkout, order, o1))
      yield* settled
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual((yield* Fiber.join(resumed))._tag, "Completed")
      assert.strictEqual((yield* Fiber.join(early))._tag, "Completed")
      assert.strictEqual((yield* Fiber.join(other)).reason._tag, "IdConflict")
    }).pipe(Effect.provide(all)))

  it.effect("answers start at once where another process drives the run", () =>
    Effect.gen(function*() {
      const shop = yield* Shop
      shop.plan.set("reserve", Effect.never)
      yield* Saga.start(checkout, order, o1)
      yield* settled
      const other = yield* process()
      const fiber = yield* Effect.forkChild(other.run(Saga.start(checkout, order, o1)))
      yield* settled
      assert.isTrue(fiber.pollUnsafe()?._tag === "Success")
    }).pipe(Effect.scoped, Effect.provide(all)))

  it.effect("is joined by a caller who comes while the last one's interruption suspends the run", () =>
    Effect.gen(function*() {
      const shop = yield* Shop
      const ended = yield* Deferred.make<void>()
      const gate = yield* Deferred.make<void>()
      shop.plan.set(
        "reserve",
        Effect.onInterrupt(Effect.never, () => Effect.andThen(Deferred.succeed(ended, undefined), Deferred.await(gate)))
      )
      const first = yield* Effect.forkChild(Saga.execute(checkout, order, o1))
      yield* settled
      const stopping = yield* Effect.forkChild(Fiber.interrupt(first))
      yield* Deferred.await(ended)
      const second = yield* Effect.forkChild(Saga.execute(checkout, order, o1))
      yield* settled
      shop.plan.clear()
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(stopping)
      assert.strictEqual((yield* Fiber.join(second))._tag, "Completed")
    }).pipe(Effect.provide(all)))

  it.effect("answers its waiters with an error when the process stops, and interrupts nobody", () =>
    Effect.gen(function*() {
      const shop = yield* Shop
      shop.plan.set("reserve", Effect.never)
      yield* Saga.start(checkout, order, o1)
      yield* settled
      const other = yield* process()
      const polling = yield* Effect.forkChild(other.run(Saga.execute(checkout, order, o1)))
      const driving = yield* Effect.forkChild(other.run(Saga.execute(checkout, order, { id: "o2" })))
      yield* settled
      yield* other.close
      for (const fiber of [polling, driving]) {
        const exit = yield* Fiber.await(fiber)
        const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
        assert.instanceOf(error, Saga.SagaError)
        assert.strictEqual(error.reason._tag, "Suspended")
      }
    }).pipe(Effect.scoped, Effect.provide(all)))
})

describe("what a user's function does wrong", () => {
  it.effect("a verification that answers nonsense does not know", () =>
    Effect.gen(function*() {
      for (const [index, answer] of [undefined, null, 1, { _tag: "Maybe" }, {}].entries()) {
        const saga = Saga.make(`nonsense${index}`, { payload }).pipe(
          Saga.pivot("p", { ...base, verify: () => Effect.succeed(answer as never), run: () => Effect.die("x") })
        )
        const execution = yield* over(Saga.execute(saga, order, o1), "10 seconds")
        assert.deepStrictEqual(execution, { _tag: "Parked", step: "p", reason: "in doubt: defect string" })
      }
    }).pipe(Effect.provide(all)))

  it.effect("a schedule that dies has no more tries", () =>
    Effect.gen(function*() {
      const dying = Schedule.modifyDelay(Schedule.forever, () => Effect.die(new TypeError("x")))
      const saga = Saga.make("dying", { payload }).pipe(
        Saga.step("a", {
          ...base,
          run: () => Effect.as(call("a"), "a"),
          schedule: dying,
          undoSchedule: dying,
          compensate
        }),
        Saga.step("b", { ...base, run: () => Effect.as(call("b"), "b"), schedule: dying, compensate })
      )
      const shop = yield* Shop
      shop.plan.set("b", Effect.fail(new Unreachable()))
      shop.plan.set("undo", Effect.fail(new Unreachable()))
      const execution = yield* Saga.execute(saga, order, o1)
      assert.strictEqual(execution._tag, "FailedCompensation")
    }).pipe(Effect.provide(all)))

  it.effect("a pause without an end is the last try", () =>
    Effect.gen(function*() {
      const saga = Saga.make("endless", { payload }).pipe(
        Saga.step("a", {
          ...base,
          run: () => Effect.as(call("a"), "a"),
          schedule: Schedule.spaced("Infinity" as never),
          compensate
        })
      )
      ;(yield* Shop).plan.set("a", Effect.fail(new Unreachable()))
      assert.strictEqual((yield* Saga.execute(saga, order, o1))._tag, "Compensated")
    }).pipe(Effect.provide(all)))

  it.effect("a gateway that asks for a year of patience gets an hour", () =>
    Effect.gen(function*() {
      const test = yield* TestGateway.TestGateway
      yield* test.plan([TestGateway.rateLimit("365 days")])
      const execution = yield* over(Saga.execute(checkout, order, o1), "1 hour")
      assert.strictEqual(execution._tag, "Completed")
    }).pipe(Effect.provide(all)))

  it.effect("a step that hangs and cannot be interrupted is waited for, and told of", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const lines: Array<string> = []
      const logger = Logger.layer([Logger.make(({ logLevel, message }) => void lines.push(`${logLevel} ${message}`))])
      const saga = Saga.make("stubborn", { payload }).pipe(
        Saga.step("a", {
          ...base,
          verify: () => Effect.succeed(PaymentGateway.happened("a")),
          timeout: "1 minute",
          run: () => Effect.uninterruptible(Effect.as(Deferred.await(gate), "a")),
          compensate
        })
      )
      const fiber = yield* Effect.forkChild(Effect.provide(Saga.execute(saga, order, o1), logger))
      yield* settled
      yield* TestClock.adjust("89 seconds")
      yield* settled
      assert.deepStrictEqual(lines, [])
      yield* TestClock.adjust("1 second")
      yield* settled
      assert.deepStrictEqual(lines, ["Error a step of a saga is over its time and does not let itself be interrupted"])
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "Completed")
    }).pipe(Effect.provide(all)))
})

describe("a lease that is gone", () => {
  /** A process that may be frozen: then its monotonic clock has gone on when it wakes up, and its timers have not. */
  const frozen = Effect.gen(function*() {
    const clock = yield* Clock.Clock
    const state = { nanos: 0n }
    const own: Clock.Clock = {
      ...clock,
      monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe() + state.nanos
    }
    return {
      freeze: (seconds: number) => Effect.sync(() => void (state.nanos += BigInt(seconds) * 1_000_000_000n)),
      own
    }
  })

  it.effect("lets nothing more leave when the process wakes up between two tries of a step", () =>
    Effect.gen(function*() {
      const { freeze, own } = yield* frozen
      const shop = yield* Shop
      shop.plan.set("reserve", Effect.fail(new Unreachable()))
      const first = yield* Effect.provideService(process(), Clock.Clock, own)
      const fiber = yield* Effect.forkChild(Effect.flip(first.run(Saga.execute(checkout, order, o1))))
      yield* settled
      yield* freeze(60)
      yield* TestClock.adjust("2 seconds")
      const { reason } = yield* Fiber.join(fiber)
      assert.strictEqual(reason._tag === "Suspended" && reason.by, "LeaseLost")
      assert.deepStrictEqual(shop.calls, ["reserve"])
    }).pipe(Effect.scoped, Effect.provide(all)))

  it.effect("lets nothing more leave when the process wakes up between two tries of an undo", () =>
    Effect.gen(function*() {
      const { freeze, own } = yield* frozen
      const shop = yield* Shop
      shop.plan.set("ship", Effect.fail(new Refusal({ why: "no" })))
      shop.plan.set("release r-1", Effect.fail(new Unreachable()))
      const first = yield* Effect.provideService(process(), Clock.Clock, own)
      const fiber = yield* Effect.forkChild(Effect.flip(first.run(Saga.execute(checkout, order, o1))))
      yield* settled
      yield* freeze(60)
      yield* TestClock.adjust("2 seconds")
      const { reason } = yield* Fiber.join(fiber)
      assert.strictEqual(reason._tag === "Suspended" && reason.by, "LeaseLost")
      assert.deepStrictEqual(shop.calls, ["reserve", "ship", "release r-1"])
    }).pipe(Effect.scoped, Effect.provide(all)))
})

describe("options", () => {
  const refused = (options: Saga.Options) =>
    Effect.map(
      Effect.exit(Effect.scoped(Layer.build(Layer.fresh(sagas(options))))),
      (exit) => Exit.isFailure(exit) && Cause.squash(exit.cause) instanceof Resilience.InvalidOption
    )
  it.effect("out of bounds are refused when the layer is built", () =>
    Effect.gen(function*() {
      const numbers = [Number.NaN, 0, -1, 1.5, Number.POSITIVE_INFINITY]
      const durations = [Number.NaN, 0, -1, Number.POSITIVE_INFINITY, "soon"]
      const missed: Array<string> = []
      for (const option of ["payloadLimitBytes", "resultLimitBytes", "entriesMax", "runsMax"]) {
        for (const value of numbers) if (!(yield* refused({ [option]: value }))) missed.push(`${option} ${value}`)
      }
      for (const option of ["lease", "logTimeout", "retention", "redefinedAfter", "sweepEvery"]) {
        for (const value of durations) if (!(yield* refused({ [option]: value }))) missed.push(`${option} ${value}`)
      }
      assert.deepStrictEqual(missed, [])
    }).pipe(Effect.provide(world)))

  it.effect("of recovery out of bounds are refused when the layer is built", () =>
    Effect.gen(function*() {
      const missed: Array<string> = []
      for (
        const options of [
          { concurrency: Number.NaN },
          { concurrency: 0 },
          { concurrency: 2.5 },
          { concurrency: 1001 },
          { every: 0 },
          { every: Number.NaN },
          { every: Number.POSITIVE_INFINITY }
        ]
      ) {
        const exit = yield* Effect.exit(Effect.scoped(Layer.build(Saga.layerRecover([checkout], options))))
        if (Exit.isSuccess(exit)) missed.push(JSON.stringify(options))
      }
      assert.deepStrictEqual(missed, [])
    }).pipe(Effect.provide(all)))
})

describe("the log", () => {
  it.effect("that hangs does not stop recovery for good", () =>
    Effect.gen(function*() {
      const log = yield* SagaLog.SagaLog
      ;(yield* Shop).plan.set("ship", Effect.never)
      let hangs = false
      // It does not know that its lease is gone, and finds its own run among the orphans.
      const blind = yield* process({ lease: "10 seconds" }, {
        ...log,
        renew: (all) => Effect.succeed(all.map(() => true)),
        release: (run) => hangs ? Effect.never : log.release(run)
      })
      yield* blind.run(Saga.start(checkout, order, o1))
      yield* settled
      yield* TestClock.adjust("20 seconds")
      hangs = true
      const fiber = yield* Effect.forkChild(blind.run(Saga.recover([checkout])))
      yield* settled
      yield* TestClock.adjust("2 seconds")
      yield* settled
      assert.deepStrictEqual(fiber.pollUnsafe(), Exit.succeed(0))
      hangs = false
    }).pipe(Effect.scoped, Effect.provide(all)))

  it.effect("lets go of all that is old enough, however much it is", () =>
    Effect.gen(function*() {
      const fine = Saga.make("fine", { payload }).pipe(
        Saga.step("a", { ...base, run: () => Effect.succeed("a"), compensate })
      )
      yield* Effect.forEach(Array.from({ length: 2500 }), (_, i) => Saga.execute(fine, order, { id: `o${i}` }), {
        discard: true
      })
      yield* TestClock.adjust("31 days")
      assert.strictEqual((yield* Saga.list()).length, 0)
    }).pipe(Effect.provide(sagas({ sweepEvery: "30 days" }).pipe(Layer.provideMerge(world)))))
})

describe("a result", () => {
  it.effect("is what its schema keeps, the first time too", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const saga = Saga.make("lean", { payload }).pipe(
        Saga.step("a", {
          ...base,
          success: Schema.Struct({ id: Schema.String }),
          run: () => Effect.succeed({ id: "1", body: "4111 1111 1111 1111" }),
          compensate
        }),
        Saga.pivot("b", { ...base, run: ({ a }) => Effect.sync(() => (seen.push(a), "b")) })
      )
      const first = yield* Saga.execute(saga, order, o1)
      assert.deepStrictEqual(seen, [{ id: "1" }])
      assert.deepStrictEqual(yield* Saga.execute(saga, order, o1), first)
    }).pipe(Effect.provide(all)))
})
