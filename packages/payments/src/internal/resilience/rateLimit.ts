/**
 * Calls per window, over Effect's rate limiter.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { GatewayUnavailable, make as makeError, type PaymentError, RateLimited } from "../../PaymentError.ts"
import { RateLimiter, type RateLimiterError } from "../effect/rateLimiter.ts"
import { ask, type NoAnswer } from "../stack/ask.ts"
import { floorMillis, leftMillis, noTimeLeft, silenceMillis } from "./deadline.ts"
import {
  durationExpected,
  InvalidOption,
  isIntegerIn,
  positiveMillis,
  reject,
  storeFailed,
  storeTimeoutDefault
} from "./stage.ts"

/** @internal */
export interface Options {
  readonly key: string
  readonly limit: number
  readonly window: Duration.Input
  readonly algorithm?: "token-bucket" | "fixed-window" | undefined
  readonly onExceeded?: "fail" | "delay" | undefined
  readonly maxWait?: Duration.Input | undefined
  readonly onStoreError?: "allow" | "fail" | undefined
  readonly storeTimeout?: Duration.Input | undefined
}

interface Policy {
  readonly name: string
  readonly consume: {
    readonly key: string
    readonly limit: number
    readonly window: number
    readonly algorithm: "token-bucket" | "fixed-window"
    readonly onExceeded: "fail"
  }
  readonly maxWaitMillis: number
  readonly onStoreError: "allow" | "fail"
  readonly storeMillis: number
}

/** @internal */
export const compile = (options: Options): Policy | InvalidOption => {
  const { algorithm = "token-bucket", key, limit, onStoreError = "allow" } = options
  const invalid = (option: string, expected: string) => new InvalidOption({ stage: "rateLimit", option, expected })
  const window = positiveMillis(options.window)
  const maxWait = positiveMillis(options.maxWait ?? 1000)
  const storeMillis = positiveMillis(options.storeTimeout ?? storeTimeoutDefault)
  if (key.length === 0 || key.length > 255) return invalid("key", "of 1 to 255 characters")
  if (!isIntegerIn(limit, 1, 1_000_000)) return invalid("limit", "an integer from 1 to 1000000")
  if (window === undefined) return invalid("window", durationExpected)
  if (maxWait === undefined) return invalid("maxWait", durationExpected)
  if (storeMillis === undefined) return invalid("storeTimeout", durationExpected)
  return {
    name: key,
    // Waiting is done here, one refusal after the other, and not by reserving ahead: a caller that is interrupted or
    // gives up then takes no token with it.
    consume: { key, limit, window, algorithm, onExceeded: "fail" },
    maxWaitMillis: options.onExceeded === "delay" ? maxWait : 0,
    onStoreError,
    storeMillis
  }
}

/** @internal */
export const rateLimit = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  policy: Policy
): Effect.Effect<A, E | PaymentError, R | RateLimiter> => Effect.andThen(admit(policy, policy.maxWaitMillis), self)

const admit = (policy: Policy, waitMillis: number): Effect.Effect<void, PaymentError, RateLimiter> =>
  Effect.withFiber((fiber) =>
    Effect.matchCauseEffect(
      ask(
        Context.getUnsafe(fiber.context, RateLimiter).consume(policy.consume),
        silenceMillis(fiber, policy.storeMillis)
      ),
      {
        onFailure: (cause) => notAdmitted(policy, cause, waitMillis),
        onSuccess: () => Effect.void
      }
    )
  )

const notAdmitted = (
  policy: Policy,
  cause: Cause.Cause<RateLimiterError | NoAnswer>,
  waitMillis: number
): Effect.Effect<void, PaymentError, RateLimiter> => {
  const error = Cause.findErrorOption(cause)
  if (error._tag === "None") return Effect.failCause(cause as Cause.Cause<never>)
  const reason = error.value._tag === "NoAnswer" ? error.value : error.value.reason
  if (reason._tag === "RateLimitStoreError" || reason._tag === "NoAnswer") {
    return Effect.andThen(
      storeFailed(policy.name, "consume"),
      policy.onStoreError === "fail"
        ? reject("rateLimit", makeError(new GatewayUnavailable({ by: "rateLimit" })))
        : Effect.withFiber((fiber) => leftMillis(fiber) <= floorMillis ? noTimeLeft : Effect.void)
    )
  }
  const { retryAfter } = reason
  const pause = Math.max(1, Math.ceil(Duration.toMillis(retryAfter)))
  return Effect.withFiber((fiber) =>
    pause > Math.min(waitMillis, leftMillis(fiber) - floorMillis)
      ? reject("rateLimit", makeError(new RateLimited({ by: "rateLimit", retryAfter })))
      : Effect.andThen(Effect.sleep(pause), admit(policy, waitMillis - pause))
  )
}
