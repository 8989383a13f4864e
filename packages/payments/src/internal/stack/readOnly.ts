/**
 * Whether the running effect is free of side effects.
 *
 * @internal
 */
import * as Context from "effect/Context"

/** @internal Provided by `Idempotency.readOnly`; there an unknown outcome may be tried again without a key. */
export const ReadOnly = Context.Reference<boolean>("effect-payments/ReadOnly", { defaultValue: () => false })
