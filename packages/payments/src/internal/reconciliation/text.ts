/** What a report says in words, and its form as JSON. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Money from "../../Money.ts"
import type { Discrepancy, Json, JsonDiscrepancy, JsonRecord, Report, TransactionRecord } from "../../Reconciliation.ts"

/** All kinds in the order of reports, each with its name on the wire. */
export const names = {
  MissingInternal: "missing_internal",
  MissingGateway: "missing_gateway",
  AmountMismatch: "amount_mismatch",
  CurrencyMismatch: "currency_mismatch",
  StatusMismatch: "status_mismatch",
  Duplicate: "duplicate",
  FeeMismatch: "fee_mismatch",
  DateDrift: "date_drift",
  OrphanRefund: "orphan_refund"
} as const

export const kinds = Object.keys(names) as ReadonlyArray<keyof typeof names>

export const summary = ({ byKind, discrepancies, matched, total }: Report): string => {
  const counts = kinds.flatMap((kind) => byKind[kind] === undefined ? [] : [`${byKind[kind]} ${names[kind]}`])
  const head = `${matched}/${total} matched, ${discrepancies.length} discrepancies`
  return counts.length === 0 ? head : `${head}: ${counts.join(", ")}`
}

export const detail = (discrepancy: Discrepancy): string => {
  switch (discrepancy._tag) {
    case "MissingInternal":
      return `the gateway has ${short(discrepancy.gateway)}, internal has nothing`
    case "MissingGateway":
      return `internal has ${short(discrepancy.internal)}, the gateway has nothing`
    case "AmountMismatch":
      return `${versus(discrepancy, ({ money }) => Money.format(money))}, difference ${
        Money.format(discrepancy.difference)
      }`
    case "CurrencyMismatch":
      return versus(discrepancy, ({ money }) => Money.format(money))
    case "StatusMismatch":
      return versus(discrepancy, stage)
    case "Duplicate":
      return `copy ${discrepancy.copy} of ${discrepancy.copies} on the side ${discrepancy.side}: ${
        short(discrepancy.record)
      }`
    case "FeeMismatch":
      return versus(discrepancy, ({ fee }) => fee === undefined ? "no fee" : `fee ${Money.format(fee)}`)
    case "DateDrift":
      return drift(discrepancy)
    case "OrphanRefund":
      return orphan(discrepancy)
  }
}

const versus = (
  { gateway, internal }: { readonly internal: TransactionRecord; readonly gateway: TransactionRecord },
  show: (record: TransactionRecord) => string
): string => `internal ${show(internal)}, gateway ${show(gateway)}`

const stage = ({ kind, status }: TransactionRecord): string => kind === undefined ? status : `${kind} ${status}`

const short = (record: TransactionRecord): string =>
  `${Money.format(record.money)} ${stage(record)} at ${DateTime.formatIso(record.occurredAt)}`

const drift = (discrepancy: Extract<Discrepancy, { readonly _tag: "DateDrift" }>): string => {
  const apart = Duration.format(Duration.abs(discrepancy.drift))
  return `${versus(discrepancy, ({ occurredAt }) => DateTime.formatIso(occurredAt))}, ${apart} apart`
}

const orphan = ({ gateway, internal }: Extract<Discrepancy, { readonly _tag: "OrphanRefund" }>): string => {
  const [ours, theirs] = [internal?.parent, gateway?.parent]
  if (ours === undefined && theirs === undefined) return "the refund names no charge"
  return ours === undefined || theirs === undefined || ours === theirs
    ? `there is no charge ${ours ?? theirs} on either side`
    : `internal names the charge ${ours}, gateway the charge ${theirs}: there is no charge that both name`
}

export const toJson = (report: Report): Json => ({
  matched: report.matched,
  total: report.total,
  discrepancies: report.discrepancies.map(toJsonDiscrepancy),
  byKind: Object.fromEntries(
    kinds.flatMap((kind) => report.byKind[kind] === undefined ? [] : [[names[kind], report.byKind[kind]]])
  )
})

export const toJsonDiscrepancy = (discrepancy: Discrepancy): JsonDiscrepancy => {
  const { gateway, internal } = recordsOf(discrepancy)
  return {
    kind: names[discrepancy._tag],
    transactionId: discrepancy.transactionId,
    internal: internal === undefined ? null : toJsonRecord(internal),
    gateway: gateway === undefined ? null : toJsonRecord(gateway),
    detail: detail(discrepancy)
  }
}

const recordsOf = (discrepancy: Discrepancy): {
  readonly internal?: TransactionRecord | undefined
  readonly gateway?: TransactionRecord | undefined
} => discrepancy._tag === "Duplicate" ? { [discrepancy.side]: discrepancy.record } : discrepancy

const toJsonRecord = (record: TransactionRecord): JsonRecord => ({
  transactionId: record.transactionId,
  amount: Money.formatAmount(record.money),
  currency: record.money.currency,
  status: record.status,
  occurredAt: DateTime.formatIso(record.occurredAt),
  ...record.fee === undefined ? {} : { fee: Money.formatAmount(record.fee), feeCurrency: record.fee.currency },
  ...record.kind === undefined ? {} : { kind: record.kind },
  ...record.parent === undefined ? {} : { parent: record.parent }
})
