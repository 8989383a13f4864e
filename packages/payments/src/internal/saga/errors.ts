/**
 * Why a saga has no end to tell of.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import type { Disposition } from "../../PaymentError.ts"
import { LogUnavailable } from "./unavailable.ts"

/** @internal */
export class IdConflict extends Schema.TaggedError<IdConflict>()("IdConflict", {}) {
  readonly disposition = "Refused" as const
  override get message(): string {
    return "this saga id was used with another payload: take a new id for a new run"
  }
}

/** @internal */
export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {}) {
  readonly disposition = "Refused" as const
  override get message(): string {
    return "there is no run of this saga with this id"
  }
}

/** @internal */
export class InFlight extends Schema.TaggedError<InFlight>()("InFlight", { retryAfter: Schema.DurationFromMillis }) {
  readonly disposition = "Unknown" as const
  readonly repeatable = true as const
  override get message(): string {
    return `the run is held by another process or waits to be resumed: ask again with the same id in ${
      Duration.format(this.retryAfter)
    }`
  }
}

/** @internal */
export class Suspended extends Schema.TaggedError<Suspended>()("Suspended", {
  by: Schema.Literals(["Interrupted", "LeaseLost", "LogUnavailable"]),
  detail: Schema.String
}) {
  readonly disposition = "Unknown" as const
  readonly repeatable = true as const
  override get message(): string {
    return `the run was suspended (${this.by}${
      this.detail === "" ? "" : `: ${this.detail}`
    }), nothing was undone and no further step left: it is resumed from its log, or by the same call again`
  }
}

/** @internal */
export class InsideTransaction extends Schema.TaggedError<InsideTransaction>()("InsideTransaction", {}) {
  readonly disposition = "Refused" as const
  override get message(): string {
    return "called inside an open transaction of the log's database: a rollback would take back the log. Call it outside"
  }
}

/** @internal */
export class PayloadInvalid extends Schema.TaggedError<PayloadInvalid>()("PayloadInvalid", { detail: Schema.String }) {
  readonly disposition = "Refused" as const
  override get message(): string {
    return `the payload cannot be stored: ${this.detail}`
  }
}

/** @internal */
export class SagaInvalid extends Schema.TaggedError<SagaInvalid>()("SagaInvalid", { detail: Schema.String }) {
  readonly disposition = "Refused" as const
  override get message(): string {
    return `the saga cannot run: ${this.detail}`
  }
}

/** @internal */
export class HistoryUnreadable extends Schema.TaggedError<HistoryUnreadable>()("HistoryUnreadable", {
  detail: Schema.String
}) {
  readonly disposition = "Unknown" as const
  override get message(): string {
    return `the run has ended, but ${this.detail} does not fit its schema any more`
  }
}

/** @internal */
export class Redefined extends Schema.TaggedError<Redefined>()("Redefined", { detail: Schema.String }) {
  readonly disposition = "Unknown" as const
  readonly repeatable = true as const
  override get message(): string {
    return `the run was begun under another definition, in which "${this.detail}" differs: it is left to a process that knows that one`
  }
}

/** @internal */
export class HistoryFull extends Schema.TaggedError<HistoryFull>()("HistoryFull", { entriesMax: Schema.Int }) {
  readonly disposition = "Refused" as const
  override get message(): string {
    return `the run has ${this.entriesMax} entries, which is the bound: it is not resumed any more`
  }
}

/** @internal */
export class TooManyRuns extends Schema.TaggedError<TooManyRuns>()("TooManyRuns", { runsMax: Schema.Int }) {
  readonly disposition = "NotExecuted" as const
  override get message(): string {
    return `this process drives ${this.runsMax} runs, which is its bound: nothing was begun`
  }
}

/** @internal */
export class NotApplicable extends Schema.TaggedError<NotApplicable>()("NotApplicable", { detail: Schema.String }) {
  readonly disposition = "Refused" as const
  override get message(): string {
    return `nothing was changed: ${this.detail}`
  }
}

/** @internal */
export class SignalInvalid extends Schema.TaggedError<SignalInvalid>()("SignalInvalid", { detail: Schema.String }) {
  readonly disposition = "Refused" as const
  override get message(): string {
    return `the message was not kept: ${this.detail}`
  }
}

/** @internal */
export class SignalsFull extends Schema.TaggedError<SignalsFull>()("SignalsFull", { signalsMax: Schema.Int }) {
  readonly disposition = "NotExecuted" as const
  override get message(): string {
    return `${this.signalsMax} messages wait for this run, which is the bound: this one was not kept`
  }
}

/** @internal */
export const Reason = Schema.Union([
  IdConflict,
  NotFound,
  InFlight,
  Suspended,
  LogUnavailable,
  InsideTransaction,
  PayloadInvalid,
  SagaInvalid,
  HistoryUnreadable,
  Redefined,
  HistoryFull,
  TooManyRuns,
  NotApplicable,
  SignalInvalid,
  SignalsFull
])

/** @internal */
export type Reason = typeof Reason.Type

/** @internal */
export class SagaError extends Schema.TaggedError<SagaError>()("SagaError", { reason: Reason }) {
  get disposition(): Disposition {
    return this.reason._tag === "LogUnavailable" ? "Unknown" : this.reason.disposition
  }
  get repeatable(): boolean {
    const { _tag } = this.reason
    return _tag === "InFlight" || _tag === "Suspended" || _tag === "LogUnavailable" || _tag === "Redefined"
  }
  get retryAfter(): Duration.Duration | undefined {
    return this.reason._tag === "InFlight" ? this.reason.retryAfter : undefined
  }
  override get message(): string {
    return this.reason.message
  }
}
