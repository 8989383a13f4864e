/**
 * The port behind which sagas are written down, and its logs.
 *
 * A saga is what its log says: which steps were intended, which are done, what is to be undone. The log is append-only:
 * no operation changes or removes an entry of a run that has not ended. It is fenced: every write compares the owner and
 * the epoch, which grows with each change of owner, so that a process that wakes up late writes nothing. All times are
 * the log's own.
 *
 * The failure it prevents is the forgotten undo: a process that dies after a capture leaves behind, durably, that the
 * capture was intended. What it does not do is decide anything. What a log must do is written down once, in the pure
 * functions that the memory log runs and the other logs are tested against.
 *
 * Read `Saga` next.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Redis } from "./internal/effect/redis.ts"
import type * as eviction from "./internal/redis/eviction.ts"
import * as log from "./internal/saga/log.ts"
import * as memory from "./internal/saga/memory.ts"
import * as record from "./internal/saga/record.ts"
import * as redis from "./internal/saga/redis.ts"
import * as tables from "./internal/saga/tables.ts"
import * as unavailable from "./internal/saga/unavailable.ts"
import type { Migrator, SqlClient, SqlError } from "./internal/sql/client.ts"

/**
 * The log did not answer, or answered with a failure. `operation` is the operation of the port, `detail` a short word on
 * the cause that holds no data of the run.
 *
 * @category errors
 * @since 0.1.0
 */
export const LogUnavailable = unavailable.LogUnavailable

/**
 * See {@link LogUnavailable}.
 *
 * @category errors
 * @since 0.1.0
 */
export type LogUnavailable = unavailable.LogUnavailable

/** @category models @since 0.1.0 */
export type RunId = record.RunId

/**
 * The {@link RunId} of a saga's name and a run's id, for a program that asks the port itself.
 *
 * @category constructors
 * @since 0.1.0
 */
export const runId: (saga: string, id: string) => RunId = record.runId

/** @category models @since 0.1.0 */
export type Run = record.Run
/**
 * A row that is no run as this version knows them: written by a later one, or changed by hand. `detail` names what does not
 * fit, and never quotes it.
 *
 * @category models
 * @since 0.1.0
 */
export type UnreadableRun = record.UnreadableRun
/** @category models @since 0.1.0 */
export type ListedRun = record.ListedRun
/** @category models @since 0.1.0 */
export type State = record.State
/** @category models @since 0.1.0 */
export type Event = record.Event
/** @category models @since 0.1.0 */
export type Entry = record.Entry
/** @category models @since 0.1.0 */
export type History = record.History
/** @category requests @since 0.1.0 */
export type ClaimRequest = record.ClaimRequest
/** @category requests @since 0.1.0 */
export type AppendRequest = record.AppendRequest
/** @category requests @since 0.1.0 */
export type AppendReply = record.AppendReply
/** @category requests @since 0.1.0 */
export type Ownership = record.Ownership
/** @category requests @since 0.1.0 */
export type RenewRequest = record.RenewRequest
/** @category requests @since 0.1.0 */
export type OrphansRequest = record.OrphansRequest
/** @category requests @since 0.1.0 */
export type ListRequest = record.ListRequest
/** @category requests @since 0.1.0 */
export type PauseRequest = record.PauseRequest
/** @category requests @since 0.1.0 */
export type SignalRequest = record.SignalRequest
/** @category requests @since 0.1.0 */
export type SignalReply = record.SignalReply
/** @category requests @since 0.1.0 */
export type InboxRequest = record.InboxRequest
/** @category requests @since 0.1.0 */
export type Inbox = record.Inbox
/** @category requests @since 0.1.0 */
export type SweepRequest = record.SweepRequest

/**
 * The port. Every write is one atomic step, commits alone, and may be sent twice.
 *
 * @category services
 * @since 0.1.0
 */
