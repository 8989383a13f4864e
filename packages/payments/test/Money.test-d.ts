import { describe, expectTypeOf, it } from "@effect/vitest"
import { pipe, type Result, type Schema } from "effect"
import { Money, type MoneyError } from "effect-payments"

declare const usd: Money.Money<"USD">
declare const eur: Money.Money<"EUR">
declare const either: Money.Money<"USD" | "EUR">
declare const oneOf: Money.Money<"USD"> | Money.Money<"EUR">
declare const unknown: Money.Money

describe("Money", () => {
  it("keeps the currency in the type", () => {
    expectTypeOf(Money.makeUnsafe("USD", "1.00")).toEqualTypeOf<Money.Money<"USD">>()
    expectTypeOf(Money.parse("USD", "1.00")).toEqualTypeOf<Result.Result<Money.Money<"USD">, MoneyError.MoneyError>>()
    expectTypeOf(Money.fromMinorUnits("JPY", 1n)).toEqualTypeOf<Money.Money<"JPY">>()
    expectTypeOf(Money.zero("KWD")).toEqualTypeOf<Money.Money<"KWD">>()
    expectTypeOf(Money.of("USD")).toEqualTypeOf<Schema.Codec<Money.Money<"USD">, Money.Encoded>>()
    expectTypeOf(Money.add(usd, usd)).toEqualTypeOf<Money.Money<"USD">>()
    expectTypeOf(pipe(usd, Money.add(usd))).toEqualTypeOf<Money.Money<"USD">>()
    expectTypeOf(Money.negate(usd)).toEqualTypeOf<Money.Money<"USD">>()
    expectTypeOf(Money.sum("USD", [usd, usd])).toEqualTypeOf<Money.Money<"USD">>()
    expectTypeOf(Money.max(usd, usd)).toEqualTypeOf<Money.Money<"USD">>()
    expectTypeOf<Money.Money<"USD">>().toExtend<Money.Money>()
  })

  it("refuses two currencies", () => {
    // @ts-expect-error
    Money.add(usd, eur)
    // @ts-expect-error
    pipe(usd, Money.add(eur))
    // @ts-expect-error
    Money.subtract(usd, eur)
    // @ts-expect-error
    pipe(usd, Money.subtract(eur))
    // @ts-expect-error
    Money.compare(usd, eur)
    // @ts-expect-error
    pipe(usd, Money.compare(eur))
    // @ts-expect-error
    Money.min(usd, eur)
    // @ts-expect-error
    Money.max(usd, eur)
    // @ts-expect-error
    Money.sum("USD", [usd, eur])
    // @ts-expect-error
    Money.order("USD")(usd, eur)
  })

  it("refuses currencies known only at run time", () => {
    // @ts-expect-error
    Money.add(either, either)
    // @ts-expect-error
    Money.add(oneOf, oneOf)
    // @ts-expect-error
    Money.add(oneOf, usd)
    // @ts-expect-error
    Money.add(usd, oneOf)
    // @ts-expect-error
    Money.add(unknown, unknown)
    // @ts-expect-error
    Money.add(unknown, usd)
    // @ts-expect-error
    pipe(either, Money.add(either))
    // @ts-expect-error
    pipe(usd, Money.add(either))
    // @ts-expect-error
    Money.compare(either, either)
    // @ts-expect-error
    Money.min(unknown, unknown)
    // @ts-expect-error
    Money.sum("USD" as "USD" | "EUR", [either])
    // @ts-expect-error
    Money.order("USD" as Money.Currency)
  })

  it("does not let a generic function mix currencies", () => {
    const passesOn = <C extends Money.Currency>(a: Money.Money<C> & Money.Single<C>, b: Money.Money<C>) =>
      Money.add(a, b)
    expectTypeOf(passesOn(usd, usd)).toEqualTypeOf<Money.Money<"USD">>()
    // @ts-expect-error
    passesOn(either, usd)
    const forgets = <C extends Money.Currency>(a: Money.Money<C>, b: Money.Money<C>) => {
      // @ts-expect-error
      Money.add(a, b)
    }
    expectTypeOf(forgets).toBeFunction()
    const two = <A extends Money.Currency, B extends Money.Currency>(
      a: Money.Money<A> & Money.Single<A>,
      b: Money.Money<B>
    ) => {
      // @ts-expect-error
      Money.add(a, b)
    }
    expectTypeOf(two).toBeFunction()
  })

  it("answers a mismatch where the currency is known only at run time", () => {
    expectTypeOf(Money.addChecked(either, unknown))
      .toEqualTypeOf<Result.Result<Money.Money<"USD" | "EUR">, MoneyError.CurrencyMismatch>>()
    expectTypeOf(pipe(usd, Money.subtractChecked(unknown)))
      .toEqualTypeOf<Result.Result<Money.Money<"USD">, MoneyError.CurrencyMismatch>>()
    if (Money.hasCurrency(unknown, "USD")) expectTypeOf(Money.add(unknown, usd)).toEqualTypeOf<Money.Money<"USD">>()
  })

  it("asks for the rounding, and never for a number", () => {
    // @ts-expect-error
    Money.multiply(usd, { by: "0.029" })
    // @ts-expect-error
    Money.multiply(usd, { by: 0.029, rounding: "half-even" })
    // @ts-expect-error
    Money.multiply(usd, { by: "0.029", rounding: "up" })
    // @ts-expect-error
    Money.convert(usd, { to: "EUR", rate: "0.9" })
    // @ts-expect-error
    Money.makeUnsafe("USD", 10)
    // @ts-expect-error
    Money.fromMinorUnits("USD", 10)
    // @ts-expect-error
    Money.allocate(usd, [1, 2])
  })

  it("knows the target of an exchange and the number of parts", () => {
    expectTypeOf(Money.convert(usd, { to: "EUR", rate: "0.9", rounding: "half-even" }))
      .toEqualTypeOf<Result.Result<Money.Conversion<"EUR">, MoneyError.MoneyError>>()
    expectTypeOf(Money.allocate(usd, [1n, 2n])).toEqualTypeOf<
      Result.Result<readonly [Money.Money<"USD">, Money.Money<"USD">], MoneyError.MoneyError>
    >()
    expectTypeOf(Money.allocate(usd, [1n, 2n] as ReadonlyArray<bigint>)).toEqualTypeOf<
      Result.Result<ReadonlyArray<Money.Money<"USD">>, MoneyError.MoneyError>
    >()
  })

  it("has no currency without a minor unit, and no plain decimal as an amount", () => {
    // @ts-expect-error
    Money.makeUnsafe("XAU", "1")
    // @ts-expect-error
    Money.makeUnsafe("usd", "1")
    // @ts-expect-error
    Money.add({ amount: 10n, currency: "USD" }, usd)
  })
})
