/** Processes of different versions over one log: what a process does with runs that another definition has begun. */
import { SqliteClient } from "@effect-payments/sqlite"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Logger, Metric, Schema, Scope } from "effect"
import { Saga, SagaLog } from "effect-payments"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { runId } from "../../src/internal/saga/record.ts"
import { Refusal, sagas, Shop, ShopError, shopLayer } from "./checkout.ts"
import { settled } from "./time.ts"

const o1 = { id: "o1" }
const call = (name: string) => Effect.flatMap(Shop, (shop) => shop.call(name))
const base = { success: Schema.String, error: ShopError, verify: "rerun" } as const
const undone = () => call("undo")

const begin = Saga.make("versioned", { payload: Schema.String }).pipe(
  Saga.step("a", { ...base, run: () => Effect.as(call("a"), "a"), compensate: undone })
)
const older = begin.pipe(Saga.pivot("c", { ...base, run: () => Effect.as(call("c"), "c") }))
const newer = begin.pipe(
  Saga.step("b", { ...base, run: () => Effect.as(call("b"), "b"), compensate: undone }),
  Saga.pivot("c", { ...base, run: () => Effect.as(call("c"), "c") })
)
const renamed = Saga.make("versioned", { payload: Schema.String }).pipe(
  Saga.pivot("d", { ...base, run: () => Effect.as(call("d"), "d") })
)

/** A process that recovers the sagas it knows. */
const processOf = (saga: typeof older | typeof newer | typeof renamed) =>
  Effect.gen(function*() {
    const scope = yield* Scope.fork(yield* Effect.scope)
    const log = Layer.succeed(SagaLog.SagaLog, yield* SagaLog.SagaLog)
    const layer = Saga.layerRecover([saga as typeof newer]).pipe(
      Layer.provideMerge(Layer.fresh(sagas({ awaitAtMost: "1 second" }))),
      Layer.provide(log)
    )
    const context = yield* Layer.buildWithScope(layer, scope)
    return {
      run: <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, Exclude<R, Saga.Sagas>> =>
        Effect.provide(self, context),
      close: Scope.close(scope, Exit.void)
    }
  })

const stateOf = (id: string) =>
  Effect.flatMap(
    SagaLog.SagaLog,
    (log) => Effect.map(log.list({ limit: 100 }), (runs) => runs.find((run) => run.id === id)?.state)
  )

/** Begun by this definition, and suspended in its step `at`. */
const suspendedAt = (saga: typeof older | typeof newer, at: string, ids: ReadonlyArray<string> = ["o1"]) =>
  Effect.gen(function*() {
    const { plan } = yield* Shop
    plan.set(at, Effect.never)
    const scope = yield* Scope.make()
    const context = yield* Layer.buildWithScope(Layer.fresh(sagas()), scope)
    const fibers = yield* Effect.forEach(
      ids,
      (id) => Effect.forkChild(Effect.provide(Saga.execute(saga as typeof newer, "p", { id }), context))
    )
    yield* settled
    yield* Fiber.interruptAll(fibers)
    yield* Scope.close(scope, Exit.void)
    plan.delete(at)
  })

const world = Layer.mergeAll(shopLayer, SagaLog.layerStoreMemory())

