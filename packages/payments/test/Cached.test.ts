import { SqliteClient } from "@effect-payments/sqlite"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Layer, Metric, Schema } from "effect"
import { Cached, UnitOfWork } from "effect-payments"
import { Persistence } from "effect/persistence"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { cachedContract, makeItems, sharedContract } from "./cached/contract.ts"

const sqlite = Cached.layerStoreSql.pipe(Layer.provide(SqliteClient.layer({ filename: ":memory:" })))

cachedContract("memory", Cached.layerStoreMemory, { live: false, advance: TestClock.adjust })
cachedContract("sqlite", sqlite, { live: true, advance: (by) => Effect.sleep(by) })
cachedContract("any store of Effect", Cached.layerStore.pipe(Layer.provide(Persistence.layerMemory)), {
  live: false,
  advance: TestClock.adjust
})
sharedContract("sqlite", sqlite)

const transacting = Layer.merge(Cached.layerStoreMemory, SqliteClient.layer({ filename: ":memory:" }))

/** A store whose operations all end like this. */
const failing = (ending: Effect.Effect<never, Persistence.PersistenceError>) =>
  Layer.succeed(Cached.CachedStore, {
    persistence: {
      make: () =>
        Effect.succeed({
          get: () => ending,
          getMany: () => ending,
          set: () => ending,
          setMany: () => ending,
          remove: () => ending,
          clear: ending
        })
    }
  })
const down = failing(Effect.fail(new Persistence.PersistenceError({ message: "down" })))

