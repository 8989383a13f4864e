/**
 * What a claim is for: running the effect, taking over from an owner that is gone, or both in one transaction.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import { type IdempotencyStore, StoreUnavailable } from "../../IdempotencyStore.ts"
import { dispositionOf } from "../../PaymentError.ts"
import { GatewayCallMustBeInsideIdempotent } from "../stack/claim.ts"
import { ReadOnly } from "../stack/readOnly.ts"
import { askBounded } from "./ask.ts"
import { type Call, type Shared, transactionsOf } from "./call.ts"
import { EngineClaim, InOperationTransaction } from "./claim.ts"
import {
  conclude,
  free,
  giveUp,
  invalidResult,
  keepRefusal,
  keepSuccess,
  lookUp,
  onlyError,
  ownership,
  settleUnknown,
  vacate
} from "./ending.ts"
import type { Entry } from "./entry.ts"
import { IdempotencyError, RecordUnreadable } from "./errors.ts"
import type { Record } from "./record.ts"

/** @internal The stored answer in the caller's types. */
export const replayOf = (call: Call, record: Record): Exit.Exit<unknown, unknown> => {
  const codec = record.state === "Succeeded" ? call.successCodec : call.errorCodec
  const restored = codec.restore(record.result ?? "")
  if (Result.isFailure(restored)) return Exit.fail(new IdempotencyError({ reason: new RecordUnreadable({}) }))
  return record.state === "Succeeded" ? Exit.succeed(restored.success) : Exit.fail(restored.success)
}

/**
 * @internal Starts the work of a claim in a fiber of the layer, at once: between the store's answer and here nothing
 * can interrupt. The fiber has the caller's services and is interrupted when the lease is lost, when nobody waits any
 * more, and when the layer is closed.
 */
export const start = (
  shared: Shared,
  entry: Entry,
  call: Call,
  caller: Fiber.Fiber<unknown, unknown>,
  claimed: { readonly record: Record; readonly now: number }
): void => {
  const age = claimed.now - claimed.record.createdAt
  const claim = new EngineClaim(shared, entry, call, age)
  entry.claim = claim
  const run = Effect.runForkWith(contextOf(call, caller.context as Context.Context<unknown>, claim))
  const fiber = claimed.record.state === "Claimed"
    ? run(runClaimed(shared, entry, call, selfOf(call, caller), claim, true))
    : run(takeOver(shared, entry, call, selfOf(call, caller), claim, claimed.record, claimed.now), {
      uninterruptible: true
    })
  if (entry.settled !== undefined) return
  entry.fiber = fiber
  fiber.addObserver((exit) => {
    shared.settle(entry, Exit.isFailure(exit) ? Exit.failCause(exit.cause) : Exit.interrupt(), "executed")
  })
  Fiber.runIn(fiber, shared.scope)
  // What it ran at once may have ended the lease, or interrupted the last caller.
  if (entry.isLost || entry.isCancelled) fiber.interruptUnsafe()
}

// The work may outlive the caller, whose scope is closed then: what it acquires lives as long as the work.
const selfOf = (call: Call, caller: Fiber.Fiber<unknown, unknown>): Call["self"] =>
  Context.getOrUndefined(caller.context, Scope.Scope) === undefined ? call.self : Effect.scoped(call.self)

// What moves money is not read-only, wherever it is called from.
const contextOf = (call: Call, context: Context.Context<unknown>, claim: EngineClaim): Context.Context<unknown> => {
  const { isTransactional } = call.policy
  const base = Context.get(context, InOperationTransaction) === isTransactional
    ? context
    : Context.add(context, InOperationTransaction, isTransactional)
  const withClaim = Context.add(base, GatewayCallMustBeInsideIdempotent, claim)
  return Context.get(context, ReadOnly) ? Context.add(withClaim, ReadOnly, false) : withClaim
}

const runClaimed = (
  shared: Shared,
  entry: Entry,
  call: Call,
  self: Call["self"],
  claim: EngineClaim,
  isFirst: boolean
): Effect.Effect<unknown, unknown, unknown> => {
  const transactions = transactionsOf(call, shared.store)
  if (transactions !== undefined) return runInTransaction(shared, entry, call, self, transactions)
  // The effect can be interrupted, also when the caller cannot; the end of a claim cannot.
  return Effect.onExitPrimitive(self, (exit) => conclude(shared, entry, call, claim, exit, isFirst))
}

// --- taking over

