/**
 * What may not be read in a text as it stands. One pass per rule, each linear in the length of the text: every repetition
 * in an expression is bounded.
 *
 * @internal
 */
import * as Card from "../../Card.ts"
import { marks, maskPan, merge, none, type Rule, type Span } from "./span.ts"

// Track 1: %B, number, ^, name, ^, expiry, service code, discretionary data, ?. Track 2: number, = (D in hexadecimal),
// the same without the name; its end sentinel shows a short one. ISO/IEC 7813.
const track1 = /%?b(\d[\d -]{10,22}\d)\^[^^\r\n]{0,26}\^[\d =^]{4,80}[^?\s"']{0,60}\??/gi
const track2 = /;?(?<![0-9A-Za-z])(\d{12,23})[=Dd](?:\d{7,40}(?:[A-Fa-f]{1,2}(?![0-9A-Za-z]))?\??|\d{4,6}\?)/g

// Tags of EMV, anywhere in a run of hexadecimal digits: 57 is track 2, 5A the number, each behind its length in bytes.
const tag57 = /57(?:0[0-9a-f]|1[0-3])(\d{12,19})d\d{7,20}f?/gi
const tag5a = /5a0([6-9a])(\d{11,20})/gi

const numberIn = (digits: string): boolean =>
  Card.containsPan(digits) || (/^57(?:0\d|1[0-3])/.test(digits) && Card.containsPan(digits.slice(4)))

const matches = (text: string, expression: RegExp): ReadonlyArray<Span> =>
  Array.from(text.matchAll(expression)).flatMap(({ 0: whole, 1: digits = "", index }) =>
    numberIn(digits) ? [{ start: index, end: index + whole.length, mark: marks.track }] : []
  )

const mayBeTrack = /[0-9](?:[\^=]|[dD][0-9]{7})/

/** @internal */
export const tracks: Rule = (text) =>
  mayBeTrack.test(text) ? merge([matches(text, track1), matches(text, track2), matches(text, tag57)]) : none

const mayBeTag5a = /5[aA]0[6-9aA]\d{11}/

/** @internal */
export const tags: Rule = (text) =>
  !mayBeTag5a.test(text) ?
    none :
    Array.from(text.matchAll(tag5a)).flatMap(({ 1: bytes = "", 2: digits = "", index }) => {
      const length = parseInt(bytes, 16) * 2
      // An odd number of digits is padded by F.
      const pan = digits.slice(0, length)
      const start = index + 4
      return pan.length >= length - 1 && Card.brandOf(pan)._tag === "Some"
        ? [{ start, end: start + pan.length, mark: maskPan(pan) }]
        : []
    })

/** @internal */
export const pans: Rule = (text) =>
  Card.findPans(text)
    .filter(({ start }) => !isInEscape(text, start))
    .map(({ end, start }) => ({ start, end, mark: maskPan(text.slice(start, end)) }))

// The digits of an escape such as \u6237 are those of a character; what follows is read behind escapes. Behind an even
// number of backslashes there is none.
const isInEscape = (text: string, at: number): boolean =>
  /(?<!\\)(?:\\\\){0,4}\\u[0-9A-Fa-f]{0,3}$/.test(text.slice(Math.max(0, at - 14), at))
