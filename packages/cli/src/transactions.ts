/**
 * Turns the rows of a CSV file into transactions: by the names in its header, in whatever order, each cell checked.
 *
 * @internal
 */
import * as Money from "effect-payments/Money"
import type { TransactionRecord } from "effect-payments/Reconciliation"
import * as DateTime from "effect/DateTime"
import * as Result from "effect/Result"
import { type Fault, makeReader, type Row, text } from "./csv.ts"
import * as instant from "./instant.ts"

const required = ["transaction_id", "amount", "currency", "status", "occurred_at"] as const
const optional = ["fee", "kind", "parent"] as const

/**
 * The columns that are read; all others are ignored.
 *
 * @internal
 */
export type Column = (typeof required)[number] | (typeof optional)[number]

/**
 * What is wrong with a file, and with which column if one is to blame.
 *
 * @internal
 */
export interface Problem extends Fault {
  readonly name?: string
}

/**
 * Reads a file from its chunks. `records` grows as they come; `end` says what is wrong with the file as a whole.
 *
 * @internal
 */
export interface Transactions {
  readonly push: (chunk: Uint8Array) => Problem | undefined
  readonly end: () => Problem | undefined
  readonly records: ReadonlyArray<TransactionRecord>
  /** Whether the header has the column. */
  readonly has: (column: Column) => boolean
}

interface State {
  readonly rowsMax: number
  readonly records: Array<TransactionRecord>
  /** One text for each word that stands in many rows. */
  readonly words: Map<string, string>
  header: Header | undefined
}

interface Header {
  readonly names: ReadonlyArray<string>
  readonly positions: { readonly [C in Column]: number }
  readonly hasExtras: boolean
}

/**
 * @internal
 */
export const makeTransactions = (rowsMax: number): Transactions => {
  const state: State = { rowsMax, records: [], words: new Map(), header: undefined }
  const reader = makeReader((row) => {
    if (state.header !== undefined) return readRow(state, state.header, row)
    const header = readHeader(row)
    if ("what" in header) return header
    state.header = header
    return undefined
  })
  const name = (fault: Fault | undefined): Problem | undefined => {
    const column = fault === undefined ? undefined : state.header?.names[fault.column - 1]
    return fault === undefined || "name" in fault || column === undefined ? fault : { ...fault, name: column }
  }
  return {
    push: (chunk) => name(reader.push(chunk)),
    end: () =>
      name(reader.end()) ??
        (state.header === undefined ? { row: 1, line: 1, column: 1, what: noHeader } : undefined),
    records: state.records,
    has: (column) => (state.header?.positions[column] ?? -1) >= 0
  }
}

const noHeader = `there is no header; the first row must be ${required.join(",")}`

const readHeader = (row: Row): Header | Problem => {
  const names: Array<string> = []
  for (let column = 0; column < row.columns; column++) {
    const name = text(row, column)
    if (name === undefined) return problem(row, column, undefined, notUtf8)
    names.push(name)
  }
  const positions = Object.fromEntries([...required, ...optional].map((name) => [name, names.indexOf(name)]))
  for (const name of [...required, ...optional]) {
    const again = names.indexOf(name, names.indexOf(name) + 1)
    if (names.includes(name) && again !== -1) return problem(row, again, name, "the header has it twice")
  }
  const missing = required.filter((name) => !names.includes(name))
  if (missing.length > 0) return problem(row, 0, missing.join(", "), `missing in the header${hint(names)}`)
  return {
    names,
    positions: positions as Header["positions"],
    hasExtras: optional.some((name) => names.includes(name))
  }
}

const hint = (names: ReadonlyArray<string>): string => {
  const [only = ""] = names
  if (/^sep=/i.test(only)) return ": the first row must be the header; take out the one that begins with sep="
  if (names.length === 1 && /[;\t|]/.test(only)) return ": the columns must be separated by commas"
  if (!required.some((name) => names.includes(name.toLowerCase()))) return ": the first row must name the columns"
  const close = names.find((name) =>
    !(required as ReadonlyArray<string>).includes(name) &&
    (required as ReadonlyArray<string>).includes(name.trim().toLowerCase())
  )
  return close === undefined ? "" : `: ${JSON.stringify(close)} is not written like it`
}

const problem = (row: Row, column: number, name: string | undefined, what: string): Problem => ({
  row: row.row,
  line: row.line,
  column: column + 1,
  what,
  ...name === undefined ? {} : { name }
})

const notUtf8 = "not UTF-8; save the file as UTF-8"