const takeOver = (
  shared: Shared,
  entry: Entry,
  call: Call,
  self: Call["self"],
  claim: EngineClaim,
  record: Record,
  now: number
): Effect.Effect<unknown, unknown, unknown> => {
  const isSettled = now - record.unknownSince >= call.policy.settleMillis
  // What ran in a transaction that never committed left nothing behind.
  const verdict = transactionsOf(call, shared.store) === undefined
    ? lookUp(shared, entry, call, claim)
    : Effect.succeed({ resolution: { _tag: "NeverHappened", repeatable: true } as const, asked: true })
  const left = (counted: boolean) =>
    Effect.flatMap(
      giveUp(shared, entry, call, { ran: false, counted }),
      () => settleUnknown(shared, entry, call, "resolved")
    )
  return Effect.flatMap(verdict, ({ asked, resolution }): Effect.Effect<unknown, unknown, unknown> => {
    switch (resolution._tag) {
      case "Happened":
        return keepSuccess(shared, entry, call, resolution.result, "resolved") ?? Effect.void
      case "Refused":
        return keepRefusal(shared, entry, call, resolution.error, "resolved") ?? Effect.void
      case "NeverHappened":
        return !entry.isLost && !entry.isCancelled && (resolution.repeatable === true || isSettled)
          ? runClaimed(shared, entry, call, Effect.interruptible(self), claim, isSettled)
          : left(false)
      case "StillUnknown":
        return left(asked)
    }
  })
}

// --- effect and record in one transaction

const inspectMillis = 2000

class Aborted {
  readonly detail: string | undefined
  /** Without a detail: the lease was lost. */
  constructor(detail: string | undefined) {
    this.detail = detail
  }
}

const runInTransaction = (
  shared: Shared,
  entry: Entry,
  call: Call,
  self: Call["self"],
  transactions: NonNullable<IdempotencyStore["Service"]["transactions"]>
): Effect.Effect<unknown, unknown, unknown> => {
  const body = Effect.flatMap(self, (value) => {
    const stored = call.successCodec.store(value, call.policy.resultLimitBytes)
    if (Result.isFailure(stored)) return Effect.fail(new Aborted(stored.failure))
    const completion = { _tag: "Succeeded", result: stored.success, ttlMillis: call.policy.ttlMillis } as const
    return Effect.flatMap(
      shared.store.complete({ ...ownership(entry), completion }),
      (owned) => owned ? Effect.succeed(value) : Effect.fail(new Aborted(undefined))
    )
  })
  return Effect.onExitPrimitive(
    transactions.withTransaction(body),
    (exit) => concludeTransaction(shared, entry, call, exit)
  )
}

const concludeTransaction = (
  shared: Shared,
  entry: Entry,
  call: Call,
  exit: Exit.Exit<unknown, unknown>
): Effect.Effect<void, never, unknown> => {
  if (Exit.isSuccess(exit)) return Effect.sync(() => shared.settle(entry, exit, "executed"))
  const error = onlyError(exit.cause)?.value
  // A commit without an answer, or an interruption that came when it was done already.
  if (error === undefined) return concludeCommit(shared, entry, call, Exit.failCause(exit.cause))
  if (error instanceof StoreUnavailable) {
    return concludeCommit(shared, entry, call, Exit.fail(new IdempotencyError({ reason: error })))
  }
  if (error instanceof Aborted && error.detail === undefined) return settleUnknown(shared, entry, call, "executed")
  if (!(error instanceof Aborted) && dispositionOf(error) === "Refused") {
    return keepRefusal(shared, entry, call, error, "executed") ?? Effect.void
  }
  // Rolled back: whatever it was, nothing of it is left.
  const ended: Effect.Effect<Exit.Exit<unknown, unknown>> = error instanceof Aborted
    ? invalidResult(shared, entry, call, error.detail ?? "")
    : Effect.succeed(exit)
  return Effect.flatMap(ended, (exit) => vacate(shared, entry, call, exit))
}

const lostLease = Exit.fail(
  new IdempotencyError({ reason: new StoreUnavailable({ operation: "renew", detail: "the lease was lost" }) })
)

// Rows and record are committed together, so the record tells: what can still be freed was not committed, and what has
// been freed cannot be any more.
const concludeCommit = (
  shared: Shared,
  entry: Entry,
  call: Call,
  rolledBack: Exit.Exit<never, unknown>
): Effect.Effect<void> =>
  Effect.flatMap(free(shared, entry, call), (written) => {
    const freed = written === "Written"
    // Whoever waited has gone; one that joined meanwhile starts over.
    if (freed && entry.isCancelled) return Effect.sync(() => shared.abandon(entry))
    if (freed) return Effect.sync(() => shared.settle(entry, entry.isLost ? lostLease : rolledBack, "executed"))
    const inspected = askBounded(shared, shared.store.inspect(entry.id), {
      operation: "inspect",
      millis: inspectMillis
    })
    return Effect.flatMap(Effect.exit(inspected), (exit) => {
      const record = Exit.isSuccess(exit) ? exit.value.record : undefined
      return record?.state === "Succeeded" && record.owner === entry.owner && record.fence === entry.fence
        ? Effect.sync(() => shared.settle(entry, replayOf(call, record), "executed"))
        : settleUnknown(shared, entry, call, "executed")
    })
  })
