/**
 * The table of Effect's persisted queue on SQLite or Postgres, and what it keeps of jobs that failed for good: its rows in
 * the state `failed`.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { PersistedQueue } from "../effect/persistedQueue.ts"
import { type Migrator, SqlClient, type SqlError } from "../sql/client.ts"
import { type Execute, pooled, type Row } from "../sql/execute.ts"
import { integer } from "../sql/integer.ts"
import * as sqlMigrate from "../sql/migrate.ts"
import { compile, type Dialect, encodeRows, isIdentifier, pg, rows, sqlite, type Types } from "../sql/statement.ts"
import { type JobQueueError, unavailable } from "./errors.ts"
import { fromJson } from "./json.ts"
import { keyOf, type Lease } from "./lease.ts"
import * as line from "./line.ts"
import type { Dead, SqlStore, Store } from "./store.ts"

/** @internal */
export interface Options {
  readonly table: string
  readonly pollMillis: number
  readonly lockMillis: number
}

const types: Types = {
  queue: "text",
  id: "text",
  after: "bigint",
  limit: "bigint",
  rows: "text",
  attempts: "bigint"
}

/** @internal */
export const make = Effect.fnUntraced(function*(
  { lockMillis, pollMillis, table }: Options
): Effect.fn.Return<
  SqlStore,
  JobQueueError | Migrator.MigrationError | SqlError.SqlError,
  SqlClient.SqlClient | Scope.Scope
> {
  const sql = yield* SqlClient.SqlClient
  const dialect = sql.onDialectOrElse<Dialect | undefined, Dialect, Dialect>({
    sqlite: () => sqlite,
    pg: () => pg,
    orElse: () => undefined
  })
  if (dialect === undefined) return yield* Effect.fail(unavailable("start", "the store speaks sqlite and pg"))
  if (!isIdentifier(table)) {
    return yield* Effect.fail(unavailable("start", "table must be 1 to 40 of a-z, 0-9 and _, no digit first"))
  }
  const elements = yield* PersistedQueue.makeStoreSql({
    tableName: table,
    pollInterval: pollMillis,
    lockExpiration: lockMillis,
    lockRefreshInterval: lockMillis / 3
  })
  yield* sqlMigrate.migrate(`${table}_dead`, {
    "0001_dead": Effect.flatMap(SqlClient.SqlClient, (sql) =>
      Effect.asVoid(
        sql.unsafe(
          `CREATE INDEX "${table}_dead" ON "${table}" (queue_name, sequence) WHERE state = 'failed'`
        ).unprepared
      )),
    "0002_line": Effect.flatMap(
      SqlClient.SqlClient,
      (sql) => Effect.asVoid(sql.unsafe(line.createTable(table)).unprepared)
    )
  })
  const execute = pooled(sql)
  return {
    elements,
    lease: { lockMillis, renew: renew(execute, dialect, `"${table}"`) },
    line: line.make(sql, dialect, { table, lockMillis, pollMillis }),
    ...deadLetters(execute, dialect, `"${table}"`)
  }
})

const nowOf = ({ name }: Dialect): string => name === "pg" ? "now()" : "CURRENT_TIMESTAMP"

/** Each taking counts an attempt, and only the failure of a taking takes that back: the two say whose a job is. */
const renew = (execute: Execute, dialect: Dialect, table: string): Lease["renew"] => {
  const names = ["id", "attempts"]
  const { bind, text } = compile(
    dialect,
    types,
    `UPDATE ${table} SET acquired_at = ${nowOf(dialect)}
WHERE queue_name = :queue AND state = 'pending' AND acquired_by IS NOT NULL
AND (id, attempts) IN (SELECT p_id, p_attempts FROM ${rows(dialect, types, names)})
RETURNING id, attempts`
  )
  return (queue, claims) => {
    const given = encodeRows(names, claims.map(({ attempt, id }) => ({ id, attempts: attempt })))
    return failing(
      "renew",
      Effect.map(
        execute(text, bind({ queue, rows: given })),
        (found) => new Set(found.map(([id, attempts]) => keyOf({ id: String(id), attempt: integer(attempts) })))
      )
    )
  }
}

const failing = <A>(operation: string, self: Effect.Effect<A, SqlError.SqlError>) =>
  Effect.mapError(self, ({ reason }) => unavailable(operation, reason._tag))

const deadLetters = (execute: Execute, dialect: Dialect, table: string): Omit<Store, "elements" | "lease"> => {
  const at = dialect.name === "pg"
    ? "CAST(extract(epoch FROM CAST(updated_at AS timestamptz)) * 1000 AS bigint)"
    : "unixepoch(updated_at) * 1000"
  const now = nowOf(dialect)
  const dead = "queue_name = :queue AND state = 'failed'"
  const list = compile(
    dialect,
    types,
    `SELECT id, element, attempts, last_failure, ${at}, sequence FROM ${table}
WHERE ${dead} AND sequence > :after ORDER BY sequence LIMIT :limit`
  )
  const count = compile(dialect, types, `SELECT count(*) FROM ${table} WHERE ${dead}`)
  const requeue = compile(
    dialect,
    types,
    `UPDATE ${table} SET state = 'pending', attempts = 0, visible_at = ${now}, updated_at = ${now}
WHERE ${dead} AND id = :id RETURNING id`
  )
  const discard = compile(
    dialect,
    types,
    `UPDATE ${table} SET state = 'completed', updated_at = ${now} WHERE ${dead} AND id = :id RETURNING id`
  )
  const changed = (operation: string, statement: typeof requeue, queue: string, id: string) =>
    failing(operation, Effect.map(execute(statement.text, statement.bind({ queue, id })), (found) => found.length > 0))
  return {
    dead: (queue, { after, limit }) =>
      failing(
        "list",
        Effect.map(
          execute(list.text, list.bind({ queue, after: integer(after ?? "0") || 0, limit })),
          (found) => found.map(toDead)
        )
      ),
    countDead: (queue) =>
      failing("count", Effect.map(execute(count.text, count.bind({ queue })), ([row]) => integer(row?.[0]))),
    requeue: (queue, id) => changed("requeue", requeue, queue, id),
    discard: (queue, id) => changed("discard", discard, queue, id)
  }
}

const toDead = ([id, element, attempts, failure, at, sequence]: Row): Dead => ({
  id: String(id),
  element: typeof element === "string" ? fromJson(element) : element,
  attempts: integer(attempts),
  failure: typeof failure === "string" ? failure : "",
  failedAtMillis: integer(at),
  cursor: String(sequence)
})
