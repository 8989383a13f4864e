/**
 * Transactions: whether a fiber is in one of any SQL client, and one of our own.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type { SqlClient, SqlError } from "./client.ts"
import type { Execute } from "./execute.ts"
import { timed, Unanswered } from "./silence.ts"

/**
 * The reference under which Effect's clients keep the transaction that is begun last. Effect does not export it; under
 * another name no transaction would be seen, and the tests of what asks here would fail.
 */
const Current = Context.Reference<unknown>("effect/sql/CurrentTransactionService", { defaultValue: () => undefined })

/** @internal */
export const isInside = (fiber: Fiber.Fiber<unknown, unknown>): boolean => fiber.getRef(Current) !== undefined

const rollbackMillis = 5_000

/**
 * A transaction that can be interrupted wherever it waits. Effect's own waits for BEGIN and COMMIT whatever happens: on a
 * connection whose other end is gone for a quarter of an hour, and keeps the connection for as long. The body has to
 * fail when one of its statements does.
 *
 * @internal
 */
export const inOwnTransaction = <A>(
  sql: SqlClient.SqlClient,
  body: (execute: Execute) => Effect.Effect<A, SqlError.SqlError>
): Effect.Effect<A, SqlError.SqlError> =>
  Effect.scoped(Effect.flatMap(sql.reserve, (connection) => {
    const execute: Execute = (text, parameters) => connection.executeValues(text, parameters)
    const transaction = Effect.andThen(
      execute("BEGIN", []),
      Effect.flatMap(body(execute), (value) => Effect.as(execute("COMMIT", []), value))
    )
    return Effect.onExit(transaction, (exit) => Exit.isSuccess(exit) ? Effect.void : rollBack(execute))
  }))

// A connection that is given back while a statement is on it is closed.
const rollBack = (execute: Execute): Effect.Effect<void> =>
  Effect.ignore(timed(rollbackMillis, (begun) => {
    begun()
    return execute("ROLLBACK", [])
  }))

// A connection may have to be waited for until others have ended.
const beginsWithin = 6

/**
 * A transaction of the client's own, in which the statements of others run, and that keeps nobody waiting for a silent
 * database: BEGIN, with the wait for a connection, has six times as long as a write, COMMIT and ROLLBACK as long. What is
 * given up goes on ending by itself.
 *
 * - Without a BEGIN nothing of it runs.
 * - Without an answer to a COMMIT nobody knows.
 * - What has failed has not been committed, whatever becomes of the ROLLBACK.
 */
export const inTransactionOfClient = <A, E, R>(
  sql: SqlClient.SqlClient,
  timeoutMillis: number,
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E | SqlError.SqlError | Unanswered, R> =>
  Effect.suspend(() => {
    const end = Deferred.makeUnsafe<A, E | SqlError.SqlError | Unanswered>()
    let asked: Fiber.Fiber<A, E | SqlError.SqlError> | undefined
    const run = Effect.withFiber((caller) => {
      const fork = Effect.runForkWith(caller.context as Context.Context<R>)
      let timer: Fiber.Fiber<void> | undefined
      let isGivenUp = false
      const stop = () => timer?.interruptUnsafe()
      const wait = (millis: number, given: Exit.Exit<A, E | Unanswered>) => {
        timer = fork(Effect.map(Effect.sleep(Duration.millis(millis)), () => {
          isGivenUp = true
          Deferred.doneUnsafe(end, given)
          asked?.interruptUnsafe()
        }))
      }
      const body = Effect.suspend(() => {
        if (isGivenUp) return Effect.interrupt
        stop()
        return Effect.onExit(self, (exit) =>
          Effect.sync(() => wait(timeoutMillis, Exit.isSuccess(exit) ? Exit.fail(new Unanswered()) : exit)))
      })
      wait(timeoutMillis * beginsWithin, Exit.fail(new Unanswered()))
      asked = fork(sql.withTransaction(body))
      asked.addObserver((exit) => {
        stop()
        Deferred.doneUnsafe(end, exit)
      })
      // Also where the caller is not: a body that is to end is told so here.
      return Effect.interruptible(Deferred.await(end))
    })
    return Effect.onExitPrimitive(run, () => {
      if (asked === undefined || Deferred.isDoneUnsafe(end)) {
        return undefined
      }
      asked.interruptUnsafe()
      return Effect.asVoid(Effect.exit(Deferred.await(end)))
    })
  })
