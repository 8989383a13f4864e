/**
 * What a call leaves behind: a duration by outcome, a span, an audit entry and a line in the log.
 *
 * Both combinators leave the call as it is: its result, its failures, its interruption. They put no condition on the order
 * of a stack; innermost they see each attempt, outermost each operation.
 *
 * It prevents that a charge goes through or fails and nobody can say so afterwards, and that the record of it holds what
 * it must not: arguments and results pass `Redaction`, failures show their tags and never a message. It guarantees
 * exactly one audit entry and one line per call that ends, whichever way it ends. It does not guarantee an entry for a
 * call that the process did not survive; there the idempotency record says that something was begun.
 *
 * Counted: `effect_payments_audit_lost_total`, the audit entries that could not be written. An entry has 5 seconds.
 *
 * Read `AuditLog` next.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import type * as Metric from "effect/Metric"
import type * as Tracer from "effect/Tracer"
import type { AuditLog, Event } from "./AuditLog.ts"
import * as logs from "./internal/observe/logExecution.ts"
import * as timers from "./internal/observe/timer.ts"
import { combinator } from "./internal/stack/combinator.ts"

/**
 * Measures how long the call takes, and opens a span.
 *
 * **Details**
 *
 * `timer` is a timer metric, or the name of one (a histogram in milliseconds). Durations are kept apart by the attribute
 * `outcome`: `succeeded`, `refused`, `notExecuted`, `unknown` or `interrupted`, so a decline does not look like an outage.
 * The span has the name of the metric and the same attribute. Time is that of the monotonic clock, from the start of the
 * call to its end, with its retries if it stands outside of them. Adds no error and no service.
 *
 * **Gotchas**
 *
 * Keep `attributes` to few values, never a key or an amount: each combination is a time series, kept for good.
 *
 * **Example**
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Observe } from "effect-payments"
 *
 * const charge = Effect.succeed("tx_1").pipe(Observe.timer("charge_duration", { attributes: { gateway: "acme" } }))
 *
 * Effect.runSync(charge) // => "tx_1"
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const timer: {
  (
    timer: string | Metric.Metric<Duration.Duration, unknown>,
    options?: { readonly attributes?: { readonly [key: string]: string } | undefined }
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>>
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    timer: string | Metric.Metric<Duration.Duration, unknown>,
    options?: { readonly attributes?: { readonly [key: string]: string } | undefined }
  ): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>>
} = combinator(timers.make)

/**
 * Options of {@link logExecution}.
 *
 * - `name`: what is done, the `action` of the audit entry.
 * - `args`: what it is done with, scrubbed.
 * - `result`: which part of the result to keep, scrubbed; none by default.
 * - `resource`: what it is done to; `name` by default.
 * - `event`: the type of event; `payment` by default.
 *
 * `name` and `resource` are scrubbed too. A selection that throws leaves `[unreadable]` in the entry and nothing else.
 *
 * **Example** (a refund, kept under the order that it is for)
 *
 * ```ts
 * import type { Observe } from "effect-payments"
 *
 * const options: Observe.LogExecutionOptions<{ readonly id: string; readonly status: string }> = {
 *   name: "refund",
 *   args: { order: "order-1", cents: 500 },
 *   result: ({ id, status }) => ({ id, status }),
 *   resource: "order-1"
 * }
 *
 * options.result?.({ id: "re_1", status: "refunded" }) // => { id: "re_1", status: "refunded" }
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export interface LogExecutionOptions<in A> {
  readonly name: string
  readonly args?: unknown
  readonly result?: ((value: A) => unknown) | undefined
  readonly resource?: string | undefined
  readonly event?: Event | undefined
}

/**
 * Writes one audit entry and one log line when the call ends: what was done, by whom, with what, how it ended and after
 * what time.
 *
 * **Details**
 *
 * The entry is written after the call and cannot be interrupted, so that a call that was cut off has one too. Lines are
 * at level `Info` for a success or a refusal, `Warn` for what did not happen, is unknown or was interrupted, and `Error`
 * for a defect. A failure shows as its tags (`PaymentError/CardDeclined`); its message and fields are not kept.
 *
 * **Gotchas**
 *
 * An audit log that does not take the entry within 5 seconds does not change the outcome of the call. The payment has
 * happened or not; to fail it now would have the caller pay again for what is known. The loss is made loud instead: the
 * line goes out at level `Error` with everything the entry would have held, and `effect_payments_audit_lost_total` counts
 * it (PCI DSS 10.7 asks that failures of logging are noticed: alarm on it).
 *
 * **Example**
 *
 * ```ts
 * import { NodeCrypto } from "@effect/platform-node"
 * import { Effect, Layer } from "effect"
 * import { AuditLog, Observe } from "effect-payments"
 *
 * const charge = Effect.succeed({ id: "tx_1" }).pipe(
 *   Observe.logExecution({ name: "charge", args: { card: "4111111111111111", cents: 500 }, result: (tx) => tx.id })
 * )
 *
 * const program = Effect.gen(function*() {
 *   yield* charge
 *   const trail = yield* AuditLog.AuditTrail
 *   return (yield* trail.entries).map(({ action, detail, outcome }) => ({ action, detail, outcome }))
 * })
 *
 * const layer = AuditLog.layerMemory().pipe(Layer.provide(NodeCrypto.layer))
 * const entries = await Effect.runPromise(Effect.provide(program, layer))
 * entries[0]?.outcome // => "succeeded"
 * entries[0]?.detail // => { args: { card: "[PAN ****1111]", cents: 500 }, result: "tx_1" }
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const logExecution: {
  (
    options: LogExecutionOptions<never> & { readonly result?: undefined }
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R | AuditLog>
  <A>(
    options: LogExecutionOptions<NoInfer<A>>
  ): <E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R | AuditLog>
  <A, E, R>(self: Effect.Effect<A, E, R>, options: LogExecutionOptions<NoInfer<A>>): Effect.Effect<A, E, R | AuditLog>
} = dual(2, logs.logExecution)
