/**
 * The one error of a job queue.
 *
 * @internal
 */
import * as Schema from "effect/Schema"

/**
 * The store failed to do it, or did not answer. An offer may have arrived all the same: offer it again under the same id.
 * `detail` is a short word on the cause that holds nothing of the job.
 *
 * @category reasons
 * @since 0.1.0
 */
export class JobStoreUnavailable extends Schema.TaggedError<JobStoreUnavailable>()("JobStoreUnavailable", {
  operation: Schema.String,
  detail: Schema.String
}) {
  readonly disposition = "Unknown" as const
  override get message(): string {
    return `the store of the queue failed to ${this.operation} (${this.detail})`
  }
}

/**
 * A store in memory holds as many jobs as it may.
 *
 * @category reasons
 * @since 0.1.0
 */
export class JobQueueFull extends Schema.TaggedError<JobQueueFull>()("JobQueueFull", { capacity: Schema.Number }) {
  readonly disposition = "NotExecuted" as const
  override get message(): string {
    return `the queue holds ${this.capacity} jobs and takes no more`
  }
}

/**
 * The job is out of its bounds: it does not encode, it is too large, or its id is none. The job itself is not repeated.
 *
 * @category reasons
 * @since 0.1.0
 */
export class JobInvalid extends Schema.TaggedError<JobInvalid>()("JobInvalid", {
  field: Schema.String,
  expected: Schema.String
}) {
  readonly disposition = "Refused" as const
  override get message(): string {
    return `the ${this.field} of a job must be ${this.expected}`
  }
}

/**
 * Why a job was not taken, or a queue could not be read. `disposition` is that of the reason.
 *
 * @category errors
 * @since 0.1.0
 */
export class JobQueueError extends Schema.TaggedError<JobQueueError>()("JobQueueError", {
  reason: Schema.Union([JobStoreUnavailable, JobQueueFull, JobInvalid])
}) {
  get disposition(): "NotExecuted" | "Refused" | "Unknown" {
    return this.reason.disposition
  }
  override get message(): string {
    return this.reason.message
  }
}

/** @internal */
export const unavailable = (operation: string, detail: string): JobQueueError =>
  new JobQueueError({ reason: new JobStoreUnavailable({ operation, detail }) })

/** @internal */
export const invalid = (field: string, expected: string): JobQueueError =>
  new JobQueueError({ reason: new JobInvalid({ field, expected }) })
