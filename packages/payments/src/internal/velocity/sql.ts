/**
 * Counters in a table of SQLite or Postgres, on the clock of the database.
 *
 * @internal
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type { Velocity } from "../../Velocity.ts"
import { type Migrator, SqlClient, type SqlError } from "../sql/client.ts"
import { direct, type Execute, pooled, type Row } from "../sql/execute.ts"
import { integer } from "../sql/integer.ts"
import { writeTimeoutFault, writeTimeoutMillis } from "../sql/silence.ts"
import { type Dialect, encodeRows, isIdentifier, pg, sqlite, type Values } from "../sql/statement.ts"
import * as Writer from "../sql/writer.ts"
import { failUnavailable, unavailable, type VelocityError } from "./errors.ts"
import type { Event, Measure } from "./event.ts"
import * as log from "./log.ts"
import * as schema from "./schema.ts"
import * as statements from "./statements.ts"
import * as store from "./store.ts"

/** @internal */
export interface Options {
  readonly table: string
  readonly migrate: boolean
  readonly writeTimeout?: Duration.Input | undefined
  /** The clock of the store as an SQL expression, for tests. */
  readonly now?: string | undefined
}

// Writes that share a commit, and writes that wait.
const batchMax = 256
const queueMax = 16_384

// Every so many calls that record, so many counters whose window is over go: more than can have come.
const recordsPerSweep = 64
const sweepMax = 10_000

/** @internal */
export const make = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<
  Velocity["Service"],
  VelocityError | Migrator.MigrationError | SqlError.SqlError,
  SqlClient.SqlClient | Scope.Scope
> {
  const sql = yield* SqlClient.SqlClient
  const scope = yield* Scope.Scope
  const dialect = yield* dialectOf(sql, options.now)
  if (!isIdentifier(options.table)) {
    return yield* failUnavailable("start", "table must be 1 to 40 of a-z, 0-9 and _, no digit first")
  }
  const timeoutMillis = writeTimeoutMillis(options.writeTimeout)
  if (timeoutMillis === undefined) return yield* failUnavailable("start", writeTimeoutFault)
  if (options.migrate) yield* schema.migrate(options.table)
  const execute = dialect.name === "sqlite" ? direct(sql) : pooled(sql)
  const strategy = dialect.name === "sqlite" ? Writer.inTransaction(sql) : Writer.inStatements(sql, timeoutMillis)
  const writer = yield* Writer.make(sql, { strategy, timeoutMillis, batchMax, queueMax })
  return store.make(
    backend({ sql, scope, dialect, execute, writer, statements: statements.make(`"${options.table}"`, dialect) })
  )
})

const dialectOf = (sql: SqlClient.SqlClient, now: string | undefined): Effect.Effect<Dialect, VelocityError> => {
  const dialect = sql.onDialectOrElse<Dialect | undefined, Dialect, Dialect>({
    sqlite: () => sqlite,
    pg: () => pg,
    orElse: () => undefined
  })
  return dialect === undefined
    ? failUnavailable("start", "the store speaks sqlite and pg")
    : Effect.succeed(now === undefined ? dialect : { ...dialect, now })
}

interface Database {
  readonly sql: SqlClient.SqlClient
  readonly scope: Scope.Scope
  readonly dialect: Dialect
  readonly execute: Execute
  readonly writer: Writer.Writer
  readonly statements: statements.Statements
}

const backend = (database: Database): store.Backend => {
  const { execute, statements } = database
  const sweep = sweeper(database)
  return {
    record: (events) =>
      alone(
        database,
        "record",
        Effect.andThen(sweep, Effect.forEach(events, (event) => record(database, event), { concurrency: "unbounded" }))
      ),
    measure: ({ id, windowMillis }) =>
      failing(
        "measure",
        Effect.flatMap(execute(statements.measure.text, statements.measure.bind({ id })), ([row]) => {
          if (row === undefined) return unreadable("measure")
          const [now, text, droppedAt] = row
          return text === null
            ? Effect.succeed(log.measure(log.empty, windowMillis, 0))
            : toMeasure("measure", windowMillis, [id, text, droppedAt, now])
        })
      ),
    forget: ({ id }) =>
      alone(
        database,
        "forget",
        Effect.map(
          execute(statements.forget.text, statements.forget.bind({ id })),
          ([row]) => row !== undefined && integer(row[0]) > integer(row[1])
        )
      )
  }
}

