/**
 * What the carrier has taken: one parcel for an order, however often it is asked for.
 */
import { Effect, Option, Schema } from "effect"
import { Migrator, SqlClient } from "effect/sql"
import { answered } from "./answered.ts"
import { DeliveryRefused, type Order } from "./Order.ts"

export const Parcel = Schema.Struct({ parcel: Schema.String })

/** Where the carrier does not go. */
const nowhere: ReadonlySet<string> = new Set(["AQ", "BV", "HM"])

export const make = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* migrate
  return {
    ship: Effect.fnUntraced(function*({ orderId, shipTo }: Pick<Order, "orderId" | "shipTo">) {
      if (nowhere.has(shipTo)) return yield* new DeliveryRefused({ shipTo })
      yield* sql`INSERT INTO shop_parcel (order_id) VALUES (${orderId}) ON CONFLICT (order_id) DO NOTHING`
      return { parcel: `parcel-${orderId}` }
    }, answered("ship")),
    parcelOf: Effect.fnUntraced(function*(orderId: string) {
      const parcels = yield* sql`SELECT order_id FROM shop_parcel WHERE order_id = ${orderId}`
      return parcels.length === 0 ? Option.none() : Option.some({ parcel: `parcel-${orderId}` })
    }, answered("parcelOf"))
  }
})

const migrate = Migrator.make({})({
  loader: Migrator.fromRecord({
    "0001_tables": Effect.flatMap(
      SqlClient.SqlClient,
      (sql) => sql`CREATE TABLE shop_parcel (order_id TEXT PRIMARY KEY)`
    )
  }),
  table: "shop_parcel_migrations"
})
