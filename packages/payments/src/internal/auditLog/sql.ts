/**
 * The chain over SQLite and Postgres. Appending locks the row of the head, so that writers of all processes go one after
 * the other; entries of the same tick share a commit.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import { SqlClient, SqlError } from "../sql/client.ts"
import { direct, type Execute, pooled, type Row } from "../sql/execute.ts"
import { integer } from "../sql/integer.ts"
import { timed } from "../sql/silence.ts"
import { compile, type Dialect, encodeRows, pg, rows, sqlite, type Types } from "../sql/statement.ts"
import { inOwnTransaction } from "../sql/transaction.ts"
import * as Writer from "../sql/writer.ts"
import { extend, genesis, type Hash, type Head, type Link } from "./chain.ts"
import type { Sealer } from "./headSeal.ts"
import type { Store } from "./store.ts"

/** @internal */
export type Failure = Writer.Failure

/** @internal A word on a failure that holds no data of an entry. */
export const detailOf = (failure: Failure): string =>
  failure._tag === "WriterRefused"
    ? `Queue${failure.reason}`
    : failure._tag === "Unanswered"
    ? failure._tag
    : typeof failure.reason.cause === "string" && ours.has(failure.reason.cause)
    ? failure.reason.cause
    : failure.reason._tag

const ours: ReadonlySet<string> = new Set(["HeadMissing", "HeadMoved", "RowUnreadable"])

const failed = (cause: "HeadMissing" | "HeadMoved" | "RowUnreadable") =>
  Effect.fail(new SqlError.SqlError({ reason: new SqlError.UnknownError({ cause }) }))

const types: Types = {
  after: "bigint",
  before: "bigint",
  hash: "text",
  max: "bigint",
  previous: "text",
  rows: "text",
  seal: "text",
  seq: "bigint",
  entry: "text"
}

const names = ["seq", "previous", "hash", "entry"]

const statementsOf = (table: string, dialect: Dialect) => {
  const make = (text: string) => compile(dialect, types, text)
  return {
    head: make(`SELECT seq, hash, seal FROM "${table}_head" WHERE id = 1`),
    lock: make(`SELECT seq, hash, seal FROM "${table}_head" WHERE id = 1${dialect.name === "pg" ? " FOR UPDATE" : ""}`),
    insert: make(
      `INSERT INTO "${table}" (seq, previous, hash, entry)
SELECT p_seq, p_previous, p_hash, p_entry FROM ${rows(dialect, types, names)}`
    ),
    move: make(
      `UPDATE "${table}_head" SET seq = :seq, hash = :hash, seal = :seal WHERE id = 1 AND seq = :before RETURNING seq`
    ),
    page: make(`SELECT seq, previous, hash, entry FROM "${table}" WHERE seq > :after ORDER BY seq LIMIT :max`)
  }
}

// Writes that share a commit, and writes that wait.
const batchMax = 256
const queueMax = 16_384

/** @internal Undefined when the database is neither. */
export const dialectOf = (sql: SqlClient.SqlClient): Dialect | undefined =>
  sql.onDialectOrElse<Dialect | undefined, Dialect, Dialect>({
    sqlite: () => sqlite,
    pg: () => pg,
    orElse: () => undefined
  })

/** @internal */
export const make = Effect.fnUntraced(function*(
  dialect: Dialect,
  table: string,
  hash: Hash,
  sealer: Sealer | undefined,
  timeoutMillis: number
): Effect.fn.Return<Store<Failure>, never, SqlClient.SqlClient | Scope.Scope> {
  const sql = yield* SqlClient.SqlClient
  const execute = dialect.name === "sqlite" ? direct(sql) : pooled(sql)
  const statements = statementsOf(table, dialect)

  const appendAll = appending(sql, dialect, statements, hash, sealer)
  const writer = yield* Writer.make(sql, {
    strategy: strategyOf(sql, appendAll, timeoutMillis),
    timeoutMillis,
    batchMax,
    queueMax
  })
  const submit = (text: string) => writer.submit({ key: "", text: "append", parameters: [text] })
  return {
    // What is audited has happened, also when the transaction of the caller is rolled back: the entry goes beside it,
    // where there is a second connection.
    append: (text) =>
      dialect.name === "sqlite"
        ? submit(text)
        : Effect.updateContext(submit(text), Context.omit(sql.transactionService)),
    head: Effect.flatMap(execute(statements.head.text, []), readHead),
    base: Effect.succeed({ seq: 0, hash: genesis }),
    page: (after, max) =>
      Effect.flatMap(execute(statements.page.text, statements.page.bind({ after, max })), (rows) => {
        const links = rows.flatMap((row) => readLink(row) ?? [])
        return links.length === rows.length ? Effect.succeed(links) : failed("RowUnreadable")
      })
  }
})

