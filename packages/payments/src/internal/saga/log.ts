/**
 * The saga log over SQLite and Postgres: writes go through the group-commit queue, renewals go alone.
 *
 * @internal
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { SagaLog } from "../../SagaLog.ts"
import { type Migrator, SqlClient, type SqlError } from "../sql/client.ts"
import { direct, type Execute, pooled, type Row, type Rows } from "../sql/execute.ts"
import { integer } from "../sql/integer.ts"
import { writeTimeoutFault, writeTimeoutMillis } from "../sql/silence.ts"
import { type Dialect, encodeRows, isIdentifier, pg, sqlite, type Statement, type Values } from "../sql/statement.ts"
import * as Writer from "../sql/writer.ts"
import {
  type ClaimRequest,
  type Entry,
  type History,
  type Inbox,
  type InboxRequest,
  isLimit,
  isUnfinished,
  listLimitMax,
  type ListRequest,
  type OrphansRequest,
  type RenewRequest,
  type Run,
  type SignalReply,
  type SignalRequest,
  stepOf,
  sweepLimitMax,
  type SweepRequest
} from "./record.ts"
import { decodeEntry, decodeListed, decodeRun, encodeEvents, tailOf, timeOf } from "./row.ts"
import * as statements from "./statements.ts"
import * as tables from "./tables.ts"
import { limitExceeded, LogUnavailable } from "./unavailable.ts"

type Log = SagaLog["Service"]
type Failure = LogUnavailable | Writer.Failure

/** @internal */
export interface Options {
  readonly table: string
  readonly migrate: boolean
  readonly writeTimeout?: Duration.Input | undefined
  /** The clock of the store as an SQL expression, for tests. */
  readonly now?: string | undefined
}

// Writes that share a commit, writes that wait, and how often a claim looks.
const batchMax = 256
const queueMax = 16_384
const looksMax = 8

/** @internal */
export const make = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<
  Log,
  LogUnavailable | Migrator.MigrationError | SqlError.SqlError,
  SqlClient.SqlClient | Scope.Scope
> {
  const sql = yield* SqlClient.SqlClient
  const dialect = yield* dialectOf(sql, options.now)
  if (!isIdentifier(options.table)) return yield* refused("table must be 1 to 40 of a-z, 0-9 and _, no digit first")
  const timeoutMillis = writeTimeoutMillis(options.writeTimeout)
  if (timeoutMillis === undefined) return yield* refused(writeTimeoutFault)
  if (options.migrate) yield* tables.migrate(options.table)
  const execute = dialect.name === "sqlite" ? direct(sql) : pooled(sql)
  const strategy = dialect.name === "sqlite" ? Writer.inTransaction(sql) : Writer.inStatements(sql, timeoutMillis)
  const writer = yield* Writer.make(sql, { strategy, timeoutMillis, batchMax, queueMax })
  const database: Database = { sql, execute, writer, dialect, statements: statements.make(options.table, dialect) }
  return { ...owning(database), ...finding(database), isInsideTransaction: isInside(sql) }
})

const dialectOf = (sql: SqlClient.SqlClient, now: string | undefined): Effect.Effect<Dialect, LogUnavailable> => {
  const dialect = sql.onDialectOrElse<Dialect | undefined, Dialect, Dialect>({
    sqlite: () => sqlite,
    pg: () => pg,
    orElse: () => undefined
  })
  return dialect === undefined ?
    refused("the log speaks sqlite and pg")
    : Effect.succeed(now === undefined ? dialect : { ...dialect, now })
}

const refused = (detail: string) => Effect.fail(new LogUnavailable({ operation: "start", detail }))

interface Database {
  readonly sql: SqlClient.SqlClient
  readonly execute: Execute
  readonly writer: Writer.Writer
  readonly dialect: Dialect
  readonly statements: statements.Statements
}

// --- what an owner does

