/**
 * What needs somebody, and what somebody has to be able to check: an undo that fails for good, a service that dies at the worst
 * moment, and the money in every book at the end.
 */
import { Effect, Schema } from "effect"
import { Money, Saga } from "effect-payments"
import { Accounting } from "../checkout/Accounting.ts"
import { checkout } from "../checkout/checkout.ts"
import { Fulfilment } from "../checkout/Fulfilment.ts"
import { secured } from "../checkout/secured.ts"
import type { Place } from "../checkout/stores.ts"
import { GatewaySim } from "../gateway-sim/start.ts"
import { Services } from "../services/start.ts"
import { isReleased, isShipped, netOf, start, undosOf } from "./facts.ts"
import { delivered, orders, place as placeOrder, sku } from "./order.ts"
import * as payctl from "./payctl.ts"
import { fact, type Scenario } from "./Scenario.ts"
import { trailOf } from "./trail.ts"

const Waiting = Schema.Struct({ runs: Schema.Array(Schema.Struct({ id: Schema.String, state: Schema.String })) })
const Shown = Schema.Struct({
  state: Schema.String,
  steps: Schema.Array(
    Schema.Struct({
      step: Schema.String,
      undo: Schema.NullOr(Schema.Struct({ outcome: Schema.String, detail: Schema.optionalKey(Schema.String) }))
    })
  )
})
const Changed = Schema.Struct({ changed: Schema.Boolean })

const undoFails = (place: Place) => ({
  name: "an undo that fails",
  why: "no undo is forgotten",
  charges: 1,
  run: Effect.fnUntraced(function*(rows) {
    const { clear, plan } = yield* Services
    const order = orders.stuck
    yield* plan("inventory", "release", "fail-before;times=10000")
    const execution = yield* placeOrder(order)
    const [waiting, shown] = yield* Effect.all([
      payctl.saga(place, ["list", "--waiting"], Waiting),
      payctl.saga(place, ["show", checkout.name, order.orderId], Shown)
    ], { concurrency: 2 })
    const failed = shown.steps.flatMap(({ step, undo }) =>
      undo?.outcome === "Failed" ? [`${step} (${undo.detail})`] : []
    )
    yield* clear("inventory")
    const decision = ["--by", "ada", "--reason", "the warehouse is back", "--yes"]
    const { changed } = yield* payctl.saga(place, ["retry", checkout.name, order.orderId, ...decision], Changed)
    const { ended } = yield* Effect.flatMap(start(place, order.orderId), ({ answer }) => answer)
    const seen = yield* rows
    const { undone } = yield* trailOf(order, seen)
    return {
      happened: `stuck, told by an operator to go on, net ${netOf(seen)}`,
      facts: [
        fact("end", "FailedCompensation", execution._tag),
        fact("undone", "book Undone, capture Undone, authorize Skipped, reserve Failed", undosOf(execution)),
        fact(
          "waiting",
          `${order.orderId} FailedCompensation`,
          waiting.runs.map(({ id, state }) => `${id} ${state}`).join()
        ),
        fact("what has failed", "reserve (Unavailable)", failed.join()),
        fact("changed by the operator", true, changed),
        fact("end after that", "Compensated", ended),
        fact("in the journals", "accounting reverse, gateway refund, inventory release", undone),
        fact("net", 0n, netOf(seen)),
        ...yield* isReleased(order)
      ],
      shown: [
        `payctl saga list --waiting   ${order.orderId} ${shown.state}`,
        `payctl saga show             the undo of ${failed.join()}`,
        `payctl saga retry --by ada   ${ended}; ${undone}`
      ]
    }
  }, Effect.scoped)
} satisfies Scenario<unknown>)

