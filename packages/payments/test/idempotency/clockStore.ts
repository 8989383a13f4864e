import { Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { make } from "../../src/internal/idempotency/sql.ts"
import type { Store } from "./model.ts"

/** A store in a database whose clock is a row that the test sets. */
export class ClockStore extends Context.Service<ClockStore, {
  readonly store: Store
  readonly reset: Effect.Effect<void>
  readonly setTime: (now: number) => Effect.Effect<void>
}>()("test/ClockStore") {}

export const layer = Layer.effect(
  ClockStore,
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql`DROP TABLE IF EXISTS model_records`
    yield* sql`DROP TABLE IF EXISTS model_records_migrations`
    yield* sql`DROP TABLE IF EXISTS model_clock`
    yield* sql`CREATE TABLE model_clock (now BIGINT NOT NULL)`
    yield* sql`INSERT INTO model_clock (now) VALUES (0)`
    return {
      store: yield* make({
        table: "model_records",
        migrate: true,
        batchMax: 100,
        now: "(SELECT now FROM model_clock)"
      }),
      reset: Effect.orDie(sql`DELETE FROM model_records`),
      setTime: (now) => Effect.orDie(sql`UPDATE model_clock SET now = ${now}`)
    }
  })
)
