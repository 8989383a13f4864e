/** @since 0.1.0 */
import * as Schema from "effect/Schema"

/** @since 0.1.0 */
export const PublicCode = Schema.String.check(Schema.isMaxLength(64))
/** @since 0.1.0 */
export const Advice = Schema.Literals(["TryAnotherMethod", "ContactBank", "CheckDetails", "Authenticate", "TryLater", "UpdateCard", "NewMandate", "Wait", "ContactMerchant"])
/** @since 0.1.0 */
export type Advice = typeof Advice.Type
/** @since 0.1.0 */
export const NextKey = Schema.Literals(["same", "new", "none"])
/** @since 0.1.0 */
export type NextKey = typeof NextKey.Type
