import { describe, expectTypeOf, it } from "@effect/vitest"
import { type Context, Effect } from "effect"
import { Money, Reconciliation } from "effect-payments"

declare const report: Reconciliation.Report
declare const Pager: Context.Service<"Pager", { readonly page: (id: string) => Effect.Effect<void, "engaged"> }>
declare const Archive: Context.Service<"Archive", { readonly replay: (id: string) => Effect.Effect<void, "lost"> }>

describe("Reconciliation", () => {
  it("gives a handler what its kind has", () => {
    Reconciliation.on("MissingGateway", (discrepancy) => {
      expectTypeOf(discrepancy.internal).toEqualTypeOf<Reconciliation.TransactionRecord>()
      expectTypeOf(discrepancy).not.toHaveProperty("gateway")
      return Effect.void
    })
    Reconciliation.on("AmountMismatch", ({ difference }) => {
      expectTypeOf(difference).toEqualTypeOf<Money.Money>()
      return Effect.void
    })
    // @ts-expect-error
    Reconciliation.on("amount_mismatch", () => Effect.void)
  })

  it("collects what handlers fail with and need", () => {
    const handled = Reconciliation.handle(report, [
      Reconciliation.on(
        "MissingGateway",
        ({ transactionId }) => Effect.flatMap(Pager, (pager) => pager.page(transactionId))
      ),
      Reconciliation.on(
        "MissingInternal",
        ({ transactionId }) => Effect.flatMap(Archive, (archive) => archive.replay(transactionId))
      ),
      Reconciliation.on("DateDrift", () => Effect.void)
    ])
    expectTypeOf(handled).toEqualTypeOf<
      Effect.Effect<Reconciliation.Handled<"engaged" | "lost">, never, "Pager" | "Archive">
    >()
    expectTypeOf(Reconciliation.handle(report, [])).toEqualTypeOf<Effect.Effect<Reconciliation.Handled, never, never>>()
  })

  it("has a tolerance in its own currency", () => {
    const ok: Reconciliation.Policy = { tolerance: { USD: Money.makeUnsafe("USD", "0.01") } }
    // @ts-expect-error
    const other: Reconciliation.Policy = { tolerance: { USD: Money.makeUnsafe("EUR", "0.01") } }
    // @ts-expect-error
    const unknown: Reconciliation.Policy = { tolerance: { XYZ: Money.makeUnsafe("USD", "0.01") } }
    expectTypeOf(ok).toEqualTypeOf(other)
    expectTypeOf(ok).toEqualTypeOf(unknown)
  })
})
