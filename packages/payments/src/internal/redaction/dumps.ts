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

// --- base64

// Also of digits of two bytes each (UTF-16).
const threeDigits = /[MNO][DTjz][AEIMQUYcgk][wxyz0-5]|[MNO][AQgw]A[wxyz0-5]AD[AEIMQUYcgk]A/g

const sextetOf = (code: number): number => {
  if (code >= 65 && code <= 90) return code - 65
  if (code >= 97 && code <= 122) return code - 71
  if (code >= 48 && code <= 57) return code + 4
  return code === 43 || code === 45 ? 62 : code === 47 || code === 95 ? 63 : -1
}

const isBase64 = (code: number): boolean => sextetOf(code) !== -1

/** A card number of twelve digits takes sixteen characters. */
const base64Min = 16

/** @internal */
export const inBase64 = (inner: Rule): Rule =>
  inRuns(threeDigits, isBase64, 4, base64Min, decodeBase64, /={0,2}/y, inner)

/** Finds what runs of encoded characters hold, of which `unit` make whole bytes. */
const inRuns = (
  hits: RegExp,
  isOf: (code: number) => boolean,
  unit: number,
  lengthMin: number,
  decode: (encoded: string) => string,
  padding: RegExp,
  inner: Rule
): Rule =>
(text) => {
  const spans: Array<Span> = []
  let run: Run | undefined
  hits.lastIndex = 0
  for (let hit = hits.exec(text); hit !== null; hit = hits.exec(text)) {
    if (run === undefined || hit.index >= run.end) run = runAround(text, hit.index, run?.end ?? 0, isOf)
    const at = offsetIn(run, hit.index)
    const start = at % unit
    if (run.encoded.length - run.skip - start < lengthMin || run.tried.has(start)) continue
    run.tried.add(start)
    const found = inner(decode(run.encoded.slice(run.skip + start)))
    // What was decoded may have been searched for the same encoding.
    hits.lastIndex = hit.index + hit[0].length
    if (found.length > 0) {
      padding.lastIndex = run.end
      padding.test(text)
      const end = Math.max(run.end, padding.lastIndex)
      spans.push({ start: run.lines[0]!.start + start, end, mark: summary(found) })
      hits.lastIndex = run.end
    }
  }
  return spans
}

interface Line {
  readonly start: number
  readonly end: number
  /** How many characters are on the lines before. */
  readonly offset: number
}

/** Characters of an encoding side by side, or on lines of one length of which the last may be shorter. */
interface Run {
  readonly lines: ReadonlyArray<Line>
  /** All that may belong to it: the first `skip` characters may be those of an escape before it. */
  readonly encoded: string
  readonly skip: number
  readonly end: number
  /** Where decoding began already. */
  readonly tried: Set<number>
}

const offsetIn = ({ lines }: Run, index: number): number => {
  let low = 0
  let high = lines.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (lines[middle]!.start <= index) low = middle
    else high = middle - 1
  }
  return lines[low]!.offset + index - lines[low]!.start
}

const lineMin = 16
// The end of a line, as it is or as JSON writes it, and an indentation.
const lineBreak = /(?:(?:\\{1,8}r)?\\{1,8}n|\r?\n)[ \t]{0,16}/y
const lineBreakBefore = /(?:(?:\\{1,8}r)?\\{1,8}n|\r?\n)[ \t]{0,16}$/
const lineBreakMax = 36

interface Piece {
  readonly start: number
  readonly end: number
  /** Where it starts if no escape stands before it. */
  readonly first: number
}

const lengthOf = ({ end, start }: Piece): number => end - start

const runAround = (text: string, at: number, from: number, isOf: (code: number) => boolean): Run => {
  const pieces = [pieceAround(text, at, from, isOf)]
  for (let before = pieceBefore(text, pieces[0]!, from, isOf); before !== undefined;) {
    pieces.push(before)
    const next = pieceBefore(text, before, from, isOf)
    before = next !== undefined && lengthOf(next) === lengthOf(before) ? next : undefined
  }
  pieces.reverse()
  for (let next = pieceBehind(text, pieces.at(-1)!, isOf); next !== undefined;) {
    const last = pieces.at(-1)!
    if (pieces.length > 1 && lengthOf(last) !== lengthOf(pieces[0]!)) break
    pieces.push(next)
    next = pieceBehind(text, next, isOf)
  }
  let offset = 0
  const lines = pieces.map(({ end, start }): Line => {
    const line = { start, end, offset }
    offset += end - start
    return line
  })
  const { first, start } = pieces[0]!
  return {
    lines,
    encoded: lines.reduce((encoded, line) => encoded + text.slice(line.start, line.end), text.slice(first, start)),
    skip: start - first,
    end: lines.at(-1)!.end,
    tried: new Set()
  }
}

