/**
 * Where a vault keeps its records, and the store in memory.
 *
 * @internal
 */
import * as Effect from "effect/Effect"

/** @internal One card. `sealed` opens only beside its token and its fingerprint. */
export interface Record {
  readonly token: string
  readonly fingerprint: string
  readonly sealed: string
}

/** @internal Why a store does not answer: a word that holds nothing of a record. */
export interface StoreFailed {
  readonly _tag: "StoreFailed"
  readonly detail: string
}

/** @internal Every operation is one atomic step. */
export interface Store {
  /** The token of the first of these fingerprints that is known. */
  readonly find: (fingerprints: ReadonlyArray<string>) => Effect.Effect<string | undefined, StoreFailed>
  /** Adds a record and answers its token, or the token of the record that has the fingerprint already. */
  readonly put: (record: Record) => Effect.Effect<string, StoreFailed>
  readonly get: (token: string) => Effect.Effect<Record | undefined, StoreFailed>
  /** Whether there was one. */
  readonly remove: (token: string) => Effect.Effect<boolean, StoreFailed>
}

/** @internal */
export const failed = (detail: string): StoreFailed => ({ _tag: "StoreFailed", detail })

/** @internal */
export const makeMemory = (capacity: number): Store => {
  const byToken = new Map<string, Record>()
  const byFingerprint = new Map<string, Record>()
  return {
    find: (fingerprints) =>
      Effect.sync(() => {
        const known = fingerprints.find((fingerprint) => byFingerprint.has(fingerprint))
        return known === undefined ? undefined : byFingerprint.get(known)?.token
      }),
    put: (record) =>
      Effect.suspend(() => {
        const known = byFingerprint.get(record.fingerprint)
        if (known !== undefined) return Effect.succeed(known.token)
        if (byToken.size >= capacity) return Effect.fail(failed("Full"))
        byToken.set(record.token, record)
        byFingerprint.set(record.fingerprint, record)
        return Effect.succeed(record.token)
      }),
    get: (token) => Effect.sync(() => byToken.get(token)),
    remove: (token) =>
      Effect.sync(() => {
        const record = byToken.get(token)
        if (record === undefined) return false
        byFingerprint.delete(record.fingerprint)
        return byToken.delete(token)
      })
  }
}
