/**
 * Amounts of money that cannot be mixed up: a branded decimal together with its currency.
 *
 * It prevents three failures: adding euros to dollars (a type error, since the type parameter is the currency), losing a
 * cent (no floating point anywhere; whatever could round asks how, splitting always sums to the whole), and freezing on
 * hostile input (length and exponent are bounded before any arithmetic, where `"1e10000000"` costs other decimal
 * libraries seconds).
 *
 * Amounts that come from this module stand at exactly the currency's number of fraction digits and have at most 34
 * digits. It knows no exchange rates, and it does not know how a gateway counts: pass its `Exponents`.
 *
 * Read `PaymentError` next; `Currency`, `Ratio` and `MoneyError` are the parts of this one.
 *
 * @since 0.1.0
 */
import * as BigDecimal from "effect/BigDecimal"
import * as Equivalence_ from "effect/Equivalence"
import { dual } from "effect/Function"
import type * as Order from "effect/Order"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as Currency_ from "./Currency.ts"
import * as internal from "./internal/money/amount.ts"
import * as decimal from "./internal/money/decimal.ts"
import * as refusal from "./internal/money/refusal.ts"
import { CurrencyMismatch, type MoneyError, RatioInvalid, WeightsInvalid } from "./MoneyError.ts"
import * as Ratio from "./Ratio.ts"

/**
 * See `Currency`.
 *
 * @category models
 * @since 0.1.0
 */
export type Currency = Currency_.Currency

/**
 * See `Currency`.
 *
 * @category models
 * @since 0.1.0
 */
export const Currency = Currency_.Currency

/**
 * A decimal that is safe to calculate with: at most 34 digits and a scale from -34 to 34. `Amount.make` checks both
 * before anything else, since a `BigDecimal` made elsewhere may hold an exponent that freezes the process.
 *
 * **Gotchas**
 *
 * An amount knows no currency. The functions of this module keep it at the currency's number of fraction digits; one made
 * by hand is brought there, or refused where that would not be exact.
 *
 * @category models
 * @since 0.1.0
 */
export const Amount = internal.Amount

/**
 * See {@link Amount}.
 *
 * @category models
 * @since 0.1.0
 */
export type Amount = typeof Amount.Type

/**
 * An amount in a currency. Plain data: `Equal.equals` compares by value.
 *
 * @category models
 * @since 0.1.0
 */
export interface Money<out C extends Currency = Currency> {
  readonly amount: Amount
  readonly currency: C
}

/**
 * The wire form of money: the amount as plain text with exactly the currency's number of fraction digits when encoded,
 * at most that many when decoded.
 *
 * @category models
 * @since 0.1.0
 */
export interface Encoded {
  readonly amount: string
  readonly currency: string
}

/**
 * Minor-unit digits per currency where a gateway differs from ISO 4217, from 0 to 12.
 *
 * **Example** (Adyen counts pesos of Chile with two digits, escudos of Cape Verde with none)
 *
 * ```ts
 * import { Money } from "effect-payments"
 *
 * const exponents: Money.Exponents = { CLP: 2, CVE: 0 }
 *
 * Money.toMinorUnitsUnsafe(Money.makeUnsafe("CLP", "1000"), exponents) // => 100000n
 * Money.toMinorUnitsUnsafe(Money.makeUnsafe("CVE", "10.00"), exponents) // => 10n
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export type Exponents = { readonly [C in Currency]?: number }

/**
 * Holds for one currency and not for a union of several. Operations on two amounts ask for it, since a type parameter
 * alone would accept `Money<"USD" | "EUR">` on both sides. A generic function passes the demand on.
 *
 * **Example**
 *
 * ```ts
 * import { Money } from "effect-payments"
 *
 * const gross = <C extends Money.Currency>(net: Money.Money<C> & Money.Single<C>, tax: Money.Money<C>) =>
 *   Money.add(net, tax)
 *
 * Money.format(gross(Money.makeUnsafe("EUR", "10.00"), Money.makeUnsafe("EUR", "1.90"))) // => "EUR 11.90"
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export type Single<C extends Currency> = IsUnion<C> extends true
  ? { readonly "the currency is known only at run time: use addChecked, or narrow it by hasCurrency": never }
  : unknown

type IsUnion<C, All = C> = C extends All ? ([All] extends [C] ? false : true) : never

/**
 * What an exchange gave: the amount in the target currency, and the exact rest that rounding left, as a fraction of one
 * minor unit of the target (negative where it was rounded up).
 *
 * @category models
 * @since 0.1.0
 */