export class SagaLog extends Context.Service<SagaLog, {
  /**
   * Makes the run and its first entry, or takes over one that nobody holds, with a higher epoch. Answers with the run as
   * it stands afterwards: it is the caller's when it names the caller's owner and has a lease. Undefined: there is none
   * and no opening was given. A run with another fingerprint is left alone.
   */
  readonly claim: (request: ClaimRequest) => Effect.Effect<History | undefined, LogUnavailable>
  /** Adds one entry. It says whether the caller still owned the run, and whether someone asked for it to be cancelled. */
  readonly append: (request: AppendRequest) => Effect.Effect<AppendReply, LogUnavailable>
  /** Prolongs many leases in one statement; answers in order whether each is still held. */
  readonly renew: (requests: ReadonlyArray<RenewRequest>) => Effect.Effect<ReadonlyArray<boolean>, LogUnavailable>
  /** Gives the lease back, so that any owner may go on at once. False: no longer owned. */
  readonly release: (request: Ownership) => Effect.Effect<boolean, LogUnavailable>
  /** Asks the owner, now or later, to undo the run. What does not run forward any more is left alone. */
  readonly cancel: (id: RunId) => Effect.Effect<Run | undefined, LogUnavailable>
  /** Asks the owner, now or later, to park the run. What is not under way is left alone; what ends or parks forgets it. */
  readonly pause: (request: PauseRequest) => Effect.Effect<Run | undefined, LogUnavailable>
  /** Keeps a message for a step that waits or will, also of a run that is not there yet. */
  readonly signal: (request: SignalRequest) => Effect.Effect<SignalReply, LogUnavailable>
  /** What has come for many steps that wait, in order. Changes nothing. */
  readonly inbox: (requests: ReadonlyArray<InboxRequest>) => Effect.Effect<ReadonlyArray<Inbox>, LogUnavailable>
  /** Takes over unfinished runs of these sagas that nobody holds, the longest abandoned first. */
  readonly orphans: (request: OrphansRequest) => Effect.Effect<ReadonlyArray<History>, LogUnavailable>
  readonly read: (id: RunId) => Effect.Effect<History | undefined, LogUnavailable>
  /** One page in the order of `key`. A row that cannot be read is one of them, and hides no other. */
  readonly list: (request: ListRequest) => Effect.Effect<ReadonlyArray<ListedRun>, LogUnavailable>
  /** Drops runs that ended well or all undone; answers how many. Nothing else is ever dropped. */
  readonly sweep: (request: SweepRequest) => Effect.Effect<number, LogUnavailable>
  /** A log in this process, which answers at once: nobody has to bound how long it is silent. */
  readonly isLocal?: true
  /** Whether the caller is inside a transaction of the log's database, where a rollback would not take back the log. */
  readonly isInsideTransaction?: Effect.Effect<boolean>
}>()("effect-payments/SagaLog") {}

/**
 * Keeps runs in this process, on the clock that the layer is built with.
 *
 * **When to use**
 *
 * For tests, and for sagas that need not survive a restart. Money wants a log that does.
 *
 * **Details**
 *
 * At most `capacity` runs (default 100 000); when it is full a new run fails with `LogUnavailable`.
 *
 * **Example**
 *
 * ```ts
 * import { Effect } from "effect"
 * import { SagaLog } from "effect-payments"
 *
 * const parked = Effect.flatMap(SagaLog.SagaLog, (log) => log.list({ state: "Parked", limit: 10 }))
 *
 * await Effect.runPromise(parked.pipe(Effect.provide(SagaLog.layerStoreMemory()))) // => []
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStoreMemory = (
  options?: { readonly capacity?: number | undefined }
): Layer.Layer<SagaLog, LogUnavailable> =>
  Layer.effect(SagaLog, memory.make({ capacity: options?.capacity ?? 100_000 }))

/** The table of {@link layerStoreSql} unless another is named; entries are beside it in `…_entries`. */
const defaultTable = "effect_payments_saga"

/**
 * Keeps runs in two tables of SQLite or Postgres, on the clock of the database.
 *
 * **Details**
 *
 * The layer creates the tables, or brings them up to date, unless `migrate` is false; processes that start at once wait
 * for one another. `table` is 1 to 40 of `a-z`, `0-9` and `_`. Each entry is one guarded statement, and entries of the
 * same tick share a commit; a lone one runs at once. The log commits beside a transaction of the caller on Postgres; on
 * SQLite, whose transaction holds the one connection, it fails with `LogUnavailable` instead of waiting for itself.
 *
 * `writeTimeout` (default 5 seconds, 100 milliseconds to 1 minute) is for how long the database may be silent about an
 * entry, as it is for ever on a connection whose other end is gone. Then nobody knows whether it was committed: what shares
 * its commit fails with `LogUnavailable` (`Unanswered`) and may be sent again, and the others go on over another connection.
 * On SQLite it counts from when the lock is held, and is for entries that share a commit: a lone one has the `busyTimeout` of
 * the client.
 *
 * **Example**
 *
 * ```ts
 * import { SqliteClient } from "@effect-payments/sqlite"
 * import { Effect, Layer } from "effect"
 * import { SagaLog } from "effect-payments"
 *
 * const failed = Effect.flatMap(SagaLog.SagaLog, (log) => log.list({ state: "FailedCompensation", limit: 10 }))
 *
 * const layer = SagaLog.layerStoreSql().pipe(Layer.provide(SqliteClient.layer({ filename: ":memory:" })))
 * await Effect.runPromise(failed.pipe(Effect.provide(layer))) // => []
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStoreSql = (
  options?: {
    readonly table?: string | undefined
    readonly migrate?: boolean | undefined
    readonly writeTimeout?: Duration.Input | undefined
  }
): Layer.Layer<
  SagaLog,
  LogUnavailable | Migrator.MigrationError | SqlError.SqlError,
  SqlClient.SqlClient
> =>
  Layer.effect(
    SagaLog,
    log.make({
      table: options?.table ?? defaultTable,
      migrate: options?.migrate ?? true,
      writeTimeout: options?.writeTimeout
    })
  )

/**
 * The migrations of {@link layerStoreSql} by number and name, for a project that runs them with its own migrator and
 * sets `migrate: false`. They have to run exactly once.
 *
 * @category layers
 * @since 0.1.0
 */
