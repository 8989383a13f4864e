/**
 * Effect's `Cache` in one process, Effect's `PersistedCache` before a shared store. A store that fails or hangs is one
 * that has nothing.
 *
 * @internal
 */
import * as Cache from "effect/Cache"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Hash from "effect/Hash"
import * as Metric from "effect/Metric"
import type * as Option from "effect/Option"
import * as PrimaryKey from "effect/PrimaryKey"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Persistable, PersistedCache, Persistence } from "../effect/persistedCache.ts"
import { isInside } from "../sql/transaction.ts"
import { CachedError, CachedStoreUnavailable } from "./errors.ts"

/** @internal */
export interface Policy<K, A, E> {
  readonly name: string
  readonly idOf: (key: K) => string
  readonly success: Schema.Codec<A, unknown>
  readonly error: Schema.Codec<E, unknown>
  readonly ttlOf: (exit: Exit.Exit<A, E>, key: K) => Duration.Input
  readonly capacity: number
  readonly localMillis: number
  readonly storeAtMostMillis: number
}

/** @internal */
export interface Counts {
  requests: number
  lookups: number
  bypassed: number
  storeFailures: number
}

/** @internal */
export interface Engine<K, A, E> {
  readonly get: (key: K) => Effect.Effect<A, E>
  readonly invalidate: (key: K) => Effect.Effect<void, CachedError>
  readonly size: Effect.Effect<number>
  readonly counts: Readonly<Counts>
}

const idMax = 255
const ttlMaxMillis = 366 * 86_400_000

const description = "Requests to caches, look-ups behind them, requests past them, failures of their stores"
const events = Metric.counter("effect_payments_cached_events_total", { description, incremental: true })

/** What is asked for, by its id. */
class Request<K, A, E> implements Persistable.Persistable<Schema.Codec<A, unknown>, Schema.Codec<E, unknown>> {
  readonly key: K
  readonly id: string
  readonly [Persistable.symbol]: {
    readonly success: Schema.Codec<A, unknown>
    readonly error: Schema.Codec<E, unknown>
  }
  constructor(key: K, id: string, schemas: Policy<K, A, E>) {
    this.key = key
    this.id = id
    this[Persistable.symbol] = schemas
  }
  [PrimaryKey.symbol](): string {
    return this.id
  }
  [Equal.symbol](that: Equal.Equal): boolean {
    return that instanceof Request && that.id === this.id
  }
  [Hash.symbol](): number {
    return Hash.string(this.id)
  }
}

/** @internal */
export const make = <K, A, E, R>(
  policy: Policy<K, A, E>,
  lookup: (key: K) => Effect.Effect<A, E, R>,
  persistence: Persistence.Persistence["Service"] | undefined
): Effect.Effect<Engine<K, A, E>, never, R | Scope.Scope> =>
  Effect.gen(function*() {
    const context = yield* Effect.context<R>()
    const counts: Counts = { requests: 0, lookups: 0, bypassed: 0, storeFailures: 0 }
    const counting = counter(policy.name, counts)
    const source = ({ key }: Request<K, A, E>) =>
      Effect.andThen(counting("lookups"), Effect.suspend(() => Effect.provideContext(lookup(key), context)))
    const tier = yield* persistence === undefined
      ? local(policy, source)
      : shared(policy, source, guarded(persistence, policy, counting("storeFailures")))
    return {
      get: (key) =>
        Effect.withFiber((fiber) => {
          const request = new Request(key, policy.idOf(key), policy)
          const past = Effect.andThen(counting("bypassed"), source(request))
          if (request.id.length > idMax) return past
          return Effect.andThen(counting("requests"), isInside(fiber) ? within(tier, request, past) : tier.get(request))
        }),
      invalidate: (key) => Effect.suspend(() => tier.invalidate(new Request(key, policy.idOf(key), policy))),
      size: tier.size,
      counts
    }
  })

/**
 * In a transaction nothing is kept: what is read there may never be committed. Nor is a look-up of another fiber waited
 * for, which may itself wait for the transaction to end.
 */
