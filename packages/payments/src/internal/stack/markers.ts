/**
 * What the type checker knows about the order of a stack. The markers exist in types alone: nothing provides them at
 * run time, and the index exports none of them as a value, so nobody can.
 *
 * @internal
 */
import * as Context from "effect/Context"

/** @internal */
export class TimeoutMustBeInsideIdempotent
  extends Context.Service<TimeoutMustBeInsideIdempotent, never>()("effect-payments/TimeoutMustBeInsideIdempotent")
{}

/** @internal */
export class BulkheadMustBeInsideIdempotent
  extends Context.Service<BulkheadMustBeInsideIdempotent, never>()("effect-payments/BulkheadMustBeInsideIdempotent")
{}

/** @internal */
export class RateLimitMustBeInsideIdempotent
  extends Context.Service<RateLimitMustBeInsideIdempotent, never>()("effect-payments/RateLimitMustBeInsideIdempotent")
{}

/** @internal */
export class ThrottleMustBeInsideIdempotent
  extends Context.Service<ThrottleMustBeInsideIdempotent, never>()("effect-payments/ThrottleMustBeInsideIdempotent")
{}

/** @internal */
export class HedgeMustBeInsideIdempotent
  extends Context.Service<HedgeMustBeInsideIdempotent, never>()("effect-payments/HedgeMustBeInsideIdempotent")
{}

/** @internal */
export class RetryMustBeInsideIdempotent
  extends Context.Service<RetryMustBeInsideIdempotent, never>()("effect-payments/RetryMustBeInsideIdempotent")
{}

/** @internal */
export class CircuitBreakerMustBeInsideIdempotent
  extends Context.Service<CircuitBreakerMustBeInsideIdempotent, never>()(
    "effect-payments/CircuitBreakerMustBeInsideIdempotent"
  )
{}

/** @internal */
export type Marker =
  | TimeoutMustBeInsideIdempotent
  | BulkheadMustBeInsideIdempotent
  | RateLimitMustBeInsideIdempotent
  | ThrottleMustBeInsideIdempotent
  | HedgeMustBeInsideIdempotent
  | RetryMustBeInsideIdempotent
  | CircuitBreakerMustBeInsideIdempotent
