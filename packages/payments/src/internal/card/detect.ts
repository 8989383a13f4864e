/**
 * Finds card numbers in text.
 *
 * Digits that stand side by side are a group. From the start of each group the reader looks ahead over at most 19 digits
 * and judges what could be a card: one group, or a row of groups as cards are written (all of one size but the last, which
 * may be shorter; or 4-6-5 and its kin), with the leading digits and the length of a brand and a valid check digit. Since
 * no look ahead goes beyond 19 digits, with at most four separators between two, the time is linear in the length of the
 * text.
 *
 * What looks alike and is none: UUIDs, hexadecimal digests, bank accounts (IBAN), parcel numbers, fractions of decimals,
 * and rows of short groups that go on before or after.
 */
import { type Brand, brandOf, lengthMax, lengthMin } from "./brands.ts"
import { digitOf, isInvisible, isSeparator } from "./characters.ts"
import { isInIban } from "./iban.ts"

export interface Finding {
  readonly start: number
  readonly end: number
  readonly brand: Brand
}

// What an ASCII character is to a card number: a digit that may begin one, another digit, a separator. All else is foreign.
const starter = 1
const digit = 2
const separator = 3
const foreign = 4
const kinds = new Uint8Array(0x10000).fill(foreign, 0x80)
for (let code = 0; code < 0x80; code++) if (isSeparator(code) || code === 61 || code === 62) kinds[code] = separator
for (const code of [49, 48, 55]) kinds[code] = digit
for (const code of [50, 51, 52, 53, 54, 56, 57]) kinds[code] = starter
kinds[0] = foreign

/**
 * Passes over most texts: nothing shorter can be a card, nor what begins otherwise; of the digits that begin a brand only
 * 1 is left out, which stands before 8 and before every time in milliseconds.
 */
const mayHold = (text: string): boolean => {
  const { length } = text
  for (let at = 0, digits = 0; at < length; at++) {
    const kind = kinds[text.charCodeAt(at)]!
    if (kind === 0) digits = 0
    else if (kind === starter || (kind === digit && digits > 0)) {
      if (++digits === lengthMin) return true
    } else if (kind === foreign) return true
  }
  return false
}

const none: ReadonlyArray<Finding> = []

/** All card numbers in order, at most `limit`; they do not overlap. */
export const find = (text: string, limit: number): ReadonlyArray<Finding> => {
  if (!mayHold(text)) return none
  const findings: Array<Finding> = []
  const reader: Reader = { text, digits: Array.from({ length: lengthMax }, () => 0), count: 0, end: 0, size: 0 }
  for (let at = 0, before = 0, fraction = false; at < text.length && findings.length < limit;) {
    if (digitAt(text, at) === -1) {
      at = nextDigit(text, at + 1)
      continue
    }
    const finding = readFrom(reader, at, before, fraction)
    if (finding !== undefined) findings.push(finding)
    const end = finding === undefined ? reader.end : finding.end
    at = skipGap(text, end)
    const linked = finding === undefined && digitAt(text, at) !== -1
    before = linked ? reader.size : 0
    fraction = linked && at === end + 1 && text.charCodeAt(end) === 46
  }
  return findings
}

const mayBeDigit = /[0-9]|[^\0-\x7f]/g

/** Where the next character is that may be a digit, or the end. */
const nextDigit = (text: string, from: number): number => {
  mayBeDigit.lastIndex = from
  return mayBeDigit.test(text) ? mayBeDigit.lastIndex - 1 : text.length
}

/** The digits of a text as digits 0 to 9. */
export const digitsOf = (text: string): string => {
  let digits = ""
  for (let at = 0; at < text.length; at++) {
    const digit = digitAt(text, at)
    if (digit !== -1) digits += digit & 15
  }
  return digits
}

/** Valid by the check digit of ISO/IEC 7812 (Luhn): double every second digit from the right, sum the digits. */
export const luhn = (digits: ReadonlyArray<number>, count: number): boolean => {
  let sum = 0
  for (let i = count - 1, double = false; i >= 0; i--, double = !double) {
    const digit = digits[i]!
    sum += double ? (digit > 4 ? digit * 2 - 9 : digit * 2) : digit
  }
  return sum % 10 === 0
}

/** The brand of digits that are a card number, if they are one. */
export const brandOfDigits = (digits: ReadonlyArray<number>, count: number): Brand | undefined => {
  if (count < lengthMin || count > lengthMax) return undefined
  let prefix = 0
  for (let i = 0; i < 6; i++) prefix = prefix * 10 + digits[i]!
  const brand = brandOf(prefix, count)
  return brand !== undefined && luhn(digits, count) ? brand : undefined
}

