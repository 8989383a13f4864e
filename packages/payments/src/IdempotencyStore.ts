/**
 * The port behind which idempotency records are kept, and its stores.
 *
 * Each operation is one atomic transition of one record, guarded by owner and fence, on the store's own clock. A claim
 * answers with what is there in the same round trip. What a store must do is written down once, in the pure machine
 * that the memory store runs and the other stores are tested against; a store holds no policy.
 *
 * It prevents that two owners work on one record: every write compares owner and fence, so that what comes late writes
 * nothing. It does not stop an owner that has lost its record from calling a gateway; the engine and the stable
 * downstream key do what can be done there.
 *
 * | bound | default | |
 * |---|---|---|
 * | records of the memory store | 100 000 | `capacity` |
 * | writes that share a commit | 256 | `batchMax`, 1 to 1000 |
 * | writes that wait for a commit | 16 384 | then `StoreUnavailable` |
 * | replicas that Redis waits for | none | `replicas.count`, 1 to 100, for up to a minute |
 * | records of a page | | `limit`, 1 to 1000 |
 * | records of a sweep | | `limit`, 1 to 10 000 |
 *
 * Read `Idempotency` next.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Aead, SecureRandom } from "./internal/effect/crypto.ts"
import type { Redis } from "./internal/effect/redis.ts"
import * as memory from "./internal/idempotency/memory.ts"
import * as record from "./internal/idempotency/record.ts"
import * as redis from "./internal/idempotency/redis.ts"
import * as schema from "./internal/idempotency/schema.ts"
import * as sealed from "./internal/idempotency/sealed.ts"
import * as sql from "./internal/idempotency/sql.ts"
import * as unavailable from "./internal/idempotency/unavailable.ts"
import type * as eviction from "./internal/redis/eviction.ts"
import * as seal from "./internal/seal/seal.ts"
import type { Migrator, SqlClient, SqlError } from "./internal/sql/client.ts"

/**
 * The store did not answer, or answered with a failure. `operation` is the operation of the port, `detail` a short word
 * on the cause that holds no data of the record.
 *
 * **Details**
 *
 * Of the stores here `operation` is also `start` (an option is out of its bounds, or a Redis that drops keys), `commit` or
 * `transact`. `detail` is the kind of the database's error (`ConnectionError`, `LockTimeoutError`, `RedisError`, …), `Full`
 * of the memory store, `QueueFull` or `QueueClosed` of the writes that wait, `Contended` of a claim whose row changed under
 * it again and again, `NotReplicated` of a write that too few replicas of Redis have, `RowUnreadable` of a row that is none
 * of ours, `InsideTransaction` or `TransactionTooLong`. Nothing is known about a write whose answer is this one: send it
 * again.
 *
 * **Example**
 *
 * ```ts
 * import { Effect } from "effect"
 * import { IdempotencyStore } from "effect-payments"
 *
 * const program = Effect.flatMap(IdempotencyStore.IdempotencyStore, (store) => store.list({ limit: 5000 }))
 *
 * const error = await Effect.runPromise(Effect.flip(Effect.provide(program, IdempotencyStore.layerStoreMemory())))
 * error.operation // => "list"
 * error.detail // => "limit must be a whole number from 1 to 1000"
 * ```
 *
 * @category errors
 * @since 0.1.0
 */
export const StoreUnavailable = unavailable.StoreUnavailable

/**
 * See {@link StoreUnavailable}.
 *
 * @category errors
 * @since 0.1.0
 */
export type StoreUnavailable = unavailable.StoreUnavailable

/**
 * Which record: scope and key, and both as one text in `id`, each part with its length before it so that no two
 * pairs are alike. `id` is what a store keeps records under; it is less than 800 printable ASCII characters.
 *
 * @category models
 * @since 0.1.0
 */
export type RecordId = record.RecordId

/**
 * The {@link RecordId} of a scope and a key, for a program that asks the port itself.
 *
 * **Gotchas**
 *
 * `id` holds the key as the client sent it: leave it out of logs and of what a person is shown.
 *
 * **Example**
 *
 * ```ts
 * import { Idempotency, IdempotencyStore } from "effect-payments"
 *
 * const scope = Idempotency.Scope.make({ tenant: "acme", operation: "charge", version: 1 })
 *
 * IdempotencyStore.recordId(scope, Idempotency.Key.make("4711")).id // => "4:acme6:charge1:4:4711"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const recordId: (scope: RecordId["scope"], key: RecordId["key"]) => RecordId = record.recordId

/**
 * One idempotent operation as it is stored. All times are milliseconds on the store's clock.
 *
 * - `state`, and under which `fingerprint` of the payload.
 * - `owner` and `fence`: who may write it. The fence grows with every change of owner and never starts over.
 * - `attempt`: how often it was granted. `unresolved`: the ends that nobody could resolve, which park it.
 * - `leaseUntil`: how long the owner holds it; 0 when nobody does.
 * - `unknownSince`: when the last request can have left, from which `settle` counts.
 * - `result`: the encoded answer of a `Succeeded` or `Refused` one, as text.
 * - `createdAt`, `updatedAt`, and `expiresAt`, counted from completion or release; undefined means never.
 *
 * @category models
 * @since 0.1.0
 */
