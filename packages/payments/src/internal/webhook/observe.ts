/**
 * Counts what became of deliveries.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import { InboxError } from "../../Inbox.ts"
import { SignatureError } from "../../Signature.ts"

const deliveries = Metric.counter("effect_payments_webhook_deliveries_total", {
  description: "Deliveries of webhooks by what became of them",
  incremental: true
})

/** Handled, Duplicate, the tag of the reason of a refusal, or Failed for a handler that did not make it. */
const outcomeOf = (exit: Exit.Exit<{ readonly _tag: "Handled" | "Duplicate" }, unknown>): string => {
  if (Exit.isSuccess(exit)) return exit.value._tag
  const error = Cause.squash(exit.cause)
  return error instanceof InboxError || error instanceof SignatureError ? error.reason._tag : "Failed"
}

/** @internal */
export const counted = <A extends { readonly _tag: "Handled" | "Duplicate" }, E, R>(
  self: Effect.Effect<A, E, R>,
  { name, provider }: { readonly name: string; readonly provider: string }
): Effect.Effect<A, E, R> =>
  Effect.onExit(self, (exit) => {
    const outcome = outcomeOf(exit)
    const counter = Metric.withAttributes(deliveries, { provider, endpoint: name, outcome })
    return Effect.andThen(Metric.update(counter, 1), Effect.annotateCurrentSpan("webhook.outcome", outcome))
  })
