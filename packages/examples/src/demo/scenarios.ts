/**
 * What goes wrong with charges, in order, each met by the stack of `charge.ts`.
 */
import { Duration, Effect, Equal } from "effect"
import { Card, Idempotency, Money, type PaymentGateway } from "effect-payments"
import { chargeCustomer, Patience, scope } from "../charge.ts"
import type { Place } from "../checkout/stores.ts"
import { GatewaySim } from "../gateway-sim/start.ts"
import { count, fact, type Row, type Scenario, sent, until } from "./Scenario.ts"
import * as Worker from "./Worker.ts"

const order = (amount: string, token = "tok_visa"): PaymentGateway.AuthorizeRequest => ({
  token: Card.CardToken.make(token),
  money: Money.makeUnsafe("EUR", amount),
  capture: true
})

const sale = order("25.00")
const saleKey = Idempotency.Key.make("order-1001")

const twoFailures = {
  name: "two transient failures",
  why: "a blip costs no sale",
  charges: 1,
  run: Effect.fnUntraced(function*(rows) {
    const { plan } = yield* GatewaySim
    yield* plan({ plan: "fail-before, drop-before" })
    const transaction = yield* chargeCustomer(sale, saleKey)
    const [row] = yield* rows
    return {
      happened: `refused, cut off, approved at request ${row?.requests}`,
      facts: [fact("requests", 3, row?.requests), ...isTheCharge(transaction, row)]
    }
  })
} satisfies Scenario<unknown>

const sameKey = {
  name: "the same key again",
  why: "a second click does not pay twice",
  charges: 1,
  continues: true,
  run: Effect.fnUntraced(function*(rows) {
    const [before] = yield* rows
    const transaction = yield* chargeCustomer(sale, saleKey)
    const [row] = yield* rows
    return {
      happened: `replayed, ${sent(before, row)}`,
      facts: [fact("requests", before?.requests, row?.requests), ...isTheCharge(transaction, row)]
    }
  })
} satisfies Scenario<unknown>

const anotherAmount = {
  name: "the same key, another amount",
  why: "no answer stands for another payment",
  charges: 1,
  continues: true,
  run: Effect.fnUntraced(function*(rows) {
    const [before] = yield* rows
    const error = yield* Effect.flip(chargeCustomer(order("2500.00"), saleKey))
    const [row] = yield* rows
    return {
      happened: `${error.reason._tag}, ${sent(before, row)}`,
      facts: [fact("error", "KeyConflict", error.reason._tag), fact("requests", before?.requests, row?.requests)]
    }
  })
} satisfies Scenario<unknown>

const duplicates = {
  name: "50 duplicates at once",
  why: "duplicates share the first charge",
  charges: 1,
  run: Effect.fnUntraced(function*(rows) {
    const { plan } = yield* GatewaySim
    // So that all of them come while the first is under way.
    yield* plan({ plan: "delay=200" })
    const charge = chargeCustomer(order("9.99"), Idempotency.Key.make("order-1002"))
    const transactions = yield* Effect.all(Array.from({ length: 50 }, () => charge), { concurrency: "unbounded" })
    const [row] = yield* rows
    const answers = new Set(transactions.map(({ id }) => id)).size
    return {
      happened: `${count(transactions.length, "call")}, ${count(row?.requests, "request")}, ${
        count(answers, "answer")
      }`,
      facts: [
        fact("requests", 1, row?.requests),
        ...transactions.flatMap((transaction) => isTheCharge(transaction, row))
      ]
    }
  })
} satisfies Scenario<unknown>

const decline = {
  name: "a decline",
  why: "a no is asked for once",
  charges: 0,
  run: Effect.fnUntraced(function*(rows) {
    const charge = Effect.flip(chargeCustomer(order("25.00", "tok_declined"), Idempotency.Key.make("order-1003")))
    const first = yield* charge
    const second = yield* charge
    const [row] = yield* rows
    return {
      happened: `${first.reason._tag}, the same again, ${count(row?.requests, "request")}`,
      facts: [
        fact("error", "CardDeclined", first.reason._tag),
        fact("the second error is the first", true, Equal.equals(first, second)),
        fact("requests", 1, row?.requests)
      ]
    }
  })
} satisfies Scenario<unknown>

const timeout = {
  name: "a timeout whose charge happened",
  why: "a lost answer is found, not paid again",
  charges: 1,
  run: Effect.fnUntraced(function*(rows) {
    const { plan } = yield* GatewaySim
    yield* plan({ plan: "hang-after;times=3" })
    const transaction = yield* chargeCustomer(order("40.00"), Idempotency.Key.make("order-1004")).pipe(
      Effect.provideService(Patience, { attempt: Duration.millis(500), lease: Duration.seconds(30) })
    )
    const [row] = yield* rows
    return {
      happened: `${count(row?.requests, "timeout")}, then ${count(row?.lookups, "look-up")}`,
      facts: [fact("look-ups", 1, row?.lookups), ...isTheCharge(transaction, row)]
    }
  })
} satisfies Scenario<unknown>

// Long enough for a busy machine to renew it, short enough to wait for.
const lease = Duration.seconds(4)

const killed = (place: Place) => ({
  name: "SIGKILL between charge and save",
  why: "a crash neither loses nor repeats it",
  charges: 1,
  run: Effect.fnUntraced(function*(rows) {
    const { baseUrl, plan } = yield* GatewaySim
    const key = Idempotency.Key.make("order-1005")
    const state = Effect.map(Idempotency.inspect({ scope, key }), (record) => record?.state)
    const start = Worker.start({
      gatewayUrl: baseUrl,
      ...place,
      key,
      request: order("60.00"),
      attemptMillis: 60_000,
      leaseMillis: Duration.toMillis(lease)
    })
    // The gateway charges and keeps its answer back: the process is between charge and save, and stays there.
    yield* plan({ plan: "hang-after" })
    const first = yield* start
    yield* until(rows, ({ length }) => length > 0)
    const end = yield* first.end("SIGKILL")
    const afterKill = yield* state
    const { transaction } = yield* Effect.flatMap(start, ({ answer }) => answer)
    const [row] = yield* rows
    return {
      happened: `restarted, ${count(row?.requests, "request")}, ${count(row?.lookups, "look-up")}`,
      facts: [
        fact("end of the first process", "SIGKILL", end),
        fact("record after it", "Claimed", afterKill),
        fact("record at the end", "Succeeded", yield* state),
        fact("requests", 1, row?.requests),
        fact("look-ups", 1, row?.lookups),
        ...isTheCharge(transaction, row)
      ]
    }
  }, Effect.scoped)
} satisfies Scenario<unknown>)

/** `place` is where the database is that `layer` of `charge.ts` keeps its records in. */
export const scenarios = (place: Place) => [
  twoFailures,
  sameKey,
  anotherAmount,
  duplicates,
  decline,
  timeout,
  killed(place)
]

// The answer is the charge that the ledger holds, and all of it was taken.
const isTheCharge = (transaction: PaymentGateway.Transaction, row: Row | undefined) => [
  fact("transaction", row?.transactionId, transaction.id),
  fact("status", "captured", transaction.status),
  fact("amount", row?.amountMinor, String(Money.toMinorUnitsUnsafe(transaction.money)))
]
