/**
 * Takes each event in once: the store says whether it is the first delivery, and what the handler writes commits together
 * with the mark that it has been handled.
 *
 * The failure it prevents comes in two shapes. Mark first and handle then, and an event is lost when the process dies
 * between; handle first and mark then, and it is handled twice. {@link Inbox} does both in one SQL transaction:
 * effectively once. {@link AtLeastOnceInbox} marks after the handler, for a store that is not the database of the handler
 * (memory, Redis) and for handlers whose effect is elsewhere: the handler runs again when the process dies before the
 * mark. The two are different services, so a program that needs the one does not compile with a store that only has the
 * other.
 *
 * An event is claimed before it is handled: a second delivery meanwhile is told so, and a claim whose owner died is taken
 * over. A handler that fails leaves the event free for the next delivery, and the provider is who delivers it again. A
 * mark is kept for a window, counted from when it was set; after that the same event is a new one.
 *
 * | option | default |
 * |---|---|
 * | `handlerTimeout`, the whole transaction included | 30 seconds |
 * | lease of a claim | twice `handlerTimeout` |
 * | store silent for | 5 seconds, then `StoreUnavailable` |
 * | SQL: expired marks are dropped | every 10 minutes |
 *
 * What it cannot do: put into a transaction what is no row. A handler that calls another system has to call it under a
 * key that stays the same, and the id of the event is one.
 *
 * Read `Webhook` next, which verifies first.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import {
  IdempotencyStore,
  layerStoreMemory as memory,
  layerStoreSql as sql,
  type StoreUnavailable
} from "./IdempotencyStore.ts"
import { Redis } from "./internal/effect/redis.ts"
import * as arrivals from "./internal/inbox/arrival.ts"
import { fromStore } from "./internal/inbox/dedup.ts"
import * as redis from "./internal/inbox/redis.ts"
import { sweepForever } from "./internal/inbox/sweep.ts"
import * as takes from "./internal/inbox/take.ts"
import type { Migrator, SqlClient, SqlError } from "./internal/sql/client.ts"

/**
 * One delivery of an event.
 *
 * - `provider`, `endpoint`, `id`: together they say which event it is; each 1 to 255 printable ASCII characters. The same
 *   id at another endpoint is another event.
 * - `fingerprint`: what its content is known by. Once the event has been handled, the same one with another content is
 *   refused; until then the content may change, as when a provider writes it anew.
 * - `window`: how long it is remembered that the event was handled; at least as long as the provider delivers it again.
 *
 * @category models
 * @since 0.1.0
 */
export const Arrival = arrivals.Arrival

/**
 * See {@link Arrival}.
 *
 * @category models
 * @since 0.1.0
 */
export type Arrival = arrivals.Arrival

/**
 * What the handler is told: how often this event has been begun, from 1. Above 1 an earlier attempt failed or died.
 *
 * @category models
 * @since 0.1.0
 */
export type Delivery = takes.Delivery

/**
 * What became of a delivery: handled now, or handled before.
 *
 * @category models
 * @since 0.1.0
 */
export type Taken<A> = takes.Taken<A>

/**
 * Runs the handler unless the event has been handled. Adds `InboxError` and nothing else.
 *
 * @category models
 * @since 0.1.0
 */
export type Take = takes.Take

/**
 * The inbox whose mark commits with what the handler writes through the same `SqlClient`. A handler that fails, dies, is
 * interrupted or takes too long leaves neither.
 *
 * @category services
 * @since 0.1.0
 */
export class Inbox extends Context.Service<Inbox, { readonly take: Take }>()("effect-payments/Inbox") {}

/**
 * The inbox that sets the mark after the handler. A handler may run more than once for one event, never at the same time
 * as long as no process stands still for a lease.
 *
 * @category services
 * @since 0.1.0
 */
export class AtLeastOnceInbox extends Context.Service<AtLeastOnceInbox, { readonly take: Take }>()(
  "effect-payments/AtLeastOnceInbox"
) {}

