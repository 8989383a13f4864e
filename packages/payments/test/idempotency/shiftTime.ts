import { Duration, Effect } from "effect"
import { SqlClient } from "effect/sql"

/** Lets time pass for a store in a database: every time that it has noted moves into the past. */
export const shiftTime = (duration: Duration.Input) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const millis = Duration.toMillis(Duration.fromInputUnsafe(duration))
    const table = sql("effect_payments_idempotency")
    yield* sql`UPDATE ${table} SET
      lease_until = CASE WHEN lease_until = 0 THEN 0 ELSE lease_until - ${millis} END,
      unknown_since = CASE WHEN unknown_since = 0 THEN 0 ELSE unknown_since - ${millis} END,
      created_at = created_at - ${millis},
      updated_at = updated_at - ${millis},
      expires_at = expires_at - ${millis}`
  })
