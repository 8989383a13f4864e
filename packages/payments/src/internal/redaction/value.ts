/**
 * What may not be read in a value. Total: whatever a value does when it is read (a getter that throws, a revoked proxy, a
 * cycle, ten thousand levels), the answer is plain JSON of a bounded size.
 *
 * @internal
 */
import * as Redactable from "effect/Redactable"
import * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import { markOfNumbers } from "./dumps.ts"
import { areCard, cardLength } from "./parts.ts"
import { marks, maskPan } from "./span.ts"
import { inList, scrubUpTo } from "./text.ts"

const depthMax = 8
const nodesMax = 1000
const charactersMax = 65_536
const textMax = 8192

interface State {
  nodes: number
  characters: number
  readonly above: Set<object>
}

/** @internal */
export const scrub = (value: unknown): Schema.Json =>
  visit(value, 0, { nodes: nodesMax, characters: charactersMax, above: new Set() })

const visit = (value: unknown, depth: number, state: State): Schema.Json => {
  if (--state.nodes < 0 || state.characters <= 0) return "[too large]"
  switch (typeof value) {
    case "string":
      return scrubText(value, state)
    case "number":
      return scrubNumber(value, state)
    case "bigint":
      return scrubText(String(value), state)
    case "boolean":
      return value
    case "undefined":
      return null
    case "symbol":
      return "[symbol]"
    case "function":
      return "[function]"
    case "object":
      return value === null ? null : visitObject(value, depth, state)
  }
}

const scrubText = (value: string, state: State): string => {
  const scrubbed = scrubUpTo(value, Math.min(textMax, state.characters))
  state.characters -= scrubbed.length
  return scrubbed
}

const scrubNumber = (value: number, state: State): Schema.Json => {
  // A card number has at least twelve digits.
  if (Number.isSafeInteger(value) && Math.abs(value) < 1e11) return value
  const written = String(value)
  const scrubbed = scrubText(written, state)
  return scrubbed === written && Number.isFinite(value) ? value : scrubbed
}

const visitObject = (value: object, depth: number, state: State): Schema.Json => {
  if (depth >= depthMax) return "[too deep]"
  if (state.above.has(value)) return "[circular]"
  state.above.add(value)
  try {
    return readObject(value, depth + 1, state)
  } catch {
    // Reading a value runs code of its own. Scrubbing happens on the way to a log, where nothing may be thrown.
    return "[unreadable]"
  } finally {
    state.above.delete(value)
  }
}

const readObject = (value: object, depth: number, state: State): Schema.Json => {
  if (Redacted.isRedacted(value)) return "<redacted>"
  if (Redactable.isRedactable(value)) return visit(Redactable.redact(value), depth, state)
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return `[${value.byteLength} bytes]`
  if (Array.isArray(value)) return markOfList(value) ?? visitPair(value, depth, state) ?? visitAll(value, depth, state)
  if (value instanceof Map) return visitMap(value, depth, state)
  if (value instanceof Set) return visitAll(value, depth, state)
  if (value instanceof Error) return visitEntries(entriesOfError(value), depth, state)
  if ("toJSON" in value && typeof value.toJSON === "function") return visit(value.toJSON(), depth, state)
  return visitEntries(ownEntries(value), depth, state)
}

/** A list of digits, of groups of digits or of codes of characters that is a card number, or bytes that hold one. */
const markOfList = (values: ReadonlyArray<unknown>): ReadonlyArray<string> | undefined => {
  if (values.length < 2 || values.length > nodesMax) return undefined
  if (values.every((value) => isWhole(value, 999))) {
    const mark = values.length < 12 ? undefined : markOfNumbers(values, inList)
    if (mark !== undefined) return [mark]
  }
  if (values.length > 19) return undefined
  const parts = values.map((value) => digitsOf(value) ?? "")
  return parts.every((part) => part !== "") && areCard(parts) ? [maskPan(parts.join(""))] : undefined
}

const isWhole = (value: unknown, max: number): value is number =>
  typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= max

const partMax = 99_999_999

