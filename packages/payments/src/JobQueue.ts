/**
 * Work for later, that is done: jobs wait in a store, workers take them, what fails is tried again, and what failed for
 * good is kept where an operator finds it.
 *
 * It prevents that work is lost with the process that was to do it, that one job that always fails blocks the others or
 * runs for ever, and that what has failed for good is gone, or seen by nobody.
 *
 * It guarantees that a job that was taken in is run at least once and ends as done or among the dead letters. An id is
 * taken once: offering it again changes nothing, also after it is done.
 *
 * A worker holds the lock of its job and renews it. When it was killed, another takes the job once the lock is over, and
 * the attempt counts. A handler is stopped when its lock could not be renewed for as long as it holds, and when another
 * worker has the job. Only what was frozen for longer than that, and wakes up, can run beside another for a moment; the
 * store takes no word of it, which is logged and counted as `lost`.
 *
 * So at least once means more than once now and then: also when a process dies between the work and the word that it is
 * done. A handler that moves money is an `Idempotency.idempotent` one, with the id of the job as its key; a handler without
 * it does not compile, as anywhere else.
 *
 * | option | default | bounds |
 * |---|---|---|
 * | `attemptsMax` | 10 | 1 to 1000 |
 * | `retry`, by the number of the attempt | 1 second, doubling, up to 5 minutes | |
 * | `timeout` of a handler | 5 minutes | 1 millisecond to 1 day |
 * | `payloadLimitBytes`, of the job as JSON | 256 KiB | 1 to 16 MiB |
 * | `workers` | 4 | 1 to 1000 |
 * | an id | a random one | 1 to 200 printable ASCII characters |
 * | `delay` | none | up to 366 days |
 * | what is kept of a failure | | 4096 characters, without card data |
 *
 * A failure whose disposition is `Refused` is final and not tried again. An interruption, such as a shutdown, gives the
 * job back and counts as no attempt. A handler whose `timeout` is over is interrupted and has failed: the job is tried again,
 * or is a dead letter after its last attempt. One that does not end within 10 seconds of that is left to itself, so that
 * its worker goes on; the failure says so. Dead letters are kept until they are requeued or discarded.
 *
 * What it does not do: keep an order. Jobs start roughly in the order in which they came. And it does not encrypt: jobs
 * stand in the store as their schema encodes them, so a card token may be in one and a card number never.
 *
 * It is Effect's `PersistedQueue` with what that lacks: bounds on what goes in, dead letters that can be read, and final
 * failures. Read `EventBus` next, whose outbox is such a queue.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type * as Schedule from "effect/Schedule"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Redis } from "./internal/effect/redis.ts"
import type { JobQueueError } from "./internal/jobQueue/errors.ts"
import { makeOn } from "./internal/jobQueue/make.ts"
import * as memory from "./internal/jobQueue/memory.ts"
import type * as engine from "./internal/jobQueue/queue.ts"
import * as redis from "./internal/jobQueue/redis.ts"
import * as sql from "./internal/jobQueue/sql.ts"
import type { SqlStore, Store } from "./internal/jobQueue/store.ts"
import { dayMillis, reader } from "./internal/option/option.ts"
import type { Migrator, SqlClient, SqlError } from "./internal/sql/client.ts"

export {
  /**
   * @category reasons
   * @since 0.1.0
   */
  JobInvalid,
  /**
   * @category errors
   * @since 0.1.0
   */
  JobQueueError,
  /**
   * @category reasons
   * @since 0.1.0
   */
  JobQueueFull,
  /**
   * @category reasons
   * @since 0.1.0
   */
  JobStoreUnavailable
} from "./internal/jobQueue/errors.ts"

/**
 * What a handler is told of a job: its id, and which attempt this is, from 1.
 *
 * @category models
 * @since 0.1.0
 */
export type Job = engine.Job

/**
 * A job that failed for good. `payload` is none when it does not fit the schema any more; `cursor` is where the next page
 * begins.
 *
 * @category models
 * @since 0.1.0
 */
export interface DeadLetter<A> {
  readonly id: string
  readonly payload: Option.Option<A>
  readonly attempts: number
  readonly failure: string
  readonly failedAt: DateTime.Utc
  readonly cursor: string
}

/**
 * A queue of jobs of one kind.
 *
 * @category models
 * @since 0.1.0
 */
