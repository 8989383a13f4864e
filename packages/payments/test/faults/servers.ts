/** Stores on servers: each test in a schema or under a prefix of its own. Of the integration tests only. */
import { NodeRedis } from "@effect/platform-node"
import { inject } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { IdempotencyStore } from "effect-payments"
import type { Redis } from "effect/persistence"
import type { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { shiftRedis } from "../idempotency/shiftRedis.ts"
import { shiftTime } from "../idempotency/shiftTime.ts"
import { client, makeSchema } from "../support/postgres.ts"
import { type Backend, overClock } from "./harness.ts"

/** Its connections look after themselves in real time. */
const live = <A, E, R>(layer: Layer.Layer<A, E, R>) => Layer.effectContext(TestClock.withLive(Layer.build(layer)))

export const postgres: Backend<SqlClient.SqlClient> = {
  name: "Postgres",
  runs: 8,
  layer: overClock(IdempotencyStore.layerStoreSql(), shiftTime).pipe(
    Layer.provideMerge(live(Layer.unwrap(Effect.map(makeSchema("faults"), client))))
  )
}

let prefixes = 0

export const redis: Backend<Redis.Redis> = {
  name: "Redis",
  runs: 8,
  layer: Layer.unwrap(Effect.sync(() => {
    const prefix = `faults-${process.pid}-${prefixes++}`
    return overClock(IdempotencyStore.layerStoreRedis({ prefix }), shiftRedis(prefix)).pipe(
      Layer.provideMerge(live(NodeRedis.layer({ url: inject("redis") })))
    )
  }))
}