const owning = (database: Database): Pick<Log, "append" | "claim" | "release" | "renew"> => ({
  claim: (request) => guarded(database, "claim", claim(database, request)),
  append: ({ epoch, events, key, owner, seq, state }) => {
    const open = isUnfinished(state) ? 1 : 0
    const values = { key, owner, epoch, seq, state, open, tail: encodeEvents(events), step: stepOf(events) ?? null }
    return guarded(
      database,
      "append",
      Effect.map(submit(database, database.statements.append, values), ([row]) => ({
        appended: row !== undefined,
        cancelRequested: row !== undefined && integer(row[1]) === 1,
        pauseRequested: typeof row?.[2] === "string" ? row[2] : undefined
      }))
    )
  },
  renew: (requests) => requests.length === 0 ? Effect.succeed([]) : renew(database, requests),
  release: ({ epoch, key, owner }) =>
    guarded(
      database,
      "release",
      Effect.map(run(database, database.statements.release, { key, owner, epoch }), (rows) => rows.length === 1)
    )
})

/** Writes first: a run that is new, which most are, costs one statement. */
const claim = (database: Database, request: ClaimRequest, looks = 1): Effect.Effect<History | undefined, Failure> => {
  const { opening, owner } = request
  const base = { key: request.key, owner, lease: Math.ceil(request.leaseMillis) }
  const put = opening === undefined || reopenOf(request) > 0
    ? run(database, database.statements.take, { ...base, reopen: reopenOf(request) })
    : submit(database, database.statements.create, {
      ...base,
      saga: request.saga,
      id: request.id,
      fingerprint: opening.fingerprint,
      definition: opening.definition,
      payload: opening.payload,
      state: opening.state,
      open: isUnfinished(opening.state) ? 1 : 0,
      tail: encodeEvents(opening.events),
      step: stepOf(opening.events) ?? null
    })
  return Effect.flatMap(put, ([row]) => {
    if (row !== undefined) return historyOf(database, "claim", row)
    return Effect.flatMap(run(database, database.statements.look, { key: request.key }), ([seen]) => {
      if (seen !== undefined) return historyOf(database, "claim", seen)
      // Swept between the two.
      if (opening === undefined) return Effect.undefined
      return looks < looksMax ? claim(database, request, looks + 1) : failed("claim", "Contended")
    })
  })
}

const reopenOf = ({ reopen }: ClaimRequest): number => reopen === "Completed" ? 2 : reopen === true ? 1 : 0

const historyOf = (database: Database, operation: string, row: Row): Effect.Effect<History, Failure> => {
  const found = decodeRun(row)
  const now = timeOf(row)
  if (found === undefined || Number.isNaN(now)) return unreadable(operation)
  // Whoever takes a run over has a later epoch than the time at which it was made.
  const only = found.length === 1 && found.epoch === found.createdAt ? tailOf(row, found) : undefined
  return only === undefined
    ? Effect.flatMap(
      entriesOf(database, [found]),
      ([entries]) => entries === undefined ? unreadable(operation) : Effect.succeed({ run: found, entries, now })
    )
    : Effect.succeed({ run: found, entries: [only], now })
}

/** The entries of each run up to the length that it was seen with; undefined where one is missing or none of ours. */
const entriesOf = (
  database: Database,
  runs: ReadonlyArray<Run>
): Effect.Effect<ReadonlyArray<ReadonlyArray<Entry> | undefined>, SqlError.SqlError> =>
  Effect.map(
    run(database, database.statements.entries, { keys: JSON.stringify(runs.map(({ key }) => key)) }),
    (rows) => {
      const byKey = Map.groupBy(rows, (row) => row[0])
      return runs.map(({ key, length }) => {
        const entries = (byKey.get(key) ?? []).flatMap((row) => decodeEntry(row) ?? []).slice(0, length)
        return entries.length === length && entries.every(({ seq }, index) => seq === index + 1) ? entries : undefined
      })
    }
  )

/** One statement for all of them, past the queue: a lease does not wait. */
const renew = (database: Database, requests: ReadonlyArray<RenewRequest>) => {
  const nameOf = (key: unknown, owner: unknown, epoch: number) => `${epoch} ${String(owner)} ${String(key)}`
  const values = requests.map(({ epoch, key, leaseMillis, owner }): Values => ({
    key,
    owner,
    epoch,
    lease: Math.ceil(leaseMillis)
  }))
  const renewed = run(database, database.statements.renew, { rows: encodeRows(statements.renewNames, values) })
  return guarded(
    database,
    "renew",
    Effect.map(renewed, (rows) => {
      const names = new Set(rows.map((row) => nameOf(row[0], row[1], integer(row[2]))))
      return requests.map(({ epoch, key, owner }) => names.has(nameOf(key, owner, epoch)))
    })
  )
}

