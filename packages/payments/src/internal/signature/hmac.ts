/**
 * HMAC of what a request signs, under each of the secrets.
 *
 * Where a `Digest` is at hand the HMAC is made of two digests over pads that are made once (RFC 2104): `Mac` on Node has
 * its key imported for each call, which takes ten times as long as to hash a small body. Signing is by `Mac` alone.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Digest } from "../effect/crypto.ts"
import { Mac } from "../effect/mac.ts"
import type { Scheme } from "./scheme.ts"

/** @internal */
export interface Hmac {
  /** How many bytes before the data are free for the pad. */
  readonly room: number
  readonly count: number
  /** The tag under a secret of bytes that have the room before the data. It is written to. */
  readonly tag: (index: number, bytes: Uint8Array) => Effect.Effect<Uint8Array>
}

/** @internal */
export const make = Effect.fnUntraced(function*(
  algorithm: Scheme["algorithm"],
  keys: ReadonlyArray<Uint8Array>
): Effect.fn.Return<Hmac, never, Mac.Mac> {
  const mac = yield* Mac.Mac
  const digest = yield* Effect.serviceOption(Digest.Digest)
  return yield* (Option.isSome(digest) ? byDigest(digest.value, algorithm, keys) : byMac(mac, algorithm, keys))
})

const byMac = Effect.fnUntraced(function*(
  mac: Mac.Mac["Service"],
  algorithm: Scheme["algorithm"],
  secrets: ReadonlyArray<Uint8Array>
) {
  // A key is refused only when it is empty.
  const keys = yield* Effect.forEach(secrets, (bytes) => Effect.orDie(Mac.key(Mac[algorithm], bytes)))
  return {
    room: 0,
    count: keys.length,
    tag: (index: number, bytes: Uint8Array) => Effect.orDie(mac.sign(keys[index]!, bytes))
  } satisfies Hmac
})

// How many bytes a hash takes at a time (FIPS 180-4).
const blocks = { hmacSha1: 64, hmacSha256: 64, hmacSha384: 128, hmacSha512: 128 } as const

const byDigest = Effect.fnUntraced(function*(
  { digest }: Digest.Digest["Service"],
  name: Scheme["algorithm"],
  secrets: ReadonlyArray<Uint8Array>
) {
  const algorithm = Mac[name].hash
  const block = blocks[name]
  const pads = yield* Effect.forEach(
    secrets,
    (secret) =>
      Effect.map(secret.length > block ? digest(algorithm, secret) : Effect.succeed(secret), (key) => ({
        inner: padOf(key, block, 0x36),
        outer: padOf(key, block, 0x5c)
      }))
  )
  return {
    room: block,
    count: pads.length,
    tag: (index: number, bytes: Uint8Array) => {
      const { inner, outer } = pads[index]!
      bytes.set(inner, 0)
      return Effect.flatMap(digest(algorithm, bytes), (hash) => {
        const both = new Uint8Array(block + hash.length)
        both.set(outer, 0)
        both.set(hash, block)
        return digest(algorithm, both)
      })
    }
  } satisfies Hmac
})

const padOf = (key: Uint8Array, block: number, byte: number): Uint8Array => {
  const pad = new Uint8Array(block).fill(byte)
  for (let i = 0; i < key.length; i++) pad[i] = byte ^ key[i]!
  return pad
}
