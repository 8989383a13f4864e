import { PgClient } from "@effect/sql-pg"
import { assert, describe, inject, it } from "@effect/vitest"
import { Effect, Layer, Redacted, String, Tracer } from "effect"
import { IdempotencyStore } from "effect-payments"
import { SqlClient } from "effect/sql"
import { postgres } from "../../../examples/src/soak/stores.ts"
import * as statements from "../../src/internal/idempotency/statements.ts"
import { encodeRows, pg } from "../../src/internal/sql/statement.ts"
import { ClockStore, layer as clockStore } from "../idempotency/clockStore.ts"
import { Commands, compare } from "../idempotency/model.ts"
import { requestOf, rival } from "../idempotency/request.ts"
import { shiftTime } from "../idempotency/shiftTime.ts"
import { sqlContract } from "../idempotency/sqlContract.ts"
import { storeContract } from "../idempotency/storeContract.ts"
import { storeProcesses } from "../idempotency/storeProcesses.ts"

const Store = IdempotencyStore.IdempotencyStore
const url = Redacted.make(inject("postgres"))

const client = (schema: string, camelCase = false) =>
  PgClient.layer({
    url,
    maxConnections: 4,
    startupParameters: { search_path: schema },
    transformResultNames: camelCase ? String.snakeToCamel : undefined,
    transformQueryNames: camelCase ? String.camelToSnake : undefined
  })

let schemas = 0
/** A schema of its own, gone with the scope. */
const freshSchema = Effect.gen(function*() {
  const schema = `idempotency_${process.pid}_${schemas++}`
  const run = (text: string) =>
    Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(text)).pipe(Effect.provide(client("public")), Effect.orDie)
  yield* Effect.acquireRelease(
    run(`CREATE SCHEMA ${schema}`),
    () => run(`DROP SCHEMA ${schema} CASCADE`)
  )
  return schema
})

const database = Effect.map(
  freshSchema,
  (schema) => (options?: { readonly camelCase: boolean }) => client(schema, options?.camelCase)
)

const clientOnSchema = Layer.unwrap(Effect.map(database, (client) => client()))

storeContract("postgres", IdempotencyStore.layerStoreSql().pipe(Layer.provideMerge(clientOnSchema)), {
  live: true,
  advance: shiftTime
})

storeProcesses("postgres", inject("postgres"), { client: postgres, advance: () => shiftTime })

sqlContract("postgres", {
  claimsBesideTransaction: true,
  database,
  poison: Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`ALTER TABLE effect_payments_idempotency ADD CONSTRAINT poison CHECK (result <> 'poison')`
  )
})

it.layer(clockStore.pipe(Layer.provide(clientOnSchema)), { excludeTestServices: true })("the Postgres store", (it) => {
  for (const paired of [false, true]) {
    it.effect.prop(
      `does what the machine does${paired ? ", in batches" : ""}`,
      [Commands],
      ([commands]) =>
        Effect.gen(function*() {
          const { reset, setTime, store } = yield* ClockStore
          yield* reset
          yield* compare(store, setTime, commands, { paired })
        }),
      { arbitrary: { runs: 60 }, timeout: 120_000 }
    )
  }
})

describe("the Postgres store, by its statements", () => {
  it.live(
    "claims, completes and replays in one statement each, and many at once in one for all",
    () =>
      Effect.gen(function*() {
        const texts: Array<string> = []
        const tracer = Tracer.make({
          span: (options) => {
            const span = new Tracer.NativeSpan(options)
            const attribute = span.attribute.bind(span)
            span.attribute = (name, value) => {
              if (name === "db.query.text") texts.push(`${value}`)
              attribute(name, value)
            }
            return span
          }
        })
        const client = yield* database
        yield* Effect.gen(function*() {
          const store = yield* Store
          const succeeded = { _tag: "Succeeded", result: "{}", ttlMillis: 60_000 } as const
          const count = <A, E>(self: Effect.Effect<A, E>) =>
            Effect.suspend(() => {
              texts.length = 0
              return Effect.map(self, (value) => ({ value, statements: texts.length }))
            })
          const request = requestOf()
          const claim = yield* count(store.claim(request))
          const complete = yield* count(store.complete({ ...claim.value.record, completion: succeeded }))
          const replay = yield* count(store.claim(rival(request)))
          assert.deepStrictEqual([claim, complete, replay].map(({ statements }) => statements), [1, 1, 1])
          assert.strictEqual(replay.value.record.state, "Succeeded")

          // The same key twice goes in two statements: one cannot write a row twice.
          const keys = Array.from({ length: 100 }, () => requestOf())
          const calls = [...keys, ...keys.slice(0, 10).map((key) => rival(key))]
          const together = yield* count(Effect.forEach(calls, store.claim, { concurrency: "unbounded" }))
          assert.isBelow(together.statements, 14)
          const records = together.value.slice(0, 100).map(({ record }) => record)
          const ends = yield* count(
            Effect.forEach(records, (record) => store.complete({ ...record, completion: succeeded }), {
              concurrency: "unbounded"
            })
          )
          assert.isTrue(ends.value.every(Boolean))
          assert.isBelow(ends.statements, 14)
        }).pipe(
          Effect.provide(IdempotencyStore.layerStoreSql().pipe(Layer.provide(client()))),
          Effect.provideService(Tracer.Tracer, tracer)
        )
      }),
    60_000
  )
})

