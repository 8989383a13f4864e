/** Runs that go from one runner to the next: what they know of what the one before has sent, and what they do not do. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Schema, Scope } from "effect"
import { Saga } from "effect-payments"
import {
  ClusterWorkflowEngine,
  MessageStorage,
  RunnerHealth,
  Runners,
  RunnerStorage,
  Sharding,
  ShardingConfig
} from "effect/cluster"
import { TestClock } from "effect/testing"
import { Refusal, ShopError } from "../saga/checkout.ts"
import { challenge, grouped, hook, patient, undoing, watched } from "./sagas.ts"
import { clusterSide, makeWorld, outlast, quiesce } from "./sides.ts"

const refusal = new Refusal({ why: "no" })

type Sagas = Parameters<typeof clusterSide>[1]

/** Storage that stays, and runners over it that go. */
const cluster = Effect.gen(function*() {
  const world = yield* makeWorld
  const storage = yield* Layer.build(
    Layer.mergeAll(
      MessageStorage.layerMemory.pipe(Layer.provide(ShardingConfig.layer())),
      RunnerStorage.layerMemory,
      RunnerHealth.layerNoop,
      ShardingConfig.layer()
    )
  )
  const engine = () =>
    Layer.fresh(ClusterWorkflowEngine.layer.pipe(
      Layer.provide(Layer.fresh(Sharding.layer)),
      Layer.provide(Layer.fresh(Runners.layerNoop)),
      Layer.provide(Layer.succeedContext(storage))
    ))
  const runner = (...sagas: Sagas) =>
    Effect.gen(function*() {
      const scope = yield* Scope.fork(yield* Effect.scope)
      const side = yield* Scope.provide(clusterSide("a runner", sagas, engine())(world), scope)
      return { ...side, stop: outlast(Scope.close(scope, Exit.void)) }
    })
  return { ...world, runner }
})

const pass = (times: number) =>
  Effect.repeat(Effect.andThen(quiesce, TestClock.adjust("5 seconds")), { times: times - 1 })

describe("a run whose runner is gone", () => {
  it.effect("does not run a step again that may have happened, but looks first", () =>
    Effect.gen(function*() {
      const { runner, shop } = yield* cluster
      shop.plan.set("b", Effect.never)
      const first = yield* runner(watched)
      yield* outlast(first.start(watched, "x"))
      yield* quiesce
      assert.deepStrictEqual(shop.calls, ["a", "b"])
      yield* first.stop
      shop.plan.delete("b")
      const second = yield* runner(watched)
      assert.propertyVal(yield* outlast(second.result(watched)), "_tag", "Completed")
      assert.deepStrictEqual(shop.calls, ["a", "b", "look b", "b", "p", "r"])
    }).pipe(Effect.scoped))

  it.effect("is parked where nobody can tell of its pivot, undoes nothing, and goes on when it is resumed", () =>
    Effect.gen(function*() {
      const { runner, shop } = yield* cluster
      shop.plan.set("p", Effect.die("boom"))
      const first = yield* runner(undoing)
      yield* outlast(first.start(undoing, "x"))
      yield* pass(12)
      const { calls } = shop
      assert.deepStrictEqual(calls.slice(0, 4), ["a", "b", "c", "d"])
      yield* first.stop
      const second = yield* runner(undoing)
      assert.propertyVal(yield* outlast(second.result(undoing)), "_tag", "Parked")
      assert.isTrue(calls.every((call) => !call.startsWith("undo")))
      yield* second.stop
      shop.plan.set("p", Effect.void)
      const third = yield* runner(undoing)
      assert.propertyVal(yield* outlast(third.resume(undoing)), "_tag", "Completed")
    }).pipe(Effect.scoped))

  it.effect("tries an undo again that was under way, and none that is done", () =>
    Effect.gen(function*() {
      const { runner, shop } = yield* cluster
      shop.plan.set("p abc", Effect.fail(refusal))
      shop.plan.set("undo b b", Effect.never)
      const first = yield* runner(grouped)
      yield* outlast(first.start(grouped, "x"))
      yield* quiesce
      assert.deepStrictEqual(shop.calls, ["first", "a", "b", "c", "p abc", "undo c c", "undo b b"])
      yield* first.stop
      shop.plan.delete("undo b b")
      const second = yield* runner(grouped)
      assert.propertyVal(yield* outlast(second.result(grouped)), "_tag", "Compensated")
      assert.deepStrictEqual(shop.calls.slice(6), ["undo b b", "undo b b", "undo a a", "undo first first"])
    }).pipe(Effect.scoped))

  it.effect("waits on, and takes what came meanwhile", () =>
    Effect.gen(function*() {
      const { runner, shop } = yield* cluster
      const first = yield* runner(patient)
      yield* outlast(first.start(patient, "x"))
      yield* quiesce
      yield* first.stop
      const second = yield* runner(patient)
      assert.isTrue(yield* outlast(second.signal(patient, challenge, { passed: true })))
      assert.isTrue(yield* outlast(second.signal(patient, hook, "came")))
      assert.propertyVal(yield* outlast(second.result(patient)), "_tag", "Completed")
      assert.deepStrictEqual(shop.calls, ["a", "p true", "r"])
    }).pipe(Effect.scoped))

  it.effect("goes on under another definition only when all that it has started is the same", () =>
    Effect.gen(function*() {
      const { runner, shop } = yield* cluster
      shop.plan.set("b", Effect.never)
      const first = yield* runner(watched)
      yield* outlast(first.start(watched, "x"))
      yield* quiesce
      yield* first.stop
      shop.plan.delete("b")
      const other = Saga.make("watched", { payload: Schema.String }).pipe(
        Saga.step("a", {
          success: Schema.Finite,
          error: ShopError,
          verify: "rerun",
          run: () => Effect.succeed(1),
          compensate: () => Effect.void
        })
      )
      const second = yield* runner(other)
      const error = yield* outlast(Effect.flip(second.result(other)))
      assert.deepInclude(error.reason, { _tag: "Redefined", detail: "a" })
      assert.deepStrictEqual(shop.calls, ["a", "b"])
      yield* second.stop
      const third = yield* runner(watched)
      assert.propertyVal(yield* outlast(third.resume(watched)), "_tag", "Completed")
      assert.deepStrictEqual(shop.calls, ["a", "b", "look b", "b", "p", "r"])
    }).pipe(Effect.scoped))
})
