/** A saga as a step of another one: done, undone and recovered as one. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Schema } from "effect"
import { Saga, SagaLog } from "effect-payments"
import { Refusal, Shop, ShopError, shopLayer } from "./checkout.ts"
import { processWith } from "./process.ts"
import { over, settled } from "./time.ts"

const o1 = { id: "o1" }
const call = (name: string) => Effect.flatMap(Shop, (shop) => shop.call(name))
const calls = Effect.map(Shop, ({ calls }) => [...calls])
const base = { success: Schema.String, error: ShopError, verify: "rerun" } as const

const parcel = Saga.make("parcel", { payload: Schema.Struct({ sku: Schema.String }) }).pipe(
  Saga.step("pick", {
    ...base,
    run: ({ payload }) => Effect.as(call("pick"), payload.sku),
    compensate: () => call("unpick")
  }),
  Saga.pivot("send", { ...base, run: () => Effect.as(call("send"), "sent"), compensate: () => call("recall") })
)
const order = Saga.make("order", { payload: Schema.String }).pipe(
  Saga.step("hold", { ...base, run: () => Effect.as(call("hold"), "h"), compensate: () => call("unhold") }),
  Saga.nested("parcel", { saga: parcel, payload: (ctx) => ({ sku: `${ctx.payload} ${ctx.hold}` }) }),
  Saga.pivot("close", {
    ...base,
    run: (ctx) => Effect.as(call("close"), `${ctx.parcel.results.pick} ${ctx.parcel.results.send}`)
  })
)

const processOf = processWith(Saga.layerRecover([order, parcel]))

const world = Layer.mergeAll(SagaLog.layerStoreMemory(), shopLayer, Logger.layer([]))
const execute = Saga.execute(order, "A-1", o1)
const refusal = Effect.fail(new Refusal({ why: "no" }))
const undos = (execution: Saga.Execution<unknown, unknown>) =>
  "undos" in execution ? execution.undos.map(({ _tag, step }) => `${_tag} ${step}`) : []
const child = Effect.flatMap(
  SagaLog.SagaLog,
  (log) => Effect.map(log.list({ saga: "parcel", limit: 10 }), (runs) => runs.map(({ state }) => state))
)

describe("a nested saga", () => {
  it.effect("answers with its results", () =>
    Effect.gen(function*() {
      const { run } = yield* processOf
      const execution = yield* run(execute)
      assert.deepInclude(execution._tag === "Completed" ? execution.results : execution, { close: "A-1 h sent" })
      assert.deepStrictEqual(yield* run(execute), execution)
      assert.deepStrictEqual(yield* calls, ["hold", "pick", "send", "close"])
    }).pipe(Effect.provide(world)))

  it.effect("is undone after it has completed, its pivot first", () =>
    Effect.gen(function*() {
      const { run } = yield* processOf
      ;(yield* Shop).plan.set("close", refusal)
      const execution = yield* run(execute)
      assert.deepStrictEqual(undos(execution), ["Undone parcel", "Undone hold"])
      assert.deepStrictEqual((yield* calls).slice(4), ["recall", "unpick", "unhold"])
      assert.deepStrictEqual(yield* child, ["Compensated"])
    }).pipe(Effect.provide(world)))

  it.effect("fails the step when it is undone of itself, and is not undone again", () =>
    Effect.gen(function*() {
      const { run } = yield* processOf
      ;(yield* Shop).plan.set("send", refusal)
      const execution = yield* run(execute)
      assert.deepInclude("cause" in execution ? execution.cause : {}, { _tag: "Failed", step: "parcel" })
      assert.deepStrictEqual(undos(execution), ["Undone hold"])
      assert.deepStrictEqual(yield* calls, ["hold", "pick", "send", "unpick", "unhold"])
    }).pipe(Effect.provide(world)))

  it.effect("goes on in another process, and is not begun twice", () =>
    Effect.gen(function*() {
      const { plan } = yield* Shop
      plan.set("send", Effect.never)
      const first = yield* processOf
      yield* Effect.forkDetach(first.run(execute))
      yield* settled
      yield* first.close
      plan.clear()
      const second = yield* processOf
      const execution = yield* over(second.run(execute), "2 minutes")
      assert.strictEqual(execution._tag, "Completed")
      assert.deepStrictEqual(yield* calls, ["hold", "pick", "send", "send", "close"])
      assert.deepStrictEqual(yield* child, ["Completed"])
    }).pipe(Effect.provide(world)))

  it.effect("whose undo fails is told of by the saga around it", () =>
    Effect.gen(function*() {
      const { run } = yield* processOf
      const { plan } = yield* Shop
      plan.set("close", refusal)
      plan.set("unpick", refusal)
      const execution = yield* over(run(execute), "2 minutes")
      assert.strictEqual(execution._tag, "FailedCompensation")
      assert.deepStrictEqual(undos(execution), ["Failed parcel", "Undone hold"])
      assert.deepStrictEqual(yield* child, ["FailedCompensation"])
    }).pipe(Effect.provide(world)))

  it.effect("is refused when its pivot cannot be undone", () =>
    Effect.gen(function*() {
      const { run } = yield* processOf
      const final = Saga.make("final", { payload: Schema.String }).pipe(
        Saga.pivot("p", { ...base, run: () => Effect.succeed("p") })
      )
      const around = Saga.make("around", { payload: Schema.String }).pipe(
        Saga.nested("final", { saga: final, payload: (ctx) => ctx.payload })
      )
      const error = yield* Effect.flip(run(Saga.execute(around, "x", o1)))
      assert.strictEqual(error.reason._tag, "SagaInvalid")
    }).pipe(Effect.provide(world)))
})
