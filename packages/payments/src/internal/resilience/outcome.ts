/**
 * What the end of a call says about the gateway: whether it works, and not whether the payment went through.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { type HasDisposition, PaymentError } from "../../PaymentError.ts"
import { floorMillis, leftMillis } from "./deadline.ts"

/** @internal `Ignored`: refused by a stage of ours, cut off by the caller, or interrupted. */
export type Outcome = "Success" | "Failure" | "Ignored"

/** @internal */
export const outcomeOf = <A, E extends HasDisposition>(
  exit: Exit.Exit<A, E>,
  fiber: Fiber.Fiber<unknown, unknown>
): Outcome => exit._tag === "Success" ? "Success" : classify(exit.cause, leftMillis(fiber) < floorMillis)

// `late`: the deadline of the caller has passed.
const classify = (cause: Cause.Cause<HasDisposition>, late: boolean): Outcome => {
  if (cause.reasons.some(Cause.isDieReason)) return "Failure"
  const outcomes = new Set(cause.reasons.filter(Cause.isFailReason).map((x) => outcomeOfError(x.error, late)))
  return outcomes.has("Failure") ? "Failure" : outcomes.has("Success") ? "Success" : "Ignored"
}

const outcomeOfError = (error: HasDisposition, late: boolean): Outcome => {
  if (error.disposition === "Refused") return "Success"
  if (!(error instanceof PaymentError)) return "Failure"
  const { reason } = error
  if ("by" in reason && reason.by !== "gateway") return "Ignored"
  return reason._tag === "GatewayTimeout" && late ? "Ignored" : "Failure"
}
