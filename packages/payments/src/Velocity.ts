/**
 * How often something happened lately: payments of a user, money sent to an address, cards tried from a device.
 *
 * It prevents that a counter is read before it is written, so that ten attempts at once each see "none so far": recording
 * and counting is one atomic step at the store. It prevents that a retry counts twice: what is counted is an attempt, and
 * an attempt that is in the window already stays where it is; with another amount or value it is another one. And it
 * prevents that counters grow without end.
 *
 * A window slides: it holds what happened less than its length ago on the store's clock, to the millisecond. The answer is
 * exact while the counter keeps all of it. Of one counter at most `eventsMax` attempts are kept; when older ones had to go
 * the answer is a lower bound and says so (`isLowerBound`), and an attempt that had to go counts anew when it comes again.
 *
 * | | default | bounds |
 * |---|---|---|
 * | `window` | none | 1 second to 366 days |
 * | `eventsMax` | 100 | 1 to 1000 attempts of one counter |
 * | `series` | none | 1 to 100 printable ASCII characters |
 * | `key`, `attempt`, `value` | none | 1 to 255 characters, no control characters |
 * | `amount` | 0 | 0 to 9,000,000,000,000 minor units |
 * | observations of one call | | 100 |
 *
 * What it does not do: say what is too often. Keys and values are kept as they are given for as long as the window is
 * long: give an opaque id or a keyed digest instead of an e-mail address, and never a card number.
 *
 * Read `Fraud` next, whose `velocity` rule asks this port.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import type { Redis } from "./internal/effect/redis.ts"
import type { Migrator, SqlClient, SqlError } from "./internal/sql/client.ts"
import type { VelocityError } from "./internal/velocity/errors.ts"
import * as event from "./internal/velocity/event.ts"
import * as memory from "./internal/velocity/memory.ts"
import * as redis from "./internal/velocity/redis.ts"
import * as schema from "./internal/velocity/schema.ts"
import * as sql from "./internal/velocity/sql.ts"

/**
 * One counter. `series` says what is counted, `key` whose it is; a series of another window is another counter.
 *
 * @category models
 * @since 0.1.0
 */
export interface Counter {
  readonly series: string
  readonly key: string
  readonly window: Duration.Input
}

/**
 * Something that happened.
 *
 * - `attempt`: what it is counted by. The same for a retry, another one for another payment. The same with another
 *   `amount` or `value` counts too, so that nobody tries card after card under one attempt.
 * - `amount`: what it adds to `sum`, in minor units. Keep a series for each currency.
 * - `value`: what `distinct` tells apart.
 * - `eventsMax`: how many attempts of this counter are kept.
 *
 * @category models
 * @since 0.1.0
 */
export interface Observation extends Counter {
  readonly attempt: string
  readonly amount?: bigint | undefined
  readonly value?: string | undefined
  readonly eventsMax?: number | undefined
}

/**
 * What is in the window: how many attempts, the sum of their amounts, and how many values they have. With `isLowerBound`
 * there was more than could be kept, and each of the three is at least that much.
 *
 * @category models
 * @since 0.1.0
 */
export interface Measure {
  readonly count: number
  readonly sum: bigint
  readonly distinct: number
  readonly isLowerBound: boolean
}

/**
 * Says whether an observation is within its bounds, before any store is asked.
 *
 * **When to use**
 *
 * Where observations of several parties go into one call of `record`, which refuses all of them for one that is wrong.
 *
 * **Example**
 *
 * ```ts
 * import { Result } from "effect"
 * import { Velocity } from "effect-payments"
 *
 * const checked = Velocity.check({ series: "user_hourly", key: "", window: "1 hour", attempt: "p_1" })
 *
 * Result.getOrThrow(Result.flip(checked)).message
 * // => "velocity: key must be 1 to 255 characters, none of them a control character"
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export const check = (observation: Observation): Result.Result<Observation, VelocityError> =>
  Result.map(event.toEvent(observation), () => observation)

/**
 * The port.
 *
 * @category services
 * @since 0.1.0
 */
export class Velocity extends Context.Service<Velocity, {
  /**
   * Records each observation and answers with its counter afterwards, in order. Each is one atomic step, and may be sent
   * twice. Commits apart from a transaction of the caller: an attempt counts also when its payment is rolled back.
   */
  readonly record: (
    observations: ReadonlyArray<Observation>
  ) => Effect.Effect<ReadonlyArray<Measure>, VelocityError>
  /** Reads a counter and records nothing. */
  readonly measure: (counter: Counter) => Effect.Effect<Measure, VelocityError>
  /** Starts a counter anew, as support does for a customer who was held up. False: there was nothing in it. */
  readonly forget: (counter: Counter) => Effect.Effect<boolean, VelocityError>
}>()("effect-payments/Velocity") {}

