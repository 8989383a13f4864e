/**
 * What the gateway, the services and the shop show of an order, and the processes of the shop.
 */
import { Duration, Effect } from "effect"
import type { Saga } from "effect-payments"
import { Fulfilment } from "../checkout/Fulfilment.ts"
import type { Order } from "../checkout/Order.ts"
import type { Place } from "../checkout/stores.ts"
import { GatewaySim } from "../gateway-sim/start.ts"
import { Services } from "../services/start.ts"
import { fact, type Row } from "./Scenario.ts"
import * as ShopProcess from "./ShopProcess.ts"

// Long enough for a busy machine to renew it, short enough to wait for.
const lease = Duration.seconds(4)

/** A process of the shop, that places the order, or waits for the end of the one with this id. */
export const start = Effect.fnUntraced(function*(
  place: Place,
  order: Order | string,
  options?: { readonly authenticateWithin: Duration.Input }
) {
  const { baseUrl } = yield* GatewaySim
  const { urls } = yield* Services
  return yield* ShopProcess.start({
    gatewayUrl: baseUrl,
    services: urls,
    filename: place.filename,
    schema: place.schema,
    leaseMillis: Duration.toMillis(lease),
    attemptMillis: 60_000,
    ...options === undefined
      ? {}
      : { authenticateMillis: Duration.toMillis(Duration.fromInputUnsafe(options.authenticateWithin)) },
    order
  })
})

export const kindsOf = (rows: ReadonlyArray<Row>): string =>
  rows.map(({ kind, status }) => status === "refused" ? `${kind} refused` : kind).join(", ")

export const capturesOf = (rows: ReadonlyArray<Row>): number =>
  rows.filter(({ status }) => status === "captured").length

export const requestsOf = (rows: ReadonlyArray<Row>): number => rows.reduce((sum, { requests }) => sum + requests, 0)

/** In minor units: what the payer has paid in the end. */
export const netOf = (rows: ReadonlyArray<Row>): bigint =>
  rows.reduce((sum, { amountMinor = "0", status }) => {
    if (status === "captured") return sum + BigInt(amountMinor)
    return status === "refunded" ? sum - BigInt(amountMinor) : sum
  }, 0n)

export const undosOf = (execution: Saga.Execution<unknown, unknown>): string =>
  execution._tag === "Compensated" || execution._tag === "FailedCompensation"
    ? execution.undos.map(({ _tag, step }) => `${step} ${_tag}`).join(", ") :
    ""

/** In a word: what became of the order at the shop. */
export const outcomeOf = ({ orderId }: Order) =>
  Effect.map(
    Effect.flatMap(Fulfilment, ({ standing }) => standing(orderId)),
    ({ parcels, reservation }) => parcels > 0 ? "shipped" : reservation
  )

export const isShipped = Effect.fnUntraced(function*({ orderId }: Order) {
  const { parcels, receipts, reservation } = yield* Effect.flatMap(Fulfilment, ({ standing }) => standing(orderId))
  return [fact("reservation", "held", reservation), fact("parcels", 1, parcels), fact("receipts", 1, receipts)]
})

export const isReleased = Effect.fnUntraced(function*({ orderId }: Order) {
  const { parcels, receipts, reservation } = yield* Effect.flatMap(Fulfilment, ({ standing }) => standing(orderId))
  return [fact("reservation", "released", reservation), fact("parcels", 0, parcels), fact("receipts", 0, receipts)]
})
