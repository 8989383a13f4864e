// A process of its own that takes part in a history: for each line that it reads it runs a round, and prints what happened.
import { PgClient } from "@effect/sql-pg"
import { Effect, Redacted } from "effect"
import { createInterface } from "node:readline"
import { make } from "../../src/internal/idempotency/sql.ts"
import { round } from "../idempotency/history.ts"

const [url = "", schema = ""] = process.argv.slice(2)
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

const work = Effect.gen(function*() {
  const store = yield* make({
    table: "model_records",
    migrate: false,
    batchMax: 100,
    now: "(SELECT now FROM model_clock)"
  })
  const known = new Map()
  for (;;) {
    const line = yield* Effect.promise(() => lines.next())
    if (line.done === true) return
    const events = yield* round(store, { seed: line.value, callers: 3, each: 3, known })
    process.stdout.write(`${JSON.stringify(events)}\n`)
  }
})

await Effect.runPromise(
  Effect.scoped(work).pipe(
    Effect.provide(PgClient.layer({
      url: Redacted.make(url),
      maxConnections: 4,
      startupParameters: { search_path: schema }
    }))
  )
)
