/**
 * The steps of a group that run at the same time, of which one may end the others.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"

/** @internal */
export class Siblings {
  private readonly fibers = new Set<Fiber.Fiber<unknown, unknown>>()
  private isOver = false

  /** Ends those that still run. What each was at may have left. */
  interrupt(): void {
    this.isOver = true
    for (const fiber of this.fibers) fiber.interruptUnsafe()
  }

  /** Undefined: another one has ended it. */
  run<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A | undefined, E, R> {
    return Effect.gen({ self: this }, function*() {
      if (this.isOver) return undefined
      const fiber = yield* Effect.forkChild(self)
      this.fibers.add(fiber)
      const exit = yield* Effect.onInterrupt(Fiber.await(fiber), () => Fiber.interrupt(fiber))
      this.fibers.delete(fiber)
      const isEnded = this.isOver && Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
      return isEnded ? undefined : yield* exit
    })
  }
}