export interface JobQueue<in out A> {
  readonly name: string
  /**
   * Takes the job in and answers its id. With `id` it may be sent twice. On a database, inside of a transaction, it is
   * taken in with the commit.
   */
  readonly offer: (
    payload: A,
    options?: { readonly id?: string | undefined; readonly delay?: Duration.Input | undefined }
  ) => Effect.Effect<string, JobQueueError>
  /** Works until it is interrupted. The handler's failures are the queue's business and not the caller's. */
  readonly work: <E, R>(
    handler: (payload: A, job: Job) => Effect.Effect<unknown, E, R>,
    options?: { readonly workers?: number | undefined }
  ) => Effect.Effect<never, never, R>
  /**
   * Up to `limit` (100; at most 1000) jobs that failed for good, oldest first, after the one whose cursor is given. On
   * Redis a cursor is a place in a list: begin anew after you have requeued or discarded some.
   */
  readonly deadLetters: (
    page?: { readonly after?: string | undefined; readonly limit?: number | undefined }
  ) => Effect.Effect<ReadonlyArray<DeadLetter<A>>, JobQueueError>
  /** How many failed for good. Alert on it. */
  readonly deadLetterCount: Effect.Effect<number, JobQueueError>
  /** Gives a dead letter all its attempts again. False: there is none with this id. */
  readonly requeue: (id: string) => Effect.Effect<boolean, JobQueueError>
  /** Takes a dead letter for done. False: there is none with this id. */
  readonly discard: (id: string) => Effect.Effect<boolean, JobQueueError>
}

/**
 * See the table above.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<A> {
  /** In the store and in metrics: 1 to 100 of letters, digits, `_`, `.` and `-`. The same for all processes. */
  readonly name: string
  readonly payload: Schema.Codec<A, unknown>
  readonly attemptsMax?: number | undefined
  readonly retry?: Schedule.Schedule<unknown, number> | undefined
  readonly payloadLimitBytes?: number | undefined
  readonly timeout?: Duration.Input | undefined
}

/**
 * Where jobs wait: in memory, in a database, in Redis.
 *
 * @category services
 * @since 0.1.0
 */
export class JobQueueStore extends Context.Service<JobQueueStore, Store>()("effect-payments/JobQueueStore") {}

/**
 * The same in a database: what is offered inside of a transaction is taken in with its commit, or not at all. What needs
 * that, an outbox, asks for this store; only {@link layerStoreSql} provides it.
 *
 * @category services
 * @since 0.1.0
 */
export class SqlJobQueueStore
  extends Context.Service<SqlJobQueueStore, SqlStore>()("effect-payments/SqlJobQueueStore")
{}

/**
 * A queue over the store. Two with the same name are one. Dies with `Resilience.InvalidOption`.
 *
 * **Example**
 *
 * ```ts
 * import { Effect, Schedule, Schema } from "effect"
 * import { JobQueue } from "effect-payments"
 *
 * const program = Effect.gen(function*() {
 *   const receipts = yield* JobQueue.make({
 *     name: "receipts",
 *     payload: Schema.Struct({ orderId: Schema.String }),
 *     attemptsMax: 1
 *   })
 *   yield* receipts.offer({ orderId: "A" }, { id: "receipt-A" })
 *   yield* receipts.offer({ orderId: "A" }, { id: "receipt-A" })
 *   yield* receipts.offer({ orderId: "B" }, { id: "receipt-B" })
 *
 *   const sent: Array<string> = []
 *   const send = ({ orderId }: { readonly orderId: string }) =>
 *     orderId === "B" ? Effect.fail("no address") : Effect.sync(() => void sent.push(orderId))
 *   const isDone = receipts.deadLetterCount.pipe(
 *     Effect.repeat({ until: (count) => count === 1 && sent.length === 1, schedule: Schedule.spaced("5 millis") })
 *   )
 *   yield* Effect.raceFirst(receipts.work(send, { workers: 2 }), isDone)
 *
 *   const dead = yield* receipts.deadLetters()
 *   return { sent, dead: dead.map(({ failure, id }) => [id, failure.includes("no address")]) }
 * })
 *
 * const { dead, sent } = await Effect.runPromise(program.pipe(Effect.provide(JobQueue.layerStoreMemory())))
 * sent // => ["A"]
 * dead // => [["receipt-B", true]]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <A>(options: Options<A>): Effect.Effect<JobQueue<A>, never, JobQueueStore> =>
  Effect.flatMap(JobQueueStore, (store) => makeOn(store, options))

/**
 * Workers as a layer: they work as long as the layer lives, and give back what they have not finished when it ends.
 *
 * **Example**
 *
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { JobQueue } from "effect-payments"
 *
 * const receipts = JobQueue.make({ name: "receipts", payload: Schema.Struct({ orderId: Schema.String }) })
 *
 * const workers = JobQueue.layerWorkers(receipts, ({ orderId }) => Effect.log(`receipt for ${orderId}`), { workers: 10 })
 *
 * Layer.isLayer(workers) // => true
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerWorkers = <A, E, R, E2, R2>(
  queue: Effect.Effect<JobQueue<A>, E2, R2>,
  handler: (payload: A, job: Job) => Effect.Effect<unknown, E, R>,
  options?: { readonly workers?: number | undefined }
): Layer.Layer<never, E2, R | Exclude<R2, Scope.Scope>> =>
  Layer.effectDiscard(Effect.flatMap(queue, (queue) => Effect.forkScoped(queue.work(handler, options))))

/**
 * Jobs wait in the memory of this process, and are gone with it.
 *
 * **When to use**
 *
 * For tests, and for work that may be lost.
 *
 * **Details**
 *
 * At most `capacity` (100,000) jobs of each queue, dead letters among them; more are refused with `JobQueueFull`. Of jobs
 * that are done as many ids are remembered.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStoreMemory = (
  options?: { readonly capacity?: number | undefined }
): Layer.Layer<JobQueueStore> =>
  Layer.effect(
    JobQueueStore,
    Effect.flatMap(
      reader("JobQueue.layerStoreMemory").integer("capacity", options?.capacity ?? 100_000, 1, 10_000_000),
      memory.make
    )
  )

/**
 * - `pollInterval`, 1 second: how often an idle worker looks for what other processes have offered.
 * - `lock`, 90 seconds, at least 1: how long after its worker was last heard of a job is taken by another: then with the
 *   next poll, on Redis within a third of it. Renewed three times in it. On SQLite a handler that holds the one connection in
 *   a transaction for longer is stopped, since nothing can be renewed.
 * - `keepFor`, 30 days: how long the ids of jobs that are done stay taken.
 * - `sweepEvery`, 1 hour: how often older ones are deleted; `false` leaves it to others.
 *
 * @category models
 * @since 0.1.0
 */
