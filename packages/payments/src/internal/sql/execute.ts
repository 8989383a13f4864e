/**
 * One statement on its own, or in the transaction of the caller when there is one.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { hasProperty } from "effect/Predicate"
import * as Scope from "effect/Scope"
import type { SqlClient, SqlError } from "./client.ts"
import { promptly } from "./silence.ts"

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
  const run = statement(sql)
  return (text, parameters) =>
    Effect.withFiber((fiber) => isInside(sql, fiber) ? run(text, parameters) : promptly(run(text, parameters)))
}

/** @internal The same for one that bounds itself: who leaves waits until the connection is free again. */
export const statement = (sql: SqlClient.SqlClient): Execute => {
  const values: Execute = (text, parameters) => sql.unsafe(text, parameters).values
  const run = isMultiplexed(sql) ? onOwnConnection(sql, values) : values
  const attempt = (text: string, parameters: ReadonlyArray<unknown>, tries: number): ReturnType<Execute> =>
    Effect.catch(run(text, parameters), (error) =>
      tries < triesMax && hasLost(error)
        // In a transaction all of it is lost, and its owner has to begin it anew.
        ? Effect.withFiber((fiber) => isInside(sql, fiber) ? Effect.fail(error) : attempt(text, parameters, tries + 1))
        : Effect.fail(error))
  return (text, parameters) => attempt(text, parameters, 1)
}

const isInside = (sql: SqlClient.SqlClient, fiber: Fiber.Fiber<unknown, unknown>): boolean =>
  Context.getOrUndefined(fiber.context, sql.transactionService) !== undefined

const hasLost = ({ reason }: SqlError.SqlError): boolean =>
  reason._tag === "SerializationError" || reason._tag === "DeadlockError"

// --- a client whose statements share connections

const isMultiplexed = (sql: SqlClient.SqlClient): boolean =>
  hasProperty(sql, "config") && hasProperty(sql.config, "multiplex") && sql.config.multiplex === true

// Waits for a connection that nobody but they themselves waits for any more: at the most so many, for each keeps one.
const leftMax = 16

/**
 * A connection that statements share is never given up, whatever becomes of them: those of a store would be sent after
 * one another into the same silence. So each has one of its own, whose end its interruption is. One that has others' on
 * it first waits for those; who leaves meanwhile leaves that wait behind, which keeps the connection from the next one.
 */
const onOwnConnection = (sql: SqlClient.SqlClient, run: Execute): Execute => {
  let left = 0
  const leave = (lent: Fiber.Fiber<unknown, unknown>, scope: Scope.Closeable) => {
    if (left >= leftMax) lent.interruptUnsafe()
    left++
    lent.addObserver((exit) => {
      left--
      Effect.runFork(Scope.close(scope, exit))
    })
  }
  const own: Execute = (text, parameters) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(
        Scope.make(),
        (scope) =>
          Effect.flatMap(Effect.forkDetach(Scope.provide(sql.reserve, scope), { startImmediately: true }), (lent) =>
            Effect.onExit(
              restore(
                Effect.flatMap(
                  Fiber.join(lent),
                  (connection) => Effect.provideService(run(text, parameters), sql.transactionService, [connection, 0])
                )
              ),
              (exit) =>
                lent.pollUnsafe() === undefined
                  ? Effect.sync(() => leave(lent, scope))
                  : Scope.close(scope, exit)
            ))
      )
    )
  return (text, parameters) =>
    Effect.withFiber((fiber) => isInside(sql, fiber) ? run(text, parameters) : own(text, parameters))
}

/** @internal Over the one connection of SQLite: what the client adds to a statement would cost as much as the statement. */
export const direct = (sql: SqlClient.SqlClient): Execute => (text, parameters) =>
  Effect.withFiber((fiber) => {
    const transaction = Context.getOrUndefined(fiber.context, sql.transactionService)
    return transaction === undefined
      ? Effect.scoped(Effect.flatMap(sql.reserve, (connection) => connection.executeValues(text, parameters)))
      : transaction[0].executeValues(text, parameters)
  })