export type Record = record.Record

/**
 * The state of a record.
 *
 * | state | means | expires |
 * |---|---|---|
 * | `Claimed` | the owner runs the operation, until `leaseUntil` | never |
 * | `Resolving` | a later owner looks up what became of it | never |
 * | `Succeeded`, `Refused` | answered for good; the answer is replayed | after the TTL |
 * | `Vacant` | surely not executed; free, with its fingerprint and fence | after the TTL |
 * | `Indeterminate` | may have happened, and nobody works on it | never |
 * | `Parked` | unresolved too often; waits for an operator | never |
 *
 * @category models
 * @since 0.1.0
 */
export type State = typeof record.State.Type

/**
 * A claim.
 *
 * - `owner`: new for each attempt, so that a claim whose reply was lost recognises itself when it is sent again.
 * - `canResolve`: whether an unresolved record may be taken over; otherwise it is answered as it is.
 * - `attemptsMax`: as many unresolved ends park the record.
 *
 * @category requests
 * @since 0.1.0
 */
export type ClaimRequest = record.ClaimRequest

/**
 * The record as it stands after the claim, whoever owns it, and the time of the store. It is the caller's when `owner` is
 * its own and the state `Claimed` or `Resolving`.
 *
 * @category requests
 * @since 0.1.0
 */
export type ClaimReply = record.ClaimReply

/**
 * The end of a claim, under its owner and fence: `Succeeded` or `Refused` with a result that is kept for `ttlMillis`, or
 * `Indeterminate`. Of the last, `ran` is false when only a look-up ran (`unknownSince` stays), and `counted` is false
 * when it does not count towards `attemptsMax`.
 *
 * @category requests
 * @since 0.1.0
 */
export type CompleteRequest = record.CompleteRequest

/**
 * Frees a slot under its owner and fence. Fingerprint and fence stay for `ttlMillis`.
 *
 * @category requests
 * @since 0.1.0
 */
export type ReleaseRequest = record.ReleaseRequest

/**
 * Prolongs a lease under its owner and fence to `leaseMillis` from now on the store's clock. It never shortens one.
 *
 * @category requests
 * @since 0.1.0
 */
export type RenewRequest = record.RenewRequest

/**
 * An operator's word on a record that nobody works on: what the answer is, or `NeverHappened`, which frees it. It counts
 * only while the record still has the `fence` that was inspected.
 *
 * @category requests
 * @since 0.1.0
 */
export type ResolveRequest = record.ResolveRequest

/**
 * A page of records in the order of `id`: `limit` is 1 to 1000, `after` the `id` of the last one of the page before.
 * `stuck` keeps what nobody works on and nobody knows: `Indeterminate`, `Parked`, and claims whose lease has lapsed.
 *
 * @category requests
 * @since 0.1.0
 */
export type ListRequest = record.ListRequest

/**
 * What became of an eviction: dropped, not there, or held since it is in flight or unresolved.
 *
 * @category models
 * @since 0.1.0
 */
export type Eviction = record.Eviction