/** Calls the function when nothing is waited for any more but the database. */
type Append = (texts: ReadonlyArray<string>, begun: () => void) => Effect.Effect<void, SqlError.SqlError>

const appending = (
  sql: SqlClient.SqlClient,
  dialect: Dialect,
  statements: ReturnType<typeof statementsOf>,
  hash: Hash,
  sealer: Sealer | undefined
): Append => {
  const append = Effect.fnUntraced(function*(texts: ReadonlyArray<string>, execute: Execute) {
    const head = yield* readHead(yield* execute(statements.lock.text, []))
    const links = yield* extend(hash, head, texts)
    const last = { seq: head.seq + links.length, hash: links.at(-1)?.hash ?? head.hash }
    const values = links.map(({ hash, previous, seq, text }) => ({ seq, previous, hash, entry: text }))
    yield* execute(statements.insert.text, statements.insert.bind({ rows: encodeRows(names, values) }))
    const moved = { ...last, seal: sealer === undefined ? null : yield* sealer.seal(last), before: head.seq }
    const written = yield* execute(statements.move.text, statements.move.bind(moved))
    if (written.length !== 1) return yield* failed("HeadMoved")
  })
  return (texts, begun) => {
    if (dialect.name === "pg") {
      begun()
      return inOwnTransaction(sql, (execute) => append(texts, execute))
    }
    // SQLite takes its lock at the start of a transaction, Postgres that of the row.
    const locked = Effect.andThen(Effect.sync(begun), append(texts, direct(sql)))
    return Effect.provideService(sql.withTransaction(locked), SqlClient.BeginTransaction, "BEGIN IMMEDIATE")
  }
}

const strategyOf = (sql: SqlClient.SqlClient, append: Append, timeoutMillis: number): Writer.Strategy => ({
  // Each waits for the one before it.
  flightsMax: 1,
  partition: (entries) => [entries],
  alone: ({ parameters }) =>
    Effect.withFiber((fiber) => {
      const texts = parameters.map(String)
      // In a transaction of the caller it is his to be bounded.
      const isInside = Context.getOrUndefined(fiber.context, sql.transactionService) !== undefined
      return Effect.as(isInside ? append(texts, () => {}) : timed(timeoutMillis, (begun) => append(texts, begun)), [])
    }),
  commit: (batch, begun) =>
    Effect.map(
      Effect.exit(append(batch.flatMap(({ parameters }) => parameters.map(String)), begun)),
      (exit): Writer.Outcome =>
        // An entry that is sent twice is there twice: whoever sent it is told instead.
        Exit.isSuccess(exit)
          ? { _tag: "Committed", rows: batch.map(() => []) }
          : { _tag: "NotBegun", cause: exit.cause }
    )
})

const readHead = (rows: ReadonlyArray<Row>): Effect.Effect<Head, SqlError.SqlError> => {
  const [row] = rows
  if (row === undefined) return failed("HeadMissing")
  const [first, hash, seal] = row
  const seq = integer(first)
  return Number.isNaN(seq) || typeof hash !== "string"
    ? failed("RowUnreadable")
    : Effect.succeed({ seq, hash, seal: typeof seal === "string" ? seal : undefined })
}

const readLink = (row: Row): Link | undefined => {
  const [first, previous, hash, text] = row
  const seq = integer(first)
  return Number.isNaN(seq) || typeof previous !== "string" || typeof hash !== "string" || typeof text !== "string"
    ? undefined
    : { seq, previous, hash, text }
}
