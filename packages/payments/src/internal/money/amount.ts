/** Money values: their invariant, how they are read and written, and how they meet schemas. */
import * as BigDecimal from "effect/BigDecimal"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as SchemaAST from "effect/SchemaAST"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"
import type { Currency } from "../../Currency.ts"
import type { Encoded, Exponents, Money } from "../../Money.ts"
import {
  AmountOutOfRange,
  ExponentInvalid,
  type MoneyError,
  NotRepresentable,
  TooManyFractionDigits
} from "../../MoneyError.ts"
import type { Ratio } from "../../Ratio.ts"
import { digitsOf } from "./currencies.ts"
import * as decimal from "./decimal.ts"
import * as refusal from "./refusal.ts"

/** Looks at the scale and the number of digits alone: no arithmetic, whatever the exponent. */
const isBounded = (u: unknown): u is BigDecimal.BigDecimal =>
  BigDecimal.isBigDecimal(u) && u.scale <= decimal.scaleMax && u.scale >= -decimal.scaleMax &&
  decimal.isInRange(u.value)

/** The caller vouches for digits and bound. */
export const unsafe = <C extends Currency>(currency: C, scaled: bigint, digits: number): Money<C> => ({
  amount: BigDecimal.make(scaled, digits) as Money["amount"],
  currency
})

/** Digits of a currency that the types vouch for. */
export const digits = (currency: Currency): number => digitsOf(currency) ?? 0

/** Reads a text in a code that is perhaps no currency. */
export const read = <C extends Currency>(
  code: C | (string & {}),
  text: string
): Result.Result<Money<C>, MoneyError> => {
  const digits = digitsOf(code)
  if (digits === undefined) return Result.fail(refusal.currency(code))
  const scaled = decimal.readScaled(text, digits)
  return typeof scaled === "bigint"
    ? Result.succeed(unsafe(code as C, scaled, digits))
    : Result.fail(refusal.amount(scaled, code, digits))
}

/** Brings a decimal made elsewhere to the digits of the currency. */
export const check = <C extends Currency>(
  currency: C,
  amount: BigDecimal.BigDecimal
): Result.Result<Money<C>, MoneyError> => {
  if (!isBounded(amount)) return outOfRange()
  const digitsMax = digits(currency)
  const scaled = decimal.rescale(amount.value, amount.scale, digitsMax)
  return scaled === undefined
    ? refusal.fail(new TooManyFractionDigits({ currency, digitsMax }))
    : inRange(currency, scaled, digitsMax)
}

/** Money, unless it has too many digits. */
export const inRange = <C extends Currency>(
  currency: C,
  scaled: bigint,
  digits: number
): Result.Result<Money<C>, MoneyError> =>
  decimal.isInRange(scaled) ? Result.succeed(unsafe(currency, scaled, digits)) : outOfRange()

export const outOfRange = (): Result.Result<never, MoneyError> =>
  refusal.fail(new AmountOutOfRange({ digitsMax: decimal.digitsMax }))

/** The digits that a gateway counts in: its own where it states them, else those of ISO 4217. */
export const gatewayDigits = (
  currency: Currency,
  exponents: Exponents | undefined
): Result.Result<number, MoneyError> => {
  const own = exponents?.[currency]
  if (own === undefined) return Result.succeed(digits(currency))
  return Number.isInteger(own) && own >= 0 && own <= decimal.exponentMax
    ? Result.succeed(own)
    : refusal.fail(new ExponentInvalid({ currency, limit: decimal.exponentMax }))
}

/** The amount in units of 10^-digits, if that is exact. */
export const scaledTo = (money: Money, digits: number): Result.Result<bigint, MoneyError> =>
  rescale(money.currency, money.amount.value, money.amount.scale, digits)

/** From units of 10^-scale to units of 10^-digits, if that is exact. */
export const rescale = (
  currency: Currency,
  value: bigint,
  scale: number,
  digits: number
): Result.Result<bigint, MoneyError> => {
  const scaled = decimal.rescale(value, scale, digits)
  return scaled === undefined ? refusal.fail(new NotRepresentable({ currency, digits })) : Result.succeed(scaled)
}

/** Adds amounts of different scales, as only amounts made by hand have. */
export const sum = <C extends Currency>(currency: C, a: Money["amount"], b: Money["amount"]): Money<C> => {
  const scale = Math.max(a.scale, b.scale)
  const total = a.value * decimal.power(scale - a.scale) + b.value * decimal.power(scale - b.scale)
  return unsafe(currency, total, scale)
}