/**
 * The port. Every write is one atomic step, compares owner and fence, and may be sent twice.
 *
 * **When to use**
 *
 * To keep records elsewhere, or to put something round a store. `Idempotency` has what an operator needs.
 *
 * **Gotchas**
 *
 * A store that wraps another leaves `local` out: it would be asked past the wrapper.
 *
 * **Example** (a store that counts the claims)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { IdempotencyStore } from "effect-payments"
 *
 * let claims = 0
 * const counting = Layer.effect(
 *   IdempotencyStore.IdempotencyStore,
 *   Effect.map(IdempotencyStore.IdempotencyStore, ({ local: _, ...store }) => ({
 *     ...store,
 *     claim: (request: IdempotencyStore.ClaimRequest) => Effect.suspend(() => (claims++, store.claim(request)))
 *   }))
 * )
 *
 * Layer.isLayer(Layer.provide(counting, IdempotencyStore.layerStoreMemory())) // => true
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class IdempotencyStore extends Context.Service<IdempotencyStore, {
  /**
   * Takes the slot when it is free, and answers with the record as it stands afterwards and the store's time. Commits
   * alone, never inside a transaction of the caller.
   */
  readonly claim: (request: ClaimRequest) => Effect.Effect<ClaimReply, StoreUnavailable>
  /** Ends a claim with what is known. False: the caller no longer owns it and nothing was written. */
  readonly complete: (request: CompleteRequest) => Effect.Effect<boolean, StoreUnavailable>
  /** Frees the slot of an effect that surely did not happen. False: no longer owned. */
  readonly release: (request: ReleaseRequest) => Effect.Effect<boolean, StoreUnavailable>
  /** Prolongs many claims in one statement, outside any transaction; answers in order whether each is still owned. */
  readonly renew: (requests: ReadonlyArray<RenewRequest>) => Effect.Effect<ReadonlyArray<boolean>, StoreUnavailable>
  /** Settles a record that nobody works on. False: it is worked on, finished, gone, or has another fence. */
  readonly resolve: (request: ResolveRequest) => Effect.Effect<boolean, StoreUnavailable>
  /** The record as stored, with the store's time. */
  readonly inspect: (
    id: RecordId
  ) => Effect.Effect<{ readonly record: Record | undefined; readonly now: number }, StoreUnavailable>
  /** One page in the order of `id`. */
  readonly list: (request: ListRequest) => Effect.Effect<ReadonlyArray<Record>, StoreUnavailable>
  /** Drops a record. `Held`: it is in flight or unresolved, and goes only with force. */
  readonly evict: (
    id: RecordId,
    options: { readonly force: boolean }
  ) => Effect.Effect<Eviction, StoreUnavailable>
  /** Drops at most `limit` expired records; answers how many. */
  readonly sweep: (options: { readonly limit: number }) => Effect.Effect<number, StoreUnavailable>
  /**
   * The same transitions as plain functions, of a store in this process that answers at once: nobody has to bound how
   * long it is silent, and an operation that waits for nothing is over without a wait.
   */
  readonly local?: {
    readonly claim: (request: ClaimRequest) => ClaimReply | StoreUnavailable
    readonly complete: (request: CompleteRequest) => boolean
  }
  /**
   * What a store over a database offers besides: whether the caller is inside one of its transactions, and to run an
   * effect in one. `complete` called inside `withTransaction` commits with the effect's own writes. Where a transaction
   * keeps `renew` waiting, it is ended before the lease is.
   */
  readonly transactions?: {
    readonly isInside: Effect.Effect<boolean>
    /** Whether the `SqlClient` in this context, if any, is the one whose transactions these are. */
    readonly isOwn?: (context: Context.Context<never>) => boolean
    readonly withTransaction: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | StoreUnavailable, R>
  }
}>()("effect-payments/IdempotencyStore") {}

/**
 * Keeps records in this process, on the clock that the layer is built with.
 *
 * **When to use**
 *
 * For tests and for a single process whose duplicates need not survive a restart. Money wants a store that does.
 *
 * **Details**
 *
 * At most `capacity` records (default 100 000). Each new record makes a few expired ones go; in a full store only an
 * expired one makes room, and without any the claim fails with `StoreUnavailable`: what is in flight, unresolved or
 * still replayed is never dropped.
 *
 * **Example**
 *
 * ```ts
 * import { Effect } from "effect"
 * import { IdempotencyStore } from "effect-payments"
 *
 * const program = Effect.gen(function*() {
 *   const store = yield* IdempotencyStore.IdempotencyStore
 *   return yield* store.list({ limit: 10 })
 * })
 *
 * await Effect.runPromise(program.pipe(Effect.provide(IdempotencyStore.layerStoreMemory()))) // => []
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStoreMemory = (
  options?: { readonly capacity?: number | undefined }
): Layer.Layer<IdempotencyStore, StoreUnavailable> =>
  Layer.effect(IdempotencyStore, memory.make({ capacity: options?.capacity ?? 100_000 }))

/** The table of {@link layerStoreSql} unless another is named. */
const defaultTable = "effect_payments_idempotency"

