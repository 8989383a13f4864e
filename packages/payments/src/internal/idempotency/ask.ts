/**
 * Asks a store that may hang, for so long and no longer.
 *
 * @internal
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { type Ask, askOf } from "../stack/question.ts"
import type { Shared } from "./call.ts"
import type { Entry } from "./entry.ts"
import { StoreUnavailable } from "./unavailable.ts"

/** @internal For so long, or as long as the lease of this entry is not lost. */
export interface Bound {
  readonly operation: string
  readonly millis: number
  readonly entry?: Entry | undefined
}

/**
 * @internal Also where the caller cannot be interrupted. Where it takes a fiber it is one of its own and not in the layer's
 * scope: what ends because the layer closes is saved too.
 */
export const askBounded = <A>(
  { deadlines }: Pick<Shared, "deadlines">,
  self: Effect.Effect<A, StoreUnavailable>,
  bound: Bound
): Effect.Effect<A, StoreUnavailable> => {
  const ask = askOf(self)
  return ask !== undefined
    ? Effect.callback((resume) => Effect.sync(listen(deadlines, ask, bound, resume)))
    : Effect.withFiber((caller) =>
      Effect.callback((resume) => Effect.sync(listen(deadlines, askIn(caller.context, self), bound, resume)))
    )
}

/** @internal In a fiber of its own. */
export const askIn = <A>(
  context: Context.Context<never>,
  self: Effect.Effect<A, StoreUnavailable>
): Ask<A, StoreUnavailable> =>
(hear) => {
  const asked = Effect.runForkWith(context)(self)
  asked.addObserver(hear)
  return () => asked.interruptUnsafe()
}

/** @internal Hears one answer, also when there is none in time. Gives back what stops listening. */
export const listen = <A>(
  deadlines: Shared["deadlines"],
  ask: Ask<A, StoreUnavailable>,
  { entry, millis, operation }: Bound,
  hear: (exit: Exit.Exit<A, StoreUnavailable>) => void
): () => void => {
  let isOver = false
  let callOff: (() => void) | undefined
  const end = (): boolean => {
    if (isOver) return false
    isOver = true
    callOff?.()
    return true
  }
  // Made when it is needed: an error takes its stack, and this is on the path of every call.
  const none = () => Exit.fail(new StoreUnavailable({ operation, detail: "no answer" }))
  const stop = ask((exit) => {
    // A store that is interrupted by somebody else, or dies, has not answered.
    if (end()) hear(exit._tag === "Failure" && (Exit.hasInterrupts(exit) || Exit.hasDies(exit)) ? none() : exit)
  })
  // It has answered without waiting.
  if (isOver) return stop
  const giveUp = (): void => {
    if (!end()) return
    hear(none())
    stop()
  }
  const deadline = deadlines.set(millis, giveUp)
  callOff = () => deadlines.callOff(deadline)
  entry?.onLost(giveUp)
  return () => {
    if (end()) stop()
  }
}
