/** Scores the scrubber on a corpus of lines: what it lets through, and what it takes that it should leave. */
import { Redaction } from "effect-payments"
import { Buffer } from "node:buffer"
import { readFileSync } from "node:fs"
import { inspect } from "node:util"

export interface Row {
  readonly id: number
  /** `tp`: holds card data; `tn`: holds none. */
  readonly label: "tp" | "tn"
  readonly cat: string
  readonly sep?: string
  readonly text: string | null
  readonly pan?: string | null
  /** A security code or PIN block. */
  readonly secret?: string
  /** A value to build in memory around the card number. */
  readonly shape?: string
  /** Looks like a card and like something else: not counted. */
  readonly ambiguous?: boolean
}

export interface Score {
  readonly category: string
  readonly rows: number
  /** Positives that were caught, or negatives that were left alone. */
  readonly right: number
  readonly wrong: ReadonlyArray<Row>
}

export interface Report {
  readonly recall: number
  readonly precision: number
  readonly positives: ReadonlyArray<Score>
  readonly negatives: ReadonlyArray<Score>
}

export const readCorpus = (file: string | URL): ReadonlyArray<Row> =>
  readFileSync(file, "utf8").split("\n").filter((line) => line !== "").map((line) => JSON.parse(line) as Row)

export const score = (rows: ReadonlyArray<Row>): Report => {
  const counted = rows.filter((row) => row.ambiguous !== true)
  const positives = scoreBy(counted.filter((row) => row.label === "tp"), (row) => !leaks(row))
  const negatives = scoreBy(counted.filter((row) => row.label === "tn"), (row) => scrubbed(row) === row.text)
  const caught = sum(positives, ({ right }) => right)
  const altered = sum(negatives, ({ wrong }) => wrong.length)
  return {
    recall: caught / sum(positives, ({ rows }) => rows),
    precision: caught / (caught + altered),
    positives,
    negatives
  }
}

const scoreBy = (rows: ReadonlyArray<Row>, isRight: (row: Row) => boolean): ReadonlyArray<Score> => {
  const categories = [...new Set(rows.map((row) => row.cat))]
  return categories.map((category) => {
    const of = rows.filter((row) => row.cat === category)
    const wrong = of.filter((row) => !isRight(row))
    return { category, rows: of.length, right: of.length - wrong.length, wrong }
  })
}

const sum = <A>(values: ReadonlyArray<A>, of: (value: A) => number): number =>
  values.reduce((total, value) => total + of(value), 0)

/** What a reader of the log gets to see. */
export const scrubbed = (row: Row): string => {
  if (row.shape === undefined) return Redaction.scrub(row.text ?? "")
  const value = Redaction.scrubUnknown(shape(row.shape, row.pan ?? ""))
  return `${JSON.stringify(value)}\n${inspect(value, { depth: Number.POSITIVE_INFINITY })}`
}

const leaks = (row: Row): boolean => {
  const views = viewsOf(scrubbed(row))
  const { pan, secret } = row
  const fullTrack = row.cat === "track" ? /[=^D](\d{7,})/.exec(row.text ?? "")?.[1] : undefined
  return views.some((view) =>
    (pan !== undefined && pan !== null && pan !== "" && showsPan(view, pan)) ||
    (secret !== undefined && new RegExp(`(?<![0-9A-F])${secret}(?![0-9A-F])`, "i").test(view)) ||
    (fullTrack !== undefined && view.includes(fullTrack))
  )
}

/** More digits in a row than the eight of the longest bank number. */
const showsPan = (view: string, pan: string): boolean => {
  const digits = view.replace(/\P{Nd}/gu, "")
  return Array.from({ length: pan.length - 8 }, (_, at) => pan.slice(at, at + 9)).some((part) => digits.includes(part))
}

