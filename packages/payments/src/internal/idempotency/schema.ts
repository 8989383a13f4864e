/**
 * The table of idempotency records and its migrations.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { SqlClient } from "../sql/client.ts"
import * as sqlMigrate from "../sql/migrate.ts"

/** @internal What changes, in the order in which rows are read. `id` is the scope and the key, each with its length. */
export const columns = [
  "id",
  "state",
  "fingerprint",
  "owner",
  "fence",
  "attempt",
  "unresolved",
  "lease_until",
  "unknown_since",
  "result",
  "created_at",
  "updated_at",
  "expires_at"
] as const

/** @internal What `id` is made of, read where nobody knows it beforehand. */
export const idColumns = ["tenant", "operation", "version", "key"] as const

/** @internal By number and name, for a migrator. */
export const migrations = (
  table: string
): sqlMigrate.Migrations => ({
  "0001_records": Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const { id, integer } = sql.onDialectOrElse({
      pg: () => ({ id: `text COLLATE "C"`, integer: "bigint" }),
      orElse: () => ({ id: "text", integer: "integer" })
    })
    yield* sql.unsafe(create(table, id, integer)).unprepared
    // Finds what has expired, and what is not finished: that has no expiry.
    yield* sql.unsafe(`CREATE INDEX "${table}_expires_at" ON "${table}" (expires_at)`).unprepared
  })
})

const create = (table: string, id: string, integer: string): string =>
  `CREATE TABLE "${table}" (
  id ${id} PRIMARY KEY NOT NULL,
  tenant text NOT NULL,
  operation text NOT NULL,
  version ${integer} NOT NULL,
  key text NOT NULL,
  state text NOT NULL,
  fingerprint text NOT NULL,
  owner text NOT NULL,
  fence ${integer} NOT NULL,
  attempt ${integer} NOT NULL,
  unresolved ${integer} NOT NULL,
  lease_until ${integer} NOT NULL,
  unknown_since ${integer} NOT NULL,
  result text,
  created_at ${integer} NOT NULL,
  updated_at ${integer} NOT NULL,
  expires_at ${integer}
)`

/** @internal */
export const migrate = (table: string) => sqlMigrate.migrate(table, migrations(table))
