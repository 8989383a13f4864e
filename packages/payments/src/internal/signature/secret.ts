/**
 * Secrets as a provider shows them, as keys.
 *
 * @internal
 */
import * as Result from "effect/Result"
import { decode } from "./encoding.ts"
import { SecretMalformed } from "./errors.ts"
import type { Scheme } from "./scheme.ts"

const encoder = new TextEncoder()

const malformed = (detail: string) => Result.fail(new SecretMalformed({ detail }))

/** @internal The key. Of a `text` secret the whole text, with its prefix; of the others what follows the prefix. */
export const toKey = (scheme: Scheme, secret: string): Result.Result<Uint8Array, SecretMalformed> => {
  const { encoding, isPrefixOptional, prefix = "" } = scheme.secret
  const hasPrefix = secret.startsWith(prefix)
  if (!hasPrefix && isPrefixOptional !== true) return malformed(`it does not begin with ${prefix}`)
  if (secret.trim() !== secret || /\p{Cc}/u.test(secret)) return malformed("there is a blank or a line break around it")
  const rest = hasPrefix ? secret.slice(prefix.length) : secret
  // Longer than any text of as many bytes.
  if (rest.length > scheme.secret.bytesMax * 2) return tooLong(scheme)
  const bytes = encoding === "text" ? encoder.encode(rest) : decodeSecret(encoding, rest)
  if (bytes === undefined) return malformed(`it is not ${encoding === "hex" ? "hexadecimal" : "padded Base64"}`)
  if (bytes.length < scheme.secret.bytesMin) {
    return malformed(`it has less than ${scheme.secret.bytesMin} bytes${prefix === "" ? "" : ` after ${prefix}`}`)
  }
  if (bytes.length > scheme.secret.bytesMax) return tooLong(scheme)
  return Result.succeed(encoding === "text" ? encoder.encode(secret) : bytes)
}

const tooLong = (scheme: Scheme) => malformed(`it has more than ${scheme.secret.bytesMax} bytes`)

// Providers show hexadecimal secrets in upper case too.
const decodeSecret = (encoding: "base64" | "hex", text: string): Uint8Array | undefined =>
  decode(encoding, encoding === "hex" && text === text.toUpperCase() ? text.toLowerCase() : text)
