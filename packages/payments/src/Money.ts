/** @since 0.1.0 */
import * as BigDecimal from "effect/BigDecimal"
import type * as Brand from "effect/Brand"
import * as Schema from "effect/Schema"

/** @since 0.1.0 */
export const Currency = Schema.Literals(["USD", "EUR", "GBP", "JPY", "KWD"])
/** @since 0.1.0 */
export type Currency = typeof Currency.Type
/** @since 0.1.0 */
export type Amount = Brand.Branded<BigDecimal.BigDecimal, "Amount">
/** @since 0.1.0 */
export interface Money<out C extends Currency = Currency> {
  readonly amount: Amount
  readonly currency: C
}
const AmountSchema = Schema.BigDecimalFromString.pipe(Schema.brand("Amount"))
/** @since 0.1.0 */
export const Money: Schema.Codec<Money, { readonly amount: string; readonly currency: string }> = Schema.Struct({ amount: AmountSchema, currency: Currency })
/** Per currency, how many minor-unit digits a gateway uses where it differs from ISO 4217. @since 0.1.0 */
export type Exponents = { readonly [C in Currency]?: number }
/** @since 0.1.0 */
export const makeUnsafe = <const C extends Currency>(currency: C, amount: string): Money<C> => ({ amount: BigDecimal.fromStringUnsafe(amount) as Amount, currency })
/** @since 0.1.0 */
export const fromMinorUnits = <const C extends Currency>(currency: C, minor: bigint, _exponents?: Exponents): Money<C> => ({ amount: BigDecimal.make(minor, 2) as Amount, currency })
/** @since 0.1.0 */
export const toMinorUnitsUnsafe = (money: Money, _exponents?: Exponents): bigint => BigDecimal.normalize(BigDecimal.scale(money.amount, 2)).value
