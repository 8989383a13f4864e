/**
 * How a call ended, in a word.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import type * as Exit from "effect/Exit"
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
