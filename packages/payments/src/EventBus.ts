/**
 * Events for whom it may concern: what happened is published once, and those who listen hear of it, each at its own pace.
 *
 * It prevents that an order service knows of receipts, analytics and stock, that one listener that is slow or broken takes
 * the publisher or the others down, and, with an outbox, that others hear of an order that was rolled back, or never hear
 * of one that was committed.
 *
 * Three ways to publish:
 *
 * | | when | lost when the process dies | a handler runs |
 * |---|---|---|---|
 * | `bus.publish` | now | yes | at most once |
 * | {@link publishAfterCommit} | after the unit of work has committed | yes, right after the commit | at most once |
 * | {@link makeOutbox} | with the commit: the event is a row of it | no | at least once |
 *
 * In a process each subscriber has a bounded queue and gets its events in the order in which they were published. When
 * its queue is full, a publisher waits for it; when that takes too long, this subscriber misses this event, which is
 * counted and logged. A handler that fails is counted and logged, and concerns nobody else. When a subscription or the
 * bus closes, what waits is handled first.
 *
 * | option | default | bounds |
 * |---|---|---|
 * | `capacity`: events that wait, of each subscriber | 1000 | 1 to 1,000,000 |
 * | `waitAtMost`, for a place in a queue | 5 seconds | 1 millisecond to 1 day |
 * | `closeAtMost`: for handling what waits | 10 seconds | 1 millisecond to 1 day |
 * | `concurrency` of a subscriber; above 1 there is no order | 1 | 1 to 1000 |
 *
 * What it does not do: carry events between processes. The relay of an outbox may pass them to a broker instead.
 *
 * Read `JobQueue` for what an outbox is made of, `UnitOfWork` for the transactions.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import type * as Schedule from "effect/Schedule"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as bus from "./internal/eventBus/bus.ts"
import type { EventBusError } from "./internal/eventBus/errors.ts"
import { dayMillis, nameExpected, namePattern, reader } from "./internal/option/option.ts"
import * as JobQueue from "./JobQueue.ts"
import * as UnitOfWork from "./UnitOfWork.ts"

export {
  /**
   * @category reasons
   * @since 0.1.0
   */
  DeliveryFailed,
  /**
   * @category errors
   * @since 0.1.0
   */
  EventBusError
} from "./internal/eventBus/errors.ts"

/**
 * What an event is told apart by: its `_tag`.
 *
 * @category models
 * @since 0.1.0
 */
export type Tagged = bus.Tagged

/**
 * What stands around publishing and around each handler. The first of several is outermost.
 *
 * - `publish` may change the event, or not go on with it.
 * - `handle` may measure, log, or try again. The failure of the handler passes through it.
 *
 * @category models
 * @since 0.1.0
 */
export type Middleware<Event> = bus.Middleware<Event>

/**
 * One who listens. Without `on` to everything. Services of the handler are taken when it subscribes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Subscriber<Event extends Tagged, Tag extends Event["_tag"], E, R> {
  /** In metrics, logs and `DeliveryFailed`: 1 to 100 of letters, digits, `_`, `.` and `-`. */
  readonly name: string
  readonly on?: ReadonlyArray<Tag> | undefined
  readonly concurrency?: number | undefined
  readonly handler: (event: Extract<Event, { readonly _tag: Tag }>) => Effect.Effect<unknown, E, R>
}

/**
 * A bus for events of these types.
 *
 * @category models
 * @since 0.1.0
 */
export interface EventBus<Event extends Tagged> {
  readonly name: string
  /** Hands the event to the queue of each subscriber that listens to it. */
  readonly publish: (event: Event) => Effect.Effect<void>
  /** Has each subscriber handle the event now, past the queues, and fails if one of them does. For a relay. */
  readonly deliver: (event: Event) => Effect.Effect<void, EventBusError>
  /** Listens until the scope closes. */
  readonly subscribe: <E, R, Tag extends Event["_tag"] = Event["_tag"]>(
    subscriber: Subscriber<Event, Tag, E, R>
  ) => Effect.Effect<void, never, R | Scope.Scope>
  /** Waits until all that was published is handled. */
  readonly drain: Effect.Effect<void>
}

