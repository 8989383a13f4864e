/**
 * Currencies by ISO 4217, with the number of digits of their minor unit.
 *
 * It prevents amounts that are wrong by a factor of ten or a hundred: the digits come from the standard's table, never
 * from `Intl` (which knows how a currency is displayed, not how it is paid), and the codes without a minor unit, such as
 * gold or the test code, are refused with a reason of their own.
 *
 * It does not know what a gateway does: some count JPY, ISK, UGX or CLP in other units than the standard. The exponent
 * belongs to the pair of gateway and currency; see `Money.Exponents`.
 *
 * Read `Money` next.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { digitsOf, minorUnitDigits } from "./internal/money/currencies.ts"
import * as refusal from "./internal/money/refusal.ts"
import type { MoneyError } from "./MoneyError.ts"

/**
 * The code of a currency in use that has a minor unit. Source: ISO 4217 list one, state of 2026-01-01.
 *
 * @category models
 * @since 0.1.0
 */
export type Currency = keyof typeof minorUnitDigits

/**
 * All codes of {@link Currency}, in alphabetical order.
 *
 * @category models
 * @since 0.1.0
 */
export const codes: ReadonlyArray<Currency> = Object.keys(minorUnitDigits) as Array<Currency>

/**
 * See {@link Currency}. Refuses codes that are unknown, withdrawn, in lower case or without a minor unit.
 *
 * @category models
 * @since 0.1.0
 */
export const Currency: Schema.Codec<Currency> = Schema.Literals(codes).annotate({
  identifier: "Currency",
  expected: "a currency code of ISO 4217 with a minor unit"
})

/**
 * Whether a value is the code of a currency that can be paid in.
 *
 * @category guards
 * @since 0.1.0
 */
export const isCurrency = (u: unknown): u is Currency => typeof u === "string" && digitsOf(u) !== undefined

/**
 * The number of digits of the minor unit by ISO 4217: 0, 2, 3 or 4.
 *
 * **Example**
 *
 * ```ts
 * import { Currency } from "effect-payments"
 *
 * Currency.digits("USD") // => 2
 * Currency.digits("JPY") // => 0
 * Currency.digits("KWD") // => 3
 * ```
 *
 * @category accessors
 * @since 0.1.0
 */
export const digits = (currency: Currency): number => minorUnitDigits[currency]

/**
 * Reads a code that is known only at run time. Fails with `NoMinorUnit` or `UnknownCurrency`.
 *
 * **Example**
 *
 * ```ts
 * import { Result } from "effect"
 * import { Currency } from "effect-payments"
 *
 * Currency.fromCode("EUR") // => Result.succeed("EUR")
 * Result.isFailure(Currency.fromCode("XAU")) // => true
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromCode = (code: string): Result.Result<Currency, MoneyError> =>
  isCurrency(code) ? Result.succeed(code) : Result.fail(refusal.currency(code))
