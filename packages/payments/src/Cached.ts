/**
 * Ask once, answer many: what was read is kept for a while, in this process or in a store that processes share.
 *
 * It prevents that a thousand callers ask a slow source for the same thing, and what caches tend to break in turn: callers
 * who come at once share one look-up, failures are not kept unless you say so, memory is bounded, and a store that fails
 * or hangs is passed over instead of taking its callers down.
 *
 * It is for reading. A call that moves money is refused by the type: a cache does not compare payloads, forgets after its
 * lifetime, and would answer "paid" for a payment that never happened. That is what `Idempotency` is for.
 *
 * | option | default | bounds |
 * |---|---|---|
 * | `ttl` | none | up to 366 days; longer ones are cut to that |
 * | `capacity`: values in this process | 1000 | 1 to 1,000,000 |
 * | `local`: how long this process keeps what is in the shared store | 10 seconds | 0 to 1 day |
 * | `storeAtMost`: how long the store is waited for | 1 second | 1 millisecond to 1 minute |
 * | the id of a key | | 255 characters; what has a longer one is looked up each time |
 *
 * Inside of a transaction it answers with what this process keeps, else looks up and keeps nothing: what is read there may
 * be rolled back. Drop a value that the transaction changes after the commit (`UnitOfWork.afterCommit`): dropped before,
 * others would read the old one back.
 *
 * What it does not do: share one look-up between processes. And with a shared store a value can be `local` older than its
 * `ttl`, and live that long in other processes after it was invalidated.
 *
 * It is `Cache` and `PersistedCache` of Effect. Read `Idempotency` for effects that are not only read.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as cache from "./internal/cached/cache.ts"
import type { CachedError } from "./internal/cached/errors.ts"
import { Persistence } from "./internal/effect/persistedCache.ts"
import type { Redis } from "./internal/effect/redis.ts"
import { dayMillis, nameExpected, namePattern, reader } from "./internal/option/option.ts"
import type { SqlClient } from "./internal/sql/client.ts"
import type { GatewayCallMustBeInsideIdempotent } from "./internal/stack/claim.ts"

export {
  /**
   * @category errors
   * @since 0.1.0
   */
  CachedError,
  /**
   * @category reasons
   * @since 0.1.0
   */
  CachedStoreUnavailable
} from "./internal/cached/errors.ts"

/**
 * A function with a memory.
 *
 * @category models
 * @since 0.1.0
 */
export interface Cached<in K, out A, out E> {
  readonly name: string
  /** The value that is kept, or that of a look-up. */
  readonly get: (key: K) => Effect.Effect<A, E>
  /** Drops what is kept, here and in the shared store. */
  readonly invalidate: (key: K) => Effect.Effect<void, CachedError>
  /** What happened so far. */
  readonly stats: Effect.Effect<Stats>
}

/**
 * - `requests`: how often a value was asked for, and `lookups`: how often the source was, past the store too.
 * - `bypassed`: how often nothing was kept, since the id of the key is too long or it was asked for in a transaction.
 * - `storeFailures`: how often the shared store failed or did not answer in time.
 * - `size`: values in this process.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  readonly requests: number
  readonly lookups: number
  readonly bypassed: number
  readonly storeFailures: number
  readonly size: number
}

/**
 * See the table above. Schemas are required: they say what a store that is shared can hold.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<K, A, E> {
  /** In the store and in metrics: 1 to 100 of letters, digits, `_`, `.` and `-`. */
  readonly name: string
  /** What tells keys apart. A key that is a string is its own id. */
  readonly id?: ((key: K) => string) | undefined
  readonly success: Schema.Codec<A, unknown>
  readonly error: Schema.Codec<E, unknown>
  /**
   * How long an answer is kept. A duration is that of successes, and failures are not kept; a function says it for each
   * exit. A defect or an interruption is never kept.
   */
  readonly ttl: Duration.Input | ((exit: Exit.Exit<A, E>, key: K) => Duration.Input)
  readonly capacity?: number | undefined
  readonly local?: Duration.Input | undefined
  readonly storeAtMost?: Duration.Input | undefined
}

