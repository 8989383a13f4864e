/** Stores whose servers are reached through a proxy that fails on a plan. */
import { NodeRedis, NodeSocket, NodeSocketServer } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { inject } from "@effect/vitest"
import { type Duration, Effect, Layer, Redacted, type Scope } from "effect"
import { IdempotencyStore, SagaLog } from "effect-payments"
import { StoreFaults } from "effect-payments/testing"
import { shiftRedis } from "../idempotency/shiftRedis.ts"
import { shiftTime } from "../idempotency/shiftTime.ts"
import { makeSchema } from "./postgres.ts"

/** A proxy before the server of this URL. */
const proxyTo = (protocol: StoreFaults.Protocol, url: URL) =>
  StoreFaults.layer({
    protocol,
    upstream: NodeSocket.makeNet({ host: url.hostname, port: Number(url.port) }),
    reset: Effect.map(NodeSocket.NetSocket, (socket) => socket.resetAndDestroy())
  }).pipe(Layer.provide(NodeSocketServer.layer({ host: "127.0.0.1", port: 0 })))

const through = (url: URL, port: number): string => {
  const proxied = new URL(url)
  proxied.port = `${port}`
  proxied.hostname = "127.0.0.1"
  return proxied.href
}

export interface Faulty {
  readonly name: string
  /** The store through the proxy, and beside it in the same place. */
  readonly make: Effect.Effect<
    {
      readonly proxied: Layer.Layer<IdempotencyStore.IdempotencyStore, unknown, StoreFaults.StoreFaults>
      readonly direct: Layer.Layer<IdempotencyStore.IdempotencyStore, unknown>
      /** Lets time pass for the store. */
      readonly shift: (duration: Duration.Input) => Effect.Effect<unknown, unknown>
    },
    unknown,
    Scope.Scope
  >
  readonly proxy: Layer.Layer<StoreFaults.StoreFaults, unknown>
}

const onPort = <A, E, R>(make: (port: number) => Layer.Layer<A, E, R>) =>
  Layer.unwrap(Effect.map(StoreFaults.StoreFaults, ({ port }) => make(port)))

const postgresUrl = new URL(inject("postgres"))

/** A fresh schema, and clients on it: beside the proxy, and through it. */
export const postgresClients = Effect.map(makeSchema("store_faults"), (schema) => {
  const client = (url: string, options?: Partial<PgClient.PgPoolConfig>) =>
    PgClient.layer({
      url: Redacted.make(url),
      maxConnections: 4,
      startupParameters: { search_path: schema },
      ...options
    })
  return {
    direct: client(postgresUrl.href),
    through: (options?: Partial<PgClient.PgPoolConfig>) => onPort((port) => client(through(postgresUrl, port), options))
  }
})
export const postgres: Faulty = {
  name: "Postgres",
  proxy: proxyTo(StoreFaults.postgres, postgresUrl),
  make: Effect.map(postgresClients, ({ direct, through }) => {
    const store = IdempotencyStore.layerStoreSql()
    return {
      shift: (duration) => Effect.provide(shiftTime(duration), direct),
      direct: Layer.provide(store, direct),
      proxied: Layer.provide(store, through())
    }
  })
}

const redisUrl = new URL(inject("redis"))
let prefixes = 0
export const redis: Faulty = {
  name: "Redis",
  proxy: proxyTo(StoreFaults.redis, redisUrl),
  make: Effect.sync(() => {
    const prefix = `store-faults-${process.pid}-${prefixes++}`
    const store = (url: string) =>
      IdempotencyStore.layerStoreRedis({ prefix }).pipe(Layer.provide(NodeRedis.layer({ url })))
    return {
      shift: (duration) => Effect.provide(shiftRedis(prefix)(duration), NodeRedis.layer({ url: redisUrl.href })),
      direct: store(redisUrl.href),
      proxied: onPort((port) => store(through(redisUrl, port)))
    }
  })
}

/** A saga's log, through the proxy, and beside it in the same place. */
export interface FaultyLog {
  readonly name: string
  readonly make: Effect.Effect<
    {
      readonly proxied: Layer.Layer<SagaLog.SagaLog, unknown, StoreFaults.StoreFaults>
      readonly direct: Layer.Layer<SagaLog.SagaLog, unknown>
    },
    unknown,
    Scope.Scope
  >
  readonly proxy: Layer.Layer<StoreFaults.StoreFaults, unknown>
}

export const postgresLog: FaultyLog = {
  name: postgres.name,
  proxy: postgres.proxy,
  make: Effect.map(postgresClients, ({ direct, through }) => {
    const log = SagaLog.layerStoreSql()
    return { direct: Layer.provide(log, direct), proxied: Layer.provide(log, through()) }
  })
}

export const redisLog: FaultyLog = {
  name: redis.name,
  proxy: redis.proxy,
  make: Effect.sync(() => {
    const prefix = `saga-faults-${process.pid}-${prefixes++}`
    const log = (url: string) => SagaLog.layerStoreRedis({ prefix }).pipe(Layer.provide(NodeRedis.layer({ url })))
    return { direct: log(redisUrl.href), proxied: onPort((port) => log(through(redisUrl, port))) }
  })
}
