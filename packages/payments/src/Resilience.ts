/**
 * What keeps a call to a gateway from failing, from hanging and from making an outage worse.
 *
 * Eight stages, each a function from effect to effect that reads what is known about a failure and nothing else: `timeout`
 * and `deadline` end what hangs, `bulkhead`, `rateLimit` and `throttle` hold back what is too much, `hedge` asks twice what
 * takes long, `retry` tries again what may be tried again, `circuitBreaker` stops asking a gateway that is down. The order
 * is part of the contract, and the compiler checks it:
 *
 * ```text
 * call → timeout → bulkhead → rateLimit → throttle → hedge → retry → circuitBreaker → Idempotency.idempotent
 * ```
 *
 * What this prevents: a retry outside of idempotency that charges twice, replays that use up a quota, a decline that
 * opens a circuit, a retry storm, an attempt that outlives its caller. What it guarantees: a refusal is never tried
 * again; an unknown outcome is only where the gateway recognises the same request; whatever a stage itself refuses did
 * not leave (`NotExecuted`), and whatever it cuts off is `Unknown`. What it does not: `deadline` and `timeout` interrupt
 * the fiber, they cannot call back a request that has left.
 *
 * Defaults:
 *
 * | stage | option | default | bounds |
 * |---|---|---|---|
 * | `timeout`, `deadline` | `duration` | none | 1 ms to a year |
 * | `timeout` | `floor` | 1 ms | 1 ms to `duration` |
 * | `bulkhead` | `limit` | none | 1 to 1,000,000 |
 * | | `queue` | 0: who finds it full is refused at once | 0 to 1,000,000 |
 * | | `maxWait` | 1 second | 1 ms to a year |
 * | `rateLimit` | `algorithm` | `token-bucket` | |
 * | | `onExceeded` | `fail` | |
 * | | `maxWait` (with `delay`) | 1 second | 1 ms to a year |
 * | | `onStoreError` | `allow` | |
 * | | `storeTimeout` | 1 second | 1 ms to a year |
 * | `makeThrottle` | `k`, `window` | 2, 2 minutes | 1 to 100; 1 ms to a year |
 * | `hedge` | `after` | none | 1 ms to a year |
 * | | `attempts` | 2 in total | 2 to 5 |
 * | `retry` | `attempts` | 3 in total | 1 to 100 |
 * | | `base`, `factor`, `cap` | 500 ms, 2, 10 seconds | factor 1 to 100 |
 * | | `jitter` | `full` | |
 * | `circuitBreaker` | `failures` | 5 in a row | 1 to 1,000,000 |
 * | | `rate` | `threshold` 0.5 of `size` 100 | size 1 to 10,000 |
 * | | `openFor`, `factor`, `cap` | 30 seconds, 2, 10 minutes | factor 1 to 100 |
 * | | `onStoreError` | `allow` | |
 * | | `storeTimeout` | 1 second | 1 ms to a year |
 * | `makeRetryBudget` | `tokens`, `refill` | 10, 0.1 | |
 *
 * An option that is out of bounds is a mistake in the program: the stage dies with `InvalidOption`, and nothing is sent.
 *
 * Counted: `effect_payments_retries_total`, `effect_payments_hedges_total`, `effect_payments_rejected_total` by stage, `effect_payments_circuit_transitions_total` from and
 * to, `effect_payments_store_errors_total` by operation.
 *
 * Time and chance come from `Clock` and `Random`, so that everything here is deterministic under a test clock.
 *
 * **Example** (a client of an external service)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Idempotency, PaymentError, Resilience } from "effect-payments"
 *
 * let attempts = 0
 * const ask = Effect.suspend(() =>
 *   ++attempts < 3 ? Effect.fail(PaymentError.make(new PaymentError.NetworkError({ sent: true }))) : Effect.succeed(1.08)
 * )
 *
 * const exchangeRate = ask.pipe(
 *   Resilience.timeout("2 seconds"),
 *   Resilience.rateLimit({ key: "rates", limit: 100, window: "1 second" }),
 *   Resilience.retry({ attempts: 3, base: "1 millis" }),
 *   Resilience.circuitBreaker({ name: "rates" }),
 *   Idempotency.readOnly
 * )
 *
 * await Effect.runPromise(Effect.provide(exchangeRate, Resilience.layerMemory)) // => 1.08
 * attempts // => 3
 * ```
 *
 * The call has no side effect, so `readOnly` closes the stack. Without it the program does not compile, since a retry
 * outside of `idempotent` or `readOnly` could pay twice.
 *
 * Read `Idempotency` next.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Schedule from "effect/Schedule"
import * as circuits from "./internal/effect/circuitBreaker.ts"
import * as limiters from "./internal/effect/rateLimiter.ts"
import type { Redis } from "./internal/effect/redis.ts"
import * as budgets from "./internal/resilience/budget.ts"
import * as bulkheads from "./internal/resilience/bulkhead.ts"
import * as breaker from "./internal/resilience/circuitBreaker.ts"
import * as time from "./internal/resilience/deadline.ts"
import * as hedges from "./internal/resilience/hedge.ts"
import type * as order from "./internal/resilience/order.ts"
import * as limiter from "./internal/resilience/rateLimit.ts"
import * as retries from "./internal/resilience/retry.ts"
import { InvalidOption, stage } from "./internal/resilience/stage.ts"
import * as throttles from "./internal/resilience/throttle.ts"
import type {
  BulkheadMustBeInsideIdempotent,
  CircuitBreakerMustBeInsideIdempotent,
  HedgeMustBeInsideIdempotent,
  RateLimitMustBeInsideIdempotent,
  RetryMustBeInsideIdempotent,
  ThrottleMustBeInsideIdempotent,
  TimeoutMustBeInsideIdempotent
} from "./internal/stack/markers.ts"
import type { HasDisposition, PaymentError } from "./PaymentError.ts"

export {
  /**
   * @category errors
   * @since 0.1.0
   */
  InvalidOption
}

