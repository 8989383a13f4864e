/**
 * The ports of the checkout over the services. Each call carries the downstream key of its step, so that it acts once however
 * often it comes, and each failure says what is known of the call.
 */
import { Duration, Effect, Layer, Schema } from "effect"
import { Idempotency, PaymentGateway, Saga } from "effect-payments"
import { FetchHttpClient, HttpClient, HttpClientError } from "effect/http"
import { type HttpApi, HttpApiClient, type HttpApiGroup } from "effect/http-api"
import { Accounting } from "../checkout/Accounting.ts"
import { Fulfilment, type Silence } from "../checkout/Fulfilment.ts"
import {
  DeliveryRefused,
  NoAnswer,
  type Order,
  OutOfStock,
  ReservationClosed,
  SaleReversed,
  Unavailable
} from "../checkout/Order.ts"
import { isSurelyNotSent } from "../SimGateway.ts"
import * as Api from "./Api.ts"
import type { Entry, Operation } from "./Journal.ts"
import type { Name } from "./Task.ts"

/** Where the services listen. */
export type Urls = { readonly [name in Name]: string }

/**
 * | option | default | |
 * |---|---|---|
 * | `attempt` | 5 seconds | how long a call may take |
 * | `settle` | 5 minutes | after how long without a request "the service has not seen it" is believed; longer than a call |
 */
export interface Options {
  readonly urls: Urls
  readonly attempt?: Duration.Input | undefined
  readonly settle?: Duration.Input | undefined
}

const answerMaxBytes = 256 * 1024

