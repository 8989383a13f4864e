import { NodeRedis } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { inject } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { JobQueue } from "effect-payments"
import { SqlClient } from "effect/sql"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { jobQueueContract } from "../jobQueue/contract.ts"
import { jobKills } from "../jobQueue/kills.ts"

const options = { pollInterval: "10 millis", lock: "1 second" } as const

// --- Postgres

const url = inject("postgres")
const client = (schema: string) =>
  PgClient.layer({ url: Redacted.make(url), maxConnections: 4, startupParameters: { search_path: schema } })

let schemas = 0
/** A schema of its own, gone with the scope. */
const schema = Effect.gen(function*() {
  const schema = `jobs_${process.pid}_${schemas++}`
  const run = (text: string) =>
    Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(text)).pipe(Effect.provide(client("public")), Effect.orDie)
  yield* Effect.acquireRelease(run(`CREATE SCHEMA ${schema}`), () => run(`DROP SCHEMA ${schema} CASCADE`))
  return schema
})

jobQueueContract(
  "postgres",
  JobQueue.layerStoreSql(options).pipe(Layer.provideMerge(Layer.unwrap(Effect.map(schema, client))))
)
jobKills("postgres", Effect.map(schema, (within) => ({ name: "postgres", at: url, within })))

// --- Redis

const redis = inject("redis")
const prefix = `jobs-${process.pid}:`

jobQueueContract(
  "redis",
  JobQueue.layerStoreRedis({ ...options, prefix }).pipe(Layer.provide(NodeRedis.layer({ url: redis })))
)
jobKills("redis", Effect.succeed({ name: "redis", at: redis, within: prefix }))

// --- SQLite

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "jobs-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

jobKills("sqlite", Effect.map(directory, (path) => ({ name: "sqlite", at: join(path, "jobs.db"), within: "" })))
