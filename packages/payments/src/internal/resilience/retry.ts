/**
 * Retry by disposition, over Effect's Schedule.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type * as Pull from "effect/Pull"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import { type HasDisposition, isRetriable } from "../../PaymentError.ts"
import { ReadOnly } from "../stack/readOnly.ts"
import * as budgets from "./budget.ts"
import { leftMillis } from "./deadline.ts"
import { durationExpected, InvalidOption, isIntegerIn, positiveMillis } from "./stage.ts"

/** @internal */
export interface Options {
  readonly attempts?: number | undefined
  readonly base?: Duration.Input | undefined
  readonly factor?: number | undefined
  readonly cap?: Duration.Input | undefined
  readonly jitter?: "full" | "none" | undefined
  readonly schedule?: Schedule.Schedule<unknown, HasDisposition> | undefined
  readonly budget?: budgets.Bucket | undefined
}

interface Policy {
  readonly attempts: number
  readonly capMillis: number
  readonly schedule: Schedule.Schedule<unknown, HasDisposition>
  readonly budget: budgets.Bucket | undefined
}

/** @internal */
export const compile = (options: Options): Policy | InvalidOption => {
  const { attempts = 3, factor = 2, jitter = "full" } = options
  const invalid = (option: string, expected: string) => new InvalidOption({ stage: "retry", option, expected })
  const base = positiveMillis(options.base ?? 500)
  const cap = positiveMillis(options.cap ?? 10_000)
  if (!isIntegerIn(attempts, 1, 100)) return invalid("attempts", "an integer from 1 to 100")
  if (base === undefined) return invalid("base", durationExpected)
  if (cap === undefined) return invalid("cap", durationExpected)
  if (!(factor >= 1 && factor <= 100)) return invalid("factor", "from 1 to 100")
  return {
    attempts,
    capMillis: cap,
    schedule: options.schedule ?? backoff(base, factor, cap, jitter),
    budget: options.budget
  }
}

const backoff = (base: number, factor: number, cap: number, jitter: "full" | "none") =>
  Schedule.modifyDelay(Schedule.exponential(base, factor), ({ duration }) => {
    const millis = Math.min(Duration.toMillis(duration), cap)
    return jitter === "none"
      ? Effect.succeed(Duration.millis(millis))
      : Effect.map(Random.next, (x) => Duration.millis(x * millis))
  })

/** @internal */
export const retry = <A, E extends HasDisposition, R>(
  self: Effect.Effect<A, E, R>,
  policy: Policy
): Effect.Effect<A, E, R> => {
  const { budget } = policy
  const again = Effect.catchCause(self, (cause) => afterFailure(self, policy, cause))
  return budget === undefined ? again : withBudget(again, budget)
}

const withBudget = <A, E extends HasDisposition, R>(self: Effect.Effect<A, E, R>, budget: budgets.Bucket) => {
  const filling = Effect.onExitPrimitive(self, (exit) => {
    if (exit._tag === "Success" || isAnswer(exit.cause)) budget.put()
    return undefined
  })
  return Effect.withFiber((fiber) => {
    const around = fiber.getRef(budgets.Around)
    return around.includes(budget) ? self : Effect.provideService(filling, budgets.Around, [...around, budget])
  })
}

const retries = Metric.counter("effect_payments_retries_total", {
  description: "Attempts after the first",
  incremental: true
})

const afterFailure = Effect.fnUntraced(function*<A, E extends HasDisposition, R>(
  self: Effect.Effect<A, E, R>,
  policy: Policy,
  first: Cause.Cause<E>
) {
  const step = yield* Schedule.toStep(policy.schedule)
  let cause = first
  let doubt = doubtOf(first)
  for (let attempt = 1; attempt < policy.attempts; attempt++) {
    const pause = yield* pauseAfter(cause, step, policy)
    if (pause === undefined) break
    yield* Metric.update(retries, 1)
    yield* Effect.sleep(Duration.millis(pause))
    const exit = yield* Effect.exit(self)
    if (exit._tag === "Success") return exit.value
    cause = exit.cause
    doubt = doubtOf(cause) ?? doubt
  }
  return yield* Effect.failCause(isNotExecuted(cause) ? doubt ?? cause : cause)
})

// An attempt that may have happened is not undone by a later one that was not sent: what is told is the doubt. An answer
// of the other side, yes or no, is the answer to all of them.
const doubtOf = <E extends HasDisposition>(cause: Cause.Cause<E>): Cause.Cause<E> | undefined =>
  isNotExecuted(cause) ? undefined : cause

const isNotExecuted = (cause: Cause.Cause<HasDisposition>): boolean =>
  cause.reasons.length > 0 && cause.reasons.every((x) => x._tag === "Fail" && x.error.disposition === "NotExecuted")

type Step = (now: number, input: HasDisposition) => Pull.Pull<[unknown, Duration.Duration], never, unknown>

// Undefined when there is to be no further attempt. The budget is asked last, so that only real retries draw on it.
const pauseAfter = <E extends HasDisposition>(cause: Cause.Cause<E>, step: Step, policy: Policy) =>
  Effect.withFiber((fiber): Effect.Effect<number | undefined> => {
    const error = retriable(cause, fiber.getRef(ReadOnly))
    if (error === undefined) return Effect.undefined
    const wanted = error.retryAfter === undefined ? 0 : Duration.toMillis(error.retryAfter)
    if (wanted > policy.capMillis) return Effect.undefined
    return Effect.matchEffect(step(fiber.getRef(Clock.Clock).currentTimeMillisUnsafe(), error), {
      onFailure: () => Effect.undefined,
      onSuccess: ([, delay]): Effect.Effect<number | undefined> => {
        const pause = Math.max(wanted, Duration.toMillis(delay))
        if (pause >= leftMillis(fiber)) return Effect.undefined
        return policy.budget === undefined
          ? Effect.succeed(pause)
          : Effect.map(policy.budget.take, (taken) => taken ? pause : undefined)
      }
    })
  })

// A defect or an interruption beside the failure is never retried, and of several failures all have to allow it.
const retriable = <E extends HasDisposition>(cause: Cause.Cause<E>, readOnly: boolean): E | undefined => {
  let last: E | undefined
  for (const reason of cause.reasons) {
    if (reason._tag !== "Fail") return undefined
    const { error } = reason
    if (!isRetriable(error) && !(readOnly && error.disposition === "Unknown")) return undefined
    if (last?.retryAfter === undefined || longer(error, last)) last = error
  }
  return last
}

const longer = (a: HasDisposition, b: HasDisposition) =>
  a.retryAfter !== undefined && b.retryAfter !== undefined && Duration.isGreaterThan(a.retryAfter, b.retryAfter)

const isAnswer = (cause: Cause.Cause<HasDisposition>): boolean =>
  cause.reasons.length > 0 && cause.reasons.every((x) => x._tag === "Fail" && x.error.disposition === "Refused")
