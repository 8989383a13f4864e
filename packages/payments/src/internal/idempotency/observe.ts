/**
 * Counts and marks how each idempotent call was answered.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import type { Call } from "./call.ts"
import type { Answered } from "./entry.ts"
import { IdempotencyError } from "./errors.ts"

type AnyFiber = Fiber.Fiber<unknown, unknown>

// Answers per operation and kind: executed, replayed, resolved, or the tag of the error.
const answers = Metric.counter("effect_payments_idempotency_answers_total", {
  description: "Answers of idempotent operations",
  incremental: true
})

// Operations are few and named in code; past the bound they are counted together.
const operationsMax = 1000
const counters = new Map<string, Map<string, Metric.Metric<number, unknown>>>()

const counterOf = (operation: string, answer: string): Metric.Metric<number, unknown> => {
  const known = counters.get(operation)?.get(answer)
  if (known !== undefined) return known
  const name = counters.has(operation) || counters.size < operationsMax ? operation : "other"
  const byAnswer = counters.get(name) ?? new Map<string, Metric.Metric<number, unknown>>()
  const counter = byAnswer.get(answer) ?? Metric.withAttributes(answers, { operation: name, answer })
  byAnswer.set(answer, counter)
  counters.set(name, byAnswer)
  return counter
}

/** @internal */
export const count = (call: Call, caller: AnyFiber, answered: Answered): void => {
  const answer = answerOf(answered)
  counterOf(call.id.scope.operation, answer).updateUnsafe(1, caller.context)
  const span = Context.getOrUndefined(caller.context, Tracer.ParentSpan)
  if (span === undefined || span._tag !== "Span") return
  span.attribute("idempotency.answer", answer)
  span.attribute("idempotency.replayed", answered.how === "replayed")
  span.attribute("idempotency.fence", answered.fence)
  span.attribute("idempotency.attempt", answered.attempt)
}

/** @internal */
export const countError = (call: Call, caller: AnyFiber, answer: IdempotencyError["reason"]["_tag"]): void => {
  counterOf(call.id.scope.operation, answer).updateUnsafe(1, caller.context)
  const span = Context.getOrUndefined(caller.context, Tracer.ParentSpan)
  if (span !== undefined && span._tag === "Span") span.attribute("idempotency.answer", answer)
}

const answerOf = ({ exit, how }: Answered): string => {
  if (Exit.isSuccess(exit)) return how
  const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
  return error instanceof IdempotencyError ? error.reason._tag : how
}
