/**
 * The port behind which idempotency records are kept, and its stores.
 *
 * Each operation is one atomic transition of one record, guarded by owner and fence, on the store's own clock. A claim
 * answers with what is there in the same round trip. What a store must do is written down once, in the pure machine
 * that the memory store runs and the other stores are tested against; a store holds no policy.
 *
 * Read `Idempotency` next.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as record from "./internal/idempotency/record.ts"

/**
 * The store did not answer, or answered with a failure. `operation` is the operation of the port, `detail` a short word
 * on the cause that holds no data of the record.
 *
 * @category errors
 * @since 0.1.0
 */
export class StoreUnavailable extends Schema.TaggedError<StoreUnavailable>()("StoreUnavailable", {
  operation: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `the idempotency store failed to ${this.operation} (${this.detail}); nothing was run on a guess: try again`
  }
}

/** @category models @since 0.1.0 */
export type RecordId = record.RecordId
/** @category models @since 0.1.0 */
export type Record = record.Record
/** @category models @since 0.1.0 */
export type State = typeof record.State.Type
/** @category requests @since 0.1.0 */
export type ClaimRequest = record.ClaimRequest
/** @category requests @since 0.1.0 */
export type ClaimReply = record.ClaimReply
/** @category requests @since 0.1.0 */
export type CompleteRequest = record.CompleteRequest
/** @category requests @since 0.1.0 */
export type ReleaseRequest = record.ReleaseRequest
/** @category requests @since 0.1.0 */
export type RenewRequest = record.RenewRequest
/** @category requests @since 0.1.0 */
export type ResolveRequest = record.ResolveRequest
/** @category requests @since 0.1.0 */
export type ListRequest = record.ListRequest
/** @category models @since 0.1.0 */
export type Eviction = record.Eviction

/**
 * The port. Every write is one atomic step, compares owner and fence, and may be sent twice.
 *
 * @category services
 * @since 0.1.0
 */
export class IdempotencyStore extends Context.Service<IdempotencyStore, {
  /**
   * Takes the slot when it is free, and answers with the record as it stands afterwards and the store's time. Commits
   * alone, never inside a transaction of the caller.
   */
  readonly claim: (request: ClaimRequest) => Effect.Effect<ClaimReply, StoreUnavailable>
  /** Ends a claim with what is known. False: the caller no longer owns it and nothing was written. */
  readonly complete: (request: CompleteRequest) => Effect.Effect<boolean, StoreUnavailable>
  /** Frees the slot of an effect that surely did not happen. False: no longer owned. */
  readonly release: (request: ReleaseRequest) => Effect.Effect<boolean, StoreUnavailable>
  /** Prolongs many claims in one statement, outside any transaction; answers in order whether each is still owned. */
  readonly renew: (requests: ReadonlyArray<RenewRequest>) => Effect.Effect<ReadonlyArray<boolean>, StoreUnavailable>
  /** Settles a record that nobody works on. False: it is worked on, finished, gone, or has another fence. */
  readonly resolve: (request: ResolveRequest) => Effect.Effect<boolean, StoreUnavailable>
  /** The record as stored, with the store's time. */
  readonly inspect: (id: RecordId) => Effect.Effect<{ readonly record: Record | undefined; readonly now: number }, StoreUnavailable>
  /** One page in the order of `id`. */
  readonly list: (request: ListRequest) => Effect.Effect<ReadonlyArray<Record>, StoreUnavailable>
  /** Drops a record. `Held`: it is in flight or unresolved, and goes only with force. */
  readonly evict: (
    id: RecordId,
    options: { readonly force: boolean }
  ) => Effect.Effect<Eviction, StoreUnavailable>
  /** Drops at most `limit` expired records; answers how many. */
  readonly sweep: (options: { readonly limit: number }) => Effect.Effect<number, StoreUnavailable>
  /**
   * What a store over a database offers besides: whether the caller is inside one of its transactions, and to run an
   * effect in one. `complete` called inside `withTransaction` commits with the effect's own writes.
   */
  readonly transactions?: {
    readonly isInside: Effect.Effect<boolean>
    readonly withTransaction: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | StoreUnavailable, R>
  }
}>()("effect-payments/IdempotencyStore") {}
