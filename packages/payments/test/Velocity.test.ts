import { SqliteClient } from "@effect-payments/sqlite"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Metric, Semaphore } from "effect"
import { Velocity } from "effect-payments"
import { Reactivity } from "effect/reactivity"
import { SqlClient, Statement } from "effect/sql"
import { TestClock } from "effect/testing"
import * as clockStore from "./velocity/clockStore.ts"
import { velocityContract } from "./velocity/contract.ts"

const Store = Velocity.Velocity
const memory = SqliteClient.layer({ filename: ":memory:" })
const counter = { series: "user_hourly", key: "u_42", window: "1 hour" } as const

velocityContract("memory", Velocity.layerStoreMemory(), { live: false, advance: (by) => TestClock.adjust(by) })

velocityContract("sqlite", clockStore.layer.pipe(Layer.provideMerge(memory)), {
  live: true,
  advance: clockStore.advance,
  largest: 200
})

describe("the memory store", () => {
  const key = (key: string) => ({ ...counter, key, attempt: "1" })
  const keyMeasured = (keys: ReadonlyArray<string>) =>
    Effect.flatMap(
      Store,
      (store) => Effect.forEach(keys, (key) => Effect.map(store.measure({ ...counter, key }), ({ count }) => count))
    )
  const evicted = Effect.map(
    Metric.snapshot,
    (snapshots) =>
      snapshots.flatMap((metric) =>
        metric.id === "effect_payments_velocity_evicted_total" && metric.type === "Counter" ? [metric.state.count] : []
      ).reduce((sum: number, count) => sum + Number(count), 0)
  )

  it.effect("drops the counter that was used least lately when it is full, and says so", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const before = yield* evicted
      yield* store.record([key("a"), key("b"), key("c")])
      yield* store.record([key("a")])
      yield* store.record([key("d")])
      assert.deepStrictEqual(yield* keyMeasured(["a", "b", "c", "d"]), [1, 0, 1, 1])
      assert.strictEqual((yield* evicted) - before, 1)
    }).pipe(Effect.provide(Velocity.layerStoreMemory({ capacity: 3 }))))

  it.effect("makes room from what has expired without a word", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const before = yield* evicted
      yield* store.record([key("a"), key("b"), key("c")])
      yield* TestClock.adjust("2 hours")
      yield* store.record([key("d"), key("e"), key("f")])
      assert.deepStrictEqual(yield* keyMeasured(["d", "e", "f"]), [1, 1, 1])
      assert.strictEqual((yield* evicted) - before, 0)
    }).pipe(Effect.provide(Velocity.layerStoreMemory({ capacity: 3 }))))

  it.effect("refuses a capacity that is none", () =>
    Effect.gen(function*() {
      for (const capacity of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
        const { reason } = yield* Effect.flip(Effect.scoped(Layer.build(Velocity.layerStoreMemory({ capacity }))))
        assert.deepStrictEqual(
          reason,
          new Velocity.VelocityUnavailable({ operation: "start", detail: "capacity must be a whole number from 1" })
        )
      }
    }))
})

