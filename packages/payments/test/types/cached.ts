import { Effect, Schema } from "effect"
import { Cached, Idempotency, PaymentError, PaymentGateway, Resilience } from "effect-payments"

const options = {
  name: "x",
  id: () => "1",
  success: PaymentGateway.Transaction,
  error: PaymentError.PaymentError,
  ttl: "1 minute"
} as const
const authorize = (request: PaymentGateway.AuthorizeRequest) =>
  Effect.flatMap(PaymentGateway.PaymentGateway, (gateway) => gateway.authorize(request))

// @refuse a cached gateway call would answer for a payment that never happened: use idempotent
Cached.make(authorize, options)

declare const rate: (base: string) => Effect.Effect<string, PaymentError.PaymentError>
const rates = { name: "rates", success: Schema.String, error: PaymentError.PaymentError, ttl: "1 minute" } as const

type Services = Cached.CachedStore
const run = <A, E>(self: Effect.Effect<A, E, Services>) => self
run(Effect.scoped(Cached.make((base: string) => rate(base).pipe(Resilience.retry(), Idempotency.readOnly), rates)))

// What retries has to say that it only reads.
// @refuse Type 'RetryMustBeInsideIdempotent' is not assignable to type 'CachedStore'
run(Effect.scoped(Cached.make((base: string) => rate(base).pipe(Resilience.retry()), rates)))

// @refuse Property 'id' is missing in type
Cached.make((id: number) => Effect.succeed(`${id}`), { ...rates, error: Schema.Never })
