import { PgClient } from "@effect/sql-pg"
import { assert, inject, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { IdempotencyStore } from "effect-payments"
import { SqlClient } from "effect/sql"
import { ClockStore, layer as clockStore } from "../idempotency/clockStore.ts"
import { Commands, compare } from "../idempotency/model.ts"
import { shiftTime } from "../idempotency/shiftTime.ts"
import { requestOf, rival, storeContract } from "../idempotency/storeContract.ts"

const postgres = PgClient.layer({ url: Redacted.make(inject("postgres")) })
const clean = Layer.effectDiscard(
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql`DROP TABLE IF EXISTS effect_payments_idempotency, effect_payments_idempotency_migrations`
  })
)
const store = IdempotencyStore.layerStoreSql().pipe(Layer.provide(clean), Layer.provideMerge(postgres))

storeContract("postgres", store, { advance: shiftTime })

it.layer(clockStore.pipe(Layer.provide(postgres)))("the Postgres store", (it) => {
  for (const paired of [false, true]) {
    it.effect.prop(`does what the machine does${paired ? ", in batches" : ""}`, [Commands], ([commands]) =>
      Effect.gen(function*() {
        const { reset, setTime, store } = yield* ClockStore
        yield* reset
        yield* compare(store, setTime, commands, { paired })
      }), { arbitrary: { runs: 60 }, timeout: 120_000 })
  }
})
void assert
void requestOf
void rival