const record = (database: Database, event: Event): Effect.Effect<Measure, Failure> =>
  Effect.flatMap(
    submit(database, event),
    ([row]) => row === undefined ? unreadable("record") : toMeasure("record", event.windowMillis, row)
  )

const submit = ({ dialect, statements: { many, one }, writer }: Database, event: Event) => {
  const values: Values = {
    id: event.id,
    attempt: event.attempt,
    amount: event.amount.toString(),
    value: event.value,
    events_max: event.eventsMax,
    window: event.windowMillis
  }
  return writer.submit({
    key: event.id,
    text: one.text,
    parameters: one.bind(values),
    member: dialect.name === "sqlite" ? undefined : {
      text: many.text,
      shared: "",
      values,
      parametersOf: (members) => many.bind({ rows: encodeRows(statements.names, members) })
    }
  })
}

// --- rows

const decodeText = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Unknown))

/** Read by hand, by position: every payment waits for it. Postgres' driver reads JSON itself, SQLite's does not. */
const toEntries = (json: unknown): ReadonlyArray<log.Entry> | undefined => {
  const parsed = typeof json === "string" ? Option.getOrUndefined(decodeText(json)) : json
  if (!Array.isArray(parsed)) return undefined
  const entries = parsed.flatMap((entry) => toEntry(entry) ?? [])
  return entries.length === parsed.length ? entries : undefined
}

const toEntry = (entry: unknown): log.Entry | undefined => {
  if (!Array.isArray(entry) || entry.length !== 4) return undefined
  const [at, attempt, amount, value]: ReadonlyArray<unknown> = entry
  return Number.isSafeInteger(at) && typeof attempt === "string" && typeof value === "string" &&
      typeof amount === "string" && /^\d{1,20}$/.test(amount)
    ? { at: Number(at), attempt, amount: BigInt(amount), value }
    : undefined
}

const toMeasure = (operation: string, windowMillis: number, row: Row): Effect.Effect<Measure, VelocityError> => {
  const [, json, dropped, time] = row
  const entries = toEntries(json)
  const [droppedAt, now] = [integer(dropped), integer(time)]
  return entries === undefined || Number.isNaN(droppedAt + now)
    ? unreadable(operation)
    : Effect.succeed(log.measure({ entries, droppedAt }, windowMillis, now))
}

const unreadable = (operation: string) => failUnavailable(operation, "RowUnreadable")

// --- transactions and failures

type Failure = VelocityError | Writer.Failure

/**
 * Commits apart from a transaction of the caller: an attempt counts also when the payment is rolled back. SQLite has one
 * connection and the transaction holds it: waiting for another would be waiting for one's own end.
 */
const alone = <A>({ dialect, sql }: Database, operation: string, self: Effect.Effect<A, Failure>) =>
  failing(
    operation,
    Effect.withFiber((fiber) => {
      if (Context.getOrUndefined(fiber.context, sql.transactionService) === undefined) return self
      return dialect.name === "sqlite"
        ? failUnavailable(operation, "InsideTransaction")
        : Effect.updateContext(self, Context.omit(sql.transactionService))
    })
  )

const failing = <A>(operation: string, self: Effect.Effect<A, Failure>): Effect.Effect<A, VelocityError> =>
  Effect.mapError(self, (failure) => {
    switch (failure._tag) {
      case "VelocityError":
        return failure
      case "SqlError":
        return unavailable(operation, failure.reason._tag)
      case "Unanswered":
        return unavailable(operation, failure._tag)
      case "WriterRefused":
        return unavailable(operation, `Queue${failure.reason}`)
    }
  })

/** Beside the call and in the scope of the layer; one that fails is made up for by the next. */
const sweeper = ({ execute, scope, statements: { sweep } }: Database): Effect.Effect<void> => {
  let records = 0
  let isSweeping = false
  const run = Effect.suspend(() => {
    isSweeping = true
    return execute(sweep.text, sweep.bind({ limit: sweepMax }))
  }).pipe(
    Effect.ignore,
    Effect.ensuring(Effect.sync(() => {
      isSweeping = false
    }))
  )
  return Effect.suspend(() =>
    ++records % recordsPerSweep !== 0 || isSweeping ? Effect.void : Effect.asVoid(Effect.forkIn(run, scope))
  )
}
