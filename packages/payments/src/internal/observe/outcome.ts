/**
 * How a call ended, in a word and without anything that it was about.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import type * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import type { Outcome } from "../../AuditLog.ts"
import { dispositionOf } from "../../PaymentError.ts"

/**
 * @internal Several failures at once are one outcome only if they agree; an interruption beside a failure means that
 * something else was cut off, so what became of the whole is unknown.
 */
export const outcomeOf = (exit: Exit.Exit<unknown, unknown>): Outcome => {
  if (exit._tag === "Success") return "succeeded"
  if (Cause.hasInterruptsOnly(exit.cause)) return "interrupted"
  const seen = new Set(exit.cause.reasons.map((x) => x._tag === "Fail" ? dispositionOf(x.error) : "Unknown"))
  if (seen.has("Unknown") || seen.size === 0) return "unknown"
  return seen.has("Refused") ? "refused" : "notExecuted"
}

const kindsMax = 4

/** @internal The tags of what went wrong, never a message: `PaymentError/CardDeclined`, `defect TypeError`. */
export const kindOf = (cause: Cause.Cause<unknown>): string =>
  [...new Set(cause.reasons.map(kindOfReason))].slice(0, kindsMax).join(", ")

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
