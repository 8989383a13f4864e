/**
 * Which stage may stand inside which, told by the markers that are already in R.
 *
 * @internal
 */
import type {
  BulkheadMustBeInsideIdempotent,
  CircuitBreakerMustBeInsideIdempotent,
  HedgeMustBeInsideIdempotent,
  RateLimitMustBeInsideIdempotent,
  RetryMustBeInsideIdempotent,
  ThrottleMustBeInsideIdempotent,
  TimeoutMustBeInsideIdempotent
} from "../stack/markers.ts"

interface Markers {
  readonly circuitBreaker: CircuitBreakerMustBeInsideIdempotent
  readonly retry: RetryMustBeInsideIdempotent
  readonly hedge: HedgeMustBeInsideIdempotent
  readonly throttle: ThrottleMustBeInsideIdempotent
  readonly rateLimit: RateLimitMustBeInsideIdempotent
  readonly bulkhead: BulkheadMustBeInsideIdempotent
  readonly timeout: TimeoutMustBeInsideIdempotent
}

// From the outermost to the innermost.
type Sequence = ["circuitBreaker", "retry", "hedge", "throttle", "rateLimit", "bulkhead", "timeout"]

// What an effect lacks when it is refused: the compiler prints the name of the missing property.
type Refused<Sentence extends string> = { readonly [K in Sentence]: never }

type Holds<R, Marker> = 0 extends 1 & R ? false : Marker extends R ? true : false

type Twice<Name extends string> = Refused<`${Name} is applied twice: keep one`>

type Inside<Inner extends string, Outer extends string> = Refused<
  `${Inner} must be inside ${Outer}: pipe ${Inner} before ${Outer}`
>

// The outermost stage that is there already is the one that the sentence names.
type Order<Name extends keyof Markers, R, Names = Sequence> = Names extends
  readonly [infer First extends keyof Markers, ...infer Rest]
  ? Holds<R, Markers[First]> extends true ? First extends Name ? Twice<Name> : Inside<Name, First>
  : First extends Name ? unknown
  : Order<Name, R, Rest>
  : unknown

/** @internal */
export type TimeoutOrder<R> = Order<"timeout", R>

/** @internal */
export type BulkheadOrder<R> = Order<"bulkhead", R>

/** @internal */
export type RateLimitOrder<R> = Order<"rateLimit", R>

/** @internal */
export type ThrottleOrder<R> = Order<"throttle", R>

/** @internal */
export type HedgeOrder<R> = Order<"hedge", R>

/** @internal */
export type RetryOrder<R> = Order<"retry", R>

/** @internal */
export type CircuitBreakerOrder<R> = Order<"circuitBreaker", R>
