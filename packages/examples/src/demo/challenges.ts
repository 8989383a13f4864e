/**
 * Payments that wait for the payer, each by processes of the saga of `checkout/secured.ts`. The gateway's events come in at
 * the server of the demo, which drives none of these orders.
 */
import { Effect, Redacted } from "effect"
import { SagaOperator } from "effect-payments"
import type { Order } from "../checkout/Order.ts"
import { authentication, challengeOf, confirmation, secured } from "../checkout/secured.ts"
import { WebhookTarget } from "../checkout/server.ts"
import type { Place } from "../checkout/stores.ts"
import { GatewaySim, type GatewaySimError } from "../gateway-sim/start.ts"
import { isReleased, isShipped, kindsOf, netOf, start } from "./facts.ts"
import { orders } from "./order.ts"
import { fact, type Row, type Scenario, until } from "./Scenario.ts"
import { everyStep } from "./stuck.ts"
import { trailOf } from "./trail.ts"

type Rows = Effect.Effect<ReadonlyArray<Row>, GatewaySimError>

const runOf = ({ orderId }: Order) => ({ saga: secured.name, id: orderId })

const historyOf = (order: Order) => SagaOperator.history(runOf(order))

/** Until the run stands at the step that waits for the payer. */
const waits = (order: Order) =>
  until(
    SagaOperator.list({ saga: secured.name, state: "Running", step: authentication.name }),
    (runs) => runs.some(({ id }) => id === order.orderId)
  )

/** The payer at the bank. The shop's page has sent them there with what the log holds of the order. */
const answer = (order: Order, answer: "passed" | "failed") =>
  Effect.gen(function*() {
    const { answerChallenge } = yield* GatewaySim
    const challenge = yield* challengeOf(order.orderId)
    yield* answerChallenge({ id: challenge?.id ?? "", answer })
    return challenge
  })

/** The gateway has told all that it had to tell. */
const told = Effect.flatMap(GatewaySim, ({ webhookStats }) => until(webhookStats, ({ pending }) => pending === 0))

/** The gateway sends each event twice to the server of the shop, as providers do at times. */
const subscribe = Effect.gen(function*() {
  const { sagasUrl, secret } = yield* WebhookTarget
  const { registerWebhook } = yield* GatewaySim
  yield* registerWebhook({ url: sagasUrl, secret: Redacted.value(secret), deliveries: 2 })
})

/** What the log has of the steps that wait, as `payctl saga show` would print it. */
const eventsOf = Effect.fnUntraced(function*(order: Order) {
  const { entries } = yield* historyOf(order)
  return entries.flatMap(({ events }) => events).flatMap((event) =>
    "step" in event && (event.step === authentication.name || event.step === confirmation.name)
      ? [`${event.step} ${event._tag}`]
      : []
  )
})

const bothSteps = "authentication Intended, authentication Succeeded, confirmation Intended, confirmation Succeeded"

/** How an order ends whose payer has passed. */
const isPaid = Effect.fnUntraced(function*(order: Order, rows: Rows) {
  const seen = yield* rows
  const { done } = yield* trailOf(order, seen)
  return {
    net: netOf(seen),
    done,
    facts: [
      fact("at the gateway", "authorize, capture", kindsOf(seen)),
      fact("in the journals", everyStep, done),
      fact("in the log", bothSteps, (yield* eventsOf(order)).join(", ")),
      ...yield* isShipped(order)
    ]
  }
})

const patient = { authenticateWithin: "15 minutes" } as const

const passed = (place: Place) => ({
  name: "a challenge that is passed",
  why: "the payer may take their time",
  charges: 1,
  run: Effect.fnUntraced(function*(rows) {
    const order = orders.challenged
    yield* subscribe
    const shop = yield* start(place, order, patient)
    yield* waits(order)
    const before = kindsOf(yield* rows)
    const challenge = yield* answer(order, "passed")
    const { ended } = yield* shop.answer
    const { done, facts, net } = yield* isPaid(order, rows)
    return {
      happened: `held, then captured, net ${net}`,
      shown: [done],
      facts: [
        fact("at the gateway while it waits", "authorize", before),
        fact("where the payer is sent", "https://acs.example/challenge", challenge?.url?.replace(/\/[^/]*$/, "")),
        fact("end", "Completed", ended),
        ...facts
      ]
    }
  }, Effect.scoped)
} satisfies Scenario<unknown>)

