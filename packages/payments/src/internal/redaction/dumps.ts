/**
 * Card data in bytes that are written as text: base64, hexadecimal, dumps, lists of codes.
 *
 * Nothing is decoded before a pattern of digits shows in the encoded text: three digits make one of a few hundred groups
 * of four in base64 (RFC 4648), and a digit is 30 to 39 in hexadecimal and 48 to 57 in a list. Each run is decoded at most
 * once per alignment, so the time is linear.
 *
 * @internal
 */
import { maskPan, none, type Rule, type Span, summary } from "./span.ts"

const decoder = new TextDecoder()

/** @internal */
export const inDumps = (inner: Rule): ReadonlyArray<Rule> => [
  inBase64(inner),
  inHex(inner),
  inByteDumps(inner),
  inNumberLists(inner)
]

// --- base64

const threeDigits = /[MNO][DTjz][AEIMQUYcgk][wxyz0-5]/g

const sextetOf = (code: number): number => {
  if (code >= 65 && code <= 90) return code - 65
  if (code >= 97 && code <= 122) return code - 71
  if (code >= 48 && code <= 57) return code + 4
  return code === 43 || code === 45 ? 62 : code === 47 || code === 95 ? 63 : -1
}

const isBase64 = (code: number): boolean => sextetOf(code) !== -1

/** A card number of twelve digits takes sixteen characters. */
const base64Min = 16

const inBase64 = (inner: Rule): Rule => (text) => {
  const spans: Array<Span> = []
  let run: Run | undefined
  threeDigits.lastIndex = 0
  for (let hit = threeDigits.exec(text); hit !== null; hit = threeDigits.exec(text)) {
    if (run === undefined || hit.index >= run.end) run = runAround(text, hit.index, isBase64)
    const start = run.start + (hit.index - run.start) % 4
    if (start > hit.index || run.end - start < base64Min || run.tried.has(start)) continue
    run.tried.add(start)
    const found = inner(decodeBase64(text, start, run.end))
    // What was decoded may have been searched for base64 too.
    threeDigits.lastIndex = hit.index + hit[0].length
    if (found.length > 0) {
      const end = run.end + (/^={0,2}/.exec(text.slice(run.end, run.end + 2))?.[0].length ?? 0)
      spans.push({ start, end, mark: summary(found) })
      threeDigits.lastIndex = run.end
    }
  }
  return spans
}

interface Run {
  readonly start: number
  readonly end: number
  /** Where decoding began already. */
  readonly tried: Set<number>
}

const runAround = (text: string, at: number, isOf: (code: number) => boolean): Run => {
  let start = at
  let end = at
  while (isOf(text.charCodeAt(start - 1))) start--
  while (isOf(text.charCodeAt(end))) end++
  return { start: behindEscape(text, start, end), end, tried: new Set() }
}

const escapeBefore = /\\(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|.)/sy

/** Where a run begins that would else take the end of an escape, such as the n of a line break in JSON. */
const behindEscape = (text: string, start: number, end: number): number => {
  // Of hexadecimal digits the letter of the escape is none.
  const backslash = text.charAt(start - 1) === "\\" ? start - 1 : start - 2
  if (text.charAt(backslash) !== "\\") return start
  escapeBefore.lastIndex = backslash
  return escapeBefore.test(text) ? Math.min(end, Math.max(start, escapeBefore.lastIndex)) : start
}

const decodeBase64 = (text: string, start: number, end: number): string => {
  const bytes = new Uint8Array(Math.floor((end - start) * 3 / 4))
  let bits = 0
  let at = 0
  for (let i = start; i < end; i++) {
    bits = (bits << 6) | sextetOf(text.charCodeAt(i))
    const left = (i - start) % 4
    if (left > 0) bytes[at++] = (bits >> (6 - left * 2)) & 0xff
  }
  return decoder.decode(bytes)
}

// --- hexadecimal

const fourDigits = /(?:3[0-9]){4}/g
const hexMin = 24

const isHex = (code: number): boolean =>
  (code >= 48 && code <= 57) || (code >= 97 && code <= 102) || (code >= 65 && code <= 70)

const inHex = (inner: Rule): Rule => (text) => {
  const spans: Array<Span> = []
  let run: Run | undefined
  fourDigits.lastIndex = 0
  for (let hit = fourDigits.exec(text); hit !== null; hit = fourDigits.exec(text)) {
    if (run === undefined || hit.index >= run.end) run = runAround(text, hit.index, isHex)
    const start = run.start + (hit.index - run.start) % 2
    if (start > hit.index || run.end - start < hexMin || run.tried.has(start)) continue
    run.tried.add(start)
    const found = inner(decodePairs(text.slice(start, run.end)))
    fourDigits.lastIndex = hit.index + hit[0].length
    if (found.length > 0) {
      spans.push({ start, end: run.end, mark: summary(found) })
      fourDigits.lastIndex = run.end
    }
  }
  return spans
}

const decodePairs = (hex: string): string => {
  const bytes = new Uint8Array(hex.length >> 1)
  for (let i = 0; i < bytes.length; i++) bytes[i] = parseInt(hex.slice(i * 2, i * 2 + 2), 16)
  return decoder.decode(bytes)
}

const dumpMayHold = /(?:3[0-9][\s:,-]{1,2}(?:0x)?){4}/
const dump = /(?<![0-9A-Za-z])(?:0x)?[0-9a-f]{2}(?:[\s:,-]{1,2}(?:0x)?[0-9a-f]{2}){11,}(?![0-9A-Za-z])/gi

/** Pairs of hexadecimal digits one beside the other, as buffers are shown. */
const inByteDumps = (inner: Rule): Rule => (text) => {
  if (!dumpMayHold.test(text)) return none
  return Array.from(text.matchAll(dump)).flatMap(({ 0: whole, index }) =>
    asWhole(index, whole, inner(decodePairs(whole.replace(/0x|[^0-9a-f]/gi, ""))))
  )
}

const asWhole = (start: number, whole: string, found: ReadonlyArray<Span>): ReadonlyArray<Span> =>
  found.length === 0 ? none : [{ start, end: start + whole.length, mark: summary(found) }]

// --- lists of numbers

const between = String.raw`\s{0,64},\s{0,64}`
const comma = /,\s{0,64}[0-9]/
const listMayHold = new RegExp(String.raw`\d(?:${between}\d{1,3}){11}`)
const list = new RegExp(String.raw`(?<![\d.,]\s?)\d{1,3}(?:${between}\d{1,3}){11,}(?!\d|\.\d)`, "g")

/** Lists of codes, as `Buffer.toJSON` has them, and lists of single digits. */
const inNumberLists = (inner: Rule): Rule => (text) => {
  if (!comma.test(text) || !listMayHold.test(text)) return none
  return Array.from(text.matchAll(list)).flatMap(({ 0: whole, index }) => {
    const mark = markOfNumbers(whole.split(",").map(Number), inner)
    return mark === undefined ? [] : [{ start: index, end: index + whole.length, mark }]
  })
}

/** @internal What numbers from 0 to 999 stand for, if they hold card data: digits, or the codes of characters. */
export const markOfNumbers = (numbers: ReadonlyArray<number>, inner: Rule): string | undefined => {
  if (numbers.every((number) => number < 10)) {
    const digits = numbers.join("")
    const [found] = digits.length <= 19 ? inner(digits) : none
    return found !== undefined && found.start === 0 && found.end === digits.length ? maskPan(digits) : undefined
  }
  const found = inner(decoder.decode(Uint8Array.from(numbers, (number) => number > 0xff ? 0 : number)))
  return found.length > 0 ? summary(found) : undefined
}
