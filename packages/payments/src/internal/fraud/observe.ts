/**
 * Counts decisions and what rules answered, and says which rule failed.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import type { Decision, Failure } from "../../Fraud.ts"

type AnyFiber = Fiber.Fiber<unknown, unknown>

const decisions = Metric.counter("effect_payments_fraud_decisions_total", {
  description: "Decisions on payments by set of rules",
  incremental: true
})

const answers = Metric.counter("effect_payments_fraud_rules_total", {
  description: "Rules that hit or failed",
  incremental: true
})

// Names come from code and are few; past the bound they are counted together.
const seriesMax = 2_000

const makeSeries = (metric: Metric.Metric<number, unknown>, labels: readonly [string, string]) => {
  const series = new Map<string, Metric.Metric<number, unknown>>()
  return (fiber: AnyFiber, name: string, answer: string): void => {
    const shown = series.has(`${answer} ${name}`) || series.size < seriesMax ? name : "other"
    const key = `${answer} ${shown}`
    const counter = series.get(key) ?? Metric.withAttributes(metric, { [labels[0]]: shown, [labels[1]]: answer })
    series.set(key, counter)
    counter.updateUnsafe(1, fiber.context)
  }
}

/** @internal */
export const countDecision: (fiber: AnyFiber, ruleSet: string, decision: Decision) => void = makeSeries(decisions, [
  "rule_set",
  "decision"
])

/** @internal */
export const countRule: (fiber: AnyFiber, rule: string, answer: string) => void = makeSeries(answers, [
  "rule",
  "answer"
])

/** @internal A rule that fails is never silent: counted, and logged without the cause, which may hold what it was about. */
export const failed = (fiber: AnyFiber, rule: string, failure: Failure): Effect.Effect<void> => {
  countRule(fiber, rule, failure)
  return Effect.annotateLogs(Effect.logWarning("a fraud rule failed"), { rule, failure })
}
