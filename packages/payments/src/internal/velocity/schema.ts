/**
 * The table of counters and its migrations: a row for each counter, whose log is a JSON array of
 * `[at, attempt, amount, value]`.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { Migrator, SqlClient, type SqlError } from "../sql/client.ts"

/** @internal By number and name, for a migrator. */
export const migrations = (
  table: string
): { readonly [name: string]: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> } => ({
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

/** @internal Two processes that start at once: one migrates, the other waits for it. */
export const migrate = (
  table: string
): Effect.Effect<void, Migrator.MigrationError | SqlError.SqlError, SqlClient.SqlClient> =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const run = Effect.asVoid(
      Migrator.make({})({ loader: Migrator.fromRecord(migrations(table)), table: `${table}_migrations` })
    )
    yield* sql.onDialectOrElse({
      // The lock that a write needs is taken before the migrations are read.
      sqlite: () => Effect.provideService(run, SqlClient.BeginTransaction, "BEGIN IMMEDIATE"),
      orElse: () => run
    })
  })
