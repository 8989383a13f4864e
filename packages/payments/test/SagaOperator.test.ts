import { SqliteClient } from "@effect-payments/sqlite"
import { NodeCrypto } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Logger, Schema } from "effect"
import { PaymentGateway, Saga, SagaLog, SagaOperator } from "effect-payments"
import { TestClock } from "effect/testing"
import { Refusal, sagas, Shop, ShopError, shopLayer } from "./saga/checkout.ts"
import { processWith } from "./saga/process.ts"
import { over, settled } from "./saga/time.ts"

const o1 = { id: "o1" }
const target = { saga: "operated", id: "o1" }
const ann = { by: "ann", reason: "the customer called" }
const seen = { by: "ann", evidence: "re_42 in the dashboard" }
const call = (name: string) => Effect.flatMap(Shop, (shop) => shop.call(name))
const base = { success: Schema.String, error: ShopError } as const
const calls = Effect.map(Shop, ({ calls }) => [...calls])
const rerun = { ...base, verify: "rerun" } as const

const operated = Saga.make("operated", { payload: Schema.String }).pipe(
  Saga.step("a", { ...rerun, run: () => Effect.as(call("a"), "a"), compensate: () => call("undo a") }),
  Saga.step("b", { ...rerun, run: () => Effect.as(call("b"), "b"), compensate: () => call("undo b") }),
  Saga.pivot("p", {
    ...base,
    verify: () => Effect.succeed(PaymentGateway.stillUnknown),
    run: () => Effect.as(call("p"), "p"),
    compensate: (outcome) => call(`undo p ${outcome._tag === "Done" ? outcome.result : "in doubt"}`)
  }),
  Saga.retriable("r", {
    success: Schema.String,
    verify: "rerun",
    run: (ctx) => Effect.as(Effect.orDie(call("r")), ctx.p)
  })
)

const processOf = processWith(Saga.layerRecover([operated]))

/** Nobody could undo the second step. */
const failed = Effect.gen(function*() {
  const { run } = yield* processOf
  const { plan } = yield* Shop
  plan.set("p", Effect.fail(new Refusal({ why: "no" })))
  plan.set("undo b", Effect.die("down"))
  const execution = yield* over(run(Saga.execute(operated, "x", o1)), "30 seconds")
  assert.strictEqual(execution._tag, "FailedCompensation")
  plan.clear()
  return run
})

/** Nobody knows of the pivot. */
const doubtful = Effect.gen(function*() {
  const { run } = yield* processOf
  const { plan } = yield* Shop
  plan.set("p", Effect.die("lost"))
  const execution = yield* over(run(Saga.execute(operated, "x", o1)), "30 seconds")
  assert.deepInclude(execution, { _tag: "Parked", step: "p" })
  plan.clear()
  return run
})

const result = Saga.result(operated, o1)
const undosOf = (execution: Saga.Execution<unknown, unknown>) => "undos" in execution ? execution.undos : []

const logs = {
  memory: SagaLog.layerStoreMemory(),
  sqlite: SagaLog.layerStoreSql().pipe(Layer.provide(SqliteClient.layer({ filename: ":memory:" })))
}

