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
type Counter = Metric.Metric<number, unknown>

/** @internal Counters of one rule or set by what is counted, looked up once. */
export type Counters = Map<string, Counter>

// Names come from code and are few; past the bound they are counted together.
const seriesMax = 2_000

// A counter that is made with its attributes knows its series; one that is given them later looks it up on each update.
const makeSeries = (id: string, description: string, labels: readonly [name: string, answer: string]) => {
  const series = new Map<string, Counter>()
  const find = (name: string, answer: string): Counter => {
    const shown = series.has(`${answer} ${name}`) || series.size < seriesMax ? name : "other"
    const attributes = { [labels[0]]: shown, [labels[1]]: answer }
    const counter = series.get(`${answer} ${shown}`) ??
      Metric.counter(id, { description, attributes, incremental: true })
    series.set(`${answer} ${shown}`, counter)
    return counter
  }
  return (counters: Counters, fiber: AnyFiber, name: string, answer: string): void => {
    let counter = counters.get(answer)
    if (counter === undefined) counters.set(answer, counter = find(name, answer))
    counter.updateUnsafe(1, fiber.context)
  }
}

/** @internal */
export const countDecision: (counters: Counters, fiber: AnyFiber, ruleSet: string, decision: Decision) => void =
  makeSeries("effect_payments_fraud_decisions_total", "Decisions on payments by set of rules", ["rule_set", "decision"])

/** @internal */
export const countRule: (counters: Counters, fiber: AnyFiber, rule: string, answer: string) => void = makeSeries(
  "effect_payments_fraud_rules_total",
  "Rules that hit or failed",
  ["rule", "answer"]
)

/** @internal A rule that fails is never silent: counted, and logged without the cause, which may hold what it was about. */
export const failed = (counters: Counters, fiber: AnyFiber, rule: string, failure: Failure): Effect.Effect<void> => {
  countRule(counters, fiber, rule, failure)
  return Effect.annotateLogs(Effect.logWarning("a fraud rule failed"), { rule, failure })
}
