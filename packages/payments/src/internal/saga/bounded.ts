/**
 * Asks a log that may hang, for so long and no longer.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Deadlines } from "../stack/deadlines.ts"

/** @internal Also where the caller cannot be interrupted. Fails with undefined when there was no answer in time. */
export const bounded = <A, E>(self: Effect.Effect<A, E>, millis: number): Effect.Effect<A, E | undefined> =>
  Effect.flatMap(
    Effect.forkDetach(Effect.interruptible(self), { startImmediately: true }),
    (fiber) =>
      fiber.pollUnsafe() ?? Effect.onExitPrimitive(
        Effect.timeoutOrElse(Fiber.join(fiber), {
          duration: Duration.millis(millis),
          orElse: () => Effect.fail(undefined)
        }),
        () => void fiber.interruptUnsafe()
      )
  )

/** @internal The same where many ask at a time: their deadlines share a timer. */
export const boundedBy = <A, E>(
  deadlines: Deadlines,
  self: Effect.Effect<A, E>,
  millis: number
): Effect.Effect<A, E | undefined> =>
  Effect.withFiber((caller) => {
    const asked = Effect.runForkWith(caller.context)(self)
    return asked.pollUnsafe() ?? Effect.callback<A, E | undefined>((resume) => {
      const deadline = deadlines.set(millis, () => {
        resume(Effect.fail(undefined))
        asked.interruptUnsafe()
      })
      asked.addObserver((exit) => {
        deadlines.callOff(deadline)
        resume(exit)
      })
      return Effect.sync(() => {
        deadlines.callOff(deadline)
        asked.interruptUnsafe()
      })
    })
  })
