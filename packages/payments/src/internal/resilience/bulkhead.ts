/**
 * A bounded number of calls at a time, and a bounded number of others that wait for their turn.
 *
 * @internal
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { GatewayUnavailable, make as makeError, type PaymentError } from "../../PaymentError.ts"
import { floorMillis, leftMillis, noTimeLeft } from "./deadline.ts"
import { durationExpected, InvalidOption, isIntegerIn, positiveMillis, reject } from "./stage.ts"

/** @internal */
export interface Options {
  readonly name?: string | undefined
  readonly limit: number
  readonly queue?: number | undefined
  readonly maxWait?: Duration.Input | undefined
}

/** @internal Waiters are handed a place in the order in which they came; a place handed over stays counted. */
export interface Places {
  readonly "~effect-payments/Bulkhead": true
  readonly name: string
  readonly limit: number
  readonly queue: number
  readonly maxWaitMillis: number
  readonly waiters: Set<Waiter>
  readonly waiting: number
  running: number
}

interface Waiter {
  readonly fiber: Fiber.Fiber<unknown, unknown>
  resume: (effect: Effect.Effect<void, PaymentError>) => void
  granted: boolean
}

/** @internal */
export const make = (options: Options): Places | InvalidOption => {
  const { limit, name = "bulkhead", queue = 0 } = options
  const invalid = (option: string, expected: string) => new InvalidOption({ stage: "makeBulkhead", option, expected })
  const maxWaitMillis = positiveMillis(options.maxWait ?? 1000)
  if (!isIntegerIn(limit, 1, 1_000_000)) return invalid("limit", "an integer from 1 to 1000000")
  if (!isIntegerIn(queue, 0, 1_000_000)) return invalid("queue", "an integer from 0 to 1000000")
  if (maxWaitMillis === undefined) return invalid("maxWait", durationExpected)
  const waiters = new Set<Waiter>()
  return {
    "~effect-payments/Bulkhead": true,
    name,
    limit,
    queue,
    maxWaitMillis,
    waiters,
    running: 0,
    get waiting() {
      return waiters.size
    }
  }
}

/**
 * @internal The frame of `onExit` is on the stack before a place is taken, so no interruption can come between a place
 * and its release.
 */
export const bulkhead = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  places: Places
): Effect.Effect<A, E | PaymentError, R> =>
  Effect.suspend(() => {
    let holds = false
    let waiter: Waiter | undefined
    return Effect.onExitPrimitive(
      Effect.withFiber((fiber): Effect.Effect<A, E | PaymentError, R> => {
        if (places.running < places.limit) {
          places.running++
          holds = true
          return self
        }
        if (places.waiters.size >= places.queue) return full
        waiter = { fiber, resume: () => {}, granted: false }
        places.waiters.add(waiter)
        return Effect.andThen(turn(places, waiter), self)
      }),
      () => {
        if (holds || waiter?.granted === true) release(places)
        else if (waiter !== undefined) places.waiters.delete(waiter)
        return undefined
      }
    )
  })

const full: Effect.Effect<never, PaymentError> = Effect.suspend(() =>
  reject("bulkhead", makeError(new GatewayUnavailable({ by: "bulkhead" })))
)

const turn = (places: Places, waiter: Waiter): Effect.Effect<void, PaymentError> =>
  Effect.callback((resume) => {
    const left = leftMillis(waiter.fiber) - floorMillis
    const giveUp = Effect.suspend(() => {
      if (!waiter.granted) {
        places.waiters.delete(waiter)
        resume(left < places.maxWaitMillis ? noTimeLeft : full)
      }
      return Effect.void
    })
    const millis = Math.min(places.maxWaitMillis, left)
    if (millis <= 0) return resume(noTimeLeft)
    const timer = Effect.runForkWith(waiter.fiber.context)(Effect.andThen(Effect.sleep(millis), giveUp))
    waiter.resume = (effect) => {
      timer.interruptUnsafe(waiter.fiber.id)
      resume(effect)
    }
    return Effect.sync(() => timer.interruptUnsafe(waiter.fiber.id))
  })

// The next in line gets the place itself, so nobody can come in between. It is resumed by the scheduler and not from
// here: a long queue of calls that end at once would otherwise nest one stack in the other.
const release = (places: Places): void => {
  const [next] = places.waiters
  if (next === undefined) {
    places.running--
    return
  }
  places.waiters.delete(next)
  next.granted = true
  next.fiber.currentDispatcher.scheduleTask(() => next.resume(Effect.void), 0)
}
