/**
 * The checkout whose payer authenticates, at a gateway that is a process, with its webhooks over HTTP. What processes that
 * die make of it is in the demo.
 */
import { SqliteClient } from "@effect-payments/sqlite"
import { NodeCrypto } from "@effect/platform-node"
import { assert, layer, vi } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Logger, Redacted } from "effect"
import {
  AuditLog,
  Card,
  Inbox,
  Money,
  Resilience,
  Saga,
  SagaLog,
  SagaOperator,
  Signature,
  Velocity
} from "effect-payments"
import { Accounting } from "../src/checkout/Accounting.ts"
import { Fulfilment } from "../src/checkout/Fulfilment.ts"
import type { Order } from "../src/checkout/Order.ts"
import { authentication, challengeOf, secured } from "../src/checkout/secured.ts"
import { layer as layerServer, WebhookTarget } from "../src/checkout/server.ts"
import { layerServices } from "../src/checkout/shop.ts"
import { scheme } from "../src/checkout/webhooks.ts"
import { GatewaySim, layer as layerSim } from "../src/gateway-sim/start.ts"
import type { Event } from "../src/gateway-sim/Wire.ts"
import { send, until } from "./support/wire.ts"

vi.setConfig({ testTimeout: 60_000 })

const secret = Redacted.make("whsec_for_tests_only")

const stores = Layer.mergeAll(
  SagaLog.layerStoreSql(),
  Inbox.layerStoreSql(),
  Resilience.layerMemory,
  Velocity.layerStoreSql()
).pipe(Layer.provideMerge(SqliteClient.layer({ filename: ":memory:" })))

/** The shop is told of everything that the gateway does, twice. */
const shop = Layer.unwrap(
  Effect.map(GatewaySim, ({ baseUrl }) => {
    const told = Layer.effectDiscard(Effect.gen(function*() {
      const { registerWebhook } = yield* GatewaySim
      const { sagasUrl, url } = yield* WebhookTarget
      yield* registerWebhook({ url, secret: Redacted.value(secret) })
      yield* registerWebhook({ url: sagasUrl, secret: Redacted.value(secret), deliveries: 2 })
      yield* Effect.flatMap(Fulfilment, ({ restock }) => restock("lamp", 10))
    }))
    return told.pipe(
      Layer.provideMerge(layerServer({ port: 0, secrets: [secret] })),
      Layer.provideMerge(NodeCrypto.layer),
      Layer.provideMerge(layerServices({ gatewayUrl: baseUrl, filename: "", schema: "" }, stores))
    )
  })
).pipe(Layer.provideMerge(layerSim()), Layer.provideMerge(Logger.layer([])))

const order = (orderId: string, card: string): Order => ({
  orderId,
  email: `${orderId}@example.com`,
  sku: "lamp",
  quantity: 1,
  total: Money.makeUnsafe("EUR", "40.00"),
  card: Card.CardToken.make(card),
  shipTo: "DE"
})

const place = (order: Order) =>
  Saga.execute(secured, order, { id: order.orderId }).pipe(AuditLog.withActor({ user: "test", origin: "test" }))

/** Until the run stands at the step that waits. */
const waits = (id: string) =>
  until(
    SagaOperator.list({ saga: secured.name, state: "Running", step: authentication.name }),
    (runs) => runs.some((run) => run.id === id)
  )

const answer = (orderId: string, answer: "passed" | "failed") =>
  Effect.gen(function*() {
    const challenge = yield* challengeOf(orderId)
    yield* Effect.flatMap(GatewaySim, ({ answerChallenge }) => answerChallenge({ id: challenge?.id ?? "", answer }))
  })

/** What the gateway has done for the payment with this reference. */
const done = (orderId: string) =>
  Effect.gen(function*() {
    const { operations } = yield* Effect.flatMap(GatewaySim, ({ ledger }) => ledger)
    return operations.filter(({ merchantReference }) => merchantReference === `${secured.name}/${orderId}`)
      .map(({ kind, status }) => `${kind} ${status}`)
  })

