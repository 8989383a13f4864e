import { SqliteClient } from "@effect-payments/sqlite"
import { assert, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { make } from "../../src/internal/idempotency/sql.ts"
import { Commands, ids, makeModel, runModel, runStore, type Store, toStep } from "./model.ts"

/** A SQLite store whose clock is a row that the test sets. */
class Fixture extends Context.Service<Fixture, {
  readonly store: Store
  readonly reset: Effect.Effect<void>
  readonly setTime: (now: number) => Effect.Effect<void>
}>()("Fixture") {}

const layer = Layer.effect(
  Fixture,
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE TABLE clock (now INTEGER NOT NULL)`
    yield* sql`INSERT INTO clock (now) VALUES (0)`
    return {
      store: yield* make({ table: "records", migrate: true, now: "(SELECT now FROM clock)" }),
      reset: Effect.orDie(sql`DELETE FROM records`),
      setTime: (now) => Effect.orDie(sql`UPDATE clock SET now = ${now}`)
    }
  })
).pipe(Layer.provide(SqliteClient.layer({ filename: ":memory:" })))

it.layer(layer)("the SQLite store", (it) => {
  it.effect.prop("does what the machine does, step by step", [Commands], ([commands]) =>
    Effect.gen(function*() {
      const { reset, setTime, store } = yield* Fixture
      const model = makeModel(1_700_000_000_000)
      yield* reset
      yield* setTime(model.now)
      for (const command of commands) {
        const step = toStep(model, command)
        if (step === undefined) {
          model.now += command._tag === "Advance" ? command.millis : 0
          yield* setTime(model.now)
          continue
        }
        for (let sent = 0; sent < ("twice" in command && command.twice ? 2 : 1); sent++) {
          assert.deepStrictEqual(yield* runStore(store, step), runModel(model, step))
        }
        for (const id of ids) {
          assert.deepStrictEqual((yield* store.inspect(id)).record, model.records.get(id.id))
        }
      }
    }), { arbitrary: { runs: 300 }, timeout: 60_000 })
})
