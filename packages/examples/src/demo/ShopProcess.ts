/**
 * A process of the shop. It places an order, or waits for the end of one that another process has left.
 */
import { Schema } from "effect"
import { Order, OrderId } from "../checkout/Order.ts"
import * as Process from "./Process.ts"

/** What the process is told. */
export const Task = Schema.Struct({
  gatewayUrl: Schema.String,
  filename: Schema.String,
  schema: Schema.String,
  services: Schema.Struct({
    inventory: Schema.String,
    shipping: Schema.String,
    accounting: Schema.String,
    receipts: Schema.String
  }),
  leaseMillis: Schema.Finite,
  attemptMillis: Schema.Finite,
  /** Whose payer has to authenticate, and within what time. */
  authenticateMillis: Schema.optionalKey(Schema.Finite),
  /** An order to place, or the id of one to wait for. */
  order: Schema.Union([Order, OrderId])
})

/** What it says when it ends. */
export const Answer = Schema.Struct({
  ended: Schema.Literals(["Completed", "Compensated", "FailedCompensation", "Parked"])
})

export const start = (value: typeof Task.Type) =>
  Process.start(new URL("shop.main.ts", import.meta.url), { schema: Task, value }, Answer)
