/**
 * Why an idempotent operation gave no answer of its own.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { StoreUnavailable } from "../../IdempotencyStore.ts"
import type { Disposition } from "../../PaymentError.ts"
import { DownstreamKeyReused } from "../stack/reused.ts"

export { DownstreamKeyReused }

const DownstreamKey = Schema.String.check(Schema.isMaxLength(255))

/** @internal Under which keys the gateway may know the operation: that of its first call, and those of the others. */
const DownstreamKeys = {
  downstreamKey: DownstreamKey,
  others: Schema.optionalKey(Schema.Array(DownstreamKey).check(Schema.isMaxLength(64)))
}

const listed = (
  { downstreamKey, others = [] }: { readonly downstreamKey: string; readonly others?: ReadonlyArray<string> }
) => [downstreamKey, ...others].join(", ")

/** @internal */
export class KeyConflict extends Schema.TaggedError<KeyConflict>()("KeyConflict", {}) {
  readonly disposition = "Refused" as const
  override get message(): string {
    return "this idempotency key was used with another payload: send a new key for a new operation"
  }
}

/** @internal */
export class InFlight extends Schema.TaggedError<InFlight>()("InFlight", {
  retryAfter: Schema.DurationFromMillis
}) {
  readonly disposition = "Unknown" as const
  readonly repeatable = true as const
  override get message(): string {
    return `this operation is in flight: ask again with the same key, at the latest in ${
      Duration.format(this.retryAfter)
    }`
  }
}

/** @internal */
export class OutcomeUnknown extends Schema.TaggedError<OutcomeUnknown>()("OutcomeUnknown", DownstreamKeys) {
  readonly disposition = "Unknown" as const
  override get message(): string {
    return `the operation may have happened and could not be looked up: nothing is run again. Ask again with the same key, or look for ${
      listed(this)
    } at the gateway`
  }
}

/** @internal */
export class Parked extends Schema.TaggedError<Parked>()("Parked", DownstreamKeys) {
  readonly disposition = "Unknown" as const
  override get message(): string {
    return `the operation is parked: too many attempts ended without a known outcome. Look for ${
      listed(this)
    } at the gateway and resolve the record`
  }
}

/** @internal */
export class RecordUnreadable extends Schema.TaggedError<RecordUnreadable>()("RecordUnreadable", {}) {
  readonly disposition = "Unknown" as const
  override get message(): string {
    return "the stored result does not fit the schemas any more: the operation did end, and is not run again. Raise the scope's version when a schema changes"
  }
}

/** @internal */
export class InsideTransaction extends Schema.TaggedError<InsideTransaction>()("InsideTransaction", {}) {
  readonly disposition = "Refused" as const
  override get message(): string {
    return "called inside an open transaction: a rollback would undo the claim. Call it outside, or use transactional: true"
  }
}

/** @internal */
export class PayloadInvalid extends Schema.TaggedError<PayloadInvalid>()("PayloadInvalid", {
  detail: Schema.String
}) {
  readonly disposition = "Refused" as const
  override get message(): string {
    return `the payload has no fingerprint: ${this.detail}`
  }
}

/** @internal */
export class ResultInvalid extends Schema.TaggedError<ResultInvalid>()("ResultInvalid", {
  detail: Schema.String,
  ...DownstreamKeys
}) {
  readonly disposition = "Unknown" as const
  override get message(): string {
    return `the operation ended but its result cannot be stored (${this.detail}): it is not run again. Look for ${
      listed(this)
    } at the gateway`
  }
}

/** @internal */
const Reason = Schema.Union([
  KeyConflict,
  InFlight,
  OutcomeUnknown,
  StoreUnavailable,
  Parked,
  RecordUnreadable,
  InsideTransaction,
  DownstreamKeyReused,
  PayloadInvalid,
  ResultInvalid
])

/** @internal */
export class IdempotencyError extends Schema.TaggedError<IdempotencyError>()("IdempotencyError", { reason: Reason }) {
  get disposition(): Disposition {
    if (this.reason._tag !== "StoreUnavailable") return this.reason.disposition
    // This call ran nothing. What an earlier one with the key has done the store cannot say.
    return this.reason.operation === "claim" ? "Unknown" : "NotExecuted"
  }
  get repeatable(): boolean {
    return this.reason._tag === "InFlight" || this.reason._tag === "StoreUnavailable"
  }
  get retryAfter(): Duration.Duration | undefined {
    return this.reason._tag === "InFlight" ? this.reason.retryAfter : undefined
  }
  override get message(): string {
    return this.reason.message
  }
}
