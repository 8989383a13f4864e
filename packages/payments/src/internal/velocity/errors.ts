/**
 * The one error of a velocity store.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/**
 * The store did not answer, or answered with a failure. `operation` is the operation of the port, `detail` a short word
 * on the cause that holds nothing of what was counted. Whether the attempt was recorded is not known; recording it again
 * counts it once.
 *
 * @category reasons
 * @since 0.1.0
 */
export class VelocityUnavailable extends Schema.TaggedError<VelocityUnavailable>()("VelocityUnavailable", {
  operation: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `the velocity store failed to ${this.operation} (${this.detail})`
  }
}

/**
 * What was to be counted is out of its bounds; nothing was recorded. The value itself is not repeated.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ObservationInvalid extends Schema.TaggedError<ObservationInvalid>()("ObservationInvalid", {
  field: Schema.String,
  expected: Schema.String
}) {
  override get message(): string {
    return `velocity: ${this.field} must be ${this.expected}`
  }
}

/**
 * Why nothing could be counted. No payment was touched, so the disposition is `NotExecuted`.
 *
 * @category errors
 * @since 0.1.0
 */
export class VelocityError extends Schema.TaggedError<VelocityError>()("VelocityError", {
  reason: Schema.Union([VelocityUnavailable, ObservationInvalid])
}) {
  readonly disposition = "NotExecuted" as const
  override get message(): string {
    return this.reason.message
  }
}

/** @internal */
export const unavailable = (operation: string, detail: string): VelocityError =>
  new VelocityError({ reason: new VelocityUnavailable({ operation, detail }) })

/** @internal */
export const failUnavailable = (operation: string, detail: string): Effect.Effect<never, VelocityError> =>
  Effect.fail(unavailable(operation, detail))

/** @internal */
export const invalid = (field: string, expected: string): VelocityError =>
  new VelocityError({ reason: new ObservationInvalid({ field, expected }) })
