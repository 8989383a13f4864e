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
import { ask } from "../stack/ask.ts"
import { monotonicMillis } from "../stack/clock.ts"
import { kindOf } from "../stack/kind.ts"
import { outcomeOf } from "./outcome.ts"

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
// A logger that throws is no reason to fail a payment either.
const note = <A, E>(options: Options<A>, exit: Exit.Exit<A, E>, durationMillis: number) => {
  const outcome = outcomeOf(exit)
  return AuditLog.entryOf({
    event: options.event ?? "payment",
    action: options.name,
    resource: options.resource ?? options.name,
    outcome,
    durationMillis,
    detail: detailOf(options, exit)
  }).pipe(
    Effect.flatMap((entry) =>
      Effect.flatMap(append(entry), (isWritten) => line(entry, isWritten ? levelOf(exit, outcome) : "Error", isWritten))
    ),
    Effect.catchCause(() => Effect.void)
  )
}

// The result is selected when the entry reads it, where a value that throws is dealt with.
const detailOf = <A, E>({ args, result }: Options<A>, exit: Exit.Exit<A, E>): { readonly [key: string]: unknown } => {
  if (exit._tag === "Failure") return { args, error: kindOf(exit.cause) }
  if (result === undefined) return { args }
  return {
    args,
    get result() {
      return result(exit.value)
    }
  }
}

const line = (entry: AuditLog.Entry, level: "Info" | "Warn" | "Error", isWritten: boolean) =>
  Effect.annotateLogs(
    Effect.logWithLevel(level)(
      `${entry.action}: ${entry.outcome}${isWritten ? "" : "; the audit entry was not written"}`
    ),
    { operation: entry.action, outcome: entry.outcome, durationMillis: entry.durationMillis, ...entry.detail }
  )

const levelOf = (exit: Exit.Exit<unknown, unknown>, outcome: AuditLog.Outcome) => {
  if (exit._tag === "Failure" && Cause.hasDies(exit.cause)) return "Error"
  return outcome === "succeeded" || outcome === "refused" ? "Info" : "Warn"
}

const writeLimitMillis = 5000

const lost = Metric.counter("effect_payments_audit_lost_total", {
  description: "Audit entries that could not be written",
  incremental: true
})

const append = (entry: AuditLog.Entry): Effect.Effect<boolean, never, AuditLog.AuditLog> =>
  ask(Effect.flatMap(AuditLog.AuditLog, (log) => log.append(entry)), writeLimitMillis).pipe(
    Effect.as(true),
    Effect.catchCause(() => Effect.as(Metric.update(lost, 1), false))
  )
