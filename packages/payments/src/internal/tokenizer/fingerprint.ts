/**
 * What tells that two card numbers are the same without showing either: HMAC-SHA256 of the whole number under a key of its
 * own (PCI DSS 3.5.1.1).
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Hex from "effect/encoding/Hex"
import * as Redacted from "effect/Redacted"
import { Mac } from "../effect/mac.ts"
import type { KeyRing } from "../seal/seal.ts"

/** @internal The fingerprint under the current key, and those under the older ones, each with the id of its key before it. */
export type Fingerprint = (
  pan: string
) => Effect.Effect<{ readonly current: string; readonly older: ReadonlyArray<string> }>

const keyId = /^[A-Za-z0-9_-]{1,32}$/
const keyBytesMin = 16

/** @internal What is wrong with a ring, if anything. */
export const faultOf = ({ current, keys }: KeyRing): string | undefined => {
  const entries = Object.entries(keys)
  if (!entries.some(([id]) => id === current)) return "the current fingerprint key is not in the ring"
  if (entries.some(([id]) => !keyId.test(id))) return "ids of fingerprint keys are 1 to 32 of A-Z, a-z, 0-9, - and _"
  return entries.some(([, key]) => Redacted.value(key).length < keyBytesMin)
    ? "fingerprint keys are 16 bytes or more"
    : undefined
}

const encoder = new TextEncoder()

/** @internal Of a ring without a fault. */
export const make = Effect.fnUntraced(function*(
  { current, keys }: KeyRing,
  vault: string
): Effect.fn.Return<Fingerprint, never, Mac.Mac> {
  const mac = yield* Mac.Mac
  const sign = Effect.fnUntraced(function*(id: string, key: Mac.Key, pan: string) {
    const data = encoder.encode(`effect-payments/Tokenizer/fingerprint/1\n${vault}\n${pan}`)
    return `${id}.${Hex.encode(yield* Effect.orDie(mac.sign(key, data)))}`
  })
  const imported: Array<readonly [string, Mac.Key]> = []
  for (const id of [current, ...Object.keys(keys).filter((id) => id !== current)]) {
    // The ring has it.
    imported.push([id, yield* Effect.orDie(Mac.key(Mac.hmacSha256, Redacted.value(keys[id]!)))])
  }
  return (pan) =>
    Effect.map(
      Effect.forEach(imported, ([id, key]) => sign(id, key, pan)),
      ([first, ...older]) => ({ current: first ?? "", older })
    )
})
