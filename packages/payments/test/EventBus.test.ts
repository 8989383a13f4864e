import { SqliteClient } from "@effect-payments/sqlite"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Layer, Logger, Metric, Schedule, Schema, Scope } from "effect"
import { EventBus, JobQueue, UnitOfWork } from "effect-payments"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"

const Created = Schema.TaggedStruct("Created", { n: Schema.Int })
const Shipped = Schema.TaggedStruct("Shipped", { n: Schema.Int })
const OrderEvent = Schema.Union([Created, Shipped])
type OrderEvent = typeof OrderEvent.Type
const created = (n: number) => Created.make({ n })
const shipped = (n: number) => Shipped.make({ n })

const make = (options?: Partial<EventBus.Options<OrderEvent>>) =>
  EventBus.make<OrderEvent>({ name: "orders", ...options })

/** Notes what it hears. */
const listener = (heard: Array<string>, name: string) => ({
  name,
  handler: ({ _tag, n }: OrderEvent) => Effect.sync(() => void heard.push(`${name} ${_tag} ${n}`))
})

const fork = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.forkChild(self, { startImmediately: true })
const settle = TestClock.adjust(0)

/** Lets time pass while it closes: for a test that leaves a handler that hangs. */
const hanging = <A, E>(self: Effect.Effect<A, E, Scope.Scope>) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    yield* Scope.provide(self, scope)
    const closing = yield* fork(Scope.close(scope, Exit.void))
    yield* TestClock.adjust("1 minute")
    yield* Fiber.join(closing)
  }).pipe(Effect.provide(Logger.layer([])))