export interface Conversion<out C extends Currency = Currency> {
  readonly money: Money<C>
  readonly remainder: Ratio.Ratio
}

/**
 * Money as a schema: `{ amount: "10.00", currency: "USD" }`.
 *
 * **Details**
 *
 * Decoding takes a plain decimal number with at most the currency's fraction digits and at most 40 characters; all else
 * is refused with a message that says why and never repeats the text. Encoding is canonical: equal amounts have equal
 * texts.
 *
 * **Example**
 *
 * ```ts
 * import { Schema } from "effect"
 * import { Money } from "effect-payments"
 *
 * const money = Schema.decodeSync(Money.Money)({ amount: "10", currency: "USD" })
 *
 * Schema.encodeSync(Money.Money)(money) // => { amount: "10.00", currency: "USD" }
 * ```
 *
 * @see {@link of} for a single currency
 * @category schemas
 * @since 0.1.0
 */
export const Money: Schema.Codec<Money, Encoded> = internal.codec(Currency_.codes)

/**
 * The schema {@link Money} for one currency.
 *
 * **Example**
 *
 * ```ts
 * import { Result, Schema } from "effect"
 * import { Money } from "effect-payments"
 *
 * const decode = Schema.decodeUnknownResult(Money.of("USD"))
 *
 * Result.isSuccess(decode({ amount: "10.00", currency: "USD" })) // => true
 * Result.isSuccess(decode({ amount: "10.00", currency: "EUR" })) // => false
 * ```
 *
 * @category schemas
 * @since 0.1.0
 */
export const of = <const C extends Currency>(currency: C): Schema.Codec<Money<C>, Encoded> => internal.codec([currency])

/**
 * Reads an amount: `-?(0|[1-9][0-9]*)([.][0-9]+)?` with at most the currency's fraction digits, at most 40 characters
 * and 34 digits. The length is looked at first, so a hostile text of any size costs the same.
 *
 * **Example**
 *
 * ```ts
 * import { Result } from "effect"
 * import { Money } from "effect-payments"
 *
 * Result.map(Money.parse("USD", "10.5"), Money.format) // => Result.succeed("USD 10.50")
 *
 * const refused = Result.getOrThrow(Result.flip(Money.parse("JPY", "10.5")))
 * refused.message // => "more than the 0 fraction digits of JPY"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const parse: <const C extends Currency>(currency: C, text: string) => Result.Result<Money<C>, MoneyError> =
  internal.read

/**
 * Takes a decimal made elsewhere. Fails with `AmountOutOfRange` where it has more than 34 digits or an exponent beyond
 * 34, which is checked before any arithmetic, and with `TooManyFractionDigits` where it is finer than the currency.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromBigDecimal: <const C extends Currency>(
  currency: C,
  amount: BigDecimal.BigDecimal
) => Result.Result<Money<C>, MoneyError> = internal.check

/**
 * Reads an amount that is written in the program, and throws the `MoneyError` where it is wrong. For everything else
 * there is {@link parse}.
 *
 * **Example**
 *
 * ```ts
 * import { Money } from "effect-payments"
 *
 * Money.format(Money.makeUnsafe("USD", "10.00")) // => "USD 10.00"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeUnsafe = <const C extends Currency>(currency: C, amount: string): Money<C> =>
  Result.getOrThrow(parse(currency, amount))

/**
 * Nothing, in a currency.
 *
 * @category constructors
 * @since 0.1.0
 */
