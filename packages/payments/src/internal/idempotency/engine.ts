/**
 * Runs an idempotent operation: claim → run, resolve or replay → save. The policy is here, the transitions are in
 * `machine.ts`, time is in `leases.ts`.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Digest from "effect/crypto/Digest"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { IdempotencyStore, StoreUnavailable } from "../../IdempotencyStore.ts"
import { dispositionOf } from "../../PaymentError.ts"
import { GatewayCallMustBeInsideIdempotent } from "../stack/claim.ts"
import type { Codec } from "./canonical.ts"
import { type Answered, Entry, type How } from "./entry.ts"
import {
  DownstreamKeyReused,
  IdempotencyError,
  InFlight,
  InsideTransaction,
  KeyConflict,
  OutcomeUnknown,
  Parked,
  PayloadInvalid,
  RecordUnreadable,
  ResultInvalid
} from "./errors.ts"
import * as Leases from "./leases.ts"
import { answer } from "./machine.ts"
import { downstreamKey, OperationClaim } from "./makeClaim.ts"
import { observe } from "./observe.ts"
import type { ClaimReply, ClaimRequest, Completion, Record, RecordId } from "./record.ts"

/** @internal What a look-up says: see `Idempotency.Resolution`. */
export type Resolution =
  | { readonly _tag: "Happened"; readonly result: unknown }
  | { readonly _tag: "Refused"; readonly error: unknown }
  | { readonly _tag: "NeverHappened"; readonly repeatable?: boolean }
  | { readonly _tag: "StillUnknown" }
  /** The look-up itself was interrupted. */
  | { readonly _tag: "NotAsked" }

/** @internal */
export interface ResolveContext {
  readonly scope: Record["scope"]
  readonly key: Record["key"]
  readonly attempt: number
  readonly downstreamKey: (phase: string) => Effect.Effect<string>
  readonly age: Duration.Duration
}

type AnyEffect = Effect.Effect<unknown, unknown, unknown>

/** @internal One call of `idempotent`, its options resolved to plain values. */
export interface Call {
  readonly id: RecordId
  readonly payload: unknown
  readonly payloadCodec: Codec
  readonly successCodec: Codec
  readonly errorCodec: Codec
  readonly self: AnyEffect
  readonly resolve: ((context: ResolveContext) => Effect.Effect<Resolution, unknown, unknown>) | undefined
  readonly resolveTimeoutMillis: number
  readonly phase: string
  readonly leaseMillis: number
  readonly ttlMillis: number
  readonly settleMillis: number
  readonly attemptsMax: number
  readonly payloadLimitBytes: number
  readonly resultLimitBytes: number
  readonly awaits: boolean
  readonly awaitMillis: number
  readonly detaches: boolean
  readonly isTransactional: boolean
}

/** @internal */
export interface Engine {
  readonly store: IdempotencyStore["Service"]
  readonly run: (call: Call) => Effect.Effect<Answered, IdempotencyError, unknown>
}

const encoder = new TextEncoder()
const ghostsMax = 10_000
const backoffMaxMillis = 1000
// What ends without a result to keep is saved for this long at the most: a lapsed claim says the same.
const giveUpAfterMillis = 2000

const fail = (reason: IdempotencyError["reason"]): Effect.Effect<never, IdempotencyError> =>
  Effect.fail(new IdempotencyError({ reason }))

const isTransactional = (call: Call, store: IdempotencyStore["Service"]) =>
  call.isTransactional ? store.transactions : undefined

/** @internal */
export const make: Effect.Effect<
  Engine,
  never,
  IdempotencyStore | Digest.Digest | SecureRandom.SecureRandom | Scope.Scope
