/**
 * The one error of a saga log.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/**
 * The log did not answer, or answered with a failure. `operation` is the operation of the port, `detail` a short word on
 * the cause that holds no data of the run.
 *
 * @category errors
 * @since 0.1.0
 */
export class LogUnavailable extends Schema.TaggedError<LogUnavailable>()("LogUnavailable", {
  operation: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `the saga log failed to ${this.operation} (${this.detail}); no step leaves that is not written down`
  }
}

/** @internal */
export const limitExceeded = (operation: string, max: number): Effect.Effect<never, LogUnavailable> =>
  Effect.fail(new LogUnavailable({ operation, detail: `limit must be a whole number from 1 to ${max}` }))
