/**
 * What goes wrong with checkouts, in order, each met by the saga of `checkout/checkout.ts`.
 */
import { Effect, Redacted } from "effect"
import { PaymentError, Saga } from "effect-payments"
import { checkout } from "../checkout/checkout.ts"
import { Fulfilment } from "../checkout/Fulfilment.ts"
import type { Order } from "../checkout/Order.ts"
import { WebhookTarget } from "../checkout/server.ts"
import type { Place } from "../checkout/stores.ts"
import { GatewaySim } from "../gateway-sim/start.ts"
import { aftermath } from "./aftermath.ts"
import { challenges } from "./challenges.ts"
import { capturesOf, isReleased, isShipped, kindsOf, netOf, outcomeOf, requestsOf, start, undosOf } from "./facts.ts"
import { delivered, orders, place, sku } from "./order.ts"
import { count, fact, type Row, type Scenario, sent, until } from "./Scenario.ts"
import { everyStep, stuck } from "./stuck.ts"
import { trailOf } from "./trail.ts"

const { lamp } = orders

const transient = {
  name: "a checkout over two failures",
  why: "a blip costs no order",
  charges: 1,
  run: Effect.fnUntraced(function*(rows) {
    const { plan } = yield* GatewaySim
    yield* plan({ plan: "fail-before, drop-before" })
    const { _tag } = yield* place(lamp)
    const seen = yield* rows
    const { done } = yield* trailOf(lamp, seen)
    return {
      happened: `${yield* outcomeOf(lamp)}, authorized at request ${seen[0]?.requests}`,
      shown: [done],
      facts: [
        fact("end", "Completed", _tag),
        fact("requests to authorize", 3, seen[0]?.requests),
        fact("at the gateway", "authorize, capture", kindsOf(seen)),
        fact("in the journals", everyStep, done),
        fact("net", 7900n, netOf(seen)),
        ...yield* isShipped(lamp)
      ]
    }
  })
} satisfies Scenario<unknown>

const again = {
  name: "the same order again",
  why: "a reload buys nothing twice",
  charges: 1,
  continues: true,
  run: Effect.fnUntraced(function*(rows) {
    const before = yield* rows
    const execution = yield* place(lamp)
    const seen = yield* rows
    const conflict = yield* Effect.flip(place({ ...lamp, quantity: 2 }))
    return {
      happened: `replayed, ${sent(before[0], seen[0])}`,
      facts: [
        fact("end", "Completed", execution._tag),
        fact(
          "capture",
          seen[1]?.transactionId,
          execution._tag === "Completed" ? execution.results.capture.id : undefined
        ),
        fact("requests", requestsOf(before), requestsOf(seen)),
        fact("the id with another order", "IdConflict", conflict.reason._tag),
        ...yield* isShipped(lamp)
      ]
    }
  })
} satisfies Scenario<unknown>

const shipmentRefused = {
  name: "a shipment that is refused",
  why: "all is undone, backwards",
  charges: 1,
  run: Effect.fnUntraced(function*(rows) {
    const { available } = yield* Fulfilment
    const before = yield* available(sku)
    const lost = orders.undeliverable
    const execution = yield* place(lost)
    const seen = yield* rows
    const { done, undone } = yield* trailOf(lost, seen)
    return {
      happened: `reversed, ${seen.at(-1)?.status}, ${yield* outcomeOf(lost)}, net ${netOf(seen)}`,
      shown: [done, `undone: ${undone}`],
      facts: [
        fact("end", "Compensated", execution._tag),
        fact("undone", "book Undone, capture Undone, authorize Skipped, reserve Undone", undosOf(execution)),
        fact("in the journals", "accounting reverse, gateway refund, inventory release", undone),
        fact("at the gateway", "authorize, capture, refund", kindsOf(seen)),
        fact("net", 0n, netOf(seen)),
        fact("in stock", before, yield* available(sku)),
        ...yield* isReleased(lost)
      ]
    }
  })
} satisfies Scenario<unknown>

const captureRefused = {
  name: "a capture that is refused",
  why: "no money stays on hold",
  charges: 1,
  run: Effect.fnUntraced(function*(rows) {
    const { plan } = yield* GatewaySim
    yield* plan({ plan: "none, decline=expired_card" })
    const lost = orders.captureRefused
    const execution = yield* place(lost)
    const seen = yield* rows
    return {
      happened: `${seen.at(-1)?.status}, ${yield* outcomeOf(lost)}, net ${netOf(seen)}`,
      facts: [
        fact("end", "Compensated", execution._tag),
        fact("undone", "authorize Undone, reserve Undone", undosOf(execution)),
        fact("at the gateway", "authorize, capture refused, void", kindsOf(seen)),
        fact("net", 0n, netOf(seen)),
        ...yield* isReleased(lost)
      ]
    }
  })
} satisfies Scenario<unknown>

