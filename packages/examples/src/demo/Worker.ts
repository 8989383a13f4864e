/**
 * A process that charges one card and ends.
 */
import { Schema } from "effect"
import { Idempotency, PaymentGateway } from "effect-payments"
import * as Process from "./Process.ts"

/** What the process is told. */
export const Order = Schema.Struct({
  gatewayUrl: Schema.String,
  filename: Schema.String,
  schema: Schema.String,
  key: Idempotency.Key,
  request: PaymentGateway.AuthorizeRequest,
  attemptMillis: Schema.Finite,
  leaseMillis: Schema.Finite
})

/** What it says when it ends. */
export const Answer = Schema.Struct({ transaction: PaymentGateway.Transaction })

export const start = (value: typeof Order.Type) =>
  Process.start(new URL("worker.main.ts", import.meta.url), { schema: Order, value }, Answer)
