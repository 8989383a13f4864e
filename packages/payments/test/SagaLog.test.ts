import { SqliteClient } from "@effect-payments/sqlite"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SagaLog } from "effect-payments"
import { TestClock } from "effect/testing"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { claim, logContract, requestOf } from "./saga/logContract.ts"
import { clockLog, Commands, compare } from "./saga/logModel.ts"
import { shiftLog } from "./saga/shiftLog.ts"
import { sqlContract } from "./saga/sqlContract.ts"

logContract("memory", SagaLog.layerStoreMemory(), {
  live: false,
  advance: (duration) => TestClock.adjust(duration)
})

logContract(
  "sqlite",
  SagaLog.layerStoreSql().pipe(Layer.provideMerge(SqliteClient.layer({ filename: ":memory:" }))),
  { live: true, advance: shiftLog }
)

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "saga-log-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
)

sqlContract("sqlite", {
  commitsBesideTransaction: false,
  database: Effect.map(
    directory,
    (directory) => () => SqliteClient.layer({ filename: join(directory, "log.db"), busyTimeout: "10 seconds" })
  )
})

it.layer(clockLog.pipe(Layer.provide(SqliteClient.layer({ filename: ":memory:" }))), { excludeTestServices: true })(
  "the SQLite log",
  (it) => {
    it.effect.prop(
      "does what the pure functions say",
      [Commands],
      ([commands]) => compare(commands),
      { arbitrary: { runs: 200 } }
    )
  }
)

it.effect("a log in memory that is full takes no new run, and goes on with those it has", () =>
  Effect.gen(function*() {
    const log = yield* SagaLog.SagaLog
    const { run } = yield* claim(log, requestOf())
    const error = yield* Effect.flip(log.claim(requestOf()))
    assert.deepStrictEqual(error, new SagaLog.LogUnavailable({ operation: "claim", detail: "Full" }))
    assert.isTrue((yield* log.append({ ...run, seq: 2, events: [] })).appended)
  }).pipe(Effect.provide(SagaLog.layerStoreMemory({ capacity: 1 }))))

it.effect("a log in memory has a bound that is one", () =>
  Effect.gen(function*() {
    for (const capacity of [0, -1, 1.5, Number.NaN]) {
      const error = yield* Effect.flip(Effect.scoped(Layer.build(SagaLog.layerStoreMemory({ capacity }))))
      assert.strictEqual(error.operation, "start")
    }
  }))
