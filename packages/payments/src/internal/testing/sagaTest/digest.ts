/**
 * A digest and random bytes for simulations: the same each time, at once, and no secret to anyone.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Hex from "effect/encoding/Hex"
import * as Random from "effect/Random"
import { Digest, SecureRandom } from "../../effect/crypto.ts"

/** Two sums of the same bytes, drawn out to the length that is asked for. */
const digest = (algorithm: Digest.Algorithm, data: Uint8Array): Uint8Array => {
  let [first, second] = [0x811c9dc5, 0x9e3779b1]
  for (const byte of data) {
    first = Math.imul(first ^ byte, 0x01000193)
    second = Math.imul((second << 5) ^ (second >>> 27) ^ byte, 0x85ebca6b)
  }
  return Uint8Array.from({ length: algorithm.outputLength }, (_, i) => {
    const word = Math.imul(((i & 1) === 0 ? first : second) ^ (i * 0x9e3779b1), 0xc2b2ae35)
    return (word ^ (word >>> 15)) & 255
  })
}

// Of the process that asks: no two have the same name.
const bytesOf = (size: number) =>
  Effect.withFiber((fiber) => {
    const random = fiber.getRef(Random.Random)
    return Effect.succeed(Uint8Array.from({ length: size }, () => Math.floor(random.nextDoubleUnsafe() * 256)))
  })

const unused = Effect.die(new Error("a simulation has random bytes and nothing else"))

/** @internal One for all processes: a saga that was made ready for one is ready for the next. */
export const crypto: Context.Context<Digest.Digest | SecureRandom.SecureRandom> = Context.make(Digest.Digest, {
  digest: (algorithm, data) => Effect.sync(() => digest(algorithm, data)),
  digestHex: (algorithm, data) => Effect.sync(() => Hex.encode(digest(algorithm, data)))
}).pipe(
  Context.add(
    SecureRandom.SecureRandom,
    {
      randomBytes: bytesOf,
      intBetween: () => unused,
      shuffle: () => unused,
      uuidV4: () => unused,
      uuidV7: () => unused,
      ulid: unused
    } as SecureRandom.SecureRandom["Service"]
  )
)
