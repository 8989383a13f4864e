import { SqliteClient } from "@effect-payments/sqlite"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Layer } from "effect"
import { IdempotencyStore, Inbox } from "effect-payments"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { inboxContract, shiftInbox, takeOverContract, transactionContract } from "./support/inboxContract.ts"

const once = Effect.map(Inbox.Inbox, ({ take }) => take)
const atLeastOnce = Effect.map(Inbox.AtLeastOnceInbox, ({ take }) => take)
const sqlite = () => Inbox.layerStoreSql().pipe(Layer.provideMerge(SqliteClient.layer({ filename: ":memory:" })))

inboxContract("memory", Inbox.layerStoreMemory(), { take: atLeastOnce, advance: TestClock.adjust })
inboxContract("SQLite, in a transaction", sqlite(), { take: once, advance: shiftInbox })
inboxContract("SQLite, marked after", sqlite(), { take: atLeastOnce, advance: shiftInbox })
takeOverContract("SQLite, marked after", sqlite(), { take: atLeastOnce, advance: shiftInbox })
transactionContract("SQLite", sqlite())

const arrival: Inbox.Arrival = {
  provider: "acme",
  endpoint: "shop",
  id: "evt_1",
  fingerprint: "v1:a",
  window: Duration.days(4)
}
const ran = { _tag: "Handled", value: "ran", attempt: 1 } as const
const handler = () => Effect.succeed("ran")

describe("an inbox in memory", () => {
  it.effect("takes over from a handler that cannot be interrupted, whose end then frees nothing", () =>
    Effect.gen(function*() {
      const take = yield* atLeastOnce
      const thawed = yield* Deferred.make<void>()
      const frozen = yield* Effect.forkChild(
        Effect.flip(take(arrival, () => Effect.uninterruptible(Deferred.await(thawed)))),
        { startImmediately: true }
      )
      yield* TestClock.adjust("59 seconds")
      const early = yield* Effect.flip(take(arrival, handler))
      assert.strictEqual(early.reason._tag, "InFlight")
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* take(arrival, handler), { ...ran, attempt: 2 })
      yield* Deferred.succeed(thawed, undefined)
      assert.strictEqual((yield* Fiber.join(frozen)).reason._tag, "HandlerTimeout")
      assert.deepStrictEqual(yield* take(arrival, handler), { _tag: "Duplicate" })
    }).pipe(Effect.provide(Inbox.layerStoreMemory())))

  it.effect("holds no more than it may, and says so", () =>
    Effect.gen(function*() {
      const take = yield* atLeastOnce
      yield* take(arrival, handler)
      const full = yield* Effect.flip(take({ ...arrival, id: "evt_2" }, handler))
      assert.strictEqual(full.reason._tag, "StoreUnavailable")
      assert.strictEqual(full.disposition, "Unknown")
      yield* TestClock.adjust("4 days")
      assert.strictEqual((yield* take({ ...arrival, id: "evt_2" }, handler))._tag, "Handled")
    }).pipe(Effect.provide(Inbox.layerStoreMemory({ capacity: 1 }))))

  it.effect("counts the time of a handler as told", () =>
    Effect.gen(function*() {
      const take = yield* atLeastOnce
      const fiber = yield* Effect.forkChild(Effect.flip(take(arrival, () => Effect.never)), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      const { reason } = yield* Fiber.join(fiber)
      assert.strictEqual(reason._tag, "HandlerTimeout")
      assert.include(reason.message, "1s")
    }).pipe(Effect.provide(Inbox.layerStoreMemory({ handlerTimeout: "1 second" }))))
})

