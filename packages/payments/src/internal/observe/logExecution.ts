/**
 * One audit entry and one log line for each call.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as AuditLog from "../../AuditLog.ts"
import * as Redaction from "../../Redaction.ts"
import { monotonicMillis } from "../stack/clock.ts"
import { kindOf, outcomeOf } from "./outcome.ts"

/** @internal */
export interface Options<A> {
  readonly name: string
  readonly args?: unknown
  readonly result?: ((value: A) => unknown) | undefined
  readonly resource?: string | undefined
  readonly event?: AuditLog.Event | undefined
}

/** @internal */
export const logExecution = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  options: Options<A>
): Effect.Effect<A, E, R | AuditLog.AuditLog> =>
  Effect.withFiber((fiber) => {
    const start = monotonicMillis(fiber)
    return Effect.onExitPrimitive(
      self,
      (exit): Effect.Effect<void, never, AuditLog.AuditLog> => note(options, exit, monotonicMillis(fiber) - start)
    )
  })

// `onExit` runs this where it cannot be interrupted, and nothing in it can fail: the outcome of the call stays what it is.
const note = <A, E>(options: Options<A>, exit: Exit.Exit<A, E>, durationMillis: number) => {
  const outcome = outcomeOf(exit)
  const detail = detailOf(options, exit)
  const fact: AuditLog.Fact = {
    event: options.event ?? "payment",
    action: options.name,
    resource: options.resource ?? options.name,
    outcome,
    durationMillis,
    detail
  }
  const noted = Effect.flatMap(audited(fact), (isWritten) => {
    const line = Effect.logWithLevel(isWritten ? levelOf(exit, outcome) : "Error")
    const name = Redaction.scrub(options.name)
    return Effect.annotateLogs(
      isWritten ? line(`${name}: ${outcome}`) : line(`${name}: ${outcome}; the audit entry was not written`),
      { operation: name, outcome, durationMillis, ...detail }
    )
  })
  // A logger that throws is no reason to fail a payment either.
  return Effect.catchCause(noted, () => Effect.void)
}

const detailOf = <A, E>(options: Options<A>, exit: Exit.Exit<A, E>): { readonly [key: string]: unknown } => ({
  ...options.args === undefined ? {} : { args: Redaction.scrubUnknown(options.args) },
  ...exit._tag === "Success"
    ? options.result === undefined ? {} : { result: scrubResult(options.result, exit.value) }
    : { error: Redaction.scrub(kindOf(exit.cause)) }
})

const scrubResult = <A>(select: (value: A) => unknown, value: A): unknown =>
  // The selection runs inside, where a value that throws when it is read is dealt with.
  (Redaction.scrubUnknown({
    get result() {
      return select(value)
    }
  }) as { readonly result?: unknown }).result ?? null

const levelOf = (exit: Exit.Exit<unknown, unknown>, outcome: AuditLog.Outcome) => {
  if (exit._tag === "Failure" && Cause.hasDies(exit.cause)) return "Error"
  return outcome === "succeeded" || outcome === "refused" ? "Info" : "Warn"
}

const writeLimit = "5 seconds"

const lost = Metric.counter("effect_payments_audit_lost_total", {
  description: "Audit entries that could not be written",
  incremental: true
})

const audited = (fact: AuditLog.Fact): Effect.Effect<boolean, never, AuditLog.AuditLog> =>
  AuditLog.record(fact).pipe(
    Effect.timeout(writeLimit),
    Effect.as(true),
    Effect.catchCause(() => Effect.as(Metric.update(lost, 1), false))
  )