export interface StoreOptions {
  readonly pollInterval?: Duration.Input | undefined
  readonly lock?: Duration.Input | undefined
  readonly keepFor?: Duration.Input | undefined
  readonly sweepEvery?: Duration.Input | false | undefined
}

const swept = <S extends Store>(
  stage: string,
  store: S,
  options: StoreOptions | undefined
): Effect.Effect<S, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { millis } = reader(stage)
    const timeToLive = yield* millis("keepFor", options?.keepFor ?? "30 days", 1000, 3660 * dayMillis)
    if (options?.sweepEvery === false) return store
    const every = yield* millis("sweepEvery", options?.sweepEvery ?? "1 hour", 1000, 30 * dayMillis)
    const sweep = Effect.ignore(
      store.elements.cleanup({ timeToLive: Duration.millis(timeToLive), failedTimeToLive: undefined })
    )
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(sweep, Effect.sleep(every))))
    return store
  })

const timesOf = (stage: string, options: StoreOptions | undefined) =>
  Effect.gen(function*() {
    const { millis } = reader(stage)
    return {
      pollMillis: yield* millis("pollInterval", options?.pollInterval ?? "1 second", 1, dayMillis),
      lockMillis: yield* millis("lock", options?.lock ?? "90 seconds", 1000, dayMillis)
    }
  })

/**
 * Jobs wait in a table of SQLite or Postgres (`effect_payments_jobs`), shared by all processes. The layer creates it.
 *
 * **Details**
 *
 * What is offered inside of a transaction of the same client is taken in with its commit. Delays and pauses are rounded
 * up to whole seconds. Workers poll: other processes' jobs start after `pollInterval` at the latest.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStoreSql = (
  options?: StoreOptions & { readonly table?: string | undefined }
): Layer.Layer<
  JobQueueStore | SqlJobQueueStore,
  JobQueueError | Migrator.MigrationError | SqlError.SqlError,
  SqlClient.SqlClient
> =>
  Layer.effectContext(
    Effect.gen(function*() {
      const stage = "JobQueue.layerStoreSql"
      const times = yield* timesOf(stage, options)
      const made = yield* sql.make({ table: options?.table ?? "effect_payments_jobs", ...times })
      const store = yield* swept(stage, made, options)
      return Context.make(JobQueueStore, store).pipe(Context.add(SqlJobQueueStore, store))
    })
  )

/**
 * Jobs wait in Redis, under `prefix` (`effect-payments:jobs:`), shared by all processes.
 *
 * **Gotchas**
 *
 * Delays and pauses are measured on the clocks of the processes. On a cluster give a prefix with a hash tag (`{jobs}:`). A
 * Redis that evicts keys loses jobs: give it `noeviction`, and an append-only file.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStoreRedis = (
  options?: StoreOptions & { readonly prefix?: string | undefined }
): Layer.Layer<JobQueueStore, JobQueueError, Redis.Redis> =>
  Layer.effect(
    JobQueueStore,
    Effect.gen(function*() {
      const stage = "JobQueue.layerStoreRedis"
      const times = yield* timesOf(stage, options)
      const made = yield* redis.make({ prefix: options?.prefix ?? "effect-payments:jobs:", ...times })
      return yield* swept(stage, made, options)
    })
  )