describe("an inbox over a store that does not always answer", () => {
  type Store = IdempotencyStore.IdempotencyStore["Service"]
  const lost = (operation: string) => Effect.fail(new IdempotencyStore.StoreUnavailable({ operation, detail: "lost" }))

  /** A store in memory, changed. */
  const over = (change: (store: Store) => Partial<Store>) =>
    Inbox.layerStore().pipe(
      Layer.provide(
        Layer.effect(
          IdempotencyStore.IdempotencyStore,
          Effect.map(IdempotencyStore.IdempotencyStore, (store) => ({ ...store, ...change(store) }))
        ).pipe(Layer.provide(IdempotencyStore.layerStoreMemory()))
      )
    )

  /** The first answer is lost behind what it has done. */
  const losesFirst = <A, B>(operation: string, f: (a: A) => Effect.Effect<B, IdempotencyStore.StoreUnavailable>) => {
    let calls = 0
    return (a: A) => Effect.flatMap(f(a), (b) => calls++ === 0 ? lost(operation) : Effect.succeed(b))
  }

  it.effect("recognises its own claim when the reply was lost", () =>
    Effect.gen(function*() {
      const take = yield* atLeastOnce
      assert.deepStrictEqual(yield* take(arrival, handler), ran)
      assert.deepStrictEqual(yield* take(arrival, handler), { _tag: "Duplicate" })
    }).pipe(Effect.provide(over((store) => ({ claim: losesFirst("claim", store.claim) })))))

  it.effect("is handled when the reply to its mark was lost", () =>
    Effect.gen(function*() {
      const take = yield* atLeastOnce
      assert.deepStrictEqual(yield* take(arrival, handler), ran)
      assert.deepStrictEqual(yield* take(arrival, handler), { _tag: "Duplicate" })
    }).pipe(Effect.provide(over((store) => ({ complete: losesFirst("complete", store.complete) })))))

  it.effect("is free when no mark could be set", () =>
    Effect.gen(function*() {
      const take = yield* atLeastOnce
      const error = yield* Effect.flip(take(arrival, handler))
      assert.strictEqual(error.reason._tag, "StoreUnavailable")
      assert.strictEqual((yield* Effect.flip(take(arrival, handler))).reason._tag, "StoreUnavailable")
    }).pipe(Effect.provide(over(() => ({ complete: () => lost("complete") })))))

  it.effect("fails with the handler's error also when the event cannot be freed", () =>
    Effect.gen(function*() {
      const take = yield* atLeastOnce
      assert.strictEqual(yield* Effect.flip(take(arrival, () => Effect.fail("no" as const))), "no")
      const later = yield* Effect.flip(take(arrival, handler))
      assert.strictEqual(later.reason._tag, "InFlight")
    }).pipe(Effect.provide(over(() => ({ release: () => lost("release") })))))

  it.effect("waits for a silent store no longer than twice five seconds", () =>
    Effect.gen(function*() {
      const take = yield* atLeastOnce
      const fiber = yield* Effect.forkChild(Effect.flip(take(arrival, handler)), { startImmediately: true })
      yield* TestClock.adjust("5 seconds")
      yield* TestClock.adjust("5 seconds")
      const { reason } = yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        reason._tag === "StoreUnavailable" ? [reason.operation, reason.detail] : reason,
        ["claim", "NoAnswer"]
      )
    }).pipe(Effect.provide(over(() => ({ claim: () => Effect.never })))))
})

describe("an inbox over SQL", () => {
  it.effect("drops marks that have expired, every ten minutes", () =>
    Effect.gen(function*() {
      const { take } = yield* Inbox.Inbox
      const sql = yield* SqlClient.SqlClient
      const count = Effect.map(sql`SELECT id FROM effect_payments_inbox`, (rows) => rows.length)
      yield* take(arrival, handler)
      yield* take({ ...arrival, id: "evt_2", window: Duration.days(8) }, handler)
      yield* shiftInbox("5 days")
      assert.strictEqual(yield* count, 2)
      yield* TestClock.adjust("10 minutes")
      // The sweep is a statement of its own, which the next one waits for.
      yield* Effect.yieldNow
      assert.strictEqual(yield* count, 1)
    }).pipe(Effect.provide(sqlite())))

  it.effect("keeps its marks in the table it is told", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const { take } = yield* Inbox.Inbox
      yield* take(arrival, handler)
      assert.strictEqual((yield* sql`SELECT id FROM elsewhere`).length, 1)
    }).pipe(
      Effect.provide(
        Inbox.layerStoreSql({ table: "elsewhere" }).pipe(
          Layer.provideMerge(SqliteClient.layer({ filename: ":memory:" }))
        )
      )
    ))
})
