/**
 * Where the demo keeps its records: fresh, and gone when it ends. A folder for SQLite; with `DATABASE_URL` a schema in
 * Postgres, with `REDIS_URL` keys of one prefix in Redis.
 */
import { NodeRedis } from "@effect/platform-node"
import { Effect, FileSystem, Option, Redacted } from "effect"
import { Redis } from "effect/persistence"
import { SqlClient } from "effect/sql"
import { randomBytes } from "node:crypto"
import { join } from "node:path"
import { layerPostgres, type Place, urls } from "../checkout/stores.ts"

export interface Fresh extends Place {
  /** Of the services' databases. */
  readonly folder: string
  /** For the reader. */
  readonly stores: string
}

export const make = Effect.gen(function*() {
  const { postgres, redis } = yield* urls
  const files = yield* FileSystem.FileSystem
  const folder = yield* files.makeTempDirectoryScoped({ prefix: "effect-payments-demo-" })
  const schema = `effect_payments_demo_${randomBytes(6).toString("hex")}`
  if (Option.isSome(postgres)) yield* inPostgres(postgres.value, schema)
  if (Option.isSome(redis)) yield* inRedis(redis.value, schema)
  const database = Option.isSome(postgres) ? `Postgres, schema ${schema}` : "SQLite, a fresh file"
  return {
    filename: join(folder, "records.sqlite"),
    schema,
    folder,
    stores: Option.isSome(redis) ? `${database}; Redis, prefix ${schema}` : database
  } satisfies Fresh
})

const inPostgres = (url: Redacted.Redacted<string>, schema: string) => {
  const run = (text: string) =>
    Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(text)).pipe(Effect.provide(layerPostgres(url, "public")))
  return Effect.acquireRelease(
    run(`CREATE SCHEMA ${schema}`),
    () => Effect.ignore(run(`DROP SCHEMA ${schema} CASCADE`))
  )
}

const inRedis = (url: Redacted.Redacted<string>, prefix: string) =>
  Effect.addFinalizer(() =>
    Effect.gen(function*() {
      const redis = yield* Redis.Redis
      let cursor = "0"
      do {
        const [next, keys] = yield* redis.send<[string, ReadonlyArray<string>]>("SCAN", cursor, "MATCH", `${prefix}*`)
        if (keys.length > 0) yield* redis.send("DEL", ...keys)
        cursor = next
      } while (cursor !== "0")
    }).pipe(Effect.provide(NodeRedis.layer({ url: Redacted.value(url) })), Effect.ignore)
  )