const early = (place: Place) => ({
  name: "its webhook twice and too early",
  why: "none is lost",
  charges: 1,
  run: Effect.fnUntraced(function*(rows) {
    const { answerChallenge, plan } = yield* GatewaySim
    const order = orders.early
    // The answer to the authorization never comes, and the process is stopped: the run is not yet at the step that waits.
    yield* plan({ plan: "hang-after" })
    const first = yield* start(place, order, patient)
    yield* until(rows, ({ length }) => length === 1)
    const end = yield* first.end("SIGTERM")
    const [held] = yield* rows
    const before = yield* told
    // The bank's app has asked the payer already.
    yield* answerChallenge({ id: held?.challengeId ?? "", answer: "passed" })
    const after = yield* told
    const between = (yield* eventsOf(order)).length
    const { ended } = yield* Effect.flatMap(start(place, order.orderId, patient), ({ answer }) => answer)
    const { done, facts, net } = yield* isPaid(order, rows)
    return {
      happened: `nobody drove the order, passed once, net ${net}`,
      shown: [done],
      facts: [
        fact("end of the first process", "exit code 130", end),
        fact("deliveries: one to the book, two to the sagas", 3, after.delivered - before.delivered),
        fact("deliveries given up", 0, after.givenUp),
        fact("of the step that waits in the log", 0, between),
        fact("end", "Completed", ended),
        ...facts
      ]
    }
  }, Effect.scoped)
} satisfies Scenario<unknown>)

const unanswered = (place: Place) => ({
  name: "a challenge that nobody answers",
  why: "no money stays on hold for it",
  charges: 1,
  run: Effect.fnUntraced(function*(rows) {
    const order = orders.unanswered
    const { ended } = yield* Effect.flatMap(
      start(place, order, { authenticateWithin: "1 second" }),
      ({ answer }) => answer
    )
    const late = yield* Effect.flip(answer(order, "passed"))
    const seen = yield* rows
    const { done, undone } = yield* trailOf(order, seen)
    return {
      happened: `voided at the deadline, net ${netOf(seen)}`,
      shown: [done, `undone: ${undone}`],
      facts: [
        fact("end", "Compensated", ended),
        fact("at the gateway", "authorize, void", kindsOf(seen)),
        fact("in the journals", "gateway void, inventory release", undone),
        fact("in the log", "authentication Intended, authentication Failed", (yield* eventsOf(order)).join(", ")),
        fact("an answer after that", "GatewaySimError", late._tag),
        ...yield* isReleased(order)
      ]
    }
  }, Effect.scoped)
} satisfies Scenario<unknown>)

const adopted = (place: Place) => ({
  name: "SIGKILL while it waits",
  why: "a crash forgets no payer",
  charges: 1,
  run: Effect.fnUntraced(function*(rows) {
    const order = orders.adopted
    const first = yield* start(place, order, patient)
    yield* waits(order)
    const end = yield* first.end("SIGKILL")
    yield* answer(order, "passed")
    const { givenUp } = yield* told
    const { state } = (yield* historyOf(order)).run
    const { ended } = yield* Effect.flatMap(start(place, order.orderId, patient), ({ answer }) => answer)
    const { done, facts, net } = yield* isPaid(order, rows)
    return {
      happened: `finished by another process, net ${net}`,
      shown: [done],
      facts: [
        fact("end of the first process", "SIGKILL", end),
        fact("deliveries given up", 0, givenUp),
        fact("state in between", "Running", state),
        fact("end", "Completed", ended),
        ...facts
      ]
    }
  }, Effect.scoped)
} satisfies Scenario<unknown>)

/** `place` is where the processes of the shop keep their records. */
export const challenges = (place: Place) => [passed(place), early(place), unanswered(place), adopted(place)] as const
