import { SqliteClient } from "@effect-payments/sqlite"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Layer, Metric, Schema } from "effect"
import { Cached } from "effect-payments"
import { Persistence } from "effect/persistence"
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
