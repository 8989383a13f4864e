/**
 * A checkout: reserve, authorize, capture, book the sale, ship, send the receipt. All of it, or none.
 *
 * No transaction spans a warehouse, a gateway and a carrier. A program that calls them one after the other leaves a mess
 * behind whenever it stops between two of them: stock that nobody buys, a card that is charged for nothing. Here each
 * step says how it is undone and how to find out whether it happened, and the log has both before its request leaves.
 *
 * | step | undone by | in doubt |
 * |---|---|---|
 * | `reserve` | giving it back | the warehouse is asked for the step's key |
 * | `authorize` | void, unless captured | the gateway is asked for the step's key |
 * | `capture` | refund | the same |
 * | `book` | an entry against it | the accounting is asked for the step's key |
 * | `ship` | nothing: it decides | the carrier is asked for the step's key |
 * | `receipt` | nothing: it follows | run again: the key is known again |
 *
 * What a gateway call needs besides (retries, a circuit, a quota, a time limit, an audit entry) is one function,
 * {@link throughStack}. The saga knows nothing of it, and the stack nothing of the saga.
 */
import { Context, Duration, Effect, Option, Schema } from "effect"
import {
  AuditLog,
  Fraud,
  type Idempotency,
  Observe,
  PaymentError,
  PaymentGateway,
  Resilience,
  Saga
} from "effect-payments"
import { Accounting } from "./Accounting.ts"
import { Fulfilment } from "./Fulfilment.ts"
import {
  DeliveryRefused,
  NoAnswer,
  NotKept,
  Order,
  OutOfStock,
  ReservationClosed,
  SaleReversed,
  Unavailable
} from "./Order.ts"
import { Parcel } from "./Parcels.ts"
import { Entry } from "./Sales.ts"
import { contextOf, rules } from "./screening.ts"
import { Reservation } from "./Stock.ts"

/**
 * How patient the shop is with the gateway: how long a call may take, after which pause it is tried again, and for how
 * long nothing may have been sent before "the gateway has never seen it" is believed. The last is longer than any request
 * can be under way. The demo is less patient.
 */
export const GatewayPatience = Context.Reference("@effect-payments/examples/GatewayPatience", {
  defaultValue: () => ({
    attempt: Duration.seconds(5),
    pause: Duration.millis(500),
    settle: Duration.minutes(5)
  })
})

/**
 * The stack of `charge.ts` without its outermost stage: the key comes from the saga. Sent again is what surely did not
 * happen, and what the gateway recognises by its key; never a decline.
 */
const throughStack = Effect.fnUntraced(function*(
  name: "authorize" | "capture" | "void" | "refund",
  args: unknown,
  call: (
    gateway: PaymentGateway.PaymentGateway["Service"]
  ) => Effect.Effect<PaymentGateway.Transaction, PaymentError.PaymentError, Idempotency.Claim>
) {
  const { attempt, pause } = yield* GatewayPatience
  return yield* Effect.flatMap(PaymentGateway.PaymentGateway, call).pipe(
    Observe.logExecution({ name, args, result: ({ id, status }) => ({ id, status }) }),
    Observe.timer("gateway_duration", { attributes: { call: name } }),
    Resilience.timeout(attempt),
    Resilience.rateLimit({ key: "gateway", limit: 100, window: "1 second" }),
    Resilience.retry({ attempts: 3, base: pause, factor: 2 }),
    Resilience.circuitBreaker({ name: "gateway", failures: 10, openFor: "5 seconds" })
  )
})

/** What the rules said is kept before it takes effect: a decision that nobody can explain later is not acted on. */
const keep = (orderId: string, { decision, results, score }: Fraud.Assessment) =>
  AuditLog.record({
    event: "payment",
    action: "screen",
    resource: orderId,
    outcome: decision === "Block" ? "refused" : "succeeded",
    detail: { decision, score, rules: results.map(({ _tag, rule }) => `${rule} ${_tag}`) }
  }).pipe(Effect.mapError(() => new NotKept({})))

/** Whether a step of which nobody knows the end has happened: the gateway is asked for its key. */
export const lookedUp = (phase: "authorize" | "capture") => (ctx: unknown, doubt: Saga.Doubt) =>
  Effect.flatMap(GatewayPatience, ({ settle }) => Saga.verifyByLookup({ phase, settle })(ctx, doubt))

