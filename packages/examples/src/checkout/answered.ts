/** A database that gave no answer, as the steps of a checkout know it: its commit may have gone through. */
import { Effect } from "effect"
import type { SqlError } from "effect/sql"
import { NoAnswer } from "./Order.ts"

export const answered = (operation: string) =>
<A, E, R>(
  self: Effect.Effect<A, E | SqlError.SqlError, R>
): Effect.Effect<A, Exclude<E, SqlError.SqlError> | NoAnswer, R> =>
  Effect.catchTag(
    self as Effect.Effect<A, E | SqlError.SqlError, R>,
    "SqlError",
    () => Effect.fail(new NoAnswer({ operation }))
  ) as Effect.Effect<A, Exclude<E, SqlError.SqlError> | NoAnswer, R>
