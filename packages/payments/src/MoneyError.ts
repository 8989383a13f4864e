/**
 * Why an amount, a currency or a ratio was refused.
 *
 * It prevents that a bad amount turns into another amount: everything in `Money`, `Currency` and `Ratio` that could be
 * wrong answers one of the reasons below instead of rounding, guessing or throwing. Fields and messages never repeat the
 * text that was refused, which may be a card number in the wrong field; they name what is wrong and the bound.
 *
 * Nothing has left the process when one of these is raised: the disposition is `Refused`.
 *
 * Read `Money` next.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * What is wrong with a text that should be a plain decimal number.
 *
 * @category models
 * @since 0.1.0
 */
export const Fault = Schema.Literals([
  "Empty",
  "Whitespace",
  "NonAsciiDigit",
  "LeadingPlus",
  "RadixPrefix",
  "Exponent",
  "NotANumber",
  "Grouping",
  "LeadingZero",
  "BareDecimalPoint",
  "UnexpectedCharacter"
])

/**
 * See {@link Fault}.
 *
 * @category models
 * @since 0.1.0
 */
export type Fault = typeof Fault.Type

/**
 * The text is no plain decimal number (`-?(0|[1-9][0-9]*)([.][0-9]+)?`).
 *
 * @category reasons
 * @since 0.1.0
 */
export class AmountMalformed extends Schema.TaggedError<AmountMalformed>()("AmountMalformed", { fault: Fault }) {
  override get message(): string {
    return `not a plain decimal number: ${faults[this.fault]}`
  }
}

/**
 * The text is longer than an amount can be. Its length is looked at before anything else.
 *
 * @category reasons
 * @since 0.1.0
 */
export class AmountTooLong extends Schema.TaggedError<AmountTooLong>()("AmountTooLong", { limit: Schema.Int }) {
  override get message(): string {
    return `longer than ${this.limit} characters`
  }
}

/**
 * More digits than an amount can have, in the number or in its scale.
 *
 * @category reasons
 * @since 0.1.0
 */
export class AmountOutOfRange extends Schema.TaggedError<AmountOutOfRange>()("AmountOutOfRange", {
  digitsMax: Schema.Int
}) {
  override get message(): string {
    return `more than ${this.digitsMax} digits`
  }
}

/**
 * More digits after the point than the currency has.
 *
 * @category reasons
 * @since 0.1.0
 */
export class TooManyFractionDigits extends Schema.TaggedError<TooManyFractionDigits>()("TooManyFractionDigits", {
  currency: Schema.String,
  digitsMax: Schema.Int
}) {
  override get message(): string {
    return `more than the ${this.digitsMax} fraction digits of ${this.currency}`
  }
}

/**
 * Not a currency in use by ISO 4217. `code` is given where it looks like one (three letters).
 *
 * @category reasons
 * @since 0.1.0
 */
export class UnknownCurrency extends Schema.TaggedError<UnknownCurrency>()("UnknownCurrency", {
  code: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(3)))
}) {
  override get message(): string {
    return this.code === undefined ? "not a currency code" : `${this.code} is not a currency in use by ISO 4217`
  }
}

/**
 * A code of ISO 4217 without a minor unit (XAU, XDR, XTS, XXX …): nothing can be paid in it.
 *
 * @category reasons
 * @since 0.1.0
 */
export class NoMinorUnit extends Schema.TaggedError<NoMinorUnit>()("NoMinorUnit", { code: Schema.String }) {
  override get message(): string {
    return `${this.code} has no minor unit: nothing can be paid in it`
  }
}

/**
 * The amount has digits below the smallest unit asked for; nothing is rounded in silence. `digits` is the number of
 * fraction digits of that unit.
 *
 * @category reasons
 * @since 0.1.0
 */
export class NotRepresentable extends Schema.TaggedError<NotRepresentable>()("NotRepresentable", {
  currency: Schema.String,
  digits: Schema.Int
}) {
  override get message(): string {
    return `the amount in ${this.currency} is not exact at ${this.digits} fraction digits`
  }
}