/** Holds the money, unless the rules are against it. */
export const hold = (order: Order, merchantReference: string) => {
  const request = { token: order.card, money: order.total, merchantReference }
  return throughStack("authorize", request, ({ authorize }) => authorize(request)).pipe(
    // Before any request leaves: who is blocked costs no fee, and learns nothing about the card.
    Fraud.screen({
      rules,
      context: contextOf(order),
      challenge: () => Effect.succeed({ id: `3ds_${order.orderId}`, url: `https://shop.example/3ds/${order.orderId}` }),
      onAssessment: (assessment) => keep(order.orderId, assessment)
    })
  )
}

/** Undoes {@link hold}. */
export const letGo = Effect.fnUntraced(function*(outcome: Saga.Outcome<PaymentGateway.Transaction>) {
  const { settle } = yield* GatewayPatience
  const held = yield* Saga.transactionOf(outcome, { phase: "authorize", settle })
  if (Option.isNone(held)) return Saga.skip("nothing was authorized")
  const request = { transactionId: held.value.id }
  return yield* throughStack("void", request, (gateway) => gateway.void(request)).pipe(
    Saga.onceByLookup({ phase: "void", settle })
  )
})

/** Takes what is held. */
export const take = (transactionId: PaymentGateway.TransactionId) => {
  const request = { transactionId }
  return throughStack("capture", request, ({ capture }) => capture(request))
}

/** Undoes {@link take}. */
export const giveBack = Effect.fnUntraced(function*(outcome: Saga.Outcome<PaymentGateway.Transaction>) {
  const { settle } = yield* GatewayPatience
  const taken = yield* Saga.transactionOf(outcome, { phase: "capture", settle })
  if (Option.isNone(taken)) return Saga.skip("nothing was captured")
  const request = { transactionId: taken.value.id }
  return yield* throughStack("refund", request, ({ refund }) => refund(request)).pipe(
    Saga.onceByLookup({ phase: "refund", settle })
  )
})

export const checkout = Saga.make("checkout", { payload: Order }).pipe(
  Saga.step("reserve", {
    success: Reservation,
    error: Schema.Union([OutOfStock, ReservationClosed, NoAnswer, Unavailable]),
    run: ({ payload }) => Effect.flatMap(Fulfilment, ({ reserve }) => reserve(payload)),
    verify: ({ payload }, doubt) => Effect.flatMap(Fulfilment, ({ reserved }) => reserved(payload, doubt)),
    compensate: (_, { payload }) => Effect.flatMap(Fulfilment, ({ release }) => release(payload))
  }),
  Saga.step("authorize", {
    success: PaymentGateway.Transaction,
    error: Schema.Union([PaymentError.PaymentError, NotKept]),
    run: ({ payload }) => hold(payload, payload.orderId),
    verify: lookedUp("authorize"),
    compensate: letGo
  }),
  Saga.step("capture", {
    success: PaymentGateway.Transaction,
    error: PaymentError.PaymentError,
    run: ({ authorize }) => take(authorize.id),
    verify: lookedUp("capture"),
    compensate: giveBack,
    // What is captured cannot be voided any more: its refund gives all of it back.
    closes: ["authorize"]
  }),
  Saga.step("book", {
    success: Entry,
    error: Schema.Union([SaleReversed, NoAnswer, Unavailable]),
    run: ({ payload }) => Effect.flatMap(Accounting, ({ book }) => book(payload)),
    verify: ({ payload }, doubt) => Effect.flatMap(Accounting, ({ booked }) => booked(payload, doubt)),
    compensate: (_, { payload }) => Effect.flatMap(Accounting, ({ reverse }) => reverse(payload))
  }),
  Saga.pivot("ship", {
    success: Parcel,
    error: Schema.Union([DeliveryRefused, NoAnswer, Unavailable]),
    run: ({ payload }) => Effect.flatMap(Fulfilment, ({ ship }) => ship(payload)),
    // Not by running it again: a refusal would not tell whether the parcel of the first time is on its way.
    verify: ({ payload }, doubt) => Effect.flatMap(Fulfilment, ({ shipped }) => shipped(payload, doubt))
  }),
  Saga.retriable("receipt", {
    success: Schema.Void,
    run: ({ payload }) => Effect.flatMap(Fulfilment, ({ sendReceipt }) => sendReceipt(payload)),
    verify: "rerun"
  })
)
