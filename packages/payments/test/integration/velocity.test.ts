import { NodeRedis } from "@effect/platform-node"
import { assert, describe, inject, it } from "@effect/vitest"
import { Duration, Effect, Layer } from "effect"
import { Velocity } from "effect-payments"
import { Redis } from "effect/persistence"
import { SqlClient } from "effect/sql"
import { make } from "../../src/internal/velocity/redis.ts"
import { client, makeSchema } from "../support/postgres.ts"
import * as clockStore from "../velocity/clockStore.ts"
import { velocityContract } from "../velocity/contract.ts"

const counter = { series: "user_hourly", key: "u_42", window: "1 hour" } as const

// --- Postgres

const schema = makeSchema("velocity")
const clientOnSchema = Layer.unwrap(Effect.map(schema, client))

velocityContract("postgres", clockStore.layer.pipe(Layer.provideMerge(clientOnSchema)), {
  live: true,
  advance: clockStore.advance,
  largest: 200,
  runs: 30
})

const buildOn = <E, R>(layer: Layer.Layer<Velocity.Velocity, E, R>) =>
  Effect.map(Layer.build(Layer.fresh(layer)), (context) => Effect.runSync(Effect.provide(Velocity.Velocity, context)))

describe("the Postgres store", () => {
  it.live("gives each attempt of several clients a count of its own", () =>
    Effect.gen(function*() {
      const name = yield* schema
      const stores = yield* Effect.forEach([1, 2, 3], () =>
        buildOn(Velocity.layerStoreSql().pipe(Layer.provide(client(name)))))
      const attempts = stores.flatMap((store, i) =>
        Array.from({ length: 60 }, (_, j) => ({ store, key: j % 2, attempt: `${i}-${j}` }))
      )
      const counts = yield* Effect.forEach(attempts, ({ attempt, key, store }) =>
        Effect.map(store.record([{ ...counter, key: `${key}`, attempt }]), ([measure]) =>
          `${key} ${measure?.count}`), {
        concurrency: "unbounded"
      })
      assert.strictEqual(new Set(counts).size, attempts.length)
      const last = yield* Effect.forEach(["0", "1"], (key) =>
        Effect.flatMap(Effect.fromNullishOr(stores[0]), (store) =>
          store.measure({ ...counter, key })))
      assert.deepStrictEqual(
        last.map(({ count }) =>
          count
        ),
        [90, 90]
      )
    }), 60_000)

  it.live(
    "does not lock itself out when clients record the same counters in other orders",
    () =>
      Effect.gen(function*() {
        const name = yield* schema
        const [first, second] = yield* Effect.forEach(
          [1, 2],
          () => buildOn(Velocity.layerStoreSql().pipe(Layer.provide(client(name))))
        )
        assert.isDefined(first)
        assert.isDefined(second)
        const keys = Array.from({ length: 50 }, (_, i) => `${i}`)
        for (let round = 0; round < 10; round++) {
          const record = (store: Velocity.Velocity["Service"], keys: ReadonlyArray<string>, by: string) =>
            store.record(keys.map((key) => ({ ...counter, key, attempt: `${by}${round}` })))
          yield* Effect.all([record(first, keys, "a"), record(second, keys.toReversed(), "b")], {
            concurrency: "unbounded"
          })
        }
        const counts = yield* Effect.forEach(keys, (key) => first.measure({ ...counter, key }))
        assert.isTrue(counts.every(({ count }) => count === 20))
      }),
    60_000
  )

  it.live("counts an attempt also when the transaction around it is rolled back", () =>
    Effect.gen(function*() {
      const store = yield* Velocity.Velocity
      const sql = yield* SqlClient.SqlClient
      const rolledBack = sql.withTransaction(
        Effect.andThen(store.record([{ ...counter, attempt: "1" }]), Effect.fail("no" as const))
      )
      assert.strictEqual(yield* Effect.flip(rolledBack), "no")
      assert.strictEqual((yield* store.measure(counter)).count, 1)
    }).pipe(Effect.provide(Velocity.layerStoreSql().pipe(Layer.provideMerge(clientOnSchema)))), 60_000)

  it.live("runs on the clock of the database", () =>
    Effect.gen(function*() {
      const store = yield* Velocity.Velocity
      yield* store.record([{ ...counter, attempt: "1" }])
      const sql = yield* SqlClient.SqlClient
      const [row] = yield* sql<{ age: number; left: number }>`SELECT
        abs(extract(epoch FROM clock_timestamp()) * 1000 - updated_at)::float8 AS age,
        (expires_at - updated_at)::float8 AS left FROM effect_payments_velocity`
      assert.isDefined(row)
      assert.isBelow(row.age, 10_000)
      assert.strictEqual(row.left, 3_600_000)
    }).pipe(Effect.provide(Velocity.layerStoreSql().pipe(Layer.provideMerge(clientOnSchema)))), 60_000)
})