/**
 * How long a handler may take; at least 1 millisecond.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly handlerTimeout?: Duration.Input | undefined
}

const timeoutOf = (options: Options | undefined): number =>
  Math.max(1, Duration.toMillis(Duration.fromInputUnsafe(options?.handlerTimeout ?? "30 seconds")))

/**
 * Both inboxes over a table of SQLite or Postgres.
 *
 * **Details**
 *
 * The table is one of `IdempotencyStore.layerStoreSql`, `effect_payments_inbox` unless another is named, and is created
 * unless `migrate` is false. Handlers of {@link Inbox} write through the same `SqlClient`. On SQLite, which has one
 * connection, a handler holds the database while it runs: keep it short.
 *
 * **Example**
 *
 * ```ts
 * import { SqliteClient } from "@effect-payments/sqlite"
 * import { Duration, Effect, Layer } from "effect"
 * import { Inbox } from "effect-payments"
 * import { SqlClient } from "effect/sql"
 *
 * const arrival = Inbox.Arrival.make({
 *   provider: "acme",
 *   endpoint: "orders",
 *   id: "evt_1",
 *   fingerprint: "v1:0a1b",
 *   window: Duration.days(4)
 * })
 *
 * const program = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   const inbox = yield* Inbox.Inbox
 *   yield* sql`CREATE TABLE paid (id TEXT)`
 *   const pay = inbox.take(arrival, () => sql`INSERT INTO paid VALUES ('order 1')`)
 *   const first = yield* pay
 *   const second = yield* pay
 *   const rows = yield* sql`SELECT id FROM paid`
 *   return [first._tag, second._tag, rows.length]
 * })
 *
 * const layer = Inbox.layerStoreSql().pipe(Layer.provideMerge(SqliteClient.layer({ filename: ":memory:" })))
 * await Effect.runPromise(Effect.provide(program, layer)) // => ["Handled", "Duplicate", 1]
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStoreSql = (
  options?: Options & { readonly table?: string | undefined; readonly migrate?: boolean | undefined }
): Layer.Layer<
  Inbox | AtLeastOnceInbox,
  StoreUnavailable | Migrator.MigrationError | SqlError.SqlError,
  SqlClient.SqlClient
> =>
  Layer.effectContext(
    Effect.gen(function*() {
      const store = yield* IdempotencyStore
      yield* sweepForever(store)
      const dedup = fromStore(store)
      const handlerTimeoutMillis = timeoutOf(options)
      return Context.make(Inbox, { take: takes.make(dedup, { handlerTimeoutMillis, transactional: true }) }).pipe(
        Context.add(AtLeastOnceInbox, { take: takes.make(dedup, { handlerTimeoutMillis, transactional: false }) })
      )
    })
  ).pipe(Layer.provide(sql({ table: options?.table ?? "effect_payments_inbox", migrate: options?.migrate })))

/**
 * Marks in the memory of this process, for tests and for a single process whose handlers may run again after a restart.
 * At most `capacity` events are remembered (100 000 by default); in a full store only what has expired makes room, and
 * until then deliveries fail with `StoreUnavailable`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStoreMemory = (
  options?: Options & { readonly capacity?: number | undefined }
): Layer.Layer<AtLeastOnceInbox, StoreUnavailable> =>
  layerStore(options).pipe(Layer.provide(memory({ capacity: options?.capacity })))

/**
 * Marks in Redis, on its clock. Each transition is one script.
 *
 * **Gotchas**
 *
 * A mark that Redis evicts or loses in a failover is an event that is handled again: use `noeviction`, and persistence.
 * Keys begin with `prefix`, `effect-payments:inbox:` by default.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStoreRedis = (
  options?: Options & { readonly prefix?: string | undefined }
): Layer.Layer<AtLeastOnceInbox, never, Redis.Redis> =>
  Layer.effect(
    AtLeastOnceInbox,
    Effect.map(Redis.Redis, (client) => ({
      take: takes.make(redis.make(client, options?.prefix ?? "effect-payments:inbox:"), {
        handlerTimeoutMillis: timeoutOf(options),
        transactional: false
      })
    }))
  )

/**
 * Marks in whatever `IdempotencyStore` there is.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStore = (options?: Options): Layer.Layer<AtLeastOnceInbox, never, IdempotencyStore> =>
  Layer.effect(
    AtLeastOnceInbox,
    Effect.map(IdempotencyStore, (store) => ({
      take: takes.make(fromStore(store), { handlerTimeoutMillis: timeoutOf(options), transactional: false })
    }))
  )

/**
 * Provider, endpoint or id cannot name an event, or the window is none.
 *
 * @category reasons
 * @since 0.1.0
 */
export const ArrivalMalformed = arrivals.ArrivalMalformed

/**
 * The event is being handled, here or elsewhere. Delivered again after `retryAfter` it is a duplicate, or free.
 *
 * @category reasons
 * @since 0.1.0
 */
export const InFlight = arrivals.InFlight

/**
 * The event was handled before with another content. Nothing was handled now: one of the two is not what it says.
 *
 * @category reasons
 * @since 0.1.0
 */
export const EventConflict = arrivals.EventConflict

/**
 * Called inside an open transaction of the store's database.
 *
 * @category reasons
 * @since 0.1.0
 */
export const InsideTransaction = arrivals.InsideTransaction

/**
 * The handler was interrupted after `limit`.
 *
 * @category reasons
 * @since 0.1.0
 */
export const HandlerTimeout = arrivals.HandlerTimeout

/**
 * Another process has taken the event over, because this one stood still for a lease. Over SQL nothing was committed.
 *
 * @category reasons
 * @since 0.1.0
 */
export const ClaimLost = arrivals.ClaimLost

/**
 * Why, as a union of tagged reasons.
 *
 * @category reasons
 * @since 0.1.0
 */
export type Reason = arrivals.Reason

/**
 * The one error that {@link Take} adds. `StoreUnavailable` from `IdempotencyStore` is among its reasons; after it nobody
 * knows whether a commit went through, and the next delivery finds out.
 *
 * @category errors
 * @since 0.1.0
 */
export const InboxError = arrivals.InboxError

/**
 * See {@link InboxError}.
 *
 * @category errors
 * @since 0.1.0
 */
export type InboxError = arrivals.InboxError
