/**
 * Asks a store that may hang, for a while and no longer.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { StoreUnavailable } from "../../IdempotencyStore.ts"

// How long a store may be silent.
const silentMillis = 5_000

/** @internal In a fiber of its own: the one who asks cannot be interrupted, and yet gets an answer in time. */
export const ask = <A>(
  operation: string,
  self: Effect.Effect<A, StoreUnavailable>
): Effect.Effect<A, StoreUnavailable> =>
  Effect.flatMap(Effect.forkDetach(self, { startImmediately: true }), (asked) => {
    const silence = new StoreUnavailable({ operation, detail: "NoAnswer" })
    const answered = (exit: Exit.Exit<A, StoreUnavailable>) => Exit.hasInterrupts(exit) ? Exit.fail(silence) : exit
    const exit = asked.pollUnsafe()
    if (exit !== undefined) return answered(exit)
    return Effect.withFiber((caller) =>
      Effect.callback<A, StoreUnavailable>((resume) => {
        const giveUp = Effect.map(Effect.sleep(silentMillis), () => {
          resume(Effect.fail(silence))
          asked.interruptUnsafe()
        })
        const timer = Effect.runForkWith(caller.context)(giveUp)
        asked.addObserver((exit) => {
          resume(answered(exit))
          timer.interruptUnsafe()
        })
      })
    )
  })

/** @internal Twice: every transition may be sent again, and a reply that was lost comes with the second. */
export const askTwice = <A>(
  operation: string,
  self: Effect.Effect<A, StoreUnavailable>
): Effect.Effect<A, StoreUnavailable> => Effect.catch(ask(operation, self), () => ask(operation, self))
