/**
 * The checkout of `src/checkout` as it is written, in a simulated world: its process dies before and after each commit and
 * each effect, and so does the one that takes over. Each row of the table in docs/checkout.md is a test here.
 */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Logger } from "effect"
import { AuditLog, Card, Money, PaymentGateway, Resilience, Saga, Velocity } from "effect-payments"
import { SagaTest, TestGateway } from "effect-payments/testing"
import { Accounting } from "../src/checkout/Accounting.ts"
import { checkout } from "../src/checkout/checkout.ts"
import { Fulfilment } from "../src/checkout/Fulfilment.ts"
import type { Order } from "../src/checkout/Order.ts"
import { authentication, confirmation, secured } from "../src/checkout/secured.ts"

const order: Order = {
  orderId: "order-1",
  email: "ada@example.com",
  sku: "lamp",
  quantity: 1,
  total: Money.makeUnsafe("EUR", "79.00"),
  card: Card.CardToken.make("tok_visa"),
  shipTo: "DE"
}

/** As `services/client.ts` does: "not seen" is believed once no request can be under way. */
const found = <A>(did: Effect.Effect<boolean>, answer: A, { silence }: Saga.Doubt) =>
  Effect.map(did, (did) =>
    did
      ? PaymentGateway.happened(answer)
      : Duration.toMinutes(silence) >= 5
      ? PaymentGateway.neverHappened
      : Saga.notSeen)

const parcel = { parcel: "parcel-1" }
const reservation = { reservation: "res-1" }
const entry = { entry: "sale-1" }

/** Services that know their orders: the same call twice is one. */
const layerFulfilment = Layer.effect(
  Fulfilment,
  Effect.map(SagaTest.Ledger, ({ done, has, undone }) =>
    Fulfilment.of({
      restock: () => Effect.void,
      available: () => Effect.succeed(0),
      reserve: ({ orderId }) => Effect.as(done("reserve", orderId), reservation),
      reserved: ({ orderId }, doubt) => found(has("reserve", orderId), reservation, doubt),
      release: ({ orderId }) => undone("reserve", orderId),
      ship: ({ orderId }) => Effect.as(done("ship", orderId), parcel),
      shipped: ({ orderId }, doubt) => found(has("ship", orderId), parcel, doubt),
      sendReceipt: ({ orderId }) => Effect.asVoid(done("receipt", orderId)),
      standing: () => Effect.succeed({ reservation: "none", parcels: 0, receipts: 0 })
    }))
)

const layerAccounting = Layer.effect(
  Accounting,
  Effect.map(SagaTest.Ledger, ({ done, has, undone }) =>
    Accounting.of({
      book: ({ orderId }) => Effect.as(done("book", orderId), entry),
      booked: ({ orderId }, doubt) => found(has("book", orderId), entry, doubt),
      reverse: ({ orderId }) => undone("book", orderId),
      sums: Effect.succeed([])
    }))
)

const layer = Layer.mergeAll(
  layerFulfilment,
  layerAccounting,
  TestGateway.layer(),
  Resilience.layerMemory,
  Velocity.layerStoreMemory(),
  AuditLog.layerLog
)