// --- Redis

const redis = NodeRedis.layer({ url: inject("redis") })
const prefix = `velocity-${process.pid}:`

const shift = Redis.script((prefix: string, millis: number) => [prefix, millis], {
  numberOfKeys: 0,
  lua: `
redis.call("INCRBY", ARGV[1] .. "clock", ARGV[2])
for _, key in ipairs(redis.call("KEYS", ARGV[1] .. "counter:*")) do
  local left = redis.call("PTTL", key) - tonumber(ARGV[2])
  -- The expiry runs on the real clock, which has moved too since: what is over by less than a minute is left to the scores.
  if left > -60000 then redis.call("PEXPIRE", key, math.max(left, 60000)) else redis.call("DEL", key) end
end`
})

/** Lets time pass for the store and for what expires in it, on a clock that the test moves. */
const advanceRedis = (duration: Duration.Input) =>
  Effect.flatMap(
    Redis.Redis,
    (redis) => redis.eval(shift)(prefix, Duration.toMillis(Duration.fromInputUnsafe(duration)))
  )

const onClock = Layer.effect(
  Velocity.Velocity,
  Effect.gen(function*() {
    const { send } = yield* Redis.Redis
    yield* send("SET", `${prefix}clock`, "1700000000000")
    return yield* make({ prefix: `${prefix}counter:`, now: `tonumber(redis.call("GET", "${prefix}clock"))` })
  })
)

velocityContract("redis", onClock.pipe(Layer.provideMerge(redis)), {
  live: true,
  advance: advanceRedis,
  runs: 30
})

describe("the Redis store", () => {
  it.live("asks the server once for all observations of a call", () =>
    Effect.gen(function*() {
      const store = yield* Velocity.Velocity
      const { send } = yield* Redis.Redis
      const calls = Effect.map(send<string>("INFO", "commandstats"), (text) =>
        Number(/cmdstat_evalsha:calls=(\d+)/.exec(text)?.[1] ?? 0))
      const before = yield* calls
      const measures = yield* store.record(
        Array.from({ length: 20 }, (_, i) => ({ ...counter, key: `once ${i}`, attempt: "1" }))
      )
      assert.isTrue(
        measures.length === 20 && measures.every(({ count }) =>
          count === 1
        )
      )
      assert.strictEqual((yield* calls) - before, 1)
    }).pipe(Effect.provide(Velocity.layerStoreRedis({ prefix }).pipe(Layer.provideMerge(redis)))))

  it.live("runs again after the server has forgotten its scripts", () =>
    Effect.gen(function*() {
      const store = yield* Velocity.Velocity
      const { send } = yield* Redis.Redis
      yield* store.record([{ ...counter, key: "scripts", attempt: "1" }])
      yield* send("SCRIPT", "FLUSH")
      const [measure] = yield* store.record([{ ...counter, key: "scripts", attempt: "2" }])
      assert.strictEqual(measure?.count, 2)
    }).pipe(Effect.provide(Velocity.layerStoreRedis({ prefix }).pipe(Layer.provideMerge(redis)))))

  it.live("lets counters expire with their window", () =>
    Effect.gen(function*() {
      const store = yield* Velocity.Velocity
      const { send } = yield* Redis.Redis
      yield* store.record([{ series: "short", key: "k", window: "1 minute", attempt: "1" }])
      const [key] = yield* send<ReadonlyArray<string>>("KEYS", `${prefix}*short*`)
      assert.isDefined(key)
      const left = yield* send<number>("PTTL", key)
      assert.isTrue(left > 50_000 && left <= 60_000)
    }).pipe(Effect.provide(Velocity.layerStoreRedis({ prefix }).pipe(Layer.provideMerge(redis)))))

  it.live("says that something else is at its key, and nothing of it", () =>
    Effect.gen(function*() {
      const store = yield* Velocity.Velocity
      const { send } = yield* Redis.Redis
      yield* send("SET", `${prefix}11:user_hourly3600000:taken`, "x")
      const error = yield* Effect.flip(store.record([{ ...counter, key: "taken", attempt: "1" }]))
      assert.deepStrictEqual(
        error.reason,
        new Velocity.VelocityUnavailable({ operation: "record", detail: "RedisError" })
      )
      const refused = Velocity.layerStoreRedis({ prefix: "a b" })
      assert.strictEqual((yield* Effect.flip(Effect.scoped(Layer.build(refused)))).reason._tag, "VelocityUnavailable")
    }).pipe(Effect.provide(Velocity.layerStoreRedis({ prefix }).pipe(Layer.provideMerge(redis)))))
})