const pieceAround = (text: string, at: number, from: number, isOf: (code: number) => boolean): Piece => {
  let start = at
  let end = at
  while (start > from && isOf(text.charCodeAt(start - 1))) start--
  while (isOf(text.charCodeAt(end))) end++
  return { start: behindEscape(text, start, end), end, first: start }
}

/** The line before, not shorter than this one. */
const pieceBefore = (
  text: string,
  piece: Piece,
  from: number,
  isOf: (code: number) => boolean
): Piece | undefined => {
  const found = lineBreakBefore.exec(text.slice(Math.max(from, piece.start - lineBreakMax), piece.start))
  if (found === null) return undefined
  const end = piece.start - found[0].length
  if (end <= from || !isOf(text.charCodeAt(end - 1))) return undefined
  const before = pieceAround(text, end - 1, from, isOf)
  return before.end === end && lengthOf(before) >= Math.max(lineMin, lengthOf(piece)) ? before : undefined
}

/** The line behind, not longer than this one. */
const pieceBehind = (text: string, piece: Piece, isOf: (code: number) => boolean): Piece | undefined => {
  lineBreak.lastIndex = piece.end
  if (lengthOf(piece) < lineMin || !lineBreak.test(text)) return undefined
  const start = lineBreak.lastIndex
  let end = start
  while (end - start <= lengthOf(piece) && isOf(text.charCodeAt(end))) end++
  return end > start && end - start <= lengthOf(piece) ? { start, end, first: start } : undefined
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

const decodeBase64 = (encoded: string): string => {
  const bytes = new Uint8Array(Math.floor(encoded.length * 3 / 4))
  let bits = 0
  let at = 0
  for (let i = 0; i < encoded.length; i++) {
    bits = (bits << 6) | sextetOf(encoded.charCodeAt(i))
    const left = i % 4
    if (left > 0) bytes[at++] = (bits >> (6 - left * 2)) & 0xff
  }
  return decoder.decode(bytes)
}

// --- hexadecimal

const digitPairs = /(?:3[0-9]){4}|(?:003[0-9]){3}|(?:3[0-9]00){3}/g
const hexMin = 24

const isHex = (code: number): boolean =>
  (code >= 48 && code <= 57) || (code >= 97 && code <= 102) || (code >= 65 && code <= 70)

/** @internal */
export const inHex = (inner: Rule): Rule => inRuns(digitPairs, isHex, 2, hexMin, decodePairs, /(?:)/y, inner)

const decodePairs = (hex: string): string => {
  const bytes = new Uint8Array(hex.length >> 1)
  for (let i = 0; i < bytes.length; i++) bytes[i] = parseInt(hex.slice(i * 2, i * 2 + 2), 16)
  return decoder.decode(bytes)
}

const dumpMayHold = /(?:3[0-9][\s:,-]{1,2}(?:0x)?){4}|(?:3[0-9]){2} (?:3[0-9]){2}/
const dump = new RegExp(
  String.raw`(?<![0-9A-Za-z])(?:(?:0x)?[0-9a-f]{2}(?:[\s:,-]{1,2}(?:0x)?[0-9a-f]{2}){11,}` +
    "|[0-9a-f]{4}(?: [0-9a-f]{4}){4,}(?: [0-9a-f]{2})?|[0-9a-f]{8}(?: [0-9a-f]{8})+(?: (?:[0-9a-f]{2}){1,3})?)(?![0-9A-Za-z])",
  "gi"
)

/** @internal Groups of one, two or four bytes one beside the other, as buffers are shown. */
export const inByteDumps = (inner: Rule): Rule => (text) => {
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

/** @internal Lists of codes, as `Buffer.toJSON` has them, and lists of single digits. */
export const inNumberLists = (inner: Rule): Rule => (text) => {
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
