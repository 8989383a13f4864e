/**
 * The overall deadline of a call, and running something until a point in time.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { GatewayTimeout, GatewayUnavailable, make as makeError, type PaymentError } from "../../PaymentError.ts"
import { GatewayCallMustBeInsideIdempotent } from "../stack/claim.ts"
import { monotonicMillis } from "../stack/clock.ts"
import { durationExpected, InvalidOption, positiveMillis, reject } from "./stage.ts"

// When the call has to be over, in milliseconds on the monotonic clock; Infinity without a deadline.
const Deadline = Context.Reference<number>("effect-payments/Deadline", {
  defaultValue: () => Number.POSITIVE_INFINITY
})

/**
 * @internal The least time with which an attempt is started. Also keeps those that wait for their turn from waiting up
 * to the last instant, where being told "not sent" and being interrupted would race.
 */
export const floorMillis = 1

/** @internal Milliseconds that are left; Infinity without a deadline, below zero once it has passed. */
export const leftMillis = (fiber: Fiber.Fiber<unknown, unknown>): number => {
  const at = fiber.getRef(Deadline)
  return at === Number.POSITIVE_INFINITY ? at : at - monotonicMillis(fiber)
}

/** @internal How long to wait for a store before the attempt: `atMost`, and not up to the last instant. */
export const silenceMillis = (fiber: Fiber.Fiber<unknown, unknown>, atMost: number): number =>
  Math.max(floorMillis, Math.min(atMost, leftMillis(fiber) - floorMillis))

/** @internal */
export const noTimeLeft: Effect.Effect<never, PaymentError> = Effect.suspend(() =>
  reject("deadline", makeError(new GatewayUnavailable({ by: "deadline" })))
)

// Whether what has left may be sent again is for the claim to say; without a claim nothing is known.
const timedOut: Effect.Effect<never, PaymentError> = Effect.withFiber((fiber) => {
  const claim = Context.getOrUndefined(fiber.context, GatewayCallMustBeInsideIdempotent)
  return claim === undefined
    ? Effect.fail(makeError(new GatewayTimeout({})))
    : Effect.flatMap(claim.repeatable, (repeatable) => Effect.fail(makeError(new GatewayTimeout({ repeatable }))))
})

// Runs an effect in a fiber of its own and interrupts it after a time. An effect that ends without waiting costs no timer.
// The frame of `onExit` is on the stack before the fiber starts, so there is no instant at which an interruption could
// leave it running.
const interruptAfter = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  limit: (fiber: Fiber.Fiber<unknown, unknown>) => number | InvalidOption,
  context: (fiber: Fiber.Fiber<unknown, unknown>, millis: number) => Context.Context<never>,
  floor = floorMillis
): Effect.Effect<A, E | PaymentError, R> =>
  Effect.suspend(() => {
    let child: Fiber.Fiber<A, E> | undefined
    return Effect.onExitPrimitive(
      Effect.withFiber((fiber) => {
        const millis = limit(fiber)
        if (millis instanceof InvalidOption) return Effect.die(millis)
        if (millis < floor) return noTimeLeft
        child = Effect.runForkWith(context(fiber, millis) as Context.Context<R>)(self)
        return child.pollUnsafe() ?? endOrInterrupt(fiber, child, millis)
      }),
      () => child === undefined || child.pollUnsafe() !== undefined ? undefined : Fiber.interrupt(child)
    )
  })

// The timer is started at the scheduler's next turn, for what is then left: an attempt that ends before costs none.
const endOrInterrupt = <A, E>(
  fiber: Fiber.Fiber<unknown, unknown>,
  child: Fiber.Fiber<A, E>,
  millis: number
): Effect.Effect<A, E | PaymentError> =>
  Effect.callback((resume) => {
    const start = monotonicMillis(fiber)
    let timer: Fiber.Fiber<void> | undefined
    let expired = false
    const expire = Effect.sync(() => {
      expired = true
      child.interruptUnsafe(fiber.id)
    })
    child.addObserver((exit) => {
      if (!expired) timer?.interruptUnsafe(fiber.id)
      resume(expired ? withDefects(exit) : exit)
    })
    fiber.currentDispatcher.scheduleTask(() => {
      if (child.pollUnsafe() !== undefined) return
      const left = Duration.millis(Math.max(0, start + millis - monotonicMillis(fiber)))
      timer = Effect.runForkWith(fiber.context)(Effect.andThen(Effect.sleep(left), expire))
    }, 0)
  })

// What a finalizer of the attempt died of is not lost.
const withDefects = <A, E>(exit: Exit.Exit<A, E>): Effect.Effect<never, PaymentError> => {
  const defects = exit._tag === "Failure" ? exit.cause.reasons.filter(Cause.isDieReason) : []
  return defects.length === 0
    ? timedOut
    : Effect.catchCause(timedOut, (cause) => Effect.failCause(Cause.combine(cause, Cause.fromReasons(defects))))
}

const same = (fiber: Fiber.Fiber<unknown, unknown>) => fiber.context

/** @internal */
export const compileDeadline = (duration: Duration.Input): number | InvalidOption =>
  positiveMillis(duration) ?? new InvalidOption({ stage: "deadline", option: "duration", expected: durationExpected })

/** @internal */
export const compileTimeout = (
  duration: Duration.Input,
  options?: { readonly floor?: Duration.Input | undefined }
): { readonly millis: number; readonly floor: number } | InvalidOption => {
  const invalid = (option: string, expected: string) => new InvalidOption({ stage: "timeout", option, expected })
  const millis = positiveMillis(duration)
  const floor = positiveMillis(options?.floor ?? floorMillis)
  if (millis === undefined) return invalid("duration", durationExpected)
  return floor === undefined || floor > millis
    ? invalid("floor", "a duration from 1 millisecond to that of the timeout")
    : { millis, floor }
}

/** @internal */
export const timeout = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  { floor, millis }: { readonly millis: number; readonly floor: number }
) =>
  interruptAfter(self, (fiber) => longerThanSettle(fiber, millis) ?? Math.min(millis, leftMillis(fiber)), same, floor)

// What is believed to have never happened after `settle` could still be under way.
const longerThanSettle = (fiber: Fiber.Fiber<unknown, unknown>, millis: number): InvalidOption | undefined => {
  const claim = Context.getOrUndefined(fiber.context, GatewayCallMustBeInsideIdempotent)
  return claim === undefined || millis <= claim.settleMillis ? undefined : new InvalidOption({
    stage: "timeout",
    option: "duration",
    expected: `at most the settle of the idempotent around it, ${Duration.format(Duration.millis(claim.settleMillis))}`
  })
}

/** @internal */
export const deadline = <A, E, R>(self: Effect.Effect<A, E, R>, millis: number) =>
  interruptAfter(
    self,
    (fiber) => Math.min(millis, leftMillis(fiber)),
    (fiber, left) => Context.add(fiber.context, Deadline, monotonicMillis(fiber) + left)
  )