/**
 * The circuits that this process shares with nobody, or, over Redis, with the others: Effect's service.
 *
 * @category services
 * @since 0.1.0
 */
export type CircuitBreakerStore = circuits.CircuitBreakerStore

/**
 * Counts calls per window: Effect's service.
 *
 * @category services
 * @since 0.1.0
 */
export type RateLimiter = limiters.RateLimiter

/**
 * What `circuitBreaker` and `rateLimit` need, in the memory of this process.
 *
 * **When to use**
 *
 * For tests and for one process. Several processes that are to share circuits and quotas take Effect's stores over
 * Redis, as in the example; both need Effect's `Redis` service.
 *
 * **Gotchas**
 *
 * A circuit is dropped after an hour without a call. A rate limiter keeps a counter for each key for good: take its keys
 * from a bounded set (a gateway, a merchant account), never from the request.
 *
 * **Example** (shared by several processes)
 *
 * ```ts
 * import { Layer } from "effect"
 * import { CircuitBreaker, RateLimiter } from "effect/persistence"
 *
 * const shared = Layer.merge(
 *   CircuitBreaker.layerStoreRedis({ prefix: "payments:circuit:" }),
 *   Layer.provide(RateLimiter.layer, RateLimiter.layerStoreRedis({ prefix: "payments:rate:" }))
 * )
 *
 * Layer.isLayer(shared) // => true
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory: Layer.Layer<CircuitBreakerStore | RateLimiter> = Layer.merge(
  circuits.layerStoreMemory(),
  limiters.layerMemory
)

/**
 * How much is left before the deadline of the call, in milliseconds; `Infinity` without a deadline, and never below
 * zero. An adapter hands it to its HTTP client.
 *
 * @category deadlines
 * @since 0.1.0
 */
export const timeLeftMillis: Effect.Effect<number> = Effect.withFiberSucceed((fiber) =>
  Math.max(0, time.leftMillis(fiber))
)