/** The digits of the candidate that is being read, and size and end of the group that starts it. */
interface Reader {
  readonly text: string
  readonly digits: Array<number>
  count: number
  end: number
  size: number
}

/**
 * The longest card number that starts with the group at this place: what is left of a number must not stay readable.
 * `before` is the size of the group before, if it is near; `fraction` says that only a point stands between the two.
 */
const readFrom = (reader: Reader, at: number, before: number, fraction: boolean): Finding | undefined => {
  const start = readFirstGroup(reader, at)
  const { end, size } = reader
  const padded = start !== at
  if (fraction || reader.count > lengthMax || (size < shortGroup && size === before)) return undefined
  const single = judge(reader, start, end)
  return padded ? single : readRow(reader, start, end, size, before === 0) ?? single
}

/** Rows of groups shorter than this are columns of a table, unless they begin and end with the number. */
const shortGroup = 4

/** Reads on over further groups as long as they are written like a card. */
const readRow = (
  reader: Reader,
  start: number,
  firstEnd: number,
  size: number,
  isFirst: boolean
): Finding | undefined => {
  const { text } = reader
  const firstGap = text.slice(firstEnd, skipGap(text, firstEnd))
  let found: Finding | undefined
  let end = firstEnd
  let middle = size
  for (let groups = 2; reader.count < lengthMax; groups++) {
    const next = skipGap(text, end)
    // Short groups are told from numbers side by side by the same sign between all of them.
    if (size < shortGroup && !(text.startsWith(firstGap, end) && next - end === firstGap.length)) return found
    const before = reader.count
    end = readGroup(reader, next)
    const last = reader.count - before
    if (last === 0 || reader.count > lengthMax) return found
    if (groups > 2) {
      const row = middle === size
        ? last <= size && (size >= shortGroup || last < size || sizeAfter(text, end) !== size)
        : last > 2
      if (row) found = judge(reader, start, end) ?? found
      if (last !== size || middle !== size) return found
    } else {
      if (isFirst && isPair(text, firstGap, size, next, end)) found = judge(reader, start, end)
      if (last === size || (size === 4 && last === 6)) middle = last
      else return found
    }
  }
  return found
}

/** Sizes of the first of two groups, and the fewest digits that both have. Shorter numbers stand side by side too often. */
const pairStarts: ReadonlySet<number> = new Set([4, 6, 8, 12])
const pairMin = 15

const oneSpaceOrDash = /^[\p{Zs}\p{Pd}]$/u

// Seconds and milliseconds of the clock, and dates, which stand beside other numbers in a log.
const clock = /^(?:1[4-9][0-9]{8}(?:[0-9]{3})?|(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01]))$/

/** Two groups are a card only where they stand alone: the bank's digits and the rest, halves, or four digits apart. */
const isPair = (text: string, gap: string, size: number, next: number, end: number): boolean => {
  const last = end - next
  if (
    !pairStarts.has(size) || size + last < pairMin || (size === 4) !== (last === 12) || (size === 12) !== (last === 4)
  ) return false
  if (!oneSpaceOrDash.test(gap) || clock.test(text.slice(next, end))) return false
  const after = sizeAfter(text, end)
  return after === 0 || (after <= shortGroup && text.charCodeAt(end) === 32)
}

const judge = ({ count, digits, text }: Reader, start: number, end: number): Finding | undefined => {
  const brand = brandOfDigits(digits, count)
  return brand === undefined || isInUuid(text, start, end) || isInDigest(text, start, end) ||
      isInIban(text, start, end) || isInParcel(text, start, end)
    ? undefined
    : { start, end, brand }
}

/** Reads the group that starts a candidate without the zeros that pad it, and answers where the digits begin to count. */
const readFirstGroup = (reader: Reader, at: number): number => {
  const { text } = reader
  let start = at
  let zeros = 0
  while (digitAt(text, start) === 0) {
    zeros++
    start = skipInvisible(text, start + 1)
  }
  reader.count = 0
  // A group of nothing but zeros starts no card.
  reader.end = zeros > 0 && digitAt(text, start) === -1 ? start : readGroup(reader, start)
  reader.size = zeros + reader.count
  return start
}

/** Adds the digits that stand side by side, counting those beyond the longest card without keeping them. */
const readGroup = (reader: Reader, start: number): number => {
  const { digits, text } = reader
  let at = start
  let end = start
  for (;;) {
    const digit = digitAt(text, at)
    if (digit === -1) return end
    if (reader.count < lengthMax) digits[reader.count] = digit & 15
    reader.count++
    end = at + (digit > 15 ? 2 : 1)
    at = skipInvisible(text, end)
  }
}