/** A typed client that takes no longer answer, and follows nobody elsewhere. */
export const client = <Id extends string, Groups extends HttpApiGroup.Constraint>(
  api: HttpApi.HttpApi<Id, Groups>,
  baseUrl: string
) =>
  Effect.flatMap(HttpClient.HttpClient, (httpClient) =>
    HttpApiClient.makeWith(api, {
      baseUrl,
      httpClient: httpClient.pipe(
        HttpClient.transformResponse(Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" })),
        HttpClient.transformResponse(
          Effect.filterOrFail(
            ({ headers, status }) => status === 204 || Number(headers["content-length"]) <= answerMaxBytes,
            () => new NoAnswer({ operation: "read" })
          )
        )
      )
    }))

export const layer = (options: Options) =>
  Layer.merge(Layer.effect(Fulfilment, fulfilment(options)), Layer.effect(Accounting, accounting(options))).pipe(
    Layer.provide(FetchHttpClient.layer)
  )

const fulfilment = Effect.fnUntraced(function*(options: Options) {
  const { urls } = options
  const { admin: inventoryAdmin, operations: inventory } = yield* client(Api.Inventory, urls.inventory)
  const { admin: shippingAdmin, operations: shipping } = yield* client(Api.Shipping, urls.shipping)
  const { admin: receiptsAdmin, operations: receipts } = yield* client(Api.Receipts, urls.receipts)
  const called = call(options)
  const doneBy = (admin: Admin, orderId: string) =>
    Effect.map(
      called("journal")(admin.journal({ query: { order: orderId } })),
      (deeds) => deeds.filter(({ outcome }) => outcome === "done").length
    )
  const lineOf = ({ orderId, quantity, sku }: Order) => ({ orderId, quantity, sku })
  return Fulfilment.of({
    restock: (sku, quantity) => called("deliver")(inventory.deliver({ payload: { sku, quantity } })),
    available: (sku) =>
      Effect.map(called("available")(inventory.available({ params: { sku } })), ({ available }) => available),
    reserve: (order) => Effect.flatMap(keyed(Api.reserve, lineOf(order)), inventory.reserve).pipe(called("reserve")),
    reserved: became(options, Api.reserve, inventoryAdmin),
    release: (order) =>
      Effect.flatMap(keyed(Api.release, lineOf(order)), inventory.release).pipe(called("release"), Effect.asVoid),
    ship: ({ orderId, shipTo }) =>
      Effect.flatMap(keyed(Api.ship, { orderId, shipTo }), shipping.ship).pipe(called("ship")),
    shipped: became(options, Api.ship, shippingAdmin),
    sendReceipt: ({ email, orderId }) =>
      Effect.flatMap(keyed(Api.send, { email, orderId }), receipts.send).pipe(called("send"), Effect.asVoid),
    standing: Effect.fnUntraced(function*(orderId) {
      const { state } = yield* called("reservation")(inventory.reservation({ params: { orderId } }))
      return {
        reservation: state,
        parcels: yield* doneBy(shippingAdmin, orderId),
        receipts: yield* doneBy(receiptsAdmin, orderId)
      }
    })
  })
})

const accounting = Effect.fnUntraced(function*(options: Options) {
  const { admin, operations } = yield* client(Api.Accounting, options.urls.accounting)
  const called = call(options)
  const saleOf = ({ orderId, total }: Order) => ({ orderId, total })
  return Accounting.of({
    book: (order) => Effect.flatMap(keyed(Api.book, saleOf(order)), operations.book).pipe(called("book")),
    booked: became(options, Api.book, admin),
    reverse: (order) =>
      Effect.flatMap(keyed(Api.reverse, saleOf(order)), operations.reverse).pipe(called("reverse"), Effect.asVoid),
    sums: called("sums")(operations.sums({}))
  })
})

type Admin = HttpApiClient.ForApi<typeof Api.Shipping, NoAnswer>["admin"]

/** A final no of a service. */
type Refusal = OutOfStock | ReservationClosed | DeliveryRefused | SaleReversed

const isRefusal = (error: unknown): error is Refusal =>
  [OutOfStock, ReservationClosed, DeliveryRefused, SaleReversed].some((type) => error instanceof type)

/** A call and what is known of it when it fails. What cannot be read, or comes too late, may have happened. */
const call = (options: Options) => {
  const duration = Duration.fromInputUnsafe(options.attempt ?? "5 seconds")
  return (operation: string) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, Extract<E, Refusal> | Silence, R> =>
    self.pipe(
      Effect.mapError((error) =>
        isRefusal(error)
          ? error as Extract<E, Refusal>
          : isNothingDone(error)
          ? new Unavailable({ operation })
          : new NoAnswer({ operation })
      ),
      Effect.timeoutOrElse({ duration, orElse: () => Effect.fail(new NoAnswer({ operation })) })
    )
}

const isNothingDone = (error: unknown): boolean =>
  error instanceof Unavailable || (HttpClientError.isHttpClientError(error) && isSurelyNotSent(error))

/** The key of this step, which goes along and can be asked for. */
const keyOf = ({ name }: { readonly name: string }) =>
  Effect.map(Idempotency.currentDownstreamKey(name), (key) => Idempotency.Key.make(key))

/** A request under the key of this step. */
const keyed = <P>(operation: { readonly name: string }, payload: P) =>
  Effect.map(keyOf(operation), (key) => ({ payload, headers: { "idempotency-key": key } }))

/** What became of the call of this step, by its key. */
const became =
  <A, E>(options: Options, operation: Operation<A, E>, admin: Admin) => (_: Order, { silence }: Saga.Doubt) =>
    keyOf(operation).pipe(
      Effect.flatMap((key) => call(options)("operation")(admin.operation({ params: { key } }))),
      Effect.flatMap((entry) =>
        verdictOf(
          operation,
          entry,
          Duration.isGreaterThanOrEqualTo(silence, Duration.fromInputUnsafe(options.settle ?? "5 minutes"))
        )
      )
    )

/** What the journal of a service has under the key of this step. */
const verdictOf = <A, E>(
  operation: Operation<A, E>,
  entry: Entry | null,
  isSettled: boolean
): Effect.Effect<Saga.Verdict<A, E>, NoAnswer> => {
  // Believed once no request can be under way. Until then it may arrive, and may be sent again: the key is known again.
  if (entry === null) return Effect.succeed(isSettled ? PaymentGateway.neverHappened : Saga.notSeen)
  const unreadable = () => new NoAnswer({ operation: operation.name })
  return entry.outcome === "done"
    ? Effect.mapBoth(Schema.decodeEffect(operation.success)(entry.answer), {
      onFailure: unreadable,
      onSuccess: PaymentGateway.happened
    })
    : Effect.mapBoth(Schema.decodeEffect(operation.refusal)(entry.answer), {
      onFailure: unreadable,
      onSuccess: PaymentGateway.refused
    })
}