// --- what others do

const finding = (
  database: Database
): Pick<Log, "cancel" | "inbox" | "list" | "orphans" | "pause" | "read" | "signal" | "sweep"> => ({
  cancel: ({ key }) => ask(database, "cancel", database.statements.cancel, { key }),
  pause: ({ key, note }) => ask(database, "pause", database.statements.pause, { key, note }),
  signal: (request) => guarded(database, "signal", signal(database, request)),
  inbox: (requests) =>
    requests.length === 0 ? Effect.succeed([]) : guarded(database, "inbox", inbox(database, requests)),
  read: ({ key }) => guarded(database, "read", look(database, "read", key)),
  orphans: (request) =>
    isLimit(request.limit, listLimitMax)
      ? guarded(database, "orphans", orphans(database, request))
      : limitExceeded("orphans", listLimitMax),
  list: (request) =>
    isLimit(request.limit, listLimitMax)
      ? guarded(database, "list", list(database, request))
      : limitExceeded("list", listLimitMax),
  sweep: (request) =>
    isLimit(request.limit, sweepLimitMax)
      ? guarded(database, "sweep", sweep(database, request))
      : limitExceeded("sweep", sweepLimitMax)
})

/** Leaves a wish with the run, and answers it as it stands. */
const ask = (
  database: Database,
  operation: "cancel" | "pause",
  statement: Statement,
  values: { readonly key: string; readonly note?: string }
) =>
  guarded(
    database,
    operation,
    Effect.flatMap(run(database, statement, values), ([row]) =>
      row === undefined
        ? Effect.map(look(database, operation, values.key), (history) => history?.run)
        : Effect.map(historyOf(database, operation, row), (history) => history.run))
  )

const signal = Effect.fnUntraced(function*(database: Database, request: SignalRequest) {
  const { event, key, step, value } = request
  const kept = yield* run(database, database.statements.signal, { key, step, event, value })
  if (kept.length === 1) return "Kept" satisfies SignalReply
  const known = yield* run(database, database.statements.signalled, { key, step, event })
  return known.length === 1 ? "Known" satisfies SignalReply : "Full" satisfies SignalReply
})

const inbox = (database: Database, requests: ReadonlyArray<InboxRequest>) => {
  const asked = requests.map(({ except = [], key, step }) => ({ key, step, except: JSON.stringify(except) }))
  return Effect.map(
    run(database, database.statements.inbox, { rows: encodeRows(statements.inboxNames, asked) }),
    (rows) => {
      const nameOf = (...names: ReadonlyArray<unknown>) => JSON.stringify(names)
      const found = new Map(rows.map((row) => [nameOf(row[0], row[1], row[2]), row]))
      return asked.map(({ except, key, step }): Inbox => {
        const row = found.get(nameOf(key, step, except))
        const [cancel, pause, value, event, at] = row?.slice(3) ?? []
        return {
          event: typeof event === "string" ? event : undefined,
          at: typeof event === "string" ? integer(at) : undefined,
          value: typeof value === "string" ? value : undefined,
          cancelRequested: integer(cancel ?? 0) === 1,
          pauseRequested: typeof pause === "string" ? pause : undefined
        }
      })
    }
  )
}

const look = (database: Database, operation: string, key: string) =>
  Effect.flatMap(
    run(database, database.statements.look, { key }),
    ([row]) => row === undefined ? Effect.undefined : historyOf(database, operation, row)
  )

