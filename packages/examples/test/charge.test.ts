import { SqliteClient } from "@effect-payments/sqlite"
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Equal, Fiber, FileSystem, Layer, Logger } from "effect"
import { AuditLog, Card, Idempotency, IdempotencyStore, Money, Resilience } from "effect-payments"
import { TestGateway } from "effect-payments/testing"
import { TestClock } from "effect/testing"
import { join } from "node:path"
import { chargeCustomer, layer } from "../src/charge.ts"
import { GatewaySim, layer as layerSim } from "../src/gateway-sim/start.ts"

const key = Idempotency.Key.make("order-1")
const sale = (amount = "25.00") => ({
  token: Card.CardToken.make("tok_visa"),
  money: Money.makeUnsafe("EUR", amount),
  capture: true
})

const layerTest = (plan: TestGateway.Plan) =>
  Layer.mergeAll(
    TestGateway.layer({ plan }),
    Idempotency.layer().pipe(Layer.provide([IdempotencyStore.layerStoreMemory(), NodeCrypto.layer])),
    Resilience.layerMemory,
    AuditLog.layerMemory().pipe(Layer.provide(NodeCrypto.layer)),
    Logger.layer([])
  )

describe("chargeCustomer", () => {
  it.effect("charges once over two transient failures, and leaves an entry for each attempt", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(chargeCustomer(sale(), key), { startImmediately: true })
      yield* TestClock.adjust("2 seconds")
      const transaction = yield* Fiber.join(fiber)
      const { calls, charges } = yield* TestGateway.TestGateway
      assert.strictEqual(yield* charges, 1)
      assert.lengthOf(yield* calls, 3)
      const entries = yield* Effect.flatMap(AuditLog.AuditTrail, ({ entries }) => entries)
      assert.deepStrictEqual(entries.map(({ outcome }) => outcome), ["notExecuted", "unknown", "succeeded"])
      assert.deepInclude(entries[2]?.detail, { result: { id: transaction.id, status: "captured" } })
      assert.notInclude(JSON.stringify(entries), "tok_visa")
    }).pipe(Effect.provide(layerTest([TestGateway.failBefore, TestGateway.lostRequest]))))

  it.effect("answers the same key with the first answer, and refuses it with another amount", () =>
    Effect.gen(function*() {
      const first = yield* chargeCustomer(sale(), key)
      assert.isTrue(Equal.equals(yield* chargeCustomer(sale(), key), first))
      const conflict = yield* Effect.flip(chargeCustomer(sale("26.00"), key))
      assert.strictEqual(conflict.reason._tag, "KeyConflict")
      assert.lengthOf(yield* Effect.flatMap(TestGateway.TestGateway, ({ calls }) => calls), 1)
    }).pipe(Effect.provide(layerTest([]))))

  it.effect("never tries a decline again, and replays it as it was", () =>
    Effect.gen(function*() {
      const first = yield* Effect.flip(chargeCustomer(sale(), key))
      assert.strictEqual(first.reason._tag, "InsufficientFunds")
      assert.isTrue(Equal.equals(yield* Effect.flip(chargeCustomer(sale(), key)), first))
      assert.lengthOf(yield* Effect.flatMap(TestGateway.TestGateway, ({ calls }) => calls), 1)
    }).pipe(Effect.provide(layerTest([TestGateway.decline("insufficient_funds")]))))

  it.effect("looks up a charge whose answers never came", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(chargeCustomer(sale(), key), { startImmediately: true })
      yield* TestClock.adjust("17 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).status, "captured")
      const { calls, charges, lookups } = yield* TestGateway.TestGateway
      assert.deepStrictEqual([(yield* calls).length, yield* lookups, yield* charges], [3, 1, 1])
    }).pipe(Effect.provide(layerTest(Array.from({ length: 3 }, () => TestGateway.hang({ happened: true }))))))

  it.effect("leaves a gateway alone that is down", () =>
    Effect.gen(function*() {
      for (let order = 1; order <= 5; order++) {
        const charge = Effect.flip(chargeCustomer(sale(), Idempotency.Key.make(`order-${order}`)))
        const fiber = yield* Effect.forkChild(charge, { startImmediately: true })
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "NetworkError")
      }
      const { message } = yield* Effect.flip(chargeCustomer(sale(), Idempotency.Key.make("order-6")))
      assert.include(message, "the circuit is open")
      assert.lengthOf(yield* Effect.flatMap(TestGateway.TestGateway, ({ calls }) => calls), 15)
    }).pipe(Effect.provide(layerTest(() => TestGateway.failBefore))))

  it.live("runs over HTTP and SQLite, and the next process knows what this one did", () =>
    Effect.gen(function*() {
      const { baseUrl, charges } = yield* GatewaySim
      const files = yield* FileSystem.FileSystem
      const database = SqliteClient.layer({ filename: join(yield* files.makeTempDirectoryScoped(), "records.sqlite") })
      // Each has a store, circuits and connections of its own, as a process has.
      const process = chargeCustomer(sale(), key).pipe(
        Effect.provide(Layer.fresh(layer({ gatewayUrl: baseUrl, database })))
      )
      const first = yield* process
      assert.isTrue(Equal.equals(yield* process, first))
      assert.strictEqual(yield* charges, 1)
    }).pipe(
      Effect.scoped,
      Effect.provide([layerSim(), NodeFileSystem.layer, Logger.layer([])])
    ), 60_000)
})
