/**
 * A processor of background jobs: the third stack to copy.
 *
 * The gateway's report of a day comes as lines, and each is booked to its merchant. Ten workers take the lines from a
 * queue that outlives the process; each line is booked in a transaction of its own; what statistics need goes to its
 * table a hundred rows at a time. A line that cannot be booked does not stop the others, and waits where somebody finds it.
 */
import { Context, Effect, Layer, Schema } from "effect"
import { Batcher, JobQueue, Money, Observe, UnitOfWork } from "effect-payments"
import { Migrator, SqlClient } from "effect/sql"

export const Line = Schema.Struct({
  lineId: Schema.String.check(Schema.isBetweenLength(1, 64)),
  merchant: Schema.String.check(Schema.isBetweenLength(1, 64)),
  money: Money.Money
})
export type Line = typeof Line.Type

/** `Refused`: no attempt will ever book it, so it is a dead letter at once. */
export class UnknownMerchant extends Schema.TaggedError<UnknownMerchant>()("UnknownMerchant", {
  merchant: Schema.String
}) {
  readonly disposition = "Refused" as const
  override get message(): string {
    return `nobody knows the merchant ${this.merchant}`
  }
}

/** Jobs wait in the database: whoever offers one inside of a transaction has it taken in with the commit. */
export const lines = JobQueue.make({ name: "settlement-lines", payload: Line, attemptsMax: 5 })

/** Rows for statistics. They may be lost when the process is killed, so they need no queue. */
export class Statistics extends Context.Service<Statistics, {
  readonly add: (line: Line) => Effect.Effect<void, Batcher.BatcherError>
}>()("@effect-payments/examples/Statistics") {}

export const layerStatistics = Layer.effect(
  Statistics,
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    return yield* Batcher.makeWhole({
      name: "statistics",
      // A hundred at once, or what there is five seconds after the first. What waits at the end is written first.
      size: 100,
      interval: "5 seconds",
      process: (lines: ReadonlyArray<Line>) => {
        const [first, ...rest] = lines.map(({ merchant, money: { currency } }) => ({
          merchant,
          currency,
          batch: lines.length
        }))
        return first === undefined
          ? Effect.succeed([])
          : sql`INSERT INTO statistic ${sql.insert([first, ...rest])}`
      }
    })
  })
)

/** Books the line once, however often its job runs: a job may run again when a process dies at the wrong moment. */
const book = Effect.fnUntraced(function*({ lineId, merchant, money }: Line) {
  const sql = yield* SqlClient.SqlClient
  const cents = String(Money.toMinorUnitsUnsafe(money))
  const isNew = yield* sql`INSERT INTO posting (line_id, merchant, currency, amount_minor)
    VALUES (${lineId}, ${merchant}, ${money.currency}, CAST(${cents} AS BIGINT))
    ON CONFLICT (line_id) DO NOTHING RETURNING line_id`
  if (isNew.length === 0) return "booked before" as const
  const credited = yield* sql`UPDATE merchant SET balance_minor = balance_minor + CAST(${cents} AS BIGINT)
    WHERE id = ${merchant} AND currency = ${money.currency} RETURNING id`
  // Takes the posting back with it.
  if (credited.length === 0) return yield* new UnknownMerchant({ merchant })
  return "booked" as const
})

/** What a worker does with a job. */
export const process = Effect.fnUntraced(function*(line: Line) {
  const statistics = yield* Statistics
  // Both writes or none. A call to a gateway would not compile in here.
  const outcome = yield* UnitOfWork.atomic(book(line)).pipe(
    Observe.timer("job_processing_duration"),
    Observe.logExecution({ name: "book line", resource: line.lineId, result: (outcome) => outcome })
  )
  if (outcome === "booked") yield* statistics.add(line)
})

const tables = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE merchant
    (id TEXT NOT NULL, currency TEXT NOT NULL, balance_minor BIGINT NOT NULL, PRIMARY KEY (id, currency))`
  yield* sql`CREATE TABLE posting
    (line_id TEXT PRIMARY KEY, merchant TEXT NOT NULL, currency TEXT NOT NULL, amount_minor BIGINT NOT NULL)`
  yield* sql`CREATE TABLE statistic (merchant TEXT NOT NULL, currency TEXT NOT NULL, batch INTEGER NOT NULL)`
})

export const layerTables = Layer.effectDiscard(
  Migrator.make({})({ loader: Migrator.fromRecord({ "0001_tables": tables }), table: "settlement_migrations" })
)

/** The workers. They work as long as the layer lives, and give back what they have not finished when it ends. */
export const layerWorkers = JobQueue.layerWorkers(lines, process, { workers: 10 })
