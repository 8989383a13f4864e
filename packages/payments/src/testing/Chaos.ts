/**
 * Faults for tests, as combinators: around any effect of a program, where `TestGateway` is a gateway.
 *
 * Each one stands around what it breaks. `fault` and `latency` strike before it runs, `crashAfter` and `lostReply` after it
 * has: what it did is done, and its caller does not hear of it. Those two are what a program has to survive that moves money.
 *
 * When they strike is a {@link Plan}: a rate, a list, or a function of the call's number. Rates are drawn from `Random`,
 * so that `Random.withSeed` makes a run the same each time.
 *
 * Read `TestGateway` next.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { type AnyEffect, combinator } from "../internal/stack/combinator.ts"
import { make, NetworkError, type PaymentError } from "../PaymentError.ts"

/**
 * Which calls are struck: a part of them, from 0 to 1; those that are `true` in a list, in the order in which they start,
 * and none after its end; or what a function of the call's number, from 1, says. The calls of all effects are counted
 * together to which one combinator was applied: build it once outside a function.
 *
 * @category models
 * @since 0.1.0
 */
export type Plan = number | ReadonlyArray<boolean> | ((call: number) => boolean)

/**
 * The process that made this call is gone: a defect, which no code of the program is meant to handle.
 *
 * @category errors
 * @since 0.1.0
 */
export class Crash extends Error {
  readonly _tag = "Crash"
  override readonly name = "Crash"
  constructor() {
    super("the process has crashed here, by plan")
  }
}

/**
 * Fails with `error` in place of running.
 *
 * **Example**
 *
 * ```ts
 * import { Effect } from "effect"
 * import { PaymentError } from "effect-payments"
 * import { Chaos } from "effect-payments/testing"
 *
 * const down = Chaos.fault([true], PaymentError.make(new PaymentError.NetworkError({ sent: false })))
 * const call = Effect.succeed("answer").pipe(down)
 *
 * const program = Effect.all([Effect.flip(call), call])
 * const [error, answer] = await Effect.runPromise(program)
 * error.disposition // => "NotExecuted"
 * answer // => "answer"
 * ```
 *
 * @category faults
 * @since 0.1.0
 */
export const fault: {
  <E2>(plan: Plan, error: E2): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | E2, R>
  <A, E, R, E2>(self: Effect.Effect<A, E, R>, plan: Plan, error: E2): Effect.Effect<A, E | E2, R>
} = combinator((plan: Plan, error: unknown) => striking(plan, () => Effect.fail(error)))

/**
 * Waits before it runs.
 *
 * @category faults
 * @since 0.1.0
 */
export const latency: {
  (plan: Plan, duration: Duration.Input): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, plan: Plan, duration: Duration.Input): Effect.Effect<A, E, R>
} = combinator((plan: Plan, duration: Duration.Input) =>
  striking(plan, (self) => Effect.delay(self, Duration.fromInputUnsafe(duration)))
)

/**
 * Runs, and dies of {@link Crash} once it has succeeded: what comes after does not happen.
 *
 * **Gotchas**
 *
 * A finalizer still runs, as it does not in a process that is killed. Kill processes for that.
 *
 * @category faults
 * @since 0.1.0
 */
export const crashAfter: {
  (plan: Plan): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, plan: Plan): Effect.Effect<A, E, R>
} = combinator((plan: Plan) => striking(plan, (self) => Effect.andThen(self, Effect.die(new Crash()))))

/**
 * Runs, and whatever came of it fails with `NetworkError` (`sent: true`), or with an error of one's own: an answer that
 * was lost on the way back, a yes or a no. Defects and interruptions pass.
 *
 * @category faults
 * @since 0.1.0
 */
export const lostReply: {
  (plan: Plan): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | PaymentError, R>
  <E2>(plan: Plan, error: E2): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | E2, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, plan: Plan): Effect.Effect<A, E | PaymentError, R>
  <A, E, R, E2>(self: Effect.Effect<A, E, R>, plan: Plan, error: E2): Effect.Effect<A, E | E2, R>
} = combinator((plan: Plan, error: unknown = make(new NetworkError({ sent: true }))) =>
  striking(plan, (self) => {
    const lost = () => Effect.fail(error)
    return Effect.matchEffect(self, { onFailure: lost, onSuccess: lost })
  })
)

const striking = (plan: Plan, strike: (self: AnyEffect) => AnyEffect) => {
  let calls = 0
  return (self: AnyEffect): AnyEffect => {
    const struck = strike(self)
    return Effect.suspend(() => {
      const call = ++calls
      if (typeof plan === "number") return Effect.flatMap(Random.next, (random) => random < plan ? struck : self)
      return (typeof plan === "function" ? plan(call) : plan[call - 1] === true) ? struck : self
    })
  }
}
