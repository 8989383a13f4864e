/**
 * Stock, parcels and receipts of the shop, as the checkout sees them. In `services` each is a process of its own that is
 * called over HTTP; {@link layer} keeps all of them in the shop's database.
 *
 * What a step does needs the `Claim` of the step: its downstream key goes along, so that a call that comes twice acts once.
 */
import { Context, Effect, Layer, Option } from "effect"
import { type Idempotency, PaymentGateway, Saga } from "effect-payments"
import type { Migrator, SqlClient, SqlError } from "effect/sql"
import type { DeliveryRefused, NoAnswer, Order, OutOfStock, Unavailable } from "./Order.ts"
import { ReservationClosed } from "./Order.ts"
import * as Parcels from "./Parcels.ts"
import * as Receipts from "./Receipts.ts"
import * as Stock from "./Stock.ts"

/** How things stand for one order. */
export interface Standing {
  readonly reservation: "none" | "held" | "released"
  readonly parcels: number
  readonly receipts: number
}

/** What the other side may fail with, whatever it is asked. */
export type Silence = NoAnswer | Unavailable

type Reservation = typeof Stock.Reservation.Type
type Parcel = typeof Parcels.Parcel.Type
type Call<A, E = never> = Effect.Effect<A, E | Silence, Idempotency.Claim>

export class Fulfilment extends Context.Service<Fulfilment, {
  /** Adds to what is in stock. */
  readonly restock: (sku: string, quantity: number) => Effect.Effect<void, Silence>
  readonly available: (sku: string) => Effect.Effect<number, Silence>
  readonly reserve: (order: Order) => Call<Reservation, OutOfStock | ReservationClosed>
  /** What became of the `reserve` of this step. */
  readonly reserved: (
    order: Order,
    doubt: Saga.Doubt
  ) => Call<Saga.Verdict<Reservation, OutOfStock | ReservationClosed>>
  /** Gives back what was reserved. A reservation that has not arrived is refused when it does. */
  readonly release: (order: Order) => Call<void>
  readonly ship: (order: Order) => Call<Parcel, DeliveryRefused>
  /** What became of the `ship` of this step. */
  readonly shipped: (order: Order, doubt: Saga.Doubt) => Call<Saga.Verdict<Parcel, DeliveryRefused>>
  readonly sendReceipt: (order: Order) => Call<void>
  readonly standing: (orderId: string) => Effect.Effect<Standing, Silence>
}>()("@effect-payments/examples/Fulfilment") {}

const make = Effect.gen(function*() {
  const stock = yield* Stock.make
  const parcels = yield* Parcels.make
  const receipts = yield* Receipts.make
  return Fulfilment.of({
    ...stock,
    reserved: Effect.fnUntraced(function*({ orderId }) {
      const state = yield* stock.stateOf(orderId)
      return state === "held"
        ? PaymentGateway.happened({ reservation: `res-${orderId}` })
        : state === "released"
        ? PaymentGateway.refused(new ReservationClosed({ orderId }))
        : Saga.notSeen
    }),
    ship: parcels.ship,
    // One database answers in order: what comes before has committed, or never will.
    shipped: ({ orderId }) =>
      Effect.map(
        parcels.parcelOf(orderId),
        (parcel) => Option.isSome(parcel) ? PaymentGateway.happened(parcel.value) : PaymentGateway.neverHappened
      ),
    sendReceipt: receipts.send,
    standing: Effect.fnUntraced(function*(orderId) {
      return {
        reservation: yield* stock.stateOf(orderId),
        parcels: Option.isSome(yield* parcels.parcelOf(orderId)) ? 1 : 0,
        receipts: yield* receipts.countOf(orderId)
      }
    })
  })
})

export const layer: Layer.Layer<Fulfilment, Migrator.MigrationError | SqlError.SqlError, SqlClient.SqlClient> = Layer
  .effect(Fulfilment, make)
