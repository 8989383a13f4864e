import { SqliteClient } from "@effect-payments/sqlite"
import { Duration, Effect, Layer } from "effect"
import { IdempotencyStore } from "effect-payments"
import { TestClock } from "effect/testing"
import { shiftTime } from "./idempotency/shiftTime.ts"
import { storeContract } from "./idempotency/storeContract.ts"

storeContract("memory", IdempotencyStore.layerStoreMemory(), { advance: (duration) => TestClock.adjust(duration) })

const sqlite = SqliteClient.layer({ filename: ":memory:" })
storeContract("sqlite", IdempotencyStore.layerStoreSql().pipe(Layer.provideMerge(sqlite)), { advance: shiftTime })
void Duration
void Effect
