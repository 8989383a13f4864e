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

/** @internal Over a pool, which pipelines what shares a connection. */
export const pooled = (sql: SqlClient.SqlClient): Execute => (text, parameters) => sql.unsafe(text, parameters).values

/** @internal Over the one connection of SQLite: what the client adds to a statement would cost as much as the statement. */
export const direct = (sql: SqlClient.SqlClient): Execute => (text, parameters) =>
  Effect.withFiber((fiber) => {
    const transaction = Context.getOrUndefined(fiber.context, sql.transactionService)
    return transaction === undefined
      ? Effect.scoped(Effect.flatMap(sql.reserve, (connection) => connection.executeValues(text, parameters)))
      : transaction[0].executeValues(text, parameters)
  })
