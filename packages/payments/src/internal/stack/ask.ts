/**
 * Asks something that may hang, a store or a log, for so long and no longer.
 *
 * @internal
 */
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

/** @internal There is no answer: none in time, or somebody else has interrupted what was asked. */
export class NoAnswer {
  readonly _tag = "NoAnswer"
}

/**
 * @internal Also where the caller, or what is asked, cannot be interrupted: it runs in a fiber of its own, which is
 * interrupted when the time is over and not waited for. What answers without waiting costs no timer.
 */
export const ask = <A, E, R>(self: Effect.Effect<A, E, R>, millis: number): Effect.Effect<A, E | NoAnswer, R> =>
  Effect.withFiber<A, E | NoAnswer, R>((caller) => {
    const run = Effect.runForkWith(caller.context as Context.Context<R>)
    const asked = run(self)
    const exit = asked.pollUnsafe()
    if (exit !== undefined) return answered(exit)
    return Effect.callback<A, E | NoAnswer>((resume) => {
      const giveUp = Effect.sync(() => {
        resume(Effect.fail(new NoAnswer()))
        asked.interruptUnsafe(caller.id)
      })
      const timer = run(Effect.andThen(Effect.sleep(Duration.millis(Math.ceil(millis))), giveUp))
      asked.addObserver((exit) => {
        resume(answered(exit))
        timer.interruptUnsafe(caller.id)
      })
      return Effect.sync(() => {
        timer.interruptUnsafe(caller.id)
        asked.interruptUnsafe(caller.id)
      })
    })
  })

const answered = <A, E>(exit: Exit.Exit<A, E>): Exit.Exit<A, E | NoAnswer> =>
  Exit.hasInterrupts(exit) ? Exit.fail(new NoAnswer()) : exit
