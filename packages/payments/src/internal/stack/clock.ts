/**
 * Durations are measured on the monotonic clock, which does not jump when the time of day is set.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import type * as Fiber from "effect/Fiber"

/** @internal Milliseconds, with fractions. */
export const monotonicMillis = (fiber: Fiber.Fiber<unknown, unknown>): number =>
  Number(fiber.getRef(Clock.Clock).monotonicTimeNanosUnsafe() / 1000n) / 1000
