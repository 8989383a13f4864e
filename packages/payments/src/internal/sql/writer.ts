/**
 * Group commit: writes of the same tick share a commit, which is what a durable write costs.
 *
 * Every write is guarded, so that it may be sent twice. A write that comes alone runs as it is, in the fiber of its
 * caller. A write inside a transaction of the caller runs there and never waits in the queue: the queue would wait for
 * that transaction. Answers follow the commit.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import { SqlClient, SqlError } from "./client.ts"
import { direct, type Execute, type Rows, statement } from "./execute.ts"
import { timed, Unanswered } from "./silence.ts"
import type { Values } from "./statement.ts"

/** @internal A guarded statement. */
export interface Write {
  /** Which record it writes. */
  readonly key: string
  readonly text: string
  readonly parameters: ReadonlyArray<unknown>
  /** The same write as a row of a set-based statement, for a database that takes many at once. */
  readonly member?: Member | undefined
}

/** @internal Its rows have the key in the first column; of a key one write goes into a statement. */
export interface Member {
  /** The set-based statement. Writes with the same text and the same `shared` may go together. */
  readonly text: string
  readonly shared: string
  readonly values: Values
  readonly parametersOf: (members: ReadonlyArray<Values>) => ReadonlyArray<unknown>
}

/** @internal */
export type Failure = SqlError.SqlError | Unanswered | WriterRefused

/** @internal The queue is full, or its layer has closed. */
export class WriterRefused extends Data.TaggedError("WriterRefused")<{ readonly reason: "Closed" | "Full" }> {}

/** @internal */
export interface Writer {
  readonly submit: (write: Write) => Effect.Effect<Rows, Failure>
}

/** @internal */
export interface Options {
  readonly strategy: Strategy
  /** For how long the database may be silent about a batch, in milliseconds. */
  readonly timeoutMillis: number
  /** Writes that share a commit at the most; with 1 nothing waits and nothing is shared. */
  readonly batchMax: number
  /** Writes that wait. */
  readonly queueMax: number
}

/** @internal How writes of one tick become durable. */
export interface Strategy {
  /** How many of their commits may be under way at once: the program works on answers of one while it waits for another. */
  readonly flightsMax: number
  /** Which of them can go together. */
  readonly partition: <A extends { readonly write: Write }>(
    entries: ReadonlyArray<A>
  ) => ReadonlyArray<ReadonlyArray<A>>
  /** Calls `begun` when nothing is waited for any more but the answer of the database: no lock, and no turn. */
  readonly commit: (batch: ReadonlyArray<Write>, begun: () => void) => Effect.Effect<Outcome>
  /** One by itself, or in the transaction of the caller when there is one; with a bound of its own. */
  readonly alone: (write: Write) => Effect.Effect<Rows, SqlError.SqlError | Unanswered>
}

/** @internal What became of a batch. */
export type Outcome =
  | { readonly _tag: "Committed"; readonly rows: ReadonlyArray<Rows> }
  /** Nothing of it was written, for a reason that all of it shares. */
  | { readonly _tag: "NotBegun"; readonly cause: Cause.Cause<SqlError.SqlError> }
  /** Nothing of it was written, because of one of its writes: each is run alone. */
  | { readonly _tag: "RolledBack" }
  /** Nobody knows: it is submitted once more, and then each alone. */
  | { readonly _tag: "CommitUnknown" }
  /** Nobody knows, and the database is silent: that is the answer, and whoever asks again is recognised by his guard. */
  | { readonly _tag: "Unanswered" }

type Answer = Effect.Effect<Rows, Failure>

interface Entry {
  readonly write: Write
  readonly resume: (answer: Answer) => void
  /** Nobody waits for the answer any more. */
  abandoned: boolean
}

interface State {
  queue: Array<Entry>
  /** Commits that are under way: when there are enough, what comes meanwhile waits and then goes together. */
  flights: number
  isScheduled: boolean
  /** How many writes may go at once, and how many the next time. */
  free: number
  freeNext: number
  /** What the closing layer waits for. */
  closed: (() => void) | undefined
}

