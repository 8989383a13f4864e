/**
 * Books 250 lines, two of which nobody can book, and says what came of them.
 *
 * `npx node --conditions=@effect-payments/source packages/examples/src/jobs.main.ts`
 */
import { SqliteClient } from "@effect-payments/sqlite"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer, Logger } from "effect"
import { AuditLog, JobQueue, Money } from "effect-payments"
import { SqlClient } from "effect/sql"
import { until } from "./demo/Scenario.ts"
import { layerStatistics, layerTables, layerWorkers, type Line, lines } from "./jobs.ts"

const lineOf = (index: number): Line => ({
  lineId: `line-${index}`,
  merchant: index % 125 === 7 ? "nobody" : `merchant-${index % 3}`,
  money: Money.makeUnsafe("EUR", "12.34")
})

const work = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  for (const index of [0, 1, 2]) {
    yield* sql`INSERT INTO merchant ${sql.insert({ id: `merchant-${index}`, currency: "EUR", balance_minor: 0 })}`
  }
  const queue = yield* lines
  const offered = Array.from({ length: 250 }, (_, index) => lineOf(index))
  // The report comes twice: the id of a job is taken once.
  for (const line of [...offered, ...offered]) yield* queue.offer(line, { id: line.lineId })
  const booked = Effect.map(sql`SELECT line_id FROM posting`, ({ length }) => length)
  yield* Effect.scoped(Effect.andThen(
    Layer.build(Layer.provide(layerWorkers, layerStatistics)),
    until(Effect.all([booked, queue.deadLetterCount]), ([booked, dead]) => booked + dead >= offered.length)
  ))
  const [sums] = yield* sql<{ readonly balance: number }>`SELECT SUM(balance_minor) AS balance FROM merchant`
  const batches = yield* sql<{ readonly batch: number; readonly rows: number }>`
    SELECT batch, COUNT(*) AS rows FROM statistic GROUP BY batch ORDER BY batch DESC`
  yield* Console.log(JSON.stringify({
    booked: yield* booked,
    balanceMinor: sums?.balance,
    deadLetters: (yield* queue.deadLetters()).map(({ attempts, id }) => ({ id, attempts })),
    statistics: batches
  }))
})

const layer = Layer.mergeAll(JobQueue.layerStoreSql({ pollInterval: "50 millis" }), layerTables, AuditLog.layerLog)
  .pipe(
    Layer.provideMerge(SqliteClient.layer({ filename: ":memory:" })),
    Layer.provideMerge(Logger.layer([]))
  )

NodeRuntime.runMain(Effect.provide(work, layer))
