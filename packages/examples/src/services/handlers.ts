/**
 * What the services do: the deeds of `checkout/Stock.ts` and its like, each journalled under the key that it came with.
 */
import { Effect, Layer } from "effect"
import type { Idempotency } from "effect-payments"
import { HttpApiBuilder } from "effect/http-api"
import type { NoAnswer } from "../checkout/Order.ts"
import * as Parcels from "../checkout/Parcels.ts"
import * as Receipts from "../checkout/Receipts.ts"
import * as Sales from "../checkout/Sales.ts"
import * as Stock from "../checkout/Stock.ts"
import * as Api from "./Api.ts"
import { Faults } from "./Faults.ts"
import { Journal, type Operation } from "./Journal.ts"

interface Request<P> {
  readonly payload: P
  readonly headers: { readonly "idempotency-key": Idempotency.Key }
}

/** The handler of an operation. */
const handler = <P extends { readonly orderId: string }, A, E>(
  operation: Operation<A, E>,
  deed: (payload: P) => Effect.Effect<A, E | NoAnswer>
) =>
({ headers, payload }: Request<P>) =>
  Effect.flatMap(Journal, ({ once }) => once(operation, headers["idempotency-key"], payload.orderId, deed(payload)))

const nothing = {}

const admin = (handlers: HttpApiBuilder.Handlers.FromGroup<typeof Api.Admin>) =>
  handlers
    .handle("journal", ({ query }) => Effect.flatMap(Journal, ({ list }) => list(query.order)))
    .handle("operation", ({ params }) => Effect.flatMap(Journal, ({ of }) => of(params.key)))
    .handle("plan", ({ payload }) =>
      Effect.flatMap(Faults, ({ plan }) =>
        Effect.mapError(
          Effect.fromResult(plan(payload.operation, payload.plan)),
          (detail) => new Api.PlanMalformed({ detail })
        )))
    .handle("clear", () => Effect.map(Faults, ({ clear }) => clear()))

const inventory = HttpApiBuilder.layer(Api.Inventory).pipe(
  Layer.provide(
    HttpApiBuilder.group(
      Api.Inventory,
      "operations",
      (handlers) =>
        Effect.map(Stock.make, ({ available, release, reserve, restock, stateOf }) =>
          handlers
            .handle("reserve", handler(Api.reserve, reserve))
            .handle(
              "release",
              handler(Api.release, (line) => Effect.as(release(line), nothing))
            )
            .handle("deliver", ({ payload }) => restock(payload.sku, payload.quantity))
            .handle("available", ({ params }) => Effect.map(available(params.sku), (available) => ({ available })))
            .handle("reservation", ({ params }) => Effect.map(stateOf(params.orderId), (state) => ({ state }))))
    )
  ),
  Layer.provide(HttpApiBuilder.group(Api.Inventory, "admin", admin))
)

const shipping = HttpApiBuilder.layer(Api.Shipping).pipe(
  Layer.provide(HttpApiBuilder.group(
    Api.Shipping,
    "operations",
    (handlers) => Effect.map(Parcels.make, ({ ship }) => handlers.handle("ship", handler(Api.ship, ship)))
  )),
  Layer.provide(HttpApiBuilder.group(Api.Shipping, "admin", admin))
)

const accounting = HttpApiBuilder.layer(Api.Accounting).pipe(
  Layer.provide(
    HttpApiBuilder.group(
      Api.Accounting,
      "operations",
      (handlers) =>
        Effect.map(Sales.make, ({ book, reverse, sums }) =>
          handlers
            .handle("book", handler(Api.book, book))
            .handle(
              "reverse",
              handler(Api.reverse, (sale) => Effect.as(reverse(sale), nothing))
            )
            .handle("sums", () => sums))
    )
  ),
  Layer.provide(HttpApiBuilder.group(Api.Accounting, "admin", admin))
)

const receipts = HttpApiBuilder.layer(Api.Receipts).pipe(
  Layer.provide(
    HttpApiBuilder.group(
      Api.Receipts,
      "operations",
      (handlers) =>
        Effect.map(Receipts.make, (receipts) =>
          handlers.handle(
            "send",
            handler(Api.send, (order) => Effect.as(receipts.send(order), nothing))
          ))
    )
  ),
  Layer.provide(HttpApiBuilder.group(Api.Receipts, "admin", admin))
)

export const routes = { inventory, shipping, accounting, receipts }
