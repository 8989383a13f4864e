/**
 * HMAC-SHA256 over the head of a chain under a key ring, so that nobody without a key says how long a chain is.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Hex from "effect/encoding/Hex"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { Mac } from "../effect/mac.ts"
import type { KeyRing } from "./chain.ts"

interface Sealed {
  readonly seq: number
  readonly hash: string
  readonly seal?: string | undefined
}

/** @internal */
export interface Sealer {
  readonly seal: (head: Sealed) => Effect.Effect<string>
  /** False for a head without a seal, or one of a key that is not in the ring. */
  readonly verify: (head: Sealed) => Effect.Effect<boolean>
}

const keyId = /^[A-Za-z0-9_-]{1,32}$/
const keyBytesMin = 16

/** @internal What is wrong with a ring, if anything. PCI DSS asks for keys of at least 128 bits. */
export const faultOf = ({ current, keys }: KeyRing): string | undefined => {
  const entries = Object.entries(keys)
  if (!entries.some(([id]) => id === current)) return "the current key is not in the ring"
  if (entries.some(([id]) => !keyId.test(id))) return "key ids are 1 to 32 of A-Z, a-z, 0-9, - and _"
  return entries.some(([, key]) => Redacted.value(key).length < keyBytesMin) ? "keys are 16 bytes or more" : undefined
}

const encoder = new TextEncoder()

/** @internal Of a ring without a fault. */
export const make = Effect.fnUntraced(function*(
  { current, keys }: KeyRing,
  name: string
): Effect.fn.Return<Sealer, never, Mac.Mac> {
  const mac = yield* Mac.Mac
  const imported = new Map<string, Mac.Key>()
  for (const [id, key] of Object.entries(keys)) {
    imported.set(id, yield* Effect.orDie(Mac.key(Mac.hmacSha256, Redacted.value(key))))
  }
  const dataOf = ({ hash, seq }: Sealed) => encoder.encode(`effect-payments/AuditLog/head/1\n${name}\n${seq}\n${hash}`)
  return {
    // The ring has it.
    seal: (head) =>
      Effect.map(
        Effect.orDie(mac.sign(imported.get(current)!, dataOf(head))),
        (tag) => `${current}.${Hex.encode(tag)}`
      ),
    verify: (head) => {
      const [id = "", tag = "", ...rest] = (head.seal ?? "").split(".")
      const key = imported.get(id)
      const bytes = Hex.decode(tag)
      return key === undefined || rest.length > 0 || Result.isFailure(bytes)
        ? Effect.succeed(false)
        : Effect.orDie(mac.verify(key, bytes.success, dataOf(head)))
    }
  }
})
