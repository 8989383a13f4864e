/**
 * What the shop believes the gateway did: one row per transaction, written by webhooks. `Reconciliation` compares it with
 * what the gateway reports.
 */
import { Context, DateTime, Effect, Layer, Result } from "effect"
import { Money, type Reconciliation, Webhook } from "effect-payments"
import { Migrator, SqlClient, type SqlError } from "effect/sql"
import { Event, type Operation } from "../gateway-sim/Wire.ts"

/** A row, and the event that told of it. */
export interface Booked {
  readonly eventId: string
  readonly record: Reconciliation.TransactionRecord
}

export class Ledger extends Context.Service<Ledger, {
  /** Writes down what a verified event tells of. Runs in the transaction in which the inbox marks the event. */
  readonly book: (event: Webhook.Event) => Effect.Effect<void, Webhook.WebhookError | SqlError.SqlError>
  /** In the order of their ids. */
  readonly all: Effect.Effect<ReadonlyArray<Booked>, SqlError.SqlError>
}>()("@effect-payments/examples/Ledger") {}

interface Row {
  readonly transaction_id: string
  readonly event_id: string
  readonly kind: string
  readonly status: string
  readonly amount_minor: string
  readonly currency: string
  readonly occurred_at: string
}

/** A transaction of the gateway as a record; undefined for what moved nothing. */
export const toRecord = (
  { amountMinor, currency, status, transactionId }: Operation,
  occurredAt: DateTime.Utc
): Reconciliation.TransactionRecord | undefined => {
  if (transactionId === undefined || amountMinor === undefined || currency === undefined) return undefined
  const money = Money.fromMinorUnitsChecked(currency, BigInt(amountMinor))
  if (Result.isFailure(money)) return undefined
  // The report of this gateway names no charge that a refund belongs to, so refunds cannot be traced.
  return { transactionId, money: money.success, status, occurredAt }
}

const make = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* migrate
  return Ledger.of({
    book: Effect.fnUntraced(function*(event) {
      const { created, data, id } = yield* Webhook.payload(event, Event)
      if (
        data.kind === "challenge" || data.transactionId === undefined || data.amountMinor === undefined ||
        data.currency === undefined
      ) return
      const at = DateTime.formatIso(DateTime.makeUnsafe(created * 1000))
      yield* sql`INSERT INTO shop_ledger
        (transaction_id, event_id, kind, status, amount_minor, currency, occurred_at)
        VALUES (${data.transactionId}, ${id}, ${data.kind}, ${data.status}, ${data.amountMinor}, ${data.currency}, ${at})`
    }),
    all: Effect.map(
      sql<Row>`SELECT * FROM shop_ledger ORDER BY transaction_id`,
      (rows) =>
        rows.flatMap((row): ReadonlyArray<Booked> => {
          const operation = {
            kind: row.kind as Operation["kind"],
            status: row.status as Operation["status"],
            transactionId: row.transaction_id,
            amountMinor: row.amount_minor,
            currency: row.currency,
            key: ""
          }
          const record = toRecord(operation, DateTime.makeUnsafe(row.occurred_at))
          return record === undefined ? [] : [{ eventId: row.event_id, record }]
        })
    )
  })
})

const migrate = Migrator.make({})({
  loader: Migrator.fromRecord({
    "0001_ledger": Effect.flatMap(SqlClient.SqlClient, (sql) =>
      sql`CREATE TABLE shop_ledger (
        transaction_id TEXT PRIMARY KEY,
        event_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        status TEXT NOT NULL,
        amount_minor TEXT NOT NULL,
        currency TEXT NOT NULL,
        occurred_at TEXT NOT NULL
      )`)
  }),
  table: "shop_ledger_migrations"
})

export const layer: Layer.Layer<Ledger, Migrator.MigrationError | SqlError.SqlError, SqlClient.SqlClient> = Layer
  .effect(
    Ledger,
    make
  )
