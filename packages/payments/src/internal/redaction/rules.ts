/**
 * What may not be read in a text as it stands. One pass per rule, each linear in the length of the text: every repetition
 * in an expression is bounded.
 *
 * @internal
 */
import * as Card from "../../Card.ts"
import { marks, maskPan, merge, none, type Rule, type Span } from "./span.ts"

// Track 1: %B, number, ^, name, ^, expiry, service code, discretionary data, ?. Track 2: number, = (D in hexadecimal),
// the same without the name. ISO/IEC 7813.
const track1 = /%?B(\d{12,19})\^[^^\r\n]{2,26}\^[\d =]{4,80}[^?\s"']{0,60}\??/g
const track2 = /;?(?<![0-9A-Za-z])(\d{12,19})[=D]\d{7,40}(?:[A-F]{1,2}(?![0-9A-Za-z]))?\??/g

const matches = (text: string, expression: RegExp): ReadonlyArray<Span> =>
  Array.from(text.matchAll(expression)).flatMap(({ 0: whole, 1: digits = "", index }) =>
    Card.containsPan(digits) ? [{ start: index, end: index + whole.length, mark: marks.track }] : []
  )

const mayBeTrack = /\d[\^=D]/

/** @internal */
export const tracks: Rule = (text) =>
  mayBeTrack.test(text) ? merge([matches(text, track1), matches(text, track2)]) : none

// What stands between a label and its value: quotes, escaped or not, and one sign or word of assignment.
const assigned = String
  .raw`[\\"'\])]{0,4}(?:\s{0,4}(?:=>|->|[:=,>]|%3a|%3d|is|was)\s{0,4}|\s{1,4}|\s{0,4}\()[\\"'[(<]{0,4}`

const cvvLabel = String.raw`cvv2?|cvc2?|cvn2?|(?<![\p{L}\p{N}])(?:cid|csc|cv2|cav2)|security[\s_-]?code|` +
  String.raw`card[\s_-]?(?:verification|security)[\s_-]?(?:value|code|number)2?`
// The mark of a code that was taken out is no label of what follows.
const labelledCvv = new RegExp(`((?:${cvvLabel})(?!(?<=\\[CVV)\\](?!=))${assigned})\\p{Nd}{3,4}(?!\\p{Nd})`, "giu")

const mayBeCvv = /[cC](?:[vV][vVcCnN2]|[iI][dD]|[sS][cC]|[aA][vV]2)|[uU][rR][iI][tT][yY]|[vV][eE][rR][iI][fF]/

/** @internal */
export const cvvs: Rule = (text) => mayBeCvv.test(text) ? labelled(text, labelledCvv, marks.cvv) : none

const labelledPinBlock = new RegExp(`(pin[\\s_-]?block${assigned})[0-9a-f]{16}(?![0-9a-f])`, "giu")

const mayBePinBlock = /[nN][\s_-]?[bB][lL][oO][cC][kK]/

/** @internal */
export const pinBlocks: Rule = (text) =>
  mayBePinBlock.test(text) ? labelled(text, labelledPinBlock, marks.pinBlock) : none

const labelled = (text: string, expression: RegExp, mark: string): ReadonlyArray<Span> =>
  Array.from(text.matchAll(expression), ({ 0: whole, 1: label = "", index }) => ({
    start: index + label.length,
    end: index + whole.length,
    mark
  }))

/** @internal */
export const pans: Rule = (text) =>
  Card.findPans(text).map(({ end, start }) => ({ start, end, mark: maskPan(text.slice(start, end)) }))