/**
 * Where values are kept that processes share, if anywhere.
 *
 * @category services
 * @since 0.1.0
 */
export class CachedStore extends Context.Service<CachedStore, {
  readonly persistence: Persistence.Persistence["Service"] | undefined
}>()("effect-payments/CachedStore") {}

type IdOf<K> = K extends string ? unknown : { readonly id: (key: K) => string }

type OnlyReads<R> = GatewayCallMustBeInsideIdempotent extends R
  ? { readonly "a cached gateway call would answer for a payment that never happened: use idempotent": never }
  : unknown

/**
 * Gives a function a memory. Services that it needs are taken here. Dies with `Resilience.InvalidOption`.
 *
 * **Example**
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Cached } from "effect-payments"
 *
 * let asked = 0
 * const program = Effect.gen(function*() {
 *   const rates = yield* Cached.make(
 *     (currency: string) => Effect.sync(() => `${currency} ${++asked}`),
 *     { name: "rates", success: Schema.String, error: Schema.Never, ttl: "5 minutes" }
 *   )
 *   const answers = yield* Effect.forEach(["EUR", "EUR", "USD", "EUR"], rates.get, { concurrency: "unbounded" })
 *   yield* rates.invalidate("EUR")
 *   return [...answers, yield* rates.get("EUR")]
 * })
 *
 * const answers = await Effect.runPromise(Effect.scoped(program).pipe(Effect.provide(Cached.layerStoreMemory)))
 * answers // => ["EUR 1", "EUR 1", "USD 2", "EUR 1", "EUR 3"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <K, A, E, R>(
  lookup: (key: K) => Effect.Effect<A, E, R> & OnlyReads<R>,
  options: Options<K, A, E> & IdOf<K>
): Effect.Effect<Cached<K, A, E>, never, R | CachedStore | Scope.Scope> =>
  Effect.gen(function*() {
    const { persistence } = yield* CachedStore
    const policy = yield* policyOf(options)
    const engine = yield* cache.make<K, A, E, R>(policy, lookup, persistence)
    return {
      name: policy.name,
      get: engine.get,
      invalidate: engine.invalidate,
      stats: Effect.map(engine.size, (size) => ({ ...engine.counts, size }))
    }
  })

const policyOf = <K, A, E>(options: Options<K, A, E>): Effect.Effect<cache.Policy<K, A, E>> =>
  Effect.gen(function*() {
    const { integer, matching, millis } = reader("Cached.make")
    const { ttl } = options
    return {
      name: yield* matching("name", options.name, namePattern, nameExpected),
      // The type asks for `id` unless the key is a string.
      idOf: options.id ?? String,
      success: options.success,
      error: options.error,
      ttlOf: typeof ttl === "function" ? ttl : (exit) => Exit.isSuccess(exit) ? ttl : Duration.zero,
      capacity: yield* integer("capacity", options.capacity ?? 1000, 1, 1_000_000),
      localMillis: yield* millis("local", options.local ?? "10 seconds", 0, dayMillis),
      storeAtMostMillis: yield* millis("storeAtMost", options.storeAtMost ?? "1 second", 1, 60_000)
    }
  })

/**
 * Values are kept in this process alone.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStoreMemory: Layer.Layer<CachedStore> = Layer.succeed(CachedStore, { persistence: undefined })

/**
 * Values are shared through any store of Effect's `Persistence`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStore: Layer.Layer<CachedStore, never, Persistence.Persistence> = Layer.effect(
  CachedStore,
  Effect.map(Persistence.Persistence, (persistence) => ({ persistence }))
)

/**
 * Values are shared through the table `effect_persistence` of a database, which the layer creates. What has expired is
 * deleted every five minutes.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStoreSql: Layer.Layer<CachedStore, never, SqlClient.SqlClient> = layerStore.pipe(
  Layer.provide(Persistence.layerSql)
)

/**
 * Values are shared through Redis, under `NAME:ID`, and expire there.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStoreRedis: Layer.Layer<CachedStore, never, Redis.Redis> = layerStore.pipe(
  Layer.provide(Persistence.layerRedis)
)
