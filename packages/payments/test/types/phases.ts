import { Effect, Schema } from "effect"
import { Card, Idempotency, Money, PaymentError, PaymentGateway, Phases } from "effect-payments"

class Broken extends Schema.TaggedError<Broken>()("Broken", {}) {
  readonly disposition = "Refused" as const
}

const charge = PaymentGateway.PaymentGateway.use((gateway) =>
  gateway.authorize({ token: Card.CardToken.make("tok_visa"), money: Money.makeUnsafe("EUR", "1.00") })
)

const empty = Phases.make("order", { version: 1, payload: Schema.String, error: PaymentError.PaymentError })
const transaction = PaymentGateway.Transaction

// Results of earlier phases by name, without annotations.
export const order = empty.pipe(
  Phases.atomic("a", { success: Schema.Number, run: ({ payload }) => Effect.succeed(payload.length) }),
  Phases.call("b", {
    success: transaction,
    run: ({ a }) => Effect.as(Effect.succeed(a.toFixed(2)), undefined).pipe(Effect.andThen(charge)),
    resolve: Idempotency.resolveByLookup({ phases: ["authorize"] })
  }),
  Phases.atomic("c", { success: Schema.String, run: ({ a, b, payload }) => Effect.succeed(`${a} ${b.id} ${payload}`) })
)
export const answered: Effect.Effect<
  { readonly a: number; readonly b: PaymentGateway.Transaction; readonly c: string },
  PaymentError.PaymentError | Idempotency.IdempotencyError,
  Idempotency.Idempotency | PaymentGateway.PaymentGateway | Phases.Journal
> = Phases.run(order, "payload", { tenant: "acme", key: Idempotency.Key.make("k") })

// @refuse a gateway call inside an atomic phase would keep the transaction open while it waits: make it a call
empty.pipe(Phases.atomic("a", { success: transaction, run: () => charge }))

// @refuse this operation already has a phase named a: give the phase a name of its own
order.pipe(Phases.atomic("a", { success: Schema.String, run: () => Effect.succeed("a") }))

// @refuse this operation already has a phase named payload: give the phase a name of its own
empty.pipe(Phases.call("payload", { success: Schema.String, run: () => Effect.succeed("a") }))

// @refuse a phase fails with what the operation does not declare: add it to the error schema of make
empty.pipe(Phases.call("a", { success: Schema.String, run: () => Effect.fail(new Broken()) }))

// @refuse Property 'later' does not exist
empty.pipe(Phases.atomic("a", { success: Schema.String, run: ({ later }) => Effect.succeed(later) }))

// @refuse Argument of type 'number' is not assignable to parameter of type 'string'
Phases.run(order, 1, { tenant: "acme", key: Idempotency.Key.make("k") })

// @refuse Type 'string' is not assignable to type 'number'
empty.pipe(Phases.atomic("a", { success: Schema.Number, run: () => Effect.succeed("a") }))

// @refuse is not assignable to type 'Codec<HasDisposition
Phases.make("order", { version: 1, payload: Schema.String, error: Schema.Struct({ code: Schema.String }) })
