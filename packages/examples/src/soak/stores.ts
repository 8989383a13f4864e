/** The stores that the kill test knows, each from where it is. */
import { SqliteClient } from "@effect-payments/sqlite"
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import { Effect, Layer, Redacted } from "effect"
import { IdempotencyStore } from "effect-payments"
import { Redis } from "effect/persistence"
import { SqlClient } from "effect/sql"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { layerPostgres } from "../checkout/stores.ts"
import { breakStore } from "./broken.ts"
import type { Broken, Job, StoreAt } from "./wire.ts"

type Store = Layer.Layer<IdempotencyStore.IdempotencyStore, unknown>

// Nothing here cuts the power: a killed process loses nothing that it has written.
export const sqlite = ({ place }: StoreAt) =>
  SqliteClient.layer({ filename: place, busyTimeout: "20 seconds", synchronous: "NORMAL" })
export const postgres = ({ place, url }: StoreAt) => layerPostgres(Redacted.make(url), place)
export const redis = ({ url }: StoreAt) => NodeRedis.layer({ url })

const layers: Readonly<Record<StoreAt["kind"], (at: StoreAt) => Store>> = {
  sqlite: (at) => IdempotencyStore.layerStoreSql().pipe(Layer.provide(sqlite(at))),
  postgres: (at) => IdempotencyStore.layerStoreSql().pipe(Layer.provide(postgres(at))),
  redis: (at) => IdempotencyStore.layerStoreRedis({ prefix: at.place }).pipe(Layer.provide(redis(at)))
}

export const layer = (at: StoreAt): Store => layers[at.kind](at)

/** One over SQLite that is wrong. */
export const layerBroken = (job: Job, broken: Broken): Store =>
  Layer.effect(
    IdempotencyStore.IdempotencyStore,
    Effect.flatMap(IdempotencyStore.IdempotencyStore, (store) => breakStore[broken](store, job))
  ).pipe(Layer.provide(IdempotencyStore.layerStoreSql()), Layer.provide(sqlite(job.store)))

/** A place of its own, which goes with the scope. */
export const place = (kind: StoreAt["kind"], url: string) =>
  Effect.map(places[kind](url), (place) => ({ kind, url, place }))

let names = 0
const nameOf = () => `kills_${process.pid}_${names++}`

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "kills-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

const places = {
  sqlite: () => Effect.map(folder, (path) => join(path, "records.sqlite")),
  postgres: (url: string) => {
    const run = (text: string) =>
      Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(text)).pipe(
        Effect.provide(layerPostgres(Redacted.make(url), "public")),
        Effect.orDie
      )
    return Effect.acquireRelease(
      Effect.suspend(() => {
        const name = nameOf()
        return Effect.as(run(`CREATE SCHEMA ${name}`), name)
      }),
      (name) => run(`DROP SCHEMA ${name} CASCADE`)
    )
  },
  redis: (url: string) =>
    Effect.acquireRelease(Effect.sync(nameOf), (prefix) =>
      Effect.gen(function*() {
        const { send } = yield* Redis.Redis
        const keys = yield* send<ReadonlyArray<string>>("KEYS", `{${prefix}}:*`)
        if (keys.length > 0) yield* send("DEL", ...keys)
      }).pipe(Effect.provide(NodeRedis.layer({ url })), Effect.orDie))
}