describe("EventBus", () => {
  it.effect("has each who listens hear of it, in order, and nobody else", () =>
    Effect.gen(function*() {
      const bus = yield* make()
      const heard: Array<string> = []
      yield* bus.subscribe({ ...listener(heard, "ships"), on: ["Shipped"] })
      yield* bus.subscribe(listener(heard, "all"))
      for (const event of [created(1), shipped(2), created(3)]) yield* bus.publish(event)
      yield* bus.drain
      assert.deepStrictEqual(heard.filter((text) => text.startsWith("all")), [
        "all Created 1",
        "all Shipped 2",
        "all Created 3"
      ])
      assert.deepStrictEqual(heard.filter((text) => text.startsWith("ships")), ["ships Shipped 2"])
    }))

  it.effect("publishes to nobody without a word", () =>
    Effect.gen(function*() {
      const bus = yield* make()
      yield* bus.publish(created(1))
      yield* bus.deliver(created(1))
      yield* bus.drain
    }))

  it.effect("keeps a slow and a broken one from the others and from the publisher", () =>
    hanging(Effect.gen(function*() {
      const bus = yield* make()
      const heard: Array<string> = []
      yield* bus.subscribe({ name: "slow", handler: () => Effect.never })
      yield* bus.subscribe({ name: "fails", handler: () => Effect.fail("no") })
      yield* bus.subscribe({ name: "dies", handler: () => Effect.die("bug") })
      yield* bus.subscribe(listener(heard, "fine"))
      yield* bus.publish(created(1))
      yield* bus.publish(created(2))
      yield* settle
      assert.deepStrictEqual(heard, ["fine Created 1", "fine Created 2"])
    })))

  it.effect("has a publisher wait for a full queue, and drops for that one when it takes too long", () =>
    hanging(Effect.gen(function*() {
      const bus = yield* make({ capacity: 1, waitAtMost: "3 seconds", name: "bounded" })
      const heard: Array<string> = []
      const [first, second] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const slow: Array<number> = []
      yield* bus.subscribe({
        name: "slow",
        handler: ({ n }) =>
          Effect.suspend(() => {
            slow.push(n)
            return slow.length === 1 ? Deferred.await(first) : slow.length === 2 ? Deferred.await(second) : Effect.never
          })
      })
      yield* bus.subscribe(listener(heard, "fine"))
      yield* bus.publish(created(1))
      yield* settle
      yield* bus.publish(created(2))
      const third = yield* fork(bus.publish(created(3)))
      yield* TestClock.adjust("2 seconds")
      assert.isUndefined(third.pollUnsafe())
      assert.deepStrictEqual(heard, ["fine Created 1", "fine Created 2", "fine Created 3"])
      // A place comes free: it gets it.
      yield* Deferred.succeed(first, undefined)
      yield* Fiber.join(third)
      yield* settle
      assert.deepStrictEqual(slow, [1, 2])
      const fourth = yield* fork(bus.publish(created(4)))
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(fourth)
      yield* Deferred.succeed(second, undefined)
      yield* settle
      assert.deepStrictEqual(slow, [1, 2, 3])
      assert.lengthOf(heard, 4)
      const counts = (yield* Metric.snapshot).flatMap((metric) =>
        metric.id === "effect_payments_events_total" && metric.type === "Counter" &&
          metric.attributes?.["bus"] === "bounded"
          ? [`${metric.attributes["subscriber"]} ${metric.attributes["outcome"]} ${metric.state.count}`]
          : []
      )
      assert.deepStrictEqual(counts.sort(), ["fine handled 4", "slow dropped 1", "slow handled 2"])
    })))

  it.effect("leaves nothing of a publisher that was interrupted while it waited", () =>
    Effect.gen(function*() {
      const bus = yield* make({ capacity: 1 })
      const gate = yield* Deferred.make<void>()
      const heard: Array<number> = []
      yield* bus.subscribe({
        name: "slow",
        handler: ({ n }) => Effect.andThen(Deferred.await(gate), Effect.sync(() => void heard.push(n)))
      })
      yield* Effect.andThen(bus.publish(created(1)), settle)
      yield* bus.publish(created(2))
      yield* Fiber.interrupt(yield* fork(bus.publish(created(3))))
      yield* Deferred.succeed(gate, undefined)
      yield* bus.drain
      assert.deepStrictEqual(heard, [1, 2])
    }))

  it.effect("lets a handler publish to its own full queue without a deadlock", () =>
    Effect.gen(function*() {
      const bus = yield* make({ capacity: 1, waitAtMost: "1 second" })
      const heard: Array<number> = []
      yield* bus.subscribe({
        name: "echo",
        handler: ({ n }) =>
          Effect.andThen(
            Effect.sync(() => void heard.push(n)),
            n < 10 ? Effect.andThen(bus.publish(created(n + 10)), bus.publish(created(n + 20))) : Effect.void
          )
      })
      yield* bus.publish(created(1))
      yield* TestClock.adjust("1 second")
      yield* bus.drain
      assert.deepStrictEqual(heard, [1, 11])
    }).pipe(Effect.provide(Logger.layer([]))))

  it.effect("runs as many handlers of a subscriber at a time as it says", () =>
    hanging(Effect.gen(function*() {
      const bus = yield* make()
      let running = 0
      yield* bus.subscribe({
        name: "wide",
        concurrency: 3,
        handler: () => Effect.andThen(Effect.sync(() => void running++), Effect.never)
      })
      yield* Effect.forEach([1, 2, 3, 4], (n) => bus.publish(created(n)))
      yield* settle
      assert.strictEqual(running, 3)
    })))

  it.effect("handles what waits when a subscription or the bus closes, and takes nothing more", () =>
    Effect.gen(function*() {
      const [outer, inner] = [yield* Scope.make(), yield* Scope.make()]
      const bus = yield* Scope.provide(make(), outer)
      const heard: Array<string> = []
      yield* Scope.provide(bus.subscribe(listener(heard, "a")), inner)
      yield* Scope.provide(bus.subscribe(listener(heard, "b")), outer)
      yield* bus.publish(created(1))
      yield* bus.publish(created(2))
      yield* Scope.close(inner, Exit.void)
      assert.deepStrictEqual(heard.filter((text) => text.startsWith("a")), ["a Created 1", "a Created 2"])
      yield* bus.publish(created(3))
      yield* Scope.close(outer, Exit.void)
      assert.deepStrictEqual(heard.filter((text) => text.startsWith("b")), [
        "b Created 1",
        "b Created 2",
        "b Created 3"
      ])
      yield* bus.publish(created(4))
      assert.lengthOf(heard, 5)
    }).pipe(Effect.provide(Logger.layer([]))))

  it.effect("closes in time, and says what it dropped", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const logger = Logger.make(({ message }) => void lines.push(String(message)))
      const scope = yield* Scope.make()
      yield* Effect.gen(function*() {
        const bus = yield* make({ closeAtMost: "2 seconds", name: "cut" })
        yield* bus.subscribe({ name: "hung", handler: () => Effect.never })
        yield* Effect.forEach([1, 2, 3], (n) => bus.publish(created(n)))
        yield* settle
      }).pipe(Scope.provide(scope), Effect.provide(Logger.layer([logger])))
      const closing = yield* fork(Scope.close(scope, Exit.void).pipe(Effect.provide(Logger.layer([logger]))))
      yield* TestClock.adjust("1999 millis")
      assert.isUndefined(closing.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(closing)
      assert.deepStrictEqual(lines, ["bus cut: 2 events did not reach hung before it closed"])
    }))

  it.effect("puts middleware around publishing and around handlers, the first outermost", () =>
    Effect.gen(function*() {
      const steps: Array<string> = []
      const note = (text: string) => Effect.sync(() => void steps.push(text))
      const around = (name: string): EventBus.Middleware<OrderEvent> => ({
        publish: (event, next) => Effect.andThen(note(`${name} publish`), next(event)),
        handle: ({ subscriber }, next) => Effect.ensuring(next, note(`${name} ${subscriber}`))
      })
      const only: EventBus.Middleware<OrderEvent> = {
        publish: (event, next) => event.n < 0 ? Effect.void : next({ ...event, n: event.n * 10 })
      }
      const bus = yield* make({ middleware: [around("outer"), only, around("inner")] })
      const heard: Array<string> = []
      yield* bus.subscribe(listener(heard, "a"))
      yield* bus.publish(created(1))
      yield* bus.publish(created(-1))
      yield* bus.drain
      yield* bus.deliver(created(2))
      assert.deepStrictEqual(heard, ["a Created 10", "a Created 20"])
      assert.deepStrictEqual(steps, [
        "outer publish",
        "inner publish",
        "outer publish",
        "inner a",
        "outer a",
        "outer publish",
        "inner publish",
        "inner a",
        "outer a"
      ])
    }))

  it.effect("lets middleware try a handler again", () =>
    Effect.gen(function*() {
      let runs = 0
      const bus = yield* make({
        middleware: [{ handle: (_, next) => Effect.retry(next, Schedule.recurs(2)) }]
      })
      yield* bus.subscribe({ name: "third-time", handler: () => ++runs < 3 ? Effect.fail("no") : Effect.void })
      yield* bus.deliver(created(1))
      assert.strictEqual(runs, 3)
    }))

  it.effect("delivers to all at once and names those that failed", () =>
    Effect.gen(function*() {
      const bus = yield* make()
      const heard: Array<string> = []
      yield* bus.subscribe({ name: "fails", handler: () => Effect.fail("no") })
      yield* bus.subscribe(listener(heard, "fine"))
      yield* bus.subscribe({ name: "dies", on: ["Created"], handler: () => Effect.die("bug") })
      const error = yield* Effect.flip(bus.deliver(created(1)))
      assert.deepStrictEqual(
        error.reason,
        new EventBus.DeliveryFailed({ event: "Created", subscribers: ["fails", "dies"] })
      )
      assert.deepStrictEqual([error.disposition, error.message], ["Unknown", "Created was not handled by fails, dies"])
      assert.deepStrictEqual(heard, ["fine Created 1"])
    }).pipe(Effect.provide(Logger.layer([]))))

  it.effect("logs no card data", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const logger = Logger.make(({ message }) => void lines.push(String(message)))
      yield* Effect.gen(function*() {
        const bus = yield* make()
        yield* bus.subscribe({ name: "leaks", handler: () => Effect.fail("card 4111 1111 1111 1111") })
        yield* bus.publish(created(1))
        yield* bus.drain
      }).pipe(Effect.provide(Logger.layer([logger])))
      assert.lengthOf(lines, 1)
      assert.include(lines[0], "bus orders: leaks failed with Created")
      assert.notInclude(lines[0], "4111 1111 1111 1111")
    }))

  it.effect("dies of options out of bounds", () =>
    Effect.gen(function*() {
      for (const options of [{ name: "" }, { capacity: 0 }, { waitAtMost: 0 }, { closeAtMost: "1 week" }] as const) {
        const exit = yield* Effect.exit(make(options))
        assert.isTrue(
          Exit.isFailure(exit) && Cause.pretty(exit.cause).includes(`EventBus.make: ${Object.keys(options)[0]}`)
        )
      }
      const bus = yield* make()
      const exit = yield* Effect.exit(bus.subscribe({ name: "x", concurrency: 0, handler: () => Effect.void }))
      assert.isTrue(Exit.isFailure(exit) && Cause.pretty(exit.cause).includes("EventBus.subscribe: concurrency"))
    }))
})

