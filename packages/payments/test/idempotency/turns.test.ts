/** What a transaction that holds the one connection of SQLite does to the other claims of its process. */
import { SqliteClient } from "@effect-payments/sqlite"
import { NodeCrypto } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Cause, type Duration, Effect, Exit, Fiber, Layer, Schema } from "effect"
import { Idempotency, IdempotencyStore, PaymentError, Resilience } from "effect-payments"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"

const layer = Idempotency.layer({ sweepEvery: false }).pipe(
  Layer.provide(IdempotencyStore.layerStoreSql()),
  Layer.provide(NodeCrypto.layer),
  Layer.provideMerge(SqliteClient.layer({ filename: ":memory:" })),
  Layer.tap((context) => Effect.provide(SqlClient.SqlClient.use((sql) => sql`CREATE TABLE orders (id TEXT)`), context))
)

const options = (key: string) => ({
  scope: Idempotency.Scope.make({ tenant: "acme", operation: "order", version: 1 }),
  key: Idempotency.Key.make(key),
  payload: key,
  payloadSchema: Schema.String,
  success: Schema.String,
  error: PaymentError.PaymentError,
  lease: "30 seconds"
} as const)

const call = (key: string, lasts: Duration.Input) =>
  Idempotency.idempotent(Effect.as(Effect.sleep(lasts), key), options(key))

const book = (key: string, lasts: Duration.Input) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* Effect.orDie(sql`INSERT INTO orders ${sql.insert({ id: key })}`)
    yield* Effect.sleep(lasts)
    return key
  }).pipe(Idempotency.idempotent({ ...options(key), transactional: true }))

const booked = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  return (yield* sql<{ readonly id: string }>`SELECT id FROM orders ORDER BY id`).map(({ id }) => id)
})

const start = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.forkChild(self, { startImmediately: true })

/** Time in steps, so that what waits for the database gets its turn in between. */
const pass = (seconds: number) =>
  Effect.forEach(Array.from({ length: seconds * 2 }), () => TestClock.adjust("500 millis"), { discard: true })

describe("a transaction over SQLite", () => {
  it.effect("does not take the leases of others with it, however long it would last", () =>
    Effect.gen(function*() {
      const other = yield* start(call("other", "2 minutes"))
      const long = yield* start(book("long", "1 minute"))
      yield* pass(120)
      assert.strictEqual(yield* Fiber.join(other), "other")
      const error = yield* Effect.flip(Fiber.join(long))
      assert.isTrue(error._tag === "IdempotencyError" && error.reason._tag === "StoreUnavailable")
      assert.strictEqual(error.disposition, "NotExecuted")
      assert.include(error.message, "TransactionTooLong")
      assert.deepStrictEqual(yield* booked, [])
      // Rolled back and free again.
      const again = yield* start(book("long", "1 second"))
      yield* pass(2)
      assert.strictEqual(yield* Fiber.join(again), "long")
      assert.deepStrictEqual(yield* booked, ["long"])
    }).pipe(Effect.provide(layer)))

  it.effect("lets a transaction be as long as a sixth of the leases that wait for it", () =>
    Effect.gen(function*() {
      const other = yield* start(call("other", "1 minute"))
      // The lease of the other is due at ten seconds.
      yield* pass(9)
      const short = yield* start(book("short", "5 seconds"))
      yield* pass(51)
      assert.strictEqual(yield* Fiber.join(short), "short")
      assert.strictEqual(yield* Fiber.join(other), "other")
    }).pipe(Effect.provide(layer)))

  it.effect("lets a transaction last for which no lease waits", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const store = yield* IdempotencyStore.IdempotencyStore
      assert.isDefined(store.transactions)
      const long = yield* start(store.transactions.withTransaction(
        Effect.andThen(sql`INSERT INTO orders ${sql.insert({ id: "long" })}`, Effect.sleep("10 minutes"))
      ))
      yield* pass(600)
      yield* Fiber.join(long)
      assert.deepStrictEqual(yield* booked, ["long"])
    }).pipe(Effect.provide(IdempotencyStore.layerStoreSql().pipe(Layer.provideMerge(layer)))))

  it.effect("lets leases go before the transactions that wait", () =>
    Effect.gen(function*() {
      const other = yield* start(call("other", "3 minutes"))
      const many = yield* Effect.forEach(Array.from({ length: 40 }, (_, i) => `many ${i}`), (key) =>
        start(book(key, "4 seconds")))
      yield* pass(180)
      assert.strictEqual(yield* Fiber.join(other), "other")
      const exits = yield* Effect.forEach(many, (fiber) =>
        Fiber.await(fiber))
      assert.deepStrictEqual(exits.map(Exit.isSuccess), many.map(() => true))
      assert.strictEqual((yield* booked).length, many.length)
    }).pipe(Effect.provide(layer)))

  it.effect("goes on within a transaction of the caller's", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const store = yield* IdempotencyStore.IdempotencyStore
      const { transactions } = store
      assert.isDefined(transactions)
      yield* transactions.withTransaction(
        transactions.withTransaction(sql`INSERT INTO orders ${sql.insert({ id: "a" })}`)
      )
      assert.deepStrictEqual(yield* booked, ["a"])
    }).pipe(Effect.provide(IdempotencyStore.layerStoreSql().pipe(Layer.provideMerge(layer)))))

  it.effect("is refused over a database that is not the store's, and nothing is claimed or written", () =>
    Effect.gen(function*() {
      const other = yield* Layer.build(SqliteClient.layer({ filename: ":memory:" }))
      yield* Effect.provide(SqlClient.SqlClient.use((sql) => sql`CREATE TABLE orders (id TEXT)`), other)
      const exit = yield* Effect.exit(Effect.provide(book("elsewhere", "1 second"), other))
      const defect = Exit.isFailure(exit) ? Cause.findDefect(exit.cause) : undefined
      assert.isTrue(
        defect?._tag === "Success" && defect.success instanceof Resilience.InvalidOption &&
          defect.success.option === "transactional" && defect.success.expected.includes("would not roll back")
      )
      assert.deepStrictEqual(yield* Effect.provide(booked, other), [])
      assert.isUndefined(yield* Idempotency.inspect(options("elsewhere")))
    }).pipe(Effect.scoped, Effect.provide(layer)))
})