/**
 * Gives the call, with all its attempts and pauses, a time to be over. Stands outside `retry`; it may stand outside
 * `idempotent` too.
 *
 * **Details**
 *
 * Of nested deadlines the earliest counts. The stages inside read it: no attempt starts with less than a millisecond
 * left and none runs past it, `retry` does not sleep past it, and nobody waits for a place or a token beyond it. Adds
 * `PaymentError`: `GatewayUnavailable` by `deadline` when nothing was started, `GatewayTimeout` when the call was cut
 * off, which is `Unknown`.
 *
 * **Example**
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Resilience } from "effect-payments"
 *
 * const late = Effect.never.pipe(Resilience.deadline("5 millis"))
 *
 * const error = await Effect.runPromise(Effect.flip(late))
 * error.reason._tag // => "GatewayTimeout"
 * ```
 *
 * @category deadlines
 * @since 0.1.0
 */
export const deadline: {
  (duration: Duration.Input): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | PaymentError, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, duration: Duration.Input): Effect.Effect<A, E | PaymentError, R>
} = stage(time.compileDeadline, time.deadline)

/**
 * Ends an attempt that takes too long. The innermost stage.
 *
 * **Details**
 *
 * The limit is the shorter of its own and what is left before the deadline. The attempt is interrupted and fails with
 * `GatewayTimeout`, which is `Unknown`: it may have happened. It is `repeatable` only if everything that has left under
 * the claim went to gateways that recognise its key. With less than `floor` left (1 ms by default) the attempt does not
 * start (`GatewayUnavailable` by `deadline`): give the time in which the gateway answers at the least, so that nothing is
 * sent whose answer nobody will see. The stage waits for the attempt's finalizers.
 *
 * @category stages
 * @since 0.1.0
 */
export const timeout: {
  (duration: Duration.Input, options?: { readonly floor?: Duration.Input | undefined }): <
    A,
    E extends HasDisposition,
    R
  >(
    self: Effect.Effect<A, E, R> & order.TimeoutOrder<R>
  ) => Effect.Effect<A, E | PaymentError, R | TimeoutMustBeInsideIdempotent>
  <A, E extends HasDisposition, R>(
    self: Effect.Effect<A, E, R> & order.TimeoutOrder<R>,
    duration: Duration.Input,
    options?: { readonly floor?: Duration.Input | undefined }
  ): Effect.Effect<A, E | PaymentError, R | TimeoutMustBeInsideIdempotent>
} = stage(time.compileTimeout, time.timeout)

/**
 * Places for calls that run at the same time, and for calls that wait. Made once with {@link makeBulkhead} and shared by
 * all calls that it is to bound.
 *
 * @category models
 * @since 0.1.0
 */
export interface Bulkhead {
  readonly "~effect-payments/Bulkhead": true
  readonly name: string
  readonly limit: number
  readonly queue: number
  /** Calls that run now. */
  readonly running: number
  /** Calls that wait now. */
  readonly waiting: number
}

/**
 * Makes a bulkhead. `limit` calls run at a time, `queue` others wait in the order in which they came, for at most
 * `maxWait`. Dies with `InvalidOption`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeBulkhead = (options: {
  readonly name?: string | undefined
  readonly limit: number
  readonly queue?: number | undefined
  readonly maxWait?: Duration.Input | undefined
}): Effect.Effect<Bulkhead> =>
  Effect.suspend(() => {
    const made = bulkheads.make(options)
    return made instanceof InvalidOption ? Effect.die(made) : Effect.succeed(made)
  })

/**
 * Bounds how many attempts run at the same time. Stands outside `timeout` and inside `rateLimit`.
 *
 * **Details**
 *
 * Who finds every place taken and the queue full, or has waited for `maxWait`, fails with `GatewayUnavailable` by
 * `bulkhead`; who cannot be served before the deadline, with the same by `deadline`. Both are `NotExecuted`. A place is
 * given back whatever becomes of the attempt, and one that waits and is interrupted leaves the queue.
 *
 * **Example**
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Idempotency, Resilience } from "effect-payments"
 *
 * const program = Effect.gen(function*() {
 *   const places = yield* Resilience.makeBulkhead({ limit: 2 })
 *   const call = Effect.yieldNow.pipe(
 *     Effect.as("answered"),
 *     Resilience.bulkhead(places),
 *     Idempotency.readOnly,
 *     Effect.catchTag("PaymentError", (error) => Effect.succeed(error.message))
 *   )
 *   return yield* Effect.all([call, call, call], { concurrency: "unbounded" })
 * })
 *
 * await Effect.runPromise(program) // => ["answered", "answered", "not sent: too many calls are waiting"]
 * ```
 *
 * @category stages
 * @since 0.1.0
 */
