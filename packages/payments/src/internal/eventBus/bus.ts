/**
 * Subscriptions, each with a bounded queue and its workers.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Metric from "effect/Metric"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import { scrub } from "../../Redaction.ts"
import { DeliveryFailed, EventBusError } from "./errors.ts"

/** @internal */
export interface Tagged {
  readonly _tag: string
}

/** @internal */
export interface Middleware<Event> {
  readonly publish?:
    | (<E>(event: Event, next: (event: Event) => Effect.Effect<void, E>) => Effect.Effect<void, E>)
    | undefined
  readonly handle?:
    | (<E>(
      delivery: { readonly event: Event; readonly subscriber: string },
      next: Effect.Effect<void, E>
    ) => Effect.Effect<void, E>)
    | undefined
}

/** @internal */
export interface Policy<Event> {
  readonly name: string
  readonly capacity: number
  readonly waitAtMostMillis: number
  readonly closeAtMostMillis: number
  readonly middleware: ReadonlyArray<Middleware<Event>>
}

/** @internal */
export interface Subscriber<Event, E, R> {
  readonly name: string
  readonly tags: ReadonlySet<string> | undefined
  readonly concurrency: number
  readonly handler: (event: Event) => Effect.Effect<unknown, E, R>
}

/** @internal */
export interface Engine<Event> {
  readonly publish: (event: Event) => Effect.Effect<void>
  readonly deliver: (event: Event) => Effect.Effect<void, EventBusError>
  readonly subscribe: <E, R>(subscriber: Subscriber<Event, E, R>) => Effect.Effect<void, never, R | Scope.Scope>
  readonly drain: Effect.Effect<void>
}

interface Subscription<Event> {
  readonly name: string
  readonly tags: ReadonlySet<string> | undefined
  readonly queue: Queue.Queue<Entry<Event>, Cause.Done>
  /** With all middleware around the handler. */
  readonly handle: (event: Event) => Effect.Effect<void, unknown>
}

/** An event on its way to a subscriber. One that is withdrawn is nobody's any more. */
interface Entry<Event> {
  readonly event: Event
  state: "taken" | "waiting" | "withdrawn"
}

interface State<Event> {
  readonly policy: Policy<Event>
  readonly subscriptions: Set<Subscription<Event>>
  /** Events in queues and in hands. */
  pending: number
  isClosed: boolean
  readonly idle: Latch.Latch
}

const description = "Events by subscriber and outcome: handled, failed, dropped"
const events = Metric.counter("effect_payments_events_total", { description, incremental: true })

const count = <Event>({ policy }: State<Event>, subscriber: string, outcome: string, value = 1): Effect.Effect<void> =>
  Metric.update(Metric.withAttributes(events, { bus: policy.name, subscriber, outcome }), value)

/** @internal */
export const make = <Event extends Tagged>(policy: Policy<Event>): Effect.Effect<Engine<Event>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const state: State<Event> = {
      policy,
      subscriptions: new Set(),
      pending: 0,
      isClosed: false,
      idle: Latch.makeUnsafe(true)
    }
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        state.isClosed = true
        return within(policy.closeAtMostMillis, state.idle.await)
      })
    )
    const interested = (event: Event) =>
      [...state.subscriptions].filter(({ tags }) => tags === undefined || tags.has(event._tag))
    return {
      publish: through(
        policy.middleware,
        (event) => Effect.forEach(interested(event), (subscription) => enqueue(state, subscription, event), every)
      ),
      deliver: through(policy.middleware, (event) => handleAll(state, interested(event), event)),
      subscribe: (subscriber) => subscribe(state, subscriber),
      drain: state.idle.await
    }
  })

const every = { concurrency: "unbounded", discard: true } as const

/** The first middleware is outermost. */
const through = <Event, E>(
  middleware: ReadonlyArray<Middleware<Event>>,
  last: (event: Event) => Effect.Effect<void, E>
): (event: Event) => Effect.Effect<void, E> =>
  middleware.reduceRight<(event: Event) => Effect.Effect<void, E>>(
    (next, { publish }) => publish === undefined ? next : (event) => publish(event, next),
    (event) => Effect.suspend(() => last(event))
  )

// --- queues

const enqueue = <Event extends Tagged>(
  state: State<Event>,
  subscription: Subscription<Event>,
  event: Event
): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (state.isClosed) return dropped(state, subscription.name, event, "the bus is closed")
    // Counted before, since it may be handled before this goes on.
    const entry: Entry<Event> = { event, state: "waiting" }
    state.pending++
    state.idle.closeUnsafe()
    return Effect.flatMap(
      Effect.onInterrupt(
        Effect.timeoutOption(Queue.offer(subscription.queue, entry), state.policy.waitAtMostMillis),
        () => Effect.sync(() => withdraw(state, entry))
      ),
      (accepted) =>
        // It may have got its place in the very moment in which the time was over.
        accepted._tag === "Some" && accepted.value || !withdraw(state, entry) ? Effect.void : dropped(
          state,
          subscription.name,
          event,
          accepted._tag === "Some" ? "it has unsubscribed" : "its queue is full"
        )
    )
  })