describe("the statements of the Postgres store", () => {
  it.live("look for each row by the index also where they are planned over an empty table", () =>
    Effect.gen(function*() {
      const client = yield* database
      yield* Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* Store
        const { claim, giveUp, release, renew, succeed } = statements.make("effect_payments_idempotency", pg)
        for (const { many, names, one } of [claim, giveUp, release, renew, succeed]) {
          const values = Object.fromEntries([...names, "can_resolve", "attempts_max"].map((name) => [name, "1"]))
          const given = { ...values, rows: encodeRows(names, Array.from({ length: 64 }, () => values)) }
          for (const { bind, text } of [one, many]) {
            const plan = (yield* sql.unsafe(`EXPLAIN ${text}`, bind(given)).values).join("\n")
            assert.include(plan, "using effect_payments_idempotency_pkey")
            assert.notInclude(plan, "Seq Scan")
          }
        }
      }).pipe(Effect.provide(IdempotencyStore.layerStoreSql().pipe(Layer.provideMerge(client()))))
    }))
})

describe("the Postgres store, by the isolation of its client", () => {
  const start = (schema: string, isolation: string) =>
    Layer.build(
      IdempotencyStore.layerStoreSql().pipe(Layer.provide(PgClient.layer({
        url,
        maxConnections: 4,
        startupParameters: { search_path: schema, default_transaction_isolation: isolation }
      })))
    )

  it.live("does not start above READ COMMITTED", () =>
    Effect.gen(function*() {
      const schema = yield* freshSchema
      for (const isolation of ["repeatable read", "serializable"]) {
        const error = yield* Effect.flip(start(schema, isolation))
        assert.deepStrictEqual(
          error,
          new IdempotencyStore.StoreUnavailable({
            operation: "start",
            detail:
              `default_transaction_isolation is ${isolation}, under which a claim that waited for another may fail: set it to read committed for this client`
          })
        )
      }
      for (const isolation of ["read committed", "read uncommitted"]) yield* start(schema, isolation)
    }))
})

describe("the Postgres store, from several clients at once", () => {
  const stores = Effect.gen(function*() {
    const client = yield* database
    return yield* Effect.forEach([1, 2, 3, 4], () =>
      Effect.map(
        Layer.build(Layer.fresh(IdempotencyStore.layerStoreSql().pipe(Layer.provide(client())))),
        (context) => Effect.runSync(Effect.provide(Store, context))
      ))
  })

  it.live("gives each key to one claim, and answers every other one", () =>
    Effect.gen(function*() {
      const all = yield* stores
      const keys = Array.from({ length: 200 }, () => requestOf())
      const calls = all.flatMap((store) => keys.flatMap((key) => Array.from({ length: 6 }, () => ({ store, key }))))
      const claims = yield* Effect.forEach(calls, ({ key, store }) => {
        const request = rival(key, { canResolve: true })
        return Effect.map(store.claim(request), ({ record }) => ({ record, won: record.owner === request.owner }))
      }, { concurrency: 256 })
      assert.strictEqual(claims.filter(({ won }) => won).length, keys.length)
      assert.strictEqual(new Set(claims.map(({ record }) => `${record.id} ${record.fence}`)).size, keys.length)
    }), 60_000)

  it.live("does not lock itself out when renewals and completions cross", () =>
    Effect.gen(function*() {
      const [first, second] = yield* stores
      assert.isDefined(first)
      assert.isDefined(second)
      for (let round = 0; round < 10; round++) {
        const records = yield* Effect.forEach(Array.from({ length: 200 }, () => requestOf()), (request) =>
          Effect.map(first.claim(request), ({ record }) => record), { concurrency: "unbounded" })
        const backwards = records.toReversed()
        const [, , ends] = yield* Effect.all([
          first.renew(records.map((record) => ({ ...record, leaseMillis: 30_000 }))),
          second.renew(backwards.map((record) => ({ ...record, leaseMillis: 30_000 }))),
          Effect.forEach(backwards, (record) =>
            second.complete({ ...record, completion: { _tag: "Succeeded", result: "{}", ttlMillis: 60_000 } }), {
            concurrency: "unbounded"
          })
        ], { concurrency: "unbounded" })
        assert.isTrue(ends.every(Boolean))
      }
    }), 60_000)
})
