/**
 * Answers a call of an idempotent operation: from an entry of this process, from the record, or by claiming the slot and
 * starting the work. Transitions are in `machine.ts`, time is in `leases.ts`, ends are in `ending.ts`.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Digest from "effect/crypto/Digest"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Hex from "effect/encoding/Hex"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { IdempotencyStore, type StoreUnavailable } from "../../IdempotencyStore.ts"
import { type Call, type Shared, transactionsOf } from "./call.ts"
import { joinBounded, unknownExit } from "./ending.ts"
import { type Answered, Entry, type How } from "./entry.ts"
import { IdempotencyError, InFlight, InsideTransaction, KeyConflict, Parked, PayloadInvalid } from "./errors.ts"
import * as Leases from "./leases.ts"
import { answer } from "./machine.ts"
import { downstreamKey } from "./makeClaim.ts"
import { count, countError } from "./observe.ts"
import type { ClaimReply, ClaimRequest } from "./record.ts"
import { replayOf, start } from "./running.ts"

type AnyFiber = Fiber.Fiber<unknown, unknown>
type Answer = Effect.Effect<unknown, unknown>

/** @internal */
export interface Engine {
  readonly store: IdempotencyStore["Service"]
  /** Inside `withFiber` of the caller. */
  readonly run: (call: Call, caller: AnyFiber) => Answer
}

const ghostsMax = 10_000
const pollMinMillis = 50
const pollJitterMillis = 200

/** @internal */
export const make: Effect.Effect<
  Engine,
  never,
  IdempotencyStore | Digest.Digest | SecureRandom.SecureRandom | Scope.Scope
