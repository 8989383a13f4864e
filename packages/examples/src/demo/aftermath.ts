/**
 * What comes after a checkout and can go wrong too: webhooks, the reconciliation of the day, the logs.
 */
import { DateTime, Effect, Logger } from "effect"
import { Reconciliation, Redaction, Signature } from "effect-payments"
import { SqlClient } from "effect/sql"
import { Ledger, toRecord } from "../checkout/Ledger.ts"
import { WebhookTarget } from "../checkout/server.ts"
import { scheme } from "../checkout/webhooks.ts"
import { GatewaySim } from "../gateway-sim/start.ts"
import { orders, place } from "./order.ts"
import { count, fact, type Scenario, until } from "./Scenario.ts"

const webhooks = {
  name: "webhooks: new, again, forged",
  why: "nobody forges a payment",
  charges: 1,
  run: Effect.fnUntraced(function*(rows) {
    const { ledger, redeliverWebhook, webhookStats } = yield* GatewaySim
    const { all } = yield* Ledger
    const { _tag } = yield* place(orders.announced)
    const ids = (yield* rows).map(({ transactionId }) => transactionId)
    const { operations } = yield* ledger
    // Those of the orders before it, too: what is booked from here on was booked by a duplicate or a forged event.
    const before = yield* until(webhookStats, ({ delivered }) => delivered >= operations.length)
    const booked = yield* all
    const own = booked.filter(({ record }) => ids.includes(record.transactionId))
    yield* redeliverWebhook(own.at(-1)?.eventId ?? "")
    const after = yield* until(webhookStats, ({ delivered }) => delivered > before.delivered)
    const status = yield* sendForged
    return {
      happened: `${own.length} booked, ${
        count(after.delivered - before.delivered, "duplicate")
      }, ${status} for the forged`,
      facts: [
        fact("end", "Completed", _tag),
        fact("transactions of the order", 2, ids.length),
        fact("booked of them", 2, own.length),
        fact("duplicates acknowledged", 1, after.delivered - before.delivered),
        fact("deliveries given up", 0, after.givenUp),
        fact("answer to the forged event", 400, status),
        fact("booked at the end", booked.length, (yield* all).length)
      ]
    }
  })
} satisfies Scenario<unknown>

/** An event whose amount was changed after it was signed. Answers the status of the shop. */
const sendForged = Effect.gen(function*() {
  const { secret, url } = yield* WebhookTarget
  const event = (amountMinor: string) =>
    JSON.stringify({
      id: "evt_forged",
      type: "capture.succeeded",
      created: 1,
      data: { key: "k", kind: "capture", status: "captured", transactionId: "cap_f", amountMinor, currency: "EUR" }
    })
  const headers = yield* Signature.sign({ scheme, secrets: [secret], body: new TextEncoder().encode(event("1")) })
  return yield* Effect.promise(async (signal) => {
    const response = await fetch(url, { method: "POST", headers, body: event("999900"), signal })
    return response.status
  })
})

const reconciled = {
  name: "the reconciliation of the day",
  why: "a gap is found, and somebody called",
  charges: 0,
  run: Effect.fnUntraced(function*() {
    const { ledger } = yield* GatewaySim
    const { all } = yield* Ledger
    const now = yield* DateTime.now
    const reported = (yield* ledger).operations.flatMap((operation) => toRecord(operation, now) ?? [])
    const booked = yield* until(all, ({ length }) => length >= reported.length)
    const clean = Reconciliation.reconcile(booked.map(({ record }) => record), reported)
    yield* drift(booked.map(({ record }) => record.transactionId))
    const report = Reconciliation.reconcile((yield* all).map(({ record }) => record), reported)
    const paged: Array<string> = []
    const page = ({ transactionId }: Reconciliation.Discrepancy) => Effect.sync(() => paged.push(transactionId))
    const { failures } = yield* Reconciliation.handle(report, [
      Reconciliation.on("MissingGateway", page),
      // In a shop: the event is taken from the provider's archive and handled again.
      Reconciliation.on("MissingInternal", () => Effect.void)
    ])
    const kinds = report.discrepancies.map(({ _tag }) => _tag).sort().join(", ")
    return {
      happened: `${report.matched}/${report.total} matched, ${report.discrepancies.length} differ, ${
        count(paged.length, "page")
      }`,
      facts: [
        fact("discrepancies before the drift", 0, clean.discrepancies.length),
        fact("discrepancies", "AmountMismatch, MissingGateway, MissingInternal", kinds),
        fact("matched", reported.length - 2, report.matched),
        fact("paged for", "cap_never_happened", paged.join()),
        fact("handlers that failed", 0, failures.length),
        fact("nothing unaccounted for", true, Reconciliation.isConserved(report))
      ]
    }
  })
} satisfies Scenario<unknown>

/** A webhook that got lost, an amount that somebody corrected by hand, a capture that never happened. */
const drift = Effect.fnUntraced(function*([lost, corrected]: ReadonlyArray<string>) {
  const sql = yield* SqlClient.SqlClient
  const at = DateTime.formatIso(yield* DateTime.now)
  yield* sql`DELETE FROM shop_ledger WHERE transaction_id = ${lost ?? ""}`
  yield* sql`UPDATE shop_ledger SET amount_minor = '1' WHERE transaction_id = ${corrected ?? ""}`
  yield* sql`INSERT INTO shop_ledger
    (transaction_id, event_id, kind, status, amount_minor, currency, occurred_at)
    VALUES ('cap_never_happened', 'evt_never_sent', 'capture', 'captured', '5000', 'EUR', ${at})`
})

const scrubbed = {
  name: "a card number in a log line",
  why: "a log is no vault",
  charges: 0,
  run: Effect.fnUntraced(function*() {
    const lines: Array<string> = []
    const collect = Logger.map(Logger.formatLogFmt, (line) => void lines.push(line))
    yield* Effect.logInfo("note: card 4111-1111-1111-1111 cvv: 999 was used").pipe(
      Effect.annotateLogs("pan", "5500005555555559"),
      Effect.provide(Redaction.layer({ loggers: [collect] }))
    )
    const line = lines.join("")
    return {
      happened: /card .* cvv: \S+/.exec(line)?.[0] ?? line,
      facts: [
        fact("lines", 1, lines.length),
        fact("card", true, line.includes("card [PAN ****1111] cvv: [CVV] was used")),
        fact("digits that must not be there", false, /4111|999|55000055/.test(line.replaceAll("****1111", "")))
      ]
    }
  })
} satisfies Scenario<unknown>

export const aftermath = [webhooks, reconciled, scrubbed] as const