describe("Cached", () => {
  it.effect("passes over a store that fails, keeps in this process what it got, and counts it", () =>
    Effect.gen(function*() {
      const { asked, cached } = yield* makeItems({ name: "down" })
      assert.strictEqual((yield* cached.get(1)).at, 1)
      assert.strictEqual((yield* cached.get(1)).at, 1)
      assert.deepStrictEqual(asked, [1])
      assert.deepStrictEqual(yield* cached.stats, { requests: 2, lookups: 1, bypassed: 0, storeFailures: 2, size: 1 })
      const error = yield* Effect.flip(cached.invalidate(1))
      assert.strictEqual(error.message, "the store of the cache failed to invalidate")
      assert.strictEqual((yield* cached.get(1)).at, 2)
      const events = (yield* Metric.snapshot).flatMap((metric) =>
        metric.id === "effect_payments_cached_events_total" && metric.type === "Counter" &&
          metric.attributes?.["cache"] === "down"
          ? [`${metric.attributes["event"]} ${metric.state.count}`]
          : []
      )
      assert.deepStrictEqual(events.sort(), ["lookups 2", "requests 3", "storeFailures 4"])
    }).pipe(Effect.scoped, Effect.provide(down)))

  it.effect("does not wait long for a store that hangs", () =>
    Effect.gen(function*() {
      const { cached } = yield* makeItems({ name: "hanging", storeAtMost: "100 millis" })
      const fiber = yield* Effect.forkChild(cached.get(1), { startImmediately: true })
      yield* TestClock.adjust("99 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("101 millis")
      assert.strictEqual((yield* Fiber.join(fiber)).id, 1)
      const invalidating = yield* Effect.forkChild(Effect.flip(cached.invalidate(1)), { startImmediately: true })
      yield* TestClock.adjust("100 millis")
      assert.strictEqual((yield* Fiber.join(invalidating)).reason._tag, "CachedStoreUnavailable")
    }).pipe(Effect.scoped, Effect.provide(failing(Effect.never))))

  it.effect("keeps a value of the shared store for as long as it may, and not longer than its lifetime", () =>
    Effect.gen(function*() {
      const name = "local"
      const [a, b] = [yield* makeItems({ name, local: "3 seconds" }), yield* makeItems({ name, local: "3 seconds" })]
      yield* a.cached.get(1)
      yield* b.cached.get(1)
      yield* a.cached.invalidate(1)
      yield* TestClock.adjust("2999 millis")
      assert.strictEqual((yield* b.cached.get(1)).at, 1)
      yield* TestClock.adjust("1 millis")
      yield* b.cached.get(1)
      assert.deepStrictEqual(b.asked, [1])
      const brief = yield* makeItems({ name: "brief", ttl: "1 second", local: "3 seconds" })
      yield* brief.cached.get(1)
      yield* TestClock.adjust("1 second")
      yield* brief.cached.get(1)
      assert.deepStrictEqual(brief.asked, [1, 1])
    }).pipe(Effect.scoped, Effect.provide(Cached.layerStore.pipe(Layer.provide(Persistence.layerMemory)))))

  it.effect("drops what was used least lately when it is full", () =>
    Effect.gen(function*() {
      const { asked, cached } = yield* makeItems({ name: "full", capacity: 2 })
      for (const id of [1, 2, 1, 3, 1, 2]) yield* cached.get(id)
      assert.deepStrictEqual(asked, [1, 2, 3, 2])
      assert.strictEqual((yield* cached.stats).size, 2)
    }).pipe(Effect.scoped, Effect.provide(Cached.layerStoreMemory)))

  it.effect("looks up each time what has an id that is too long", () =>
    Effect.gen(function*() {
      const { asked, cached } = yield* makeItems({ name: "long", id: (id) => "x".repeat(id) })
      for (const id of [255, 255, 256, 256]) yield* cached.get(id)
      assert.deepStrictEqual(asked, [255, 256, 256])
      assert.strictEqual((yield* cached.stats).bypassed, 2)
    }).pipe(Effect.scoped, Effect.provide(Cached.layerStoreMemory)))

  it.effect("stops a look-up that nobody waits for any more, and keeps nothing of it", () =>
    Effect.gen(function*() {
      let [started, stopped] = [0, 0]
      const cached = yield* Cached.make(
        (id: string) =>
          Effect.suspend(() => {
            started += id.length
            return Effect.never
          }).pipe(Effect.onInterrupt(() => Effect.sync(() => void stopped++))),
        { name: "stopped", success: Schema.Never, error: Schema.Never, ttl: "1 hour" }
      )
      for (let i = 0; i < 2; i++) {
        const fibers = [
          yield* Effect.forkChild(cached.get("a"), { startImmediately: true }),
          yield* Effect.forkChild(cached.get("a"), { startImmediately: true })
        ]
        for (const fiber of fibers) yield* Fiber.interrupt(fiber)
      }
      assert.deepStrictEqual([started, stopped], [2, 2])
    }).pipe(Effect.scoped, Effect.provide(Cached.layerStoreMemory)))

  it.live("keeps nothing that was read inside of a transaction", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE payments (id TEXT PRIMARY KEY, state TEXT NOT NULL)`
      yield* sql`INSERT INTO payments VALUES ('p_1', 'open'), ('p_2', 'open')`
      const states = yield* Cached.make(
        (id: string) =>
          Effect.map(sql`SELECT state FROM payments WHERE id = ${id}`.values, ([row]) => String(row?.[0])),
        { name: "states", success: Schema.String, error: Schema.Any, ttl: "5 minutes" }
      )
      const pay = (id: string) =>
        UnitOfWork.atomic(Effect.gen(function*() {
          yield* sql`UPDATE payments SET state = 'paid' WHERE id = ${id}`
          return yield* Effect.fail(yield* states.get(id))
        }))
      // It reads what it has written, and that was never committed.
      assert.strictEqual(yield* Effect.flip(pay("p_1")), "paid")
      assert.strictEqual(yield* states.get("p_1"), "open")
      // What was kept before is an answer there as it is anywhere.
      assert.strictEqual(yield* states.get("p_2"), "open")
      assert.strictEqual(yield* Effect.flip(pay("p_2")), "open")
      const { bypassed, lookups, requests } = yield* states.stats
      assert.deepStrictEqual({ bypassed, lookups, requests }, { bypassed: 1, lookups: 3, requests: 4 })
    }).pipe(Effect.scoped, Effect.provide(transacting)))

  it.live("waits in a transaction for no look-up that waits for the transaction", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const asked = yield* Deferred.make<void>()
      const ones = yield* Cached.make(
        (id: string) =>
          Effect.andThen(
            Deferred.succeed(asked, undefined),
            Effect.map(sql`SELECT ${id}`.values, ([row]) => String(row?.[0]))
          ),
        { name: "ones", success: Schema.String, error: Schema.Any, ttl: "5 minutes" }
      )
      const inside = Effect.gen(function*() {
        yield* sql`SELECT 1`
        return yield* Effect.andThen(Deferred.await(asked), ones.get("one"))
      })
      const start = yield* Deferred.make<void>()
      const outside = yield* Effect.forkChild(Effect.andThen(Deferred.await(start), ones.get("one")))
      yield* Effect.yieldNow
      const answer = yield* UnitOfWork.atomic(Effect.andThen(Deferred.succeed(start, undefined), inside))
      assert.strictEqual(answer, "one")
      assert.strictEqual(yield* Fiber.join(outside), "one")
    }).pipe(Effect.scoped, Effect.provide(transacting)), 10_000)

  it.effect("dies of options out of bounds", () =>
    Effect.gen(function*() {
      const wrong = [{ name: "" }, { capacity: 0 }, { local: -1 }, { storeAtMost: "2 minutes" }] as const
      for (const options of wrong) {
        const exit = yield* Effect.exit(makeItems({ name: "x", ...options }))
        assert.isTrue(Exit.isFailure(exit))
        if (Exit.isFailure(exit)) {
          assert.include(Cause.pretty(exit.cause), `Cached.make: ${Object.keys(options)[0]} must be`)
        }
      }
    }).pipe(Effect.scoped, Effect.provide(Cached.layerStoreMemory)))
})