export const zero = <const C extends Currency>(currency: C): Money<C> =>
  internal.unsafe(currency, 0n, internal.digits(currency))

/**
 * Money from an integer of minor units, for a currency that the program names. `exponents` says how a gateway counts.
 *
 * **Gotchas**
 *
 * The result is exact, always: a gateway's `1050` pesos of Chile at two digits are CLP 10.50, which is finer than the
 * currency and so refused by the schema and by {@link allocate}. For integers from outside use
 * {@link fromMinorUnitsChecked}. An exponent that is no integer from 0 to 12 is a defect.
 *
 * **Example**
 *
 * ```ts
 * import { Money } from "effect-payments"
 *
 * Money.format(Money.fromMinorUnits("USD", 1050n)) // => "USD 10.50"
 * Money.format(Money.fromMinorUnits("ISK", 1000n, { ISK: 2 })) // => "ISK 10"
 * ```
 *
 * @category minor units
 * @since 0.1.0
 */
export const fromMinorUnits = <const C extends Currency>(
  currency: C,
  minor: bigint,
  exponents?: Exponents
): Money<C> => {
  const scale = Result.getOrThrow(internal.gatewayDigits(currency, exponents))
  const digits = internal.digits(currency)
  const exact = decimal.rescale(minor, scale, digits)
  return exact === undefined ? internal.unsafe(currency, minor, scale) : internal.unsafe(currency, exact, digits)
}

/**
 * Money from minor units and a code that come from outside, such as a gateway's answer. Fails with `UnknownCurrency`,
 * `NoMinorUnit`, `NotRepresentable` (finer than the currency), `AmountOutOfRange` (more than 34 digits) and
 * `ExponentInvalid`.
 *
 * **Example**
 *
 * ```ts
 * import { Result } from "effect"
 * import { Money } from "effect-payments"
 *
 * Result.map(Money.fromMinorUnitsChecked("KWD", 1500n), Money.format) // => Result.succeed("KWD 1.500")
 * Result.isFailure(Money.fromMinorUnitsChecked("CLP", 1050n, { CLP: 2 })) // => true
 * ```
 *
 * @category minor units
 * @since 0.1.0
 */
export const fromMinorUnitsChecked = (
  code: string,
  minor: bigint,
  exponents?: Exponents
): Result.Result<Money, MoneyError> =>
  Result.gen(function*() {
    const currency = yield* Currency_.fromCode(code)
    const scale = yield* internal.gatewayDigits(currency, exponents)
    if (!decimal.isInRange(minor)) return yield* internal.outOfRange()
    const digits = internal.digits(currency)
    const exact = yield* internal.rescale(currency, minor, scale, digits)
    return yield* internal.inRange(currency, exact, digits)
  })

/**
 * The integer of minor units, by ISO 4217 or by what a gateway states. Fails with `NotRepresentable` where the amount is
 * finer than the gateway can count; nothing is ever rounded here.
 *
 * **Example**
 *
 * ```ts
 * import { Result } from "effect"
 * import { Money } from "effect-payments"
 *
 * Money.toMinorUnits(Money.makeUnsafe("USD", "10.50")) // => Result.succeed(1050n)
 * Money.toMinorUnits(Money.makeUnsafe("UGX", "500"), { UGX: 2 }) // => Result.succeed(50000n)
 * Result.isFailure(Money.toMinorUnits(Money.makeUnsafe("HUF", "10.50"), { HUF: 0 })) // => true
 * ```
 *
 * @category minor units
 * @since 0.1.0
 */
export const toMinorUnits = (money: Money, exponents?: Exponents): Result.Result<bigint, MoneyError> =>
  Result.flatMap(internal.gatewayDigits(money.currency, exponents), (digits) => internal.scaledTo(money, digits))

