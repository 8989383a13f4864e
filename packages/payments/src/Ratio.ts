/**
 * Exact fractions to multiply money by: a tax rate, a fee, an exchange rate.
 *
 * It prevents the cent that floating point loses: a ratio is two integers, or a plain decimal text that is read exactly,
 * and whoever multiplies by it has to say how to round. It does not do arithmetic between ratios.
 *
 * Read `Money` next.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as decimal from "./internal/money/decimal.ts"
import * as refusal from "./internal/money/refusal.ts"
import { MoneyError, RatioInvalid } from "./MoneyError.ts"

/**
 * A fraction of two integers of at most 34 digits each. The denominator is never zero.
 *
 * @category models
 * @since 0.1.0
 */
export interface Ratio {
  readonly numerator: bigint
  readonly denominator: bigint
}

/**
 * What operations take: a {@link Ratio}, or a plain decimal text such as `"0.029"` of at most 40 characters. A text is
 * read on every call; in a hot loop read it once with {@link parse}.
 *
 * @category models
 * @since 0.1.0
 */
export type Input = Ratio | string

/**
 * How to round what falls between two units. There is no default: law and contract decide.
 *
 * | mode | 2.5 | -2.5 | 2.4 |
 * |---|---|---|---|
 * | `ceil` | 3 | -2 | 3 |
 * | `floor` | 2 | -3 | 2 |
 * | `to-zero` | 2 | -2 | 2 |
 * | `from-zero` | 3 | -3 | 3 |
 * | `half-ceil` | 3 | -2 | 2 |
 * | `half-floor` | 2 | -3 | 2 |
 * | `half-to-zero` | 2 | -2 | 2 |
 * | `half-from-zero` | 3 | -3 | 2 |
 * | `half-even` | 2 | -2 | 2 |
 * | `half-odd` | 3 | -3 | 2 |
 *
 * @category models
 * @since 0.1.0
 */
export const Rounding = Schema.Literals([
  "ceil",
  "floor",
  "to-zero",
  "from-zero",
  "half-ceil",
  "half-floor",
  "half-to-zero",
  "half-from-zero",
  "half-even",
  "half-odd"
])

/**
 * See {@link Rounding}.
 *
 * @category models
 * @since 0.1.0
 */
export type Rounding = typeof Rounding.Type

/**
 * Reads a plain decimal number as a ratio: no exponent, grouping, plus sign or whitespace, at most 40 characters.
 *
 * **Example**
 *
 * ```ts
 * import { Result } from "effect"
 * import { Ratio } from "effect-payments"
 *
 * Ratio.parse("0.029") // => Result.succeed({ numerator: 29n, denominator: 1000n })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const parse = (text: string): Result.Result<Ratio, MoneyError> => {
  const read = decimal.readDecimal(text)
  return typeof read === "string"
    ? Result.fail(refusal.amount(read))
    : Result.succeed({ numerator: read.value, denominator: decimal.power(read.scale) })
}

/**
 * Checks a ratio and gives it a positive denominator. Fails with `RatioInvalid` on a denominator of zero or more than 34
 * digits on a side, and with the reasons of {@link parse} on a text.
 *
 * **Example**
 *
 * ```ts
 * import { Result } from "effect"
 * import { Ratio } from "effect-payments"
 *
 * Ratio.make({ numerator: 1n, denominator: -3n }) // => Result.succeed({ numerator: -1n, denominator: 3n })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (input: Input): Result.Result<Ratio, MoneyError> => {
  if (typeof input === "string") return parse(input)
  const { denominator, numerator } = input
  if (denominator === 0n) return Result.fail(invalid("ZeroDenominator"))
  if (!decimal.isInRange(numerator) || !decimal.isInRange(denominator)) return Result.fail(invalid("TooManyDigits"))
  return Result.succeed(denominator > 0n ? input : { numerator: -numerator, denominator: -denominator })
}

const invalid = (fault: RatioInvalid["fault"]): MoneyError => new MoneyError({ reason: new RatioInvalid({ fault }) })
