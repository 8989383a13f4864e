/**
 * Claim, handle, mark: the way of an event through the inbox.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import type { ClaimReply, ClaimRequest } from "../../IdempotencyStore.ts"
import { StoreUnavailable } from "../../IdempotencyStore.ts"
import { answer } from "../idempotency/machine.ts"
import { Key, type Ownership, type Record, recordId, Scope } from "../idempotency/record.ts"
import {
  Arrival,
  ArrivalMalformed,
  ClaimLost,
  EventConflict,
  HandlerTimeout,
  InboxError,
  InFlight,
  InsideTransaction,
  type Reason
} from "./arrival.ts"
import { ask, askTwice } from "./ask.ts"
import type { Dedup } from "./dedup.ts"

/** @internal */
export interface Delivery {
  readonly attempt: number
}

/** @internal */
export type Taken<A> =
  | { readonly _tag: "Handled"; readonly value: A; readonly attempt: number }
  | { readonly _tag: "Duplicate" }

/** @internal */
export type Take = <A, E, R>(
  arrival: Arrival,
  handler: (delivery: Delivery) => Effect.Effect<A, E, R>
) => Effect.Effect<Taken<A>, E | InboxError, R>

/** @internal */
export interface Options {
  readonly handlerTimeoutMillis: number
  /** Handler and mark in one transaction of the store. */
  readonly transactional: boolean
}

const fail = (reason: Reason) => Effect.fail(new InboxError({ reason }))

/** @internal */
export const make = (dedup: Dedup, options: Options): Take => (arrival, handler) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(
      begin(dedup, arrival, options),
      (owned) => owned === undefined ? duplicate : carryOut(dedup, arrival, options, owned, handler, restore)
    )
  )

const duplicate: Effect.Effect<Taken<never>> = Effect.succeed({ _tag: "Duplicate" })

const carryOut = <A, E, R>(
  dedup: Dedup,
  arrival: Arrival,
  options: Options,
  owned: Owned,
  handler: (delivery: Delivery) => Effect.Effect<A, E, R>,
  restore: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
): Effect.Effect<Taken<A>, E | InboxError, R> => {
  const { attempt } = owned
  const ttlMillis = Duration.toMillis(arrival.window)
  const handled = Effect.suspend(() => handler({ attempt }))
  const work = options.transactional
    ? restore(bounded(inTransaction(dedup, owned, arrival.fingerprint, ttlMillis, handled), options))
    : thenMark(dedup, owned, arrival.fingerprint, ttlMillis, restore(bounded(handled, options)))
  return Effect.map(
    // Freed, so that the next delivery need not wait for the lease. What has been marked after all stays so.
    Effect.onExit(
      work,
      (exit) => Exit.isSuccess(exit) ? Effect.void : Effect.ignore(ask("release", dedup.release(owned, ttlMillis)))
    ),
    (value) => ({ _tag: "Handled", value, attempt })
  )
}

type Owned = Ownership & Pick<Record, "attempt">

/** Undefined for a duplicate. */
const begin = Effect.fnUntraced(function*(
  dedup: Dedup,
  arrival: Arrival,
  options: Options
): Effect.fn.Return<Owned | undefined, InboxError> {
  if (!isArrival(arrival)) {
    return yield* fail(new ArrivalMalformed({ detail: "names are 1 to 255 printable ASCII characters" }))
  }
  if (dedup.transactions !== undefined && (yield* dedup.transactions.isInside)) {
    return yield* fail(new InsideTransaction({}))
  }
  const request = yield* requestOf(arrival, options)
  // A claim whose reply was lost recognises itself by its owner.
  return yield* decide(arrival, request, yield* Effect.mapError(askTwice("claim", dedup.claim(request)), toError))
})

// A content is held against an event only once it has been handled: until then a provider may write it anew, and the mark
// keeps the one that was.
const anyContent = "inbox"

const isArrival = Schema.is(Arrival)

/** A lease is twice what a handler may take: an owner that is alive has ended long before. */
const requestOf = (arrival: Arrival, options: Options): Effect.Effect<ClaimRequest> =>
  Effect.gen(function*() {
    const scope = Scope.make({ tenant: arrival.endpoint, operation: arrival.provider, version: 1 })
    return {
      ...recordId(scope, Key.make(arrival.id)),
      fingerprint: anyContent,
      owner: `${yield* Random.nextInt}.${yield* Random.nextInt}`,
      leaseMillis: options.handlerTimeoutMillis * 2,
      // An owner that died has marked nothing: its transaction is gone, or at least once is what was asked for.
      canResolve: true,
      attemptsMax: Number.MAX_SAFE_INTEGER
    }
  })

const toError = (reason: StoreUnavailable): InboxError => new InboxError({ reason })

const decide = (
  arrival: Arrival,
  request: ClaimRequest,
  { now, record }: ClaimReply
): Effect.Effect<Record | undefined, InboxError> => {
  const decided = answer(record, request, now)
  switch (decided._tag) {
    case "Granted":
    case "Resolve":
      return Effect.succeed(record)
    case "Replay":
      return record.result === arrival.fingerprint ? Effect.succeed(undefined) : fail(new EventConflict({}))
    case "InFlight":
      return fail(new InFlight({ retryAfter: Duration.millis(decided.retryAfterMillis) }))
    default:
      return fail(new StoreUnavailable({ operation: "claim", detail: decided._tag }))
  }
}

const bounded = <A, E, R>(self: Effect.Effect<A, E, R>, { handlerTimeoutMillis }: Options) =>
  Effect.timeoutOrElse(self, {
    duration: handlerTimeoutMillis,
    orElse: () => fail(new HandlerTimeout({ limit: Duration.millis(handlerTimeoutMillis) }))
  })

/** The mark and what the handler writes commit together or not at all. Without the claim nothing commits. */
const inTransaction = <A, E, R>(
  { complete, transactions }: Dedup,
  owned: Ownership,
  content: string,
  ttlMillis: number,
  handled: Effect.Effect<A, E, R>
): Effect.Effect<A, E | InboxError, R> => {
  if (transactions === undefined) return fail(new StoreUnavailable({ operation: "start", detail: "NoTransactions" }))
  const marked = Effect.tap(handled, () =>
    Effect.flatMap(
      Effect.mapError(complete(owned, content, ttlMillis), toError),
      (isMine) => isMine ? Effect.void : fail(new ClaimLost({}))
    ))
  return Effect.mapError(
    transactions.withTransaction(Effect.mapError(marked, (error) => ({ _tag: "Own" as const, error }))),
    (failure) => failure._tag === "Own" ? failure.error : toError(failure)
  )
}

/** Marked when it has been handled. A mark that is lost means that the event comes again. */
const thenMark = <A, E, R>(
  { complete }: Dedup,
  owned: Ownership,
  content: string,
  ttlMillis: number,
  handled: Effect.Effect<A, E, R>
): Effect.Effect<A, E | InboxError, R> =>
  Effect.tap(handled, () =>
    Effect.flatMap(
      Effect.mapError(askTwice("complete", complete(owned, content, ttlMillis)), toError),
      (isMine) => isMine ? Effect.void : fail(new ClaimLost({}))
    ))
