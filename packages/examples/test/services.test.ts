import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Logger, Schedule, Schema, type Scope } from "effect"
import { Card, Idempotency, Money, Saga, SagaLog } from "effect-payments"
import { FetchHttpClient, type HttpClient, HttpServer } from "effect/http"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Fulfilment } from "../src/checkout/Fulfilment.ts"
import { NoAnswer, Order, OutOfStock, ReservationClosed, Unavailable } from "../src/checkout/Order.ts"
import { Reservation } from "../src/checkout/Stock.ts"
import * as Api from "../src/services/Api.ts"
import * as services from "../src/services/client.ts"
import * as Server from "../src/services/Server.ts"
import { start } from "../src/services/start.ts"
import type { Name } from "../src/services/Task.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "services-test-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

/** A service in this process, on a file of its own. */
const serve = Effect.fnUntraced(function*(name: Name) {
  const filename = join(yield* folder, `${name}.sqlite`)
  const context = yield* Layer.build(Server.layer({ name, filename, port: 0 }))
  const { address } = Context.get(context, HttpServer.HttpServer)
  return `http://127.0.0.1:${"port" in address ? address.port : 0}`
})

const key = (text: string) => ({ "idempotency-key": Idempotency.Key.make(text) })
const line = { orderId: "order-1", sku: "lamp", quantity: 2 }

const inventory = Effect.gen(function*() {
  const client = yield* services.client(Api.Inventory, yield* serve("inventory"))
  yield* client.operations.deliver({ payload: { sku: "lamp", quantity: 10 } })
  return {
    ...client,
    left: Effect.map(client.operations.available({ params: { sku: "lamp" } }), ({ available }) => available),
    plan: (operation: string, plan: string) => client.admin.plan({ payload: { operation, plan } })
  }
})

const run = <A, E>(self: Effect.Effect<A, E, Scope.Scope | HttpClient.HttpClient>) =>
  self.pipe(Effect.scoped, Effect.provide([FetchHttpClient.layer, Logger.layer([])]))

describe("a service of the shop", () => {
  it.live("acts once under a key, and answers it as the first time", () =>
    run(Effect.gen(function*() {
      const { left, operations } = yield* inventory
      const request = { headers: key("step-1"), payload: line }
      const [first, response] = yield* operations.reserve({ ...request, responseMode: "decoded-and-response" })
      const [second, replay] = yield* operations.reserve({ ...request, responseMode: "decoded-and-response" })
      assert.deepStrictEqual([first, second], [{ reservation: "res-order-1" }, { reservation: "res-order-1" }])
      assert.deepStrictEqual(
        [response, replay].map(({ headers }) => headers["idempotency-replayed"]),
        [undefined, "true"]
      )
      assert.strictEqual(yield* left, 8)
      yield* operations.release({ headers: key("undo-1"), payload: line })
      yield* operations.release({ headers: key("undo-1"), payload: line })
      assert.strictEqual(yield* left, 10)
    })))

  it.live("refuses another request under a key", () =>
    run(Effect.gen(function*() {
      const { left, operations } = yield* inventory
      yield* operations.reserve({ headers: key("step-1"), payload: line })
      const another = { headers: key("step-1"), payload: { ...line, quantity: 9 } }
      const error = yield* Effect.flip(operations.reserve(another))
      assert.strictEqual(error._tag, "KeyReused")
      assert.strictEqual(yield* left, 8)
    })))

  it.live("takes no body that is too large", () =>
    run(Effect.gen(function*() {
      const url = yield* serve("inventory")
      const send = (path: string, body: string) =>
        Effect.promise(() =>
          fetch(`${url}${path}`, {
            method: "POST",
            headers: { "content-type": "application/json", "idempotency-key": `"step-1"` },
            body
          })
        )
      const large = JSON.stringify({ ...line, sku: "x".repeat(20_000) })
      assert.strictEqual((yield* send("/reserve", large)).status, 413)
      assert.isAtLeast((yield* send("/faults", large)).status, 400)
      assert.strictEqual((yield* send("/reserve", JSON.stringify({ ...line, quantity: 0 }))).status, 400)
    })))

  it.live("says no for good under a key", () =>
    run(Effect.gen(function*() {
      const { admin, left, operations, plan } = yield* inventory
      yield* plan("reserve", "refuse")
      const request = { headers: key("step-1"), payload: line }
      const errors = [yield* Effect.flip(operations.reserve(request)), yield* Effect.flip(operations.reserve(request))]
      assert.deepStrictEqual(errors.map(({ _tag }) => _tag), ["OutOfStock", "OutOfStock"])
      const entry = yield* admin.operation({ params: { key: "step-1" } })
      assert.deepStrictEqual([entry?.outcome, yield* left], ["refused", 10])
      // Of the next order nothing is known.
      yield* operations.reserve({ headers: key("step-2"), payload: { ...line, orderId: "order-2" } })
      assert.strictEqual(yield* left, 8)
    })))

  it.live("fails on demand before it acts, so that the key acts afterwards", () =>
    run(Effect.gen(function*() {
      const { admin, left, operations, plan } = yield* inventory
      yield* plan("reserve", "fail-before;times=2, fault-500-before, delay=1")
      const request = { headers: key("step-1"), payload: line }
      const failures = yield* Effect.forEach([1, 2, 3], () => Effect.flip(operations.reserve(request)))
      assert.deepStrictEqual(failures.map(({ _tag }) => _tag).slice(0, 2), ["Unavailable", "Unavailable"])
      assert.deepStrictEqual([yield* admin.operation({ params: { key: "step-1" } }), yield* left], [null, 10])
      yield* operations.reserve(request)
      assert.strictEqual(yield* left, 8)
    })))

  it.live.each(["fault-500-after", "lost-reply", "hang-after"])(
    "acts and keeps its answer back: %s",
    (fault) =>
      run(Effect.gen(function*() {
        const { admin, left, operations, plan } = yield* inventory
        yield* plan("reserve", fault)
        const request = { headers: key("step-1"), payload: line }
        const exit = yield* Effect.exit(Effect.timeout(operations.reserve(request), "1 second"))
        assert.isTrue(Exit.isFailure(exit))
        const entry = yield* admin.operation({ params: { key: "step-1" } })
        assert.deepStrictEqual([entry?.outcome, entry?.orderId, yield* left], ["done", "order-1", 8])
        assert.deepStrictEqual(yield* operations.reserve(request), { reservation: "res-order-1" })
        assert.strictEqual(yield* left, 8)
      }))
  )

  it.live("forgets its faults, and takes none that it does not know", () =>
    run(Effect.gen(function*() {
      const { admin, operations, plan } = yield* inventory
      const error = yield* Effect.flip(plan("reserve", "explode"))
      assert.strictEqual(error._tag, "PlanMalformed")
      yield* plan("reserve", "fail-before;times=10000")
      assert.strictEqual((yield* Effect.flip(plan("reserve", "none")))._tag, "PlanMalformed")
      yield* admin.clear({})
      yield* operations.reserve({ headers: key("step-1"), payload: line })
    })))

  it.live("knows its key after it was killed at its commit", () =>
    run(Effect.gen(function*() {
      const { deeds, pids, plan, urls } = yield* start(yield* folder)
      const { operations } = yield* services.client(Api.Inventory, urls.inventory)
      yield* operations.deliver({ payload: { sku: "lamp", quantity: 10 } })
      const before = yield* pids
      for (const [index, fault] of ["crash-before", "crash-after"].entries()) {
        const request = { headers: key(`step-${index}`), payload: { ...line, orderId: `order-${index}` } }
        yield* plan("inventory", "reserve", fault)
        yield* Effect.flip(operations.reserve(request))
        // Refused while it starts again; in flight until the lease of the one that died is over.
        const answer = yield* Effect.retry(operations.reserve(request), {
          times: 500,
          schedule: Schedule.spaced("100 millis")
        })
        assert.deepStrictEqual(answer, { reservation: `res-order-${index}` })
        assert.lengthOf(yield* deeds(`order-${index}`), 1)
      }
      assert.deepStrictEqual(yield* operations.available({ params: { sku: "lamp" } }), { available: 6 })
      assert.lengthOf((yield* pids).filter((pid) => !before.includes(pid)), 1)
    })), 120_000)
})