/**
 * {@link toMinorUnits} that throws the `MoneyError`.
 *
 * @category minor units
 * @since 0.1.0
 */
export const toMinorUnitsUnsafe = (money: Money, exponents?: Exponents): bigint =>
  Result.getOrThrow(toMinorUnits(money, exponents))

/**
 * Adds two amounts of one currency. Two currencies do not compile, nor does a currency known only at run time: for that
 * there is {@link addChecked}.
 *
 * **Example**
 *
 * ```ts
 * import { pipe } from "effect"
 * import { Money } from "effect-payments"
 *
 * const total = pipe(Money.makeUnsafe("USD", "0.10"), Money.add(Money.makeUnsafe("USD", "0.20")))
 *
 * Money.format(total) // => "USD 0.30"
 * ```
 *
 * @category math
 * @since 0.1.0
 */
export const add: {
  <C extends Currency>(that: Money<C> & Single<C>): (self: Money<NoInfer<C>>) => Money<C>
  <C extends Currency>(self: Money<C> & Single<C>, that: Money<NoInfer<C>>): Money<C>
} = dual(2, (self: Money, that: Money): Money => {
  const a = self.amount
  const b = that.amount
  if (self.currency !== that.currency) return mismatched(self, that)
  return a.scale === b.scale
    ? internal.unsafe(self.currency, a.value + b.value, a.scale)
    : internal.sum(self.currency, a, b)
})

/**
 * Subtracts an amount of the same currency.
 *
 * @see {@link subtractChecked} for currencies known only at run time
 * @category math
 * @since 0.1.0
 */
export const subtract: {
  <C extends Currency>(that: Money<C> & Single<C>): (self: Money<NoInfer<C>>) => Money<C>
  <C extends Currency>(self: Money<C> & Single<C>, that: Money<NoInfer<C>>): Money<C>
} = dual(2, (self: Money, that: Money): Money => add(self as Money<"USD">, negate(that) as Money<"USD">))

/**
 * Adds two amounts whose currencies are known only at run time.
 *
 * **Example**
 *
 * ```ts
 * import { Result } from "effect"
 * import { Money } from "effect-payments"
 *
 * const paid: Money.Money = Money.makeUnsafe("USD", "10.00")
 * const tip: Money.Money = Money.makeUnsafe("EUR", "1.00")
 *
 * Result.isFailure(Money.addChecked(paid, tip)) // => true
 * ```
 *
 * @category math
 * @since 0.1.0
 */
export const addChecked: {
  (that: Money): <C extends Currency>(self: Money<C>) => Result.Result<Money<C>, CurrencyMismatch>
  <C extends Currency>(self: Money<C>, that: Money): Result.Result<Money<C>, CurrencyMismatch>
} = dual(2, (self: Money, that: Money): Result.Result<Money, CurrencyMismatch> =>
  self.currency === that.currency
    ? Result.succeed(add(self as Money<"USD">, that as Money<"USD">))
    : Result.fail(mismatch(self, that)))

/**
 * Subtracts an amount whose currency is known only at run time.
 *
 * @category math
 * @since 0.1.0
 */
export const subtractChecked: {
  (that: Money): <C extends Currency>(self: Money<C>) => Result.Result<Money<C>, CurrencyMismatch>
  <C extends Currency>(self: Money<C>, that: Money): Result.Result<Money<C>, CurrencyMismatch>
} = dual(2, (self: Money, that: Money): Result.Result<Money, CurrencyMismatch> => addChecked(self, negate(that)))

/**
 * Turns the sign. Zero has none.
 *
 * @category math
 * @since 0.1.0
 */
export const negate = <C extends Currency>(self: Money<C>): Money<C> =>
  internal.unsafe(self.currency, -self.amount.value, self.amount.scale)

/**
 * The amount without its sign.
 *
 * @category math
 * @since 0.1.0
 */
