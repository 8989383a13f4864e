/**
 * Asks a store that may hang, for so long and no longer.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Shared } from "./call.ts"
import type { Entry } from "./entry.ts"
import { StoreUnavailable } from "./unavailable.ts"

/**
 * @internal For so long, or as long as the lease is not lost, also where the caller cannot be interrupted. In a fiber of
 * its own and not in the layer's scope: what ends because the layer closes is saved too.
 */
export const askBounded = <A>(
  { deadlines }: Pick<Shared, "deadlines">,
  self: Effect.Effect<A, StoreUnavailable>,
  { millis, operation }: { readonly operation: string; readonly millis: number },
  entry?: Entry
): Effect.Effect<A, StoreUnavailable> =>
  Effect.withFiber((caller) => {
    const asked = Effect.runForkWith(caller.context)(self)
    // Made when it is needed: an error takes its stack, and this is on the path of every call.
    const none = () => Exit.fail(new StoreUnavailable({ operation, detail: "no answer" }))
    // A store that is interrupted by somebody else, or dies, has not answered.
    const answered = (exit: Exit.Exit<A, StoreUnavailable>) =>
      Exit.hasInterrupts(exit) || Exit.hasDies(exit) ? none() : exit
    const exit = asked.pollUnsafe()
    return exit !== undefined ? answered(exit) : Effect.callback<A, StoreUnavailable>((resume) => {
      const giveUp = (): void => {
        resume(none())
        asked.interruptUnsafe()
      }
      const deadline = deadlines.set(millis, giveUp)
      asked.addObserver((exit) => {
        deadlines.callOff(deadline)
        resume(answered(exit))
      })
      entry?.onLost(giveUp)
      return Effect.sync(() => {
        deadlines.callOff(deadline)
        asked.interruptUnsafe()
      })
    })
  })
