import { NodeRedis } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { inject } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { Cached } from "effect-payments"
import { SqlClient } from "effect/sql"
import { cachedContract } from "../cached/contract.ts"

const client = (schema: string) =>
  PgClient.layer({
    url: Redacted.make(inject("postgres")),
    maxConnections: 4,
    startupParameters: { search_path: schema }
  })

let schemas = 0
/** A schema of its own, gone with the scope. */
const schema = Effect.gen(function*() {
  const schema = `cached_${process.pid}_${schemas++}`
  const run = (text: string) =>
    Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(text)).pipe(Effect.provide(client("public")), Effect.orDie)
  yield* Effect.acquireRelease(run(`CREATE SCHEMA ${schema}`), () => run(`DROP SCHEMA ${schema} CASCADE`))
  return schema
})

const live = { live: true, advance: Effect.sleep } as const

cachedContract(
  "postgres",
  Cached.layerStoreSql.pipe(Layer.provide(Layer.unwrap(Effect.map(schema, client)))),
  live
)

cachedContract("redis", Cached.layerStoreRedis.pipe(Layer.provide(NodeRedis.layer({ url: inject("redis") }))), live)
