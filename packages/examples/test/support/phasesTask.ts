/** A charge of three phases: a reservation, the charge, a receipt. What its processes are told and say. */
import { Effect, Schema } from "effect"
import { Card, Idempotency, Money, PaymentError, PaymentGateway, Phases, Resilience } from "effect-payments"
import { SqlClient } from "effect/sql"

export const Order = Schema.Struct({ id: Schema.String, money: Money.Money, card: Card.CardToken })
export type Order = typeof Order.Type

export const Task = Schema.Struct({
  gatewayUrl: Schema.String,
  filename: Schema.String,
  schema: Schema.String,
  orders: Schema.Array(Order),
  /** At which point it ends itself; 0 for never. */
  endAt: Schema.Int,
  /** Waits until nothing is unfinished, asks for all orders, and says the answers. The others wait to be killed. */
  isLast: Schema.Boolean
})

/** `receipt` of an order, or the reason of its refusal. */
export const Answer = Schema.Struct({
  answers: Schema.Record(Schema.String, Schema.String),
  points: Schema.Int
})

const insert = (table: string, row: Readonly<Record<string, string>>) =>
  SqlClient.SqlClient.use((sql) => Effect.orDie(sql`INSERT INTO ${sql(table)} ${sql.insert(row)}`))

export const tables = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE IF NOT EXISTS reservations (order_id text)`
  yield* sql`CREATE TABLE IF NOT EXISTS receipts (order_id text, transaction_id text)`
})

/** `point` is where a process may end: also in the middle of a transaction. */
export const charge = (point: Effect.Effect<void>) =>
  Phases.make("charge", {
    version: 1,
    payload: Order,
    error: PaymentError.PaymentError,
    lease: "1500 millis",
    // An order may see more processes die than any would outside of a test.
    attemptsMax: 1000
  }).pipe(
    Phases.atomic("reserve", {
      success: Schema.String,
      run: ({ payload: { id } }) => Effect.as(Effect.andThen(insert("reservations", { order_id: id }), point), id)
    }),
    Phases.call("charge", {
      success: PaymentGateway.Transaction,
      run: ({ payload: { card, money } }) =>
        PaymentGateway.PaymentGateway.use((gateway) => gateway.authorize({ token: card, money, capture: true })).pipe(
          Resilience.timeout("2 seconds"),
          Resilience.retry({ attempts: 3, base: "20 millis" })
        ),
      resolve: Idempotency.resolveByLookup({ phases: ["authorize"] }),
      settle: "3 seconds"
    }),
    Phases.atomic("receipt", {
      success: Schema.String,
      run: ({ charge, payload: { id } }) =>
        Effect.as(Effect.andThen(insert("receipts", { order_id: id, transaction_id: charge.id }), point), charge.id)
    })
  )
