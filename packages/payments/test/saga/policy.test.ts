/** What becomes of a saga at a failure, as its definition says: undone, parked, and what becomes of steps beside it. */
import { NodeCrypto } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, Logger, Schema } from "effect"
import { PaymentGateway, Saga, SagaLog } from "effect-payments"
import { SagaTest } from "effect-payments/testing"
import { TestClock } from "effect/testing"
import { Refusal, Shop, ShopError, shopLayer } from "./checkout.ts"
import { processWith } from "./process.ts"
import { settled } from "./time.ts"

const o1 = { id: "o1" }
const call = (name: string) => Effect.flatMap(Shop, (shop) => shop.call(name))
const calls = Effect.map(Shop, ({ calls }) => [...calls])
const processOf = processWith(Layer.empty)
const refused = new Refusal({ why: "b" })

/** What a look at each step finds. */
class Found extends Context.Service<Found, Map<string, Saga.Verdict<any, any>>>()("test/Found") {}
const find = (name: string) =>
  Effect.andThen(
    call(`find ${name}`),
    Effect.map(Found, (found): Saga.Verdict<any, any> => found.get(name) ?? PaymentGateway.neverHappened)
  )

const world = Layer.mergeAll(
  SagaLog.layerStoreMemory(),
  shopLayer,
  Layer.sync(Found, () => new Map()),
  NodeCrypto.layer,
  Logger.layer([])
)

const namesOf = (execution: Saga.Execution<unknown, unknown>) =>
  "undos" in execution ? execution.undos.map(({ _tag, step }) => `${_tag} ${step}`) : []

describe("interruptSiblings", () => {
  const branchOf = (name: string) =>
    Saga.branch({
      success: Schema.String,
      error: ShopError,
      verify: () => find(name),
      run: () => Effect.as(call(name), name),
      compensate: (outcome) => call(`undo ${name} ${outcome._tag}`)
    })
  const grouped = Saga.make("hurried", { payload: Schema.String }).pipe(
    Saga.parallel({ a: branchOf("a"), b: branchOf("b"), c: branchOf("c"), d: branchOf("d") }, {
      interruptSiblings: true
    })
  )
  const execute = Saga.execute(grouped, "x", o1)

  it.effect("ends the others at a refusal, looks them up, and undoes what happened", () =>
    Effect.gen(function*() {
      const { run } = yield* processOf
      const { plan } = yield* Shop
      const fails = yield* Deferred.make<never, Refusal>()
      plan.set("a", Effect.never)
      plan.set("b", Deferred.await(fails))
      plan.set("c", Effect.never)
      ;(yield* Found).set("a", PaymentGateway.happened("a, late"))
      const fiber = yield* Effect.forkChild(run(execute))
      yield* settled
      // What has happened before is as it is.
      assert.deepStrictEqual(yield* calls, ["a", "b", "c", "d"])
      yield* Deferred.fail(fails, refused)
      const execution = yield* Fiber.join(fiber)
      assert.deepInclude("cause" in execution ? execution.cause : {}, { _tag: "Failed", step: "b" })
      assert.deepStrictEqual(namesOf(execution), ["Undone d", "Skipped c", "Undone a"])
      assert.deepStrictEqual(
        (yield* calls).slice(4),
        ["undo d Done", "find c", "find a", "undo a Done"]
      )
    }).pipe(Effect.provide(world)))

  it.effect("waits for one that does not let itself be interrupted, and keeps what it did", () =>
    Effect.gen(function*() {
      const { run } = yield* processOf
      const { plan } = yield* Shop
      const fails = yield* Deferred.make<never, Refusal>()
      const ends = yield* Deferred.make<string>()
      plan.set("a", Effect.uninterruptible(Deferred.await(ends)))
      plan.set("b", Deferred.await(fails))
      ;(yield* Found).set("a", PaymentGateway.happened("a"))
      const fiber = yield* Effect.forkChild(run(execute))
      yield* settled
      yield* Deferred.fail(fails, refused)
      yield* settled
      assert.deepStrictEqual((yield* calls).filter((name) => name.startsWith("undo")), [])
      yield* Deferred.succeed(ends, "a")
      assert.deepStrictEqual(namesOf(yield* Fiber.join(fiber)), ["Undone d", "Undone c", "Undone a"])
    }).pipe(Effect.provide(world)))

  it.live("keeps the promises of a group in all schedules of one crash and one fault", () =>
    Effect.gen(function*() {
      const kept = (name: string) =>
        Saga.branch({
          success: Schema.Void,
          error: ShopError,
          verify: "rerun",
          run: () =>
            Effect.andThen(
              Effect.sleep(name === "stock" ? "2 seconds" : "1 second"),
              Effect.asVoid(Effect.flatMap(SagaTest.Ledger, ({ done }) => done(name, "o1")))
            ),
          compensate: () => Effect.flatMap(SagaTest.Ledger, ({ undone }) => undone(name, "o1"))
        })
      const beside = Saga.make("hurried beside", { payload: Schema.Struct({}) }).pipe(
        Saga.parallel({ stock: kept("stock"), courier: kept("courier") }, { interruptSiblings: true }),
        Saga.pivot("ship", { success: Schema.Void, error: ShopError, run: () => Effect.void, verify: "rerun" })
      )
      const small = { payload: {}, layer: SagaTest.layerLedger }
      const report = yield* SagaTest.explore(beside, small, { depth: 1, faults: 1 })
      assert.isTrue(report.isComplete)
      assert.hasAnyKeys(report.states, ["Compensated"])
      assert.property(report.coverage["run courier"], "refuse")
    }), 120_000)
})

