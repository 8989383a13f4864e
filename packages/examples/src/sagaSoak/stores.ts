/** The saga logs that the kill test knows, each from where it is. */
import { Layer } from "effect"
import { SagaLog } from "effect-payments"
import { postgres, redis, sqlite } from "../soak/stores.ts"
import type { StoreAt } from "../soak/wire.ts"

type Log = Layer.Layer<SagaLog.SagaLog, unknown>

const layers: Readonly<Record<StoreAt["kind"], (at: StoreAt) => Log>> = {
  sqlite: (at) => SagaLog.layerStoreSql().pipe(Layer.provide(sqlite(at))),
  postgres: (at) => SagaLog.layerStoreSql().pipe(Layer.provide(postgres(at))),
  redis: (at) => SagaLog.layerStoreRedis({ prefix: at.place }).pipe(Layer.provide(redis(at)))
}

export const layer = (at: StoreAt): Log => layers[at.kind](at)