/** The text as a patient reader would decode it. */
const viewsOf = (text: string): ReadonlyArray<string> => {
  const plain = text.normalize("NFKC").replace(/[٠-٩]/g, (digit) => String(digit.charCodeAt(0) - 0x660))
  const withoutIndices = plain.replace(/(?<=[A-Za-z])\d{1,2}(?=\\*["'])/g, "")
  const decoded = plain.replace(/%(?:25)*([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))
    .replace(/\\+u([0-9a-f]{4})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))
    .replace(/&#(\d+);/g, (_, code: string) => String.fromCharCode(Number(code)))
  const base64 = (plain.match(/[A-Za-z0-9+/_-]{12,}={0,2}/g) ?? []).map((run) =>
    Buffer.from(run, "base64").toString("latin1")
  )
  const hex = (plain.match(/(?:[0-9a-f]{2}[ ,]{0,2}){12,}/gi) ?? []).map((run) =>
    Buffer.from(run.replace(/[^0-9a-f]/gi, ""), "hex").toString("latin1")
  )
  const codes = (plain.match(/(?:\d{1,3}[ ,]{1,2}){11,}\d{1,3}/g) ?? []).map((run) =>
    String.fromCharCode(...run.split(/[ ,]+/).map(Number))
  )
  return [plain, withoutIndices, decoded, ...base64, ...hex, ...codes]
}

class Holder {
  readonly number: string
  readonly #hidden: string
  constructor(pan: string) {
    this.number = pan
    this.#hidden = pan
  }
  toString(): string {
    return this.#hidden
  }
}

class Discreet {
  readonly #pan: string
  constructor(pan: string) {
    this.#pan = pan
  }
  toJSON(): unknown {
    return { pan: this.#pan }
  }
}

const nested = (pan: string, depth: number): unknown => depth === 0 ? { pan } : { deeper: nested(pan, depth - 1) }

const circular = (pan: string): unknown => {
  const value: { note: string; self?: unknown } = { note: pan }
  value.self = value
  return value
}

const withStack = (pan: string): unknown => {
  const error = new Error("declined")
  error.stack = `Error: declined ${pan}\n    at charge (charge.ts:1:1)`
  return error
}

/** Values that hold a card number somewhere. */
export const shapes: { readonly [name: string]: (pan: string) => unknown } = {
  aggregateError: (pan) => new AggregateError([new Error(pan)], "all failed"),
  arrayBuffer: (pan) => new TextEncoder().encode(pan).buffer,
  bigint: (pan) => ({ n: BigInt(pan) }),
  boxedString: (pan) => ({ n: new String(pan) }),
  buffer: (pan) => ({ body: Buffer.from(pan) }),
  circular,
  classInstance: (pan) => new Holder(pan),
  deep100: (pan) => nested(pan, 100),
  digitArray: (pan) => ({ d: Array.from(pan, Number) }),
  errorCause: (pan) => new Error("charge failed", { cause: new Error(`card ${pan}`) }),
  errorMessage: (pan) => new Error(`card ${pan} declined`),
  errorStack: withStack,
  functionName: (pan) => ({ f: Object.defineProperty(() => 0, "name", { value: pan }) }),
  getter: (pan) => ({
    get number(): string {
      return pan
    }
  }),
  headers: (pan) => new Headers({ "x-card": pan }),
  iterator: (pan) => [pan][Symbol.iterator](),
  map: (pan) => new Map([["number", pan]]),
  mapKey: (pan) => new Map([[pan, 1]]),
  nonEnumerable: (pan) => Object.defineProperty({}, "pan", { value: pan, enumerable: false }),
  nullProto: (pan) => Object.assign(Object.create(null) as object, { number: pan }),
  number: (pan) => ({ n: Number(pan) }),
  objectKey: (pan) => ({ [pan]: true }),
  privateToJSON: (pan) => new Discreet(pan),
  proxy: (pan) => new Proxy({ number: pan }, {}),
  regExp: (pan) => ({ pattern: new RegExp(pan) }),
  searchParams: (pan) => new URLSearchParams({ card: pan }),
  set: (pan) => new Set([pan]),
  splitFields: (pan) => ({ cc1: pan.slice(0, 4), cc2: pan.slice(4, 8), cc3: pan.slice(8, 12), cc4: pan.slice(12) }),
  symbolDesc: (pan) => ({ s: Symbol(pan) }),
  symbolKey: (pan) => ({ [Symbol(pan)]: pan }),
  templateArgs: (pan) => ["card %s declined", pan],
  toJSON: (pan) => ({ toJSON: () => ({ number: pan }) }),
  typedArrayDigits: (pan) => Uint8Array.from(pan, Number),
  uint8array: (pan) => new TextEncoder().encode(pan),
  url: (pan) => new URL(`https://example.com/pay?card=${pan}`)
}

const shape = (name: string, pan: string): unknown => {
  const make = shapes[name]
  if (make === undefined) throw new Error(`unknown shape ${name}`)
  return make(pan)
}

export const format = ({ negatives, positives, precision, recall }: Report): string => {
  const percent = (part: number) => `${(part * 100).toFixed(1)} %`.padStart(8)
  const line = ({ category, right, rows }: Score) =>
    `${category.padEnd(24)} ${`${right}/${rows}`.padStart(10)} ${percent(right / rows)}`
  return [
    "caught, of what has to go",
    ...positives.map(line),
    "",
    "left alone, of what may stay",
    ...negatives.map(line),
    "",
    `recall    ${percent(recall)}`,
    `precision ${percent(precision)}`
  ].join("\n")
}
