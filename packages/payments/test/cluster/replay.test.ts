/** Runs that go from one runner to the next: what they know of what the one before has sent, and what they do not do. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Schema, Scope } from "effect"
import { Saga } from "effect-payments"
import {
  ClusterError,
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
  const kept = yield* Layer.build(
    Layer.mergeAll(
      MessageStorage.layerMemory.pipe(Layer.provide(ShardingConfig.layer())),
      RunnerStorage.layerMemory,
      RunnerHealth.layerNoop,
      ShardingConfig.layer()
    )
  )
  const messages = Context.get(kept, MessageStorage.MessageStorage)
  /** Activities whose request, or whose answer, is not kept the first time. */
  const fails = new Set<string>()
  const failing = (name: string) =>
    Effect.suspend(() =>
      fails.delete(name) ? Effect.fail(new ClusterError.PersistenceError({ cause: "planned" })) : Effect.void
    )
  const nameOf = (payload: unknown) => String((payload as { readonly name?: unknown } | undefined)?.name)
  const requests = new Map<unknown, string>()
  const storage = Context.add(kept, MessageStorage.MessageStorage, {
    ...messages,
    saveRequest: (request) => {
      const name = nameOf(request.envelope.payload)
      requests.set(String(request.envelope.requestId), name)
      return Effect.andThen(failing(`request ${name}`), messages.saveRequest(request))
    },
    saveReply: (reply) =>
      Effect.andThen(
        failing(`reply ${requests.get(String(reply.reply.requestId))}`),
        messages.saveReply(reply)
      )
  })
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
  return { ...world, runner, fails }
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

  for (const what of ["request run/0/b", "reply run/0/b", "request run/0/p", "reply run/0/p", "request begin/0/"]) {
    it.effect(`goes on where the storage does not keep the ${what}`, () =>
      Effect.gen(function*() {
        const { fails, runner, shop } = yield* cluster
        fails.add(what)
        const { execute } = yield* runner(watched)
        assert.propertyVal(yield* outlast(execute(watched, "x")), "_tag", "Completed")
        assert.strictEqual(fails.size, 0)
        // What may have happened was looked up, and did not happen twice.
        assert.deepStrictEqual(shop.calls.filter((call) => !call.startsWith("look")), ["a", "b", "p", "r"])
      }).pipe(Effect.scoped))
  }
})

describe("a saga with a name", () => {
  for (const length of [120, 121]) {
    it.effect(`of ${length} characters is ${length > 120 ? "refused" : "taken"}`, () =>
      Effect.gen(function*() {
        const saga = Saga.make("x".repeat(length), { payload: Schema.String }).pipe(Saga.sleep("rest", "1 second"))
        const { runner } = yield* cluster
        const exit = yield* Effect.exit(Effect.flatMap(runner(saga), ({ execute }) => outlast(execute(saga, "x"))))
        assert.strictEqual(Exit.isSuccess(exit), length <= 120)
        if (Exit.isFailure(exit)) assert.include(String(exit.cause), "at most 120 characters")
      }).pipe(Effect.scoped))
  }
})