/** The size of the group that follows, as far as it matters for rows of short groups. */
const sizeAfter = (text: string, end: number): number => {
  let at = skipGap(text, end)
  let size = 0
  for (let digit = digitAt(text, at); digit !== -1 && size <= shortGroup; digit = digitAt(text, at)) {
    size++
    at = skipInvisible(text, at + (digit > 15 ? 2 : 1))
  }
  return size
}

/** The digit at a place: its value, plus 16 where it takes two code units; -1 where there is none. */
const digitAt = (text: string, at: number): number => {
  const code = text.charCodeAt(at)
  if (code < 0x80) return code >= 48 && code <= 57 ? code - 48 : -1
  if (code < 0xd800 || code > 0xdbff) return digitOf(code)
  const value = digitOf(text.codePointAt(at) ?? code)
  return value === -1 ? -1 : value + 16
}

/** Most separators between two digits of one number, and most characters between them that show nothing. */
const gapMax = 4

/** Where the separators that start here end. */
const skipGap = (text: string, start: number): number => {
  let at = start
  for (let seen = 0; seen < gapMax; seen++) {
    const code = text.charCodeAt(at)
    if (isSeparator(code)) at = code === 10 ? skipIndent(text, at + 1) : at + 1
    else {
      const width = invisibleWidth(text, at)
      if (width === 0) return at
      at += width
    }
  }
  return at
}

const indentMax = 32

/** What stands before a line that goes on: indentation, and the signs of a quotation. */
const skipIndent = (text: string, start: number): number => {
  let at = start
  while (at - start < indentMax && isIndent(text.charCodeAt(at))) at++
  return at
}

const isIndent = (code: number): boolean => code === 32 || code === 9 || code === 62

/** Where the characters that show nothing end; they do not part a group. */
const skipInvisible = (text: string, start: number): number => {
  let at = start
  for (let seen = 0; seen < gapMax; seen++) {
    const width = invisibleWidth(text, at)
    if (width === 0) return at
    at += width
  }
  return at
}

/** A character that shows nothing, or a soft line break of quoted-printable (RFC 2045 section 6.7). */
const invisibleWidth = (text: string, at: number): number => {
  const code = text.charCodeAt(at)
  if (code !== 61) return isInvisible(code) ? 1 : 0
  return text.startsWith("\r\n", at + 1) ? 3 : text.charCodeAt(at + 1) === 10 ? 2 : 0
}

const uuid = /(?<![0-9a-f])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![0-9a-f])/gi
const uuidLength = 36

const isInUuid = (text: string, start: number, end: number): boolean => {
  const offset = Math.max(0, start - uuidLength - 1)
  for (const { index } of text.slice(offset, end + uuidLength + 1).matchAll(uuid)) {
    if (offset + index < end && offset + index + uuidLength > start) return true
  }
  return false
}

/** Lengths of digests and keys in hexadecimal: 128 to 512 bits. */
const digestLengths: ReadonlySet<number> = new Set([32, 40, 48, 56, 64, 96, 128])
const digestLengthMax = 128

/** In a word of hexadecimal digits that is as long as a digest and holds letters. */
const isInDigest = (text: string, start: number, end: number): boolean => {
  let from = start
  while (start - from < digestLengthMax && isHex(text.charCodeAt(from - 1))) from--
  let to = end
  while (to - end < digestLengthMax && isHex(text.charCodeAt(to))) to++
  if (!digestLengths.has(to - from)) return false
  let letters = 0
  for (let at = from; at < to; at++) if (isHexLetter(text.charCodeAt(at))) letters++
  return letters >= 4
}

const parcel = /(?<![0-9A-Za-z])1Z(?=[0-9]{0,5}[A-Z])[0-9A-Z]{16}(?![0-9A-Za-z])/g
const parcelLength = 18

/** In the number of a parcel of UPS, which has letters for its sender. */
const isInParcel = (text: string, start: number, end: number): boolean => {
  const offset = Math.max(0, end - parcelLength - 1)
  for (const { index } of text.slice(offset, end + 1).matchAll(parcel)) {
    if (offset + index < start && offset + index + parcelLength === end) return true
  }
  return false
}

const isHexLetter = (code: number): boolean => (code >= 97 && code <= 102) || (code >= 65 && code <= 70)

const isHex = (code: number): boolean => (code >= 48 && code <= 57) || isHexLetter(code)
