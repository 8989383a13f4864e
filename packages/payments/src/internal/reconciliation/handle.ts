/** Runs handlers over a report, each call on its own. */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Discrepancy, Failure, Handled, HandleOptions, Handler, Kind, Report } from "../../Reconciliation.ts"

const limitPerKind = 10_000
const timeout = "30 seconds"

interface Call<E, R> {
  readonly discrepancy: Discrepancy
  readonly handler: Handler<E, R>
}

export const handle = <E, R>(
  report: Report,
  handlers: ReadonlyArray<Handler<E, R>>,
  options: HandleOptions
): Effect.Effect<Handled<E>, never, R> =>
  Effect.gen(function*() {
    const { calls, skipped } = plan(report, handlers, options.limitPerKind ?? limitPerKind)
    const failures: Array<Failure<E> | undefined> = yield* Effect.forEach(
      calls,
      (call) => run(call, options),
      { concurrency: options.concurrency ?? 1 }
    )
    const failed = failures.filter((failure) => failure !== undefined)
    if (failed.length > 0) {
      yield* Effect.logError(`reconciliation: ${failed.length} of ${calls.length} handler calls failed`)
    }
    return { succeeded: calls.length - failed.length, failures: failed, skipped }
  })

/** The calls in the order of the report, at most `limit` of each kind, and how many were left out. */
const plan = <E, R>(report: Report, handlers: ReadonlyArray<Handler<E, R>>, limit: number) => {
  const calls: Array<Call<E, R>> = []
  const counts = new Map<Kind, number>()
  const skipped: { [K in Kind]?: number } = {}
  for (const discrepancy of report.discrepancies) {
    const kind = discrepancy._tag
    const count = counts.get(kind) ?? 0
    counts.set(kind, count + 1)
    const matching = handlers.filter((handler) => handler.kind === kind)
    if (matching.length === 0) continue
    if (count >= limit) skipped[kind] = (skipped[kind] ?? 0) + 1
    else for (const handler of matching) calls.push({ discrepancy, handler })
  }
  return { calls, skipped }
}

/** What a handler throws while it makes its effect is a failure of it too. */
const run = <E, R>(
  { discrepancy, handler }: Call<E, R>,
  options: HandleOptions
): Effect.Effect<Failure<E> | undefined, never, R> =>
  Effect.suspend(() => handler.run(discrepancy)).pipe(
    Effect.timeout(options.timeout ?? timeout),
    Effect.exit,
    Effect.map((exit: Exit.Exit<unknown, E | Cause.TimeoutError>) =>
      Exit.isSuccess(exit) ? undefined : { discrepancy, cause: exit.cause }
    )
  )
