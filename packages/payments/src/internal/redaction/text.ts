/**
 * What may not be read in a text. One pass per rule, each linear in the length of the text: every repetition in an
 * expression is bounded.
 *
 * @internal
 */
import * as Card from "../../Card.ts"

// The marks end in a bracket, which separates digits for the detector: nothing before or after a mark can join the last
// four digits to a new number, and a text scrubbed twice is the text scrubbed once.
/** @internal */
export const track = "[TRACK]"
/** @internal */
export const cvv = "[CVV]"
/** @internal */
export const pinBlock = "[PIN]"
/** @internal */
export const pan = "[PAN]"
/** @internal */
export const secret = "[SECRET]"

// Whatever is taken out has a digit in it, a PIN block perhaps only letters.
const suspicious = /\p{Nd}|block/iu

/** @internal */
export const scrub = (text: string): string =>
  suspicious.test(text) ? scrubPans(scrubPinBlocks(scrubCvvs(scrubTracks(text)))) : text

// Track 1: %B, number, ^, name, ^, expiry, service code, discretionary data, ?. Track 2: number, = (D in hexadecimal),
// the same without the name. ISO/IEC 7813.
const track1 = /%?B(\d{12,19})\^[^^\r\n]{2,26}\^[\d =]{4,80}[^?\s"']{0,60}\??/g
const track2 = /;?(?<![0-9A-Za-z])(\d{12,19})[=D]\d{7,40}(?:[A-F]{1,2}(?![0-9A-Za-z]))?\??/g

const scrubTracks = (text: string): string => text.replace(track1, trackIfCard).replace(track2, trackIfCard)

const trackIfCard = (whole: string, digits: string): string => Card.containsPan(digits) ? track : whole

// What stands between a label and its value: quotes, escaped or not, and one sign or word of assignment.
const assigned = String
  .raw`[\\"'\])]{0,4}(?:\s{0,4}(?:=>|->|[:=,>]|%3a|%3d|is|was)\s{0,4}|\s{1,4}|\s{0,4}\()[\\"'[(<]{0,4}`

const cvvLabel = String.raw`cvv2?|cvc2?|cvn2?|(?<![\p{L}\p{N}])(?:cid|csc|cv2|cav2)|security[\s_-]?code|` +
  String.raw`card[\s_-]?(?:verification|security)[\s_-]?(?:value|code|number)2?`
const labelledCvv = new RegExp(`(${cvvLabel})(${assigned})\\p{Nd}{3,4}(?!\\p{Nd})`, "giu")

const labelledPinBlock = new RegExp(`(pin[\\s_-]?block)(${assigned})[0-9a-f]{16}(?![0-9a-f])`, "giu")

const scrubCvvs = (text: string): string => text.replace(labelledCvv, `$1$2${cvv}`)

const scrubPinBlocks = (text: string): string => text.replace(labelledPinBlock, `$1$2${pinBlock}`)

const scrubPans = (text: string): string => {
  const found = Card.findPans(text)
  if (found.length === 0) return text
  let out = ""
  let end = 0
  for (const finding of found) {
    out += text.slice(end, finding.start) + maskPan(text.slice(finding.start, finding.end))
    end = finding.end
  }
  return out + text.slice(end)
}

/** @internal The last four digits as they were written, whatever the script. */
export const maskPan = (text: string): string => `[PAN ****${(text.match(/\p{Nd}/gu) ?? []).slice(-4).join("")}]`

// Longer than any way of writing a card, a track or a labelled value, so that none is cut in two and then overlooked.
const margin = 512

/** @internal Scrubs at most about `limit` characters and says that it left the rest out. */
export const scrubUpTo = (text: string, limit: number): string => {
  if (text.length <= limit) return scrub(text)
  const scrubbed = scrub(text.slice(0, limit + margin))
  return `${scrubbed.slice(0, Math.max(0, Math.min(limit, scrubbed.length - margin)))}…`
}