const blocked = {
  name: "a buyer on the blocklist",
  why: "a bad order costs no fee",
  charges: 0,
  run: Effect.fnUntraced(function*(rows) {
    const bad = orders.blocked
    const execution = yield* place(bad)
    const seen = yield* rows
    const error = execution._tag === "Compensated" && execution.cause._tag === "Failed" ? execution.cause.error : null
    const reason = error instanceof PaymentError.PaymentError ? error.reason._tag : String(error)
    return {
      happened: `${reason}, ${count(requestsOf(seen), "request")}, ${yield* outcomeOf(bad)}`,
      facts: [
        fact("end", "Compensated", execution._tag),
        fact("error", "FraudBlocked", reason),
        fact("undone", "reserve Undone", undosOf(execution)),
        fact("operations at the gateway", 0, seen.length),
        ...yield* isReleased(bad)
      ]
    }
  })
} satisfies Scenario<unknown>

/** The order is at the gateway, captured, and the process that placed it has no answer: it is ended there. */
const endedAtCapture = Effect.fnUntraced(function*(
  rows: Effect.Effect<ReadonlyArray<Row>, unknown>,
  place: Place,
  order: Order,
  signal: "SIGKILL" | "SIGTERM"
) {
  const { plan } = yield* GatewaySim
  const state = Effect.map(
    Saga.list({ saga: checkout.name, limit: 1000 }),
    (runs) => runs.find(({ id }) => id === order.orderId)?.state
  )
  yield* plan({ plan: "none, hang-after" })
  const first = yield* start(place, order)
  yield* until(rows, ({ length }) => length === 2)
  const end = yield* first.end(signal)
  const between = yield* state
  const { ended } = yield* Effect.flatMap(start(place, order.orderId), ({ answer }) => answer)
  const seen = yield* rows
  const { done } = yield* trailOf(order, seen)
  return {
    end,
    happened: `${yield* outcomeOf(order)}, ${count(capturesOf(seen), "capture")}`,
    facts: [
      fact("state in between", "Running", between),
      fact("end", "Completed", ended),
      fact("state at the end", "Completed", yield* state),
      fact("at the gateway", "authorize, capture", kindsOf(seen)),
      fact("requests to capture", 1, seen[1]?.requests),
      fact("look-ups of the capture", 1, seen[1]?.lookups),
      fact("in the journals", everyStep, done),
      ...yield* isShipped(order)
    ],
    shown: [done]
  }
}, Effect.scoped)

const killed = (place: Place) => ({
  name: "SIGKILL after the capture",
  why: "a crash loses no order",
  charges: 1,
  run: Effect.fnUntraced(function*(rows) {
    const { end, facts, happened, shown } = yield* endedAtCapture(rows, place, orders.killed, "SIGKILL")
    return {
      shown,
      happened: `then, by another process, ${happened}`,
      facts: [fact("end of the first process", "SIGKILL", end), ...facts]
    }
  })
} satisfies Scenario<unknown>)

const suspended = (place: Place) => ({
  name: "SIGTERM in the middle",
  why: "a deploy undoes nothing",
  charges: 1,
  run: Effect.fnUntraced(function*(rows) {
    const { end, facts, happened, shown } = yield* endedAtCapture(rows, place, orders.suspended, "SIGTERM")
    return {
      shown,
      happened: `suspended, then ${happened}`,
      facts: [fact("end of the first process", "exit code 130", end), ...facts]
    }
  })
} satisfies Scenario<unknown>)

/** `place` is where the stores are that the shop of these checkouts uses. */
export const checkouts = (place: Place) => [
  transient,
  again,
  shipmentRefused,
  captureRefused,
  blocked,
  ...aftermath,
  killed(place),
  suspended(place),
  ...challenges(place),
  ...stuck(place)
]

/** What has to be there before the first of them. */
export const prepare = Effect.gen(function*() {
  const { secret, url } = yield* WebhookTarget
  const { registerWebhook } = yield* GatewaySim
  yield* registerWebhook({ url, secret: Redacted.value(secret) })
  yield* Effect.flatMap(Fulfilment, ({ restock }) => restock(sku, delivered))
})
