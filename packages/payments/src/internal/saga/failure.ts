/**
 * What a failure says about the step.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
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
