import { SqliteClient } from "@effect-payments/sqlite"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Semaphore, String } from "effect"
import { IdempotencyStore } from "effect-payments"
import { Reactivity } from "effect/reactivity"
import { SqlClient, Statement } from "effect/sql"
import { TestClock } from "effect/testing"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { sqlite } from "../../examples/src/soak/stores.ts"
import { requestOf, rival } from "./idempotency/request.ts"
import { shiftTime } from "./idempotency/shiftTime.ts"
import { sqlContract } from "./idempotency/sqlContract.ts"
import { storeContract } from "./idempotency/storeContract.ts"
import { storeProcesses } from "./idempotency/storeProcesses.ts"

const Store = IdempotencyStore.IdempotencyStore
const succeeded = { _tag: "Succeeded", result: "{}", ttlMillis: 60_000 } as const

storeContract("memory", IdempotencyStore.layerStoreMemory(), {
  live: false,
  advance: (duration) => TestClock.adjust(duration)
})

storeContract(
  "sqlite",
  IdempotencyStore.layerStoreSql().pipe(Layer.provideMerge(SqliteClient.layer({ filename: ":memory:" }))),
  { live: true, advance: shiftTime }
)

storeProcesses("sqlite", "", { client: sqlite, advance: () => shiftTime })

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "idempotency-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
)

sqlContract("sqlite", {
  claimsBesideTransaction: false,
  database: Effect.map(directory, (directory) => (options) =>
    SqliteClient.layer({
      filename: join(directory, "store.db"),
      busyTimeout: "10 seconds",
      transformResultNames: options?.camelCase === true ? String.snakeToCamel : undefined,
      transformQueryNames: options?.camelCase === true ? String.camelToSnake : undefined
    })),
  poison: Effect.flatMap(
    SqlClient.SqlClient,
    (sql) =>
      sql`CREATE TRIGGER poison BEFORE UPDATE ON effect_payments_idempotency
      WHEN NEW.result = 'poison' BEGIN SELECT RAISE(ABORT, 'no'); END`.unprepared
  )
})

describe("the memory store", () => {
  const onStore = (capacity: number) => Effect.provide(IdempotencyStore.layerStoreMemory({ capacity }))
  const full = new IdempotencyStore.StoreUnavailable({ operation: "claim", detail: "Full" })

  it.effect("refuses a new record when it is full of live ones, and goes on with those it has", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const first = yield* store.claim(requestOf())
      yield* store.claim(requestOf())
      yield* store.claim(requestOf())
      assert.deepStrictEqual(yield* Effect.flip(store.claim(requestOf())), full)
      assert.isTrue(yield* store.complete({ ...first.record, completion: succeeded }))
      const replay = yield* store.claim(rival({ ...requestOf(), ...first.record, fingerprint: "v1:a" }))
      assert.strictEqual(replay.record.state, "Succeeded")
      assert.deepStrictEqual(yield* Effect.flip(store.claim(requestOf())), full)
    }).pipe(onStore(3)))

  it.effect("never drops what is in doubt to make room", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const { record } = yield* store.claim(requestOf())
      yield* store.complete({
        ...record,
        completion: { _tag: "Indeterminate", ran: true, counted: true, attemptsMax: 3 }
      })
      yield* TestClock.adjust("1000 days")
      assert.deepStrictEqual(yield* Effect.flip(store.claim(requestOf())), full)
    }).pipe(onStore(1)))

  it.effect("makes room from what has expired, wherever it stands", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const records = yield* Effect.forEach(Array.from({ length: 300 }, () => requestOf()), (request) =>
        Effect.map(store.claim(request), ({ record }) => record))
      for (const index of [137, 20, 250]) {
        assert.deepStrictEqual(yield* Effect.flip(store.claim(requestOf())), full)
        const done = records[index]
        assert.isDefined(done)
        yield* store.complete({ ...done, completion: succeeded })
        assert.deepStrictEqual(yield* Effect.flip(store.claim(requestOf())), full)
        yield* TestClock.adjust("1 minute")
        assert.strictEqual((yield* store.claim(requestOf())).record.state, "Claimed")
        assert.isUndefined((yield* store.inspect(done)).record)
        assert.deepStrictEqual(yield* Effect.flip(store.claim(requestOf())), full)
      }
    }).pipe(onStore(300)))

  it.effect("does not grow with records that have expired", () =>
    Effect.gen(function*() {
      const store = yield* Store
      for (let round = 0; round < 2000; round++) {
        const { record } = yield* store.claim(requestOf())
        yield* store.complete({ ...record, completion: succeeded })
        yield* TestClock.adjust("1 second")
      }
      // A minute's worth is alive; the hand goes round faster than records come.
      assert.isAtMost((yield* store.list({ limit: 1000 })).length, 130)
    }).pipe(onStore(100_000)))

  it.effect("refuses a capacity that is none", () =>
    Effect.gen(function*() {
      for (const capacity of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
        const layer = IdempotencyStore.layerStoreMemory({ capacity })
        assert.strictEqual((yield* Effect.flip(Effect.scoped(Layer.build(layer)))).operation, "start")
      }
    }))
})

describe("the SQLite store", () => {
  const layerOf = (filename: string) =>
    IdempotencyStore.layerStoreSql().pipe(Layer.provide(SqliteClient.layer({ filename, busyTimeout: 0 })))

  it.live("says that it is locked when another process writes for too long", () =>
    Effect.gen(function*() {
      const filename = join(yield* directory, "store.db")
      yield* Effect.gen(function*() {
        const store = yield* Store
        const { record } = yield* store.claim(requestOf())
        const other = new DatabaseSync(filename)
        other.exec("BEGIN IMMEDIATE")
        const requests = Array.from({ length: 9 }, () => requestOf())
        const exits = yield* Effect.forEach(requests, (request) => Effect.exit(store.claim(request)), {
          concurrency: "unbounded"
        })
        const locked = new IdempotencyStore.StoreUnavailable({ operation: "claim", detail: "LockTimeoutError" })
        assert.deepStrictEqual(exits, requests.map(() => Exit.fail(locked)))
        // Reading needs no lock: a replay is still answered.
        const replay = yield* store.claim(rival({ ...requestOf(), ...record, fingerprint: "v1:a" }))
        assert.strictEqual(replay.record.owner, record.owner)
        other.exec("ROLLBACK")
        other.close()
        yield* Effect.forEach(requests, store.claim, { concurrency: "unbounded" })
      }).pipe(Effect.provide(layerOf(filename)))
    }))

  it.effect("refuses a database that it does not speak to", () =>
    Effect.gen(function*() {
      const connection = Effect.die("never asked")
      const client = yield* SqlClient.make({
        ...SqlClient.makeSqliteAcquirers({ connection, semaphore: yield* Semaphore.make(1) }),
        compiler: Object.assign(Object.create(Statement.makeCompilerSqlite()), { dialect: "mysql" }),
        driver: "fake",
        spanAttributes: []
      })
      const layer = IdempotencyStore.layerStoreSql().pipe(Layer.provide(Layer.succeed(SqlClient.SqlClient, client)))
      assert.deepStrictEqual(
        yield* Effect.flip(Effect.scoped(Layer.build(layer))),
        new IdempotencyStore.StoreUnavailable({ operation: "start", detail: "the store speaks sqlite and pg" })
      )
    }).pipe(Effect.provide(Reactivity.layer)))
})
