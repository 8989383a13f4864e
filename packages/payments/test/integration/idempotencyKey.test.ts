/** The cases of `IdempotencyKey` over stores on servers. */
import { NodeRedis } from "@effect/platform-node"
import { inject, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { IdempotencyStore } from "effect-payments"
import { FetchHttpClient } from "effect/http"
import { cases, runCase } from "../http/cases.ts"
import { serve } from "../http/server.ts"
import { client, makeSchema } from "../support/postgres.ts"

const postgres = IdempotencyStore.layerStoreSql().pipe(
  Layer.provide(Layer.unwrap(Effect.map(makeSchema("http"), client)))
)
const redis = IdempotencyStore.layerStoreRedis({ prefix: `http-${process.pid}` }).pipe(
  Layer.provide(NodeRedis.layer({ url: inject("redis") }))
)

// A redirect is a response like any other.
const manual = Layer.succeed(FetchHttpClient.RequestInit)({ redirect: "manual", keepalive: false })

const servers = [
  ["plain routes, Postgres", serve("plain", postgres)],
  ["an HttpApi, Redis", serve("api", redis)]
] as const
for (const [name, server] of servers) {
  layer(Layer.provideMerge(server, manual), { excludeTestServices: true })(name, (it) => {
    for (const test of cases.filter(({ server }) => server === undefined)) it.effect(test.name, () => runCase(test))
  })
}