> = Effect.gen(function*() {
  const store = yield* IdempotencyStore
  const digest = yield* Digest.Digest
  const scope = yield* Effect.scope
  const clock = yield* Clock.Clock
  const engineId = Array.from(
    yield* (yield* SecureRandom.SecureRandom).randomBytes(12),
    (byte) => byte.toString(16).padStart(2, "0")
  ).join("")
  const leases = yield* Leases.make(store, clock, scope)
  const live = new Map<string, Entry>()
  // Owners whose claim got no answer: the next local claim of the same record asks under the same name.
  const ghosts = new Map<string, { readonly owner: string; readonly until: number }>()
  let claims = 0

  const ownerOf = (id: string): string => {
    const ghost = ghosts.size === 0 ? undefined : ghosts.get(id)
    if (ghost !== undefined) {
      ghosts.delete(id)
      if (leases.nowMillis() < ghost.until) return ghost.owner
    }
    return `${engineId}.${(claims++).toString(36)}`
  }

  const forget = (entry: Entry): void => {
    leases.drop(entry)
    if (live.get(entry.id.id) === entry) live.delete(entry.id.id)
  }

  const settle = (entry: Entry, exit: Exit.Exit<unknown, unknown>, how: How): void => {
    forget(entry)
    entry.settle({ exit, how, fence: entry.fence, attempt: entry.attempt })
  }

  const abandon = (entry: Entry): void => {
    forget(entry)
    entry.settle("abandoned")
  }

  const unknown = (call: Call): Effect.Effect<Exit.Exit<never, IdempotencyError>> =>
    Effect.map(
      downstreamKey(digest, call.id, call.phase),
      (downstreamKey) => Exit.fail(new IdempotencyError({ reason: new OutcomeUnknown({ downstreamKey }) }))
    )

  // --- ending a claim

  const save = (entry: Entry, completion: Completion, untilMillis = Number.POSITIVE_INFINITY) => {
    const request = { ...entry.id, owner: entry.owner, fence: entry.fence, completion }
    return persist(entry, () => store.complete(request), untilMillis)
  }

  // Asks until the store answers or the lease is gone. Every write is guarded, so asking twice is safe.
  const persist = (
    entry: Entry,
    write: () => Effect.Effect<boolean, StoreUnavailable>,
    untilMillis: number,
    backoffMillis = 20
  ): Effect.Effect<boolean> =>
    Effect.catch(whileHeld(entry, write()), () => {
      if (!leases.isLive(entry) || leases.nowMillis() >= untilMillis) return Effect.succeed(false)
      return Effect.flatMap(
        Effect.sleep(Duration.millis(backoffMillis)),
        () => persist(entry, write, untilMillis, Math.min(backoffMillis * 2, backoffMaxMillis))
      )
    })

  // A store that hangs is waited for until the lease is lost, and no longer.
  const whileHeld = <A>(entry: Entry, write: Effect.Effect<A, StoreUnavailable>) =>
    Effect.flatMap(Effect.forkIn(write, scope, { startImmediately: true }), (fiber) => {
      const exit = fiber.pollUnsafe()
      if (exit !== undefined) return exit
      return Effect.callback<A, StoreUnavailable>((resume) => {
        fiber.addObserver(resume)
        entry.onLost(() => {
          fiber.interruptUnsafe()
          resume(Effect.fail(new StoreUnavailable({ operation: "save", detail: "no answer within the lease" })))
        })
      })
    })

  const soon = (): number => leases.nowMillis() + giveUpAfterMillis

  const giveUp = (entry: Entry, call: Call, options: { readonly ran: boolean; readonly counted: boolean }) =>
    save(entry, { _tag: "Indeterminate", ...options, attemptsMax: call.attemptsMax }, soon())

  const keep = (
    entry: Entry,
    call: Call,
    exit: Exit.Exit<unknown, unknown>,
    stored: Result.Result<string, string>,
    state: "Succeeded" | "Refused",
    how: How
  ): Effect.Effect<void> => {
    if (Result.isFailure(stored)) {
      return Effect.flatMap(
        Effect.zip(giveUp(entry, call, { ran: true, counted: true }), downstreamKey(digest, call.id, call.phase)),
        ([, downstreamKey]) =>
          Effect.sync(() =>
            settle(
              entry,
              Exit.fail(
                new IdempotencyError({ reason: new ResultInvalid({ detail: stored.failure, downstreamKey }) })
              ),
              how
            )
          )
      )
    }
    return Effect.flatMap(
      save(entry, { _tag: state, result: stored.success, ttlMillis: call.ttlMillis }),
      (saved) => {
        if (saved) {
          settle(entry, exit, how)
          return Effect.void
        }
        return Effect.map(unknown(call), (exit) => settle(entry, exit, how))
      }
    )
  }

  const keepSuccess = (entry: Entry, call: Call, value: unknown, how: How) =>
    keep(entry, call, Exit.succeed(value), call.successCodec.store(value, call.resultLimitBytes), "Succeeded", how)

  const keepRefusal = (entry: Entry, call: Call, error: unknown, how: How) =>
    keep(entry, call, Exit.fail(error), call.errorCodec.store(error, call.resultLimitBytes), "Refused", how)

  // --- running

  const conclude = (
    entry: Entry,
    call: Call,
    claim: OperationClaim,
    exit: Exit.Exit<unknown, unknown>,
    isFirst: boolean
  ): Effect.Effect<void, never, unknown> => {
    if (Exit.isSuccess(exit)) return keepSuccess(entry, call, exit.value, "executed")
    const { reasons } = exit.cause
    const only = reasons.length === 1 ? reasons[0] : undefined
    if (only === undefined || only._tag !== "Fail") return concludeDefect(entry, call, exit.cause)
    const disposition = claim.isUncertain ? "Unknown" : dispositionOf(only.error)
    if (disposition === "Refused") return keepRefusal(entry, call, only.error, "executed")
    if (disposition === "Unknown") {
      const surely = dispositionOf(only.error) === "Unknown"
      return Effect.flatMap(
        surely ? Effect.succeed<Exit.Exit<never, unknown>>(Exit.failCause(exit.cause)) : unknown(call),
        (exit) => concludeUnknown(entry, call, exit)
      )
    }
    // Not executed now; an earlier, unresolved attempt of another owner is another matter.
    const freed = isFirst
      ? persist(
        entry,
        () => store.release({ ...entry.id, owner: entry.owner, fence: entry.fence, ttlMillis: call.ttlMillis }),
        soon()
      )
      : giveUp(entry, call, { ran: false, counted: false })
    return Effect.map(freed, () => settle(entry, exit, "executed"))
  }

  // A typed failure that may have happened: look it up at once, while the lease is ours.
  const concludeUnknown = (
    entry: Entry,
    call: Call,
    exit: Exit.Exit<never, unknown>
  ): Effect.Effect<void, never, unknown> =>
    Effect.flatMap(lookUp(entry, call), (resolution) => {
      switch (resolution._tag) {
        case "Happened":
          return keepSuccess(entry, call, resolution.result, "resolved")
        case "Refused":
          return keepRefusal(entry, call, resolution.error, "resolved")
        default:
          return Effect.map(
            giveUp(entry, call, { ran: true, counted: true }),
            () => settle(entry, exit, "executed")
          )
      }
    })

  const concludeDefect = (entry: Entry, call: Call, cause: Cause.Cause<unknown>): Effect.Effect<void> => {
    if (entry.isLost) return Effect.map(unknown(call), (exit) => settle(entry, exit, "executed"))
    if (entry.isCancelled) {
      return Effect.flatMap(
        Effect.zip(giveUp(entry, call, { ran: true, counted: true }), unknown(call)),
        ([, exit]) => Effect.sync(() => settle(entry, exit, "executed"))
      )
    }
    const reused = cause.reasons.find((reason) =>
      Cause.isDieReason(reason) && reason.defect instanceof DownstreamKeyReused
    )
    const exit = reused !== undefined && Cause.isDieReason(reused)
      ? Exit.fail(new IdempotencyError({ reason: reused.defect as DownstreamKeyReused }))
      : Exit.failCause(cause)
    return Effect.map(giveUp(entry, call, { ran: true, counted: true }), () => settle(entry, exit, "executed"))
  }

  const lookUp = (entry: Entry, call: Call, ageMillis = 0): Effect.Effect<Resolution, never, unknown> => {
    if (call.resolve === undefined) return Effect.succeed<Resolution>({ _tag: "StillUnknown" })
    return call.resolve({
      scope: call.id.scope,
      key: call.id.key,
      attempt: entry.attempt,
      downstreamKey: (phase) => downstreamKey(digest, call.id, phase),
      age: Duration.millis(ageMillis)
    }).pipe(
      Effect.timeoutOrElse({
        duration: Duration.millis(call.resolveTimeoutMillis),
        orElse: () => Effect.succeed<Resolution>({ _tag: "StillUnknown" })
      }),
      Effect.interruptible,
      Effect.catchCause((cause) =>
        Effect.succeed<Resolution>(Cause.hasInterrupts(cause) ? { _tag: "NotAsked" } : { _tag: "StillUnknown" })
      )
    )
  }

  const runClaimed = (
    entry: Entry,
    call: Call,
    ageMillis: number,
    isFirst: boolean
  ): Effect.Effect<void, never, unknown> => {
    const claimedAt = entry.confirmedAt
    const claim = new OperationClaim(call.id, entry, digest, () => ageMillis + leases.nowMillis() - claimedAt)
    const transactions = isTransactional(call, store)
    if (transactions !== undefined) return runInTransaction(entry, call, claim, transactions)
    return Effect.flatMap(
      Effect.exit(Effect.interruptible(
        Effect.provideContext(call.self, Context.make(GatewayCallMustBeInsideIdempotent, claim))
      )),
      (exit) => conclude(entry, call, claim, exit, isFirst)
    )
  }

  // --- effect and record in one transaction

  const runInTransaction = (
    entry: Entry,
    call: Call,
    claim: OperationClaim,
    transactions: NonNullable<IdempotencyStore["Service"]["transactions"]>
  ): Effect.Effect<void, never, unknown> => {
    const body = Effect.flatMap(
      Effect.provideContext(call.self, Context.make(GatewayCallMustBeInsideIdempotent, claim)),
      (value) => {
        const stored = call.successCodec.store(value, call.resultLimitBytes)
        if (Result.isFailure(stored)) return Effect.fail(new Aborted(stored.failure))
        const completion = { _tag: "Succeeded", result: stored.success, ttlMillis: call.ttlMillis } as const
        const request = { ...entry.id, owner: entry.owner, fence: entry.fence, completion }
        return Effect.flatMap(
          store.complete(request),
          (owned) => owned ? Effect.succeed(value) : Effect.fail(new Aborted("lease lost"))
        )
      }
    )
    return Effect.flatMap(
      Effect.exit(Effect.interruptible(transactions.withTransaction(body))),
      (exit) => concludeTransaction(entry, call, exit)
    )
  }

  const concludeTransaction = (
    entry: Entry,
    call: Call,
    exit: Exit.Exit<unknown, unknown>
  ): Effect.Effect<void, never, unknown> => {
    if (Exit.isSuccess(exit)) return Effect.sync(() => settle(entry, exit, "executed"))
    const only = exit.cause.reasons.length === 1 ? exit.cause.reasons[0] : undefined
    const error = only !== undefined && only._tag === "Fail" ? only.error : undefined
    if (error instanceof StoreUnavailable) return concludeCommit(entry, call, error)
    if (error instanceof Aborted && error.why === "lease lost") {
      return Effect.map(unknown(call), (exit) => settle(entry, exit, "executed"))
    }
    if (error !== undefined && !(error instanceof Aborted) && dispositionOf(error) === "Refused") {
      return keepRefusal(entry, call, error, "executed")
    }
    // Rolled back: whatever it was, nothing of it is left.
    const settled: Effect.Effect<Exit.Exit<unknown, unknown>> = error instanceof Aborted
      ? Effect.map(
        downstreamKey(digest, call.id, call.phase),
        (downstreamKey) =>
          Exit.fail(new IdempotencyError({ reason: new ResultInvalid({ detail: error.why, downstreamKey }) }))
      )
      : Effect.succeed(exit)
    return Effect.flatMap(
      persist(
        entry,
        () => store.release({ ...entry.id, owner: entry.owner, fence: entry.fence, ttlMillis: call.ttlMillis }),
        soon()
      ),
      () => Effect.map(settled, (exit) => settle(entry, exit, "executed"))
    )
  }

  // The commit got no answer. Rows and record are committed together, so the record tells.
  const concludeCommit = (entry: Entry, call: Call, error: StoreUnavailable): Effect.Effect<void> =>
    Effect.flatMap(
      Effect.exit(store.inspect(entry.id)),
      (exit) => {
        const record = Exit.isSuccess(exit) ? exit.value.record : undefined
        const isOurs = record?.owner === entry.owner && record.fence === entry.fence
        if (isOurs && record.state === "Succeeded") {
          settle(entry, replayOf(call, record), "executed")
          return Effect.void
        }
        if (!isOurs || record.state !== "Claimed") {
          return Effect.map(unknown(call), (exit) => settle(entry, exit, "executed"))
        }
        return Effect.map(
          persist(
            entry,
            () => store.release({ ...entry.id, owner: entry.owner, fence: entry.fence, ttlMillis: call.ttlMillis }),
            soon()
          ),
          () => settle(entry, Exit.fail(new IdempotencyError({ reason: error })), "executed")
        )
      }
    )

  // --- taking over

  const takeOver = (
    entry: Entry,
    call: Call,
    record: Record,
    now: number
  ): Effect.Effect<void, never, unknown> => {
    const age = now - record.createdAt
    // What ran in a transaction that never committed left nothing behind.
    const verdict = isTransactional(call, store) === undefined
      ? lookUp(entry, call, age)
      : Effect.succeed<Resolution>({ _tag: "NeverHappened", repeatable: true })
    return Effect.flatMap(verdict, (resolution) => {
      switch (resolution._tag) {
        case "Happened":
          return keepSuccess(entry, call, resolution.result, "resolved")
        case "Refused":
          return keepRefusal(entry, call, resolution.error, "resolved")
        case "NeverHappened":
          if (resolution.repeatable === true || now - record.unknownSince >= call.settleMillis) {
            return runClaimed(entry, call, age, now - record.unknownSince >= call.settleMillis)
          }
          return stillUnknown(entry, call, false)
        case "NotAsked":
          return stillUnknown(entry, call, false)
        case "StillUnknown":
          return stillUnknown(entry, call, true)
      }
    })
  }

  const stillUnknown = (entry: Entry, call: Call, counted: boolean): Effect.Effect<void> =>
    Effect.flatMap(
      giveUp(entry, call, { ran: false, counted }),
      () => Effect.map(unknown(call), (exit) => settle(entry, exit, "resolved"))
    )

  // --- claiming

  const replayOf = (call: Call, record: Record): Exit.Exit<unknown, unknown> => {
    const text = record.result ?? ""
    const restored = record.state === "Succeeded" ? call.successCodec.restore(text) : call.errorCodec.restore(text)
    if (Result.isFailure(restored)) return Exit.fail(new IdempotencyError({ reason: new RecordUnreadable({}) }))
    return record.state === "Succeeded" ? Exit.succeed(restored.success) : Exit.fail(restored.success)
  }

  const start = (entry: Entry, work: Effect.Effect<void, never, unknown>) =>
    Effect.map(
      Effect.forkIn(work, scope, { startImmediately: true, uninterruptible: true }),
      (fiber) => {
        entry.fiber = fiber
        // A layer that is being closed runs nothing any more.
        if (entry.settled === undefined && fiber.pollUnsafe() !== undefined) settle(entry, Exit.interrupt(), "executed")
        if (entry.settled === undefined) {
          fiber.addObserver((exit) => {
            settle(entry, Exit.isFailure(exit) ? Exit.failCause(exit.cause) : Exit.interrupt(), "executed")
          })
          if (entry.isLost) fiber.interruptUnsafe()
        }
      }
    )

  const receive = (
    entry: Entry,
    call: Call,
    request: ClaimRequest,
    record: Record,
    now: number,
    sentAt: number
  ): Effect.Effect<"started" | "settled" | number, never, unknown> => {
    const decided = answer(record, request, now)
    entry.fence = record.fence
    entry.attempt = record.attempt
    switch (decided._tag) {
      case "Granted":
      case "Resolve": {
        // A claim that recognised itself is as old as its first try.
        leases.hold(entry, sentAt - Math.max(0, call.leaseMillis - (record.leaseUntil - now)))
        entry.enter("running")
        const work = decided._tag === "Granted"
          ? runClaimed(entry, call, now - record.createdAt, true)
          : takeOver(entry, call, record, now)
        return Effect.as(start(entry, work), "started")
      }
      case "InFlight":
        if (call.awaits) return Effect.succeed(decided.retryAfterMillis)
        settle(entry, inFlight(decided.retryAfterMillis), "replayed")
        return settledHere
      case "Replay":
        settle(entry, replayOf(call, record), "replayed")
        return settledHere
      case "Conflict":
        settle(entry, Exit.fail(new IdempotencyError({ reason: new KeyConflict({}) })), "replayed")
        return settledHere
      case "Parked":
        return Effect.map(downstreamKey(digest, call.id, call.phase), (downstreamKey) => {
          settle(entry, Exit.fail(new IdempotencyError({ reason: new Parked({ downstreamKey }) })), "replayed")
          return "settled"
        })
      case "OutcomeUnknown":
        return Effect.map(unknown(call), (exit) => {
          settle(entry, exit, "replayed")
          return "settled"
        })
    }
  }

  const inFlight = (retryAfterMillis: number) =>
    Exit.fail(new IdempotencyError({ reason: new InFlight({ retryAfter: Duration.millis(retryAfterMillis) }) }))

  // Gives back a claim whose answer nobody waited for.
  const takeBack = (request: ClaimRequest, call: Call) =>
    Effect.ignore(Effect.flatMap(store.claim(request), ({ now, record }) => {
      const { fence, id, key, owner, scope } = record
      const ownership = { id, key, scope, owner, fence }
      const decided = answer(record, request, now)
      if (decided._tag === "Granted") return store.release({ ...ownership, ttlMillis: call.ttlMillis })
      return decided._tag !== "Resolve" ? Effect.void : store.complete({
        ...ownership,
        completion: { _tag: "Indeterminate", ran: false, counted: false, attemptsMax: call.attemptsMax }
      })
    }))

  const lead = (call: Call, fingerprint: string): Effect.Effect<Answered, IdempotencyError, unknown> => {
    const { id } = call.id
    const entry = new Entry(call.id, fingerprint, ownerOf(id), call.leaseMillis)
    live.set(id, entry)
    const request: ClaimRequest = {
      id,
      scope: call.id.scope,
      key: call.id.key,
      fingerprint,
      owner: entry.owner,
      leaseMillis: call.leaseMillis,
      canResolve: call.resolve !== undefined || isTransactional(call, store) !== undefined,
      attemptsMax: call.attemptsMax
    }
    return Effect.uninterruptibleMask((restore) => ask(entry, call, request, restore))
  }

  // A store that hangs is waited for one lease.
  const claimOnce = (request: ClaimRequest): Effect.Effect<ClaimReply, StoreUnavailable> =>
    Effect.flatMap(
      Effect.forkIn(store.claim(request), scope, { startImmediately: true }),
      (fiber) =>
        fiber.pollUnsafe() ?? Effect.timeoutOrElse(Fiber.join(fiber), {
          duration: Duration.millis(request.leaseMillis),
          orElse: () => Effect.fail(new StoreUnavailable({ operation: "claim", detail: "no answer within a lease" }))
        })
    )

  const ask = (
    entry: Entry,
    call: Call,
    request: ClaimRequest,
    restore: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>,
    pollUntil = 0
  ): Effect.Effect<Answered, IdempotencyError, unknown> => {
    const sentAt = leases.nowMillis()
    return Effect.matchCauseEffect(
      // A second try under the same owner: a claim whose reply was lost recognises itself.
      restore(Effect.catch(claimOnce(request), () => claimOnce(request))),
      {
        onFailure: (cause) => claimFailed(entry, call, request, cause),
        onSuccess: ({ now, record }) =>
          Effect.flatMap(receive(entry, call, request, record, now, sentAt), (next) => {
            if (typeof next !== "number") return awaitSettled(entry, call, restore)
            const until = pollUntil === 0 ? sentAt + call.awaitMillis : pollUntil
            return poll(entry, call, request, restore, until, next)
          })
      }
    )
  }

  const claimFailed = (
    entry: Entry,
    call: Call,
    request: ClaimRequest,
    cause: Cause.Cause<StoreUnavailable>
  ): Effect.Effect<never, IdempotencyError> => {
    const error = Cause.findErrorOption(cause)
    if (error._tag === "Some") {
      const until = leases.nowMillis() + call.leaseMillis / 2
      if (ghosts.size < ghostsMax) ghosts.set(entry.id.id, { owner: entry.owner, until })
      const exit = Exit.fail(new IdempotencyError({ reason: error.value }))
      settle(entry, exit, "executed")
      return exit
    }
    return Effect.andThen(
      Effect.forkIn(takeBack(request, call), scope),
      Effect.suspend(() => {
        abandon(entry)
        return Effect.failCause(cause as Cause.Cause<never>)
      })
    )
  }

  // Another process works on it: ask again with jitter, at the latest when its lease ends, until the deadline.
  const poll = (
    entry: Entry,
    call: Call,
    request: ClaimRequest,
    restore: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>,
    until: number,
    retryAfterMillis: number
  ): Effect.Effect<Answered, IdempotencyError, unknown> => {
    const left = until - leases.nowMillis()
    if (left <= 0) {
      const exit = inFlight(retryAfterMillis)
      settle(entry, exit, "replayed")
      return exit
    }
    entry.enter("polling")
    return Effect.flatMap(Random.next, (random) =>
      Effect.matchCauseEffect(
        restore(Effect.sleep(Duration.millis(Math.min(left, retryAfterMillis, 50 + random * 200)))),
        {
          onFailure: (cause) => {
            abandon(entry)
            return Effect.failCause(cause)
          },
          onSuccess: () => ask(entry, call, request, restore, until)
        }
      ))
  }

  // --- waiting

  const answeredOf = (entry: Entry): Effect.Effect<Answered, IdempotencyError> => {
    const { settled } = entry
    return settled === undefined || settled === "abandoned" ? Effect.interrupt : Effect.succeed(settled)
  }

  const awaitSettled = (
    entry: Entry,
    call: Call,
    restore: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  ): Effect.Effect<Answered, IdempotencyError> =>
    entry.settled === undefined ? restore(join(entry, call)) : answeredOf(entry)

  // One waiter's interruption never stops the work while others wait; the last one's does, unless it is detached.
  const join = (entry: Entry, call: Call): Effect.Effect<Answered, IdempotencyError> =>
    Effect.suspend(() => {
      if (entry.settled !== undefined) return answeredOf(entry)
      entry.waiting++
      return Effect.onInterrupt(untilChange(entry, () => entry.settled !== undefined), () => {
        entry.waiting--
        if (entry.waiting > 0 || call.detaches || entry.settled !== undefined) return Effect.void
        entry.isCancelled = true
        entry.fiber?.interruptUnsafe()
        return untilChange(entry, () => entry.settled !== undefined)
      }).pipe(Effect.flatMap(() => answeredOf(entry)))
    })

  const untilChange = (entry: Entry, isDone: () => boolean): Effect.Effect<void> =>
    Effect.callback<void>((resume) => {
      let stop: () => void = () => undefined
      const check = (): void => {
        if (isDone()) resume(Effect.void)
        else stop = entry.observe(check)
      }
      check()
      return Effect.sync(() => stop())
    })

  const follow = (
    entry: Entry,
    call: Call,
    fingerprint: string
  ): Effect.Effect<Answered, IdempotencyError, unknown> => {
    if (entry.settled === "abandoned") return begin(call, fingerprint)
    if (entry.settled !== undefined) return Effect.succeed(joined(entry.settled))
    if (!call.awaits) return inFlight(Math.max(1, entry.confirmedAt + entry.leaseMillis - leases.nowMillis()))
    const joining = entry.phase === "running"
      ? Effect.map(join(entry, call), joined)
      : Effect.flatMap(
        untilChange(entry, () => entry.settled !== undefined || entry.phase === "running"),
        () => follow(entry, call, fingerprint)
      )
    return Effect.timeoutOrElse(joining, {
      duration: Duration.millis(call.awaitMillis),
      orElse: () => inFlight(Math.max(1, entry.confirmedAt + entry.leaseMillis - leases.nowMillis()))
    })
  }

  const begin = (call: Call, fingerprint: string): Effect.Effect<Answered, IdempotencyError, unknown> =>
    Effect.suspend(() => {
      const entry = live.get(call.id.id)
      if (entry === undefined) return lead(call, fingerprint)
      if (entry.fingerprint !== fingerprint) return fail(new KeyConflict({}))
      if (entry.phase !== "claiming") return follow(entry, call, fingerprint)
      return Effect.flatMap(
        untilChange(entry, () => entry.settled !== undefined || entry.phase !== "claiming"),
        () => follow(entry, call, fingerprint)
      )
    })

  const run = (call: Call): Effect.Effect<Answered, IdempotencyError, unknown> =>
    Effect.suspend(() => {
      const canonical = call.payloadCodec.canonical(call.payload, call.payloadLimitBytes)
      if (Result.isFailure(canonical)) return fail(new PayloadInvalid({ detail: canonical.failure }))
      return Effect.flatMap(
        digest.digestHex(Digest.sha256, encoder.encode(canonical.success)),
        (hex) => begin(call, `v1:${hex}`)
      )
    })

  const { transactions } = store
  const guarded = transactions === undefined ?
    run :
    (call: Call) =>
      Effect.flatMap(transactions.isInside, (isInside) => isInside ? fail(new InsideTransaction({})) : run(call))

  return { store, run: (call) => observe(call, guarded(call)) }
})

const settledHere = Effect.succeed("settled" as const)

const joined = (answered: Answered): Answered => ({ ...answered, how: "replayed" })

class Aborted {
  readonly why: string
  constructor(why: string) {
    this.why = why
  }
}

