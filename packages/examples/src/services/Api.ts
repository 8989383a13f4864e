/**
 * The services of the shop as `HttpApi`s: what servers implement and clients call, from one definition.
 *
 * | service | operations, `POST` with an `Idempotency-Key` | reads |
 * |---|---|---|
 * | inventory | `/reserve`, `/release` | `GET /stock/:sku`, `GET /reservations/:orderId` |
 * | shipping | `/ship` | |
 * | accounting | `/book`, `/reverse` | `GET /sums` |
 * | receipts | `/send` | |
 *
 * Each also has `GET /journal`, `GET /operations/:key` (null for a key that it has not seen), `POST /faults` and
 * `DELETE /faults`. The inventory takes deliveries by `POST /deliveries`.
 */
import { Schema } from "effect"
import { IdempotencyKey } from "effect-payments/http"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema } from "effect/http-api"
import {
  DeliveryRefused,
  NoAnswer,
  Order,
  OrderId,
  OutOfStock,
  ReservationClosed,
  SaleReversed,
  Unavailable
} from "../checkout/Order.ts"
import { Parcel } from "../checkout/Parcels.ts"
import { Entry as SaleEntry, Sale, Sum } from "../checkout/Sales.ts"
import { Reservation } from "../checkout/Stock.ts"
import { Entry, type Operation } from "./Journal.ts"

/** The step's key is required, and known again. */
export class StepKey extends IdempotencyKey.Service<StepKey>()("@effect-payments/examples/StepKey") {}

const silence = [NoAnswer.pipe(HttpApiSchema.status(500)), Unavailable.pipe(HttpApiSchema.status(503))] as const

const Nothing = Schema.Struct({})
const never = Schema.Never as Schema.Codec<never, Schema.Json>
const { email, orderId, quantity, shipTo, sku } = Order.fields

// --- what all have

const Planned = Schema.Struct({
  operation: Schema.String.check(Schema.isPattern(/^[a-z]{1,32}$/)),
  plan: Schema.String.check(Schema.isBetweenLength(1, 512))
})

export class PlanMalformed extends Schema.TaggedError<PlanMalformed>()("PlanMalformed", { detail: Schema.String }) {}

const StepKeyText = Schema.String.check(Schema.isPattern(/^[\x21-\x7e]{1,255}$/))

export const Admin = HttpApiGroup.make("admin").add(
  HttpApiEndpoint.get("journal", "/journal", {
    query: { order: Schema.optionalKey(OrderId) },
    success: Schema.Array(Entry),
    error: silence
  }),
  HttpApiEndpoint.get("operation", "/operations/:key", {
    params: { key: StepKeyText },
    success: Schema.NullOr(Entry),
    error: silence
  }),
  HttpApiEndpoint.post("plan", "/faults", {
    payload: Planned,
    success: HttpApiSchema.NoContent,
    error: PlanMalformed.pipe(HttpApiSchema.status(400))
  }),
  HttpApiEndpoint.delete("clear", "/faults", { success: HttpApiSchema.NoContent })
)

const headers = { "idempotency-key": IdempotencyKey.KeyFromHeader }

// --- inventory

const Line = Schema.Struct({ orderId, sku, quantity })

export const reserve: Operation<typeof Reservation.Type, OutOfStock | ReservationClosed> = {
  name: "reserve",
  success: Reservation,
  refusal: Schema.Union([OutOfStock, ReservationClosed]),
  refuse: () => new OutOfStock({ sku: "by order of a test" })
}
export const release: Operation<typeof Nothing.Type, never> = { name: "release", success: Nothing, refusal: never }

export const Inventory = HttpApi.make("inventory").add(
  HttpApiGroup.make("operations").add(
    HttpApiEndpoint.post("reserve", "/reserve", {
      headers,
      payload: Line,
      success: Reservation,
      error: [
        OutOfStock.pipe(HttpApiSchema.status(409)),
        ReservationClosed.pipe(HttpApiSchema.status(409)),
        ...silence
      ]
    }).middleware(StepKey),
    HttpApiEndpoint.post("release", "/release", { headers, payload: Line, success: Nothing, error: silence })
      .middleware(StepKey),
    HttpApiEndpoint.post("deliver", "/deliveries", {
      payload: Schema.Struct({ sku, quantity: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000 })) }),
      success: HttpApiSchema.NoContent,
      error: silence
    }),
    HttpApiEndpoint.get("available", "/stock/:sku", {
      params: { sku },
      success: Schema.Struct({ available: Schema.Int }),
      error: silence
    }),
    HttpApiEndpoint.get("reservation", "/reservations/:orderId", {
      params: { orderId },
      success: Schema.Struct({ state: Schema.Literals(["none", "held", "released"]) }),
      error: silence
    })
  ),
  Admin
)

// --- shipping

export const ship: Operation<typeof Parcel.Type, DeliveryRefused> = {
  name: "ship",
  success: Parcel,
  refusal: DeliveryRefused,
  refuse: () => new DeliveryRefused({ shipTo: "an address of this order" })
}

export const Shipping = HttpApi.make("shipping").add(
  HttpApiGroup.make("operations").add(
    HttpApiEndpoint.post("ship", "/ship", {
      headers,
      payload: Schema.Struct({ orderId, shipTo }),
      success: Parcel,
      error: [DeliveryRefused.pipe(HttpApiSchema.status(409)), ...silence]
    }).middleware(StepKey)
  ),
  Admin
)

// --- accounting

export const book: Operation<typeof SaleEntry.Type, SaleReversed> = {
  name: "book",
  success: SaleEntry,
  refusal: SaleReversed,
  refuse: (orderId) => new SaleReversed({ orderId })
}
export const reverse: Operation<typeof Nothing.Type, never> = { name: "reverse", success: Nothing, refusal: never }

export const Accounting = HttpApi.make("accounting").add(
  HttpApiGroup.make("operations").add(
    HttpApiEndpoint.post("book", "/book", {
      headers,
      payload: Sale,
      success: SaleEntry,
      error: [SaleReversed.pipe(HttpApiSchema.status(409)), ...silence]
    }).middleware(StepKey),
    HttpApiEndpoint.post("reverse", "/reverse", { headers, payload: Sale, success: Nothing, error: silence })
      .middleware(StepKey),
    HttpApiEndpoint.get("sums", "/sums", {
      success: Schema.Array(Sum),
      error: silence
    })
  ),
  Admin
)

// --- receipts

export const send: Operation<typeof Nothing.Type, never> = { name: "send", success: Nothing, refusal: never }

export const Receipts = HttpApi.make("receipts").add(
  HttpApiGroup.make("operations").add(
    HttpApiEndpoint.post("send", "/send", {
      headers,
      payload: Schema.Struct({ orderId, email }),
      success: Nothing,
      error: silence
    }).middleware(StepKey)
  ),
  Admin
)
