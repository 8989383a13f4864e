/** Runners of a cluster whose storage outlives them, and a checkout whose books are a file. */
import { SqliteClient } from "@effect-payments/sqlite"
import { NodeClusterSocket, NodeCrypto } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Logger, Option, Redacted } from "effect"
import { ClusterSaga } from "effect-payments/cluster"
import { ClusterWorkflowEngine, RunnerAddress, SingleRunner } from "effect/cluster"
import type { SqlClient } from "effect/sql"
import { closeSync, openSync } from "node:fs"
import { checkout } from "../saga/checkout.ts"
import { Death, dieAt, gatewayLayer, shopLayer } from "../saga/fileShop.ts"

/** Where a runner keeps its messages: a file, or a schema, of its own alone or of a database that others share. */
export type Storage =
  | { readonly _tag: "Sqlite"; readonly filename: string }
  | { readonly _tag: "SinglePostgres"; readonly url: string; readonly schema: string }
  | { readonly _tag: "Postgres"; readonly url: string; readonly schema: string; readonly port: number | undefined }

/** All that a worker is told. */
export interface Orders {
  readonly storage: Storage
  readonly books: string
  /** Where the process dies: see `fileShop.ts`. */
  readonly death: string
  /** Made by the one who dies there, so that no other one does. */
  readonly once: string | undefined
  readonly refuses: string
  readonly id: string
  readonly mode: "execute" | "serve"
}

const hurried = {
  shardsPerGroup: 8,
  entityMessagePollInterval: "100 millis",
  entityReplyPollInterval: "50 millis",
  refreshAssignmentsInterval: "200 millis",
  shardLockRefreshInterval: "500 millis",
  shardLockExpiration: "3 seconds",
  runnerHealthCheckInterval: "500 millis",
  sendRetryInterval: "50 millis"
} as const

const postgres = ({ schema, url }: { readonly url: string; readonly schema: string }) =>
  PgClient.layer({ url: Redacted.make(url), maxConnections: 4, startupParameters: { search_path: schema } })

const engineOfOne = <E>(client: Layer.Layer<SqlClient.SqlClient, E>) =>
  ClusterWorkflowEngine.layer.pipe(
    Layer.provide(SingleRunner.layer({ runnerStorage: "memory", shardingConfig: hurried })),
    Layer.provide([client, NodeCrypto.layer])
  )

/** Without a port a client that runs nothing. */
const engineOn = (storage: Storage) => {
  if (storage._tag === "Sqlite") {
    return engineOfOne(SqliteClient.layer({ filename: storage.filename, busyTimeout: "10 seconds" }))
  }
  if (storage._tag === "SinglePostgres") return engineOfOne(postgres(storage))
  const { port } = storage
  const runnerAddress = port === undefined
    ? Option.none()
    : Option.some(RunnerAddress.RunnerAddress.make({ host: "127.0.0.1", port }))
  return ClusterWorkflowEngine.layer.pipe(
    Layer.provide(
      NodeClusterSocket.layer({ clientOnly: port === undefined, shardingConfig: { ...hurried, runnerAddress } })
    ),
    Layer.provide(postgres(storage))
  )
}

/** Who asks for runs. */
export const clientOn = (storage: Storage) =>
  ClusterSaga.layer({ awaitAtMost: "50 seconds" }).pipe(
    Layer.provide(engineOn(storage)),
    Layer.provide([NodeCrypto.layer, Logger.layer([])])
  )

/** The first who comes to that place. */
const dieOnce = (wanted: string, file: string) =>
  Layer.effect(
    Death,
    Effect.map(Death, ({ at }) => ({ at: (place) => place === wanted && isFirst(file) ? at(place) : Effect.void }))
  ).pipe(Layer.provide(dieAt(wanted)))

const isFirst = (file: string): boolean => {
  try {
    closeSync(openSync(file, "wx"))
    return true
  } catch {
    return false
  }
}

/** A process that runs checkouts. */
export const runnerOf = ({ books, death, once, refuses, storage }: Omit<Orders, "id" | "mode">) =>
  ClusterSaga.layerRunner([checkout]).pipe(
    Layer.provideMerge(ClusterSaga.layer({ awaitAtMost: "50 seconds" })),
    Layer.provide([gatewayLayer(books), shopLayer(books, refuses)]),
    Layer.provide(once === undefined ? dieAt(death) : dieOnce(death, once)),
    Layer.provide(engineOn(storage)),
    Layer.provide([NodeCrypto.layer, Logger.layer([])])
  )
