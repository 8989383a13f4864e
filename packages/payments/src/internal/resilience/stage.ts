/**
 * What all stages share: how they are applied, how their options are checked, what they count.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"
import type { Origin } from "../../PaymentError.ts"
import { type AnyEffect, combinator } from "../stack/combinator.ts"

/**
 * An option of a stage is out of its bounds. A mistake in the program and not in its input, so a defect: the stage dies
 * with it when it runs, and nothing is sent.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidOption extends Schema.TaggedError<InvalidOption>()("InvalidOption", {
  stage: Schema.String,
  option: Schema.String,
  expected: Schema.String
}) {
  override get message(): string {
    return `${this.stage}: ${this.option} must be ${this.expected}`
  }
}

/** @internal A combinator whose options are checked when it is built. */
export const stage = <
  Options extends ReadonlyArray<unknown>,
  Policy,
  Signature extends (...args: never) => unknown
>(
  compile: (...options: Options) => Policy | InvalidOption,
  apply: (self: AnyEffect, policy: Policy) => AnyEffect
): Signature =>
  combinator((...options: Options) => {
    const policy = compile(...options)
    return (self) => policy instanceof InvalidOption ? Effect.die(policy) : apply(self, policy)
  })

/** @internal */
export const isIntegerIn = (value: number, min: number, max: number): boolean =>
  Number.isInteger(value) && value >= min && value <= max

/** @internal Milliseconds of a duration from one millisecond to a year; undefined for anything else. */
export const positiveMillis = (input: Duration.Input): number | undefined => {
  const duration = Duration.fromInput(input)
  if (duration._tag === "None") return undefined
  const millis = Duration.toMillis(duration.value)
  return millis >= 1 && millis <= yearMillis ? millis : undefined
}

/** @internal */
export const durationExpected = "a duration from 1 millisecond to a year"

/** @internal How long a store of the stack may be silent. */
export const storeTimeoutDefault = "1 second"

const yearMillis = 366 * 24 * 60 * 60 * 1000

const rejected = Metric.counter("effect_payments_rejected_total", {
  description: "Calls that a stage refused before they left",
  incremental: true
})

/** @internal Counts a call that did not leave, and fails with it. */
export const reject = <E>(by: Origin, error: E): Effect.Effect<never, E> =>
  Effect.flatMap(Metric.update(Metric.withAttributes(rejected, { by }), 1), () => Effect.fail(error))

const storeErrors = Metric.counter("effect_payments_store_errors_total", {
  description: "Operations that a store of the stack did not carry out",
  incremental: true
})

/** @internal A store that fails is never silent: counted, and logged without the cause, which may hold addresses. */
export const storeFailed = (key: string, operation: string): Effect.Effect<void> =>
  Effect.andThen(
    Metric.update(Metric.withAttributes(storeErrors, { operation }), 1),
    Effect.annotateLogs(Effect.logWarning("a store of the stack failed"), { key, operation })
  )
