/** What the processes of the kill test are told and say. */
import { Schema } from "effect"
import { Order, OrderId } from "../../src/checkout/Order.ts"

/** Milliseconds after which what a killed process held is taken over. */
export const lease = 1500

export const Task = Schema.Struct({
  gatewayUrl: Schema.String,
  filename: Schema.String,
  schema: Schema.String,
  orders: Schema.Array(Order),
  cancel: Schema.Array(Schema.Struct({ orderId: OrderId, afterMillis: Schema.Finite })),
  /** At which point it ends itself; 0 for never. */
  endAt: Schema.Int,
  /** Ends when all orders have, and says how. The others wait to be killed. */
  isLast: Schema.Boolean
})

export const Answer = Schema.Struct({
  ends: Schema.Array(Schema.Struct({ orderId: OrderId, ended: Schema.String })),
  points: Schema.Int
})
