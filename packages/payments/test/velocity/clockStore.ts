/** A store in a database whose clock is a row that the test moves. */
import { Duration, Effect, Layer } from "effect"
import { Velocity } from "effect-payments"
import { SqlClient } from "effect/sql"
import { make } from "../../src/internal/velocity/sql.ts"

export const layer = Layer.effect(
  Velocity.Velocity,
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE TABLE velocity_clock (now BIGINT NOT NULL)`
    yield* sql`INSERT INTO velocity_clock (now) VALUES (1700000000000)`
    return yield* make({ table: "velocity_counters", migrate: true, now: "(SELECT now FROM velocity_clock)" })
  })
)

export const advance = (duration: Duration.Input) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`UPDATE velocity_clock SET now = now + ${Duration.toMillis(Duration.fromInputUnsafe(duration))}`
  )
