/** Whose keys they are. */
import { Idempotency } from "effect-payments"

export const scope = Idempotency.Scope.make({ tenant: "acme", operation: "charge", version: 1 })