export const migrations = (
  options?: { readonly table?: string | undefined }
): { readonly [name: string]: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> } =>
  tables.migrations(options?.table ?? defaultTable)

/**
 * What {@link layerStoreRedis} does about a server that may drop runs when its memory is full, or that does not tell (where
 * neither `CONFIG` nor `INFO` is allowed).
 *
 * | | `maxmemory-policy` is another than `noeviction` | the server does not tell |
 * |---|---|---|
 * | `refuse` | fails to start | fails to start |
 * | `refuseKnown` | fails to start | starts |
 * | `accept` | starts, and the undo of a run that is dropped is forgotten | starts |
 *
 * @category models
 * @since 0.1.0
 */
export type RedisEviction = eviction.Eviction

/**
 * Keeps runs in Redis, on the clock of the server: one script for each transition.
 *
 * **When to use**
 *
 * Where sagas are many and what a failover may lose is found by other means, such as a reconciliation. For money that has no
 * such second line, use {@link layerStoreSql} over Postgres.
 *
 * **Details**
 *
 * - `prefix` (default `effect_payments:saga`) is 1 to 100 printable ASCII characters without spaces and braces. It stands in
 *   braces before every key, so that in a cluster a log is in one slot.
 * - `eviction`: see {@link RedisEviction}, default `refuse`.
 * - `replicas`: a write counts when `count` (1 to 100) replicas have it, for which it waits up to `timeout` (default 1 second,
 *   at most a minute; keep it well below the lease). Otherwise the answer is `LogUnavailable` (`NotReplicated`), which is
 *   unknown, and what is sent again waits again. It costs a round trip for each write, and a connection of the pool while it
 *   waits (`maxConnections` of the client).
 *
 * No key has an expiry. `sweep` drops 500 runs a script, and `list` reads the index 200 runs at a time; what is parked or
 * whose compensation has failed has an index of its own. An option out of its bounds fails with `LogUnavailable` at `start`.
 *
 * **Gotchas**
 *
 * Redis copies to its replicas after it has answered. A failover may lose the last entries of a run: a step that was intended
 * may have left, and nobody knows that it is to be undone. A run whose claim is lost is begun anew by the next call with its
 * id, under the same downstream keys; without such a call it is forgotten. `replicas` makes that unlikely and not impossible: a
 * replica without the write can still be the one that is promoted. A restart loses what was not yet on disk
 * (`appendonly yes`, and `appendfsync always` for all of it).
 *
 * **Example**
 *
 * ```ts
 * import { NodeRedis } from "@effect/platform-node"
 * import { Layer } from "effect"
 * import { SagaLog } from "effect-payments"
 *
 * const log = SagaLog.layerStoreRedis({
 *   prefix: "shop:saga",
 *   replicas: { count: 1, timeout: "500 millis" }
 * }).pipe(Layer.provide(NodeRedis.layer({ url: "redis://localhost:6379" })))
 *
 * Layer.isLayer(log) // => true
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
): Layer.Layer<SagaLog, LogUnavailable, Redis.Redis> =>
  Layer.effect(
    SagaLog,
    redis.make({
      prefix: options?.prefix ?? "effect_payments:saga",
      eviction: options?.eviction ?? "refuse",
      replicas: options?.replicas === undefined
        ? undefined
        : { count: options.replicas.count, timeout: options.replicas.timeout ?? "1 second" }
    })
  )