export const bulkhead: {
  (bulkhead: Bulkhead): <A, E extends HasDisposition, R>(
    self: Effect.Effect<A, E, R> & order.BulkheadOrder<R>
  ) => Effect.Effect<A, E | PaymentError, R | BulkheadMustBeInsideIdempotent>
  <A, E extends HasDisposition, R>(
    self: Effect.Effect<A, E, R> & order.BulkheadOrder<R>,
    bulkhead: Bulkhead
  ): Effect.Effect<A, E | PaymentError, R | BulkheadMustBeInsideIdempotent>
} = stage((bulkhead: bulkheads.Places) => bulkhead, bulkheads.bulkhead)

/**
 * Options of {@link rateLimit}.
 *
 * - `key`: calls with the same key share the limit. At most 255 characters, from a bounded set.
 * - `limit` calls per `window`.
 * - `algorithm`: `token-bucket` spreads them, `fixed-window` lets a whole limit through at the start of each window.
 * - `onExceeded`: `fail` at once, or `delay` for at most `maxWait`. Those that wait are not served in order.
 * - `onStoreError`: `allow` lets the call through uncounted, `fail` refuses it with `GatewayUnavailable` by `rateLimit`.
 * - `storeTimeout`: how long the store may be silent, or up to the deadline if that is nearer; then it counts as failed.
 *
 * @category models
 * @since 0.1.0
 */
export interface RateLimitOptions {
  readonly key: string
  readonly limit: number
  readonly window: Duration.Input
  readonly algorithm?: "token-bucket" | "fixed-window" | undefined
  readonly onExceeded?: "fail" | "delay" | undefined
  readonly maxWait?: Duration.Input | undefined
  readonly onStoreError?: "allow" | "fail" | undefined
  readonly storeTimeout?: Duration.Input | undefined
}

/**
 * Bounds how many attempts start per window, over Effect's rate limiter. Stands inside `retry`, so that each attempt
 * counts, and inside `idempotent`, so that replays do not.
 *
 * **Details**
 *
 * A call over the limit fails with `RateLimited` by `rateLimit`, with `retryAfter`; a `retry` outside waits that long.
 * With `delay` it waits here, unless that would take longer than `maxWait` or go past the deadline. A caller that gives
 * up or is interrupted takes no token with it.
 *
 * @category stages
 * @since 0.1.0
 */
export const rateLimit: {
  (options: RateLimitOptions): <A, E extends HasDisposition, R>(
    self: Effect.Effect<A, E, R> & order.RateLimitOrder<R>
  ) => Effect.Effect<A, E | PaymentError, R | RateLimiter | RateLimitMustBeInsideIdempotent>
  <A, E extends HasDisposition, R>(
    self: Effect.Effect<A, E, R> & order.RateLimitOrder<R>,
    options: RateLimitOptions
  ): Effect.Effect<A, E | PaymentError, R | RateLimiter | RateLimitMustBeInsideIdempotent>
} = stage(limiter.compile, limiter.rateLimit)

/**
 * What a gateway has taken and turned away lately. Made once for each gateway with {@link makeThrottle}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Throttle {
  readonly "~effect-payments/Throttle": true
  readonly name: string
  readonly k: number
  /** Requests within the window, those that were not sent included. */
  readonly requests: number
  /** Those that the gateway has answered. */
  readonly accepts: number
  /**
   * How likely the next request is not sent: `max(0, (requests - k * accepts) / (requests + 1))`, without the requests
   * that are out for less than a twelfth of the window.
   */
  readonly rejection: number
}