const orphans = Effect.fnUntraced(function*(database: Database, request: OrphansRequest) {
  const { leaseMillis, limit, owner, sagas } = request
  const rows = yield* run(database, database.statements.orphans, {
    owner,
    lease: Math.ceil(leaseMillis),
    sagas: JSON.stringify(sagas),
    except: JSON.stringify(request.except ?? []),
    limit
  })
  const runs = rows.flatMap((row) => decodeRun(row) ?? [])
  if (runs.length === 0) return rows.length === 0 ? [] : yield* unreadable("orphans")
  const [first] = rows
  const now = first === undefined ? Number.NaN : timeOf(first)
  const entries = yield* entriesOf(database, runs)
  // One that cannot be read does not hold up the others.
  return runs.map((run, index): History => {
    const own = entries[index]
    return own === undefined ? { run, entries: [], now, isUnreadable: true } : { run, entries: own, now }
  })
})

const list = Effect.fnUntraced(function*(database: Database, request: ListRequest) {
  const { after, limit, saga, state, step, untouchedMillis: age } = request
  const filters = {
    saga: saga !== undefined,
    state: state !== undefined,
    step: step !== undefined,
    age: age !== undefined
  }
  const statement = database.statements.list(filters)
  const values = {
    after: after ?? "",
    limit,
    saga: saga ?? null,
    state: state ?? null,
    step: step ?? null,
    age: age === undefined ? null : Math.ceil(age)
  }
  const rows = yield* run(database, statement, values)
  // One that cannot be read does not hide the others.
  return rows.map(decodeListed)
})

// A run and its entries go together: a run of the same name may be made right after.
const sweep = (database: Database, { limit, olderThanMillis }: SweepRequest) =>
  database.sql.withTransaction(Effect.gen(function*() {
    const ended = yield* run(database, database.statements.ended, { age: Math.ceil(olderThanMillis), limit })
    yield* run(database, database.statements.dropStray, { age: Math.ceil(olderThanMillis), limit })
    if (ended.length === 0) return 0
    const dropped = yield* run(database, database.statements.dropRuns, {
      keys: JSON.stringify(ended.map(([key]) => key))
    })
    const keys = JSON.stringify(dropped.map(([key]) => key))
    yield* run(database, database.statements.dropEntries, { keys })
    yield* run(database, database.statements.dropSignals, { keys })
    return dropped.length
  }))

// --- statements and transactions

const run = ({ execute }: Pick<Database, "execute">, { bind, text }: Statement, values: Values): Effect.Effect<
  Rows,
  SqlError.SqlError
> => execute(text, bind(values))

const submit = ({ dialect, writer }: Database, pair: statements.Pair, values: Values) =>
  writer.submit({
    key: String(values["key"]),
    text: pair.one.text,
    parameters: pair.one.bind(values),
    member: dialect.name === "sqlite" ? undefined : {
      text: pair.many.text,
      shared: "",
      values,
      parametersOf: (members) => pair.many.bind({ rows: encodeRows(pair.names, members) })
    }
  })

const failed = (operation: string, detail: string) => Effect.fail(new LogUnavailable({ operation, detail }))

const unreadable = (operation: string) => failed(operation, "RowUnreadable")

/** The log commits alone, whatever transaction is open around it; SQLite has one connection, which that one holds. */
const guarded = <A>(
  { dialect, sql }: Database,
  operation: string,
  self: Effect.Effect<A, Failure>
): Effect.Effect<A, LogUnavailable> =>
  Effect.mapError(
    Effect.flatMap(
      isInside(sql),
      (inside) =>
        !inside
          ? self
          : dialect.name === "sqlite"
          ? failed(operation, "InsideTransaction")
          : Effect.updateContext(self, Context.omit(sql.transactionService))
    ),
    (failure) => toUnavailable(operation, failure)
  )

const toUnavailable = (operation: string, failure: Failure): LogUnavailable => {
  switch (failure._tag) {
    case "LogUnavailable":
      return failure
    case "SqlError":
      return new LogUnavailable({ operation, detail: failure.reason._tag })
    case "Unanswered":
      return new LogUnavailable({ operation, detail: failure._tag })
    case "WriterRefused":
      return new LogUnavailable({ operation, detail: `Queue${failure.reason}` })
  }
}

const isInside = (sql: SqlClient.SqlClient): Effect.Effect<boolean> =>
  Effect.withFiber((fiber) =>
    Effect.succeed(Context.getOrUndefined(fiber.context, sql.transactionService) !== undefined)
  )