export const abs = <C extends Currency>(self: Money<C>): Money<C> => isNegative(self) ? negate(self) : self

/**
 * Adds up any number of amounts of one currency; none is zero.
 *
 * **Example**
 *
 * ```ts
 * import { Money } from "effect-payments"
 *
 * Money.format(Money.sum("EUR", [Money.makeUnsafe("EUR", "1.10"), Money.makeUnsafe("EUR", "2.20")])) // => "EUR 3.30"
 * ```
 *
 * @category math
 * @since 0.1.0
 */
export const sum = <const C extends Currency>(
  currency: C & Single<C>,
  items: Iterable<Money<NoInfer<C>>>
): Money<C> => {
  let total: Money = zero(currency)
  for (const item of items) total = add(total as Money<"USD">, item as Money as Money<"USD">)
  return total as Money<C>
}

/**
 * Multiplies by a ratio and rounds to the currency's minor unit. Fails with the reasons of `Ratio.make` and with
 * `AmountOutOfRange`.
 *
 * **Example** (a fee of 2.9 %)
 *
 * ```ts
 * import { Result } from "effect"
 * import { Money } from "effect-payments"
 *
 * const fee = Money.multiply(Money.makeUnsafe("USD", "12.50"), { by: "0.029", rounding: "half-even" })
 *
 * Result.map(fee, Money.format) // => Result.succeed("USD 0.36")
 * ```
 *
 * @category math
 * @since 0.1.0
 */
export const multiply: {
  (options: Multiplication): <C extends Currency>(self: Money<C>) => Result.Result<Money<C>, MoneyError>
  <C extends Currency>(self: Money<C>, options: Multiplication): Result.Result<Money<C>, MoneyError>
} = dual(2, <C extends Currency>(self: Money<C>, options: Multiplication): Result.Result<Money<C>, MoneyError> => {
  const ratio = Ratio.make(options.by)
  if (Result.isFailure(ratio)) return Result.fail(ratio.failure)
  const digits = internal.digits(self.currency)
  const exact = internal.product(self.amount, ratio.success, digits)
  return internal.inRange(self.currency, decimal.divide(exact.numerator, exact.denominator, options.rounding), digits)
})

/**
 * Splits an amount by weights so that the parts sum to it exactly: each part is cut to the minor unit, and the units that
 * are left go to the largest remainders, earlier parts first. A weight of zero gets nothing; a negative amount is split
 * as its positive and the signs turned.
 *
 * **Details**
 *
 * At most 10 000 weights of at most 34 digits. Fails with `WeightsInvalid` (none, all zero, a negative one, too many) and
 * with `NotRepresentable` where an amount made by hand is finer than the currency.
 *
 * **Example**
 *
 * ```ts
 * import { Result } from "effect"
 * import { Money } from "effect-payments"
 *
 * const parts = Result.getOrThrow(Money.allocate(Money.makeUnsafe("USD", "10.03"), [50n, 30n, 20n]))
 *
 * parts.map(Money.format) // => ["USD 5.01", "USD 3.01", "USD 2.01"]
 * ```
 *
 * @category math
 * @since 0.1.0
 */
export const allocate: {
  <const W extends ReadonlyArray<bigint>>(
    weights: W
  ): <C extends Currency>(self: Money<C>) => Result.Result<Parts<C, W>, MoneyError>
  <C extends Currency, const W extends ReadonlyArray<bigint>>(
    self: Money<C>,
    weights: W
  ): Result.Result<Parts<C, W>, MoneyError>
} = dual(2, (self: Money, weights: ReadonlyArray<bigint>): Result.Result<ReadonlyArray<Money>, MoneyError> => {
  const total = weightSum(weights)
  if (typeof total !== "bigint") return refusal.fail(new WeightsInvalid({ fault: total }))
  const digits = internal.digits(self.currency)
  const whole = internal.scaledTo(self, digits)
  if (Result.isFailure(whole)) return Result.fail(whole.failure)
  return Result.succeed(
    decimal.allocate(whole.success, weights, total).map((part) => internal.unsafe(self.currency, part, digits))
  )
})