/** False: it is in the hands of a worker already, or was withdrawn before. */
const withdraw = <Event>(state: State<Event>, entry: Entry<Event>): boolean => {
  if (entry.state !== "waiting") return false
  entry.state = "withdrawn"
  end(state)
  return true
}

const end = <Event>(state: State<Event>): void => {
  if (--state.pending === 0) state.idle.openUnsafe()
}

const dropped = <Event extends Tagged>(state: State<Event>, subscriber: string, event: Event, why: string) =>
  Effect.andThen(
    count(state, subscriber, "dropped"),
    Effect.logError(`bus ${state.policy.name}: ${event._tag} did not reach ${subscriber}: ${why}`)
  )

const subscribe = <Event extends Tagged, E, R>(
  state: State<Event>,
  { concurrency, handler, name, tags }: Subscriber<Event, E, R>
): Effect.Effect<void, never, R | Scope.Scope> =>
  Effect.gen(function*() {
    const context = yield* Effect.context<R>()
    const queue = yield* Queue.bounded<Entry<Event>, Cause.Done>(state.policy.capacity)
    const handle = (event: Event) =>
      state.policy.middleware.reduceRight<Effect.Effect<void, unknown>>(
        (next, { handle }) => handle === undefined ? next : handle({ event, subscriber: name }, next),
        Effect.asVoid(Effect.suspend(() => Effect.provideContext(handler(event), context)))
      )
    const subscription: Subscription<Event> = { name, tags, queue, handle }
    yield* Effect.acquireRelease(
      Effect.suspend(() => {
        state.subscriptions.add(subscription)
        return Effect.forEach(
          Array.from({ length: concurrency }),
          () => Effect.forkDetach(Effect.interruptible(worker(state, subscription)))
        )
      }),
      (workers) => unsubscribe(state, subscription, workers)
    )
  })

const worker = <Event extends Tagged>(state: State<Event>, subscription: Subscription<Event>): Effect.Effect<void> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(restore(Queue.take(subscription.queue)), (entry) => {
      if (entry.state === "withdrawn") return Effect.void
      entry.state = "taken"
      const handled = Effect.exit(Effect.suspend(() => subscription.handle(entry.event)))
      return Effect.ensuring(
        restore(Effect.flatMap(handled, (exit) => settled(state, subscription.name, entry.event, exit))),
        Effect.sync(() => end(state))
      )
    })
  ).pipe(
    Effect.forever,
    // The queue has ended.
    Effect.catch(() => Effect.void)
  )

/** What waits is handled first. What cannot be in time is dropped, and said to be. */
const unsubscribe = <Event extends Tagged>(
  state: State<Event>,
  subscription: Subscription<Event>,
  workers: ReadonlyArray<Fiber.Fiber<void>>
): Effect.Effect<void> =>
  Effect.gen(function*() {
    state.subscriptions.delete(subscription)
    yield* Queue.end(subscription.queue)
    yield* within(state.policy.closeAtMostMillis, Fiber.awaitAll(workers))
    yield* Fiber.interruptAll(workers)
    const left = (yield* Queue.clear(subscription.queue)).filter((entry) => withdraw(state, entry)).length
    yield* Queue.shutdown(subscription.queue)
    if (left === 0) return
    yield* count(state, subscription.name, "dropped", left)
    yield* Effect.logError(
      `bus ${state.policy.name}: ${left} events did not reach ${subscription.name} before it closed`
    )
  })

/** A finalizer is not interruptible, and what cannot be interrupted cannot be given up. */
const within = <A>(millis: number, self: Effect.Effect<A>): Effect.Effect<void> =>
  Effect.asVoid(Effect.timeoutOption(Effect.interruptible(self), millis))

// --- handlers

const settled = <Event extends Tagged>(
  state: State<Event>,
  subscriber: string,
  event: Event,
  exit: Exit.Exit<void, unknown>
): Effect.Effect<void> =>
  Exit.isSuccess(exit)
    ? count(state, subscriber, "handled")
    : Effect.andThen(
      count(state, subscriber, "failed"),
      Effect.logError(`bus ${state.policy.name}: ${subscriber} failed with ${event._tag}: ${textOf(exit.cause)}`)
    )

const textOf = (cause: Cause.Cause<unknown>): string => scrub(Cause.pretty(cause))

const handleAll = <Event extends Tagged>(
  state: State<Event>,
  subscriptions: ReadonlyArray<Subscription<Event>>,
  event: Event
): Effect.Effect<void, EventBusError> =>
  Effect.gen(function*() {
    const failed = yield* Effect.forEach(
      subscriptions,
      ({ handle, name }) =>
        Effect.flatMap(
          Effect.exit(Effect.suspend(() => handle(event))),
          (exit) => Effect.as(settled(state, name, event, exit), Exit.isSuccess(exit) ? [] : [name])
        ),
      { concurrency: "unbounded" }
    )
    const subscribers = failed.flat()
    if (subscribers.length === 0) return
    return yield* new EventBusError({ reason: new DeliveryFailed({ event: event._tag, subscribers }) })
  })