describe("onFailure", () => {
  const sagaOf = (onFailure: "compensate" | "park" | ((error: typeof ShopError.Type) => "compensate" | "park")) =>
    Saga.make("decided", { payload: Schema.String }).pipe(
      Saga.step("first", {
        success: Schema.Void,
        error: ShopError,
        verify: "rerun",
        run: () => Effect.asVoid(call("first")),
        compensate: () => call("undo first")
      }),
      Saga.step("second", {
        success: Schema.Void,
        error: ShopError,
        verify: () => find("second"),
        run: () => Effect.asVoid(call("second")),
        compensate: () => call("undo second"),
        onFailure
      })
    )
  const executed = (
    saga: ReturnType<typeof sagaOf>,
    planned: Effect.Effect<never, Refusal> = Effect.fail(refused)
  ) =>
    Effect.gen(function*() {
      const { run } = yield* processOf
      const { plan } = yield* Shop
      plan.set("second", planned)
      const found = yield* Found
      found.set("second", { _tag: "Refused", error: refused })
      return { run, plan, found, execution: yield* run(Saga.execute(saga, "x", o1)) }
    })

  it.effect("undoes unless it is set, and as it says", () =>
    Effect.gen(function*() {
      const { execution } = yield* executed(sagaOf("compensate"))
      assert.deepStrictEqual(namesOf(execution), ["Undone first"])
    }).pipe(Effect.provide(world)))

  it.effect("parks, undoes nothing, and goes on when it is resumed", () =>
    Effect.gen(function*() {
      const saga = sagaOf("park")
      const { execution, found, plan, run } = yield* executed(saga)
      assert.deepStrictEqual(execution, { _tag: "Parked", step: "second", reason: "Refusal" })
      plan.delete("second")
      found.delete("second")
      assert.strictEqual((yield* run(Saga.resume(saga, o1)))._tag, "Completed")
      assert.deepStrictEqual(yield* calls, ["first", "second", "second"])
    }).pipe(Effect.provide(world)))

  it.effect("parks, and is undone when someone cancels it", () =>
    Effect.gen(function*() {
      const saga = sagaOf("park")
      const { run } = yield* executed(saga)
      yield* run(Saga.cancel(saga, o1))
      const execution = yield* run(Saga.result(saga, o1))
      assert.strictEqual(execution._tag, "Compensated")
      assert.deepStrictEqual(yield* calls, ["first", "second", "undo first"])
    }).pipe(Effect.provide(world)))

  it.effect("goes by the error, also where a look-up finds it", () =>
    Effect.gen(function*() {
      const saga = sagaOf((error) => error._tag === "Refusal" ? "park" : "compensate")
      const { execution } = yield* executed(saga, Effect.die(new Error("the reply was lost")))
      assert.deepStrictEqual(execution, { _tag: "Parked", step: "second", reason: "Refusal" })
      assert.deepStrictEqual(yield* calls, ["first", "second", "find second"])
    }).pipe(Effect.provide(world)))

  it.effect("parks where it throws", () =>
    Effect.gen(function*() {
      const { execution } = yield* executed(sagaOf(() => {
        throw new Error("no policy for that")
      }))
      assert.deepStrictEqual(execution, { _tag: "Parked", step: "second", reason: "Refusal" })
    }).pipe(Effect.provide(world)))

  it.effect("gives way beside a step that is undone, and writes the refusal down", () =>
    Effect.gen(function*() {
      const branch = (name: string, onFailure?: "park") =>
        Saga.branch({
          success: Schema.Void,
          error: ShopError,
          verify: "rerun",
          run: () => Effect.asVoid(call(name)),
          compensate: () => call(`undo ${name}`),
          ...onFailure === undefined ? {} : { onFailure }
        })
      const saga = Saga.make("both", { payload: Schema.String }).pipe(
        Saga.parallel({ parks: branch("parks", "park"), fails: branch("fails"), stands: branch("stands") })
      )
      const { run } = yield* processOf
      const { plan } = yield* Shop
      plan.set("parks", Effect.fail(refused))
      plan.set("fails", Effect.fail(refused))
      const execution = yield* run(Saga.execute(saga, "x", o1))
      assert.deepInclude("cause" in execution ? execution.cause : {}, { _tag: "Failed", step: "fails" })
      assert.deepStrictEqual(namesOf(execution), ["Undone stands"])
    }).pipe(Effect.provide(world)))
})

