/**
 * One node:sqlite connection as a Connection of Effect's SQL client.
 *
 * @internal
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Pull from "effect/Pull"
import * as SqlClient from "effect/sql/SqlClient"
import type { Connection } from "effect/sql/SqlConnection"
import type { SqlError } from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import type { DatabaseSync } from "node:sqlite"
import { isBusy, type Operation, toSqlError } from "./error.ts"
import * as Statement from "./statement.ts"

type Transform = Parameters<Connection["execute"]>[2]

const chunkRows = 128
// The steps of SQLite's own busy handler, in milliseconds; the last one repeats.
const waitsMillis = [1, 2, 5, 10, 15, 20, 25, 25, 25, 50, 50, 100]

// A timer of the machine, not Effect's Clock: the lock is held by another process, whose time no test can move.
const sleep = (millis: number): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const timer = setTimeout(() => resume(Effect.void), millis)
    return Effect.sync(() => clearTimeout(timer))
  })

interface Turn {
  readonly deadline: number
  readonly tries: number
}

/**
 * Waits for the lock and tries again, or fails when waiting does not help or has lasted long enough. The wait is a
 * timer: the other fibers of the process go on, where SQLite's own handler would put the whole process to sleep.
 */
const recover = <A>(
  cause: unknown,
  operation: Operation,
  busyMillis: number,
  turn: Turn | undefined,
  again: (turn: Turn) => Effect.Effect<A, SqlError>
): Effect.Effect<A, SqlError> => {
  if (!isBusy(cause)) return Effect.fail(toSqlError(cause, operation))
  const now = performance.now()
  const { deadline, tries } = turn ?? { deadline: now + busyMillis, tries: 0 }
  if (now >= deadline) return Effect.fail(toSqlError(cause, operation))
  const wait = Math.min(waitsMillis[Math.min(tries, waitsMillis.length - 1)] ?? 1, deadline - now)
  return Effect.flatMap(sleep(wait), () => again({ deadline, tries: tries + 1 }))
}

/**
 * Runs `f`, and again while another connection holds the lock, for `busyMillis` at most.
 *
 * @internal
 */
export const attempt = <A>(
  operation: Operation,
  busyMillis: number,
  f: () => A,
  turn?: Turn
): Effect.Effect<A, SqlError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(f())
    } catch (cause) {
      return recover(cause, operation, busyMillis, turn, (turn) => attempt(operation, busyMillis, f, turn))
    }
  })

/** @internal */
export const makeConnection = (
  db: DatabaseSync,
  options: { readonly cacheSize: number; readonly busyMillis: number }
): Connection => {
  const cache = Statement.makeCache(db, options.cacheSize)
  const { busyMillis } = options

  // The hot path of every statement: one closure, and no effect but the answer.
  const execute = (
    sql: string,
    params: ReadonlyArray<unknown>,
    shape: Statement.Shape,
    cached: boolean,
    transform: Transform,
    turn?: Turn
  ): Effect.Effect<any, SqlError> =>
    Effect.withFiber((fiber) => {
      let operation: Operation = "prepare"
      let found
      try {
        const prepared = cached ? cache.get(sql) : Statement.prepare(db, sql)
        operation = "execute"
        found = Statement.run(prepared, Statement.toBound(params), shape, fiber.getRef(SqlClient.SafeIntegers))
        if (prepared.changesSchema) cache.clear()
      } catch (cause) {
        return recover(
          cause,
          operation,
          busyMillis,
          turn,
          (turn) => execute(sql, params, shape, cached, transform, turn)
        )
      }
      return Effect.succeed(transform === undefined ? found : transform(found as ReadonlyArray<object>))
    })

  return {
    execute: (sql, params, transform) => execute(sql, params, "rows", true, transform),
    executeRaw: (sql, params) => execute(sql, params, "raw", true, undefined),
    executeValues: (sql, params) => execute(sql, params, "values", true, undefined),
    executeUnprepared: (sql, params, transform) => execute(sql, params, "rows", false, transform),
    executeValuesUnprepared: (sql, params) => execute(sql, params, "values", false, undefined),
    executeStream: (sql, params, transform) =>
      Stream.unwrap(Effect.withFiber((fiber) => stream(db, busyMillis, fiber, sql, params, transform)))
  }
}

// A statement of its own: a cached one would be reset under the stream by the next caller of the same text.
const stream = (
  db: DatabaseSync,
  busyMillis: number,
  fiber: Fiber.Fiber<unknown, unknown>,
  sql: string,
  params: ReadonlyArray<unknown>,
  transform: Transform
) => {
  const bigints = fiber.getRef(SqlClient.SafeIntegers)
  const open = attempt("prepare", busyMillis, () => Statement.prepare(db, sql)).pipe(
    Effect.flatMap((prepared) =>
      attempt("stream", busyMillis, () => {
        const rows = Statement.iterate(prepared, Statement.toBound(params), bigints)
        try {
          return { rows, names: prepared.names, first: nextChunk(rows, prepared.names) }
        } catch (cause) {
          // Left open, it would hold its snapshot until it is collected.
          close(rows)
          throw cause
        }
      })
    )
  )
  return Effect.acquireRelease(open, ({ rows }) => Effect.sync(() => close(rows))).pipe(
    Effect.map(({ first, names, rows }) => {
      let ready: ReadonlyArray<Statement.Row> | undefined = first
      // Node before 24 starts again when it is asked for a row after the last one; a short chunk is the last one.
      let ended = false
      const pull = Effect.suspend((): Pull.Pull<Arr.NonEmptyReadonlyArray<Statement.Row>, SqlError> => {
        if (ended) return Cause.done()
        let chunk: ReadonlyArray<Statement.Row>
        try {
          chunk = ready ?? nextChunk(rows, names)
          ready = undefined
        } catch (cause) {
          return Effect.fail(toSqlError(cause, "stream"))
        }
        ended = chunk.length < chunkRows
        if (chunk.length === 0) return Cause.done()
        return Effect.succeed(
          (transform === undefined ? chunk : transform(chunk)) as Arr.NonEmptyReadonlyArray<Statement.Row>
        )
      })
      return Stream.fromPull(Effect.succeed(pull))
    })
  )
}

const nextChunk = (
  rows: Iterator<unknown>,
  names: ReadonlyArray<string> | undefined
): ReadonlyArray<Statement.Row> => {
  const found: Array<unknown> = []
  while (found.length < chunkRows) {
    const next = rows.next()
    if (next.done === true) break
    found.push(next.value)
  }
  return Statement.toRows(found, names)
}

const close = (rows: Iterator<unknown>): void => {
  try {
    rows.return?.()
  } catch {
    // The connection was closed first and took the statement with it.
  }
}