/** @internal One per store. When its scope closes, what waits is still written. */
export const make = (sql: SqlClient.SqlClient, options: Options): Effect.Effect<Writer, never, Scope.Scope> =>
  Effect.gen(function*() {
    // A batch belongs to no caller: neither to a transaction nor to a trace.
    const services = Context.omit(sql.transactionService, Tracer.ParentSpan)(yield* Effect.context<never>())
    const state: State = { queue: [], flights: 0, isScheduled: false, free: 0, freeNext: 1, closed: undefined }
    const { alone } = options.strategy
    if (options.batchMax === 1) return { submit: alone }
    const flush = makeFlush(options, state, Effect.runForkWith(services))
    yield* Effect.addFinalizer(() =>
      Effect.callback<void>((resume) => {
        state.closed = () => resume(Effect.void)
        if (state.flights === 0 && !state.isScheduled) state.closed()
      })
    )
    return {
      submit: (write) =>
        Effect.withFiber((fiber) =>
          Context.getOrUndefined(fiber.context, sql.transactionService) !== undefined
            ? alone(write)
            : isFree(state)
            ? flush.whileBusy(alone(write))
            : enqueue(state, options, write, flush.flush)
        )
    }
  })

// How many writes at the most go at once after one that waited for its tick and stayed alone.
const freeMax = 8

/**
 * Whether a write goes at once. To see whether others come, it would have to wait for the end of its tick, which costs a
 * lone caller more than the commit saves; so those that waited in vain let more and more of the next ones through.
 */
const isFree = (state: State): boolean => {
  if (state.flights > 0 || state.isScheduled || state.closed !== undefined || state.free === 0) return false
  state.free--
  return true
}

const learn = (state: State, size: number): void => {
  state.freeNext = size > 1 ? 1 : Math.min(state.freeNext * 2, freeMax)
  state.free = size > 1 ? 0 : state.freeNext
}

const enqueue = (state: State, { queueMax, strategy }: Options, write: Write, flush: () => void): Answer =>
  Effect.callback((resume) => {
    if (state.closed !== undefined) return resume(Effect.fail(new WriterRefused({ reason: "Closed" })))
    if (state.queue.length >= queueMax) return resume(Effect.fail(new WriterRefused({ reason: "Full" })))
    const entry: Entry = { write, resume, abandoned: false }
    state.queue.push(entry)
    if (state.flights < strategy.flightsMax) schedule(state, flush)
    return Effect.sync(() => {
      entry.abandoned = true
    })
  })

const schedule = (state: State, flush: () => void): void => {
  if (state.isScheduled) return
  state.isScheduled = true
  // Runs when every fiber that is ready has: what they write goes together.
  queueMicrotask(flush)
}

const makeFlush = (
  options: Options,
  state: State,
  fork: (effect: Effect.Effect<void>) => void
) => {
  const { batchMax, strategy } = options

  const flush = (): void => {
    state.isScheduled = false
    const waiting = state.queue.filter((entry) => !entry.abandoned)
    state.queue = waiting
    for (let free = strategy.flightsMax - state.flights; free > 0 && waiting.length > 0; free--) {
      send(waiting.splice(0, Math.min(batchMax, share(waiting.length, free))))
    }
    if (state.flights === 0 && waiting.length === 0) state.closed?.()
  }

  const send = (batch: ReadonlyArray<Entry>): void => {
    learn(state, batch.length)
    const [first] = batch
    if (batch.length === 1 && first !== undefined) first.resume(whileBusy(strategy.alone(first.write)))
    else fork(whileBusy(Effect.forEach(strategy.partition(batch), (part) => write(options, part), all)))
  }

  const whileBusy = <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.suspend(() => {
      state.flights++
      return Effect.onExit(self, () => Effect.sync(landed))
    })

  const landed = (): void => {
    state.flights--
    if (state.queue.length > 0) schedule(state, flush)
    else if (state.flights === 0 && !state.isScheduled) state.closed?.()
  }

  return { flush, whileBusy }
}

