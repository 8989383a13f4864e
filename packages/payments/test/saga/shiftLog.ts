import { Duration, Effect } from "effect"
import { SqlClient } from "effect/sql"

/** Lets time pass for a log in a database: every time that it has noted moves into the past. */
export const shiftLog = (duration: Duration.Input) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const millis = Duration.toMillis(Duration.fromInputUnsafe(duration))
    yield* sql`UPDATE ${sql("effect_payments_saga")} SET
      lease_until = CASE WHEN lease_until = 0 THEN 0 ELSE lease_until - ${millis} END,
      created_at = created_at - ${millis},
      updated_at = updated_at - ${millis},
      ended_at = ended_at - ${millis}`
    yield* sql`UPDATE ${sql("effect_payments_saga_entries")} SET at = at - ${millis}`
    yield* sql`UPDATE ${sql("effect_payments_saga_signals")} SET at = at - ${millis}`
  })
