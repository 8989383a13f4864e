/**
 * Strict hexadecimal and Base64: what is decoded has one spelling, so that no second text stands for the same bytes.
 *
 * @internal
 */
import * as Base64 from "effect/encoding/Base64"
import * as Hex from "effect/encoding/Hex"
import * as Result from "effect/Result"

/** @internal */
export type Encoding = "base64" | "hex"

/** @internal */
export const encode = (encoding: Encoding, bytes: Uint8Array): string =>
  encoding === "hex" ? Hex.encode(bytes) : Base64.encode(bytes)

/** @internal What so many bytes look like: lower-case hexadecimal, or padded Base64 (RFC 4648, section 4). */
export const patternOf = (encoding: Encoding, bytes: number): RegExp => {
  if (encoding === "hex") return new RegExp(`^[0-9a-f]{${bytes * 2}}$`)
  const whole = Math.floor(bytes / 3) * 4
  // The last character holds bits of no byte, which are zero in the one spelling that is allowed.
  const end = ["", "[A-Za-z0-9+/][AQgw]==", "[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]="][bytes % 3]
  return new RegExp(`^[A-Za-z0-9+/]{${whole}}${end}$`)
}

/** @internal Undefined when it is not the one spelling of some bytes. */
export const decode = (encoding: Encoding, text: string): Uint8Array | undefined => {
  const decoded = encoding === "hex" ? Hex.decode(text) : Base64.decode(text)
  if (Result.isFailure(decoded)) return undefined
  // Upper case, line breaks, stray bits behind the last byte: another text is encoded back.
  return encode(encoding, decoded.success) === text ? decoded.success : undefined
}
