/**
 * What may not be read in a text as it stands. One pass per rule, each linear in the length of the text: every repetition
 * in an expression is bounded.
 *
 * @internal
 */
import * as Card from "../../Card.ts"
import { behindLength } from "./parts.ts"
import { marks, maskPan, merge, none, type Rule, type Span } from "./span.ts"

// Track 1: %B, number, ^, name, ^, expiry, service code, discretionary data, ?. Track 2: number, = (D in hexadecimal),
// the same without the name; its end sentinel shows a short one. ISO/IEC 7813.
const track1 = /%?b(\d[\d -]{10,22}\d)\^[^^\r\n]{0,26}\^[\d =^]{4,80}[^?\s"']{0,60}\??/gi
const track2 =
  /;?(?<![0-9A-Za-z])(\d{12,23}|\d{4}(?:[ -]\d{1,6}){2,4})[=Dd](?:\d{7,40}(?:[A-Fa-f]{1,2}(?![0-9A-Za-z]))?\??|\d{4,6}\?)/g

// Tags of EMV, anywhere in a run of hexadecimal digits: 57 and 9F6B are track 2, 5A is the number, each behind its length in bytes.
const tag57 = /(?:57|9f6b)(?:0[0-9a-f]|1[0-3])(\d{12,19})d\d{7,20}f?/gi
const tag5a = /5a0([6-9a])(\d{11,20})/gi

const numberIn = (digits: string): boolean =>
  Card.containsPan(digits) || (/^57(?:0\d|1[0-3])/.test(digits) && Card.containsPan(digits.slice(4)))

// Between its sentinels a track is one whatever the brand: cards of a shop alone have none.
const sentinels = /^(?:%b|;(?=\d{12,19}=\d{7,}\?$))/i

const matches = (text: string, expression: RegExp): ReadonlyArray<Span> =>
  Array.from(text.matchAll(expression)).flatMap(({ 0: whole, 1: digits = "", index }) =>
    numberIn(digits) || (sentinels.test(whole) && Card.luhn(digits.replace(/\D/g, "")))
      ? [{ start: index, end: index + whole.length, mark: marks.track }]
      : []
  )

const mayBeTrack = /[0-9](?:[\^=]|[dD][0-9]{7})/

/** @internal */
export const tracks: Rule = (text) =>
  mayBeTrack.test(text) ? merge([matches(text, track1), matches(text, track2), matches(text, tag57)]) : none

const tags: Rule = (text) =>
  Array.from(text.matchAll(tag5a)).flatMap(({ 1: bytes = "", 2: digits = "", index }) => {
    const length = parseInt(bytes, 16) * 2
    // An odd number of digits is padded by F.
    const pan = digits.slice(0, length)
    const start = index + 4
    return pan.length >= length - 1 && Card.brandOf(pan)._tag === "Some"
      ? [{ start, end: start + pan.length, mark: maskPan(pan) }]
      : []
  })

const mayHaveLength = /5[aA]0[6-9aA]\d{11}|[:=]\s{0,4}["']?1[2-9]\d{12}/

/** @internal Numbers behind their length: tag 5A of EMV, data element 2 of ISO 8583. */
export const lengths: Rule = (text) => mayHaveLength.test(text) ? merge([tags(text), behindLength(text)]) : none

/** @internal */
export const pans: Rule = (text) => {
  const found = Card.findPans(text)
  return found.length === 0 ? none : found
    .filter(({ start }) => !isInEscape(text, start))
    .map(({ end, start }) => ({ start, end, mark: maskPan(text.slice(start, end)) }))
}

// The digits of an escape such as \u6237 are those of a character; what follows is read behind escapes. Behind an even
// number of backslashes there is none.
const isInEscape = (text: string, at: number): boolean =>
  /(?<!\\)(?:\\\\){0,4}\\u[0-9A-Fa-f]{0,3}$/.test(text.slice(Math.max(0, at - 14), at))
