import { NodeRedis } from "@effect/platform-node"
import { inject } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Cached } from "effect-payments"
import { cachedContract } from "../cached/contract.ts"
import { client, makeSchema } from "../support/postgres.ts"

const schema = makeSchema("cached")

const live = { live: true, advance: Effect.sleep } as const

cachedContract(
  "postgres",
  Cached.layerStoreSql.pipe(Layer.provide(Layer.unwrap(Effect.map(schema, client)))),
  live
)

cachedContract("redis", Cached.layerStoreRedis.pipe(Layer.provide(NodeRedis.layer({ url: inject("redis") }))), live)
