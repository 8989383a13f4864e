/**
 * The key of an `Idempotency-Key` header.
 *
 * @internal
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Idempotency from "../../Idempotency.ts"
import { parseString } from "./structuredField.ts"

const headerLimit = 2048

/** @internal The key, or what is wrong with the header. */
export const parseKey = (field: string, unquoted: boolean): Result.Result<Idempotency.Key, string> => {
  if (field.length > headerLimit) return Result.fail(`it is longer than ${headerLimit} bytes`)
  const key = unquoted && unquotedKey.test(field) ? Result.succeed(field) : parseString(field)
  return Result.flatMap(key, (key) => Result.mapError(decodeKey(key), () => keyExpected))
}

// A comma would stand for several headers, a semicolon for a parameter.
const unquotedKey = /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+$/

const decodeKey = Schema.decodeUnknownResult(Idempotency.Key)

const keyExpected = "it has to be 1 to 255 printable ASCII characters, no space at either end"
