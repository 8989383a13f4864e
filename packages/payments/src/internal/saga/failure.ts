/**
 * What a failure says about the step, and its kind in a word without anything that it was about.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import { dispositionOf, type HasDisposition } from "../../PaymentError.ts"

/** @internal Raised by `Saga.park`. */
export class ParkRequested {
  readonly _tag = "ParkRequested"
  readonly reason: string
  constructor(reason: string) {
    this.reason = reason
  }
}

/** @internal */
export type Reading =
  | {
    readonly _tag: "Refused" | "NotExecuted"
    readonly error: unknown
    readonly retryAfter: Duration.Duration | undefined
  }
  | { readonly _tag: "Unknown" }
  | { readonly _tag: "Park"; readonly reason: string }

/** @internal Only a typed failure that stands alone tells anything. */
export const read = (cause: Cause.Cause<unknown>): Reading => {
  for (const reason of cause.reasons) {
    if (Cause.isDieReason(reason) && reason.defect instanceof ParkRequested) {
      return { _tag: "Park", reason: reason.defect.reason }
    }
  }
  const only = cause.reasons.length === 1 ? cause.reasons[0] : undefined
  if (only === undefined || !Cause.isFailReason(only)) return { _tag: "Unknown" }
  const disposition = dispositionOf(only.error)
  if (disposition === "Unknown") return { _tag: "Unknown" }
  return { _tag: disposition, error: only.error, retryAfter: (only.error as HasDisposition).retryAfter }
}

const kindsMax = 4
const lengthMax = 200

/** @internal The tags of what went wrong, never a message: `PaymentError/CardDeclined`, `defect TypeError`. */
export const kindOf = (cause: Cause.Cause<unknown>): string =>
  [...new Set(cause.reasons.map(kindOfReason))].slice(0, kindsMax).join(", ").slice(0, lengthMax)

const kindOfReason = (reason: Cause.Reason<unknown>): string => {
  switch (reason._tag) {
    case "Fail":
      return tagOf(reason.error)
    case "Die":
      return `defect ${tagOf(reason.defect)}`
    case "Interrupt":
      return "interrupted"
  }
}

const tagOf = (error: unknown): string => {
  if (Predicate.hasProperty(error, "_tag") && typeof error._tag === "string") {
    return Predicate.hasProperty(error, "reason") && Predicate.hasProperty(error.reason, "_tag")
      ? `${error._tag}/${String(error.reason._tag)}`
      : error._tag
  }
  return error instanceof Error ? error.name : typeof error
}
