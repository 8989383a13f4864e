/** @since 0.1.0 */
import * as Schema from "effect/Schema"

/** @since 0.1.0 */
export const CardToken = Schema.String.check(Schema.isBetweenLength(1, 255)).pipe(Schema.brand("CardToken"))
/** @since 0.1.0 */
export type CardToken = typeof CardToken.Type
/** @since 0.1.0 */
export const containsPan = (_text: string): boolean => false