describe("onStuck", () => {
  const saga = Saga.make("stuck", { payload: Schema.String }).pipe(
    Saga.step("only", {
      success: Schema.Void,
      error: ShopError,
      verify: "rerun",
      run: () => Effect.asVoid(call("only")),
      compensate: () => Effect.void,
      onFailure: "park"
    })
  )
  const executed = (onStuck: (stuck: Saga.Stuck) => Effect.Effect<unknown, unknown>) =>
    Effect.gen(function*() {
      const { plan } = yield* Shop
      plan.set("only", Effect.fail(refused))
      const fiber = yield* Effect.forkChild(
        Effect.provide(Saga.execute(saga, "x", o1), Layer.fresh(Saga.layer({ sweepEvery: false, onStuck })))
      )
      yield* settled
      yield* TestClock.adjust("11 seconds")
      return yield* Fiber.join(fiber)
    }).pipe(Effect.provide(world))
  const parked = { _tag: "Parked", step: "only", reason: "Refusal" } as const

  it.effect("is told what waits for someone", () =>
    Effect.gen(function*() {
      const told: Array<Saga.Stuck> = []
      assert.deepStrictEqual(yield* executed((stuck) => Effect.sync(() => told.push(stuck))), parked)
      assert.deepStrictEqual(told, [{ saga: "stuck", id: "o1", execution: parked }])
    }))

  for (
    const [name, alarm] of [
      ["fails", () => Effect.fail("no answer")],
      ["throws", () => {
        throw new Error("no pager")
      }],
      ["hangs", () => Effect.never]
    ] as const
  ) {
    it.effect(`changes nothing when it ${name}`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* executed(alarm), parked)
      }))
  }
})
