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

const lengthOf = (encoding: Encoding, bytes: number): number =>
  encoding === "hex" ? bytes * 2 : Math.ceil(bytes / 3) * 4

/** @internal Exactly so many bytes: lower-case hexadecimal, or padded Base64 (RFC 4648, section 4). */
export const decode = (encoding: Encoding, text: string, bytes: number): Uint8Array | undefined =>
  text.length === lengthOf(encoding, bytes) ? decodeAny(encoding, text) : undefined

/** @internal Any number of bytes. */
export const decodeAny = (encoding: Encoding, text: string): Uint8Array | undefined => {
  const decoded = encoding === "hex" ? Hex.decode(text) : Base64.decode(text)
  if (Result.isFailure(decoded)) return undefined
  // Upper case, line breaks, stray bits behind the last byte: another text is encoded back.
  return encode(encoding, decoded.success) === text ? decoded.success : undefined
}