/** Sends an event to the shop, signed with this secret; answers the status. */
const deliver = (data: Event["data"], signedWith: Redacted.Redacted<string>) =>
  Effect.gen(function*() {
    const { sagasUrl } = yield* WebhookTarget
    const body = JSON.stringify({ id: "evt_by_hand", type: `${data.kind}.${data.status}`, created: 1, data })
    const signature = { scheme, secrets: [signedWith], body: new TextEncoder().encode(body) }
    const headers = yield* Signature.sign(signature)
    return (yield* send(sagasUrl, { method: "POST", body, headers })).status
  })

layer(shop, { excludeTestServices: true, timeout: Duration.seconds(60) })(
  "a checkout whose payer authenticates",
  (it) => {
    it.effect("goes on by itself where the card needs no challenge", () =>
      Effect.gen(function*() {
        const execution = yield* place(order("frictionless", "tok_visa"))
        assert.deepInclude(execution._tag === "Completed" ? execution.results : {}, { authentication: "passed" })
        assert.deepStrictEqual(yield* done("frictionless"), ["authorize authorized", "capture captured"])
      }))

    it.effect("waits with what is held, goes on once, and ships, although each event comes twice", () =>
      Effect.gen(function*() {
        const fiber = yield* Effect.forkScoped(place(order("passed", "tok_3ds_hold")))
        yield* waits("passed")
        assert.deepStrictEqual(yield* done("passed"), ["authorize authorized"])
        yield* answer("passed", "passed")
        const execution = yield* Fiber.join(fiber)
        assert.strictEqual(execution._tag, "Completed")
        assert.deepStrictEqual(yield* done("passed"), ["authorize authorized", "capture captured"])
        const { givenUp } = yield* until(
          Effect.flatMap(GatewaySim, ({ webhookStats }) => webhookStats),
          ({ pending }) => pending === 0
        )
        assert.strictEqual(givenUp, 0)
      }))

    it.effect("is undone when the payer fails, and nothing stays on hold", () =>
      Effect.gen(function*() {
        const fiber = yield* Effect.forkScoped(place(order("failed", "tok_3ds_hold")))
        yield* waits("failed")
        yield* answer("failed", "failed")
        const execution = yield* Fiber.join(fiber)
        assert.deepInclude(execution, { _tag: "Compensated" })
        if (execution._tag !== "Compensated" || execution.cause._tag !== "Failed") return assert.fail(execution._tag)
        assert.include(String(execution.cause.error), "NotAuthenticated")
        assert.deepStrictEqual(yield* done("failed"), ["authorize authorized", "void voided"])
        const { reservation } = yield* Effect.flatMap(Fulfilment, ({ standing }) => standing("failed"))
        assert.strictEqual(reservation, "released")
      }))

    it.effect("is moved by nobody who cannot sign", () =>
      Effect.gen(function*() {
        const fiber = yield* Effect.forkScoped(place(order("forged", "tok_3ds_hold")))
        yield* waits("forged")
        const passed = {
          kind: "challenge",
          status: "passed",
          transactionId: "auth_1",
          merchantReference: `${secured.name}/forged`
        } as const
        assert.strictEqual(yield* deliver(passed, Redacted.make("whsec_of_somebody_else")), 400)
        yield* answer("forged", "failed")
        // The forged "passed" came first, and would have counted.
        assert.strictEqual((yield* Fiber.join(fiber))._tag, "Compensated")
      }))

    it.effect("is parked where the gateway confirms another capture than this one", () =>
      Effect.gen(function*() {
        const captured = {
          key: "k",
          kind: "capture",
          status: "captured",
          transactionId: "cap_of_another",
          merchantReference: `${secured.name}/mismatch`
        } as const
        assert.strictEqual(yield* deliver(captured, secret), 200)
        const execution = yield* place(order("mismatch", "tok_visa"))
        assert.deepInclude(execution, { _tag: "Parked", step: "receipt" })
        const { receipts } = yield* Effect.flatMap(Fulfilment, ({ standing }) => standing("mismatch"))
        assert.strictEqual(receipts, 0)
      }))

    it.effect("has the books agree in the end", () =>
      Effect.gen(function*() {
        const [sums] = yield* Effect.flatMap(Accounting, ({ sums }) => sums)
        assert.deepStrictEqual(sums?.sold, Money.makeUnsafe("EUR", "120.00"))
        const { totals } = yield* Effect.flatMap(GatewaySim, ({ ledger }) => ledger)
        assert.deepInclude(totals["EUR"], { charged: "20000", captured: "12000", voided: "8000" })
      }))
  }
)
