/**
 * The duration of a call as a metric by outcome, and a span.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type { Outcome } from "../../AuditLog.ts"
import { monotonicMillis } from "../stack/clock.ts"
import { outcomeOf } from "./outcome.ts"

/** @internal */
export type Timer = Metric.Metric<Duration.Duration, unknown>

/** @internal */
export interface Options {
  readonly attributes?: { readonly [key: string]: string } | undefined
}

/** @internal */
export const make = (timer: string | Timer, options?: Options) => {
  const metric: Timer = typeof timer === "string" ? Metric.timer(timer) : timer
  const attributes = options?.attributes ?? {}
  const byOutcome = new Map<Outcome, Timer>()
  const timerOf = (outcome: Outcome): Timer => {
    let found = byOutcome.get(outcome)
    if (found === undefined) {
      found = Metric.withAttributes(metric, { ...attributes, outcome }) as Timer
      byOutcome.set(outcome, found)
    }
    return found
  }
  const withSpan = Effect.withSpan(metric.id, { attributes })
  return <A, E, R>(self: Effect.Effect<A, E, R>) =>
    withSpan(Effect.withFiber<A, E, R>((fiber) => {
      const start = monotonicMillis(fiber)
      return Effect.onExitPrimitive(self, (exit) => {
        const outcome = outcomeOf(exit)
        return Effect.andThen(
          Metric.update(timerOf(outcome), Duration.millis(Math.max(0, monotonicMillis(fiber) - start))),
          Effect.annotateCurrentSpan("outcome", outcome)
        )
      })
    }))
}
