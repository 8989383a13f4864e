/**
 * Where the shop keeps what it must not forget. Nothing else knows which database it is: a program swaps one layer.
 *
 * | port | embedded | several machines |
 * |---|---|---|
 * | sagas, inbox, velocity, the shop's tables | SQLite, one file | Postgres |
 * | circuits, quotas, velocity | this process | Redis |
 */
import { SqliteClient } from "@effect-payments/sqlite"
import { NodeRedis } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Config, Effect, Layer, Option, Redacted } from "effect"
import { Inbox, Resilience, SagaLog, Velocity } from "effect-payments"
import { CircuitBreaker, RateLimiter } from "effect/persistence"
import type { SqlClient, SqlError } from "effect/sql"

/** SQLite in a file: durable, and shared by the processes of one machine. */
const layerSqlite = (filename: string) => SqliteClient.layer({ filename, busyTimeout: "5 seconds" })

/** Postgres, in a schema that exists. */
export const layerPostgres = (url: Redacted.Redacted<string>, schema: string) =>
  PgClient.layer({ url, maxConnections: 5, startupParameters: { search_path: schema } })

/** What is kept in either database: both pass one suite. */
const layerSql = Layer.merge(SagaLog.layerStoreSql(), Inbox.layerStoreSql())

/** Circuits, quotas and counters of one process. */
const layerLocal = Layer.merge(Resilience.layerMemory, Velocity.layerStoreSql())

/** Shared by all processes that use the same prefix. */
const layerShared = (url: Redacted.Redacted<string>, prefix: string) =>
  Layer.mergeAll(
    CircuitBreaker.layerStoreRedis({ prefix: `${prefix}:circuit:` }),
    Layer.provide(RateLimiter.layer, RateLimiter.layerStoreRedis({ prefix: `${prefix}:quota:` })),
    Velocity.layerStoreRedis({ prefix: `${prefix}:velocity:` })
  ).pipe(Layer.provide(NodeRedis.layer({ url: Redacted.value(url) })))

/** The file for SQLite; the schema for Postgres, which also is the prefix of keys in Redis. */
export interface Place {
  readonly filename: string
  readonly schema: string
}

const url = (name: string) =>
  Config.map(Config.option(Config.Redacted(name)), Option.filter((url) => Redacted.value(url) !== ""))

/** `DATABASE_URL` and `REDIS_URL`, each where it is set. */
export const urls = Config.all({ postgres: url("DATABASE_URL"), redis: url("REDIS_URL") })

type Database = Layer.Layer<SqlClient.SqlClient, SqlError.SqlError>

/** The database alone. */
export const layerDatabase = ({ filename, schema }: Place) =>
  Layer.unwrap(
    Effect.map(urls, ({ postgres }): Database =>
      Option.isSome(postgres) ? layerPostgres(postgres.value, schema) : layerSqlite(filename))
  )

type Limits = Layer.Layer<
  Layer.Success<typeof layerLocal>,
  Layer.Error<typeof layerLocal> | Layer.Error<ReturnType<typeof layerShared>>,
  SqlClient.SqlClient
>

/** Circuits, quotas and counters: over Redis, or of this process and its database. */
const layerLimits = ({ schema }: Place) =>
  Layer.unwrap(
    Effect.map(urls, ({ redis }): Limits => Option.isSome(redis) ? layerShared(redis.value, schema) : layerLocal)
  )

/** All stores, chosen when the program starts: `DATABASE_URL` means Postgres, `REDIS_URL` Redis. */
export const layer = (place: Place) =>
  Layer.merge(layerSql, layerLimits(place)).pipe(Layer.provideMerge(layerDatabase(place)))
