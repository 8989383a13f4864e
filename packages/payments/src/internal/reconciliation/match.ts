/**
 * Brings the records of both sides together by id and says what came of each id.
 *
 * An id is settled from its own records and a question about other ids ("is there a charge?"), so ids can be settled in
 * any order, or a part of them at a time.
 */
import * as Duration from "effect/Duration"
import * as Money from "../../Money.ts"
import type { Discrepancy, Kind, Policy, Report, Side, TransactionRecord } from "../../Reconciliation.ts"
import * as accounts from "./accounts.ts"
import { byContent, byText, closest, compare, Difference, driftMillis, makeRules, type Rules } from "./compare.ts"
import { kinds } from "./text.ts"

/**
 * The records by id. Each id has a number, under which the first record of each side stands; further ones are copies,
 * which nearly no id has. Two arrays and a map of numbers take a third of the memory of a map of objects.
 */
interface Records {
  readonly numbers: Map<string, number>
  readonly internal: Array<TransactionRecord | undefined>
  readonly gateway: Array<TransactionRecord | undefined>
  readonly copies: Map<number, Copies>
}

type Copies = { readonly [S in Side]: Array<TransactionRecord> }

interface Settlement {
  readonly rules: Rules
  readonly isCharge: (id: string) => boolean
  readonly orphanRefunds: boolean
  readonly ledger: accounts.Ledger
  readonly found: Array<Discrepancy>
  matched: number
  total: number
}

export const reconcile = (
  internal: Iterable<TransactionRecord>,
  gateway: Iterable<TransactionRecord>,
  policy: Policy
): Report => {
  const ledger = accounts.make()
  const records: Records = { numbers: new Map(), internal: [], gateway: [], copies: new Map() }
  for (const record of internal) take(records, ledger, "internal", record)
  for (const record of gateway) take(records, ledger, "gateway", record)
  const settlement: Settlement = {
    rules: makeRules(policy),
    isCharge: (id) => policy.knownCharges?.has(id) === true || holdsCharge(records, id),
    orphanRefunds: policy.orphanRefunds ?? true,
    ledger,
    found: [],
    matched: 0,
    total: 0
  }
  for (let number = 0; number < records.internal.length; number++) settle(settlement, records, number)
  return makeReport(settlement)
}

const take = (records: Records, ledger: accounts.Ledger, side: Side, record: TransactionRecord): void => {
  accounts.add(ledger, side, "read", record.money)
  const number = records.numbers.get(record.transactionId)
  if (number === undefined) {
    records.numbers.set(record.transactionId, records.internal.length)
    records.internal.push(side === "internal" ? record : undefined)
    records.gateway.push(side === "gateway" ? record : undefined)
  } else if (records[side][number] === undefined) records[side][number] = record
  else {
    const copies = records.copies.get(number) ?? { internal: [], gateway: [] }
    copies[side].push(record)
    records.copies.set(number, copies)
  }
}

const holdsCharge = ({ copies, gateway, internal, numbers }: Records, id: string): boolean => {
  const number = numbers.get(id)
  if (number === undefined) return false
  if (isCharge(internal[number]) || isCharge(gateway[number])) return true
  const more = copies.get(number)
  return more !== undefined && (more.internal.some(isCharge) || more.gateway.some(isCharge))
}

const isCharge = (record: TransactionRecord | undefined): boolean => record !== undefined && record.kind !== "refund"

const settle = (settlement: Settlement, records: Records, number: number): void => {
  const internal = records.internal[number]
  const gateway = records.gateway[number]
  const id = (internal ?? gateway)?.transactionId ?? ""
  const copies = records.copies.get(number)
  if (copies === undefined) return settleItem(settlement, id, internal, gateway)
  const internals = sorted(internal, copies.internal)
  const gateways = sorted(gateway, copies.gateway)
  const [i, j] = closest(internals, gateways, settlement.rules)
  settleItem(settlement, id, internals[i], gateways[j])
  settleCopies(settlement, id, "internal", internals, i)
  settleCopies(settlement, id, "gateway", gateways, j)
}