describe("a run of a newer definition", () => {
  it.effect("is left alone by an older process, and finished by one that knows it", () =>
    Effect.gen(function*() {
      const shop = yield* Shop
      yield* suspendedAt(newer, "b")
      const old = yield* processOf(older)
      yield* TestClock.adjust("2 minutes")
      yield* settled
      assert.strictEqual(yield* stateOf("o1"), "Running")
      const refused = yield* Effect.flip(old.run(Saga.execute(older, "p", o1)))
      assert.deepInclude(refused.reason, { _tag: "Redefined", detail: "b" })
      assert.strictEqual(refused.disposition, "Unknown")
      assert.strictEqual(yield* stateOf("o1"), "Running")
      const next = yield* processOf(newer)
      yield* settled
      const execution = yield* next.run(Saga.result(newer, o1))
      assert.deepStrictEqual(execution, { _tag: "Completed", results: { payload: "p", a: "a", b: "b", c: "c" } })
      assert.deepStrictEqual([...shop.calls], ["a", "b", "b", "c"])
    }).pipe(Effect.scoped, Effect.provide(world)))

  it.effect("does not keep an older process from what it knows, however many there are", () =>
    Effect.gen(function*() {
      yield* suspendedAt(newer, "b", Array.from({ length: 120 }, (_, i) => `new-${i}`))
      yield* TestClock.adjust("1 second")
      yield* suspendedAt(older, "c", ["old"])
      const old = yield* processOf(older)
      yield* TestClock.adjust("30 seconds")
      yield* settled
      assert.strictEqual(yield* stateOf("old"), "Completed")
      assert.strictEqual(yield* stateOf("new-1"), "Running")
      yield* old.close
    }).pipe(Effect.scoped, Effect.provide(world)))

  it.effect("is looked at once, also when there are more of them than it remembers", () =>
    Effect.gen(function*() {
      const log = yield* SagaLog.SagaLog
      const ids = Array.from({ length: 1100 }, (_, i) => runId("versioned", `r${i}`))
      for (const id of ids) {
        const { run } = (yield* log.claim({
          ...id,
          owner: "gone",
          leaseMillis: 1000,
          opening: {
            fingerprint: "v1:x",
            definition: JSON.stringify(["payload|x", "z|pivot|x|x"]),
            payload: `"p"`,
            state: "Running",
            events: [{ _tag: "Intended", step: "z" }]
          }
        })) ?? assert.fail()
        yield* log.release({ ...id, owner: run.owner, epoch: run.epoch })
      }
      let asked = 0
      const counting = Layer.succeed(SagaLog.SagaLog, {
        ...log,
        // The test ends where the process does not.
        orphans: (request) => ++asked > 100 ? Effect.die("asks without an end") : log.orphans(request)
      })
      const recovered = Saga.recover([older]).pipe(
        Effect.provide(Layer.fresh(sagas()).pipe(Layer.provide(counting)))
      )
      assert.strictEqual(yield* recovered, 0)
      assert.isAtLeast(asked, 20)
      assert.strictEqual(yield* stateOf("r1"), "Running")
    }).pipe(Effect.provide(world)))

  it.effect("that nobody knows is parked by the name of what differs, once it has waited for an hour", () =>
    Effect.gen(function*() {
      yield* suspendedAt(newer, "b")
      yield* processOf(older)
      yield* TestClock.adjust("59 minutes")
      yield* settled
      assert.strictEqual(yield* stateOf("o1"), "Running")
      yield* TestClock.adjust("3 minutes")
      yield* settled
      assert.strictEqual(yield* stateOf("o1"), "Parked")
      const next = yield* processOf(newer)
      assert.deepStrictEqual(yield* next.run(Saga.result(newer, o1)), {
        _tag: "Parked",
        step: undefined,
        reason: "the definition has changed: b"
      })
      assert.strictEqual((yield* next.run(Saga.resume(newer, o1)))._tag, "Completed")
    }).pipe(Effect.scoped, Effect.provide(world)))
})

describe("a run that has ended", () => {
  const all = sagas().pipe(Layer.provideMerge(world))

  it.effect("answers its results after a step was added, taken out or renamed", () =>
    Effect.gen(function*() {
      yield* Saga.execute(older, "p", o1)
      const added = yield* Saga.execute(newer, "p", o1)
      assert.deepStrictEqual(added, { _tag: "Completed", results: { payload: "p", a: "a", c: "c" } as never })
      assert.deepStrictEqual(yield* Saga.result(renamed, o1), { _tag: "Completed", results: { payload: "p" } as never })
      yield* Saga.execute(newer, "p", { id: "o2" })
      assert.deepInclude(yield* Saga.execute(older, "p", { id: "o2" }), { results: { payload: "p", a: "a", c: "c" } })
    }).pipe(Effect.provide(all)))

  it.effect("tells how it was undone, also by steps that are no more", () =>
    Effect.gen(function*() {
      ;(yield* Shop).plan.set("b", Effect.fail(new Refusal({ why: "no" })))
      yield* Saga.execute(newer, "p", o1)
      assert.deepStrictEqual(yield* Saga.execute(older, "p", o1), {
        _tag: "Compensated",
        cause: { _tag: "Failed", step: "b", error: undefined, detail: "Refusal" },
        undos: [{ _tag: "Undone", step: "a" }]
      })
      assert.deepInclude(yield* Saga.execute(renamed, "p", o1), { undos: [{ _tag: "Undone", step: "a" }] })
    }).pipe(Effect.provide(all)))
})

describe("a history that cannot be read", () => {
  it.effect("is parked and told of, and keeps no other from being recovered", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* suspendedAt(newer, "b", ["bad", "good"])
      yield* sql`UPDATE effect_payments_saga_entries SET events = '[{"_tag":"Nonsense"}]' WHERE key LIKE '%bad'`
      const told: Array<string> = []
      const logger = Logger.make<unknown, void>(({ logLevel, message }) =>
        void told.push(`${logLevel} ${String(message)}`)
      )
      const counted = Metric.withAttributes(
        Metric.counter("effect_payments_sagas_total", {
          description: "Sagas that have ended or are parked, by state",
          incremental: true
        }),
        { saga: "versioned", state: "Parked" }
      )
      const before = yield* Metric.value(counted)
      const next = yield* processOf(newer).pipe(Effect.provide(Logger.layer([logger])))
      yield* Effect.provide(next.run(Saga.recover([newer])), Logger.layer([logger]))
      for (let i = 0; i < 20; i++) yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      assert.strictEqual(yield* stateOf("good"), "Completed")
      assert.strictEqual(yield* stateOf("bad"), "Parked")
      assert.isTrue(told.some((line) => line.startsWith("Error") && line.includes("a saga is parked")), told.join())
      assert.strictEqual((yield* Metric.value(counted)).count, before.count + 1)
      yield* next.close
    }).pipe(
      Effect.scoped,
      Effect.provide(
        Layer.mergeAll(shopLayer, SagaLog.layerStoreSql()).pipe(
          Layer.provideMerge(SqliteClient.layer({ filename: ":memory:" }))
        )
      )
    ))
})