describe("the SQLite store", () => {
  it.live("runs on the clock of the database, in a table of its own", () =>
    Effect.gen(function*() {
      const store = yield* Store
      yield* store.record([{ ...counter, attempt: "1" }, { ...counter, attempt: "2" }])
      assert.strictEqual((yield* store.measure(counter)).count, 2)
      const sql = yield* SqlClient.SqlClient
      const [row] = yield* sql<{ age: number; left: number }>`SELECT
        unixepoch('subsec') * 1000 - updated_at AS age, expires_at - updated_at AS left FROM effect_payments_velocity`
      assert.isDefined(row)
      assert.isBelow(Math.abs(row.age), 10_000)
      assert.strictEqual(row.left, 3_600_000)
    }).pipe(Effect.provide(Velocity.layerStoreSql().pipe(Layer.provideMerge(memory)))))

  it.live("drops counters whose window is over", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const sql = yield* SqlClient.SqlClient
      const rows = Effect.map(sql<{ n: number }>`SELECT count(*) AS n FROM velocity_counters`, ([row]) => row?.n ?? 0)
      const record = (i: number) => store.record([{ ...counter, key: `${i}`, attempt: "1" }])
      for (let i = 0; i < 500; i++) yield* record(i)
      assert.strictEqual(yield* rows, 500)
      yield* clockStore.advance("2 hours")
      for (let i = 500; i < 700; i++) yield* record(i)
      yield* Effect.yieldNow
      assert.strictEqual(yield* rows, 200)
    }).pipe(Effect.provide(clockStore.layer.pipe(Layer.provideMerge(memory)))))

  it.live("fails inside a transaction instead of waiting for itself", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const sql = yield* SqlClient.SqlClient
      const { reason } = yield* Effect.flip(sql.withTransaction(store.record([{ ...counter, attempt: "1" }])))
      assert.deepStrictEqual(
        reason,
        new Velocity.VelocityUnavailable({ operation: "record", detail: "InsideTransaction" })
      )
      assert.strictEqual((yield* sql.withTransaction(store.measure(counter))).count, 0)
    }).pipe(Effect.provide(Velocity.layerStoreSql().pipe(Layer.provideMerge(memory)))))

  it.live("says what it cannot read, and nothing of it", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const sql = yield* SqlClient.SqlClient
      yield* store.record([{ ...counter, attempt: "1" }])
      for (const log of ["[[1]]", "{}", "[[1700000000000,\"1\",\"x\",\"\"]]", "nonsense"]) {
        yield* sql`UPDATE effect_payments_velocity SET log = ${log}`
        const { reason } = yield* Effect.flip(store.measure(counter))
        assert.deepStrictEqual(
          reason,
          new Velocity.VelocityUnavailable({ operation: "measure", detail: "RowUnreadable" })
        )
      }
      yield* sql`DROP TABLE effect_payments_velocity`
      const gone = yield* Effect.flip(store.record([{ ...counter, attempt: "2" }]))
      assert.strictEqual(gone.reason._tag, "VelocityUnavailable")
      assert.strictEqual(gone.disposition, "NotExecuted")
      assert.notInclude(gone.message, "u_42")
    }).pipe(Effect.provide(Velocity.layerStoreSql().pipe(Layer.provideMerge(memory)))))

  it.live("takes migrations that were run elsewhere, and a table of another name", () =>
    Effect.gen(function*() {
      for (const migration of Object.values(Velocity.migrations({ table: "mine" }))) yield* migration
      const layer = Velocity.layerStoreSql({ table: "mine", migrate: false })
      const store = yield* Effect.provide(Store, layer)
      assert.deepStrictEqual(
        (yield* Effect.scoped(Effect.flatMap(Layer.build(layer), (context) =>
          Effect.provide(
            Effect.flatMap(Store, (store) => store.record([{ ...counter, attempt: "1" }])),
            context
          ))))
          .map(({ count }) => count),
        [1]
      )
      assert.strictEqual((yield* store.measure(counter)).count, 1)
      const wrong = Velocity.layerStoreSql({ table: "no table", migrate: false })
      assert.strictEqual((yield* Effect.flip(Effect.scoped(Layer.build(wrong))))._tag, "VelocityError")
    }).pipe(Effect.provide(memory)))

  it.effect("refuses a database that it does not speak to", () =>
    Effect.gen(function*() {
      const client = yield* SqlClient.make({
        ...SqlClient.makeSqliteAcquirers({
          connection: Effect.die("never asked"),
          semaphore: yield* Semaphore.make(1)
        }),
        compiler: Object.assign(Object.create(Statement.makeCompilerSqlite()), { dialect: "mysql" }),
        driver: "fake",
        spanAttributes: []
      })
      const layer = Velocity.layerStoreSql().pipe(Layer.provide(Layer.succeed(SqlClient.SqlClient, client)))
      const error = yield* Effect.flip(Effect.scoped(Layer.build(layer)))
      assert.strictEqual(error.message, "the velocity store failed to start (the store speaks sqlite and pg)")
    }).pipe(Effect.provide(Reactivity.layer)))
})
