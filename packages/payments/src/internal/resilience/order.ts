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

type Twice<Name extends string> = Refused<`${Name} is applied twice: keep one`>

type Inside<Inner extends string, Outer extends string> = Refused<
  `${Inner} must be inside ${Outer}: pipe ${Inner} before ${Outer}`
>

/** @internal */
export type TimeoutOrder<R> = Holds<R, CircuitBreaker> extends true ? Inside<"timeout", "circuitBreaker">
  : Holds<R, Retry> extends true ? Inside<"timeout", "retry">
  : Holds<R, RateLimit> extends true ? Inside<"timeout", "rateLimit">
  : Holds<R, Bulkhead> extends true ? Inside<"timeout", "bulkhead">
  : Holds<R, Timeout> extends true ? Twice<"timeout">
  : unknown

/** @internal */
export type BulkheadOrder<R> = Holds<R, CircuitBreaker> extends true ? Inside<"bulkhead", "circuitBreaker">
  : Holds<R, Retry> extends true ? Inside<"bulkhead", "retry">
  : Holds<R, RateLimit> extends true ? Inside<"bulkhead", "rateLimit">
  : Holds<R, Bulkhead> extends true ? Twice<"bulkhead">
  : unknown

/** @internal */
export type RateLimitOrder<R> = Holds<R, CircuitBreaker> extends true ? Inside<"rateLimit", "circuitBreaker">
  : Holds<R, Retry> extends true ? Inside<"rateLimit", "retry">
  : Holds<R, RateLimit> extends true ? Twice<"rateLimit">
  : unknown

/** @internal */
export type RetryOrder<R> = Holds<R, CircuitBreaker> extends true ? Inside<"retry", "circuitBreaker">
  : Holds<R, Retry> extends true ? Twice<"retry">
  : unknown

/** @internal */
export type CircuitBreakerOrder<R> = Holds<R, CircuitBreaker> extends true ? Twice<"circuitBreaker"> : unknown