/**
 * Keeps records in a table of SQLite or Postgres, on the clock of the database.
 *
 * **Details**
 *
 * The layer creates the table, or brings it up to date, unless `migrate` is false; processes that start at once wait
 * for one another. `table` is 1 to 40 of `a-z`, `0-9` and `_`. Every transition is one guarded statement, and a replay
 * is one that writes nothing. Writes of the same tick share a commit, `batchMax` at the most (default 256, up to 1000; 1 has
 * each commit alone); a lone one runs at once. `complete` inside a
 * transaction of the same client commits with it. `claim` and `renew` commit alone: on SQLite, whose transaction holds
 * the one connection, a claim inside a transaction fails with `StoreUnavailable` instead of waiting for itself.
 *
 * `writeTimeout` (default 5 seconds, 100 milliseconds to 1 minute) is for how long the database may be silent about a write
 * outside of a transaction, as it is for ever on a connection whose other end is gone. Then nobody knows whether it was
 * committed: those that share its commit fail with `StoreUnavailable` (`Unanswered`), may be sent again and recognise
 * themselves, and the others go on over another connection. On Postgres it counts from when the write is sent, the wait for
 * a connection of the pool included; on SQLite, where it is for writes that share a commit, from when the lock is held, for
 * which `busyTimeout` is the bound. Keep it below a third of the shortest lease, for so long one try of a save lasts. Over
 * Postgres it bounds COMMIT and ROLLBACK of `transactional: true` and of inboxes too, and six times it their BEGIN.
 *
 * **Gotchas**
 *
 * Expired records take room until `sweep` drops them. On SQLite a transaction keeps every lease of the process from being
 * renewed: those of the store take turns, and one for which a renewal waits is rolled back after a sixth of that lease,
 * with `StoreUnavailable` (`TransactionTooLong`). Transactions of your own over the same client are not watched.
 *
 * On Postgres the client has to be at READ COMMITTED, which is the server's default: above it the layer does not start.
 *
 * **Example**
 *
 * ```ts
 * import { SqliteClient } from "@effect-payments/sqlite"
 * import { Effect, Layer } from "effect"
 * import { IdempotencyStore } from "effect-payments"
 *
 * const program = Effect.gen(function*() {
 *   const store = yield* IdempotencyStore.IdempotencyStore
 *   return yield* store.list({ state: "Parked", limit: 10 })
 * })
 *
 * const layer = IdempotencyStore.layerStoreSql().pipe(Layer.provide(SqliteClient.layer({ filename: ":memory:" })))
 * await Effect.runPromise(program.pipe(Effect.provide(layer))) // => []
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStoreSql = (
  options?: {
    readonly table?: string | undefined
    readonly migrate?: boolean | undefined
    readonly batchMax?: number | undefined
    readonly writeTimeout?: Duration.Input | undefined
  }
): Layer.Layer<
  IdempotencyStore,
  StoreUnavailable | Migrator.MigrationError | SqlError.SqlError,
  SqlClient.SqlClient
> =>
  Layer.effect(
    IdempotencyStore,
    sql.make({
      table: options?.table ?? defaultTable,
      migrate: options?.migrate ?? true,
      batchMax: options?.batchMax ?? 256,
      writeTimeout: options?.writeTimeout
    })
  )

/**
 * What {@link layerStoreRedis} does about a server that may drop records when its memory is full, or that does not tell
 * (where neither `CONFIG` nor `INFO` is allowed).
 *
 * | | `maxmemory-policy` is another than `noeviction` | the server does not tell |
 * |---|---|---|
 * | `refuse` | fails to start | fails to start |
 * | `refuseKnown` | fails to start | starts |
 * | `accept` | starts, and a record that is dropped may be charged again | starts |
 *
 * @category models
 * @since 0.1.0
 */
export type RedisEviction = eviction.Eviction

