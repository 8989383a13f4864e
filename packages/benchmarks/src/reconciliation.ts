// What it costs to reconcile two files of 100,000 rows: from their bytes to the report, beside the loop that everybody
// writes (split, a map of objects, numbers for amounts) and splitting alone, which is the floor of all that read text in
// JavaScript. And the same without the reading.
import { Reconciliation } from "effect-payments"
import { makeTransactions } from "../../cli/src/transactions.ts"
import { measure } from "./measure.ts"
import { atMost, makeReport, type Report } from "./report.ts"

const count = 100_000
const header = "transaction_id,amount,currency,status,occurred_at"
const currencies = ["USD", "EUR", "GBP", "JPY"] as const
const statuses = ["captured", "refunded", "authorized"] as const

/** Looks random, and the same in every run. */
const scatter = (i: number): number => Math.imul(i + 1, 2_654_435_761) >>> 0

const rowOf = (i: number, change = 0, status?: string): string => {
  const n = scatter(i)
  const currency = currencies[n % 4] ?? "USD"
  const minor = 100 + (n % 1_000_000) + change
  const amount = currency === "JPY" ? String(minor) : (minor / 100).toFixed(2)
  const at = new Date(1_769_860_000_000 + (n % 80_000) * 1000).toISOString()
  return `txn_${n.toString(16).padStart(8, "0")}_${i},${amount},${currency},${status ?? statuses[n % 3]},${at}`
}

/** One row in a thousand of each of four kinds; the gateway's are in another order. */
const makeFiles = () => {
  const internal = [header]
  const gateway = [header]
  const order = Array.from({ length: count }, (_, i) => i).sort((a, b) => scatter(a) - scatter(b))
  for (let i = 0; i < count; i++) if (i % 1000 !== 1) internal.push(rowOf(i))
  for (const i of order) {
    const kind = i % 1000
    if (kind !== 2) gateway.push(rowOf(i, kind === 3 ? 1 : 0, kind === 4 ? "voided" : undefined))
  }
  return { internal: Buffer.from(internal.join("\n")), gateway: Buffer.from(gateway.join("\n")) }
}

const chunkBytes = 262_144

const readOurs = (file: Buffer): ReadonlyArray<Reconciliation.TransactionRecord> => {
  const transactions = makeTransactions(count)
  for (let at = 0; at < file.length; at += chunkBytes) transactions.push(file.subarray(at, at + chunkBytes))
  transactions.end()
  return transactions.records
}

interface Naive {
  readonly id: string
  readonly amount: number
  readonly currency: string
  readonly status: string
  readonly at: number
}

const split = (file: Buffer): ReadonlyArray<ReadonlyArray<string>> =>
  file.toString("utf8").split("\n").map((line) => line.split(","))

const readNaive = (file: Buffer): ReadonlyArray<Naive> =>
  split(file).slice(1).map(([id = "", amount = "", currency = "", status = "", at = ""]) => ({
    id,
    amount: Number(amount),
    currency,
    status,
    at: Date.parse(at)
  }))

/** An id seen twice is overwritten, a currency goes under amount, and cents are floating. */
const reconcileNaive = (internal: ReadonlyArray<Naive>, gateway: ReadonlyArray<Naive>) => {
  const ours = new Map(internal.map((x) => [x.id, x]))
  const theirs = new Map(gateway.map((x) => [x.id, x]))
  const found: Array<{ readonly kind: string; readonly id: string }> = []
  let matched = 0
  for (const id of new Set([...ours.keys(), ...theirs.keys()])) {
    const a = ours.get(id)
    const b = theirs.get(id)
    if (a === undefined) found.push({ kind: "missing_internal", id })
    else if (b === undefined) found.push({ kind: "missing_gateway", id })
    else if (a.amount !== b.amount || a.currency !== b.currency) found.push({ kind: "amount_mismatch", id })
    else if (a.status !== b.status) found.push({ kind: "status_mismatch", id })
    else matched++
  }
  return { matched, found }
}

const rows = 2 * count

export const run = async (): Promise<Report> => {
  const files = makeFiles()
  const ours = { internal: readOurs(files.internal), gateway: readOurs(files.gateway) }
  const naive = { internal: readNaive(files.internal), gateway: readNaive(files.gateway) }
  const agree = Reconciliation.reconcile(ours.internal, ours.gateway).discrepancies.length ===
      reconcileNaive(naive.internal, naive.gateway).found.length && ours.internal.length === count - count / 1000
  if (!agree) throw new Error("the contenders do not find the same")

  const { nanoseconds, ratio } = await measure({
    "files, payctl": {
      operations: rows,
      run: () => Reconciliation.reconcile(readOurs(files.internal), readOurs(files.gateway))
    },
    "files, split and a map of objects": {
      operations: rows,
      run: () => reconcileNaive(readNaive(files.internal), readNaive(files.gateway))
    },
    "files, split alone": { operations: rows, run: () => [split(files.internal), split(files.gateway)] },
    "records, reconcile": {
      operations: rows,
      run: () => Reconciliation.reconcile(ours.internal, ours.gateway)
    },
    "records, a map of objects": {
      operations: rows,
      run: () => reconcileNaive(naive.internal, naive.gateway)
    }
  }, { rounds: 7, iterations: 1 })

  type Name = keyof typeof nanoseconds
  const row = (name: Name, to?: Name) => ({
    name,
    nanoseconds: nanoseconds[name],
    perSecond: 1e9 / nanoseconds[name],
    ...to === undefined ? {} : { ratio: ratio(name, to), note: `to ${to}` }
  })
  return makeReport(
    "reconciliation, a call is a row of 100,000 x 100,000",
    [
      row("files, payctl", "files, split and a map of objects"),
      row("files, split and a map of objects"),
      row("files, split alone", "files, split and a map of objects"),
      row("records, reconcile", "records, a map of objects"),
      row("records, a map of objects")
    ],
    [
      atMost(
        "files: payctl to split and a map of objects",
        ratio("files, payctl", "files, split and a map of objects"),
        1.5
      ),
      atMost("records: reconcile to a map of objects", ratio("records, reconcile", "records, a map of objects"), 1)
    ]
  )
}
