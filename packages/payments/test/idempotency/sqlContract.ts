/** What the store does besides when it is a table in a database. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Scope } from "effect"
import { IdempotencyStore } from "effect-payments"
import { Migrator, SqlClient, type SqlError } from "effect/sql"
import { requestOf, rival } from "./request.ts"

export type Database = Layer.Layer<SqlClient.SqlClient, SqlError.SqlError>

export interface SqlContractOptions {
  /** A database without our tables, for the duration of the scope: each layer is a client of its own. */
  readonly database: Effect.Effect<(options?: { readonly camelCase: boolean }) => Database, never, Scope.Scope>
  /** Whether a claim can commit beside an open transaction of the same client. */
  readonly claimsBesideTransaction: boolean
  /** Makes the database refuse the result `"poison"`. */
  readonly poison: Effect.Effect<unknown, SqlError.SqlError, SqlClient.SqlClient>
}

const succeeded = { _tag: "Succeeded", result: `"done"`, ttlMillis: 60_000 } as const
const storeLayer = IdempotencyStore.layerStoreSql()
const Store = IdempotencyStore.IdempotencyStore

export const sqlContract = (name: string, { claimsBesideTransaction, database, poison }: SqlContractOptions): void => {
  /** Runs with a store on a fresh database. */
  const onStore = <A, E>(self: Effect.Effect<A, E, IdempotencyStore.IdempotencyStore | SqlClient.SqlClient>) =>
    Effect.flatMap(database, (client) => Effect.provide(self, storeLayer.pipe(Layer.provideMerge(client()))))

  const transactionsOf = (store: IdempotencyStore.IdempotencyStore["Service"]) => {
    assert.isDefined(store.transactions)
    return store.transactions
  }

  const order = Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE TABLE orders (id INTEGER PRIMARY KEY)`
    return {
      insert: sql`INSERT INTO orders (id) VALUES (1)`,
      count: Effect.map(sql`SELECT id FROM orders`, (rows) => rows.length)
    }
  })

  describe(`${name}: the table`, () => {
    it.live("commits a completion with the rows of the same transaction", () =>
      onStore(Effect.gen(function*() {
        const store = yield* Store
        const { count, insert } = yield* order
        const { record } = yield* store.claim(requestOf())
        const complete = store.complete({ ...record, completion: succeeded })
        const { withTransaction } = transactionsOf(store)

        const rolledBack = withTransaction(Effect.andThen(insert, Effect.andThen(complete, Effect.fail("no" as const))))
        assert.strictEqual(yield* Effect.flip(rolledBack), "no")
        assert.strictEqual(yield* count, 0)
        assert.strictEqual((yield* store.inspect(record)).record?.state, "Claimed")

        assert.isTrue(yield* withTransaction(Effect.andThen(insert, complete)))
        assert.strictEqual(yield* count, 1)
        assert.strictEqual((yield* store.inspect(record)).record?.state, "Succeeded")
      })))

    it.live("knows whether it is inside a transaction of its client", () =>
      onStore(Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const { isInside, withTransaction } = transactionsOf(yield* Store)
        assert.isFalse(yield* isInside)
        assert.isTrue(yield* withTransaction(isInside))
        assert.isTrue(yield* sql.withTransaction(isInside))
        assert.isFalse(yield* isInside)
      })))

    it.live("leaves the errors of the effect in a transaction as they are", () =>
      onStore(Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const { withTransaction } = transactionsOf(yield* Store)
        const error = yield* Effect.flip(withTransaction(sql`SELECT * FROM nowhere`))
        assert.strictEqual(error._tag, "SqlError")
      })))

    it.live("claims alone, whatever becomes of a transaction around it", () =>
      onStore(Effect.gen(function*() {
        const store = yield* Store
        const request = requestOf()
        const { withTransaction } = transactionsOf(store)
        const exit = yield* Effect.exit(withTransaction(Effect.flatMap(store.claim(request), Effect.fail)))
        assert.isTrue(Exit.isFailure(exit))
        const { record } = yield* store.inspect(request)
        if (claimsBesideTransaction) {
          assert.strictEqual(record?.owner, request.owner)
        } else {
          assert.deepStrictEqual(
            exit,
            Exit.fail(new IdempotencyStore.StoreUnavailable({ operation: "claim", detail: "InsideTransaction" }))
          )
          assert.isUndefined(record)
        }
      })))

    it.live("is made once when many start at the same moment, and keeps its records", () =>
      Effect.gen(function*() {
        const client = yield* database
        const request = requestOf()
        const claim = Effect.flatMap(Store, (store) => store.claim(rival(request)))
        const start = () => Effect.provide(claim, Layer.fresh(storeLayer.pipe(Layer.provide(client()))))
        const replies = yield* Effect.forEach([1, 2, 3, 4], start, { concurrency: "unbounded" })
        const winner = replies[0]?.record.owner
        assert.isTrue(replies.every(({ record }) => record.owner === winner && record.attempt === 1))
        assert.strictEqual((yield* start()).record.owner, winner)
      }))

    it.live("may have another name, and is then another store", () =>
      Effect.gen(function*() {
        const client = yield* Effect.map(database, (client) => client())
        const request = requestOf()
        yield* Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          const layer = IdempotencyStore.layerStoreSql({ table: "select" }).pipe(Layer.provide(client))
          const claim = (request: Parameters<typeof rival>[0]) => Effect.flatMap(Store, (store) => store.claim(request))
          assert.strictEqual((yield* Effect.provide(claim(request), layer)).record.owner, request.owner)
          const other = rival(request)
          assert.strictEqual((yield* claim(other)).record.owner, other.owner)
          assert.strictEqual((yield* sql`SELECT id FROM ${sql("select")}`).length, 1)
        }).pipe(Effect.provide(storeLayer.pipe(Layer.provideMerge(client))))
      }))

    it.live("refuses a name that is none", () =>
      Effect.gen(function*() {
        const client = yield* Effect.map(database, (client) => client())
        for (const table of ["", "1a", "A", "a b", "a\"b", "a;b", "a.b", "x".repeat(41)]) {
          const layer = IdempotencyStore.layerStoreSql({ table }).pipe(Layer.provide(client))
          const error = yield* Effect.flip(Effect.scoped(Layer.build(layer)))
          assert.strictEqual(error._tag, "StoreUnavailable", table)
        }
      }))

    it.live("refuses a batch without a bound", () =>
      Effect.gen(function*() {
        const client = yield* Effect.map(database, (client) => client())
        for (const batchMax of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 1001]) {
          const layer = IdempotencyStore.layerStoreSql({ batchMax }).pipe(Layer.provide(client))
          const error = yield* Effect.flip(Effect.scoped(Layer.build(layer)))
          assert.strictEqual(error._tag, "StoreUnavailable", `${batchMax}`)
        }
      }))

    it.live("writes alone when a batch holds one", () =>
      Effect.gen(function*() {
        const client = yield* Effect.map(database, (client) => client())
        const layer = IdempotencyStore.layerStoreSql({ batchMax: 1 }).pipe(Layer.provide(client))
        const requests = Array.from({ length: 30 }, () => requestOf())
        const replies = yield* Effect.flatMap(Store, (store) =>
          Effect.forEach(requests, store.claim, { concurrency: "unbounded" })).pipe(Effect.provide(layer))
        assert.deepStrictEqual(
          replies.map(({ record }) =>
            record.owner
          ),
          requests.map(({ owner }) => owner)
        )
      }))

    it.live("is left to the project's own migrator", () =>
      onStore(Effect.gen(function*() {
        const options = { table: "mine" }
        const client = yield* SqlClient.SqlClient
        const layer = IdempotencyStore.layerStoreSql({ ...options, migrate: false }).pipe(
          Layer.provide(Layer.succeed(SqlClient.SqlClient, client))
        )
        const claim = Effect.flatMap(Store, (store) => store.claim(requestOf()))
        const missing = yield* Effect.flip(Effect.provide(claim, Layer.fresh(layer)))
        assert.strictEqual(missing._tag, "StoreUnavailable")
        yield* Migrator.make({})({
          loader: Migrator.fromRecord(IdempotencyStore.migrations(options)),
          table: "my_migrations"
        })
        assert.strictEqual((yield* Effect.provide(claim, Layer.fresh(layer))).record.state, "Claimed")
      })))

    it.live("does not mind a client that renames columns", () =>
      Effect.gen(function*() {
        const client = yield* database
        const layer = storeLayer.pipe(Layer.provide(client({ camelCase: true })))
        yield* Effect.gen(function*() {
          const store = yield* Store
          const { record } = yield* store.claim(requestOf())
          assert.isTrue(yield* store.complete({ ...record, completion: succeeded }))
          assert.strictEqual((yield* store.inspect(record)).record?.result, `"done"`)
          assert.strictEqual((yield* store.list({ limit: 10 })).length, 1)
        }).pipe(Effect.provide(layer))
      }))

    it.live("reads integers as whatever the client reads them", () =>
      onStore(
        Effect.gen(function*() {
          const store = yield* Store
          const { record } = yield* store.claim(requestOf())
          assert.deepStrictEqual((yield* store.inspect(record)).record, record)
          assert.deepStrictEqual(yield* store.renew([{ ...record, leaseMillis: 30_000 }]), [true])
        }).pipe(Effect.provideService(SqlClient.SafeIntegers, true))
      ))

    it.live("fails with a word when a row is none of its own", () =>
      onStore(Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const store = yield* Store
        const { record } = yield* store.claim(requestOf())
        yield* sql`UPDATE ${sql("effect_payments_idempotency")} SET tenant = 'other'`
        assert.strictEqual((yield* Effect.flip(store.list({ limit: 9 }))).detail, "RowUnreadable")
        yield* sql`UPDATE ${sql("effect_payments_idempotency")} SET tenant = 'shop', state = 'Elsewhere'`
        const failing: ReadonlyArray<Effect.Effect<unknown, IdempotencyStore.StoreUnavailable>> = [
          store.claim(rival(requestOf({ name: record.key }))),
          store.inspect(record),
          store.list({ limit: 9 })
        ]
        for (const self of failing) {
          const error = yield* Effect.flip(self)
          assert.strictEqual(error.detail, "RowUnreadable")
        }
      })))

    it.live("fails with a word on the cause that holds nothing of the record", () =>
      onStore(Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const store = yield* Store
        const request = requestOf({ name: "the-key", fingerprint: "the-fingerprint", owner: "the-owner" })
        const { record } = yield* store.claim(request)
        yield* sql`DROP TABLE ${sql("effect_payments_idempotency")}`
        const completion = { ...succeeded, result: "the-result" }
        const failing: ReadonlyArray<readonly [string, Effect.Effect<unknown, IdempotencyStore.StoreUnavailable>]> = [
          ["claim", store.claim(request)],
          ["complete", store.complete({ ...record, completion })],
          ["release", store.release({ ...record, ttlMillis: 1 })],
          ["renew", store.renew([{ ...record, leaseMillis: 1 }])],
          ["resolve", store.resolve({ ...record, ttlMillis: 1, resolution: { _tag: "NeverHappened" } })],
          ["inspect", store.inspect(record)],
          ["list", store.list({ limit: 1 })],
          ["evict", store.evict(record, { force: true })],
          ["sweep", store.sweep({ limit: 1 })]
        ]
        for (const [operation, self] of failing) {
          const error = yield* Effect.flip(self)
          assert.strictEqual(error._tag, "StoreUnavailable")
          assert.strictEqual(error.operation, operation)
          assert.match(error.detail, /^[A-Z][A-Za-z]+$/)
          assert.notMatch(`${error.message} ${JSON.stringify(error)}`, /the-/)
        }
      })))

    it.live("answers many at once when one of them cannot be written", () =>
      onStore(Effect.gen(function*() {
        const store = yield* Store
        const records = yield* Effect.forEach(Array.from({ length: 20 }, () => requestOf()), (request) =>
          Effect.map(store.claim(request), ({ record }) => record), { concurrency: "unbounded" })
        yield* poison
        const ends = yield* Effect.forEach(records, (record, index) => {
          const completion = { ...succeeded, result: index === 7 ? "poison" : `${index}` }
          return Effect.exit(store.complete({ ...record, completion }))
        }, { concurrency: "unbounded" })
        const results = yield* Effect.forEach(records, (record) =>
          Effect.map(store.inspect(record), ({ record }) =>
            record?.result))
        assert.deepStrictEqual(
          ends.map(Exit.isSuccess),
          records.map((_, index) =>
            index !== 7
          )
        )
        assert.deepStrictEqual(
          results,
          records.map((_, index) =>
            index === 7 ? undefined : `${index}`
          )
        )
      })))

    it.live("finishes what is on its way when its layer closes", () =>
      Effect.gen(function*() {
        const client = yield* database
        const requests = Array.from({ length: 20 }, () => requestOf())
        const scope = yield* Scope.make()
        const context = yield* Layer.buildWithScope(storeLayer.pipe(Layer.provide(client())), scope)
        const claims = yield* Effect.forEach(requests, (request) =>
          Effect.forkChild(
            Effect.provide(Effect.flatMap(Store, (store) => store.claim(request)), context),
            { startImmediately: true }
          ))
        yield* Scope.close(scope, Exit.void)
        const kept = yield* Effect.flatMap(Store, (store) => store.list({ limit: 100 })).pipe(
          Effect.provide(storeLayer.pipe(Layer.provide(client())))
        )
        void claims
        assert.strictEqual(kept.length, 20)
      }))
  })
}
