import { NodeRedis } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted } from "effect"
import { SagaLog } from "effect-payments"
import { SqlClient } from "effect/sql"
import { afterAll, beforeAll, inject } from "vitest"
import { sagaCommands } from "../support/sagaCommands.ts"

/** The server trusts whoever comes: any password will do. */
const password = "pw-nobody-may-see"
const withPassword = (url: string): string => {
  const parsed = new URL(url)
  parsed.password = password
  return parsed.toString()
}

const schema = `payctl_saga_${process.pid}`
const client = (schema: string) =>
  PgClient.layer({ url: Redacted.make(inject("postgres")), startupParameters: { search_path: schema } })
const run = (text: string) =>
  Effect.runPromise(
    Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(text)).pipe(Effect.provide(client("public")))
  )
beforeAll(() => run(`CREATE SCHEMA ${schema}`))
afterAll(() => run(`DROP SCHEMA ${schema} CASCADE`))

sagaCommands("Postgres", () => ({
  flags: ["--store", "postgres", "--schema", schema],
  env: { DATABASE_URL: withPassword(inject("postgres")), REDIS_URL: "redis://127.0.0.1:1" },
  layer: SagaLog.layerStoreSql().pipe(Layer.provide(client(schema))),
  hidden: password
}))

const prefix = `payctl-saga-${process.pid}`

sagaCommands("Redis", () => ({
  flags: ["--store", "redis", "--prefix", prefix],
  env: { DATABASE_URL: "postgres://127.0.0.1:1/none", REDIS_URL: inject("redis") },
  layer: SagaLog.layerStoreRedis({ prefix }).pipe(Layer.provide(NodeRedis.layer({ url: inject("redis") })))
}))
