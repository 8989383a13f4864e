import { PgClient } from "@effect/sql-pg"
import { inject } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { SagaLog } from "effect-payments"
import { SqlClient } from "effect/sql"
import { logContract } from "../saga/logContract.ts"
import { shiftLog } from "../saga/shiftLog.ts"

const url = Redacted.make(inject("postgres"))

const client = (schema: string) =>
  PgClient.layer({ url, maxConnections: 4, startupParameters: { search_path: schema } })

let schemas = 0
/** A client on a schema of its own, gone with the scope. */
const database = Layer.unwrap(Effect.gen(function*() {
  const schema = `saga_${process.pid}_${schemas++}`
  const run = (text: string) =>
    Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(text)).pipe(Effect.provide(client("public")), Effect.orDie)
  yield* Effect.acquireRelease(run(`CREATE SCHEMA ${schema}`), () => run(`DROP SCHEMA ${schema} CASCADE`))
  return client(schema)
}))

logContract("postgres", SagaLog.layerStoreSql().pipe(Layer.provideMerge(database)), {
  live: true,
  advance: shiftLog
})
