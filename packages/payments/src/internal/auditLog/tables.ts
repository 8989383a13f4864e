/**
 * The tables of a chain and their migrations: one row per link, which can be neither changed nor removed, and one for the
 * head.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { SqlClient } from "../sql/client.ts"
import * as sqlMigrate from "../sql/migrate.ts"
import { genesis } from "./chain.ts"

/** @internal By number and name, for a migrator. */
export const migrations = (
  table: string
): sqlMigrate.Migrations => ({
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

/** @internal */
export const migrate = (table: string) => sqlMigrate.migrate(table, migrations(table))