/**
 * Keeps records in Redis, on the clock of the server: one script for each transition, a first call in two round trips, a
 * replay in one. Calls of one tick share a script, up to 32 of them.
 *
 * **When to use**
 *
 * Where calls are many and each carries a downstream key that its gateway de-duplicates. For money that has no such second
 * line, use {@link layerStoreSql} over Postgres.
 *
 * **Details**
 *
 * - `prefix` (default `effect_payments:idempotency`) is 1 to 100 printable ASCII characters without spaces and braces. It
 *   stands in braces before every key, so that in a cluster a store is in one slot: give each shard a prefix of its own.
 * - `eviction`: see {@link RedisEviction}, default `refuse`.
 * - `replicas`: a write counts when `count` replicas have it, for which it waits up to `timeout` (default 1 second, at most a
 *   minute; keep it well below the lease). Otherwise the answer is `StoreUnavailable` (`NotReplicated`), which is unknown,
 *   and what is sent again waits again. It costs a round trip for each write, and a connection of the pool while it waits
 *   (`maxConnections` of the client). A replay waits for nothing.
 *
 * No key has an expiry: what is unfinished stays, and what has expired takes room until `sweep` drops it, 500 records a
 * script. `list` by a finished state or by an operation alone reads the whole index, 200 records at a time; what is stuck
 * has an index of its own.
 *
 * **Gotchas**
 *
 * Redis copies to its replicas after it has answered. A failover may lose the last writes: a claim, so that a second caller
 * runs; or a completion, so that the record is looked up at the gateway once its lease has lapsed. `replicas` makes that
 * unlikely and not impossible: a replica without the write can still be the one that is promoted. A restart loses what
 * was not yet on disk (`appendonly yes`, and `appendfsync always` for all of it). In each case only the downstream key, which
 * stays the same, keeps the gateway from charging twice.
 *
 * **Example**
 *
 * ```ts
 * import { NodeRedis } from "@effect/platform-node"
 * import { Layer } from "effect"
 * import { IdempotencyStore } from "effect-payments"
 *
 * const store = IdempotencyStore.layerStoreRedis({
 *   prefix: "shop:idempotency",
 *   replicas: { count: 1, timeout: "500 millis" }
 * }).pipe(Layer.provide(NodeRedis.layer({ url: "redis://localhost:6379" })))
 *
 * Layer.isLayer(store) // => true
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStoreRedis = (
  options?: {
    readonly prefix?: string | undefined
    readonly eviction?: RedisEviction | undefined
    readonly replicas?: { readonly count: number; readonly timeout?: Duration.Input | undefined } | undefined
  }
): Layer.Layer<IdempotencyStore, StoreUnavailable, Redis.Redis> =>
  Layer.effect(
    IdempotencyStore,
    redis.make({
      prefix: options?.prefix ?? "effect_payments:idempotency",
      eviction: options?.eviction ?? "refuse",
      replicas: options?.replicas === undefined
        ? undefined
        : { count: options.replicas.count, timeout: options.replicas.timeout ?? "1 second" }
    })
  )

/**
 * The keys that seal stored results: 32 bytes each. `current` names the one that seals, the others only open what was
 * sealed before. Ids are 1 to 32 of `A-Z`, `a-z`, `0-9`, `-` and `_`. A ring that cannot seal fails {@link layerSealed} with
 * `StoreUnavailable` at `start`.
 *
 * @category models
 * @since 0.1.0
 */
export type KeyRing = seal.KeyRing

/**
 * Seals the results that the store below keeps: AES-256-GCM, bound to the record's id, so that a result that is moved to
 * another key does not open. To rotate, add a key, make it `current`, and drop the old one after the longest TTL.
 *
 * **Details**
 *
 * Results alone are sealed. Scope, key and fingerprint stay readable, since the store compares them. A result that does
 * not open (its key is gone, it was tampered with, it was stored before sealing) answers `RecordUnreadable`, and the
 * operation is not run again. Every seal has a random nonce; a result that is sent again is recognised by opening the
 * stored one, which costs a second trip to the store below. Take `Aead` and `SecureRandom` from `NodeCrypto.layer`.
 *
 * **Example**
 *
 * ```ts
 * import { NodeCrypto } from "@effect/platform-node"
 * import { Layer, Redacted } from "effect"
 * import { IdempotencyStore } from "effect-payments"
 *
 * const key = Redacted.make(crypto.getRandomValues(new Uint8Array(32)))
 * const sealed = IdempotencyStore.layerSealed({ current: "2026-11", keys: { "2026-11": key } }).pipe(
 *   Layer.provide(IdempotencyStore.layerStoreMemory()),
 *   Layer.provide(NodeCrypto.layer)
 * )
 *
 * Layer.isLayer(sealed) // => true
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerSealed = (
  ring: KeyRing
): Layer.Layer<
  IdempotencyStore,
  StoreUnavailable,
  IdempotencyStore | Aead.Aead | SecureRandom.SecureRandom
> =>
  Layer.effect(
    IdempotencyStore,
    Effect.suspend(() => {
      const fault = seal.faultOf(ring)
      if (fault !== undefined) return Effect.fail(new StoreUnavailable({ operation: "start", detail: fault }))
      return Effect.flatMap(seal.make(ring), (sealer) =>
        Effect.map(IdempotencyStore, (store) => sealed.make(store, sealer)))
    })
  )

/**
 * The migrations of {@link layerStoreSql} by number and name, for a project that runs them with its own migrator and
 * sets `migrate: false`. They have to run exactly once. `table` as in {@link layerStoreSql}.
 *
 * **Example**
 *
 * ```ts
 * import { IdempotencyStore } from "effect-payments"
 *
 * Object.keys(IdempotencyStore.migrations({ table: "payments_idempotency" }))// => ["0001_records"]
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const migrations = (
  options?: { readonly table?: string | undefined }
): { readonly [name: string]: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> } =>
  schema.migrations(options?.table ?? defaultTable)