const readRow = (state: State, { hasExtras, names, positions }: Header, row: Row): Problem | undefined => {
  if (row.columns !== names.length) return wrongLength(row, names)
  if (state.records.length === state.rowsMax) {
    return problem(row, 0, undefined, `more than ${state.rowsMax} rows; --max-rows allows more`)
  }
  const cell = (column: Column): string | undefined => {
    const position = positions[column]
    return position === -1 ? "" : text(row, position)
  }
  const fail = (column: Column, what: string) => problem(row, positions[column], column, what)

  const transactionId = cell("transaction_id")
  const wrongId = faultOf(transactionId, idMax)
  if (transactionId === undefined || wrongId !== undefined) return fail("transaction_id", wrongId ?? notUtf8)
  const amount = cell("amount")
  if (amount === undefined) return fail("amount", notUtf8)
  const currency = cell("currency")
  if (currency === undefined) return fail("currency", notUtf8)
  const money = Money.parse(word(state, currency) as Money.Currency, amount)
  if (Result.isFailure(money)) {
    return fail(isCurrencyFault(money.failure) ? "currency" : "amount", `${money.failure.message}${advice(currency)}`)
  }
  const status = cell("status")
  const wrongStatus = faultOf(status, statusMax)
  if (status === undefined || wrongStatus !== undefined) return fail("status", wrongStatus ?? notUtf8)
  const at = instant.parse(cell("occurred_at") ?? "")
  if (typeof at === "string") return fail("occurred_at", at)
  const extras = hasExtras ? readExtras(cell, fail, money.success) : undefined
  if (extras !== undefined && "what" in extras) return extras
  const record = {
    transactionId,
    money: money.success,
    status: word(state, status),
    occurredAt: DateTime.makeUnsafe(at)
  }
  state.records.push(extras === undefined ? record : { ...record, ...extras })
  return undefined
}

const wrongLength = (row: Row, names: ReadonlyArray<string>): Problem => {
  const column = Math.min(row.columns, names.length)
  return problem(row, column, names[column], `the row has ${row.columns} fields and the header ${names.length}`)
}

type Extras = Pick<TransactionRecord, "fee" | "kind" | "parent">

/** Cells that may be empty, and columns that may not be there. */
const readExtras = (
  cell: (column: Column) => string | undefined,
  fail: (column: Column, what: string) => Problem,
  money: Money.Money
): Extras | Problem | undefined => {
  const feeText = cell("fee")
  const kind = cell("kind")
  const parent = cell("parent")
  if (feeText === "" && kind === "" && parent === "") return undefined
  if (feeText === undefined) return fail("fee", notUtf8)
  const fee = feeText === "" ? undefined : Money.parse(money.currency, feeText)
  if (fee !== undefined && Result.isFailure(fee)) return fail("fee", fee.failure.message)
  if (kind !== "" && kind !== "charge" && kind !== "refund") return fail("kind", "neither charge nor refund nor empty")
  const wrongParent = parent === "" ? undefined : faultOf(parent, idMax)
  if (parent === undefined || wrongParent !== undefined) return fail("parent", wrongParent ?? notUtf8)
  return {
    ...fee === undefined ? {} : { fee: fee.success },
    ...kind === "" ? {} : { kind },
    ...parent === "" ? {} : { parent }
  }
}

const advice = (currency: string): string => /^[a-z]{3}$/.test(currency) ? "; write it in capitals" : ""

const isCurrencyFault = ({ reason }: { readonly reason: { readonly _tag: string } }): boolean =>
  reason._tag === "UnknownCurrency" || reason._tag === "NoMinorUnit"

const idMax = 255
const statusMax = 64

/** Ids and statuses are compared exactly: what a person cannot see in them would be found as a discrepancy. */
const faultOf = (text: string | undefined, lengthMax: number): string | undefined => {
  if (text === undefined) return notUtf8
  if (text === "") return "empty; each row needs one"
  if (text.length > lengthMax) return `longer than ${lengthMax} characters`
  if (!isPlain(text)) {
    if (text.trim() !== text) return "whitespace at its start or end; take it out"
    if (/[\p{Cc}\p{Cf}]/u.test(text)) return "a character that cannot be seen; take it out"
  }
  return undefined
}

/** Printable ASCII without a space: nearly all of them. */
const isPlain = (text: string): boolean => {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code <= 32 || code >= 127) return false
  }
  return true
}

const wordsMax = 1000

const word = ({ words }: State, text: string): string => {
  const known = words.get(text)
  if (known !== undefined) return known
  if (words.size < wordsMax) words.set(text, text)
  return text
}
