/**
 * A card number in parts: in the elements of a list, in numbered fields, behind its length.
 *
 * @internal
 */
import * as Card from "../../Card.ts"
import { marks, maskPan, merge, none, type Rule, type Span } from "./span.ts"

/** @internal Whether parts are a card number, written as cards are. */
export const areCard = (parts: ReadonlyArray<string>): boolean => {
  const text = parts.join("-")
  const [found] = text.length <= 64 ? Card.findPans(text) : none
  return found !== undefined && found.start === 0 && found.end === text.length
}

// --- elements of a list

const quoted = /(\\{0,8}["'])(\d{2,8}\1\s{0,64}(?:,\s{0,64}\1\d{1,8}\1\s{0,64}){1,9})(?!,\s{0,64}\1\d)/g
const quotedDigits = /(\\{0,8}["'])([0-9]\1\s{0,64}(?:,\s{0,64}\1[0-9]\1\s{0,64}){11,18})(?!,\s{0,64}\1\d)/g
const bare = /\[\s{0,64}(\d{2,8}(?:\s{0,64},\s{0,64}\d{2,8}){1,9})\s{0,64}\]/g
const elementsMayHold = /,\s{0,64}\\{0,8}["']?[0-9]/

/** @internal */
export const inElements: Rule = (text) => {
  if (!elementsMayHold.test(text)) return none
  const inQuotes = [quoted, quotedDigits].map((expression) =>
    Array.from(text.matchAll(expression)).flatMap(({ 0: whole, 1: quote = "", 2: body = "", index }) => {
      const span = { start: index + quote.length, end: index + whole.trimEnd().length - quote.length }
      return areCard(body.match(/\d+/g) ?? []) ? [{ ...span, mark: maskPan(body) }] : []
    })
  )
  const lists = Array.from(text.matchAll(bare)).flatMap(({ 0: whole, 1: body = "", index }) => {
    const start = index + whole.indexOf(body)
    return areCard(body.match(/\d+/g) ?? []) ? [{ start, end: start + body.length, mark: maskPan(body) }] : []
  })
  return merge([...inQuotes, lists])
}

// --- numbered fields

const field = new RegExp(
  String
    .raw`(?<![\w.-])([A-Za-z][\w.-]{0,40}?\[?)(\d{1,2})(?!\d)(\]?\\{0,8}["']?\s{0,8}(?:=>|[:=>])\s{0,8}\\{0,8}["']?)` +
    String.raw`(\d{1,8})(?![\d.]*\d)`,
  "g"
)
// A letter before one or two digits and a sign: times such as T08:13:22 look so too.
// Signs are fewer than digits, so it is looked for from behind.
const numberedKey = /[:=>](?<=[A-Za-z_.[-][0-9]{1,2}\]?\\{0,8}["']?\s{0,8}.)(?!(?<=T[0-9]{2}:)[0-9]{2}:)/
const fieldMayHold = /[A-Za-z_.[-][0-9][0-9]?\]?\\{0,8}["']?\s{0,8}[:=>]{1,2}\s{0,8}\\{0,8}["']?[0-9]{2}(?!:)/
const fieldGap = /^\D{0,16}(?:<\/[\w.-]{1,44}>\D{0,24})?$/

interface Field {
  readonly stem: string
  readonly number: number
  readonly digits: string
  readonly from: number
  readonly start: number
  readonly end: number
}

/** @internal Fields of one name with numbers that follow one another, such as `cc1=4111&cc2=1111`. */
export const inFields: Rule = (text) => {
  if (!numberedKey.test(text) || !fieldMayHold.test(text)) return none
  const fields = Array.from(text.matchAll(field), (match): Field => {
    const { 0: whole, 1: stem = "", 2: number, 4: digits = "", index } = match
    const end = index + whole.length
    return { stem: stem.toLowerCase(), number: Number(number), digits, from: index, start: end - digits.length, end }
  })
  const spans: Array<Span> = []
  for (let i = 0; i < fields.length;) {
    const length = chainLength(text, fields, i)
    const count = cardLength(fields.slice(i, i + length).map(({ digits }) => digits))
    for (const { digits, end, start } of fields.slice(i, i + count)) {
      const isLast = end === fields[i + count - 1]!.end
      spans.push({ start, end, mark: isLast ? maskPan(digits.slice(-4)) : marks.pan })
    }
    i += Math.max(1, count)
  }
  return spans
}

// More parts than a card has digits need no look.
const partsMax = 19

const chainLength = (text: string, fields: ReadonlyArray<Field>, first: number): number => {
  let length = 1
  for (; length < partsMax; length++) {
    const last = fields[first + length - 1]!
    const next = fields[first + length]
    if (next === undefined || next.stem !== last.stem || next.number !== last.number + 1) return length
    if (next.from - last.end > 96 || !fieldGap.test(text.slice(last.end, next.from))) return length
  }
  return length
}

/** @internal How many of the parts, from the first, make a card number; 0 if none. The longest is taken. */
export const cardLength = (parts: ReadonlyArray<string>): number => {
  let digits = ""
  let found = 0
  for (let i = 0; i < parts.length && digits.length <= 19; i++) {
    digits += parts[i]
    if (i > 0 && Card.brandOf(digits)._tag === "Some") found = i + 1
  }
  return found
}

// --- behind its length

const element2 =
  /(?<![A-Za-z0-9])(?:DE|F|P|field|bit|element)[\s_.-]?0{0,2}2["']?\s{0,4}[:=]\s{0,4}["']?(1[2-9])(\d{12,19})(?!\d)/gi

/** @internal Data element 2 of ISO 8583 has two digits of length before the number. */
export const behindLength: Rule = (text) =>
  Array.from(text.matchAll(element2)).flatMap(({ 0: whole, 2: digits = "", index }) =>
    Card.brandOf(digits)._tag === "None"
      ? []
      : [{ start: index + whole.length - digits.length - 2, end: index + whole.length, mark: maskPan(digits) }]
  )
