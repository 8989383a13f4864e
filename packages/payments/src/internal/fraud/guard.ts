/**
 * Runs what may hang or die, and always answers in time.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type { Failure } from "../../Fraud.ts"
import { CannotJudge } from "./rule.ts"

/**
 * @internal The effect in a fiber of its own: its death, its interruption of itself and its silence are answers. After
 * `millis` it is interrupted and not waited for, since what hangs may hang in a finalizer too.
 */
export const guard = <A, R>(
  self: Effect.Effect<A, unknown, R>,
  millis: number
): Effect.Effect<A | CannotJudge, never, R> =>
  Effect.suspend(() => {
    let child: Fiber.Fiber<A, unknown> | undefined
    return Effect.onExitPrimitive(
      Effect.withFiber<A | CannotJudge, never, R>((fiber) => {
        if (millis <= 0) return Effect.succeed(new CannotJudge("Timeout"))
        child = Effect.runForkWith(fiber.context as Context.Context<R>)(self)
        const exit = child.pollUnsafe()
        return exit === undefined ? endOrInterrupt(fiber, child, millis) : Effect.succeed(toAnswer(exit))
      }),
      () => {
        if (child !== undefined && child.pollUnsafe() === undefined) child.interruptUnsafe()
        return undefined
      }
    )
  })

const endOrInterrupt = <A>(
  fiber: Fiber.Fiber<unknown, unknown>,
  child: Fiber.Fiber<A, unknown>,
  millis: number
): Effect.Effect<A | CannotJudge> =>
  Effect.callback((resume) => {
    const timer = Effect.runForkWith(fiber.context)(
      Effect.andThen(
        Effect.sleep(Duration.millis(millis)),
        Effect.sync(() => resume(Effect.succeed(new CannotJudge("Timeout"))))
      )
    )
    child.addObserver((exit) => {
      timer.interruptUnsafe()
      resume(Effect.succeed(toAnswer(exit)))
    })
    return Effect.sync(() => timer.interruptUnsafe())
  })

const toAnswer = <A>(exit: Exit.Exit<A, unknown>): A | CannotJudge =>
  Exit.isSuccess(exit) ? exit.value : new CannotJudge(failureOf(exit.cause))

const failureOf = (cause: Cause.Cause<unknown>): Failure =>
  Cause.hasDies(cause) ? "Defect" : Cause.hasInterruptsOnly(cause) ? "Interrupted" : "Error"
