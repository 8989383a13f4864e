/**
 * The book of sales, as the checkout sees it: in `services` a process of its own, in {@link layer} a table of the shop.
 */
import { Context, Effect, Layer } from "effect"
import { type Idempotency, PaymentGateway, Saga } from "effect-payments"
import type { Migrator, SqlClient, SqlError } from "effect/sql"
import type { Silence } from "./Fulfilment.ts"
import { type Order, SaleReversed } from "./Order.ts"
import * as Sales from "./Sales.ts"

type Entry = typeof Sales.Entry.Type
type Call<A, E = never> = Effect.Effect<A, E | Silence, Idempotency.Claim>

export class Accounting extends Context.Service<Accounting, {
  readonly book: (order: Order) => Call<Entry, SaleReversed>
  /** What became of the `book` of this step. */
  readonly booked: (order: Order, doubt: Saga.Doubt) => Call<Saga.Verdict<Entry, SaleReversed>>
  /** An entry against the sale. A sale that has not arrived is refused when it does. */
  readonly reverse: (order: Order) => Call<void>
  readonly sums: Effect.Effect<ReadonlyArray<Sales.Sum>, Silence>
}>()("@effect-payments/examples/Accounting") {}

export const layer: Layer.Layer<Accounting, Migrator.MigrationError | SqlError.SqlError, SqlClient.SqlClient> = Layer
  .effect(
    Accounting,
    Effect.map(Sales.make, (sales) =>
      Accounting.of({
        ...sales,
        booked: Effect.fnUntraced(function*({ orderId }) {
          const kinds = yield* sales.kindsOf(orderId)
          return kinds.includes("reversal")
            ? PaymentGateway.refused(new SaleReversed({ orderId }))
            : kinds.includes("sale")
            ? PaymentGateway.happened({ entry: `sale-${orderId}` })
            : Saga.notSeen
        })
      }))
  )