> = Effect.gen(function*() {
  const store = yield* IdempotencyStore
  const digest = yield* Digest.Digest
  const scope = yield* Effect.scope
  const random = yield* SecureRandom.SecureRandom
  const engineId = Hex.encode(yield* random.randomBytes(12))
  const leases = yield* Leases.make(store, yield* Clock.Clock, scope)
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
    return `${engineId}.${claims++}`
  }

  const forget = (entry: Entry): void => {
    leases.drop(entry)
    if (live.get(entry.id.id) === entry) live.delete(entry.id.id)
  }

  const settle = (entry: Entry, exit: Exit.Exit<unknown, unknown>, how: How): void => {
    if (entry.settled !== undefined) return
    forget(entry)
    entry.settle({ exit, how, fence: entry.fence, attempt: entry.attempt })
  }

  const abandon = (entry: Entry): void => {
    forget(entry)
    entry.settle("abandoned")
  }

  const shared: Shared = { store, digest, scope, leases, settle }

  const refuse = (call: Call, caller: AnyFiber, reason: IdempotencyError["reason"]): Answer => {
    countError(call, caller, reason._tag)
    return Effect.fail(new IdempotencyError({ reason }))
  }

  const reply = (call: Call, caller: AnyFiber, answered: Answered): Answer => {
    count(call, caller, answered)
    return call.project(answered)
  }

  const run = (call: Call, caller: AnyFiber): Answer => {
    const canonical = call.payloadCodec.canonical(call.payload, call.payloadLimitBytes)
    if (Result.isFailure(canonical)) return refuse(call, caller, new PayloadInvalid({ detail: canonical.failure }))
    return Effect.flatMap(
      digest.digestHex(Digest.sha256, encode(canonical.success)),
      (hex) => begin(call, caller, `v1:${hex}`)
    )
  }

  const begin = (call: Call, caller: AnyFiber, fingerprint: string): Answer => {
    const entry = live.get(call.id.id)
    if (entry === undefined) return lead(call, caller, fingerprint)
    if (entry.fingerprint !== fingerprint) return refuse(call, caller, new KeyConflict({}))
    if (entry.phase !== "claiming") return follow(entry, call, caller, fingerprint)
    // Whether it is in flight or finished is known as soon as the claim is answered.
    return Effect.flatMap(
      untilTrue(entry, () => entry.settled !== undefined || entry.phase !== "claiming"),
      () => follow(entry, call, caller, fingerprint)
    )
  }

  // --- the first local caller

  const lead = (call: Call, caller: AnyFiber, fingerprint: string): Answer => {
    if (scope.state._tag === "Closed") return Effect.interrupt
    const { id, key, scope: keyScope } = call.id
    const entry = new Entry(call.id, fingerprint, ownerOf(id), call.leaseMillis)
    live.set(id, entry)
    const request: ClaimRequest = {
      id,
      scope: keyScope,
      key,
      fingerprint,
      owner: entry.owner,
      leaseMillis: call.leaseMillis,
      canResolve: call.resolve !== undefined || transactionsOf(call, store) !== undefined,
      attemptsMax: call.attemptsMax
    }
    // The first caller waits from before the work starts: it may be interrupted as soon as it has.
    return Effect.onExitPrimitive(
      ask(entry, call, caller, request),
      () => entry.phase === "running" && entry.settled === undefined ? leave(entry, call) : undefined
    )
  }

  // A store in another process may hang: it is waited for one lease.
  const claimOnce = (request: ClaimRequest): Effect.Effect<ClaimReply, StoreUnavailable> =>
    store.isLocal === true
      ? store.claim(request)
      : joinBounded(shared, store.claim(request), { operation: "claim", millis: request.leaseMillis })

  const ask = (entry: Entry, call: Call, caller: AnyFiber, request: ClaimRequest, pollUntil?: number): Answer => {
    const sentAt = leases.nowMillis()
    return Effect.flatMap(
      Effect.onExitPrimitive(
        // A second try under the same owner: a claim whose reply was lost recognises itself.
        Effect.catch(claimOnce(request), () => claimOnce(request)),
        (exit) =>
          Exit.isSuccess(exit)
            ? receive(entry, call, caller, request, exit.value, sentAt)
            : lostClaim(entry, call, request, exit.cause)
      ),
      ({ now, record }) => {
        if (entry.settled !== undefined || entry.phase === "running") return awaitSettled(entry, call, caller)
        return poll(entry, call, caller, request, pollUntil ?? sentAt + call.awaitMillis, record.leaseUntil - now)
      }
    )
  }

  // Runs where the claim ends and cannot be interrupted: what is granted is started.
  const receive = (
    entry: Entry,
    call: Call,
    caller: AnyFiber,
    request: ClaimRequest,
    { now, record }: ClaimReply,
    sentAt: number
  ): Effect.Effect<void> | undefined => {
    const decided = answer(record, request, now)
    entry.fence = record.fence
    entry.attempt = record.attempt
    switch (decided._tag) {
      case "Granted":
      case "Resolve":
        // A claim that recognised itself is as old as its first try.
        leases.hold(entry, sentAt - Math.max(0, call.leaseMillis - (record.leaseUntil - now)))
        entry.enter("running")
        entry.waiting++
        return void start(shared, entry, call, caller, decided)
      case "InFlight":
        if (!call.awaits) settle(entry, inFlight(decided.retryAfterMillis), "replayed")
        return undefined
      case "Replay":
        return void settle(entry, replayOf(call, record), "replayed")
      case "Conflict":
        return void settle(entry, Exit.fail(new IdempotencyError({ reason: new KeyConflict({}) })), "replayed")
      case "OutcomeUnknown":
        return Effect.map(unknownExit(shared, call), (exit) => settle(entry, exit, "replayed"))
      case "Parked":
        return Effect.map(
          downstreamKey(digest, call.id, call.phase),
          (downstreamKey) =>
            settle(entry, Exit.fail(new IdempotencyError({ reason: new Parked({ downstreamKey }) })), "replayed")
        )
    }
  }

  const lostClaim = (
    entry: Entry,
    call: Call,
    request: ClaimRequest,
    cause: Cause.Cause<StoreUnavailable>
  ): Effect.Effect<void> | undefined => {
    const error = Cause.findErrorOption(cause)
    if (error._tag === "None") {
      abandon(entry)
      return Effect.asVoid(Effect.forkIn(takeBack(request, call), scope))
    }
    const until = leases.nowMillis() + call.leaseMillis / 2
    if (ghosts.size < ghostsMax) ghosts.set(entry.id.id, { owner: entry.owner, until })
    settle(entry, Exit.fail(new IdempotencyError({ reason: error.value })), "executed")
    return undefined
  }

  // Gives back a claim whose answer nobody waited for.
  const takeBack = (request: ClaimRequest, call: Call) =>
    Effect.ignore(Effect.flatMap(store.claim(request), ({ now, record }) => {
      const owned = { ...request, fence: record.fence }
      const decided = answer(record, request, now)
      if (decided._tag === "Granted") return store.release({ ...owned, ttlMillis: call.ttlMillis })
      return decided._tag !== "Resolve" ? Effect.void : store.complete({
        ...owned,
        completion: { _tag: "Indeterminate", ran: false, counted: false, attemptsMax: call.attemptsMax }
      })
    }))

  // Another process works on it: asked again with jitter, at the latest when its lease ends, until the deadline.
  const poll = (
    entry: Entry,
    call: Call,
    caller: AnyFiber,
    request: ClaimRequest,
    until: number,
    leaseLeftMillis: number
  ): Answer => {
    const left = until - leases.nowMillis()
    if (left <= 0) {
      settle(entry, inFlight(leaseLeftMillis), "replayed")
      return awaitSettled(entry, call, caller)
    }
    entry.enter("polling")
    return Effect.flatMap(Random.next, (random) => {
      const wait = Math.min(left, Math.max(1, leaseLeftMillis), pollMinMillis + random * pollJitterMillis)
      return Effect.flatMap(
        Effect.onInterrupt(Effect.sleep(Duration.millis(wait)), () => Effect.sync(() => abandon(entry))),
        () => ask(entry, call, caller, request, until)
      )
    })
  }

  // --- waiting

  const isSettled = (entry: Entry) => (): boolean => entry.settled !== undefined

  const awaitSettled = (entry: Entry, call: Call, caller: AnyFiber): Answer =>
    entry.settled === undefined
      ? Effect.flatMap(untilTrue(entry, isSettled(entry)), () => replyOf(entry, call, caller))
      : replyOf(entry, call, caller)

  const replyOf = (entry: Entry, call: Call, caller: AnyFiber): Answer =>
    entry.settled === undefined || entry.settled === "abandoned"
      ? Effect.interrupt
      : reply(call, caller, entry.settled)

  // One waiter's interruption never stops the work while others wait; the last one's does, unless it is detached.
  const leave = (entry: Entry, call: Call): Effect.Effect<void> | undefined => {
    entry.waiting--
    if (entry.waiting > 0 || call.detaches || entry.settled !== undefined) return undefined
    entry.isCancelled = true
    entry.fiber?.interruptUnsafe()
    return untilTrue(entry, isSettled(entry))
  }

  const join = (entry: Entry, call: Call): Effect.Effect<void> =>
    Effect.suspend(() => {
      entry.waiting++
      return Effect.onExitPrimitive(
        untilTrue(entry, isSettled(entry)),
        () => entry.settled === undefined ? leave(entry, call) : undefined
      )
    })

  // A later local caller: shares the answer of the first one, or is told that it is in flight.
  const follow = (entry: Entry, call: Call, caller: AnyFiber, fingerprint: string): Answer => {
    if (entry.settled === "abandoned") return begin(call, caller, fingerprint)
    if (entry.settled !== undefined) return reply(call, caller, { ...entry.settled, how: "replayed" })
    const leaseLeft = entry.confirmedAt + entry.leaseMillis - leases.nowMillis()
    const busy = new InFlight({ retryAfter: Duration.millis(Math.max(1, leaseLeft)) })
    if (!call.awaits) return refuse(call, caller, busy)
    return Effect.timeoutOrElse(
      entry.phase === "running"
        ? Effect.flatMap(join(entry, call), () => follow(entry, call, caller, fingerprint))
        : Effect.flatMap(
          untilTrue(entry, () => entry.settled !== undefined || entry.phase === "running"),
          () => follow(entry, call, caller, fingerprint)
        ),
      { duration: Duration.millis(call.awaitMillis), orElse: () => refuse(call, caller, busy) }
    )
  }

  const { transactions } = store
  return {
    store,
    run: transactions === undefined ? run : (call, caller) =>
      Effect.flatMap(
        transactions.isInside,
        (isInside) => isInside ? refuse(call, caller, new InsideTransaction({})) : run(call, caller)
      )
  }
})

const inFlight = (retryAfterMillis: number) =>
  Exit.fail(
    new IdempotencyError({ reason: new InFlight({ retryAfter: Duration.millis(Math.max(1, retryAfterMillis)) }) })
  )

const untilTrue = (entry: Entry, isTrue: () => boolean): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    let stop: (() => void) | undefined
    const check = (): void => {
      if (isTrue()) resume(Effect.void)
      else stop = entry.observe(check)
    }
    check()
    return Effect.sync(() => stop?.())
  })

const encoder = new TextEncoder()

// Short and ASCII, as payloads mostly are: three times as fast as the encoder, whose call costs more than its work.
const encode = (text: string): Uint8Array => {
  if (text.length > 512) return encoder.encode(text)
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code > 0x7f) return encoder.encode(text)
    bytes[i] = code
  }
  return bytes
}