/**
 * A minor-unit exponent that is not an integer from 0 to `limit`.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ExponentInvalid extends Schema.TaggedError<ExponentInvalid>()("ExponentInvalid", {
  currency: Schema.String,
  limit: Schema.Int
}) {
  override get message(): string {
    return `the exponent of ${this.currency} is not an integer from 0 to ${this.limit}`
  }
}

/**
 * A ratio that cannot be used: a denominator of zero, too many digits, or a rate that is not positive.
 *
 * @category reasons
 * @since 0.1.0
 */
export class RatioInvalid extends Schema.TaggedError<RatioInvalid>()("RatioInvalid", {
  fault: Schema.Literals(["ZeroDenominator", "TooManyDigits", "NotPositive"])
}) {
  override get message(): string {
    return `unusable ratio: ${ratioFaults[this.fault]}`
  }
}

/**
 * Weights that an amount cannot be split by.
 *
 * @category reasons
 * @since 0.1.0
 */
export class WeightsInvalid extends Schema.TaggedError<WeightsInvalid>()("WeightsInvalid", {
  fault: Schema.Literals(["Empty", "AllZero", "Negative", "TooMany", "TooManyDigits"])
}) {
  override get message(): string {
    return `unusable weights: ${weightFaults[this.fault]}`
  }
}

/**
 * Two amounts of different currencies met in one operation.
 *
 * @category reasons
 * @since 0.1.0
 */
export class CurrencyMismatch extends Schema.TaggedError<CurrencyMismatch>()("CurrencyMismatch", {
  expected: Schema.String,
  actual: Schema.String
}) {
  readonly disposition = "Refused" as const
  override get message(): string {
    return `expected an amount in ${this.expected}, got one in ${this.actual}`
  }
}

/**
 * All reasons of a {@link MoneyError}.
 *
 * @category reasons
 * @since 0.1.0
 */
export const Reason = Schema.Union([
  AmountMalformed,
  AmountTooLong,
  AmountOutOfRange,
  TooManyFractionDigits,
  UnknownCurrency,
  NoMinorUnit,
  NotRepresentable,
  ExponentInvalid,
  RatioInvalid,
  WeightsInvalid
])

/**
 * See {@link Reason}.
 *
 * @category reasons
 * @since 0.1.0
 */
export type Reason = typeof Reason.Type

/**
 * An amount, currency, ratio or split that was refused, with the reason.
 *
 * **Example**
 *
 * ```ts
 * import { Result } from "effect"
 * import { Money } from "effect-payments"
 *
 * const refused = Result.getOrThrow(Result.flip(Money.parse("USD", "1,000.00")))
 *
 * refused.reason._tag // => "AmountMalformed"
 * refused.message // => "not a plain decimal number: it has grouping characters"
 * ```
 *
 * @category errors
 * @since 0.1.0
 */
export class MoneyError extends Schema.TaggedError<MoneyError>()("MoneyError", { reason: Reason }) {
  readonly disposition = "Refused" as const
  override get message(): string {
    return this.reason.message
  }
}

const faults: Record<Fault, string> = {
  Empty: "it is empty",
  Whitespace: "it has whitespace",
  NonAsciiDigit: "it has digits other than 0 to 9",
  LeadingPlus: "it has a plus sign",
  RadixPrefix: "it has a hexadecimal, octal or binary prefix",
  Exponent: "it has an exponent",
  NotANumber: "it is not a finite number",
  Grouping: "it has grouping characters",
  LeadingZero: "it has leading zeros",
  BareDecimalPoint: "it has no digit before or after the point",
  UnexpectedCharacter: "it has an unexpected character"
}

const ratioFaults = {
  ZeroDenominator: "the denominator is zero",
  TooManyDigits: "it has too many digits",
  NotPositive: "a rate must be greater than zero"
}

const weightFaults = {
  Empty: "there are none",
  AllZero: "all are zero",
  Negative: "one is negative",
  TooMany: "there are too many",
  TooManyDigits: "one has too many digits"
}
