import { type Duration, Effect, pipe } from "effect"
import { Idempotency, PaymentError, PaymentGateway, Resilience } from "effect-payments"
import { describe, expectTypeOf, it } from "vitest"
import type { Claim } from "../src/internal/stack/claim.ts"
import type {
  BulkheadMustBeInsideIdempotent,
  CircuitBreakerMustBeInsideIdempotent,
  Marker,
  RateLimitMustBeInsideIdempotent,
  RetryMustBeInsideIdempotent,
  TimeoutMustBeInsideIdempotent
} from "../src/internal/stack/markers.ts"

interface OutOfStock {
  readonly _tag: "OutOfStock"
  readonly disposition: "Refused"
}
interface Database {
  readonly _: "Database"
}
declare const call: Effect.Effect<string, OutOfStock, Database>
declare const throttle: Resilience.Throttle
declare const places: Resilience.Bulkhead
declare const request: PaymentGateway.AuthorizeRequest
declare const scope: Idempotency.Scope
declare const key: Idempotency.Key
const limit = { key: "gateway", limit: 10, window: "1 second" } as const

type Result<R> = Effect.Effect<string, OutOfStock | PaymentError.PaymentError, R>

describe("the stages", () => {
  it("add their marker, their service and PaymentError", () => {
    expectTypeOf(Resilience.timeout(call, "1 second")).toEqualTypeOf<Result<Database | TimeoutMustBeInsideIdempotent>>()
    expectTypeOf(Resilience.bulkhead(call, places)).toEqualTypeOf<Result<Database | BulkheadMustBeInsideIdempotent>>()
    expectTypeOf(Resilience.rateLimit(call, limit)).toEqualTypeOf<
      Result<Database | Resilience.RateLimiter | RateLimitMustBeInsideIdempotent>
    >()
    expectTypeOf(Resilience.circuitBreaker(call, { name: "gateway" })).toEqualTypeOf<
      Result<Database | Resilience.CircuitBreakerStore | CircuitBreakerMustBeInsideIdempotent>
    >()
    expectTypeOf(Resilience.deadline(call, "1 minute")).toEqualTypeOf<Result<Database>>()
  })

  it("add nothing to E where they add no failure", () => {
    expectTypeOf(Resilience.retry(call)).toEqualTypeOf<
      Effect.Effect<string, OutOfStock, Database | RetryMustBeInsideIdempotent>
    >()
  })

  it("are the same when piped", () => {
    expectTypeOf(call.pipe(Resilience.timeout("1 second"))).toEqualTypeOf(Resilience.timeout(call, "1 second"))
    expectTypeOf(call.pipe(Resilience.bulkhead(places))).toEqualTypeOf(Resilience.bulkhead(call, places))
    expectTypeOf(call.pipe(Resilience.rateLimit(limit))).toEqualTypeOf(Resilience.rateLimit(call, limit))
    expectTypeOf(call.pipe(Resilience.retry({ attempts: 2 }))).toEqualTypeOf(Resilience.retry(call, { attempts: 2 }))
    expectTypeOf(call.pipe(Resilience.circuitBreaker({ name: "x" }))).toEqualTypeOf(
      Resilience.circuitBreaker(call, { name: "x" })
    )
    expectTypeOf(call.pipe(Resilience.deadline("1 second"))).toEqualTypeOf(Resilience.deadline(call, "1 second"))
  })

  it("take an effect that cannot fail", () => {
    expectTypeOf(Resilience.retry(Effect.succeed(1))).toEqualTypeOf<
      Effect.Effect<number, never, RetryMustBeInsideIdempotent>
    >()
  })

  it("compile in the legal order, with other combinators in between", () => {
    const stack = pipe(
      call,
      Resilience.timeout("1 second"),
      Effect.map((x) => x),
      Resilience.bulkhead(places),
      Resilience.rateLimit(limit),
      Effect.tap(() => Effect.void),
      Resilience.throttle(throttle),
      Resilience.hedge({ after: "1 second" }),
      Resilience.retry({ attempts: 3 }),
      Effect.withSpan("charge"),
      Resilience.deadline("1 minute"),
      Resilience.circuitBreaker({ name: "gateway" })
    )
    expectTypeOf(stack).toEqualTypeOf<
      Result<Database | Marker | Resilience.CircuitBreakerStore | Resilience.RateLimiter>
    >()
  })

  it("leave nothing but real services when the stack is closed", () => {
    const charge = Effect.flatMap(PaymentGateway.PaymentGateway, (gateway) => gateway.authorize(request)).pipe(
      Resilience.timeout("1 second"),
      Resilience.bulkhead(places),
      Resilience.rateLimit(limit),
      Resilience.retry({ attempts: 3 }),
      Resilience.circuitBreaker({ name: "gateway" }),
      Idempotency.idempotent({
        scope,
        key,
        payload: request,
        payloadSchema: PaymentGateway.AuthorizeRequest,
        success: PaymentGateway.Transaction,
        error: PaymentError.PaymentError
      }),
      Idempotency.operation("charge"),
      Resilience.deadline("1 minute")
    )
    expectTypeOf(charge).toEqualTypeOf<
      Effect.Effect<
        PaymentGateway.Transaction,
        PaymentError.PaymentError | Idempotency.IdempotencyError,
        | PaymentGateway.PaymentGateway
        | Idempotency.Idempotency
        | Resilience.CircuitBreakerStore
        | Resilience.RateLimiter
      >
    >()
    const readOnly = call.pipe(
      Resilience.timeout("1 second"),
      Resilience.retry(),
      Resilience.circuitBreaker({ name: "x" }),
      Idempotency.readOnly
    )
    expectTypeOf(readOnly).toEqualTypeOf<Result<Database | Resilience.CircuitBreakerStore>>()
  })

  it("compile when any of them is left out", () => {
    const partial = [
      call.pipe(Resilience.timeout("1 second"), Resilience.circuitBreaker({ name: "x" })),
      call.pipe(Resilience.bulkhead(places), Resilience.retry()),
      call.pipe(Resilience.rateLimit(limit), Resilience.circuitBreaker({ name: "x" })),
      call.pipe(Resilience.timeout("1 second"), Resilience.rateLimit(limit), Resilience.retry())
    ]
    expectTypeOf(partial).items.toExtend<Effect.Effect<string, unknown, unknown>>()
  })

  it("stand with a claim still open", () => {
    const charge = call as Effect.Effect<string, OutOfStock, Database | Claim>
    expectTypeOf(Resilience.retry(charge)).toEqualTypeOf<
      Effect.Effect<string, OutOfStock, Database | Claim | RetryMustBeInsideIdempotent>
    >()
  })
})

it("the makers fail with nothing and need nothing", () => {
  expectTypeOf(Resilience.makeBulkhead({ limit: 1 })).toEqualTypeOf<Effect.Effect<Resilience.Bulkhead>>()
  expectTypeOf(Resilience.makeRetryBudget()).toEqualTypeOf<Effect.Effect<Resilience.RetryBudget>>()
  expectTypeOf(Resilience.timeLeftMillis).toEqualTypeOf<Effect.Effect<number>>()
  expectTypeOf<Parameters<typeof Resilience.deadline>[1]>().toExtend<Duration.Input>()
})
