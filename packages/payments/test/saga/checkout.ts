/** The checkout that has to work: reserve, authorize, capture, ship, receipt, over a gateway that counts money. */
import { NodeCrypto } from "@effect/platform-node"
import { Context, Effect, Layer, Option, Schema } from "effect"
import { Card, Money, PaymentError, PaymentGateway, Saga, SagaLog } from "effect-payments"
import { TestGateway } from "effect-payments/testing"

export class Refusal extends Schema.TaggedError<Refusal>()("Refusal", { why: Schema.String }) {
  readonly disposition = "Refused" as const
}

export class Unreachable extends Schema.TaggedError<Unreachable>()("Unreachable", {}) {
  readonly disposition = "NotExecuted" as const
}

/** Services of the shop, with a hand on them. */
export class Shop extends Context.Service<Shop, {
  readonly calls: Array<string>
  /** What a call of this name does first; forgotten when it fails or is interrupted. */
  readonly plan: Map<string, Effect.Effect<void, Refusal | Unreachable>>
  readonly call: (name: string, orderId?: string) => Effect.Effect<void, Refusal | Unreachable>
  /** Whether a call of this name has gone well for this order. */
  readonly happened: (name: string, orderId: string) => Effect.Effect<boolean>
}>()("test/Shop") {}

/** `before` sees each call as it leaves. */
export const makeShop = (before: (name: string) => void = () => undefined): Shop["Service"] => {
  const calls: Array<string> = []
  const plan: Shop["Service"]["plan"] = new Map()
  const done = new Set<string>()
  return {
    calls,
    plan,
    call: (name, orderId = "") =>
      Effect.suspend(() => {
        before(name)
        calls.push(name)
        return Effect.map(plan.get(name) ?? Effect.void, () => void done.add(`${name} ${orderId}`))
      }),
    happened: (name, orderId) => Effect.sync(() => done.has(`${name} ${orderId}`))
  }
}

export const shopLayer = Layer.sync(Shop, makeShop)

const call = (name: string, orderId?: string) => Effect.flatMap(Shop, (shop) => shop.call(name, orderId))
const money = Money.makeUnsafe("EUR", "49.90")
const gateway = PaymentGateway.PaymentGateway
const Stock = Schema.Struct({ reservation: Schema.String })
const Parcel = Schema.Struct({ parcel: Schema.String })
export const ShopError = Schema.Union([Refusal, Unreachable])

export const checkout = Saga.make("checkout", { payload: Schema.Struct({ orderId: Schema.String }) }).pipe(
  Saga.step("reserve", {
    success: Stock,
    error: ShopError,
    verify: "rerun",
    run: ({ payload }) => Effect.as(call("reserve"), { reservation: `r-${payload.orderId}` }),
    compensate: (outcome) => call(outcome._tag === "Done" ? `release ${outcome.result.reservation}` : "release?")
  }),
  Saga.step("authorize", {
    success: PaymentGateway.Transaction,
    error: PaymentError.PaymentError,
    verify: Saga.verifyByLookup({ phase: "authorize" }),
    timeout: "20 seconds",
    run: () =>
      Effect.flatMap(gateway, (gateway) => gateway.authorize({ token: Card.CardToken.make("tok_visa"), money })),
    compensate: (outcome) =>
      Effect.gen(function*() {
        const authorized = yield* Saga.transactionOf(outcome, { phase: "authorize" })
        return Option.isNone(authorized)
          ? Saga.skip("nothing was authorized")
          : yield* (yield* gateway).void({ transactionId: authorized.value.id }).pipe(
            Saga.onceByLookup({ phase: "void" })
          )
      })
  }),
  Saga.step("capture", {
    success: PaymentGateway.Transaction,
    error: PaymentError.PaymentError,
    verify: Saga.verifyByLookup({ phase: "capture" }),
    run: ({ authorize }) => Effect.flatMap(gateway, (gateway) => gateway.capture({ transactionId: authorize.id })),
    compensate: (outcome) =>
      Effect.gen(function*() {
        const captured = yield* Saga.transactionOf(outcome, { phase: "capture" })
        return Option.isNone(captured)
          ? Saga.skip("nothing was captured")
          : yield* (yield* gateway).refund({ transactionId: captured.value.id }).pipe(
            Saga.onceByLookup({ phase: "refund" })
          )
      }),
    closes: ["authorize"]
  }),
  Saga.pivot("ship", {
    success: Parcel,
    error: ShopError,
    verify: ({ payload: { orderId } }) =>
      Effect.map(
        Effect.flatMap(Shop, ({ happened }) => happened("ship", orderId)),
        (happened) => happened ? PaymentGateway.happened({ parcel: `p-${orderId}` }) : PaymentGateway.neverHappened
      ),
    run: ({ payload: { orderId } }) => Effect.as(call("ship", orderId), { parcel: `p-${orderId}` })
  }),
  Saga.retriable("receipt", {
    success: Schema.Void,
    verify: "rerun",
    run: () => call("receipt").pipe(Saga.park("the receipt is refused"))
  })
)

/** A process: what a crash takes with it. The log, the shop and the gateway stay. */
export const sagas = (options?: Saga.Options) =>
  Saga.layer({ sweepEvery: false, ...options }).pipe(Layer.provide(NodeCrypto.layer))

export const world = Layer.mergeAll(shopLayer, TestGateway.layer(), SagaLog.layerStoreMemory())
