/**
 * What a vault does, over any store: fingerprint, seal, reveal once it is audited.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as AuditLog from "../../AuditLog.ts"
import * as Card from "../../Card.ts"
import type { Tokenizer, TokenizerError } from "../../Tokenizer.ts"
import * as seal from "../seal/seal.ts"
import * as fingerprints from "./fingerprint.ts"
import type { Record, Store, StoreFailed } from "./store.ts"

/** @internal */
export interface Keys {
  readonly keys: seal.KeyRing
  readonly fingerprintKeys: seal.KeyRing
}

/** @internal What is wrong with the keys, if anything. */
export const faultOf = ({ fingerprintKeys, keys }: Keys): string | undefined => {
  const fault = seal.faultOf(keys) ?? fingerprints.faultOf(fingerprintKeys)
  if (fault !== undefined) return fault
  const sealing = new Set(Object.values(keys.keys).map(textOf))
  return Object.values(fingerprintKeys.keys).some((key) => sealing.has(textOf(key)))
    ? "a fingerprint key must not seal"
    : undefined
}

const textOf = (key: Redacted.Redacted<Uint8Array>): string => Redacted.value(key).join()

/** @internal */
export interface Parts {
  readonly store: Store
  readonly fingerprint: fingerprints.Fingerprint
  readonly sealer: seal.Sealer
  readonly randomBytes: (size: number) => Effect.Effect<Uint8Array>
  readonly append: AuditLog.AuditLog["Service"]["append"]
  readonly name: string
}

/** @internal The errors of the port, which stand in its module. */
export interface Errors {
  readonly tokenUnknown: () => TokenizerError
  readonly recordUnreadable: (detail: seal.Unopened) => TokenizerError
  readonly notAudited: (detail: string) => TokenizerError
  readonly vaultUnavailable: (operation: string, detail: string) => TokenizerError
}

/** @internal */
export const make = (parts: Parts, errors: Errors): Tokenizer["Service"] => {
  const { append, fingerprint, name, sealer, store } = parts
  const kept = <A>(operation: string, self: Effect.Effect<A, StoreFailed>) =>
    Effect.mapError(self, ({ detail }) => errors.vaultUnavailable(operation, detail))

  // Where a number is sealed: in no other vault, under no other token, beside no other fingerprint does it open.
  const placeOf = ({ fingerprint, token }: Omit<Record, "sealed">) =>
    ["effect-payments/Tokenizer/1", name, token, fingerprint].join("\n")

  const audit = (action: string, token: Card.CardToken, outcome: AuditLog.Outcome) =>
    AuditLog.entryOf({ event: "cardDataAccess", action, resource: `card ${token}`, outcome }).pipe(
      Effect.flatMap(append),
      Effect.timeoutOrElse({ duration: auditLimit, orElse: () => Effect.fail(errors.notAudited("Timeout")) }),
      Effect.mapError((error) => error._tag === "AuditLogError" ? errors.notAudited(error.reason._tag) : error)
    )

  const tokenize = Effect.fnUntraced(function*(pan: Card.Pan) {
    const digits = Redacted.value(pan)
    const { current, older } = yield* fingerprint(digits)
    const known = yield* kept("tokenize", store.find([current, ...older]))
    if (known !== undefined) return Card.CardToken.make(known)
    const token = toToken(yield* parts.randomBytes(tokenBytes))
    const sealed = yield* sealer.seal(digits, placeOf({ token, fingerprint: current }))
    return Card.CardToken.make(yield* kept("tokenize", store.put({ token, fingerprint: current, sealed })))
  })

  const detokenize = Effect.fnUntraced(function*(token: Card.CardToken) {
    const record = yield* kept("detokenize", store.get(token))
    if (record === undefined) {
      yield* audit("detokenize", token, "refused")
      return yield* Effect.fail(errors.tokenUnknown())
    }
    const opened = yield* Effect.result(sealer.open(record.sealed, placeOf(record)))
    const pan = opened._tag === "Success" ? decodePan(opened.success) : undefined
    yield* audit("detokenize", token, pan === undefined ? "notExecuted" : "succeeded")
    return pan ?? (yield* Effect.fail(errors.recordUnreadable(opened._tag === "Failure" ? opened.failure : "tampered")))
  })

  const remove = Effect.fnUntraced(function*(token: Card.CardToken) {
    if ((yield* kept("delete", store.get(token))) === undefined) {
      yield* audit("delete", token, "refused")
      return false
    }
    // Written down first: what is gone cannot be asked about any more.
    yield* audit("delete", token, "succeeded")
    return yield* Effect.tapError(
      kept("delete", store.remove(token)),
      () => Effect.ignore(audit("delete", token, "unknown"))
    )
  })

  return {
    tokenize,
    detokenize,
    delete: remove
  }
}

const auditLimit = "5 seconds"

const decodeOption = Schema.decodeUnknownOption(Card.Pan)

const decodePan = (text: string): Card.Pan | undefined => {
  const pan = decodeOption(text)
  return pan._tag === "Some" ? pan.value : undefined
}

// 26 letters of an alphabet of 32 are 130 bits, of which one byte is used each.
const tokenBytes = 26
const letters = "abcdefghijklmnopqrstuvwxyzABCDEF"

const toToken = (bytes: Uint8Array): string => `tok_${Array.from(bytes, (byte) => letters.charAt(byte & 31)).join("")}`
