/**
 * Counts and marks how each idempotent call was answered.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import type { Call } from "./engine.ts"
import type { Answered } from "./entry.ts"
import type { IdempotencyError } from "./errors.ts"

/** @internal Answers per operation and kind: executed, replayed, resolved, or the tag of the refusal. */
export const answers = Metric.counter("effect_payments_idempotency_answers_total", {
  description: "Answers of idempotent operations",
  incremental: true
})

// Operations are few and named in code; past the bound they are counted together.
const operationsMax = 1000
const counters = new Map<string, Map<string, Metric.Metric<number, unknown>>>()

const counterOf = (operation: string, answer: string): Metric.Metric<number, unknown> => {
  const name = counters.has(operation) || counters.size < operationsMax ? operation : "other"
  let byAnswer = counters.get(name)
  if (byAnswer === undefined) counters.set(name, byAnswer = new Map())
  let counter = byAnswer.get(answer)
  if (counter === undefined) {
    byAnswer.set(answer, counter = Metric.withAttributes(answers, { operation: name, answer }))
  }
  return counter
}

/** @internal */
export const observe = (
  call: Call,
  self: Effect.Effect<Answered, IdempotencyError, unknown>
): Effect.Effect<Answered, IdempotencyError, unknown> =>
  Effect.withFiber((fiber) =>
    Effect.onExitPrimitive(self, (exit) => {
      const answer = answerOf(exit)
      counterOf(call.id.scope.operation, answer).updateUnsafe(1, fiber.context)
      const span = Context.getOrUndefined(fiber.context, Tracer.ParentSpan)
      if (span !== undefined && span._tag === "Span") {
        span.attribute("idempotency.answer", answer)
        span.attribute("idempotency.replayed", answer === "replayed")
        if (Exit.isSuccess(exit)) {
          span.attribute("idempotency.fence", exit.value.fence)
          span.attribute("idempotency.attempt", exit.value.attempt)
        }
      }
      return undefined
    })
  )

const answerOf = (exit: Exit.Exit<Answered, IdempotencyError>): string => {
  if (Exit.isSuccess(exit)) {
    const inner = exit.value.exit
    const error = Exit.isFailure(inner) ? Option.getOrUndefined(Cause.findErrorOption(inner.cause)) : undefined
    return isIdempotencyError(error) ? error.reason._tag : exit.value.how
  }
  return Option.match(Cause.findErrorOption(exit.cause), {
    onNone: () => "interrupted",
    onSome: (error) => error.reason._tag
  })
}

const isIdempotencyError = (error: unknown): error is IdempotencyError =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "IdempotencyError"
