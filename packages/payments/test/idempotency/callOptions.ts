import { Schema } from "effect"
import { Idempotency, PaymentError } from "effect-payments"

/** Of a call of which a test asks no more than that there is one. */
export const callOptions = {
  scope: Idempotency.Scope.make({ tenant: "acme", operation: "charge", version: 1 }),
  key: Idempotency.Key.make("key"),
  payload: "payload",
  payloadSchema: Schema.String,
  success: Schema.String,
  error: PaymentError.PaymentError,
  lease: "30 seconds"
} as const
