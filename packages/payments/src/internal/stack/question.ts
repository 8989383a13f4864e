/**
 * What can be asked without a fiber: a call back hears the answer. Whoever knows that may ask so; for everybody else it is an
 * effect like any other.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"

/** @internal Asks, and gives back what stops listening. The answer may be heard before that. */
export type Ask<A, E> = (hear: (exit: Exit.Exit<A, E>) => void) => () => void

const asking: unique symbol = Symbol("effect-payments/Question")

interface Question<A, E> {
  readonly [asking]?: Ask<A, E>
}

/** @internal Each run of the effect asks anew. */
export const make = <A, E>(ask: Ask<A, E>): Effect.Effect<A, E> => {
  const question: Question<A, E> = { [asking]: ask }
  return Object.assign(Effect.callback<A, E>((resume) => Effect.sync(ask(resume))), question)
}

/** @internal Undefined for an effect that needs a fiber. */
export const askOf = <A, E>(self: Effect.Effect<A, E>): Ask<A, E> | undefined =>
  (self as Effect.Effect<A, E> & Question<A, E>)[asking]
