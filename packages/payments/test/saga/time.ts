import { Duration, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"

/** Until time alone moves anything. */
export const settled = Effect.repeat(Effect.yieldNow, { times: 50 })

/** Runs it in the background until time alone moves it, then lets so much pass. */
export const over = <A, E, R>(self: Effect.Effect<A, E, R>, duration: Duration.Input) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(self)
    const millis = Duration.toMillis(Duration.fromInputUnsafe(duration))
    const step = Math.max(1000, millis / 100)
    for (let left = millis; left > 0; left -= step) {
      yield* settled
      yield* TestClock.adjust(Math.min(step, left))
    }
    return yield* Fiber.join(fiber)
  })