/** An amount times a ratio, exactly, in units of 10^-digits. */
export const product = (amount: Money["amount"], ratio: Ratio, digits: number): Ratio =>
  amount.scale > digits
    ? {
      numerator: amount.value * ratio.numerator,
      denominator: ratio.denominator * decimal.power(amount.scale - digits)
    }
    : {
      numerator: amount.value * ratio.numerator * decimal.power(digits - amount.scale),
      denominator: ratio.denominator
    }

/** Plain text with at least the digits of the currency; more only for an amount made by hand that has more. */
export const text = (money: Money): string => {
  const { scale, value } = money.amount
  const own = digits(money.currency)
  if (scale === own) return decimal.toText(value, own)
  const exact = decimal.rescale(value, scale, own)
  return exact === undefined ? decimal.toText(value, scale) : decimal.toText(exact, own)
}

const issue = (error: MoneyError, input: unknown, options: SchemaAST.ParseOptions) =>
  new SchemaIssue.InvalidValue({ message: error.message }, input, options)

const PlainDecimal = Schema.String.annotate({ expected: "a plain decimal number" })

export const Amount = Schema.declare<BigDecimal.BigDecimal>(isBounded, {
  identifier: "Amount",
  expected: "a decimal of at most 34 digits",
  toCodecJson: () =>
    Schema.link<BigDecimal.BigDecimal>()(
      PlainDecimal,
      SchemaTransformation.transformEffect({
        decode: (text, options) => {
          const read = decimal.readDecimal(text)
          return typeof read === "string"
            ? Effect.fail(issue(refusal.amount(read), text, options))
            : Effect.succeed(BigDecimal.make(read.value, read.scale))
        },
        encode: (amount) => Effect.succeed(plain(amount))
      })
    ),
  toFormatter: () => (amount) => plain(amount),
  toCodecArbitrary: () =>
    Schema.link<BigDecimal.BigDecimal>()(
      Schema.Struct({ value: Schema.BigInt, scale: Schema.Literals([0, 1, 2, 3, 4]) }),
      SchemaTransformation.transform({
        decode: ({ scale, value }) => BigDecimal.make(value, scale),
        encode: ({ value }) => ({ value, scale: 0 as const })
      })
    )
}).pipe(Schema.brand("Amount"))

const plain = ({ scale, value }: BigDecimal.BigDecimal): string =>
  scale < 0 ? decimal.toText(value * decimal.power(-scale), 0) : decimal.toText(value, scale)

const Wire = Schema.Struct({ amount: PlainDecimal, currency: Schema.String })

/** Money in one of the given currencies, as text and code on the wire. */
export const codec = <C extends Currency>(currencies: ReadonlyArray<C>): Schema.Codec<Money<C>, Encoded> => {
  const among: ReadonlySet<unknown> = new Set(currencies)
  const isMoney = (u: unknown): u is Money<C> =>
    Predicate.hasProperty(u, "amount") && Predicate.hasProperty(u, "currency") && among.has(u.currency) &&
    isBounded(u.amount) && Result.isSuccess(check(u.currency as C, u.amount))
  const transformation = SchemaTransformation.transformEffect<Money<C>, Encoded>({
    decode: (wire, options) => {
      const result = read<C>(wire.currency, wire.amount)
      if (Result.isFailure(result)) return Effect.fail(issue(result.failure, wire, options))
      return among.has(result.success.currency)
        ? Effect.succeed(result.success)
        : Effect.fail(new SchemaIssue.InvalidValue({ message: `not in ${currencies.join(" or ")}` }, wire, options))
    },
    encode: (money) => Effect.succeed({ amount: text(money), currency: money.currency })
  })
  const value = Schema.declare<Money<C>>(isMoney, {
    identifier: "Money",
    expected: currencies.length === 1 ? `money in ${currencies[0]}` : "money",
    toCodecJson: () => Schema.link<Money<C>>()(Wire, transformation),
    toFormatter: () => (money) => `${money.currency} ${text(money)}`,
    toEquivalence: () => (self, that) => self.currency === that.currency && BigDecimal.equals(self.amount, that.amount),
    toCodecArbitrary: () =>
      Schema.link<Money<C>>()(
        Schema.Struct({ scaled: Schema.BigInt, currency: Schema.Literals(currencies) }),
        SchemaTransformation.transform({
          decode: ({ currency, scaled }) => unsafe(currency, scaled, digits(currency)),
          encode: ({ amount, currency }) => ({ scaled: amount.value, currency })
        })
      )
  })
  return Wire.pipe(Schema.decodeTo(value, transformation))
}