/**
 * Exchanges at a rate of units of `to` per unit of the amount's currency, rounded to the minor unit of `to`, and answers
 * the rest that rounding left. Fails with the reasons of `Ratio.make`, with `RatioInvalid` where the rate is not
 * positive, and with `AmountOutOfRange`.
 *
 * **Example**
 *
 * ```ts
 * import { Result } from "effect"
 * import { Money } from "effect-payments"
 *
 * const { money, remainder } = Result.getOrThrow(
 *   Money.convert(Money.makeUnsafe("USD", "10.00"), { to: "JPY", rate: "151.237", rounding: "floor" })
 * )
 *
 * Money.format(money) // => "JPY 1512"
 * remainder // => { numerator: 37000n, denominator: 100000n }
 * ```
 *
 * @category math
 * @since 0.1.0
 */
export const convert: {
  <const C extends Currency>(
    options: Exchange<C>
  ): (self: Money) => Result.Result<Conversion<C>, MoneyError>
  <const C extends Currency>(self: Money, options: Exchange<C>): Result.Result<Conversion<C>, MoneyError>
} = dual(2, <C extends Currency>(self: Money, options: Exchange<C>): Result.Result<Conversion<C>, MoneyError> => {
  const rate = Ratio.make(options.rate)
  if (Result.isFailure(rate)) return Result.fail(rate.failure)
  if (rate.success.numerator <= 0n) return refusal.fail(new RatioInvalid({ fault: "NotPositive" }))
  const digits = internal.digits(options.to)
  const { denominator, numerator } = internal.product(self.amount, rate.success, digits)
  const rounded = decimal.divide(numerator, denominator, options.rounding)
  return Result.map(internal.inRange(options.to, rounded, digits), (money) => ({
    money,
    remainder: { numerator: numerator - rounded * denominator, denominator }
  }))
})

/**
 * What {@link multiply} needs: the ratio and how to round.
 *
 * @category models
 * @since 0.1.0
 */
export interface Multiplication {
  readonly by: Ratio.Input
  readonly rounding: Ratio.Rounding
}

/**
 * What {@link convert} needs: the target, the units of it per unit of the source, and how to round.
 *
 * @category models
 * @since 0.1.0
 */
export interface Exchange<out C extends Currency> {
  readonly to: C
  readonly rate: Ratio.Input
  readonly rounding: Ratio.Rounding
}

/**
 * As many amounts as there are weights.
 *
 * @category models
 * @since 0.1.0
 */
export type Parts<C extends Currency, W extends ReadonlyArray<bigint>> = { readonly [K in keyof W]: Money<C> }

/**
 * -1, 0 or 1 for two amounts of one currency.
 *
 * @category comparisons
 * @since 0.1.0
 */
export const compare: {
  <C extends Currency>(that: Money<C> & Single<C>): (self: Money<NoInfer<C>>) => -1 | 0 | 1
  <C extends Currency>(self: Money<C> & Single<C>, that: Money<NoInfer<C>>): -1 | 0 | 1
} = dual(2, (self: Money, that: Money): -1 | 0 | 1 => {
  if (self.currency !== that.currency) return mismatched(self, that)
  return self.amount.scale === that.amount.scale
    ? decimal.compare(self.amount.value, that.amount.value)
    : BigDecimal.Order(self.amount, that.amount)
})

/**
 * The order of amounts of one currency, for sorting.
 *
 * **Example**
 *
 * ```ts
 * import { Array } from "effect"
 * import { Money } from "effect-payments"
 *
 * const prices = [Money.makeUnsafe("USD", "2.00"), Money.makeUnsafe("USD", "1.00")]
 *
 * Array.sort(prices, Money.order("USD")).map(Money.format) // => ["USD 1.00", "USD 2.00"]
 * ```
 *
 * @category comparisons
 * @since 0.1.0
 */
