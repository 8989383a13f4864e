import { NodeRedis } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted } from "effect"
import { IdempotencyStore } from "effect-payments"
import { SqlClient } from "effect/sql"
import { afterAll, beforeAll, inject } from "vitest"
import { idempotencyCommands } from "../support/idempotencyCommands.ts"

/** The servers trust whoever comes: any password will do. */
const password = "pw-nobody-may-see"
const withPassword = (url: string): string => {
  const parsed = new URL(url)
  parsed.password = password
  return parsed.toString()
}

const schema = `payctl_${process.pid}`
const client = (schema: string) =>
  PgClient.layer({ url: Redacted.make(inject("postgres")), startupParameters: { search_path: schema } })
const run = (text: string) =>
  Effect.runPromise(
    Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(text)).pipe(Effect.provide(client("public")))
  )
beforeAll(() => run(`CREATE SCHEMA ${schema}`))
afterAll(() => run(`DROP SCHEMA ${schema} CASCADE`))

idempotencyCommands("Postgres", () => ({
  flags: ["--schema", schema, "--table", "records"],
  env: { DATABASE_URL: withPassword(inject("postgres")) },
  layer: IdempotencyStore.layerStoreSql({ table: "records" }).pipe(Layer.provide(client(schema))),
  hidden: password
}))

const prefix = `payctl-${process.pid}`

idempotencyCommands("Redis", () => ({
  flags: ["--store", "redis", "--prefix", prefix],
  env: { DATABASE_URL: "postgres://127.0.0.1:1/none", REDIS_URL: inject("redis") },
  layer: IdempotencyStore.layerStoreRedis({ prefix }).pipe(Layer.provide(NodeRedis.layer({ url: inject("redis") })))
}))
