/**
 * The book of sales: an entry for each order that was paid, and another one against it when that is undone. Nothing in it is
 * changed or dropped.
 */
import { Effect, Schema } from "effect"
import { Money } from "effect-payments"
import { Migrator, SqlClient } from "effect/sql"
import { answered } from "./answered.ts"
import { OrderId, SaleReversed } from "./Order.ts"

export const Sale = Schema.Struct({ orderId: OrderId, total: Money.Money })
export type Sale = typeof Sale.Type

export const Entry = Schema.Struct({ entry: Schema.String })

/** What was sold in a currency, and how much of that was reversed. */
export const Sum = Schema.Struct({ sold: Money.Money, reversed: Money.Money })
export type Sum = typeof Sum.Type

type Kind = "sale" | "reversal"

interface Row {
  readonly order_id: string
  readonly kind: Kind
  readonly amount_minor: string
  readonly currency: Money.Currency
}

export const make = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* migrate
  const kindsOf = (orderId: string) =>
    Effect.map(
      sql<Row>`SELECT * FROM shop_sale WHERE order_id = ${orderId}`,
      (rows) => rows.map(({ kind }) => kind)
    )
  const enter = ({ orderId, total }: Sale, kind: Kind) =>
    sql`INSERT INTO shop_sale (order_id, kind, amount_minor, currency)
      VALUES (${orderId}, ${kind}, ${String(Money.toMinorUnitsUnsafe(total))}, ${total.currency})
      ON CONFLICT (order_id, kind) DO NOTHING`
  return {
    book: Effect.fnUntraced(function*(sale: Sale) {
      const { orderId } = sale
      if ((yield* kindsOf(orderId)).includes("reversal")) return yield* new SaleReversed({ orderId })
      yield* enter(sale, "sale")
      return { entry: `sale-${orderId}` }
    }, answered("book")),
    /** Holds against a sale that comes later, too. */
    reverse: (sale: Sale) => answered("reverse")(Effect.asVoid(enter(sale, "reversal"))),
    kindsOf: (orderId: string) => answered("kindsOf")(kindsOf(orderId)),
    sums: Effect.map(sql<Row>`SELECT * FROM shop_sale`, sumsOf).pipe(answered("sums"))
  }
})

/** A reversal counts for as much as was sold. */
const sumsOf = (rows: ReadonlyArray<Row>): ReadonlyArray<Sum> => {
  const sales = rows.filter(({ kind }) => kind === "sale")
  const reversed = new Set(rows.flatMap((row) => row.kind === "reversal" ? [row.order_id] : []))
  return [...new Set(sales.map(({ currency }) => currency))].map((currency) => {
    const sum = (counts: (row: Row) => boolean) =>
      Money.fromMinorUnits(
        currency,
        sales.filter((row) => row.currency === currency && counts(row))
          .reduce((total, row) => total + BigInt(row.amount_minor), 0n)
      )
    return { sold: sum(() => true), reversed: sum((row) => reversed.has(row.order_id)) }
  })
}

const migrate = Migrator.make({})({
  loader: Migrator.fromRecord({
    "0001_tables": Effect.flatMap(SqlClient.SqlClient, (sql) =>
      sql`CREATE TABLE shop_sale (
        order_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        amount_minor TEXT NOT NULL,
        currency TEXT NOT NULL,
        PRIMARY KEY (order_id, kind)
      )`)
  }),
  table: "shop_sale_migrations"
})