export {
  /**
   * @category reasons
   * @since 0.1.0
   */
  ObservationInvalid,
  /**
   * @category errors
   * @since 0.1.0
   */
  VelocityError,
  /**
   * @category reasons
   * @since 0.1.0
   */
  VelocityUnavailable
} from "./internal/velocity/errors.ts"

/**
 * Counts in the memory of this process, on the clock that the layer is built with.
 *
 * **When to use**
 *
 * For tests and for a single process. Several processes that count apart let through a multiple of each limit.
 *
 * **Details**
 *
 * At most `capacity` counters (default 100,000). In a full store the one that was used least lately makes room; if its
 * window was not over, `effect_payments_velocity_evicted_total` counts it.
 *
 * **Example**
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Velocity } from "effect-payments"
 *
 * const program = Effect.gen(function*() {
 *   const velocity = yield* Velocity.Velocity
 *   const attempt = (attempt: string) => ({ series: "user_hourly", key: "u_42", window: "1 hour", attempt }) as const
 *   return yield* velocity.record([attempt("p_1"), attempt("p_2"), attempt("p_2")])
 * })
 *
 * const measures = await Effect.runPromise(program.pipe(Effect.provide(Velocity.layerStoreMemory())))
 * measures.map(({ count }) => count) // => [1, 2, 2]
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStoreMemory = (
  options?: { readonly capacity?: number | undefined }
): Layer.Layer<Velocity, VelocityError> => Layer.effect(Velocity, memory.make(options?.capacity ?? 100_000))

/** The table of {@link layerStoreSql} unless another is named. */
const defaultTable = "effect_payments_velocity"

/**
 * Counts in a table of SQLite or Postgres, on the clock of the database.
 *
 * **Details**
 *
 * The layer creates the table, or brings it up to date, unless `migrate` is false. `table` is 1 to 40 of `a-z`, `0-9` and
 * `_`. A counter is a row, and recording one statement; observations of the same tick share a commit. Counters whose
 * window is over are dropped as new ones come. On SQLite, whose transaction holds the one connection, recording inside a
 * transaction fails instead of waiting for itself.
 *
 * `writeTimeout` (default 5 seconds, 100 milliseconds to 1 minute) is for how long the database may be silent about an
 * observation, as it is for ever on a connection whose other end is gone. Then it fails with detail `Unanswered`, and may
 * have been counted or not; recorded again under the same `attempt` it counts once. On SQLite it counts from when the lock
 * is held, and is for observations that share a commit.
 *
 * **Example**
 *
 * ```ts
 * import { SqliteClient } from "@effect-payments/sqlite"
 * import { Effect, Layer } from "effect"
 * import { Velocity } from "effect-payments"
 *
 * const program = Effect.gen(function*() {
 *   const velocity = yield* Velocity.Velocity
 *   const counter = { series: "cards_of_device", key: "device_7", window: "1 day" } as const
 *   yield* velocity.record([{ ...counter, attempt: "p_1", value: "tok_a" }, { ...counter, attempt: "p_2", value: "tok_b" }])
 *   return yield* velocity.measure(counter)
 * })
 *
 * const layer = Velocity.layerStoreSql().pipe(Layer.provide(SqliteClient.layer({ filename: ":memory:" })))
 * const { count, distinct } = await Effect.runPromise(program.pipe(Effect.provide(layer)))
 * count // => 2
 * distinct // => 2
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
): Layer.Layer<Velocity, VelocityError | Migrator.MigrationError | SqlError.SqlError, SqlClient.SqlClient> =>
  Layer.effect(
    Velocity,
    sql.make({
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
  schema.migrations(options?.table ?? defaultTable)

/**
 * Counts in Redis (5 or later), on the clock of the server, over Effect's `Redis` service.
 *
 * **Details**
 *
 * All observations of one call are one script, run by its digest: one round trip. A counter is a sorted set under
 * `prefix` (default `effect-payments:velocity:`) that expires with its window.
 *
 * **Gotchas**
 *
 * On a cluster the keys of one call have to live in one slot: give a prefix with a hash tag (`{velocity}:`). A Redis that
 * evicts keys when its memory is full forgets counters; give it `noeviction` or `volatile-ttl`.
 *
 * **Example**
 *
 * ```ts
 * import { Layer } from "effect"
 * import { Velocity } from "effect-payments"
 *
 * const layer = Velocity.layerStoreRedis({ prefix: "shop:velocity:" })
 *
 * Layer.isLayer(layer) // => true
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStoreRedis = (
  options?: { readonly prefix?: string | undefined }
): Layer.Layer<Velocity, VelocityError, Redis.Redis> =>
  Layer.effect(Velocity, redis.make({ prefix: options?.prefix ?? "effect-payments:velocity:" }))
