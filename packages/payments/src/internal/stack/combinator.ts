/**
 * Combinators that are pipeable and data-first.
 *
 * @internal
 */
import * as Effect from "effect/Effect"

/** @internal */
export type AnyEffect = Effect.Effect<any, any, any>

/**
 * @internal `build` reads the options once per combinator and not once per effect, so that one which is built outside a
 * function costs nothing to apply.
 *
 * `Signature` is what the combinator says about itself, two overloads that no body can be checked against: the one cast
 * that this takes is here, and the tests of types compare both.
 */
export const combinator = <Options extends ReadonlyArray<unknown>, Signature extends (...args: never) => unknown>(
  build: (...options: Options) => (self: AnyEffect) => AnyEffect
): Signature => {
  const apply = (...args: ReadonlyArray<unknown>): unknown => {
    const [self, ...options] = args
    return Effect.isEffect(self) ? build(...options as [...Options])(self) : build(...args as [...Options])
  }
  return apply as unknown as Signature
}
