/**
 * One statement on its own, or in the transaction of the caller when there is one.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { SqlClient, SqlError } from "./client.ts"

/** @internal The values of each row in the order of the statement. */
export type Rows = ReadonlyArray<Row>

/** @internal */
export type Row = ReadonlyArray<unknown>

/** @internal */
export type Execute = (text: string, parameters: ReadonlyArray<unknown>) => Effect.Effect<Rows, SqlError.SqlError>

// Statements that lose to others again and again are given up.
const triesMax = 8

/**
 * Over a pool, which pipelines what shares a connection. Where the database's own isolation is stricter than READ
 * COMMITTED, a statement may fail because of others; it has changed nothing then and runs again.
 *
 * @internal
 */
export const pooled = (sql: SqlClient.SqlClient): Execute => {
  const attempt = (text: string, parameters: ReadonlyArray<unknown>, tries: number): ReturnType<Execute> =>
    Effect.catch(sql.unsafe(text, parameters).values, (error) =>
      tries < triesMax && hasLost(error)
        // In a transaction all of it is lost, and its owner has to begin it anew.
        ? Effect.withFiber((fiber) =>
          Context.getOrUndefined(fiber.context, sql.transactionService) === undefined
            ? attempt(text, parameters, tries + 1)
            : Effect.fail(error)
        )
        : Effect.fail(error))
  return (text, parameters) => attempt(text, parameters, 1)
}

const hasLost = ({ reason }: SqlError.SqlError): boolean =>
  reason._tag === "SerializationError" || reason._tag === "DeadlockError"

/** @internal Over the one connection of SQLite: what the client adds to a statement would cost as much as the statement. */
export const direct = (sql: SqlClient.SqlClient): Execute => (text, parameters) =>
  Effect.withFiber((fiber) => {
    const transaction = Context.getOrUndefined(fiber.context, sql.transactionService)
    return transaction === undefined
      ? Effect.scoped(Effect.flatMap(sql.reserve, (connection) => connection.executeValues(text, parameters)))
      : transaction[0].executeValues(text, parameters)
  })
