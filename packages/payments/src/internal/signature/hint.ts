/**
 * What a body that does not fit its signature looks like: the usual mistake is a framework that has parsed it.
 *
 * @internal
 */
import type { Hint } from "./errors.ts"
import type { Scheme } from "./scheme.ts"

// A refusal stays cheap: no more than this is looked at, and nothing is parsed.
const lookedAtBytes = 1024

const [quote, backslash, comma, colon, brace] = [0x22, 0x5c, 0x2c, 0x3a, 0x7b]

/** @internal */
export const hintOf = (scheme: Scheme, body: Uint8Array): typeof Hint.Type | undefined => {
  if (body.length === 0) return "BodyEmpty"
  if (isText(body, "[object Object]")) return "BodyNotBytes"
  if (hasReplacement(body)) return "BodyDecoded"
  return scheme.sendsSpacedJson === true && isDense(body) ? "BodyReserialized" : undefined
}

const isText = (body: Uint8Array, text: string): boolean =>
  body.length === text.length && body.every((byte, index) => byte === text.charCodeAt(index))

const hasReplacement = (body: Uint8Array): boolean => {
  const end = Math.min(body.length, lookedAtBytes)
  for (let at = body.indexOf(0xef); at !== -1 && at < end; at = body.indexOf(0xef, at + 1)) {
    if (body[at + 1] === 0xbf && body[at + 2] === 0xbd) return true
  }
  return false
}

/** An object in JSON without a blank between its parts. */
const isDense = (body: Uint8Array): boolean => {
  if (body[0] !== brace || body[1] !== quote) return false
  let isInside = false
  let separators = 0
  for (let at = 1; at < Math.min(body.length, lookedAtBytes); at++) {
    const byte = body[at] ?? 0
    if (isInside && byte === backslash) at++
    else if (byte === quote) isInside = !isInside
    else if (!isInside && byte <= 0x20) return false
    else if (!isInside && (byte === comma || byte === colon)) separators++
  }
  return separators > 0
}
