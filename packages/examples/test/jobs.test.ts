import { SqliteClient } from "@effect-payments/sqlite"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger } from "effect"
import { AuditLog, JobQueue, Money } from "effect-payments"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { layerStatistics, layerTables, type Line, lines, process } from "../src/jobs.ts"
import { runMain } from "./support/runMain.ts"

const layer = layerStatistics.pipe(
  Layer.provideMerge(Layer.mergeAll(JobQueue.layerStoreSql(), layerTables, AuditLog.layerLog, Logger.layer([]))),
  Layer.provideMerge(SqliteClient.layer({ filename: ":memory:" }))
)

const line = (lineId: string, merchant = "m1"): Line => ({ lineId, merchant, money: Money.makeUnsafe("EUR", "1.50") })

const make = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`INSERT INTO merchant (id, currency, balance_minor) VALUES ('m1', 'EUR', 0)`
  return {
    balance: Effect.map(
      sql<{ readonly balance: number }>`SELECT balance_minor AS balance FROM merchant`,
      ([row]) => row?.balance
    ),
    postings: Effect.map(sql`SELECT line_id FROM posting`, ({ length }) => length),
    statistics: Effect.map(sql`SELECT batch FROM statistic`, (rows) => rows.map(({ batch }) => batch))
  }
})

describe("jobs", () => {
  it.effect("books a line once, however often its job runs", () =>
    Effect.gen(function*() {
      const { balance, postings, statistics } = yield* make
      yield* process(line("a"))
      yield* process(line("a"))
      yield* process(line("b"))
      assert.deepStrictEqual([yield* balance, yield* postings], [300, 2])
      assert.deepStrictEqual(yield* statistics, [])
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* statistics, [2, 2])
    }).pipe(Effect.provide(layer)))

  it.effect("books nothing of a line whose merchant nobody knows", () =>
    Effect.gen(function*() {
      const { balance, postings } = yield* make
      const error = yield* Effect.flip(process(line("a", "nobody")))
      assert.strictEqual(error._tag, "UnknownMerchant")
      assert.deepStrictEqual([yield* balance, yield* postings], [0, 0])
    }).pipe(Effect.provide(layer)))

  it.effect("keeps such a line as a dead letter, and books it once its merchant is known", () =>
    Effect.gen(function*() {
      const { postings } = yield* make
      const sql = yield* SqlClient.SqlClient
      const queue = yield* lines
      yield* queue.offer(line("a", "m2"), { id: "a" })
      const working = yield* Effect.forkChild(queue.work(process), { startImmediately: true })
      const poll = Effect.andThen(TestClock.adjust("2 seconds"), queue.deadLetterCount)
      while ((yield* poll) === 0) { /* the worker has it */ }
      const [dead] = yield* queue.deadLetters()
      assert.deepStrictEqual([dead?.id, dead?.attempts], ["a", 1])
      yield* sql`INSERT INTO merchant (id, currency, balance_minor) VALUES ('m2', 'EUR', 0)`
      assert.isTrue(yield* queue.requeue("a"))
      while ((yield* postings) === 0) yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* queue.deadLetterCount, 0)
      yield* Fiber.interrupt(working)
    }).pipe(Effect.provide(layer)))

  it.live("runs as a program", () =>
    Effect.gen(function*() {
      const { code, stderr, stdout } = yield* runMain("jobs.main.ts")
      assert.deepStrictEqual([code, stderr], [0, ""])
      const { statistics, ...rest } = JSON.parse(stdout) as {
        readonly statistics: ReadonlyArray<{ readonly batch: number; readonly rows: number }>
      }
      assert.deepStrictEqual(rest, {
        booked: 248,
        balanceMinor: 248 * 1234,
        deadLetters: [{ id: "line-7", attempts: 1 }, { id: "line-132", attempts: 1 }]
      } as {})
      assert.strictEqual(statistics.reduce((sum, { rows }) => sum + rows, 0), 248)
      assert.isAtMost(Math.max(...statistics.map(({ batch }) => batch)), 100)
    }), 60_000)
})
