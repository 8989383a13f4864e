/** Old and new processes side by side over the tables of migration 0003: the old ones do not know `ended_at`. */
import { SqliteClient } from "@effect-payments/sqlite"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SagaLog } from "effect-payments"
import { SqlClient } from "effect/sql"
import { claim, requestOf } from "./logContract.ts"
import { shiftLog } from "./shiftLog.ts"

const table = "effect_payments_saga"

/** `append` of a version before it, on SQLite, which sets no `ended_at`. */
const appendOfOld = (run: SagaLog.Run, seq: number, state: string, tail: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => {
    const open = state === "Running" || state === "Compensating" ? 1 : 0
    return sql.unsafe(
      `UPDATE "${table}" AS t SET length = ?, state = ?, tail = ?, updated_at = CAST(unixepoch('subsec') * 1000 AS INTEGER),
       lease_until = CASE WHEN ? = 1 THEN t.lease_until ELSE 0 END
       WHERE t.key = ? AND t.owner = ? AND t.epoch = ? AND t.length = ? - 1`,
      [seq, state, tail, open, run.key, run.owner, run.epoch, seq]
    ).unprepared
  })

/** `take` of a version before it, with reopen = 2. */
const takeOfOld = (run: SagaLog.Run, owner: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    sql.unsafe(
      `UPDATE "${table}" AS t SET owner = ?, epoch = max(t.epoch + 1, CAST(unixepoch('subsec') * 1000 AS INTEGER)),
       lease_until = CAST(unixepoch('subsec') * 1000 AS INTEGER) + 30000,
       updated_at = CAST(unixepoch('subsec') * 1000 AS INTEGER)
       WHERE t.key = ? AND t.lease_until <= CAST(unixepoch('subsec') * 1000 AS INTEGER) AND t.state = 'Completed'`,
      [owner, run.key]
    ).unprepared)

const layer = SagaLog.layerStoreSql().pipe(Layer.provideMerge(SqliteClient.layer({ filename: ":memory:" })))

for (const state of ["Compensating", "FailedCompensation", "Parked"] as const) {
  it.live(`a run that an old process has reopened and left ${state} is not swept`, () =>
    Effect.gen(function*() {
      const log = yield* SagaLog.SagaLog
      const { run } = yield* claim(log, requestOf())
      yield* log.append({
        ...run,
        seq: 2,
        state: "Completed",
        events: [{ _tag: "Succeeded", step: "reserve", result: "1" }]
      })
      yield* shiftLog("2 days")
      yield* takeOfOld(run, "old")
      const { run: taken } = (yield* log.read(run))!
      assert.strictEqual(taken.owner, "old")
      yield* appendOfOld(taken, 3, "Compensating", `[{"_tag":"Reversed","by":"b","reason":"r","pivots":[]}]`)
      if (state !== "Compensating") {
        yield* appendOfOld(taken, 4, state, `[{"_tag":"UndoFailed","step":"reserve","detail":"d"}]`)
      }
      assert.strictEqual(yield* log.sweep({ olderThanMillis: 86_400_000, limit: 10 }), 0)
      assert.strictEqual((yield* log.read(run))?.run.state, state)
    }).pipe(Effect.provide(layer)))
}
