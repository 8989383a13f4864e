/**
 * Transactions: whether a fiber is in one of any SQL client, and one of our own.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type { SqlClient, SqlError } from "./client.ts"
import type { Execute } from "./execute.ts"
import { timed } from "./silence.ts"

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
