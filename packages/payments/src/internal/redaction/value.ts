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
  if (Array.isArray(value)) return markOfList(value) ?? visitAll(value, depth, state)
  if (value instanceof Map) return visitAll(value, depth, state)
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
  for (const [key, value] of entries) {
    if (value === undefined) continue
    follow(chain, key, value, out)
    out.push([scrubText(key, state), sensitive(key, value) ?? visit(value, depth, state)])
    if (state.nodes < 0) break
  }
  maskParts(chain, out)
  return Object.fromEntries(out)
}

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
  const mark = marksByKey.get(key.toLowerCase().replace(/[^a-z0-9]/g, ""))
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

const names = (mark: string, ...keys: ReadonlyArray<string>) => keys.map((key) => [key, mark] as const)

// Lower case, without separators: `card_number`, `cardNumber` and `Card-Number` are one.
const marksByKey: ReadonlyMap<string, string> = new Map([
  ...names(
    marks.cvv,
    "cvv",
    "cvv2",
    "cvc",
    "cvc2",
    "cvn",
    "cvn2",
    "cv2",
    "cid",
    "csc",
    "securitycode",
    "cardsecuritycode"
  ),
  ...names(marks.cvv, "cardcvv", "cardcvc", "cardverificationvalue", "cardverificationcode", "cardverificationnumber"),
  ...names(marks.track, "track", "trackdata", "track1", "track2", "track3", "track1data", "track2data", "magstripe"),
  ...names(marks.pinBlock, "pin", "pinblock", "encryptedpin", "encryptedpinblock"),
  ...names(marks.pan, "pan", "cardnumber", "cardno", "primaryaccountnumber", "ccnumber", "creditcardnumber", "dpan"),
  ...names(
    marks.secret,
    "token",
    "cardtoken",
    "password",
    "passwd",
    "secret",
    "clientsecret",
    "apikey",
    "authorization"
  ),
  ...names(marks.secret, "accesstoken", "refreshtoken", "privatekey", "cookie", "setcookie", "cryptogram", "cavv")
])
