/**
 * The one error of an idempotency store.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/**
 * The store did not answer, or answered with a failure. `operation` is the operation of the port, `detail` a short word
 * on the cause that holds no data of the record.
 *
 * @category errors
 * @since 0.1.0
 */
export class StoreUnavailable extends Schema.TaggedError<StoreUnavailable>()("StoreUnavailable", {
  operation: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `the idempotency store failed to ${this.operation} (${this.detail}); nothing was run on a guess: try again`
  }
}

/** @internal */
export const limitExceeded = (operation: string, max: number): Effect.Effect<never, StoreUnavailable> =>
  Effect.fail(new StoreUnavailable({ operation, detail: `limit must be a whole number from 1 to ${max}` }))