const within = <K, A, E>(
  { kept }: Tier<K, A, E>,
  request: Request<K, A, E>,
  past: Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  Effect.flatMap(kept(request), (value) => value._tag === "Some" ? Effect.succeed(value.value) : past)

const counter = (name: string, counts: Counts) => {
  const make = (event: keyof Counts) => {
    const metric = Metric.withAttributes(events, { cache: name, event })
    return Effect.suspend(() => {
      counts[event]++
      return Metric.update(metric, 1)
    })
  }
  const made = {
    requests: make("requests"),
    lookups: make("lookups"),
    bypassed: make("bypassed"),
    storeFailures: make("storeFailures")
  }
  return (event: keyof Counts): Effect.Effect<void> => made[event]
}

interface Tier<K, A, E> {
  readonly get: (request: Request<K, A, E>) => Effect.Effect<A, E>
  /** What this process keeps, without waiting for anything. */
  readonly kept: (request: Request<K, A, E>) => Effect.Effect<Option.Option<A>>
  readonly invalidate: (request: Request<K, A, E>) => Effect.Effect<void, CachedError>
  readonly size: Effect.Effect<number>
}

type Source<K, A, E> = (request: Request<K, A, E>) => Effect.Effect<A, E>

/** What nobody declared, a defect or an interruption, is never kept. */
const lifetime =
  <K, A, E>(policy: Policy<K, A, E>) => (exit: Exit.Exit<A, E>, { key }: Request<K, A, E>): Duration.Duration => {
    if (Exit.isFailure(exit) && (Cause.hasDies(exit.cause) || Cause.hasInterrupts(exit.cause))) return Duration.zero
    const millis = Duration.toMillis(Duration.fromInputUnsafe(policy.ttlOf(exit, key)))
    return Duration.millis(Math.min(Math.max(0, millis), ttlMaxMillis))
  }

const local = <K, A, E>(policy: Policy<K, A, E>, source: Source<K, A, E>): Effect.Effect<Tier<K, A, E>> =>
  Effect.map(
    Cache.makeWith(source, { capacity: policy.capacity, timeToLive: lifetime(policy) }),
    (cache) => ({
      get: (request) => Cache.get(cache, request),
      kept: (request) => Cache.getSuccess(cache, request),
      invalidate: (request) => Cache.invalidate(cache, request),
      size: Cache.size(cache)
    })
  )

const shared = <K, A, E>(
  policy: Policy<K, A, E>,
  source: Source<K, A, E>,
  persistence: Persistence.Persistence["Service"]
): Effect.Effect<Tier<K, A, E>, never, Scope.Scope> => {
  const ttl = lifetime(policy)
  return Effect.map(
    Effect.provideService(
      PersistedCache.make<Request<K, A, E>>(source, {
        storeId: policy.name,
        timeToLive: ttl,
        inMemoryCapacity: policy.capacity,
        inMemoryTTL: (exit, request) => Duration.min(ttl(exit, request), Duration.millis(policy.localMillis))
      }),
      Persistence.Persistence,
      persistence
    ),
    (cache) => ({
      // The store that is given fails no read and no write.
      get: (request) => cache.get(request) as Effect.Effect<A, E>,
      kept: (request) => Cache.getSuccess(cache.inMemory, request) as Effect.Effect<Option.Option<A>>,
      invalidate: (request) =>
        // Here first, whatever becomes of the store.
        Effect.andThen(
          Cache.invalidate(cache.inMemory, request),
          Effect.mapError(
            cache.invalidate(request),
            () => new CachedError({ reason: new CachedStoreUnavailable({ operation: "invalidate" }) })
          )
        ),
      size: Cache.size(cache.inMemory)
    })
  )
}

const guarded = (
  persistence: Persistence.Persistence["Service"],
  { storeAtMostMillis }: { readonly storeAtMostMillis: number },
  failed: Effect.Effect<void>
): Persistence.Persistence["Service"] => {
  const inTime = <A, E, R>(self: Effect.Effect<A, E, R>) =>
    Effect.catch(
      Effect.timeout(self, storeAtMostMillis),
      () => Effect.as(failed, undefined)
    )
  return {
    make: (options) =>
      Effect.map(persistence.make(options), (store) => ({
        ...store,
        get: (key) => inTime(store.get(key)),
        set: (key, value) => Effect.asVoid(inTime(store.set(key, value))),
        remove: (key) =>
          Effect.timeoutOrElse(store.remove(key), {
            duration: storeAtMostMillis,
            orElse: () => Effect.fail(new Persistence.PersistenceError({ message: "the store did not answer in time" }))
          })
      }))
  }
}
