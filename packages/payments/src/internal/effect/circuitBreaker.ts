/**
 * The one file that imports Effect's circuit breaker, which is experimental.
 *
 * @internal
 */
import * as CircuitBreaker from "effect/persistence/CircuitBreaker"

/** @internal The port behind which circuits are kept; Effect ships one in memory and one on Redis. */
export const CircuitBreakerStore = CircuitBreaker.CircuitBreakerStore

/** @internal */
export type CircuitBreakerStore = CircuitBreaker.CircuitBreakerStore

/** @internal */
export type Admission = CircuitBreaker.Admission

/** @internal */
export type CircuitBreakerError = CircuitBreaker.CircuitBreakerError

/** @internal */
export type Transition = CircuitBreaker.Transition

/** @internal */
export type TripPolicy = CircuitBreaker.TripPolicy

/** @internal */
export const layerStoreMemory = CircuitBreaker.layerStoreMemory