const digitsOf = (value: unknown): string | undefined =>
  isWhole(value, partMax)
    ? String(value)
    : typeof value === "string" && /^[0-9]{1,8}$/.test(value)
    ? value
    : undefined

// Reads no further than there is room, so that an endless iterable ends too.
const visitAll = (values: Iterable<unknown>, depth: number, state: State): Schema.Json => {
  const out: Array<Schema.Json> = []
  for (const value of values) {
    out.push(visit(value, depth, state))
    if (state.nodes < 0) break
  }
  return out
}

/** Entries as they are; the value of a key that says what it holds goes. */
const visitMap = (values: ReadonlyMap<unknown, unknown>, depth: number, state: State): Schema.Json => {
  const out: Array<Schema.Json> = []
  for (const [key, value] of values) {
    const mark = typeof key === "string" ? sensitive(key, value) : undefined
    out.push([visit(key, depth, state), mark ?? visit(value, depth, state)])
    if (state.nodes < 0) break
  }
  return out
}

/** Two elements of which the first says what the second is, as headers, forms and maps are listed. */
const visitPair = (values: ReadonlyArray<unknown>, depth: number, state: State): Schema.Json | undefined => {
  const [name, value] = values
  if (values.length !== 2 || typeof name !== "string") return undefined
  const mark = markOfNamed(name, value)
  return mark === undefined ? undefined : [visit(name, depth, state), mark]
}

/** A name that stands beside a value may stand for the name alone: only what looks like such a value goes. */
const markOfNamed = (name: string, value: unknown): string | undefined => {
  if (typeof value !== "string" && typeof value !== "number" && typeof value !== "bigint") return undefined
  const mark = sensitive(name, value)
  const looks = mark === undefined ? undefined : valuesOf.find(([of]) => of === mark)?.[1]
  return looks === undefined || looks.test(String(value)) ? mark : undefined
}

const valuesOf: ReadonlyArray<readonly [mark: string, looks: RegExp]> = [
  [marks.cvv, /^\s*\p{Nd}{3,4}\s*$/u],
  [marks.pinBlock, /^\s*(?:\p{Nd}{4,12}|[0-9A-Fa-f]{16,32})\s*$/u],
  [marks.pan, /\p{Nd}{4}/u],
  [marks.track, /\d{8}/],
  [marks.secret, /^[\x21-\x7e]{12,}$/]
]

function* ownEntries(value: object): Iterable<readonly [string, unknown]> {
  for (const key of Object.keys(value)) yield [key, read(value, key)]
}

// The stack is left out: it names files and repeats the message.
function* entriesOfError(error: Error): Iterable<readonly [string, unknown]> {
  yield ["name", read(error, "name")]
  yield ["message", read(error, "message")]
  if (error.cause !== undefined) yield ["cause", error.cause]
  for (const entry of ownEntries(error)) {
    if (!errorFields.has(entry[0])) yield entry
  }
}

const errorFields: ReadonlySet<string> = new Set(["name", "message", "cause", "stack"])

const read = (value: object, key: string): unknown => {
  try {
    return (value as { readonly [key: string]: unknown })[key]
  } catch {
    return "[unreadable]"
  }
}

const visitEntries = (entries: Iterable<readonly [string, unknown]>, depth: number, state: State): Schema.Json => {
  const out: Array<readonly [string, Schema.Json]> = []
  const chain: Array<Part> = []
  let name: string | undefined
  for (const [key, value] of entries) {
    if (value === undefined) continue
    follow(chain, key, value, out)
    const mark = sensitive(key, value) ??
      (name !== undefined && isValueKey.test(key) ? markOfNamed(name, value) : undefined)
    if (typeof value === "string" && isNameKey.test(key)) name = value
    out.push([scrubText(key, state), mark ?? visit(value, depth, state)])
    if (state.nodes < 0) break
  }
  maskParts(chain, out)
  return Object.fromEntries(out)
}

// A field that is written as two: what it is called, and what it holds.
const isNameKey = /^(?:name|key|field|label|id)$/i
const isValueKey = /^(?:value|val|data|content|text)$/i

