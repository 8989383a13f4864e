// A process of its own that claims every key of a list in one SQLite file, and prints which it was given.
import { SqliteClient } from "@effect-payments/sqlite"
import { Effect, Layer } from "effect"
import { IdempotencyStore } from "effect-payments"
import { requestOf } from "../idempotency/request.ts"

const [filename = "", worker = "", count = "0"] = process.argv.slice(2)

const store = IdempotencyStore.layerStoreSql().pipe(
  Layer.provide(SqliteClient.layer({ filename, busyTimeout: "30 seconds", synchronous: "OFF" }))
)

const won = Effect.gen(function*() {
  const store = yield* IdempotencyStore.IdempotencyStore
  const names = Array.from({ length: Number(count) }, (_, index) => `key-${index}`)
  const claims = yield* Effect.forEach(names, (name, index) => {
    const request = requestOf({ name, owner: `${worker}-${index}`, leaseMillis: 600_000, canResolve: true })
    return Effect.map(store.claim(request), ({ record }) => record.owner === request.owner ? [name] : [])
  }, { concurrency: 16 })
  return claims.flat()
}).pipe(Effect.provide(store))

console.log(JSON.stringify(await Effect.runPromise(won)))
