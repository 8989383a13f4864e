/**
 * Texts sealed at rest: AES-256-GCM under a key ring, bound to where they are stored.
 *
 * A sealed text is `s1.KEY.DATA`, the id of its key and base64url of nonce, ciphertext and tag. The additional data is
 * the place, so that a text that is moved to another record does not open (NIST SP 800-38D).
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Base64Url from "effect/encoding/Base64Url"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { Aead, SecureRandom } from "../effect/crypto.ts"

/** @internal */
export interface KeyRing {
  readonly current: string
  readonly keys: { readonly [id: string]: Redacted.Redacted<Uint8Array> }
}

/** @internal Why a text does not open. */
export type Unopened = "not sealed" | "unknown key" | "tampered"

/** @internal */
export interface Sealer {
  readonly seal: (text: string, place: string) => Effect.Effect<string>
  readonly open: (text: string, place: string) => Effect.Effect<string, Unopened>
}

const version = "s1"
const nonceLength = Aead.aes256Gcm.nonceLength
const keyId = /^[A-Za-z0-9_-]{1,32}$/
const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8", { fatal: true })

/** @internal What is wrong with a ring, if anything. */
export const faultOf = (ring: KeyRing): string | undefined => {
  const ids = Object.keys(ring.keys)
  if (!ids.includes(ring.current)) return "the current key is not in the ring"
  if (ids.some((id) => !keyId.test(id))) return "key ids are 1 to 32 of A-Z, a-z, 0-9, - and _"
  return ids.some((id) => byteLength(ring, id) !== 32) ? "keys are 32 bytes" : undefined
}

const byteLength = (ring: KeyRing, id: string): number => {
  const key = ring.keys[id]
  return key === undefined ? 0 : Redacted.value(key).length
}

/** @internal Of a ring without a fault. */
export const make = (ring: KeyRing): Effect.Effect<Sealer, never, Aead.Aead | SecureRandom.SecureRandom> =>
  Effect.gen(function*() {
    const aead = yield* Aead.Aead
    const random = yield* SecureRandom.SecureRandom
    const keys = new Map<string, Aead.Key>()
    for (const [id, key] of Object.entries(ring.keys)) {
      keys.set(id, yield* Effect.orDie(Aead.key(Aead.aes256Gcm, Redacted.value(key))))
    }
    const current = keys.get(ring.current)
    return {
      seal: (text, place) =>
        current === undefined ? Effect.die(new Error("no current key")) : Effect.flatMap(
          random.randomBytes(nonceLength),
          (nonce) =>
            Effect.map(
              // With a key and a nonce of the right lengths it cannot fail.
              Effect.orDie(aead.encrypt(current, encoder.encode(text), { nonce, aad: encoder.encode(place) })),
              (sealed) => `${version}.${ring.current}.${Base64Url.encode(joined(nonce, sealed))}`
            )
        ),
      open: (text, place) => open(aead, keys, text, place)
    }
  })

const open = (
  aead: Aead.Aead["Service"],
  keys: ReadonlyMap<string, Aead.Key>,
  text: string,
  place: string
): Effect.Effect<string, Unopened> => {
  const [prefix, id = "", data = "", ...rest] = text.split(".")
  if (prefix !== version || rest.length > 0) return Effect.fail("not sealed")
  const key = keys.get(id)
  if (key === undefined) return Effect.fail("unknown key")
  const bytes = Base64Url.decode(data)
  if (Result.isFailure(bytes) || bytes.success.length < nonceLength) return Effect.fail("tampered")
  const nonce = bytes.success.slice(0, nonceLength)
  return aead.decrypt(key, bytes.success.slice(nonceLength), { nonce, aad: encoder.encode(place) }).pipe(
    Effect.flatMap((plain) => Effect.try({ try: () => decoder.decode(plain), catch: () => "tampered" as const })),
    Effect.mapError((): Unopened => "tampered")
  )
}

const joined = (a: Uint8Array, b: Uint8Array): Uint8Array => {
  const bytes = new Uint8Array(a.length + b.length)
  bytes.set(a)
  bytes.set(b, a.length)
  return bytes
}
