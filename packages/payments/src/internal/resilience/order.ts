/**
 * Which stage may stand inside which, told by the markers that are already in R.
 *
 * @internal
 */
import type {
  BulkheadMustBeInsideIdempotent as Bulkhead,
  CircuitBreakerMustBeInsideIdempotent as CircuitBreaker,
  RateLimitMustBeInsideIdempotent as RateLimit,
  RetryMustBeInsideIdempotent as Retry,
  TimeoutMustBeInsideIdempotent as Timeout
} from "../stack/markers.ts"

// What an effect lacks when it is refused: the compiler prints the name of the missing property.
type Refused<Sentence extends string> = { readonly [K in Sentence]: never }

type Holds<R, Marker> = 0 extends 1 & R ? false : Marker extends R ? true : false

type Twice<R, Marker, Name extends string> = Holds<R, Marker> extends true ?
  Refused<`${Name} is applied twice: keep one`>
  : unknown

type Inside<R, Marker, Inner extends string, Outer extends string> = Holds<R, Marker> extends true
  ? Refused<`${Inner} must be inside ${Outer}: pipe ${Inner} before ${Outer}`>
  : unknown

/** @internal */
export type TimeoutOrder<R> =
  & Twice<R, Timeout, "timeout">
  & Inside<R, Bulkhead, "timeout", "bulkhead">
  & Inside<R, RateLimit, "timeout", "rateLimit">
  & Inside<R, Retry, "timeout", "retry">
  & Inside<R, CircuitBreaker, "timeout", "circuitBreaker">

/** @internal */
export type BulkheadOrder<R> =
  & Twice<R, Bulkhead, "bulkhead">
  & Inside<R, RateLimit, "bulkhead", "rateLimit">
  & Inside<R, Retry, "bulkhead", "retry">
  & Inside<R, CircuitBreaker, "bulkhead", "circuitBreaker">

/** @internal */
export type RateLimitOrder<R> =
  & Twice<R, RateLimit, "rateLimit">
  & Inside<R, Retry, "rateLimit", "retry">
  & Inside<R, CircuitBreaker, "rateLimit", "circuitBreaker">

/** @internal */
export type RetryOrder<R> = Twice<R, Retry, "retry"> & Inside<R, CircuitBreaker, "retry", "circuitBreaker">

/** @internal */
export type CircuitBreakerOrder<R> = Twice<R, CircuitBreaker, "circuitBreaker">