/**
 * Makes a throttle, in the memory of this process. `k` (2) is how many requests are sent for each that is answered: 2 sends
 * twice what the gateway can take, so that its recovery is seen soon. `window` (2 minutes) is how long requests count,
 * longer than they take. Dies with `InvalidOption`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeThrottle = (options?: {
  readonly name?: string | undefined
  readonly k?: number | undefined
  readonly window?: Duration.Input | undefined
}): Effect.Effect<Throttle> =>
  Effect.suspend(() => {
    const made = throttles.make(options ?? {})
    return made instanceof InvalidOption ? Effect.die(made) : Effect.succeed(made)
  })

/**
 * Sends less to a gateway the more of it is not answered: adaptive throttling by the client, as in "Handling Overload" of
 * Site Reliability Engineering. Stands outside `rateLimit`, whose tokens it does not use up, and inside `retry`, each try of
 * which counts.
 *
 * **When to use**
 *
 * For a gateway that gets slow or turns requests away when it has too many. `circuitBreaker` is for one that is down: it
 * sends nothing. Both may stand in one stack.
 *
 * **Details**
 *
 * A request counts when it ends, or when it is out for long; it is answered when it succeeds or is `Refused`. What a stage of ours refuses inside
 * does not count. One that is not sent fails with `GatewayUnavailable` by `throttle`, which is `NotExecuted`.
 *
 * @category stages
 * @since 0.1.0
 */
export const throttle: {
  (throttle: Throttle): <A, E extends HasDisposition, R>(
    self: Effect.Effect<A, E, R> & order.ThrottleOrder<R>
  ) => Effect.Effect<A, E | PaymentError, R | ThrottleMustBeInsideIdempotent>
  <A, E extends HasDisposition, R>(
    self: Effect.Effect<A, E, R> & order.ThrottleOrder<R>,
    throttle: Throttle
  ): Effect.Effect<A, E | PaymentError, R | ThrottleMustBeInsideIdempotent>
} = stage((throttle: throttles.Window) => throttle, throttles.throttle)

/**
 * Starts another attempt beside one that takes long, and takes the first answer. Stands inside `retry`, and outside what
 * counts single requests.
 *
 * **When to use**
 *
 * For look-ups, and for calls whose few slow ones matter. Take for `after` the time within which most are answered, such as
 * the 95th percentile: then one call in twenty is sent twice.
 *
 * **Details**
 *
 * While no answer has come, another attempt starts after each further `after`, up to `attempts` (2, at most 5) in all. A
 * success, a `Refused` or a defect ends it; the others are interrupted and waited for. Of several failures one in doubt is
 * told. An attempt that fails before is no reason to hedge: that is `retry`'s.
 *
 * Inside `readOnly` always. Inside `idempotent` only while everything that has left under the claim went to gateways that
 * recognise its key, which take both for one; else the first attempt is waited for alone. Without one of them it does not
 * compile.
 *
 * **Example**
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Idempotency, PaymentError, Resilience } from "effect-payments"
 *
 * let asked = 0
 * const rate: Effect.Effect<number, PaymentError.PaymentError> = Effect.suspend(() =>
 *   ++asked === 1 ? Effect.never : Effect.succeed(1.08)
 * )
 * const hedged = rate.pipe(Resilience.hedge({ after: "5 millis" }), Idempotency.readOnly)
 *
 * await Effect.runPromise(hedged) // => 1.08
 * asked // => 2
 * ```
 *
 * @category stages
 * @since 0.1.0
 */
export const hedge: {
  (options: { readonly after: Duration.Input; readonly attempts?: number | undefined }): <
    A,
    E extends HasDisposition,
    R
  >(
    self: Effect.Effect<A, E, R> & order.HedgeOrder<R>
  ) => Effect.Effect<A, E, R | HedgeMustBeInsideIdempotent>
  <A, E extends HasDisposition, R>(
    self: Effect.Effect<A, E, R> & order.HedgeOrder<R>,
    options: { readonly after: Duration.Input; readonly attempts?: number | undefined }
  ): Effect.Effect<A, E, R | HedgeMustBeInsideIdempotent>
} = stage(hedges.compile, hedges.hedge)

