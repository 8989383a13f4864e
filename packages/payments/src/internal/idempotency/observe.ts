/**
 * Counts and marks how each idempotent call was answered.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import { dispositionOf } from "../../PaymentError.ts"
import { kindOf } from "../stack/kind.ts"
import type { Call } from "./call.ts"
import type { Answered, Entry } from "./entry.ts"
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
  const name = nameOf(operation)
  const byAnswer = counters.get(name) ?? new Map<string, Metric.Metric<number, unknown>>()
  const counter = byAnswer.get(answer) ?? Metric.withAttributes(answers, { operation: name, answer })
  byAnswer.set(answer, counter)
  counters.set(name, byAnswer)
  return counter
}

const nameOf = (operation: string): string =>
  counters.has(operation) || counters.size < operationsMax ? operation : "other"

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
  if (error instanceof IdempotencyError) return error.reason._tag
  switch (dispositionOf(error)) {
    case "Refused":
      return how
    case "NotExecuted":
      return "not-executed"
    case "Unknown":
      return "unknown"
  }
}

// --- what an operator has to know of

const incidents = Metric.counter("effect_payments_idempotency_incidents_total", {
  description:
    "Idempotent operations that ended in doubt, were parked or lost their lease; look-ups and sweeps that failed",
  incremental: true
})

/** @internal */
export type Incident = "indeterminate" | "lease-lost" | "left-behind" | "parked"

const sentences: { readonly [I in Incident]: string } = {
  indeterminate: "an idempotent operation has ended and nobody knows how: it is looked up before anything runs again",
  "lease-lost": "an idempotent operation has lost its lease: another process may be working on it",
  "left-behind":
    "an idempotent operation was refused after a call of it had taken or held money, and nothing was given back",
  parked: "an idempotent operation is parked, since nobody could resolve it: look it up at the gateway and resolve it"
}

/** @internal The client's key is not in it: the gateway knows the operation by its downstream key. */
export const reportIncident = (
  incident: Incident,
  call: Call,
  { attempt, fence }: Entry,
  downstreamKeys: string
): Effect.Effect<void> =>
  Effect.andThen(
    countIncident(call, incident),
    Effect.annotateLogs(
      incident === "parked" ? Effect.logError(sentences.parked) : Effect.logWarning(sentences[incident]),
      {
        tenant: call.id.scope.tenant,
        operation: call.id.scope.operation,
        downstreamKeys,
        attempt,
        fence
      }
    )
  )

/** @internal A resolver that failed or died. What it failed with may hold anything: only its kind is told. */
export const reportLookUp = (call: Call, { attempt, fence }: Entry, cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Effect.andThen(
    countIncident(call, "look-up-failed"),
    Effect.annotateLogs(Effect.logWarning("the look-up of an idempotent operation has failed: it stays unknown"), {
      tenant: call.id.scope.tenant,
      operation: call.id.scope.operation,
      failure: kindOf(cause),
      attempt,
      fence
    })
  )

const countIncident = (call: Call, incident: string): Effect.Effect<void> =>
  Metric.update(Metric.withAttributes(incidents, { operation: nameOf(call.id.scope.operation), incident }), 1)

/** @internal */
export const reportSweep = (cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Effect.andThen(
    Metric.update(Metric.withAttributes(incidents, { operation: "", incident: "sweep-failed" }), 1),
    Effect.annotateLogs(
      Effect.logWarning("expired idempotency records could not be swept: they stay until the next time"),
      {
        failure: kindOf(cause)
      }
    )
  )
