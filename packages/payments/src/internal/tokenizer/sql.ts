/**
 * The records of a vault in a table of SQLite or Postgres.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { SqlClient } from "../sql/client.ts"
import { direct, type Execute, pooled } from "../sql/execute.ts"
import * as sqlMigrate from "../sql/migrate.ts"
import { compile, type Dialect, pg, sqlite, type Types, type Values } from "../sql/statement.ts"
import { failed, type Record, type Store, type StoreFailed } from "./store.ts"

/** @internal By number and name, for a migrator. */
export const migrations = (
  table: string
): sqlMigrate.Migrations => ({
  "0001_records": Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const { integer, key } = sql.onDialectOrElse({
      pg: () => ({ integer: "bigint", key: `text COLLATE "C"` }),
      orElse: () => ({ integer: "integer", key: "text" })
    })
    yield* sql.unsafe(`CREATE TABLE "${table}" (
  token ${key} PRIMARY KEY NOT NULL,
  fingerprint ${key} NOT NULL UNIQUE,
  sealed text NOT NULL,
  created_at ${integer} NOT NULL
)`).unprepared
  })
})

/** @internal */
export const migrate = (table: string) => sqlMigrate.migrate(table, migrations(table))

/** @internal Undefined when the database is neither. */
export const dialectOf = (sql: SqlClient.SqlClient): Dialect | undefined =>
  sql.onDialectOrElse<Dialect | undefined, Dialect, Dialect>({
    sqlite: () => sqlite,
    pg: () => pg,
    orElse: () => undefined
  })

const types: Types = { token: "text", fingerprint: "text", sealed: "text" }

const statementsOf = (table: string, dialect: Dialect) => {
  const make = (text: string) => compile(dialect, types, text)
  return {
    find: make(`SELECT token FROM "${table}" WHERE fingerprint = :fingerprint`),
    put: make(
      `INSERT INTO "${table}" (token, fingerprint, sealed, created_at)
VALUES (:token, :fingerprint, :sealed, ${dialect.now}) ON CONFLICT (fingerprint) DO NOTHING RETURNING token`
    ),
    get: make(`SELECT token, fingerprint, sealed FROM "${table}" WHERE token = :token`),
    remove: make(`DELETE FROM "${table}" WHERE token = :token RETURNING token`)
  }
}

// How often a card is put that somebody else forgets in the meantime.
const triesMax = 8

/** @internal */
export const make = (sql: SqlClient.SqlClient, dialect: Dialect, table: string): Store => {
  const execute = dialect.name === "sqlite" ? direct(sql) : pooled(sql)
  const statements = statementsOf(table, dialect)
  const run = (statement: keyof typeof statements, values: Values) =>
    Effect.mapError(
      execute(statements[statement].text, statements[statement].bind(values)) satisfies ReturnType<Execute>,
      (error): StoreFailed => failed(error.reason._tag)
    )

  const find = Effect.fnUntraced(function*(fingerprints: ReadonlyArray<string>) {
    for (const fingerprint of fingerprints) {
      const [row] = yield* run("find", { fingerprint })
      if (row !== undefined) return String(row[0])
    }
    return undefined
  })

  const put = Effect.fnUntraced(function*({ fingerprint, sealed, token }: Record) {
    for (let tries = 0; tries < triesMax; tries++) {
      const [row] = yield* run("put", { token, fingerprint, sealed })
      if (row !== undefined) return token
      const known = yield* find([fingerprint])
      if (known !== undefined) return known
    }
    return yield* Effect.fail(failed("Contended"))
  })

  return {
    find,
    put,
    get: (token) =>
      Effect.map(run("get", { token }), ([row]) =>
        row === undefined
          ? undefined
          : { token: String(row[0]), fingerprint: String(row[1]), sealed: String(row[2]) }),
    remove: (token) => Effect.map(run("remove", { token }), (rows) => rows.length > 0)
  }
}
