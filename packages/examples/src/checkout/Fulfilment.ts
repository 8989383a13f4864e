/**
 * Stock, parcels and receipts of the shop. Each operation may be called twice for one order and acts once, which is what
 * lets the checkout run a step again of which it does not know whether it happened. In a shop these are three services;
 * the order's id is then the key that goes along.
 */
import { Context, Effect, Layer, Option, Schema } from "effect"
import { Migrator, SqlClient, type SqlError } from "effect/sql"
import { DeliveryRefused, NoAnswer, type Order, OutOfStock, ReservationClosed } from "./Order.ts"

export const Reservation = Schema.Struct({ reservation: Schema.String })
export const Parcel = Schema.Struct({ parcel: Schema.String })

/** How things stand for one order. */
export interface Standing {
  readonly reservation: "none" | "held" | "released"
  readonly parcels: number
  readonly receipts: number
}

export class Fulfilment extends Context.Service<Fulfilment, {
  /** Adds to what is in stock. */
  readonly restock: (sku: string, quantity: number) => Effect.Effect<void, NoAnswer>
  readonly available: (sku: string) => Effect.Effect<number, NoAnswer>
  readonly reserve: (
    order: Order
  ) => Effect.Effect<typeof Reservation.Type, OutOfStock | ReservationClosed | NoAnswer>
  /** Gives back what was reserved. A reservation that has not arrived is refused when it does. */
  readonly release: (order: Order) => Effect.Effect<void, NoAnswer>
  readonly ship: (order: Order) => Effect.Effect<typeof Parcel.Type, DeliveryRefused | NoAnswer>
  /** The parcel of an order, once it is on its way. Answers after every `ship` that has come before. */
  readonly parcelOf: (orderId: string) => Effect.Effect<Option.Option<typeof Parcel.Type>, NoAnswer>
  readonly sendReceipt: (order: Order) => Effect.Effect<void, NoAnswer>
  readonly standing: (orderId: string) => Effect.Effect<Standing, NoAnswer>
}>()("@effect-payments/examples/Fulfilment") {}

/** Where the carrier does not go. */
const nowhere: ReadonlySet<string> = new Set(["AQ", "BV", "HM"])

const make = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* migrate
  const answered = (operation: string) => <A, E, R>(self: Effect.Effect<A, E | SqlError.SqlError, R>) =>
    Effect.catchTag(
      self as Effect.Effect<A, E | SqlError.SqlError, R>,
      "SqlError",
      () => Effect.fail(new NoAnswer({ operation }))
    )
  return Fulfilment.of({
    restock: Effect.fnUntraced(function*(sku, quantity) {
      yield* sql`INSERT INTO shop_stock (sku, available) VALUES (${sku}, ${quantity})
        ON CONFLICT (sku) DO UPDATE SET available = shop_stock.available + excluded.available`
    }, answered("restock")),
    available: Effect.fnUntraced(function*(sku) {
      const [row] = yield* sql<{ available: number }>`SELECT available FROM shop_stock WHERE sku = ${sku}`
      return row?.available ?? 0
    }, answered("available")),
    reserve: ({ orderId, quantity, sku }) =>
      sql.withTransaction(Effect.gen(function*() {
        const isNew = yield* enter(sql, { orderId, sku, quantity, state: "held" })
        if (isNew) {
          const taken = yield* sql`UPDATE shop_stock SET available = available - ${quantity}
            WHERE sku = ${sku} AND available >= ${quantity} RETURNING sku`
          if (taken.length === 0) return yield* new OutOfStock({ sku })
        } else if ((yield* stateOf(sql, orderId)) !== "held") {
          return yield* new ReservationClosed({ orderId })
        }
        return { reservation: `res-${orderId}` }
      })).pipe(answered("reserve")),
    release: ({ orderId, quantity, sku }) =>
      sql.withTransaction(Effect.gen(function*() {
        // Nothing was reserved yet: from now on nothing can be.
        if (yield* enter(sql, { orderId, sku, quantity, state: "released" })) return
        const held = yield* sql`UPDATE shop_reservation SET state = 'released'
          WHERE order_id = ${orderId} AND state = 'held' RETURNING order_id`
        if (held.length > 0) yield* sql`UPDATE shop_stock SET available = available + ${quantity} WHERE sku = ${sku}`
      })).pipe(answered("release")),
    ship: Effect.fnUntraced(function*({ orderId, shipTo }) {
      if (nowhere.has(shipTo)) return yield* new DeliveryRefused({ shipTo })
      yield* sql`INSERT INTO shop_parcel (order_id) VALUES (${orderId}) ON CONFLICT (order_id) DO NOTHING`
      return { parcel: `parcel-${orderId}` }
    }, answered("ship")),
    parcelOf: Effect.fnUntraced(function*(orderId) {
      const parcels = yield* sql`SELECT order_id FROM shop_parcel WHERE order_id = ${orderId}`
      return parcels.length === 0 ? Option.none() : Option.some({ parcel: `parcel-${orderId}` })
    }, answered("parcelOf")),
    sendReceipt: Effect.fnUntraced(function*({ orderId }) {
      yield* sql`INSERT INTO shop_receipt (order_id) VALUES (${orderId}) ON CONFLICT (order_id) DO NOTHING`
    }, answered("sendReceipt")),
    standing: Effect.fnUntraced(function*(orderId) {
      const state = yield* stateOf(sql, orderId)
      const parcels = yield* sql`SELECT order_id FROM shop_parcel WHERE order_id = ${orderId}`
      const receipts = yield* sql`SELECT order_id FROM shop_receipt WHERE order_id = ${orderId}`
      const standing: Standing = { reservation: state ?? "none", parcels: parcels.length, receipts: receipts.length }
      return standing
    }, answered("standing"))
  })
})

type State = "held" | "released"

/** Whether there was no reservation of this order yet. */
const enter = (
  sql: SqlClient.SqlClient,
  row: { readonly orderId: string; readonly sku: string; readonly quantity: number; readonly state: State }
) =>
  Effect.map(
    sql`INSERT INTO shop_reservation (order_id, sku, quantity, state)
      VALUES (${row.orderId}, ${row.sku}, ${row.quantity}, ${row.state}) ON CONFLICT (order_id) DO NOTHING RETURNING order_id`,
    ({ length }) => length > 0
  )

const stateOf = (sql: SqlClient.SqlClient, orderId: string) =>
  Effect.map(
    sql<{ state: State }>`SELECT state FROM shop_reservation WHERE order_id = ${orderId}`,
    ([row]) => row?.state
  )

const tables = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE shop_stock (sku TEXT PRIMARY KEY, available INTEGER NOT NULL CHECK (available >= 0))`
  yield* sql`CREATE TABLE shop_reservation
    (order_id TEXT PRIMARY KEY, sku TEXT NOT NULL, quantity INTEGER NOT NULL, state TEXT NOT NULL)`
  yield* sql`CREATE TABLE shop_parcel (order_id TEXT PRIMARY KEY)`
  yield* sql`CREATE TABLE shop_receipt (order_id TEXT PRIMARY KEY)`
})

/** Two processes that start at once: one migrates, the other waits for it. */
const migrate = Migrator.make({})({
  loader: Migrator.fromRecord({ "0001_tables": tables }),
  table: "shop_migrations"
})

export const layer: Layer.Layer<Fulfilment, Migrator.MigrationError | SqlError.SqlError, SqlClient.SqlClient> = Layer
  .effect(Fulfilment, make)