describe("the checkout's ports over the services", () => {
  const order = Order.make({
    orderId: "order-1",
    email: "ada@example.com",
    sku: "lamp",
    quantity: 2,
    total: Money.makeUnsafe("EUR", "10.00"),
    card: Card.CardToken.make("tok_visa"),
    shipTo: "DE"
  })
  const keys: Array<string> = []
  const saga = Saga.make("probe", { payload: Order }).pipe(
    Saga.step("reserve", {
      success: Reservation,
      error: Schema.Union([OutOfStock, ReservationClosed, NoAnswer, Unavailable]),
      run: ({ payload }) =>
        Effect.gen(function*() {
          keys.push(yield* Idempotency.currentDownstreamKey("reserve"))
          return yield* Effect.flatMap(Fulfilment, ({ reserve }) => reserve(payload))
        }),
      verify: ({ payload }, doubt) => Effect.flatMap(Fulfilment, ({ reserved }) => reserved(payload, doubt)),
      schedule: Schedule.recurs(0),
      compensate: (_, { payload }) => Effect.flatMap(Fulfilment, ({ release }) => release(payload))
    })
  )
  const execute = (url: string) => {
    const urls = { inventory: url, shipping: url, accounting: url, receipts: url }
    return Saga.execute(saga, order, { id: order.orderId }).pipe(
      Effect.provide([
        services.layer({ urls, attempt: "1 second" }),
        Saga.layer().pipe(Layer.provide([SagaLog.layerStoreMemory(), NodeCrypto.layer]))
      ])
    )
  }

  it.live("send the key of the step, and find what was lost by it", () =>
    run(Effect.gen(function*() {
      const url = yield* serve("inventory")
      const { admin, operations } = yield* services.client(Api.Inventory, url)
      yield* operations.deliver({ payload: { sku: "lamp", quantity: 10 } })
      yield* admin.plan({ payload: { operation: "reserve", plan: "hang-after" } })
      keys.length = 0
      const execution = yield* execute(url)
      assert.strictEqual(execution._tag, "Completed")
      const journal = yield* admin.journal({ query: {} })
      assert.deepStrictEqual(journal.map(({ key, operation }) => [operation, key]), [["reserve", keys[0]]])
      assert.lengthOf(keys, 1)
    })))

  it.live("say that nothing was done where nobody listens", () =>
    run(Effect.gen(function*() {
      const url = yield* Effect.scoped(serve("inventory"))
      const execution = yield* execute(url)
      assert.strictEqual(execution._tag, "Compensated")
      const cause = execution._tag === "Compensated" && execution.cause._tag === "Failed" ? execution.cause.error : null
      assert.instanceOf(cause, Unavailable)
    })))
})
