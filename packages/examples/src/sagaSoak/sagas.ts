/**
 * Two checkouts. In `sale` the capture is the pivot: what stands before it is undone, and behind it goes forward. In `order`
 * the shipment is, and a capture is undone by its refund.
 *
 * | step | undone by | in doubt |
 * |---|---|---|
 * | `reserve` | giving it back | run again: the warehouse knows the order |
 * | `authorize` | void, unless captured | looked up at the gateway |
 * | `capture` | refund, in `order` | looked up at the gateway |
 * | `ship` | nothing | in `order` looked up at the carrier, in `sale` run again |
 * | `receipt` | nothing | run again |
 */
import { Context, Duration, Effect, Option, Schedule, Schema } from "effect"
import { Card, type Idempotency, Money, PaymentError, PaymentGateway, Resilience, Saga } from "effect-payments"
import { ServiceError, ServiceRefused } from "./ServiceError.ts"
import { Services } from "./Services.ts"
import { Order } from "./wire.ts"

/** How long a call may take, and for how long nothing may have been sent before "never seen" is believed. */
export const Patience = Context.Reference("@effect-payments/examples/sagaSoak/Patience", {
  defaultValue: () => ({ attemptMillis: 1000, settleMillis: 6000 })
})

/** What the gateway does with the requests of this call: see `Faults.ts`. */
export const Plan = Context.Reference("@effect-payments/examples/sagaSoak/Plan", { defaultValue: () => "" })

type Phase = keyof Order["plans"]

const ask = (operation: "reserve" | "release" | "ship" | "receipt", { orderId }: Order) =>
  Effect.flatMap(Services, (services) => Effect.asVoid(services.ask(operation, orderId)))

const call = Effect.fnUntraced(function*(
  order: Order,
  phase: Phase,
  request: (
    gateway: PaymentGateway.PaymentGateway["Service"]
  ) => Effect.Effect<PaymentGateway.Transaction, PaymentError.PaymentError, Idempotency.Claim>
) {
  const { attemptMillis } = yield* Patience
  return yield* Effect.flatMap(PaymentGateway.PaymentGateway, request).pipe(
    Resilience.timeout(Duration.millis(attemptMillis)),
    Effect.provideService(Plan, order.plans[phase])
  )
})

const settled = <A, E, R>(f: (settle: Duration.Duration) => Effect.Effect<A, E, R>) =>
  Effect.flatMap(Patience, ({ settleMillis }) => f(Duration.millis(settleMillis)))

const lookedUp = (phase: "authorize" | "capture") => (ctx: unknown, doubt: Saga.Doubt) =>
  settled((settle) => Saga.verifyByLookup({ phase, settle })(ctx, doubt))

/** Undone as long as there is something to undo: nobody waits for an operator where patience is enough. */
const undoSchedule = Schedule.max([Schedule.spaced("200 millis"), Schedule.recurs(60)])
const schedule = Schedule.max([Schedule.spaced("50 millis"), Schedule.recurs(20)])

const capture = (order: Order, { id }: PaymentGateway.Transaction) =>
  call(order, "capture", (gateway) => gateway.capture({ transactionId: id }))

const begun = (name: Order["kind"]) =>
  Saga.make(name, { payload: Order }).pipe(
    Saga.step("reserve", {
      success: Schema.Void,
      error: ServiceError,
      run: ({ payload }) => ask("reserve", payload),
      verify: "rerun",
      compensate: (_, { payload }) => ask("release", payload),
      schedule,
      undoSchedule: Schedule.max([Schedule.spaced("50 millis"), Schedule.recurs(5)])
    }),
    Saga.step("authorize", {
      success: PaymentGateway.Transaction,
      error: PaymentError.PaymentError,
      run: ({ payload }) => {
        const request = {
          token: Card.CardToken.make(payload.token),
          money: Money.fromMinorUnits("EUR", BigInt(payload.amountMinor)),
          merchantReference: payload.orderId
        }
        return call(payload, "authorize", (gateway) => gateway.authorize(request))
      },
      verify: lookedUp("authorize"),
      compensate: (outcome, { payload }) =>
        settled(Effect.fnUntraced(function*(settle) {
          const held = yield* Saga.transactionOf(outcome, { phase: "authorize", settle })
          if (Option.isNone(held)) return Saga.skip("nothing was authorized")
          const request = { transactionId: held.value.id }
          return yield* call(payload, "void", (gateway) => gateway.void(request)).pipe(
            Saga.onceByLookup({ phase: "void", settle })
          )
        })),
      schedule,
      undoSchedule
    })
  )

export const sale = begun("sale").pipe(
  Saga.pivot("capture", {
    success: PaymentGateway.Transaction,
    error: PaymentError.PaymentError,
    run: ({ authorize, payload }) => capture(payload, authorize),
    verify: lookedUp("capture"),
    schedule
  }),
  Saga.retriable("ship", {
    success: Schema.Void,
    run: ({ payload }) => Saga.park("nobody delivers there")(ask("ship", payload)),
    verify: "rerun",
    schedule
  }),
  Saga.retriable("receipt", {
    success: Schema.Void,
    run: ({ payload }) => Saga.park("no receipt can be sent")(ask("receipt", payload)),
    verify: "rerun",
    schedule
  })
)

export const order = begun("order").pipe(
  Saga.step("capture", {
    success: PaymentGateway.Transaction,
    error: PaymentError.PaymentError,
    run: ({ authorize, payload }) => capture(payload, authorize),
    verify: lookedUp("capture"),
    compensate: (outcome, { payload }) =>
      settled(Effect.fnUntraced(function*(settle) {
        const taken = yield* Saga.transactionOf(outcome, { phase: "capture", settle })
        if (Option.isNone(taken)) return Saga.skip("nothing was captured")
        const request = { transactionId: taken.value.id }
        return yield* call(payload, "refund", (gateway) => gateway.refund(request)).pipe(
          Saga.onceByLookup({ phase: "refund", settle })
        )
      })),
    schedule,
    undoSchedule,
    // What is captured cannot be voided any more: its refund gives all of it back.
    closes: ["authorize"]
  }),
  Saga.pivot("ship", {
    success: Schema.Void,
    error: ServiceError,
    run: ({ payload }) => ask("ship", payload),
    // Not by running it again: a refusal would not tell whether the parcel of the first time is on its way.
    verify: ({ payload }, { silence }) =>
      Effect.gen(function*() {
        const { settleMillis } = yield* Patience
        const services = yield* Services
        const parcel = yield* services.ask("parcel", payload.orderId)
        if (parcel === "Done") return PaymentGateway.happened(undefined)
        if (parcel === "Refused") return PaymentGateway.refused(new ServiceRefused())
        return Duration.toMillis(silence) >= settleMillis
          ? PaymentGateway.neverHappened
          : { _tag: "NotSeen" as const }
      }),
    schedule
  }),
  Saga.retriable("receipt", {
    success: Schema.Void,
    run: ({ payload }) => Saga.park("no receipt can be sent")(ask("receipt", payload)),
    verify: "rerun",
    schedule
  })
)
