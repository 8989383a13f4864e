/**
 * Answers a call of an idempotent operation: from an entry of this process, from the record, or by claiming the slot and
 * starting the work. Transitions are in `machine.ts`, time is in `leases.ts`, ends are in `ending.ts`.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Hex from "effect/encoding/Hex"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { IdempotencyStore, StoreUnavailable } from "../../IdempotencyStore.ts"
import { InvalidOption } from "../../Resilience.ts"
import { Digest, SecureRandom } from "../effect/crypto.ts"
import { GatewayCallMustBeInsideIdempotent } from "../stack/claim.ts"
import * as Deadlines from "../stack/deadlines.ts"
import { type Ask, askOf } from "../stack/question.ts"
import { askIn, listen } from "./ask.ts"
import { type Call, type Shared, transactionsOf } from "./call.ts"
import { downstreamKeys, report, unknownExit } from "./ending.ts"
import { type Answered, Entry, type How, untilSettled, untilTrue } from "./entry.ts"
import { IdempotencyError, InFlight, InsideTransaction, KeyConflict, Parked, PayloadInvalid } from "./errors.ts"
import * as Leases from "./leases.ts"
import { answer } from "./machine.ts"
import { count, countError } from "./observe.ts"
import { Owners } from "./owners.ts"
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

const takeBackMillis = 10_000
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
  const id = Hex.encode(yield* random.randomBytes(12))
  const clock = yield* Clock.Clock
  const deadlines = yield* Deadlines.make(clock, scope)
  const leases = yield* Leases.make(store, clock, scope)
  return new EngineImpl(new Owners(id), store, digest, scope, leases, deadlines)
})

class EngineImpl implements Engine, Shared {
  readonly store: IdempotencyStore["Service"]
  readonly digest: Digest.Digest["Service"]
  readonly scope: Scope.Scope
  readonly leases: Leases.Leases
  readonly deadlines: Deadlines.Deadlines
  private readonly owners: Owners
  private readonly live = new Map<string, Entry>()

  constructor(
    owners: Owners,
    store: IdempotencyStore["Service"],
    digest: Digest.Digest["Service"],
    scope: Scope.Scope,
    leases: Leases.Leases,
    deadlines: Deadlines.Deadlines
  ) {
    this.owners = owners
    this.store = store
    this.digest = digest
    this.scope = scope
    this.leases = leases
    this.deadlines = deadlines
  }

  run(call: Call, caller: AnyFiber): Answer {
    const { transactions } = this.store
    if (call.policy.isTransactional) {
      if (transactions === undefined) return Effect.die(noTransactions)
      if (transactions.isOwn?.(caller.context) === false) return Effect.die(otherDatabase)
    }
    return transactions === undefined ? this.fingerprint(call, caller) : Effect.flatMap(
      transactions.isInside,
      (isInside) => isInside ? this.refuse(call, caller, new InsideTransaction({})) : this.fingerprint(call, caller)
    )
  }

  private fingerprint(call: Call, caller: AnyFiber): Answer {
    const canonical = call.payloadCodec.canonical(call.payload, call.policy.payloadLimitBytes)
    if (Result.isFailure(canonical)) {
      return this.refuse(call, caller, new PayloadInvalid({ detail: canonical.failure }))
    }
    return Effect.flatMap(
      this.digest.digestHex(Digest.sha256, encoder.encode(canonical.success)),
      // What a lapsed claim may have left behind depends on whether it ran in a transaction: the two never meet.
      (hex) => this.begin(call, caller, `${call.policy.isTransactional ? "v1t" : "v1"}:${hex}`)
    )
  }

  private begin(call: Call, caller: AnyFiber, fingerprint: string, waitUntil?: number): Answer {
    const entry = this.live.get(call.id.id)
    if (entry === undefined) {
      const { local } = this.store
      return local === undefined
        ? this.lead(call, caller, fingerprint, waitUntil)
        : this.leadLocally(local, call, caller, fingerprint)
    }
    const isSame = entry.fingerprint === fingerprint
    if (entry.phase !== "claiming") {
      return isSame
        ? this.follow(entry, call, caller, fingerprint, waitUntil)
        : this.refuse(call, caller, new KeyConflict({}))
    }
    // Whether it is in flight or finished, and which of two payloads is the other one, the answer to the claim tells.
    return Effect.flatMap(
      Effect.timeoutOption(
        untilTrue(entry, () => entry.settled !== undefined || entry.phase !== "claiming"),
        Duration.millis(call.policy.awaitMillis)
      ),
      (change) => {
        // Another payload is not told of the first one's before it is known which of them has the key.
        if (change._tag === "None") return this.refuse(call, caller, isSame ? this.busy(entry) : silent)
        return isSame
          ? this.follow(entry, call, caller, fingerprint, waitUntil)
          : this.begin(call, caller, fingerprint, waitUntil)
      }
    )
  }

  // --- the first local caller

  // What is entered is taken out again whatever becomes of this caller: it may be interrupted before it has asked, and
  // between two questions.
  private lead(call: Call, caller: AnyFiber, fingerprint: string, waitUntil?: number): Answer {
    const entry = this.entryOf(call, fingerprint)
    return Effect.onExitPrimitive(
      Effect.suspend(() => {
        // Another caller of this process may have come first.
        if (this.live.has(call.id.id)) return this.begin(call, caller, fingerprint, waitUntil)
        if (this.isClosed) return this.refuse(call, caller, closed)
        this.enter(entry)
        return this.ask(entry, call, caller, this.requestOf(entry, call), waitUntil)
      }),
      () => this.depart(entry)
    )
  }

  // The first caller goes. It waits from before the work starts, so that it may be interrupted as soon as it has.
  private depart(entry: Entry): Effect.Effect<void> | undefined {
    if (entry.settled !== undefined || !entry.isEntered) return undefined
    if (entry.phase === "running") return this.leave(entry)
    this.abandon(entry)
    return undefined
  }

  // The store answers at once: an effect that waits for nothing is over before anyone else could ask, and only what is
  // not is entered and waited for. Claim and start are one step, which nothing can interrupt.
  private leadLocally(local: Local, call: Call, caller: AnyFiber, fingerprint: string): Answer {
    const entry = this.entryOf(call, fingerprint)
    return Effect.onExitPrimitive(
      Effect.suspend(() => this.claimLocally(local, entry, call, caller)),
      () => this.depart(entry)
    )
  }

  private claimLocally(local: Local, entry: Entry, call: Call, caller: AnyFiber): Answer {
    if (this.isClosed) return this.refuse(call, caller, closed)
    const request = this.requestOf(entry, call)
    const reply = local.claim(request)
    if (reply instanceof StoreUnavailable) return this.refuse(call, caller, reply)
    const decided = answer(reply.record, request, reply.now)
    entry.granted(reply.record)
    switch (decided._tag) {
      case "Replay":
        return this.reply(call, caller, answeredOf(entry, replayOf(call, reply.record), "replayed"))
      case "Conflict":
        return this.refuse(call, caller, new KeyConflict({}))
      case "Granted":
      case "Resolve":
        entry.confirmedAt = this.leases.nowMillis()
        entry.phase = "running"
        entry.waiting = 1
        start(this, entry, call, caller, decided)
        if (entry.settled === undefined) {
          this.enter(entry)
          this.leases.hold(entry, entry.confirmedAt)
        }
        return this.awaitSettled(entry, call, caller)
      default:
        return this.lead(call, caller, entry.fingerprint)
    }
  }

  private entryOf(call: Call, fingerprint: string): Entry {
    const entry = new Entry(call.id, fingerprint, this.owners.next(call.id.id, fingerprint), call.policy.leaseMillis)
    entry.isDetached = call.policy.detaches
    return entry
  }

  private requestOf(entry: Entry, call: Call): ClaimRequest {
    const { id, key, scope } = call.id
    return {
      id,
      scope,
      key,
      fingerprint: entry.fingerprint,
      owner: entry.owner,
      leaseMillis: call.policy.leaseMillis,
      canResolve: call.resolve !== undefined || transactionsOf(call, this.store) !== undefined,
      attemptsMax: call.policy.attemptsMax
    }
  }

  // Waits once for the claim and what follows from it: between the two the fiber of the caller has nothing to do.
  private ask(entry: Entry, call: Call, caller: AnyFiber, request: ClaimRequest, pollUntil?: number): Answer {
    return Effect.callback((resume) => {
      const startedAt = this.leases.nowMillis()
      let isGone = false
      let stop: (() => void) | undefined
      // No fiber runs what follows: what throws, such as a store's answer that is none, is a defect of the caller all the same.
      const safely = (f: () => void): void => {
        try {
          f()
        } catch (defect) {
          resume(Effect.die(defect))
        }
      }
      const whenSettled = (): void => {
        if (isGone) return
        if (entry.settled === undefined) entry.observe(() => safely(whenSettled))
        else resume(this.replyOf(entry, call, caller))
      }
      const receive = (reply: ClaimReply, sentAt: number): void => {
        const ending = this.receive(entry, call, caller, request, reply, sentAt)
        if (ending !== undefined) {
          return resume(Effect.flatMap(Effect.uninterruptible(ending), () => this.awaitSettled(entry, call, caller)))
        }
        if (entry.settled !== undefined || entry.phase === "running") return whenSettled()
        const until = pollUntil ?? startedAt + call.policy.awaitMillis
        resume(this.poll(entry, call, caller, request, until, reply.record.leaseUntil - reply.now))
      }
      const claim = (ask: Ask<ClaimReply, StoreUnavailable>, sentAt: number, isFirst: boolean): void => {
        let isAnswered = false
        // A store in another process may hang: it is waited for one lease.
        const stopListening = listen(
          this.deadlines,
          ask,
          { operation: "claim", millis: request.leaseMillis },
          (exit) =>
            safely(() => {
              isAnswered = true
              if (Exit.isSuccess(exit)) return receive(exit.value, sentAt)
              // A second try under the same owner: a claim whose reply was lost recognises itself, and is prolonged.
              if (isFirst) return claim(askIn(caller.context, again), this.leases.nowMillis(), false)
              this.refuseClaim(entry, Option.getOrElse(Cause.findErrorOption(exit.cause), () => silent))
              whenSettled()
            })
        )
        if (!isAnswered) stop = stopListening
      }
      const again = Effect.suspend(() => this.store.claim(request))
      const first = this.store.claim(request)
      claim(askOf(first) ?? askIn(caller.context, first), startedAt, true)
      return Effect.suspend(() => {
        isGone = true
        stop?.()
        return this.takeBackUnlessHeld(entry, call, request)
      })
    })
  }

  // Runs where the claim ends and cannot be interrupted: what is granted is started.
  private receive(
    entry: Entry,
    call: Call,
    caller: AnyFiber,
    request: ClaimRequest,
    { now, record }: ClaimReply,
    sentAt: number
  ): Effect.Effect<void> | undefined {
    const decided = answer(record, request, now)
    entry.granted(record)
    switch (decided._tag) {
      case "Granted":
      case "Resolve":
        this.leases.hold(entry, sentAt - Math.max(0, call.policy.leaseMillis - (record.leaseUntil - now)))
        // A process that was frozen while it asked: somebody else may have taken over by now.
        if (!this.leases.isLive(entry)) {
          this.refuseClaim(entry, new StoreUnavailable({ operation: "claim", detail: "answered too late" }))
          return undefined
        }
        entry.enter("running")
        entry.waiting++
        start(this, entry, call, caller, decided)
        return undefined
      case "InFlight":
        // As if it were ours: what local callers are told while we ask for it.
        entry.confirmedAt = this.leases.nowMillis() - call.policy.leaseMillis + decided.retryAfterMillis
        if (!call.policy.awaits) this.settle(entry, inFlight(decided.retryAfterMillis), "replayed")
        return undefined
      case "Replay":
        this.settle(entry, replayOf(call, record), "replayed")
        return undefined
      case "Conflict":
        this.settle(entry, failure(new KeyConflict({})), "replayed")
        return undefined
      case "OutcomeUnknown":
        return Effect.map(unknownExit(this, call, undefined), (exit) => this.settle(entry, exit, "replayed"))
      case "Parked":
        return Effect.andThen(
          // Parked by this claim: each owner so far has vanished without a word.
          record.updatedAt === now ? report(this, entry, call, "parked") : Effect.void,
          Effect.map(
            downstreamKeys(this, call, undefined),
            (keys) => this.settle(entry, failure(new Parked(keys)), "replayed")
          )
        )
    }
  }

  private takeBackUnlessHeld(entry: Entry, call: Call, request: ClaimRequest): Effect.Effect<void> {
    if (entry.settled !== undefined || entry.phase === "running") return Effect.void
    this.abandon(entry)
    return Effect.asVoid(Effect.forkIn(this.takeBack(request, call), this.scope))
  }

  private refuseClaim(entry: Entry, reason: StoreUnavailable): void {
    this.owners.haunt(entry)
    this.settle(entry, failure(reason), "executed")
  }

  // Gives back a claim whose answer nobody waited for.
  private takeBack(request: ClaimRequest, call: Call): Effect.Effect<void> {
    const given = Effect.flatMap(this.store.claim(request), ({ now, record }) => {
      const owned = { ...request, fence: record.fence }
      const decided = answer(record, request, now)
      if (decided._tag === "Granted") return this.store.release({ ...owned, ttlMillis: call.policy.ttlMillis })
      return decided._tag !== "Resolve" ? Effect.void : this.store.complete({
        ...owned,
        completion: { _tag: "Indeterminate", ran: false, counted: false, attemptsMax: call.policy.attemptsMax }
      })
    })
    return Effect.ignore(Effect.timeout(given, takeBackMillis))
  }

  // Another process works on it: asked again with jitter, at the latest when its lease ends, until the deadline.
  private poll(
    entry: Entry,
    call: Call,
    caller: AnyFiber,
    request: ClaimRequest,
    until: number,
    leaseLeftMillis: number
  ): Answer {
    const left = until - this.leases.nowMillis()
    if (left <= 0) {
      this.settle(entry, inFlight(leaseLeftMillis), "replayed")
      return this.awaitSettled(entry, call, caller)
    }
    entry.enter("polling")
    return Effect.flatMap(Random.next, (random) => {
      const wait = Math.ceil(Math.min(left, Math.max(1, leaseLeftMillis), pollMinMillis + random * pollJitterMillis))
      return Effect.flatMap(Effect.sleep(Duration.millis(wait)), () => this.ask(entry, call, caller, request, until))
    })
  }

  // --- ends

  settle(entry: Entry, exit: Exit.Exit<unknown, unknown>, how: How): void {
    if (entry.settled !== undefined) return
    this.forget(entry)
    entry.settle(answeredOf(entry, exit, how))
  }

  abandon(entry: Entry): void {
    this.forget(entry)
    entry.settle("abandoned")
  }

  private enter(entry: Entry): void {
    entry.isEntered = true
    this.live.set(entry.id.id, entry)
  }

  private forget(entry: Entry): void {
    if (!entry.isEntered) return
    this.leases.drop(entry)
    if (this.live.get(entry.id.id) === entry) this.live.delete(entry.id.id)
  }

  private refuse(call: Call, caller: AnyFiber, reason: IdempotencyError["reason"]): Answer {
    countError(call, caller, reason._tag)
    return Effect.fail(new IdempotencyError({ reason }))
  }

  private reply(call: Call, caller: AnyFiber, answered: Answered): Answer {
    count(call, caller, answered)
    // An operation around this one is not one that did nothing.
    if (answered.exit._tag === "Success") {
      Context.getOrUndefined(caller.context, GatewayCallMustBeInsideIdempotent)?.witness()
    }
    return call.project(answered)
  }

  // --- waiting

  private awaitSettled(entry: Entry, call: Call, caller: AnyFiber): Answer {
    return entry.settled === undefined
      ? Effect.flatMap(untilSettled(entry), () => this.replyOf(entry, call, caller))
      : this.replyOf(entry, call, caller)
  }

  private replyOf(entry: Entry, call: Call, caller: AnyFiber): Answer {
    return entry.settled === undefined || entry.settled === "abandoned"
      ? Effect.interrupt
      : this.reply(call, caller, entry.settled)
  }

  // One waiter's interruption never stops the work while others wait; the last one's does, unless it is detached.
  private leave(entry: Entry): Effect.Effect<void> | undefined {
    entry.waiting--
    if (entry.waiting > 0 || entry.isDetached || entry.settled !== undefined) return undefined
    entry.isCancelled = true
    entry.fiber?.interruptUnsafe()
    return untilSettled(entry)
  }

  // Answers whether it is settled. A waiter whose time is up has not given up: it is told to ask again, and the work goes
  // on for it also where nobody else waits.
  private join(entry: Entry, call: Call, wait: Duration.Duration): Effect.Effect<boolean> {
    return Effect.suspend(() => {
      entry.waiting++
      entry.isDetached ||= call.policy.detaches
      return Effect.map(
        Effect.onExitPrimitive(Effect.timeoutOption(untilSettled(entry), wait), (exit) => {
          if (entry.settled !== undefined) return undefined
          if (Exit.isSuccess(exit) && entry.waiting === 1) entry.isDetached = true
          return this.leave(entry)
        }),
        (settled) => settled._tag === "Some"
      )
    })
  }

  // A later local caller: shares the answer of the first one, or is told that it is in flight.
  private follow(entry: Entry, call: Call, caller: AnyFiber, fingerprint: string, waitUntil?: number): Answer {
    if (entry.settled === "abandoned") return this.begin(call, caller, fingerprint, waitUntil)
    // The first caller has waited long enough, and this one has not: it asks for itself.
    if (entry.settled !== undefined && call.policy.awaits && isInFlight(entry.settled)) {
      const until = waitUntil ?? this.leases.nowMillis() + call.policy.awaitMillis
      if (this.leases.nowMillis() < until) return this.begin(call, caller, fingerprint, until)
    }
    if (entry.settled !== undefined) return this.reply(call, caller, { ...entry.settled, how: "replayed" })
    if (!call.policy.awaits) return this.refuse(call, caller, this.busy(entry))
    const until = waitUntil ?? this.leases.nowMillis() + call.policy.awaitMillis
    if (entry.isFreeing) return this.startOver(entry, call, caller, fingerprint, until)
    const wait = Duration.millis(Math.max(0, until - this.leases.nowMillis()))
    const changed = entry.phase === "running" ? this.join(entry, call, wait) : Effect.map(
      Effect.timeoutOption(untilTrue(entry, () => entry.settled !== undefined || entry.phase === "running"), wait),
      (change) => change._tag === "Some"
    )
    // The bound is on the waiting: one that has to start over itself is not cut short.
    return Effect.flatMap(changed, (hasChanged) =>
      hasChanged
        ? this.follow(entry, call, caller, fingerprint, until)
        : this.refuse(call, caller, this.busy(entry)))
  }

  // It came when the slot was being given back: another process may have taken it since.
  private startOver(entry: Entry, call: Call, caller: AnyFiber, fingerprint: string, until: number): Answer {
    return Effect.flatMap(
      Effect.timeoutOption(
        untilTrue(entry, () => entry.settled !== undefined),
        Duration.millis(Math.max(0, until - this.leases.nowMillis()))
      ),
      (settled) =>
        settled._tag === "Some"
          ? this.begin(call, caller, fingerprint, until)
          : this.refuse(call, caller, this.busy(entry))
    )
  }

  private busy(entry: Entry): InFlight {
    const leaseLeft = entry.confirmedAt + entry.leaseMillis - this.leases.nowMillis()
    return new InFlight({ retryAfter: Duration.millis(Math.max(1, leaseLeft)) })
  }

  private get isClosed(): boolean {
    return this.scope.state._tag === "Closed"
  }
}

const noTransactions = new InvalidOption({
  stage: "idempotent",
  option: "transactional",
  expected: "false over a store without transactions: take one over SQL"
})

const otherDatabase = new InvalidOption({
  stage: "idempotent",
  option: "transactional",
  expected: "over the database of the effect: the SqlClient around is not the one of the store, and would not roll back"
})

const silent = new StoreUnavailable({ operation: "claim", detail: "no answer" })

const closed = new StoreUnavailable({ operation: "claim", detail: "the layer is closed" })

type Local = NonNullable<IdempotencyStore["Service"]["local"]>

const answeredOf = (entry: Entry, exit: Exit.Exit<unknown, unknown>, how: How): Answered => ({
  exit,
  how,
  fence: entry.fence,
  attempt: entry.attempt
})

const failure = (reason: IdempotencyError["reason"]) => Exit.fail(new IdempotencyError({ reason }))

const isInFlight = ({ exit }: Answered): boolean => {
  const reason = exit._tag === "Failure" ? exit.cause.reasons[0] : undefined
  return reason?._tag === "Fail" && reason.error instanceof IdempotencyError && reason.error.reason._tag === "InFlight"
}

const inFlight = (retryAfterMillis: number) =>
  failure(new InFlight({ retryAfter: Duration.millis(Math.max(1, retryAfterMillis)) }))

const encoder = new TextEncoder()
