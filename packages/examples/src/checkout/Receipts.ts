/**
 * What the buyers were sent: one receipt for an order.
 */
import { Effect } from "effect"
import { Migrator, SqlClient } from "effect/sql"
import { answered } from "./answered.ts"
import type { Order } from "./Order.ts"

export const make = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* migrate
  return {
    send: Effect.fnUntraced(function*({ orderId }: Pick<Order, "orderId">) {
      yield* sql`INSERT INTO shop_receipt (order_id) VALUES (${orderId}) ON CONFLICT (order_id) DO NOTHING`
    }, answered("sendReceipt")),
    countOf: (orderId: string) =>
      Effect.map(sql`SELECT order_id FROM shop_receipt WHERE order_id = ${orderId}`, ({ length }) => length).pipe(
        answered("countOf")
      )
  }
})

const migrate = Migrator.make({})({
  loader: Migrator.fromRecord({
    "0001_tables": Effect.flatMap(
      SqlClient.SqlClient,
      (sql) => sql`CREATE TABLE shop_receipt (order_id TEXT PRIMARY KEY)`
    )
  }),
  table: "shop_receipt_migrations"
})