/** A field that may hold a part of a card number, and which entry it is. */
interface Part {
  readonly stem: string
  readonly number: number
  readonly digits: string
  readonly index: number
}

// More parts than a card has digits need no look.
const partsMax = 19

/** Takes a field to those before it when its number follows theirs; when it does not, those are looked at. */
const follow = (chain: Array<Part>, key: string, value: unknown, out: Array<readonly [string, Schema.Json]>): void => {
  const [, stem, number] = /^(.{0,64}?)([0-9]{1,2})\]?$/s.exec(key) ?? []
  const digits = stem === undefined ? undefined : digitsOf(value)
  const last = chain.at(-1)
  const isNext = last !== undefined && last.stem === stem && last.number + 1 === Number(number)
  if (!isNext || chain.length === partsMax) maskParts(chain, out)
  if (stem !== undefined && digits !== undefined) {
    chain.push({ stem, number: Number(number), digits, index: out.length })
  }
}

/** Takes out what is a card number together, and begins anew. */
const maskParts = (chain: Array<Part>, out: Array<readonly [string, Schema.Json]>): void => {
  const parts = chain.splice(0)
  for (let i = 0; i < parts.length;) {
    const count = cardLength(parts.slice(i).map(({ digits }) => digits))
    for (const { digits, index } of parts.slice(i, i + count)) {
      const isLast = index === parts[i + count - 1]!.index
      out[index] = [out[index]![0], isLast ? maskPan(digits.slice(-4)) : marks.pan]
    }
    i += Math.max(1, count)
  }
}

const sensitive = (key: string, value: unknown): string | undefined => {
  if (value === null || typeof value === "boolean") return undefined
  const mark = markOfKey(key)
  if (mark !== marks.pan) return mark
  if (typeof value === "string" && isMasked.test(value)) return value
  const digits = String(
    typeof value === "number" || typeof value === "bigint" ? value : typeof value === "string" ? value : ""
  )
  // A number that is no card, or too short to keep four digits of, goes whole.
  return /^(?:\P{Nd}*\p{Nd}){12,19}\P{Nd}*$/u.test(digits.slice(0, 64)) ? maskPan(digits) : marks.pan
}

// What was scrubbed before stays.
const isMasked = /^\[PAN \*{4}\p{Nd}{0,4}\]$/u

const keyMax = 64

/** What stands for the value of this key, whatever it looks like. */
const markOfKey = (key: string): string | undefined => {
  if (key.length > keyMax) return undefined
  // `card_number`, `cardNumber` and `Card-Number` are one.
  const name = key.toLowerCase().replace(/[^a-z0-9]/g, "")
  for (const [mark, names] of sensitiveNames) if (names.test(name)) return mark
  return undefined
}

const sensitiveNames: ReadonlyArray<readonly [mark: string, names: RegExp]> = [
  [
    marks.cvv,
    /^(?:.{0,16}(?:cvv|cvc|cvn)2?|(?:x|card|cc)?(?:cid|csc|cv2|cav2|cvd2?)|(?:card|cc)?sec(?:urity)?code|xcardcode)(?:code|value|val|number|num|no)?$/
  ],
  [marks.cvv, /^(?:card|cc)?(?:verification|validation|security)(?:value|val)$/],
  [marks.cvv, /^(?:card|cc)(?:verification|validation|security|check)(?:code|number|digits?)$/],
  [
    marks.track,
    /^(?:card|cc|encrypted)?(?:track(?:[123]|one|two|three)?(?:data|equivalent(?:data)?)?|magstripe(?:data)?|magneticstripe(?:data)?)$/
  ],
  [marks.pinBlock, /^(?:card|encrypted)?pin(?:block|blk|data|code|number)?$/],
  [marks.pan, /^(?:d|f|t)?pan$|^primaryaccountnumber$|^(?:card|cc|creditcard|debitcard)(?:number|num|no)$/],
  [
    marks.secret,
    /(?:password|passwd|passphrase|secret|secretkey|apikey|privatekey|signingkey|token|credentials?)$/
  ],
  [marks.secret, /^(?:cryptogram|cavv|bearer|(?:proxy)?authorization|(?:set)?cookie)$/]
]