/**
 * See the table above.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<Event extends Tagged> {
  readonly name: string
  readonly middleware?: ReadonlyArray<Middleware<Event>> | undefined
  readonly capacity?: number | undefined
  readonly waitAtMost?: Duration.Input | undefined
  readonly closeAtMost?: Duration.Input | undefined
}

/**
 * A bus in this process. Dies with `Resilience.InvalidOption`.
 *
 * **Example**
 *
 * ```ts
 * import { Effect } from "effect"
 * import { EventBus } from "effect-payments"
 *
 * type OrderEvent =
 *   | { readonly _tag: "OrderCreated"; readonly orderId: string }
 *   | { readonly _tag: "OrderShipped"; readonly orderId: string; readonly parcel: string }
 *
 * const heard: Array<string> = []
 * const hear = (text: string) => Effect.sync(() => void heard.push(text))
 *
 * const program = Effect.gen(function*() {
 *   const orders = yield* EventBus.make<OrderEvent>({ name: "orders" })
 *   yield* orders.subscribe({ name: "stock", on: ["OrderShipped"], handler: ({ parcel }) => hear(`stock ${parcel}`) })
 *   yield* orders.subscribe({ name: "broken", handler: () => Effect.fail("no") })
 *   yield* orders.subscribe({ name: "log", handler: ({ _tag, orderId }) => hear(`log ${_tag} ${orderId}`) })
 *   yield* orders.publish({ _tag: "OrderCreated", orderId: "A" })
 *   yield* orders.publish({ _tag: "OrderShipped", orderId: "A", parcel: "P1" })
 *   yield* orders.drain
 * })
 *
 * await Effect.runPromise(Effect.scoped(program))
 * heard.sort() // => ["log OrderCreated A", "log OrderShipped A", "stock P1"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <Event extends Tagged>(
  options: Options<Event>
): Effect.Effect<EventBus<Event>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { integer, matching, millis } = reader("EventBus.make")
    const engine = yield* bus.make<Event>({
      name: yield* matching("name", options.name, namePattern, nameExpected),
      capacity: yield* integer("capacity", options.capacity ?? 1000, 1, 1_000_000),
      waitAtMostMillis: yield* millis("waitAtMost", options.waitAtMost ?? "5 seconds", 1, dayMillis),
      closeAtMostMillis: yield* millis("closeAtMost", options.closeAtMost ?? "10 seconds", 1, dayMillis),
      middleware: options.middleware ?? []
    })
    return {
      name: options.name,
      publish: engine.publish,
      deliver: engine.deliver,
      drain: engine.drain,
      subscribe: <E, R, Tag extends Event["_tag"]>({ concurrency, handler, name, on }: Subscriber<Event, Tag, E, R>) =>
        Effect.gen(function*() {
          const { integer, matching } = reader("EventBus.subscribe")
          yield* engine.subscribe({
            name: yield* matching("name", name, namePattern, nameExpected),
            tags: on === undefined ? undefined : new Set<string>(on),
            concurrency: yield* integer("concurrency", concurrency ?? 1, 1, 1000),
            // It gets what it listens to.
            handler: handler as unknown as (event: Event) => Effect.Effect<unknown, E, R>
          })
        })
    }
  })

/**
 * Publishes the event once the unit of work has committed, and not at all when it is rolled back.
 *
 * **When to use**
 *
 * For what may be missed when the process dies right after the commit: caches, live views. For all else, an outbox.
 *
 * @category combinators
 * @since 0.1.0
 */
export const publishAfterCommit: {
  <Event extends Tagged>(
    event: NoInfer<Event>
  ): (bus: Pick<EventBus<Event>, "publish">) => Effect.Effect<void, never, UnitOfWork.UnitOfWork>
  <Event extends Tagged>(
    bus: Pick<EventBus<Event>, "publish">,
    event: NoInfer<Event>
  ): Effect.Effect<void, never, UnitOfWork.UnitOfWork>
} = dual(
  2,
  <Event extends Tagged>(bus: Pick<EventBus<Event>, "publish">, event: Event) =>
    UnitOfWork.afterCommit(bus.publish(event))
)

/**
 * Events that are written with what they tell of.
 *
 * @category models
 * @since 0.1.0
 */
