/**
 * Waiting for a database that may be silent: on a connection whose other end is gone comes neither an answer nor an end.
 * What is given up goes on ending in a fiber of its own, for the client waits several seconds for such a connection.
 *
 * @internal
 */
import type * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"

/** @internal Nobody knows whether it was committed. */
export class Unanswered extends Data.TaggedError("Unanswered") {}

/** @internal Who waits may go at once. */
export const promptly = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiber((caller) =>
    Effect.callback<A, E>((resume) => {
      const asked = Effect.runForkWith(caller.context as Context.Context<R>)(self)
      asked.addObserver(resume)
      return Effect.sync(() => asked.interruptUnsafe(caller.id))
    })
  )

/**
 * @internal Who waits may go at once, and is told that nobody knows when the database is silent for so long, counted from
 * the call of `begun`: from then on nothing but its answer is waited for.
 */
export const timed = <A, E, R>(
  millis: number,
  run: (begun: () => void) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | Unanswered, R> =>
  Effect.withFiber((caller) =>
    Effect.callback<A, E | Unanswered>((resume) => {
      const fork = Effect.runForkWith(caller.context as Context.Context<R>)
      let timer: Fiber.Fiber<void> | undefined
      const stop = () => timer?.interruptUnsafe(caller.id)
      const giveUp = () => {
        resume(Effect.fail(new Unanswered()))
        asked.interruptUnsafe(caller.id)
      }
      const asked = fork(run(() => {
        timer = fork(Effect.map(Effect.sleep(Duration.millis(millis)), giveUp))
      }))
      asked.addObserver((exit) => {
        stop()
        resume(exit)
      })
      return Effect.sync(() => {
        stop()
        asked.interruptUnsafe(caller.id)
      })
    })
  )

// --- how long

const minMillis = 100
const maxMillis = 60_000

/** @internal The bound of a write by an option of a layer, in milliseconds; undefined when it is out of its bounds. */
export const writeTimeoutMillis = (input: Duration.Input | undefined): number | undefined => {
  const millis = Option.map(Duration.fromInput(input ?? "5 seconds"), Duration.toMillis)
  return Option.getOrUndefined(Option.filter(millis, (millis) => millis >= minMillis && millis <= maxMillis))
}

/** @internal What is wrong with it then. */
export const writeTimeoutFault = "writeTimeout must be 100 milliseconds to 1 minute"
