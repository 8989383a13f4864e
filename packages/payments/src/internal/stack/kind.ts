/**
 * The kind of a failure in a word, without anything that it was about.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import * as Predicate from "effect/Predicate"

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