export const order = <const C extends Currency>(_currency: C & Single<C>): Order.Order<Money<C>> =>
  compare as Order.Order<Money>

/**
 * Same currency and same value. Amounts of different currencies are never equivalent.
 *
 * @category comparisons
 * @since 0.1.0
 */
export const Equivalence: Equivalence_.Equivalence<Money> = Equivalence_.make((self, that) =>
  self.currency === that.currency && BigDecimal.equals(self.amount, that.amount)
)

/**
 * The smaller amount; the first where they are equal.
 *
 * @category comparisons
 * @since 0.1.0
 */
export const min: {
  <C extends Currency>(that: Money<C> & Single<C>): (self: Money<NoInfer<C>>) => Money<C>
  <C extends Currency>(self: Money<C> & Single<C>, that: Money<NoInfer<C>>): Money<C>
} = dual(2, (self: Money, that: Money): Money => compare(self as Money<"USD">, that as Money<"USD">) <= 0 ? self : that)

/**
 * The greater amount; the first where they are equal.
 *
 * @category comparisons
 * @since 0.1.0
 */
export const max: {
  <C extends Currency>(that: Money<C> & Single<C>): (self: Money<NoInfer<C>>) => Money<C>
  <C extends Currency>(self: Money<C> & Single<C>, that: Money<NoInfer<C>>): Money<C>
} = dual(2, (self: Money, that: Money): Money => compare(self as Money<"USD">, that as Money<"USD">) >= 0 ? self : that)

/**
 * Whether the currency is this one, which the type then knows too.
 *
 * @category predicates
 * @since 0.1.0
 */
export const hasCurrency: {
  <const C extends Currency>(currency: C): (self: Money) => self is Money<C>
  <const C extends Currency>(self: Money, currency: C): self is Money<C>
} = dual(2, <C extends Currency>(self: Money, currency: C): self is Money<C> => self.currency === currency)

/**
 * Exactly nothing.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isZero = (self: Money): boolean => self.amount.value === 0n

/**
 * Greater than zero.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isPositive = (self: Money): boolean => self.amount.value > 0n

/**
 * Less than zero.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isNegative = (self: Money): boolean => self.amount.value < 0n

/**
 * The code and the amount, the same in every locale: `"USD 10.00"`. For a reader's language use `Intl` on
 * {@link formatAmount}.
 *
 * @category formatting
 * @since 0.1.0
 */
export const format = (self: Money): string => `${self.currency} ${internal.text(self)}`

/**
 * The canonical text of the amount: exactly the currency's number of fraction digits, no grouping, a point.
 *
 * **Example**
 *
 * ```ts
 * import { Money } from "effect-payments"
 *
 * Money.formatAmount(Money.makeUnsafe("KWD", "-0.5")) // => "-0.500"
 * ```
 *
 * @category formatting
 * @since 0.1.0
 */
export const formatAmount: (self: Money) => string = internal.text

const weightsMax = 10_000

const weightSum = (weights: ReadonlyArray<bigint>): bigint | WeightsInvalid["fault"] => {
  if (weights.length === 0) return "Empty"
  if (weights.length > weightsMax) return "TooMany"
  let total = 0n
  for (const weight of weights) {
    if (weight < 0n) return "Negative"
    if (!decimal.isInRange(weight)) return "TooManyDigits"
    total += weight
  }
  return total === 0n ? "AllZero" : total
}

const mismatch = (self: Money, that: Money): CurrencyMismatch =>
  new CurrencyMismatch({ expected: self.currency, actual: that.currency })

/** Reached only past the types, by a cast: a defect, since a sum of two currencies would be worse. */
const mismatched = (self: Money, that: Money): never => Result.getOrThrow(Result.fail(mismatch(self, that)))
