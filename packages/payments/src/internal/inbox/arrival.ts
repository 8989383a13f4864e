/**
 * What comes in, and why it is not handled.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { StoreUnavailable } from "../../IdempotencyStore.ts"
import { Part } from "../idempotency/record.ts"

/** @internal */
export const Arrival = Schema.Struct({
  provider: Part,
  endpoint: Part,
  id: Part,
  fingerprint: Part,
  window: Schema.Duration.check(
    Schema.makeFilter(
      (window: Duration.Duration) => Duration.isFinite(window) && Duration.isGreaterThan(window, Duration.zero),
      { expected: "a finite time" }
    )
  )
})

/** @internal */
export type Arrival = typeof Arrival.Type

/** @internal */
export class ArrivalMalformed extends Schema.TaggedError<ArrivalMalformed>()("ArrivalMalformed", {
  detail: Schema.String
}) {
  override get message(): string {
    return `this is no event that can be kept apart from others: ${this.detail}`
  }
}

/** @internal */
export class InFlight extends Schema.TaggedError<InFlight>()("InFlight", { retryAfter: Schema.DurationFromMillis }) {
  override get message(): string {
    return `this event is being handled: deliver it again, at the latest in ${Duration.format(this.retryAfter)}`
  }
}

/** @internal */
export class EventConflict extends Schema.TaggedError<EventConflict>()("EventConflict", {}) {
  override get message(): string {
    return "an event with this id and another content was handled before: this one was not"
  }
}

/** @internal */
export class InsideTransaction extends Schema.TaggedError<InsideTransaction>()("InsideTransaction", {}) {
  override get message(): string {
    return "called inside an open transaction: its rollback would undo the mark. Call it outside"
  }
}

/** @internal */
export class HandlerTimeout extends Schema.TaggedError<HandlerTimeout>()("HandlerTimeout", {
  limit: Schema.DurationFromMillis
}) {
  override get message(): string {
    return `the handler took longer than ${Duration.format(this.limit)} and was interrupted: the event comes again`
  }
}

/** @internal */
export class ClaimLost extends Schema.TaggedError<ClaimLost>()("ClaimLost", {}) {
  override get message(): string {
    return "this process stood still for so long that another one took the event over"
  }
}

/** @internal */
export const Reason = Schema.Union([
  ArrivalMalformed,
  InFlight,
  EventConflict,
  InsideTransaction,
  HandlerTimeout,
  ClaimLost,
  StoreUnavailable
])

/** @internal */
export type Reason = typeof Reason.Type

/** @internal */
export class InboxError extends Schema.TaggedError<InboxError>()("InboxError", { reason: Reason }) {
  get disposition(): "Refused" | "Unknown" {
    const { _tag } = this.reason
    return _tag === "ArrivalMalformed" || _tag === "EventConflict" || _tag === "InsideTransaction"
      ? "Refused"
      : "Unknown"
  }
  override get message(): string {
    return this.reason.message
  }
}
