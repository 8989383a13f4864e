// A process of its own that claims every key of a list in one store, and prints which it was given and which it has
// completed. The store is a file of SQLite, a schema of Postgres or a prefix of Redis.
import { Effect, Layer, Redacted } from "effect"
import { IdempotencyStore } from "effect-payments"
import { requestOf } from "../idempotency/request.ts"

const [kind = "", where = "", space = "", worker = "", count = "0"] = process.argv.slice(2)

const overSql = IdempotencyStore.layerStoreSql()

/** Each process loads the one driver that it needs. */
const layerOf = async (): Promise<Layer.Layer<IdempotencyStore.IdempotencyStore, unknown>> => {
  switch (kind) {
    case "sqlite": {
      const { SqliteClient } = await import("@effect-payments/sqlite")
      const client = SqliteClient.layer({ filename: where, busyTimeout: "30 seconds", synchronous: "OFF" })
      return Layer.provide(overSql, client)
    }
    case "postgres": {
      const { PgClient } = await import("@effect/sql-pg")
      const url = Redacted.make(where)
      return Layer.provide(
        overSql,
        PgClient.layer({ url, maxConnections: 4, startupParameters: { search_path: space } })
      )
    }
    default: {
      const { NodeRedis } = await import("@effect/platform-node")
      return Layer.provide(IdempotencyStore.layerStoreRedis({ prefix: space }), NodeRedis.layer({ url: where }))
    }
  }
}

const won = Effect.gen(function*() {
  const store = yield* IdempotencyStore.IdempotencyStore
  const names = Array.from({ length: Number(count) }, (_, index) => `key-${index}`)
  const claims = yield* Effect.forEach(names, (name, index) =>
    Effect.gen(function*() {
      const request = requestOf({ name, owner: `${worker}-${index}`, leaseMillis: 600_000, canResolve: true })
      const { record } = yield* store.claim(request)
      if (record.owner !== request.owner) return []
      const completion = { _tag: "Succeeded", result: request.owner, ttlMillis: 600_000 } as const
      return (yield* store.complete({ ...record, completion })) ? [name] : []
    }), { concurrency: 16 })
  return claims.flat()
}).pipe(Effect.provide(Layer.unwrap(Effect.promise(layerOf))))

console.log(JSON.stringify(await Effect.runPromise(won)))
