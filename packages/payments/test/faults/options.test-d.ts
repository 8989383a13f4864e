import { Effect, Schema } from "effect"
import { Idempotency, PaymentError } from "effect-payments"
import { describe, expectTypeOf, it } from "vitest"

const options = {
  scope: Idempotency.Scope.make({ tenant: "acme", operation: "charge", version: 1 }),
  key: Idempotency.Key.make("key-1"),
  payload: "A",
  payloadSchema: Schema.String,
  success: Schema.String,
  error: PaymentError.PaymentError
} as const
const { error, key, payload, payloadSchema, scope, success } = options
const charge = Effect.succeed("charged")

describe("what does not compile", () => {
  it("row 11: an operation without a key, and a key that was not decoded", () => {
    expectTypeOf(Idempotency.idempotent(charge, options)).toEqualTypeOf<
      Effect.Effect<string, PaymentError.PaymentError | Idempotency.IdempotencyError, Idempotency.Idempotency>
    >()
    // @ts-expect-error: Property 'key' is missing
    void Idempotency.idempotent(charge, { scope, payload, payloadSchema, success, error })
    // @ts-expect-error: 'undefined' is not a key
    void Idempotency.idempotent(charge, { ...options, key: undefined })
    // @ts-expect-error: a string is not a key
    void Idempotency.idempotent(charge, { ...options, key: "key-1" })
  })

  it("row 13: a payload that its schema does not describe, or that has none", () => {
    // @ts-expect-error: a Map is no string
    void Idempotency.idempotent(charge, { ...options, payload: new Map([["a", 1]]) })
    // @ts-expect-error: Property 'payloadSchema' is missing
    void Idempotency.idempotent(charge, { scope, key, payload, success, error })
  })

  it("row 19: a result or an error without a schema that stores it", () => {
    // @ts-expect-error: a function has no stored form
    void Idempotency.idempotent(Effect.succeed(() => 1), options)
    // @ts-expect-error: Property 'success' is missing
    void Idempotency.idempotent(charge, { scope, key, payload, payloadSchema, error })
    // @ts-expect-error: Property 'error' is missing
    void Idempotency.idempotent(charge, { scope, key, payload, payloadSchema, success })
  })

  it("row 34: a scope that leaves out tenant, operation or version, or was not decoded", () => {
    // @ts-expect-error: Property 'version' is missing
    void Idempotency.Scope.make({ tenant: "acme", operation: "charge" })
    // @ts-expect-error: Property 'tenant' is missing
    void Idempotency.Scope.make({ operation: "charge", version: 1 })
    // @ts-expect-error: not a decoded scope
    void Idempotency.idempotent(charge, { ...options, scope: { tenant: "acme", operation: "charge", version: 1 } })
  })
})