// As many are worth a commit of their own: fewer go together.
const shareMin = 16

const share = (waiting: number, flights: number): number =>
  waiting < flights * shareMin ? waiting : Math.ceil(waiting / flights)

const all = { concurrency: "unbounded", discard: true } as const

const write = (options: Options, batch: ReadonlyArray<Entry>, isSecond = false): Effect.Effect<void> =>
  batch.length === 1
    ? eachAlone(options.strategy, batch)
    : Effect.flatMap(commit(options, batch), (outcome) => {
      switch (outcome._tag) {
        case "Committed":
          return answerAll(batch, (index) => Effect.succeed(outcome.rows[index] ?? []))
        case "RolledBack":
          return eachAlone(options.strategy, batch)
        case "NotBegun":
          return answerAll(batch, () => Effect.failCause(outcome.cause))
        case "CommitUnknown":
          return isSecond ? eachAlone(options.strategy, batch) : write(options, batch, true)
        case "Unanswered":
          return answerAll(batch, () => Effect.fail(new Unanswered()))
      }
    })

// Whatever happens, there is an answer.
const commit = ({ strategy, timeoutMillis }: Options, batch: ReadonlyArray<Entry>): Effect.Effect<Outcome> =>
  Effect.catchCause(
    Effect.catch(
      timed(timeoutMillis, (begun) => Effect.suspend(() => strategy.commit(batch.map(({ write }) => write), begun))),
      ({ _tag }) => Effect.succeed<Outcome>({ _tag })
    ),
    (cause) => Effect.succeed<Outcome>({ _tag: "NotBegun", cause })
  )

const answerAll = (batch: ReadonlyArray<Entry>, answer: (index: number) => Answer): Effect.Effect<void> =>
  Effect.sync(() => batch.forEach((entry, index) => entry.resume(answer(index))))

/** One after the other; when the database is gone, silent or locked, that is the answer to the rest too. */
const eachAlone = ({ alone }: Strategy, batch: ReadonlyArray<Entry>): Effect.Effect<void> => {
  let last: Exit.Exit<Rows, Failure> | undefined
  return Effect.forEach(
    batch,
    (entry) =>
      Effect.map(last === undefined ? Effect.exit(alone(entry.write)) : Effect.succeed(last), (exit) => {
        if (isOutage(exit)) last = exit
        entry.resume(exit)
      }),
    { discard: true }
  )
}

const isOutage = (exit: Exit.Exit<Rows, Failure>): boolean => {
  const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
  return error instanceof Unanswered || (SqlError.isSqlError(error) &&
    (error.reason._tag === "ConnectionError" || error.reason._tag === "LockTimeoutError"))
}

// --- strategies

/**
 * @internal The writes of one tick one after the other in one transaction, for SQLite. What is waited for is its lock, for
 * which the client has a bound.
 */
export const inTransaction = (sql: SqlClient.SqlClient): Strategy => {
  const execute = direct(sql)
  return {
    flightsMax: 1,
    partition: (entries) => [entries],
    commit: (batch, begun) => commitTransaction(sql, batch, begun),
    alone: ({ parameters, text }) => execute(text, parameters)
  }
}

const commitTransaction = (
  sql: SqlClient.SqlClient,
  batch: ReadonlyArray<Write>,
  begun: () => void
): Effect.Effect<Outcome> =>
  Effect.suspend(() => {
    let stage: "CommitUnknown" | "NotBegun" | "RolledBack" = "NotBegun"
    const run = Effect.flatMap(sql.transactionService, ([connection]) => {
      stage = "RolledBack"
      begun()
      return Effect.map(
        Effect.forEach(batch, (write) => connection.executeValues(write.text, write.parameters)),
        (rows: ReadonlyArray<Rows>) => {
          stage = "CommitUnknown"
          return rows
        }
      )
    })
    // The lock for writing is taken at the start, where waiting for it is safe. The service is there inside.
    const transaction = sql.withTransaction(run) as Effect.Effect<ReadonlyArray<Rows>, SqlError.SqlError>
    return Effect.map(
      Effect.exit(Effect.provideService(transaction, SqlClient.BeginTransaction, "BEGIN IMMEDIATE")),
      (exit): Outcome =>
        Exit.isSuccess(exit) ? { _tag: "Committed", rows: exit.value } : { _tag: stage, cause: typed(exit.cause) }
    )
  })

