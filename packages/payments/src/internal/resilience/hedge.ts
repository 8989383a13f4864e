/**
 * A second attempt beside one that takes long, where both may be sent.
 *
 * @internal
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import type { HasDisposition } from "../../PaymentError.ts"
import { GatewayCallMustBeInsideIdempotent } from "../stack/claim.ts"
import { ReadOnly } from "../stack/readOnly.ts"
import { durationExpected, InvalidOption, isIntegerIn, positiveMillis } from "./stage.ts"

/** @internal */
export interface Options {
  readonly after: Duration.Input
  readonly attempts?: number | undefined
}

interface Policy {
  readonly afterMillis: number
  readonly attempts: number
}

/** @internal */
export const compile = (options: Options): Policy | InvalidOption => {
  const { attempts = 2 } = options
  const invalid = (option: string, expected: string) => new InvalidOption({ stage: "hedge", option, expected })
  const afterMillis = positiveMillis(options.after)
  if (afterMillis === undefined) return invalid("after", durationExpected)
  if (!isIntegerIn(attempts, 2, 5)) return invalid("attempts", "an integer from 2 to 5")
  return { afterMillis, attempts }
}

const hedges = Metric.counter("effect_payments_hedges_total", {
  description: "Attempts that were started beside one that took long",
  incremental: true
})

// Beside one that has left only where the receiver takes both for one, or nothing happens at all.
const isSafe: Effect.Effect<boolean> = Effect.withFiber((fiber) =>
  fiber.getRef(ReadOnly)
    ? Effect.succeed(true)
    : Context.getOrUndefined(fiber.context, GatewayCallMustBeInsideIdempotent)?.repeatable ?? Effect.succeed(false)
)

/** @internal An attempt that ends without waiting costs no timer. */
export const hedge = <A, E extends HasDisposition, R>(
  self: Effect.Effect<A, E, R>,
  policy: Policy
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const attempts: Array<Fiber.Fiber<A, E>> = []
    return Effect.onExitPrimitive(
      Effect.withFiber((fiber) => {
        const start = Effect.runForkWith(fiber.context as Context.Context<R>)
        const first = start(self)
        attempts.push(first)
        return first.pollUnsafe() ?? race(fiber, attempts, () => start(self), policy)
      }),
      // The losers, and all of them when the caller is interrupted. They are waited for: what they hold is given back.
      () => {
        const running = attempts.filter((attempt) => attempt.pollUnsafe() === undefined)
        return running.length === 0 ? undefined : Fiber.interruptAll(running)
      }
    )
  })

const race = <A, E extends HasDisposition>(
  fiber: Fiber.Fiber<unknown, unknown>,
  attempts: Array<Fiber.Fiber<A, E>>,
  start: () => Fiber.Fiber<A, E>,
  { afterMillis, attempts: attemptsMax }: Policy
): Effect.Effect<A, E> =>
  Effect.callback((resume) => {
    const failed: Array<Exit.Exit<A, E>> = []
    let timer: Fiber.Fiber<void> | undefined
    const end = (exit: Exit.Exit<A, E>): void => {
      timer?.interruptUnsafe(fiber.id)
      resume(exit)
    }
    const watch = (attempt: Fiber.Fiber<A, E>): void => {
      attempt.addObserver((exit) => {
        if (isAnswer(exit)) return end(exit)
        failed.push(exit)
        if (failed.length === attempts.length) end(failed.find(isInDoubt) ?? exit)
      })
    }
    const again = Effect.sync(() => {
      const next = start()
      attempts.push(next)
      watch(next)
    })
    const another: Effect.Effect<void> = Effect.flatMap(
      Effect.delay(isSafe, afterMillis),
      (safe) => safe ? Effect.andThen(Metric.update(hedges, 1), again) : Effect.void
    )
    timer = Effect.runForkWith(fiber.context)(Effect.repeat(another, { times: attemptsMax - 2 }))
    for (const attempt of attempts) watch(attempt)
    return Effect.sync(() => timer?.interruptUnsafe(fiber.id))
  })

// A yes, a no, or a mistake in the program: what the others would say as well.
const isAnswer = (exit: Exit.Exit<unknown, HasDisposition>): boolean =>
  exit._tag === "Success" ||
  exit.cause.reasons.some((reason) => reason._tag !== "Fail" || reason.error.disposition === "Refused")

const isInDoubt = (exit: Exit.Exit<unknown, HasDisposition>): boolean =>
  exit._tag === "Failure" &&
  exit.cause.reasons.some((reason) => reason._tag !== "Fail" || reason.error.disposition === "Unknown")