/**
 * Retries that several calls share, so that an outage is not made worse by those who wait for its end. Made once for each
 * dependency with {@link makeRetryBudget}, or with {@link makeRetryBudgetRedis} for several processes.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryBudget {
  readonly "~effect-payments/RetryBudget": true
  readonly size: number
  readonly refill: number
  /** What is left now; of one in Redis, what was left when this process last took a token. */
  readonly tokens: number
}

/**
 * Makes a retry budget: a bucket of `tokens`, in the memory of this process. Each retry takes one, each call that comes
 * to an answer (a success or a refusal) puts `refill` back. While a gateway is down the callers together retry `tokens`
 * times and no more; while it fails now and then they retry at most `refill` times per call. Dies with `InvalidOption`.
 *
 * **Details**
 *
 * Give the same budget to all layers that retry the same dependency, one inside the other: an answer fills it once, so
 * that together they send at most `1 + refill` times as much. Without, three layers of three attempts send 27 times as
 * much while it is down.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeRetryBudget = (
  options?: { readonly tokens?: number | undefined; readonly refill?: number | undefined }
): Effect.Effect<RetryBudget> =>
  Effect.suspend(() => {
    const made = budgets.make(options ?? {})
    return made instanceof InvalidOption ? Effect.die(made) : Effect.succeed(made)
  })

/**
 * The same in Redis, shared by all processes that give the same `key`.
 *
 * **Details**
 *
 * A retry costs one round trip, anything else none: what answers put back goes with the next retry of this process. While
 * Redis cannot be asked, or is silent for `storeTimeout` (1 second), nothing is retried, or everything with
 * `onStoreError: "allow"`. A bucket that nobody asked for an hour is full. Dies with `InvalidOption`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeRetryBudgetRedis: (options: {
  readonly key: string
  readonly tokens?: number | undefined
  readonly refill?: number | undefined
  readonly onStoreError?: "allow" | "refuse" | undefined
  readonly storeTimeout?: Duration.Input | undefined
}) => Effect.Effect<RetryBudget, never, Redis.Redis> = budgets.makeRedis

/**
 * Options of {@link retry}.
 *
 * - `attempts`: tries in total, the first included.
 * - `base`, `factor`, `cap`: the pause before try *n + 1* is at most `base · factor^(n − 1)` and never more than `cap`.
 * - `jitter`: `full` takes a random part of it, so that callers that failed together do not come back together.
 * - `schedule`: pauses of one's own instead. `attempts` still counts and has to be given.
 * - `budget`: shared with other calls.
 *
 * @category models
 * @since 0.1.0
 */
export type RetryOptions =
  & { readonly cap?: Duration.Input | undefined; readonly budget?: RetryBudget | undefined }
  & ({
    readonly attempts?: number | undefined
    readonly base?: Duration.Input | undefined
    readonly factor?: number | undefined
    readonly jitter?: "full" | "none" | undefined
    readonly schedule?: never
  } | {
    readonly attempts: number
    readonly schedule: Schedule.Schedule<unknown, HasDisposition>
    readonly base?: never
    readonly factor?: never
    readonly jitter?: never
  })

/**
 * Tries again what may be tried again. Stands inside `idempotent` or `readOnly`: a retry outside of them would be a new
 * request to the gateway.
 *
 * **Details**
 *
 * The disposition decides. `NotExecuted` is tried again; `Unknown` only where the failure says that the receiver
 * recognises the same request (`repeatable`), or inside `readOnly`; `Refused` never; nor are defects and interruptions,
 * alone or beside a failure. Gives up when the tries, the schedule or the budget are used up, when the other side asks for
 * a longer pause than `cap` (`retryAfter`, which is honoured otherwise), and when the pause would last until the deadline.
 * It then fails with the last failure, unless that one did not leave and an earlier one is in doubt: then with the doubt.
 *
 * @category stages
 * @since 0.1.0
 */