/** Where a process dies, and the point of the exploration that this is. "Frozen" is one that wakes up too late. */
const places: ReadonlyArray<readonly [place: string, point: string, fate: string]> = [
  ["before anything is written down", "claim, with the first intent", "die before"],
  ["reserve is intended, and has not left", "claim, with the first intent", "die after"],
  ["reserve has happened, and nobody wrote it down", "run reserve", "die after"],
  ["authorize is intended, and has not left", "Succeeded reserve, Intended authorize", "die after"],
  ["authorize has happened, and nobody wrote it down", "run authorize", "die after"],
  ["capture is intended, and has not left", "Succeeded authorize, Intended capture", "die after"],
  ["capture has happened, and nobody wrote it down", "run capture", "die after"],
  ["book is intended, and has not left", "Succeeded capture, Intended book", "die after"],
  ["book has happened, and nobody wrote it down", "run book", "die after"],
  ["ship is intended, and has not left", "Succeeded book, Intended ship", "die after"],
  ["ship has happened, and nobody wrote it down", "run ship", "die after"],
  ["receipt is intended, and has not left", "Succeeded ship, Intended receipt", "die after"],
  ["receipt has happened, and nobody wrote it down", "run receipt", "die after"],
  ["all is written down, and nobody was told", "Succeeded receipt", "die after"],
  ["frozen between an outcome and its record", "Succeeded capture, Intended book", "freeze before"],
  ["while it looks a step up for one that died", "verify capture", "die after"],
  ["the refusal is written down, and nothing is undone", "Failed ship", "die after"],
  ["the sale is reversed, and nobody wrote it down", "undo book", "die after"],
  ["the sale is reversed and written down", "Undone book", "die after"],
  ["the capture is refunded, and nobody wrote it down", "undo capture", "die after"],
  ["the capture is refunded and written down", "Undone capture", "die after"],
  ["the authorization is voided, and nobody wrote it down", "undo authorize", "die after"],
  ["the stock is released, and nobody wrote it down", "undo reserve", "die after"],
  ["all is undone, and nobody was told", "Undone reserve", "die after"],
  ["an undo has failed for good", "UndoFailed capture", "die after"],
  ["ship is in doubt, and the run parked", "Parked ship", "die after"]
]

describe("a checkout whose process dies", () => {
  let report: SagaTest.Report

  // All schedules: the exploration fails with the first one that breaks a promise.
  beforeAll(async () => {
    report = await Effect.runPromise(
      SagaTest.explore(checkout, { payload: order, layer }, { depth: 1, faults: 1 }).pipe(
        Effect.provide(Logger.layer([]))
      )
    )
  }, 300_000)

  it("is all done or all undone by the next one, wherever that is", () => {
    assert.isTrue(report.isComplete)
    assert.isAbove(report.schedules, 1000)
    assert.hasAllKeys(report.states, ["Completed", "Compensated"])
  })

  it.each(places)("at: %s", (_, point, fate) => {
    assert.isAbove(report.coverage[point]?.[fate] ?? 0, 0)
  })
})

const signals = [
  SagaTest.signal(authentication, { event: "evt_1", value: "passed" }),
  SagaTest.signal(confirmation, {
    event: "evt_2",
    value: ({ capture }: { readonly capture: PaymentGateway.Transaction }) => ({ transactionId: capture.id })
  })
]

const waits: ReadonlyArray<readonly [place: string, point: string, fate: string]> = [
  ["the run waits for the payer", "Succeeded authorize, Intended authentication", "die after"],
  ["a process that waits is stopped", "wait authentication", "stop before"],
  ["whoever took the webhook has not told the log", "message evt_1 of authentication", "die before"],
  ["whoever took the webhook has told the log, and nobody else", "message evt_1 of authentication", "die after"],
  ["the payer has passed, and capture has not left", "Succeeded authentication, Intended capture", "die after"],
  ["the time is up, and nothing is written down", "Failed authentication", "die before"],
  ["the time is up, and nothing is undone", "Failed authentication", "die after"],
  ["the run waits for the confirmation", "Succeeded ship, Intended confirmation", "die after"]
]

const comings = [
  "comes before the run",
  "comes before the wait",
  "comes twice",
  "comes elsewhere",
  "comes at the last moment",
  "comes behind the deadline"
]

describe("a checkout whose payer authenticates, and whose process dies", () => {
  let report: SagaTest.Report

  beforeAll(async () => {
    report = await Effect.runPromise(
      SagaTest.explore(secured, { payload: order, layer, signals }, { depth: 1, faults: 1 }).pipe(
        Effect.provide(Logger.layer([]))
      )
    )
  }, 300_000)

  it("is all done or all undone by the next one, whenever its webhooks come", () => {
    assert.isTrue(report.isComplete)
    assert.isAbove(report.schedules, 1000)
    assert.hasAllKeys(report.states, ["Completed", "Compensated"])
  })

  it.each(waits)("at: %s", (_, point, fate) => {
    assert.isAbove(report.coverage[point]?.[fate] ?? 0, 0)
  })

  it.each(comings)("where the payer's answer %s", (fate) => {
    assert.isAbove(report.coverage["message evt_1 of authentication"]?.[fate] ?? 0, 0)
  })
})
