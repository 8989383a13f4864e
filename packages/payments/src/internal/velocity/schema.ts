/**
 * The table of counters and its migrations: a row for each counter, whose log is a JSON array of
 * `[at, attempt, amount, value]`.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { SqlClient } from "../sql/client.ts"
import * as sqlMigrate from "../sql/migrate.ts"

/** @internal By number and name, for a migrator. */
export const migrations = (
  table: string
): sqlMigrate.Migrations => ({
  "0001_counters": Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const { id, integer, json } = sql.onDialectOrElse({
      pg: () => ({ id: `text COLLATE "C"`, integer: "bigint", json: "jsonb" }),
      orElse: () => ({ id: "text", integer: "integer", json: "text" })
    })
    yield* sql.unsafe(`CREATE TABLE "${table}" (
  id ${id} PRIMARY KEY NOT NULL,
  log ${json} NOT NULL,
  dropped_at ${integer} NOT NULL,
  events_max ${integer} NOT NULL,
  updated_at ${integer} NOT NULL,
  expires_at ${integer} NOT NULL
)`).unprepared
    yield* sql.unsafe(`CREATE INDEX "${table}_expires_at" ON "${table}" (expires_at)`).unprepared
  })
})

/** @internal */
export const migrate = (table: string) => sqlMigrate.migrate(table, migrations(table))