export const retry: {
  <A, E extends HasDisposition, R>(
    self: Effect.Effect<A, E, R> & order.RetryOrder<R>,
    options?: RetryOptions
  ): Effect.Effect<A, E, R | RetryMustBeInsideIdempotent>
  (options?: RetryOptions): <A, E extends HasDisposition, R>(
    self: Effect.Effect<A, E, R> & order.RetryOrder<R>
  ) => Effect.Effect<A, E, R | RetryMustBeInsideIdempotent>
} = stage((options: RetryOptions | undefined) => retries.compile((options ?? {}) as retries.Options), retries.retry)

/**
 * Options of {@link circuitBreaker}.
 *
 * - `name`: calls with the same name share a circuit, in all processes that share the store. Give one policy to a name.
 * - `failures`: how many failures in a row open it; or `rate`: which part of the last `size` calls, once there are
 *   `minimumCalls` (`size` by default).
 * - `openFor`: for how long; `factor` times longer with each opening that follows soon upon the last, up to `cap`.
 * - `onStoreError`: a store that cannot be asked lets the call through unrecorded (`allow`) or refuses it (`fail`).
 *   `allow` is right for most: a breaker protects the gateway, and a lost store is no reason to stop taking payments.
 * - `storeTimeout`: how long the store may be silent before the call, and once more after it; then it counts as failed.
 *   Before the call the deadline ends the wait too.
 *
 * @category models
 * @since 0.1.0
 */
export type CircuitBreakerOptions =
  & {
    readonly name: string
    readonly openFor?: Duration.Input | undefined
    readonly factor?: number | undefined
    readonly cap?: Duration.Input | undefined
    readonly onStoreError?: "allow" | "fail" | undefined
    readonly storeTimeout?: Duration.Input | undefined
  }
  & ({ readonly failures?: number | undefined; readonly rate?: never } | {
    readonly failures?: never
    readonly rate: {
      readonly threshold?: number | undefined
      readonly size?: number | undefined
      readonly minimumCalls?: number | undefined
    }
  })

/**
 * Stops asking a gateway that does not work, and asks again with one call at a time until it does. The outermost stage.
 *
 * **Details**
 *
 * What counts for the circuit is whether the gateway works, not whether the payment went through:
 *
 * | outcome of the call | counts as |
 * |---|---|
 * | success, and every `Refused`: the gateway answered | success |
 * | `NotExecuted` by the gateway or the network, `Unknown`, a defect | failure |
 * | `RateLimited` by the gateway | failure; its `retryAfter` keeps the circuit open at least that long, up to `cap` |
 * | refused by a stage of ours (`rateLimit`, `bulkhead`, `deadline`) | ignored |
 * | cut off by the caller's deadline, or interrupted | ignored |
 *
 * While the circuit is open calls fail with `GatewayUnavailable` by `circuitBreaker`, with `retryAfter`. Then one call
 * is let through: its success closes the circuit, its failure opens it again; if it is interrupted or ignored the next
 * call is the probe. Calls that started before a change of state do not count after it.
 *
 * The circuits are those of Effect's `CircuitBreakerStore`.
 *
 * @category stages
 * @since 0.1.0
 */
export const circuitBreaker: {
  (options: CircuitBreakerOptions): <A, E extends HasDisposition, R>(
    self: Effect.Effect<A, E, R> & order.CircuitBreakerOrder<R>
  ) => Effect.Effect<A, E | PaymentError, R | CircuitBreakerStore | CircuitBreakerMustBeInsideIdempotent>
  <A, E extends HasDisposition, R>(
    self: Effect.Effect<A, E, R> & order.CircuitBreakerOrder<R>,
    options: CircuitBreakerOptions
  ): Effect.Effect<A, E | PaymentError, R | CircuitBreakerStore | CircuitBreakerMustBeInsideIdempotent>
} = stage(breaker.compile, breaker.circuitBreaker)