const sorted = (
  first: TransactionRecord | undefined,
  more: ReadonlyArray<TransactionRecord>
): ReadonlyArray<TransactionRecord> => first === undefined ? [] : [first, ...more].sort(byContent)

/** A pair, or a record that stands alone. */
const settleItem = (
  settlement: Settlement,
  id: string,
  internal: TransactionRecord | undefined,
  gateway: TransactionRecord | undefined
): void => {
  const before = settlement.found.length
  if (internal !== undefined && gateway !== undefined) findDifferences(settlement, id, internal, gateway)
  else if (internal !== undefined) settlement.found.push({ _tag: "MissingGateway", transactionId: id, internal })
  else if (gateway !== undefined) settlement.found.push({ _tag: "MissingInternal", transactionId: id, gateway })
  if (settlement.orphanRefunds) findOrphan(settlement, id, internal, gateway)
  const agrees = settlement.found.length === before
  const state = agrees ? "matched" : "reported"
  if (internal !== undefined) accounts.add(settlement.ledger, "internal", state, internal.money)
  if (gateway !== undefined) accounts.add(settlement.ledger, "gateway", state, gateway.money)
  if (agrees) settlement.matched++
  settlement.total++
}

const findDifferences = (
  { found, rules }: Settlement,
  transactionId: string,
  internal: TransactionRecord,
  gateway: TransactionRecord
): void => {
  const differences = compare(internal, gateway, rules)
  if (differences === 0) return
  const pair = { transactionId, internal, gateway }
  if ((differences & Difference.amount) !== 0) {
    const difference = Money.subtract(gateway.money as Money.Money<"USD">, internal.money as Money.Money<"USD">)
    found.push({ _tag: "AmountMismatch", ...pair, difference: difference as Money.Money })
  }
  if ((differences & Difference.currency) !== 0) found.push({ _tag: "CurrencyMismatch", ...pair })
  if ((differences & Difference.status) !== 0) found.push({ _tag: "StatusMismatch", ...pair })
  if ((differences & Difference.fee) !== 0) found.push({ _tag: "FeeMismatch", ...pair })
  if ((differences & Difference.date) !== 0) {
    found.push({ _tag: "DateDrift", ...pair, drift: Duration.millis(driftMillis(internal, gateway)) })
  }
}

const findOrphan = (
  { found, isCharge }: Settlement,
  transactionId: string,
  internal: TransactionRecord | undefined,
  gateway: TransactionRecord | undefined
): void => {
  if (internal?.kind !== "refund" && gateway?.kind !== "refund") return
  const chargeOf = (record: TransactionRecord | undefined): string | undefined => {
    const parent = record?.parent
    return parent !== undefined && parent !== transactionId && isCharge(parent) ? parent : undefined
  }
  const ours = chargeOf(internal)
  const theirs = chargeOf(gateway)
  if ((ours ?? theirs) !== undefined && (ours ?? theirs) === (theirs ?? ours)) return
  found.push({ _tag: "OrphanRefund", transactionId, internal, gateway })
}

/** All copies of a side but the one that was paired. */
const settleCopies = (
  settlement: Settlement,
  transactionId: string,
  side: Side,
  records: ReadonlyArray<TransactionRecord>,
  paired: number
): void => {
  let copy = 1
  for (const [index, record] of records.entries()) {
    if (index === paired) continue
    settlement.found.push({ _tag: "Duplicate", transactionId, side, record, copy: ++copy, copies: records.length })
    accounts.add(settlement.ledger, side, "reported", record.money)
    settlement.total++
  }
}

const makeReport = ({ found, ledger, matched, total }: Settlement): Report => {
  // Within an id they stand in the order of the kinds, copies last: the sort keeps it.
  found.sort((a, b) => byText(a.transactionId, b.transactionId))
  const counts = new Map<Kind, number>()
  for (const { _tag } of found) counts.set(_tag, (counts.get(_tag) ?? 0) + 1)
  const byKind = Object.fromEntries(kinds.flatMap((kind) => {
    const count = counts.get(kind)
    return count === undefined ? [] : [[kind, count]]
  }))
  return { matched, total, discrepancies: found, byKind, accounts: accounts.list(ledger) }
}
