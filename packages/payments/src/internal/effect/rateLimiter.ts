/**
 * The one file that imports Effect's rate limiter, which is unstable.
 *
 * @internal
 */
import * as Layer from "effect/Layer"
import * as EffectRateLimiter from "effect/persistence/RateLimiter"

/** @internal */
export const RateLimiter = EffectRateLimiter.RateLimiter

/** @internal */
export type RateLimiter = EffectRateLimiter.RateLimiter

/** @internal */
export type RateLimiterError = EffectRateLimiter.RateLimiterError

/** @internal */
export const layerMemory: Layer.Layer<RateLimiter> = Layer.provide(
  EffectRateLimiter.layer,
  EffectRateLimiter.layerStoreMemory
)