const database = SqliteClient.layer({ filename: ":memory:" })
const sqlite = JobQueue.layerStoreSql({ pollInterval: "10 millis" }).pipe(Layer.provideMerge(database))

describe("publishAfterCommit", () => {
  it.effect("publishes after the commit, and nothing of what was rolled back", () =>
    Effect.gen(function*() {
      const bus = yield* make()
      const heard: Array<string> = []
      yield* bus.subscribe(listener(heard, "a"))
      yield* UnitOfWork.atomic(Effect.gen(function*() {
        yield* EventBus.publishAfterCommit(bus, created(1))
        yield* Effect.ignore(
          UnitOfWork.atomic(Effect.andThen(EventBus.publishAfterCommit(bus, created(2)), Effect.fail("no")))
        )
        yield* bus.drain
        assert.deepStrictEqual(heard, [])
      }))
      yield* Effect.ignore(
        UnitOfWork.atomic(Effect.andThen(EventBus.publishAfterCommit(bus, created(3)), Effect.fail("no")))
      )
      yield* bus.drain
      assert.deepStrictEqual(heard, ["a Created 1"])
    }).pipe(Effect.provide(database)))
})

describe("makeOutbox", () => {
  it.live("passes on what was committed, once each, and nothing of what was rolled back", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE orders (n INTEGER PRIMARY KEY)`
      const outbox = yield* EventBus.makeOutbox({ name: "orders", event: OrderEvent })
      const order = (n: number) =>
        Effect.andThen(sql`INSERT INTO orders VALUES (${n})`, outbox.publish(created(n), { id: `created-${n}` }))
      yield* UnitOfWork.atomic(order(1))
      yield* Effect.ignore(UnitOfWork.atomic(Effect.andThen(order(2), Effect.fail("no stock"))))
      // A constraint undoes the event with the row.
      yield* Effect.ignore(UnitOfWork.atomic(Effect.andThen(outbox.publish(created(9)), order(1))))
      yield* UnitOfWork.atomic(order(3))
      const heard: Array<readonly [number, string]> = []
      const relay = yield* fork(outbox.relay((event, { id }) => Effect.sync(() => void heard.push([event.n, id]))))
      yield* Effect.sleep("5 millis").pipe(Effect.repeat({ until: () => heard.length >= 2 }))
      yield* Effect.sleep("50 millis")
      yield* Fiber.interrupt(relay)
      assert.deepStrictEqual(heard, [[1, "created-1"], [3, "created-3"]])
      assert.deepStrictEqual(yield* sql`SELECT n FROM orders`.values, [[1], [3]])
    }).pipe(Effect.provide(sqlite)))

  it.live("passes on again what a subscriber failed with, and keeps what fails for good", () =>
    Effect.gen(function*() {
      const bus = yield* make()
      const heard: Array<number> = []
      let failures = 0
      yield* bus.subscribe({
        name: "mail",
        handler: ({ n }) =>
          Effect.suspend(() => {
            if (n === 2 || n === 1 && failures++ === 0) return Effect.fail("no")
            heard.push(n)
            return Effect.void
          })
      })
      const outbox = yield* EventBus.makeOutbox({
        name: "orders",
        event: OrderEvent,
        attemptsMax: 2,
        retry: Schedule.spaced(0)
      })
      yield* UnitOfWork.atomic(Effect.forEach([1, 2, 3], (n) => outbox.publish(created(n), { id: `${n}` })))
      const relay = yield* fork(outbox.relay(bus.deliver))
      yield* Effect.sleep("5 millis").pipe(
        Effect.andThen(outbox.queue.deadLetterCount),
        Effect.repeat({ until: (count) => count === 1 && heard.length === 2 })
      )
      yield* Fiber.interrupt(relay)
      assert.deepStrictEqual(heard.toSorted(), [1, 3])
      const [dead] = yield* outbox.queue.deadLetters()
      assert.strictEqual(dead?.id, "2")
      assert.include(dead?.failure, "Created was not handled by mail")
    }).pipe(Effect.provide([sqlite, Logger.layer([])])))

  // Each with a store of its own, as in two processes.
  const relayWith = <E>(
    layer: Layer.Layer<JobQueue.SqlJobQueueStore, unknown, SqlClient.SqlClient>,
    deliver: (n: number) => Effect.Effect<unknown, E>
  ) =>
    Effect.gen(function*() {
      const outbox = yield* EventBus.makeOutbox({ name: "orders", event: OrderEvent })
      return yield* outbox.relay(({ n }) => deliver(n))
    }).pipe(Effect.provide(Layer.fresh(layer)))
  const publish = (...numbers: ReadonlyArray<number>) =>
    Effect.flatMap(
      EventBus.makeOutbox({ name: "orders", event: OrderEvent }),
      (outbox) =>
        UnitOfWork.atomic(Effect.forEach(numbers, (n) => outbox.publish(created(n), { id: `${n}` }), { discard: true }))
    )
  const until = (isTrue: () => boolean) =>
    Effect.sleep("5 millis").pipe(Effect.repeat({ until: isTrue }), Effect.timeout("20 seconds"), Effect.orDie)
  const store = JobQueue.layerStoreSql({ pollInterval: "5 millis", lock: "2 seconds" })

  it.live("passes events on one after the other, in the order in which they were written, whoever passes them on", () =>
    Effect.gen(function*() {
      const numbers = Array.from({ length: 60 }, (_, n) => n)
      const heard: Array<number> = []
      let [running, most] = [0, 0]
      const deliver = (n: number) =>
        Effect.gen(function*() {
          most = Math.max(most, ++running)
          yield* Effect.sleep(n % 3)
          heard.push(n)
        }).pipe(Effect.ensuring(Effect.sync(() => running--)))
      const relays = yield* Effect.forEach([1, 2, 3], () => fork(relayWith(store, deliver)))
      for (const n of numbers.slice(0, 30)) yield* publish(n)
      yield* publish(...numbers.slice(30))
      // The one at work ends, and another one goes on at once.
      for (const [index, relay] of relays.entries()) {
        yield* until(() => heard.length > index * 20 + 5)
        if (index < 2) yield* Fiber.interrupt(relay)
      }
      yield* until(() => new Set(heard).size === 60)
      yield* Fiber.interruptAll(relays)
      assert.deepStrictEqual([...new Set(heard)], numbers)
      assert.strictEqual(most, 1)
    }).pipe(Effect.provide(sqlite)))

  it.live("passes on first what was in the hands of a relay that died", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* publish(1, 2, 3)
      const [first, second]: [Array<number>, Array<number>] = [[], []]
      const hangs = yield* fork(
        relayWith(store, (n) => Effect.andThen(Effect.sync(() => void first.push(n)), Effect.never))
      )
      yield* until(() => first.length === 1)
      const next = yield* fork(relayWith(store, (n) => Effect.sync(() => void second.push(n))))
      // As if nothing had been heard of the first for as long as its lock holds.
      yield* sql`UPDATE effect_payments_jobs_line SET until = 0`
      yield* until(() => second.length === 3)
      assert.deepStrictEqual([first, second], [[1], [1, 2, 3]])
      // It has given up, and takes nothing more while the other one is there.
      yield* publish(4)
      yield* until(() => second.length === 4)
      yield* Fiber.interrupt(next)
      yield* publish(5)
      yield* until(() => first.length === 2)
      assert.deepStrictEqual([first, second], [[1, 5], [1, 2, 3, 4]])
      yield* Fiber.interrupt(hangs)
    }).pipe(Effect.provide([sqlite, Logger.layer([])])))

  it.live("passes on with several workers at a time where no order is asked for", () =>
    Effect.gen(function*() {
      yield* publish(1, 2, 3)
      const outbox = yield* EventBus.makeOutbox({ name: "orders", event: OrderEvent })
      let running = 0
      const relay = yield* fork(
        outbox.relay(() => Effect.andThen(Effect.sync(() => void running++), Effect.never), { workers: 3 })
      )
      yield* until(() => running === 3)
      yield* Fiber.interrupt(relay)
    }).pipe(Effect.provide(sqlite)))
})
