import { SqliteClient } from "@effect-payments/sqlite"
import { Layer } from "effect"
import { SagaLog } from "effect-payments"
import { TestClock } from "effect/testing"
import { logContract } from "./saga/logContract.ts"
import { shiftLog } from "./saga/shiftLog.ts"

logContract("memory", SagaLog.layerStoreMemory(), {
  live: false,
  advance: (duration) => TestClock.adjust(duration)
})

logContract(
  "sqlite",
  SagaLog.layerStoreSql().pipe(Layer.provideMerge(SqliteClient.layer({ filename: ":memory:" }))),
  { live: true, advance: shiftLog }
)
