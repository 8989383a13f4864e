/**
 * A checkout whose payer has to authenticate: the steps of `checkout.ts`, and two that wait for a webhook of the gateway.
 *
 * The gateway holds the money and answers with a challenge. The payer passes it at the bank, minutes later or never, and the
 * gateway tells by an event. Nothing here waits with a request open or a fiber at work: the run stands in the log, and
 * whichever process takes the event in moves it, also one that has never seen the order.
 *
 * | step | waits for | until | then |
 * |---|---|---|---|
 * | `authentication` | the payer's answer to the challenge | the deadline | what is held is voided, the stock given back |
 * | `confirmation` | the gateway's word that it has captured | 7 days | kept for the reconciliation, and the receipt is sent |
 *
 * A card that needs no challenge goes through the same steps: the event that its authorization has succeeded is the answer.
 */
import { type Duration, Effect, Schema } from "effect"
import { AuditLog, PaymentError, PaymentGateway, Saga, SagaOperator, Webhook } from "effect-payments"
import { Event } from "../gateway-sim/Wire.ts"
import { Accounting } from "./Accounting.ts"
import { giveBack, hold, letGo, lookedUp, take } from "./checkout.ts"
import { Fulfilment } from "./Fulfilment.ts"
import {
  DeliveryRefused,
  NoAnswer,
  NotAuthenticated,
  NotConfirmed,
  NotKept,
  Order,
  OutOfStock,
  ReservationClosed,
  SaleReversed,
  Unavailable
} from "./Order.ts"
import { Parcel } from "./Parcels.ts"
import { Entry } from "./Sales.ts"
import { Reservation } from "./Stock.ts"

/** What the payer has made of the challenge. */
export const authentication = Saga.makeSignal("authentication", Schema.Literals(["passed", "failed"]))

/** Which capture the gateway confirms. */
export const confirmation = Saga.makeSignal("confirmation", Schema.Struct({ transactionId: Schema.String }))

const name = "secured-checkout"

/** Comes back with each event of the payment, and says to which saga it belongs. */
const referenceOf = (orderId: string): string => `${name}/${orderId}`

const orderOf = (reference: string | undefined): string | undefined =>
  reference?.startsWith(`${name}/`) === true ? reference.slice(name.length + 1) : undefined

/** The gateway itself has said that it captured, and its webhook never came: somebody looks, and nobody waits for it. */
const unconfirmed = (orderId: string) =>
  AuditLog.record({ event: "payment", action: "confirm capture", resource: orderId, outcome: "unknown" }).pipe(
    Effect.mapError(() => new NotKept({}))
  )

/** Runs keep no deadline: a process with another one goes on with them by its own. */
export const make = (options?: { readonly deadline?: Duration.Input | undefined }) =>
  Saga.make(name, { payload: Order }).pipe(
    Saga.step("reserve", {
      success: Reservation,
      error: Schema.Union([OutOfStock, ReservationClosed, NoAnswer, Unavailable]),
      run: ({ payload }) => Effect.flatMap(Fulfilment, ({ reserve }) => reserve(payload)),
      verify: ({ payload }, doubt) => Effect.flatMap(Fulfilment, ({ reserved }) => reserved(payload, doubt)),
      compensate: (_, { payload }) => Effect.flatMap(Fulfilment, ({ release }) => release(payload))
    }),
    // Its result has the challenge, if there is one: see `challengeOf`.
    Saga.step("authorize", {
      success: PaymentGateway.Transaction,
      error: Schema.Union([PaymentError.PaymentError, NotKept]),
      run: ({ payload }) => hold(payload, referenceOf(payload.orderId)),
      verify: lookedUp("authorize"),
      compensate: letGo
    }),
    Saga.awaitSignal(authentication, {
      deadline: options?.deadline ?? "15 minutes",
      error: NotAuthenticated,
      onDeadline: ({ payload }) => new NotAuthenticated({ orderId: payload.orderId })
    }),
    Saga.step("capture", {
      success: PaymentGateway.Transaction,
      error: Schema.Union([PaymentError.PaymentError, NotAuthenticated]),
      run: ({ authentication, authorize, payload }) =>
        authentication === "passed" ? take(authorize.id) : Effect.fail(new NotAuthenticated(payload)),
      // What was never sent needs no look-up.
      verify: ({ authentication, payload }, doubt) =>
        authentication === "passed"
          ? lookedUp("capture")(payload, doubt)
          : Effect.succeed(PaymentGateway.refused(new NotAuthenticated(payload))),
      compensate: giveBack,
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
      verify: ({ payload }, doubt) => Effect.flatMap(Fulfilment, ({ shipped }) => shipped(payload, doubt))
    }),
    // Behind the pivot nothing is undone: a deadline is a result, and the next step has to say what becomes of it.
    Saga.awaitSignal(confirmation, { deadline: "7 days" }),
    Saga.retriable("receipt", {
      success: Schema.Void,
      run: ({ capture, confirmation, payload }) => {
        const receipt = Effect.flatMap(Fulfilment, ({ sendReceipt }) => sendReceipt(payload))
        if (confirmation._tag === "DeadlinePassed") return Effect.andThen(unconfirmed(payload.orderId), receipt)
        return confirmation.value.transactionId === capture.id
          ? receipt
          : Effect.fail(new NotConfirmed(payload)).pipe(Saga.park("the gateway confirms another capture"))
      },
      verify: "rerun"
    })
  )

export const secured = make()

/**
 * Moves the run that an event is about. The event's id names the message, so one that is delivered again moves nothing; one
 * that comes before the run stands at the step is kept until then.
 *
 * It runs outside a transaction, since the log of sagas commits alone: `WebhookRoute.layerAtLeastOnce`.
 */
export const onEvent = Effect.fnUntraced(function*(received: Webhook.Event) {
  const { data, id: event } = yield* Webhook.payload(received, Event)
  const id = orderOf(data.merchantReference)
  if (id === undefined) return
  if (data.kind === "challenge") {
    yield* Saga.signal(secured, authentication, { id, event, value: data.status })
  } else if (data.status === "authorized" && data.challengeId === undefined) {
    yield* Saga.signal(secured, authentication, { id, event, value: "passed" })
  } else if (data.status === "captured" && data.transactionId !== undefined) {
    yield* Saga.signal(secured, confirmation, { id, event, value: { transactionId: data.transactionId } })
  }
})

const decodeTransaction = Schema.decodeEffect(
  Schema.fromJsonString(Schema.toCodecJson(Schema.Struct({ challenge: PaymentGateway.Transaction.fields.challenge })))
)

/** The challenge of an order that waits: what the shop's page sends the payer to. From the log, so from any process. */
export const challengeOf = Effect.fnUntraced(function*(orderId: string) {
  const { entries } = yield* SagaOperator.history({ saga: name, id: orderId })
  const authorized = entries.flatMap(({ events }) => events).find((event) =>
    event._tag === "Succeeded" && event.step === "authorize"
  )
  if (authorized?._tag !== "Succeeded") return undefined
  return (yield* decodeTransaction(authorized.result)).challenge
})
