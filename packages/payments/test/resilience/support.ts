import { Effect, Fiber } from "effect"
import { PaymentError } from "effect-payments"
import { TestClock } from "effect/testing"
import type { Marker } from "../../src/internal/stack/markers.ts"

/** What `idempotent` does for the types alone. */
export const closed = <A, E, R>(self: Effect.Effect<A, E, R>) => self as Effect.Effect<A, E, Exclude<R, Marker>>

/** Runs an effect while the test clock goes on. */
export const elapse = <A, E, R>(self: Effect.Effect<A, E, R>, millis = 600_000) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(self, { startImmediately: true })
    yield* TestClock.adjust(millis)
    return yield* Fiber.join(fiber)
  })

export const overloaded = PaymentError.make(new PaymentError.RateLimited({ by: "gateway" }))
export const unsent = PaymentError.make(new PaymentError.NetworkError({ sent: false }))
export const ambiguous = PaymentError.make(new PaymentError.NetworkError({ sent: true }))
export const declined = PaymentError.make(
  new PaymentError.InsufficientFunds({ advice: "TryAnotherMethod", nextKey: "new" })
)