const interrupted = {
  name: "a service killed at its commit",
  why: "its journal knows the key",
  charges: 1,
  run: Effect.fnUntraced(function*(rows) {
    const { pids, plan } = yield* Services
    const order = orders.interrupted
    const before = yield* pids
    // Behind the pivot: the step is tried for minutes, and so is not undone on a busy machine either.
    yield* plan("receipts", "send", "crash-after")
    const { _tag } = yield* placeOrder(order)
    const after = yield* pids
    const { done } = yield* trailOf(order, yield* rows)
    return {
      happened: `restarted, asked again, sent once`,
      facts: [
        fact("end", "Completed", _tag),
        fact("services that were restarted", 1, after.filter((pid) => !before.includes(pid)).length),
        fact("in the journals", everyStep, done),
        ...yield* isShipped(order)
      ],
      shown: [done]
    }
  })
} satisfies Scenario<unknown>

/** What a checkout does, once each. */
export const everyStep =
  "inventory reserve, gateway authorize, gateway capture, accounting book, shipping ship, receipts send"

const conserved = {
  name: "the money in each ledger",
  why: "nothing is lost in between",
  charges: 0,
  run: Effect.fnUntraced(function*() {
    const { operations } = yield* Effect.flatMap(GatewaySim, ({ ledger }) => ledger)
    const sum = (matches: (row: typeof operations[number]) => boolean) =>
      operations.filter((row) => row.status !== "refused" && matches(row))
        .reduce((total, { amountMinor = "0" }) => total + BigInt(amountMinor), 0n)
    const captured = sum(({ kind }) => kind === "capture")
    const refunded = sum(({ kind }) => kind === "refund")
    const held = sum(({ status }) => status === "authorized") - captured - sum(({ kind }) => kind === "void")
    const [sums] = yield* Effect.flatMap(Accounting, ({ sums }) => sums)
    const minor = (money: Money.Money | undefined) => money === undefined ? 0n : Money.toMinorUnitsUnsafe(money)
    const [sold, reversed] = [minor(sums?.sold), minor(sums?.reversed)]
    const runs = yield* Effect.map(
      Effect.forEach([checkout.name, secured.name], (saga) => Saga.list({ saga, limit: 1000 })),
      (runs) => runs.flat()
    )
    const shipped = Object.values(orders).filter(({ orderId }) =>
      runs.some(({ id, state }) => id === orderId && state === "Completed")
    )
    const due = shipped.reduce((total, order) => total + minor(order.total), 0n)
    const { available, standing } = yield* Fulfilment
    const parcels = yield* Effect.forEach(Object.values(orders), ({ orderId }) => standing(orderId))
    const left = yield* available(sku)
    const goods = shipped.reduce((total, { quantity }) => total + quantity, 0)
    return {
      happened: `shipped, paid and booked: ${eur(due)} each`,
      facts: [
        fact("paid at the gateway", due, captured - refunded),
        fact("booked", due, sold - reversed),
        fact("refunded and reversed", refunded, reversed),
        fact("held for nothing", 0n, held),
        fact("parcels", shipped.length, parcels.reduce((total, { parcels }) => total + parcels, 0)),
        fact("in stock", delivered - goods, left),
        fact("runs that have not ended", "", runs.filter(({ state }) => !ends.has(state)).map(({ id }) => id).join())
      ],
      shown: [
        `gateway     captured ${eur(captured)}, refunded ${eur(refunded)}, held ${eur(held)}`,
        `accounting  sold ${eur(sold)}, reversed ${eur(reversed)}`,
        `inventory   ${delivered} delivered, ${goods} sold, ${left} left`,
        `shipping    ${shipped.length} parcels for ${eur(due)}`
      ]
    }
  })
} satisfies Scenario<unknown>

const ends: ReadonlySet<string> = new Set(["Completed", "Compensated"])

const eur = (minor: bigint): string => Money.format(Money.fromMinorUnits("EUR", minor))

/** `place` is where the shop of these checkouts keeps its records. */
export const stuck = (place: Place) => [undoFails(place), interrupted, conserved] as const
