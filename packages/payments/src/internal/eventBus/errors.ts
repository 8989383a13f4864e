/**
 * The one error of an event bus.
 *
 * @internal
 */
import * as Schema from "effect/Schema"

/**
 * These subscribers failed with the event; all others have handled it.
 *
 * @category reasons
 * @since 0.1.0
 */
export class DeliveryFailed extends Schema.TaggedError<DeliveryFailed>()("DeliveryFailed", {
  event: Schema.String,
  subscribers: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `${this.event} was not handled by ${this.subscribers.join(", ")}`
  }
}

/**
 * Why an event was not delivered. Some of it may have been done: handlers have to bear it a second time.
 *
 * @category errors
 * @since 0.1.0
 */
export class EventBusError extends Schema.TaggedError<EventBusError>()("EventBusError", { reason: DeliveryFailed }) {
  readonly disposition = "Unknown" as const
  override get message(): string {
    return this.reason.message
  }
}
