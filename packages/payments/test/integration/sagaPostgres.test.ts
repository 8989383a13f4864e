import { PgClient } from "@effect/sql-pg"
import { assert, describe, inject, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { SagaLog } from "effect-payments"
import { SqlClient } from "effect/sql"
import * as statements from "../../src/internal/saga/statements.ts"
import { encodeRows, pg } from "../../src/internal/sql/statement.ts"
import { logContract } from "../saga/logContract.ts"
import { clockLog, Commands, compare } from "../saga/logModel.ts"
import { shiftLog } from "../saga/shiftLog.ts"
import { sqlContract } from "../saga/sqlContract.ts"

const url = Redacted.make(inject("postgres"))

const client = (schema: string) =>
  PgClient.layer({ url, maxConnections: 4, startupParameters: { search_path: schema } })

let schemas = 0
/** A schema of its own, gone with the scope. */
const database = Effect.gen(function*() {
  const schema = `saga_${process.pid}_${schemas++}`
  const run = (text: string) =>
    Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(text)).pipe(Effect.provide(client("public")), Effect.orDie)
  yield* Effect.acquireRelease(run(`CREATE SCHEMA ${schema}`), () => run(`DROP SCHEMA ${schema} CASCADE`))
  return () => client(schema)
})

const clientOnSchema = Layer.unwrap(Effect.map(database, (client) => client()))

logContract("postgres", SagaLog.layerStoreSql().pipe(Layer.provideMerge(clientOnSchema)), {
  live: true,
  advance: shiftLog
})

sqlContract("postgres", { commitsBesideTransaction: true, database })

it.layer(clockLog.pipe(Layer.provide(clientOnSchema)), { excludeTestServices: true })("the Postgres log", (it) => {
  it.effect.prop(
    "does what the pure functions say",
    [Commands],
    ([commands]) => compare(commands),
    { arbitrary: { runs: 60 } }
  )
})

describe("the statements of the Postgres log", () => {
  it.live("look for each run by the index also where they are planned over an empty table", () =>
    Effect.gen(function*() {
      const client = yield* database
      yield* Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* SagaLog.SagaLog
        const { append, renew } = statements.make("effect_payments_saga", pg)
        const rowsOf = (names: ReadonlyArray<string>) => {
          const row = Object.fromEntries(names.map((name) => [name, "1"]))
          return { ...row, rows: encodeRows(names, Array.from({ length: 64 }, () => row)) }
        }
        for (
          const [{ bind, text }, given] of [
            [append.one, rowsOf(append.names)],
            [append.many, rowsOf(append.names)],
            [renew, rowsOf(statements.renewNames)]
          ] as const
        ) {
          const plan = (yield* sql.unsafe(`EXPLAIN ${text}`, bind(given)).values).join("\n")
          assert.include(plan, "using effect_payments_saga_pkey")
          assert.notInclude(plan, "Seq Scan")
        }
      }).pipe(Effect.provide(SagaLog.layerStoreSql().pipe(Layer.provideMerge(client()))))
    }))
})
