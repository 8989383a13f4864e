import { NodeCrypto, NodeRedis } from "@effect/platform-node"
import { assert, describe, inject, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Logger, Scope } from "effect"
import { Saga, SagaLog } from "effect-payments"
import { TestGateway } from "effect-payments/testing"
import { Redis } from "effect/persistence"
import { checkout, Shop, shopLayer } from "../saga/checkout.ts"
import { claim, logContract, requestOf } from "../saga/logContract.ts"
import { ClockLog, Commands, compare } from "../saga/logModel.ts"
import { redisClockLog, shiftRedisLog } from "../saga/redisLog.ts"

const client = NodeRedis.layer({ url: inject("redis") })
const prefix = `saga-${process.pid}`

logContract("redis", SagaLog.layerStoreRedis({ prefix }).pipe(Layer.provideMerge(client)), {
  live: true,
  advance: shiftRedisLog(prefix)
})

const onClock = `${prefix}-model`

it.layer(redisClockLog(onClock).pipe(Layer.provideMerge(client)), { excludeTestServices: true })(
  "the Redis log",
  (it) => {
    it.effect.prop(
      "does what the pure functions say, and its index says what is there",
      [Commands],
      ([commands]) =>
        Effect.gen(function*() {
          yield* compare(commands)
          const { log } = yield* ClockLog
          const { send } = yield* Redis.Redis
          const members = (name: string) =>
            Effect.map(
              send<ReadonlyArray<string>>("ZRANGE", `{${onClock}}:${name}`, "0", "-1"),
              (keys) => [...keys].sort()
            )
          const runs = yield* log.list({ limit: 10 })
          const keysIn = (...states: ReadonlyArray<SagaLog.ListedRun["state"]>) =>
            runs.filter(({ state }) => states.includes(state)).map(({ key }) => key)
          assert.deepStrictEqual(yield* members("runs"), runs.map(({ key }) => key))
          assert.deepStrictEqual(yield* members("open"), keysIn("Running", "Compensating"))
          assert.deepStrictEqual(yield* members("done"), keysIn("Completed", "Compensated"))
          assert.deepStrictEqual(yield* members("stuck"), keysIn("Parked", "FailedCompensation"))
        }),
      { arbitrary: { runs: 60 } }
    )
  }
)

describe("the Redis log", () => {
  it.live("hands a checkout over to the process that comes next", () =>
    Effect.gen(function*() {
      const engine = Effect.fnUntraced(function*() {
        const scope = yield* Scope.make()
        const context = yield* Layer.buildWithScope(
          Layer.fresh(
            Saga.layer({ sweepEvery: false }).pipe(
              Layer.provideMerge(SagaLog.layerStoreRedis({ prefix: `${prefix}-checkout` })),
              Layer.provide([client, NodeCrypto.layer]),
              Layer.provideMerge(Logger.layer([]))
            )
          ),
          scope
        )
        return { scope, run: Effect.provide(Saga.execute(checkout, { orderId: "o" }, { id: "o" }), context) }
      })
      const shop = yield* Shop
      const arrived = yield* Deferred.make<void>()
      shop.plan.set("ship", Effect.andThen(Deferred.succeed(arrived, undefined), Effect.never))
      const first = yield* engine()
      const fiber = yield* Effect.forkChild(first.run)
      yield* Deferred.await(arrived)
      yield* Fiber.interrupt(fiber)
      yield* Scope.close(first.scope, yield* Effect.exit(Effect.void))
      shop.plan.clear()
      const second = yield* engine()
      const end = yield* second.run
      assert.strictEqual(end._tag, "Completed")
      const { charges, totals } = yield* Effect.flatMap(TestGateway.TestGateway, ({ ledger }) => ledger)
      assert.strictEqual(charges, 1)
      assert.strictEqual(Number(totals["EUR"]?.net.amount.value), 4990)
      assert.deepStrictEqual(shop.calls, ["reserve", "ship", "ship", "receipt"])
      yield* Scope.close(second.scope, yield* Effect.exit(Effect.void))
    }).pipe(Effect.provide([shopLayer, TestGateway.layer()])), 30_000)

  it.live("fails with a word when a run is none of its own, and leaves it alone", () =>
    Effect.gen(function*() {
      const log = yield* SagaLog.SagaLog
      const { send } = yield* Redis.Redis
      const request = requestOf({ id: "the-id" })
      const { run } = yield* claim(log, request)
      const key = `{${prefix}-odd}:run:${run.key}`
      yield* send("HSET", key, "state", "the-state")
      const failing: ReadonlyArray<Effect.Effect<unknown, SagaLog.LogUnavailable>> = [
        log.claim(request),
        log.append({ ...run, seq: 2, events: [] }),
        log.release(run),
        log.cancel(run),
        log.pause({ ...run, note: "n" }),
        log.read(run)
      ]
      for (const self of failing) assert.strictEqual((yield* Effect.flip(self)).detail, "RowUnreadable")
      const { run: sound } = yield* claim(log, requestOf({ saga: run.saga, id: "the-next" }))
      const listed = yield* log.list({ limit: 9 })
      const { id, key: name, saga } = run
      assert.deepStrictEqual(listed, [{ key: name, saga, id, state: "Unreadable", detail: "its state" }, sound])
      assert.deepStrictEqual(yield* log.list({ state: "Running", limit: 9 }), [sound])
      assert.strictEqual(yield* send("HGET", key, "state"), "the-state")
      yield* send("DEL", key)
      yield* send("SET", key, "the-value")
      const error = yield* Effect.flip(log.claim(request))
      assert.deepStrictEqual(error, new SagaLog.LogUnavailable({ operation: "claim", detail: "RedisError" }))
      const [odd, ...rest] = yield* log.list({ limit: 9 })
      assert.deepStrictEqual([odd, rest], [{ key: name, saga, id, state: "Unreadable", detail: "its saga" }, [sound]])
      yield* send("DEL", key)
    }).pipe(
      Effect.provide(SagaLog.layerStoreRedis({ prefix: `${prefix}-odd` }).pipe(Layer.provideMerge(client)))
    ))

  it.live("refuses a prefix that is none, and replicas without a bound", () =>
    Effect.gen(function*() {
      const options = [{ prefix: "" }, { prefix: "a{b" }, { replicas: { count: 0 } }]
      for (const each of options) {
        const error = yield* Effect.flip(
          Effect.scoped(Layer.build(SagaLog.layerStoreRedis(each).pipe(Layer.provide(client))))
        )
        assert.isTrue(error._tag === "LogUnavailable" && error.operation === "start")
      }
    }))
})