for (const [name, log] of Object.entries(logs)) {
  const world = Layer.mergeAll(log, shopLayer, NodeCrypto.layer, Logger.layer([]))

  describe(`an operator, over ${name}`, () => {
    it.effect("passes over an undo that failed, once, and it is written down who and why", () =>
      Effect.gen(function*() {
        const run = yield* failed
        const skip = SagaOperator.skip({ ...target, step: "b", ...ann })
        const first = yield* skip
        assert.deepInclude(first.run, { state: "Compensated", id: "o1" })
        assert.isTrue(first.isChanged)
        assert.isFalse((yield* skip).isChanged)
        assert.deepStrictEqual(undosOf(yield* run(result)), [
          { _tag: "Skipped", step: "b", ...ann },
          { _tag: "Undone", step: "a" }
        ])
      }).pipe(Effect.provide(world)))

    it.effect("says that an undo has happened elsewhere, with the evidence", () =>
      Effect.gen(function*() {
        const run = yield* failed
        const force = SagaOperator.force({ ...target, step: "b", as: { _tag: "Undone" }, ...seen })
        assert.deepInclude((yield* force).run, { state: "Compensated" })
        assert.isFalse((yield* force).isChanged)
        assert.deepInclude(undosOf(yield* run(result))[0], { _tag: "Forced", step: "b", ...seen })
        const { entries } = yield* SagaOperator.history(target)
        assert.deepStrictEqual(entries.at(-1)?.events, [{
          _tag: "Forced",
          step: "b",
          ...seen,
          as: { _tag: "Undone" }
        }])
      }).pipe(Effect.provide(world)))

    it.effect("has failed undos tried again, by whoever has the code", () =>
      Effect.gen(function*() {
        const run = yield* failed
        const { run: stuck } = yield* SagaOperator.history(target)
        assert.strictEqual(stuck.state, "FailedCompensation")
        const retry = SagaOperator.retry({ ...target, ...ann })
        assert.deepInclude((yield* retry).run, { state: "Compensating" })
        assert.isFalse((yield* retry).isChanged)
        yield* Effect.andThen(settled, Effect.andThen(TestClock.adjust("20 seconds"), settled))
        const execution = yield* over(run(result), "30 seconds")
        assert.deepStrictEqual(undosOf(execution), [{ _tag: "Undone", step: "b" }, { _tag: "Undone", step: "a" }])
      }).pipe(Effect.provide(world)))

    for (
      const [as, expected] of [["Happened", ["a", "b", "p", "r"]], ["NeverHappened", [
        "a",
        "b",
        "p",
        "p",
        "r"
      ]]] as const
    ) {
      it.effect(`tells that a pivot in doubt has ${as}, and the run goes on`, () =>
        Effect.gen(function*() {
          const run = yield* doubtful
          const knows = as === "Happened" ? { _tag: as, result: "told" } : { _tag: as }
          const force = SagaOperator.force({ ...target, step: "p", as: knows, ...seen })
          assert.deepInclude((yield* force).run, { state: "Parked" })
          assert.isFalse((yield* force).isChanged)
          yield* SagaOperator.retry({ ...target, ...ann })
          const execution = yield* over(run(result), "30 seconds")
          assert.deepInclude(execution._tag === "Completed" ? execution.results : execution, {
            r: as === "Happened" ? "told" : "p"
          })
          assert.deepStrictEqual(yield* calls, [...expected])
        }).pipe(Effect.provide(world)))
    }

    it.effect("mends what was told wrongly, as long as nobody has gone on with it", () =>
      Effect.gen(function*() {
        const run = yield* doubtful
        const told = (result: unknown) =>
          SagaOperator.force({ ...target, step: "p", as: { _tag: "Happened", result }, ...seen })
        yield* told({ no: "string" })
        yield* SagaOperator.retry({ ...target, ...ann })
        const parked = yield* over(run(Saga.resume(operated, o1)), "30 seconds")
        assert.deepInclude(parked, { _tag: "Parked", step: undefined })
        assert.isTrue((yield* told("told")).isChanged)
        const execution = yield* over(run(Saga.resume(operated, o1)), "30 seconds")
        assert.deepInclude(execution._tag === "Completed" ? execution.results : execution, { r: "told" })
        assert.deepStrictEqual(yield* calls, ["a", "b", "p", "r"])
      }).pipe(Effect.provide(world)))

    it.effect("has nothing go on that was to be undone", () =>
      Effect.gen(function*() {
        const { close, run } = yield* processOf
        const { plan } = yield* Shop
        plan.set("b", Effect.never)
        yield* Effect.forkDetach(run(Saga.execute(operated, "x", o1)))
        yield* settled
        yield* close
        plan.clear()
        const layer = Layer.fresh(sagas()).pipe(Layer.provide(Layer.succeed(SagaLog.SagaLog, yield* SagaLog.SagaLog)))
        const undo = Saga.compensate(operated, { ...o1, ...ann }).pipe(Effect.provide(layer))
        assert.strictEqual((yield* Effect.flip(undo)).reason._tag, "InFlight")
        assert.deepStrictEqual(yield* calls, ["a", "b"])
      }).pipe(Effect.provide(world)))

    it.effect("pauses a run that somebody holds before the next step leaves, and it goes on without a doubt", () =>
      Effect.gen(function*() {
        const { run } = yield* processOf
        const { plan } = yield* Shop
        const gate = yield* Deferred.make<void>()
        plan.set("b", Deferred.await(gate))
        const fiber = yield* Effect.forkChild(run(Saga.execute(operated, "x", o1)))
        yield* settled
        const pause = SagaOperator.pause({ ...target, ...ann })
        const asked = yield* pause
        assert.isFalse(asked.isChanged)
        assert.strictEqual(asked.run.pauseRequested, "ann: the customer called")
        yield* Deferred.succeed(gate, undefined)
        assert.deepStrictEqual(yield* Fiber.join(fiber), {
          _tag: "Parked",
          step: "p",
          reason: "paused by ann: the customer called"
        })
        assert.deepStrictEqual(yield* calls, ["a", "b"])
        assert.isFalse((yield* pause).isChanged)
        yield* SagaOperator.retry({ ...target, ...ann })
        const execution = yield* over(run(result), "30 seconds")
        assert.strictEqual(execution._tag, "Completed")
        assert.deepStrictEqual(yield* calls, ["a", "b", "p", "r"])
      }).pipe(Effect.provide(world)))

    it.effect("pauses what unwinds, and what nobody holds", () =>
      Effect.gen(function*() {
        const { close, run } = yield* processOf
        const { plan } = yield* Shop
        const gate = yield* Deferred.make<void>()
        plan.set("p", Effect.fail(new Refusal({ why: "no" })))
        plan.set("undo b", Deferred.await(gate))
        const fiber = yield* Effect.forkChild(run(Saga.execute(operated, "x", o1)))
        yield* settled
        yield* SagaOperator.pause({ ...target, ...ann })
        yield* Deferred.succeed(gate, undefined)
        assert.strictEqual((yield* Fiber.join(fiber))._tag, "Parked")
        assert.deepStrictEqual(yield* calls, ["a", "b", "p", "undo b"])
        yield* close
        assert.deepInclude((yield* SagaOperator.retry({ ...target, ...ann })).run, { state: "Compensating" })
        const paused = yield* SagaOperator.pause({ ...target, ...ann })
        assert.deepInclude(paused, { isChanged: true })
        assert.strictEqual(paused.run.state, "Parked")
        yield* SagaOperator.retry({ ...target, ...ann })
        const second = yield* processOf
        const execution = yield* over(second.run(result), "30 seconds")
        assert.deepStrictEqual(undosOf(execution), [{ _tag: "Undone", step: "b" }, { _tag: "Undone", step: "a" }])
        assert.deepStrictEqual(yield* calls, ["a", "b", "p", "undo b", "undo a"])
      }).pipe(Effect.provide(world)))

    it.effect("has a completed run undone, the pivot first, once", () =>
      Effect.gen(function*() {
        const { run } = yield* processOf
        yield* run(Saga.execute(operated, "x", o1))
        const undo = run(Saga.compensate(operated, { ...o1, ...ann }))
        const execution = yield* undo
        assert.deepStrictEqual(execution, {
          _tag: "Compensated",
          cause: { _tag: "Cancelled" },
          undos: ["p", "b", "a"].map((step) => ({ _tag: "Undone" as const, step }))
        })
        assert.deepStrictEqual(yield* undo, execution)
        assert.deepStrictEqual(yield* calls, ["a", "b", "p", "r", "undo p p", "undo b", "undo a"])
        const { entries } = yield* SagaOperator.history(target)
        assert.isTrue(
          entries.some(({ events }) => events.some((event) => event._tag === "Reversed" && event.by === "ann"))
        )
      }).pipe(Effect.provide(world)))

    it.effect("has nothing undone that has no undo, or has not completed", () =>
      Effect.gen(function*() {
        const run = yield* doubtful
        const parked = yield* run(Saga.compensate(operated, { ...o1, ...ann }))
        assert.deepInclude(parked, { _tag: "Parked", step: "p" })
        const final = Saga.make("final", { payload: Schema.String }).pipe(
          Saga.pivot("p", { ...rerun, run: () => Effect.succeed("p") })
        )
        yield* run(Saga.execute(final, "x", o1))
        const error = yield* Effect.flip(run(Saga.compensate(final, { ...o1, ...ann })))
        assert.strictEqual(error.reason._tag, "SagaInvalid")
        assert.deepStrictEqual(yield* calls, ["a", "b", "p"])
      }).pipe(Effect.provide(world)))

    it.effect("finds what is stuck, by state, step and age", () =>
      Effect.gen(function*() {
        yield* doubtful
        const ids = (filter: Parameters<typeof SagaOperator.list>[0]) =>
          Effect.map(SagaOperator.list(filter), (runs) => runs.map(({ id }) => id))
        assert.deepStrictEqual(yield* ids({ state: "Parked", step: "p" }), ["o1"])
        assert.deepStrictEqual(yield* ids({ step: "a" }), [])
        assert.deepStrictEqual(yield* ids({ saga: "operated", stuckSince: "0 seconds" }), ["o1"])
        assert.deepStrictEqual(yield* ids({ stuckSince: "1 hour" }), [])
      }).pipe(Effect.provide(world)))

    it.effect("is listed alike by Saga.list, with the same filters", () =>
      Effect.gen(function*() {
        const run = yield* doubtful
        const filters: ReadonlyArray<SagaOperator.Filter> = [
          {},
          { state: "Parked", step: "p" },
          { step: "a" },
          { saga: "operated", stuckSince: "0 seconds" },
          { stuckSince: "1 hour" },
          { saga: "another" },
          { limit: 1, after: "~" }
        ]
        const all = yield* Effect.forEach(filters, (filter) =>
          Effect.gen(function*() {
            const runs = yield* run(Saga.list(filter))
            assert.deepStrictEqual(runs, yield* SagaOperator.list(filter))
            return runs.length
          }))
        assert.deepStrictEqual(all, [1, 1, 0, 1, 0, 0, 0])
        const wrong = { stuckSince: "soon" as "1 hour" }
        assert.strictEqual((yield* Effect.flip(run(Saga.list(wrong)))).reason._tag, "NotApplicable")
      }).pipe(Effect.provide(world)))

    it.effect("is refused what does not fit, and nothing changes", () =>
      Effect.gen(function*() {
        const run = yield* failed
        const before = yield* SagaOperator.history(target)
        const reasonOf = <R>(self: Effect.Effect<unknown, Saga.SagaError, R>) =>
          Effect.map(Effect.flip(self), ({ reason }) => reason._tag)
        const long = "x".repeat(501)
        for (
          const self of [
            SagaOperator.skip({ ...target, step: "none", ...ann }),
            SagaOperator.skip({ ...target, step: "p", ...ann }),
            SagaOperator.force({ ...target, step: "b", as: { _tag: "NeverHappened" }, ...seen }),
            SagaOperator.force({ ...target, step: "b", as: { _tag: "Happened", result: long.repeat(1000) }, ...seen }),
            SagaOperator.skip({ ...target, step: "b", by: " ", reason: "r" }),
            SagaOperator.skip({ ...target, step: "b", by: "ann", reason: long })
          ]
        ) assert.strictEqual(yield* reasonOf(self), "NotApplicable")
        for (const other of [{ ...target, id: "none" }, { ...target, saga: "" }]) {
          assert.strictEqual(yield* reasonOf(SagaOperator.retry({ ...other, ...ann })), "NotFound")
        }
        assert.deepStrictEqual((yield* SagaOperator.history(target)).entries, before.entries)
        yield* SagaOperator.skip({ ...target, step: "b", by: "ann", reason: "card 4242 4242 4242 4242" })
        assert.notInclude(JSON.stringify(undosOf(yield* run(result))), "4242 4242")
        assert.strictEqual(yield* reasonOf(SagaOperator.retry({ ...target, ...ann })), "NotApplicable")
        assert.strictEqual(yield* reasonOf(SagaOperator.pause({ ...target, ...ann })), "NotApplicable")
      }).pipe(Effect.provide(world)))

    it.effect("decides nothing beside a process that is at it", () =>
      Effect.gen(function*() {
        const { run } = yield* processOf
        const { plan } = yield* Shop
        plan.set("b", Effect.never)
        const fiber = yield* Effect.forkChild(run(Saga.execute(operated, "x", o1)))
        yield* settled
        const error = yield* Effect.flip(
          SagaOperator.force({ ...target, step: "b", as: { _tag: "NeverHappened" }, ...seen })
        )
        assert.strictEqual(error.reason._tag, "NotApplicable")
        assert.isFalse((yield* SagaOperator.retry({ ...target, ...ann })).isChanged)
        yield* Fiber.interrupt(fiber)
      }).pipe(Effect.provide(world)))
  })
}
