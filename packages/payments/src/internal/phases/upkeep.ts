/**
 * What is done to operations that nobody waits for: those that were abandoned are finished, those that are over are
 * dropped with their phases.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Result from "effect/Result"
import * as Idempotency from "../../Idempotency.ts"
import { codecOf } from "../stack/canonical.ts"
import type { JournalUnavailable } from "./errors.ts"
import type { Abandoned, Finished, Journal } from "./journal.ts"
import { type Compiled, gone, phaseScope, run } from "./run.ts"

/** @internal How many of those that were taken came to what. */
export interface Completed {
  readonly taken: number
  /** Answered for good, with yes or no. */
  readonly finished: number
  /** In flight, or still not known: taken again later. */
  readonly left: number
}

const ends = Metric.counter("effect_payments_phases_completed_total", {
  description: "Abandoned operations of several phases by what became of them: finished, left",
  incremental: true
})

/** @internal */
export const complete = (
  journal: Journal,
  definitions: ReadonlyArray<Compiled>,
  options: { readonly limit: number; readonly concurrency: number; readonly backoffMillis: number }
): Effect.Effect<Completed, JournalUnavailable, unknown> =>
  Effect.gen(function*() {
    const byName = new Map(definitions.map((compiled) => [nameOf(compiled.definition), compiled]))
    const taken = yield* journal.takeAbandoned(definitions.map(({ definition }) => definition), options.limit)
    const isOver = yield* Effect.forEach(taken, (abandoned) => {
      const compiled = byName.get(nameOf(abandoned))
      return compiled === undefined
        ? Effect.succeed(false)
        : completeOne(journal, compiled, abandoned, options.backoffMillis)
    }, { concurrency: options.concurrency })
    const finished = isOver.filter(Boolean).length
    return { taken: taken.length, finished, left: taken.length - finished }
  })

const nameOf = ({ operation, version }: { readonly operation: string; readonly version: number }) =>
  `${operation} ${version}`

const completeOne = (
  journal: Journal,
  compiled: Compiled,
  abandoned: Abandoned,
  backoffMillis: number
): Effect.Effect<boolean, never, unknown> =>
  Effect.gen(function*() {
    const { key, life, operation, payload, tenant, tries } = abandoned
    const restored = codecOf(compiled.definition.payload).restore(payload)
    const count = (end: string) => Metric.update(Metric.withAttributes(ends, { operation, end }), 1)
    const leave = (why: string) =>
      Effect.as(
        Effect.andThen(
          Effect.andThen(count("left"), Effect.ignore(journal.postpone(abandoned, backoffMillis))),
          Effect.annotateLogs(
            Effect.logWarning("an operation of several phases is not finished yet: it is tried again later"),
            { tenant, operation, tries, why }
          )
        ),
        false
      )
    if (Result.isFailure(restored)) return yield* leave("its payload does not fit the schema any more")
    const exit = yield* Effect.exit(
      run(journal, compiled, restored.success, { tenant, key: Idempotency.Key.make(key) }, life)
    )
    if (exit._tag === "Success") return yield* Effect.as(count("finished"), true)
    const [reason] = exit.cause.reasons
    if (exit.cause.reasons.length !== 1 || reason?._tag !== "Fail") {
      return Cause.hasInterrupts(exit.cause)
        ? yield* Effect.failCause(exit.cause as Cause.Cause<never>)
        : yield* leave("a defect")
    }
    const { error } = reason
    if (!(error instanceof Idempotency.IdempotencyError)) {
      return isRefusal(error) ? yield* Effect.as(count("finished"), true) : yield* leave("not executed, or not known")
    }
    // Somebody works on it, or was faster.
    return error.reason._tag === "InFlight" ||
        (error.reason._tag === "StoreUnavailable" && error.reason.detail.endsWith(gone))
      ? false
      : yield* leave(error.reason._tag)
  })

const isRefusal = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "disposition" in error && error.disposition === "Refused"

/** @internal Answers how many were dropped. */
export const reap = (
  journal: Journal,
  options: { readonly limit: number; readonly retentionMillis: number }
): Effect.Effect<number, JournalUnavailable | Idempotency.IdempotencyError, Idempotency.Idempotency> =>
  Effect.gen(function*() {
    const taken = yield* journal.takeFinished(options)
    const dropped = yield* Effect.forEach(taken, (finished) => drop(journal, finished))
    return dropped.filter(Boolean).length
  })

// Its phases first: a key that is used again meanwhile is in another life, and finds none of these.
const drop = (journal: Journal, { id, key, life, phases, tenant, ...definition }: Finished) =>
  Effect.gen(function*() {
    const evictions = yield* Effect.forEach(phases, (phase) =>
      Idempotency.evict({ scope: phaseScope(definition, { life, tenant }, phase), key: Idempotency.Key.make(key) }))
    if (evictions.includes("Held")) {
      return false
    }
    yield* journal.forget(id, life, true)
    return true
  })
