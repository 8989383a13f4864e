/**
 * The tables of a chain and their migrations: one row per link, which can be neither changed nor removed, and one for the
 * head.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { Migrator, SqlClient, type SqlError } from "../sql/client.ts"
import { genesis } from "./chain.ts"

/** @internal By number and name, for a migrator. */
export const migrations = (
  table: string
): { readonly [name: string]: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> } => ({
  "0001_chain": Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const { guards, integer } = sql.onDialectOrElse({
      pg: () => ({ integer: "bigint", guards: pgGuards(table) }),
      orElse: () => ({ integer: "integer", guards: sqliteGuards(table) })
    })
    const statements = [
      `CREATE TABLE "${table}" (
  seq ${integer} PRIMARY KEY NOT NULL,
  previous text NOT NULL,
  hash text NOT NULL,
  entry text NOT NULL
)`,
      `CREATE TABLE "${table}_head" (id ${integer} PRIMARY KEY NOT NULL, seq ${integer} NOT NULL, hash text NOT NULL, seal text)`,
      `INSERT INTO "${table}_head" (id, seq, hash) VALUES (1, 0, '${genesis}')`,
      ...guards
    ]
    for (const statement of statements) yield* sql.unsafe(statement).unprepared
  })
})

const sqliteGuards = (table: string): ReadonlyArray<string> =>
  ["UPDATE", "DELETE"].map((change) =>
    `CREATE TRIGGER "${table}_no_${change.toLowerCase()}" BEFORE ${change} ON "${table}"
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END`
  )

const pgGuards = (table: string): ReadonlyArray<string> => [
  `CREATE FUNCTION "${table}_append_only"() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN RAISE EXCEPTION ''the audit log is append-only''; END'`,
  `CREATE TRIGGER "${table}_no_change" BEFORE UPDATE OR DELETE OR TRUNCATE ON "${table}"
FOR EACH STATEMENT EXECUTE FUNCTION "${table}_append_only"()`
]

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
