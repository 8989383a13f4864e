/**
 * How every store over SQL makes its tables.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { Migrator, SqlClient, type SqlError } from "./client.ts"

/** @internal What is done to a database, by the name that says the order. */
export type Migrations = { readonly [name: string]: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> }

/** @internal Of two processes that start at once one migrates, and the other waits for it. */
export const migrate = (
  table: string,
  migrations: Migrations
): Effect.Effect<void, Migrator.MigrationError | SqlError.SqlError, SqlClient.SqlClient> =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const run = Effect.asVoid(
      Migrator.make({})({ loader: Migrator.fromRecord(migrations), table: `${table}_migrations` })
    )
    yield* sql.onDialectOrElse({
      // The lock that a write needs is taken before the migrations are read.
      sqlite: () => Effect.provideService(run, SqlClient.BeginTransaction, "BEGIN IMMEDIATE"),
      orElse: () => run
    })
  })