/**
 * @internal The writes of one tick as one statement for each kind, for Postgres: many statements would cost as many
 * replies. The time that they wait for a connection counts too.
 */
export const inStatements = (sql: SqlClient.SqlClient, timeoutMillis: number): Strategy => {
  const execute = statement(sql)
  return {
    flightsMax: 2,
    partition: groupByKind,
    commit: (batch, begun) => {
      begun()
      return commitStatement(execute, batch)
    },
    alone: ({ parameters, text }) =>
      Effect.withFiber((fiber) => {
        const written = execute(text, parameters)
        // In a transaction of the caller it is his to be bounded.
        return Context.getOrUndefined(fiber.context, sql.transactionService) === undefined
          ? timed(timeoutMillis, (begun) => {
            begun()
            return written
          })
          : written
      })
  }
}

const commitStatement = (execute: Execute, batch: ReadonlyArray<Write>): Effect.Effect<Outcome> => {
  const members = batch.flatMap(({ member }) => member ?? [])
  const [first] = members
  if (first === undefined || members.length < batch.length) return Effect.succeed({ _tag: "RolledBack" })
  return Effect.match(execute(first.text, first.parametersOf(members.map(({ values }) => values))), {
    onFailure: (error): Outcome =>
      // An answer of the database says that nothing was written; no answer says nothing.
      error.reason._tag === "ConnectionError"
        ? { _tag: "CommitUnknown" }
        : { _tag: "RolledBack" },
    onSuccess: (rows): Outcome => {
      const byKey = Map.groupBy(rows, (row) => row[0])
      return { _tag: "Committed", rows: batch.map(({ key }) => byKey.get(key) ?? []) }
    }
  })
}

/**
 * Of a key only the first goes with the others of its kind: a statement cannot write a row twice. Texts are long, and are
 * never part of a longer one here: its hash would be taken anew for each write.
 */
const groupByKind = <A extends { readonly write: Write }>(
  entries: ReadonlyArray<A>
): ReadonlyArray<ReadonlyArray<A>> => {
  const texts = new Map<string, OfText<A>>()
  const groups: Array<Array<A>> = []
  for (const entry of entries) {
    const { key, member, text } = entry.write
    const { seen, shared } = getOrPut(
      texts,
      member?.text ?? text,
      (): OfText<A> => ({ seen: new Map(), shared: new Map() })
    )
    const before = seen.get(key) ?? 0
    seen.set(key, before + 1)
    const turns = getOrPut(shared, member?.shared ?? "", () => new Map<number, Array<A>>())
    getOrPut(turns, before, () => {
      const group: Array<A> = []
      groups.push(group)
      return group
    }).push(entry)
  }
  return groups
}

interface OfText<A> {
  /** How many of each key there are. */
  readonly seen: Map<string, number>
  /** By what they share, and by how many of the same key came before. */
  readonly shared: Map<string, Map<number, Array<A>>>
}

const getOrPut = <K, V>(map: Map<K, V>, key: K, make: () => V): V => {
  const found = map.get(key)
  if (found !== undefined) return found
  const made = make()
  map.set(key, made)
  return made
}

/** A defect of the client that hides an error of the database, such as a failed rollback, is that error again. */
const typed = (cause: Cause.Cause<SqlError.SqlError>): Cause.Cause<SqlError.SqlError> => {
  const error = Cause.squash(cause)
  return SqlError.isSqlError(error) ? Cause.fail(error) : cause
}
