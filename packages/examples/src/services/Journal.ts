/**
 * What a service has done, under which key, in order: a row in the transaction of the deed itself. So whoever asks for a key
 * is told the truth, also after a crash.
 */
import { Clock, Context, Effect, Layer, Result, Schema } from "effect"
import { Migrator, SqlClient, type SqlError } from "effect/sql"
import { answered } from "../checkout/answered.ts"
import { NoAnswer, Unavailable } from "../checkout/Order.ts"
import { crash, CurrentFault } from "./Faults.ts"

/** `answer` is the answer, or the refusal, as its schema encodes it. */
export const Entry = Schema.Struct({
  seq: Schema.Int,
  at: Schema.Int,
  key: Schema.String,
  operation: Schema.String,
  orderId: Schema.String,
  outcome: Schema.Literals(["done", "refused"]),
  answer: Schema.Json
})
export type Entry = typeof Entry.Type

interface Row extends Omit<Entry, "orderId" | "answer"> {
  readonly order_id: string
  readonly answer: string
}

/** An operation of a service: what it answers with, and what it may say no with. */
export interface Operation<A, E> {
  readonly name: string
  readonly success: Schema.Codec<A, Schema.Json>
  readonly refusal: Schema.Codec<E, Schema.Json>
  /** The no that the fault `refuse` says. */
  readonly refuse?: ((orderId: string) => E) | undefined
}

export class Journal extends Context.Service<Journal, {
  /** Does it once per key. What was neither done nor refused leaves no trace. */
  readonly once: <A, E>(
    operation: Operation<A, E>,
    key: string,
    orderId: string,
    deed: Effect.Effect<A, E | NoAnswer>
  ) => Effect.Effect<A, E | NoAnswer | Unavailable>
  readonly of: (key: string) => Effect.Effect<Entry | null, NoAnswer>
  /** The last 1000, oldest first; of one order, or all. */
  readonly list: (orderId: string | undefined) => Effect.Effect<ReadonlyArray<Entry>, NoAnswer>
}>()("@effect-payments/examples/Journal") {}

const listMax = 1000
const fromText = Schema.decodeEffect(Schema.fromJsonString(Schema.Json))

const toEntry = ({ answer, order_id, ...row }: Row) =>
  Effect.map(Effect.orDie(fromText(answer)), (answer): Entry => ({ ...row, orderId: order_id, answer }))

const make = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* migrate
  const find = (key: string) => sql<Row>`SELECT * FROM journal WHERE key = ${key}`
  const keep = Effect.fnUntraced(function*(
    row: Pick<Entry, "key" | "operation" | "outcome"> & { readonly orderId: string; readonly answer: string }
  ) {
    const at = yield* Clock.currentTimeMillis
    yield* sql`INSERT INTO journal (at, key, operation, order_id, outcome, answer)
      VALUES (${at}, ${row.key}, ${row.operation}, ${row.orderId}, ${row.outcome}, ${row.answer})`
  })
  return Journal.of({
    once: Effect.fnUntraced(function*(operation, key, orderId, deed) {
      const fault = yield* CurrentFault
      if (fault.name === "fail-before") return yield* new Unavailable({ operation: operation.name })
      if (fault.name === "delay") yield* Effect.sleep(fault.millis)
      const refused = fault.name === "refuse" ? operation.refuse?.(orderId) : undefined
      if (fault.name === "refuse" && refused === undefined) return yield* new NoAnswer({ operation: operation.name })
      const success = Schema.fromJsonString(operation.success)
      const refusal = Schema.fromJsonString(operation.refusal)
      const isRefusal = Schema.is(operation.refusal)
      const ended = yield* sql.withTransaction(Effect.gen(function*() {
        const [known] = yield* find(key)
        if (known !== undefined) {
          return known.outcome === "done"
            ? Result.succeed(yield* Effect.orDie(Schema.decodeEffect(success)(known.answer)))
            : Result.fail(yield* Effect.orDie(Schema.decodeEffect(refusal)(known.answer)))
        }
        const result = yield* Effect.result(refused === undefined ? deed : Effect.fail(refused))
        const row = { key, operation: operation.name, orderId }
        if (Result.isSuccess(result)) {
          const answer = yield* Effect.orDie(Schema.encodeEffect(success)(result.success))
          yield* keep({ ...row, outcome: "done", answer })
        } else if (isRefusal(result.failure)) {
          const answer = yield* Effect.orDie(Schema.encodeEffect(refusal)(result.failure))
          yield* keep({ ...row, outcome: "refused", answer })
        } else {
          return yield* Effect.fail(result.failure)
        }
        if (fault.name === "crash-before") return yield* crash
        return result
      })).pipe(answered(operation.name))
      if (fault.name === "crash-after") return yield* crash
      return yield* Effect.fromResult(ended)
    }),
    of: (key) =>
      Effect.flatMap(find(key), ([row]) => row === undefined ? Effect.succeed(null) : toEntry(row)).pipe(
        answered("of")
      ),
    list: (orderId) => {
      const rows = orderId === undefined
        ? sql<Row>`SELECT * FROM journal ORDER BY seq DESC LIMIT ${listMax}`
        : sql<Row>`SELECT * FROM journal WHERE order_id = ${orderId} ORDER BY seq DESC LIMIT ${listMax}`
      return Effect.flatMap(rows, (rows) => Effect.forEach(rows.toReversed(), toEntry)).pipe(answered("list"))
    }
  })
})

const migrate = Migrator.make({})({
  loader: Migrator.fromRecord({
    "0001_journal": Effect.flatMap(SqlClient.SqlClient, (sql) =>
      sql`CREATE TABLE journal (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        key TEXT NOT NULL UNIQUE,
        operation TEXT NOT NULL,
        order_id TEXT NOT NULL,
        outcome TEXT NOT NULL,
        answer TEXT NOT NULL
      )`)
  }),
  table: "journal_migrations"
})

export const layer: Layer.Layer<Journal, Migrator.MigrationError | SqlError.SqlError, SqlClient.SqlClient> = Layer
  .effect(Journal, make)
