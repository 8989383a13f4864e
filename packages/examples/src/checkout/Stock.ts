/**
 * What is in stock, and what of it is reserved for which order. Each operation may come twice for one order and acts once.
 */
import { Effect, Schema } from "effect"
import { Migrator, SqlClient } from "effect/sql"
import { answered } from "./answered.ts"
import { type Order, OutOfStock, ReservationClosed } from "./Order.ts"

export const Reservation = Schema.Struct({ reservation: Schema.String })

/** What the warehouse has to know of an order. */
export type Line = Pick<Order, "orderId" | "sku" | "quantity">

type State = "held" | "released"

export const make = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* migrate
  const stateOf = (orderId: string) =>
    Effect.map(
      sql<{ state: State }>`SELECT state FROM shop_reservation WHERE order_id = ${orderId}`,
      ([row]) => row?.state ?? "none"
    )
  /** Whether there was no reservation of this order yet. */
  const enter = ({ orderId, quantity, sku }: Line, state: State) =>
    Effect.map(
      sql`INSERT INTO shop_reservation (order_id, sku, quantity, state)
        VALUES (${orderId}, ${sku}, ${quantity}, ${state}) ON CONFLICT (order_id) DO NOTHING RETURNING order_id`,
      ({ length }) => length > 0
    )
  return {
    restock: Effect.fnUntraced(function*(sku: string, quantity: number) {
      yield* sql`INSERT INTO shop_stock (sku, available) VALUES (${sku}, ${quantity})
        ON CONFLICT (sku) DO UPDATE SET available = shop_stock.available + excluded.available`
    }, answered("restock")),
    available: Effect.fnUntraced(function*(sku: string) {
      const [row] = yield* sql<{ available: number }>`SELECT available FROM shop_stock WHERE sku = ${sku}`
      return row?.available ?? 0
    }, answered("available")),
    reserve: (line: Line) =>
      sql.withTransaction(Effect.gen(function*() {
        const { orderId, quantity, sku } = line
        if (yield* enter(line, "held")) {
          const taken = yield* sql`UPDATE shop_stock SET available = available - ${quantity}
            WHERE sku = ${sku} AND available >= ${quantity} RETURNING sku`
          if (taken.length === 0) return yield* new OutOfStock({ sku })
        } else if ((yield* stateOf(orderId)) !== "held") {
          return yield* new ReservationClosed({ orderId })
        }
        return { reservation: `res-${orderId}` }
      })).pipe(answered("reserve")),
    release: (line: Line) =>
      sql.withTransaction(Effect.gen(function*() {
        const { orderId, quantity, sku } = line
        // Nothing was reserved yet: from now on nothing can be.
        if (yield* enter(line, "released")) return
        const held = yield* sql`UPDATE shop_reservation SET state = 'released'
          WHERE order_id = ${orderId} AND state = 'held' RETURNING order_id`
        if (held.length > 0) yield* sql`UPDATE shop_stock SET available = available + ${quantity} WHERE sku = ${sku}`
      })).pipe(answered("release")),
    stateOf: (orderId: string) => answered("stateOf")(stateOf(orderId))
  }
})

const migrate = Migrator.make({})({
  loader: Migrator.fromRecord({
    "0001_tables": Effect.flatMap(SqlClient.SqlClient, (sql) =>
      Effect.andThen(
        sql`CREATE TABLE shop_stock (sku TEXT PRIMARY KEY, available INTEGER NOT NULL CHECK (available >= 0))`,
        sql`CREATE TABLE shop_reservation
          (order_id TEXT PRIMARY KEY, sku TEXT NOT NULL, quantity INTEGER NOT NULL, state TEXT NOT NULL)`
      ))
  }),
  table: "shop_stock_migrations"
})
