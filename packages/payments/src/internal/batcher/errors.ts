/**
 * The one error of a batcher.
 *
 * @internal
 */
import * as Schema from "effect/Schema"

/**
 * As many items as may wait do, and nothing moved for `waitAtMost`. The item was not taken.
 *
 * @category reasons
 * @since 0.1.0
 */
export class BatcherFull extends Schema.TaggedError<BatcherFull>()("BatcherFull", { capacity: Schema.Number }) {
  readonly disposition = "NotExecuted" as const
  override get message(): string {
    return `${this.capacity} items wait already, and none has moved`
  }
}

/**
 * The batcher closes, and the item came too late. It was not taken.
 *
 * @category reasons
 * @since 0.1.0
 */
export class BatcherClosed extends Schema.TaggedError<BatcherClosed>()("BatcherClosed", {}) {
  readonly disposition = "NotExecuted" as const
  override get message(): string {
    return "the batcher closes: the item was not taken"
  }
}

/**
 * The batcher had to close before the item was through: `closeAtMost` was over. With `wasSent` its batch had been started,
 * and nobody knows what became of it.
 *
 * @category reasons
 * @since 0.1.0
 */
export class BatcherCut extends Schema.TaggedError<BatcherCut>()("BatcherCut", { wasSent: Schema.Boolean }) {
  get disposition(): "NotExecuted" | "Unknown" {
    return this.wasSent ? "Unknown" : "NotExecuted"
  }
  override get message(): string {
    return this.wasSent
      ? "the batcher was cut off while the batch ran: nobody knows what became of the item"
      : "the batcher was cut off before the item's batch ran"
  }
}

/**
 * The function answered for another number of items than it was given, so no answer can be told to be that of the item; or
 * what it answered with for the item is no `Result`. `answers` is how many there were.
 *
 * @category reasons
 * @since 0.1.0
 */
export class AnswersMismatched extends Schema.TaggedError<AnswersMismatched>()("AnswersMismatched", {
  items: Schema.Number,
  answers: Schema.Number
}) {
  readonly disposition = "Unknown" as const
  override get message(): string {
    return `a batch of ${this.items} items got ${this.answers} answers: nobody knows which is whose`
  }
}

/**
 * What a batcher adds to the errors of its function. `disposition` is that of the reason.
 *
 * @category errors
 * @since 0.1.0
 */
export class BatcherError extends Schema.TaggedError<BatcherError>()("BatcherError", {
  reason: Schema.Union([BatcherFull, BatcherClosed, BatcherCut, AnswersMismatched])
}) {
  get disposition(): "NotExecuted" | "Unknown" {
    return this.reason.disposition
  }
  override get message(): string {
    return this.reason.message
  }
}