export interface Outbox<in out Event extends Tagged> {
  readonly name: string
  /**
   * Writes the event into the unit of work and answers its id. It is passed on when that has committed, and never when it
   * is rolled back. An id is taken once.
   */
  readonly publish: (
    event: Event,
    options?: { readonly id?: string | undefined }
  ) => Effect.Effect<string, JobQueue.JobQueueError, UnitOfWork.UnitOfWork>
  /**
   * Passes events on until it is interrupted: to `bus.deliver`, to a broker. What fails is passed on again later; what
   * fails for good is a dead letter of {@link queue}.
   *
   * With one worker, the default, one relay is at work over all processes, the others wait for it to end, and events go one
   * after the other in the order in which they were written. So where of two units of work one waits for the other, since
   * both write the same row first, their events keep that order; of two that have nothing to do with each other either may
   * come first. An event that fails lets those behind it pass: try again inside of `deliver` where they must not. With more
   * workers there is no order; give all relays of an outbox the same number.
   */
  readonly relay: <E, R>(
    deliver: (event: Event, job: JobQueue.Job) => Effect.Effect<unknown, E, R>,
    options?: { readonly workers?: number | undefined }
  ) => Effect.Effect<never, never, R>
  /** Where events wait: for dead letters. */
  readonly queue: JobQueue.JobQueue<Event>
}

/**
 * An outbox: a `JobQueue` in the database of the unit of work. That it is the same database is asked for by the type;
 * that it is the same client is up to you.
 *
 * **Example**
 *
 * ```ts
 * import { SqliteClient } from "@effect-payments/sqlite"
 * import { Deferred, Effect, Layer, Schema } from "effect"
 * import { EventBus, JobQueue, UnitOfWork } from "effect-payments"
 *
 * const OrderCreated = Schema.TaggedStruct("OrderCreated", { orderId: Schema.String })
 * const heard: Array<string> = []
 *
 * const program = Effect.gen(function*() {
 *   const bus = yield* EventBus.make<typeof OrderCreated.Type>({ name: "orders" })
 *   const mailed = yield* Deferred.make<void>()
 *   yield* bus.subscribe({
 *     name: "mail",
 *     handler: ({ orderId }) =>
 *       Effect.andThen(Effect.sync(() => void heard.push(orderId)), Deferred.succeed(mailed, undefined))
 *   })
 *   const outbox = yield* EventBus.makeOutbox({ name: "orders", event: OrderCreated })
 *
 *   yield* UnitOfWork.atomic(outbox.publish({ _tag: "OrderCreated", orderId: "A" }))
 *   const rolledBack = Effect.andThen(outbox.publish({ _tag: "OrderCreated", orderId: "B" }), Effect.fail("no stock"))
 *   yield* Effect.ignore(UnitOfWork.atomic(rolledBack))
 *
 *   yield* Effect.raceFirst(outbox.relay(bus.deliver), Deferred.await(mailed))
 * })
 *
 * const layer = JobQueue.layerStoreSql().pipe(Layer.provideMerge(SqliteClient.layer({ filename: ":memory:" })))
 * await Effect.runPromise(Effect.scoped(program).pipe(Effect.provide(layer)))
 * heard // => ["A"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeOutbox = <Event extends Tagged>(options: {
  /** 1 to 100 of letters, digits, `_`, `.` and `-`; the name of its queue is `outbox.NAME`. */
  readonly name: string
  readonly event: Schema.Codec<Event, unknown>
  readonly attemptsMax?: number | undefined
  readonly retry?: Schedule.Schedule<unknown, number> | undefined
  readonly payloadLimitBytes?: number | undefined
  readonly timeout?: Duration.Input | undefined
}): Effect.Effect<Outbox<Event>, never, JobQueue.SqlJobQueueStore> =>
  Effect.gen(function*() {
    const store = yield* JobQueue.SqlJobQueueStore
    const { event, name, ...rest } = options
    const queue = yield* Effect.provideService(
      JobQueue.make({ ...rest, name: `outbox.${name}`, payload: event }),
      JobQueue.JobQueueStore,
      store
    )
    return {
      name,
      publish: (event, options) =>
        UnitOfWork.inside(Effect.tap(queue.offer(event, options), (id) => store.line.enter(queue.name, id))),
      relay: (deliver, options) => {
        const workers = options?.workers ?? 1
        const work = queue.work(deliver, { workers })
        return workers === 1 ? store.line.lead(queue.name, work) : work
      },
      queue
    }
  })
