/**
 * What the inbox needs of a store: the claim of the idempotency store, and its two ends.
 *
 * @internal
 */
import type * as Effect from "effect/Effect"
import type { ClaimReply, ClaimRequest, IdempotencyStore, StoreUnavailable } from "../../IdempotencyStore.ts"
import type { Ownership } from "../idempotency/record.ts"

/** @internal */
export interface Dedup {
  readonly claim: (request: ClaimRequest) => Effect.Effect<ClaimReply, StoreUnavailable>
  /** Marks as handled with this content, the result of the record. False: another one has taken over. */
  readonly complete: (
    owned: Ownership,
    content: string,
    ttlMillis: number
  ) => Effect.Effect<boolean, StoreUnavailable>
  /** Frees for the next delivery. */
  readonly release: (owned: Ownership, ttlMillis: number) => Effect.Effect<boolean, StoreUnavailable>
  readonly transactions?: IdempotencyStore["Service"]["transactions"]
}

/** @internal */
export const fromStore = (store: IdempotencyStore["Service"]): Dedup => ({
  claim: store.claim,
  complete: (owned, content, ttlMillis) =>
    store.complete({ ...owned, completion: { _tag: "Succeeded", result: content, ttlMillis } }),
  release: (owned, ttlMillis) => store.release({ ...owned, ttlMillis }),
  ...(store.transactions === undefined ? {} : { transactions: store.transactions })
})
