import { SqliteClient } from "@effect-payments/sqlite"
import { it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { ClockStore, layer } from "./clockStore.ts"
import { Commands, compare } from "./model.ts"

const options = { arbitrary: { runs: 150 }, timeout: 60_000 }

it.layer(layer.pipe(Layer.provide(SqliteClient.layer({ filename: ":memory:" }))))("the SQLite store", (it) => {
  for (const paired of [false, true]) {
    it.effect.prop(
      `does what the machine does${paired ? ", in batches" : ""}`,
      [Commands],
      ([commands]) =>
        Effect.gen(function*() {
          const { reset, setTime, store } = yield* ClockStore
          yield* reset
          yield* compare(store, setTime, commands, { paired })
        }),
      options
    )
  }
})
