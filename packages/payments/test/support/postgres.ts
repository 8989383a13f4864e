/** Postgres for tests of stores: each test in a schema of its own. */
import { PgClient } from "@effect/sql-pg"
import { inject } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { SqlClient } from "effect/sql"

/** A client whose tables are in this schema. */
export const client = (schema: string) =>
  PgClient.layer({
    url: Redacted.make(inject("postgres")),
    maxConnections: 4,
    startupParameters: { search_path: schema }
  })

let schemas = 0

/** The name of a new schema, gone with the scope. */
export const makeSchema = (prefix: string) =>
  Effect.gen(function*() {
    const name = `${prefix}_${process.pid}_${schemas++}`
    const run = (text: string) =>
      Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(text)).pipe(
        Effect.provide(client("public")),
        Effect.orDie
      )
    yield* Effect.acquireRelease(run(`CREATE SCHEMA ${name}`), () => run(`DROP SCHEMA ${name} CASCADE`))
    return name
  })
