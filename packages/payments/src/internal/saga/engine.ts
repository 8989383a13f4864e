/**
 * Answers a call about a run: from an entry of this process, from the log, or by taking the run and driving it.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Hex from "effect/encoding/Hex"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { SagaLog } from "../../SagaLog.ts"
import { Digest, SecureRandom } from "../effect/crypto.ts"
import * as Deadlines from "../stack/deadlines.ts"
import { kindOf } from "../stack/kind.ts"
import * as Leases from "../stack/leases.ts"
import { boundedBy } from "./bounded.ts"
import { compile, type Compiled, differenceOf, shapeOf } from "./compile.ts"
import { fold, initial, isCancellable, statusOf } from "./decide.ts"
import { RunEntry } from "./entry.ts"
import {
  HistoryFull,
  HistoryUnreadable,
  IdConflict,
  InFlight,
  InsideTransaction,
  NotFound,
  PayloadInvalid,
  type Reason,
  Redefined,
  SagaError,
  SagaInvalid,
  SignalInvalid,
  SignalsFull,
  Suspended,
  TooManyRuns
} from "./errors.ts"
import { type Execution, executionOf, type OnStuck, type Stuck } from "./execution.ts"
import { Inbox } from "./inbox.ts"
import {
  type ClaimRequest,
  definitionOf,
  type Event,
  type History,
  isUnfinished,
  Name,
  type Opening,
  type Ownership,
  type Run,
  type RunId,
  runId,
  signalsMax,
  type State
} from "./record.ts"
import { readResults, Runner, type Shared } from "./runner.ts"
import type { Untyped } from "./step.ts"
import { LogUnavailable } from "./unavailable.ts"

/** @internal */
export interface Options {
  readonly leaseMillis: number
  readonly awaitMillis: number
  readonly logMillis: number
  readonly payloadLimitBytes: number
  readonly resultLimitBytes: number
  readonly entriesMax: number
  readonly runsMax: number
  /** For how long a run of another definition is left to a process that knows it. */
  readonly redefinedMillis: number
  readonly onStuck: OnStuck | undefined
}

type Ended = Execution<unknown, unknown>
type Answer<A> = Effect.Effect<A, SagaError>
type Services = Context.Context<unknown>

interface Ready {
  readonly _tag: "Ready"
  readonly history: History
  readonly results: Record<string, unknown>
}

/** Who wants a run that has ended well undone, and why. */
interface Reversal {
  readonly by: string
  readonly reason: string
}

/** @internal What a call wants with a run. */
interface Want {
  readonly compiled: Compiled
  readonly id: RunId
  readonly services: Services
  readonly opening: Opening | undefined
  /** To take a run that is stuck too: to go on with it, or to have it undone where that is still possible. */
  readonly reopen: "resume" | "cancel" | Reversal | undefined
  readonly isDetached: boolean
}

const pollMinMillis = 50
const pollJitterMillis = 200
const releaseMillis = 2000
const foreignMax = 1000
const foreignMillis = 60_000

/** @internal */
export const make = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<Engine, never, SagaLog | Digest.Digest | SecureRandom.SecureRandom | Scope.Scope> {
  const log = yield* SagaLog
  const digest = yield* Digest.Digest
  const random = yield* SecureRandom.SecureRandom
  const scope = yield* Effect.scope
  const leases = yield* Leases.make<RunEntry>(
    (entries) => log.renew(entries.map(({ epoch, id, leaseMillis, owner }) => ({ ...id, owner, epoch, leaseMillis }))),
    yield* Clock.Clock,
    scope
  )
  return new Engine(Hex.encode(yield* random.randomBytes(12)), options, scope, {
    log,
    digest,
    inbox: yield* Inbox.make(log, scope),
    leases,
    deadlines: yield* Deadlines.make(yield* Clock.Clock, scope),
    resultLimitBytes: options.resultLimitBytes,
    logMillis: options.logMillis
  })
})

/** @internal */
export class Engine {
  private readonly engineId: string
  private readonly options: Options
  private readonly scope: Scope.Scope
  private readonly shared: Shared
  private readonly live = new Map<string, RunEntry>()
  private readonly compiled = new WeakMap<Untyped, Compiled>()
  private claims = 0

  constructor(engineId: string, options: Options, scope: Scope.Scope, shared: Shared) {
    this.engineId = engineId
    this.options = options
    this.scope = scope
    this.shared = shared
  }

  get log(): SagaLog["Service"] {
    return this.shared.log
  }

  // --- calls

  /** Runs the saga to its end, or joins whoever does. */
  execute(saga: Untyped, payload: unknown, id: string, services: Services): Answer<Ended> {
    return Effect.flatMap(this.begin(saga, payload, id, services, false), (want) => this.follow(want))
  }

  /** Makes the run durable and lets it go on in the background. */
  start(saga: Untyped, payload: unknown, id: string, services: Services): Answer<void> {
    return Effect.flatMap(this.begin(saga, payload, id, services, true), (want) => this.launch(want))
  }

  /** The end of a run, awaited; takes nothing over. */
  result(saga: Untyped, id: string): Answer<Ended> {
    return Effect.flatMap(this.prepare(saga, id), ({ compiled, id }) => this.await(compiled, id, this.deadline))
  }

  /** Asks for the run to be undone, sees to it where nobody else does, and tells how it has ended. */
  cancel(saga: Untyped, id: string, services: Services): Answer<Ended> {
    return Effect.flatMap(
      this.prepare(saga, id),
      ({ compiled, id }) =>
        Effect.flatMap(Effect.tap(this.unavailable(this.log.cancel(id)), () => this.poke), (run) =>
          run === undefined
            ? fail(new NotFound({}))
            : this.follow({
              compiled,
              id,
              services,
              opening: undefined,
              reopen: run.state === "Parked" ? "cancel" : undefined,
              isDetached: true
            }))
    )
  }

  /** Keeps a message for a step that waits, or will; answers whether it is new. */
  signal(saga: Untyped, step: string, id: string, event: string, value: unknown): Answer<boolean> {
    return Effect.gen({ self: this }, function*() {
      const { compiled, id: run } = yield* this.prepare(saga, id)
      const message = compiled.steps.find(({ name }) => name === step)?.wait?.message
      if (message === undefined) return yield* fail(new SagaInvalid({ detail: `it does not await "${step}"` }))
      if (!isName(event)) {
        return yield* fail(
          new SignalInvalid({
            detail: "its event must be 1 to 255 printable ASCII characters, no space at either end"
          })
        )
      }
      const stored = message.store(value, this.options.resultLimitBytes)
      if (Result.isFailure(stored)) return yield* fail(new SignalInvalid({ detail: `it is ${stored.failure}` }))
      // The run would have to pass over what cannot be read.
      if (Result.isFailure(message.restore(stored.success))) {
        return yield* fail(new SignalInvalid({ detail: "it is not what its schema reads" }))
      }
      const reply = yield* this.unavailable(this.log.signal({ ...run, step, event, value: stored.success }))
      if (reply === "Full") return yield* fail(new SignalsFull({ signalsMax }))
      this.shared.inbox.poke()
      return reply === "Kept"
    })
  }

  /** Goes on with a run that is parked or whose compensation has failed. */
  resume(saga: Untyped, id: string, services: Services): Answer<Ended> {
    return Effect.flatMap(
      this.prepare(saga, id),
      ({ compiled, id }) =>
        this.follow({ compiled, id, services, opening: undefined, reopen: "resume", isDetached: true })
    )
  }

  /** Undoes a run that has ended well, by its steps' own undos; whatever else it is is told as it is. */
  reverse(saga: Untyped, id: string, reversal: Reversal, services: Services): Answer<Ended> {
    return Effect.flatMap(this.prepare(saga, id), ({ compiled, id }) => {
      const pivot = compiled.steps.find(({ kind }) => kind === "pivot")
      const isUndoable = pivot === undefined || (pivot.step.compensate as unknown) !== undefined
      return isUndoable
        ? this.follow({ compiled, id, services, opening: undefined, reopen: reversal, isDetached: true })
        : fail(
          new SagaInvalid({ detail: `its pivot "${pivot.name}" has no compensate, without which nothing is undone` })
        )
    })
  }

  /** Takes over at most `limit` runs that nobody holds and drives them in the background; answers how many. */
  recover(sagas: ReadonlyArray<Untyped>, limit: number, services: Services): Answer<number> {
    return Effect.gen({ self: this }, function*() {
      const all = new Map<string, Compiled>()
      for (const saga of sagas) all.set(saga.name, yield* this.compile(saga))
      let adopted = 0
      for (let left = limit; left > 0;) {
        const sentAt = this.shared.leases.nowMillis()
        const except = this.foreignNow(sentAt)
        const histories = yield* this.unavailable(this.log.orphans({
          sagas: [...all.keys()],
          owner: this.nextOwner(),
          leaseMillis: this.options.leaseMillis,
          limit: left,
          except
        }))
        for (const history of histories) {
          const compiled = all.get(history.run.saga)
          if (compiled !== undefined && (yield* this.adopt(compiled, history, sentAt, services))) adopted++
        }
        // Runs that are left alone keep nobody from what is behind them.
        const isAgain = histories.length === left && this.foreign.size > except.length && this.foreign.size < foreignMax
        left = isAgain ? limit - adopted : 0
      }
      return adopted
    })
  }

  /** Runs that another definition has begun, and until when they are not looked at again. */
  private readonly foreign = new Map<string, number>()

  private foreignNow(now: number): ReadonlyArray<string> {
    for (const [key, until] of this.foreign) {
      if (until <= now || this.foreign.size > foreignMax) this.foreign.delete(key)
    }
    return [...this.foreign.keys()]
  }

  /** Whether it is left to a process that knows its definition: somebody has worked on it lately, or has to see to it. */
  private isForeign({ entries, now, run }: History): boolean {
    return !isUnfinished(run.state) || now - (entries.at(-1)?.at ?? 0) < this.options.redefinedMillis
  }

  private readonly poke = Effect.sync(() => this.shared.inbox.poke())

  private readonly recovered = new Set<RunEntry>()

  /** How many of them it drives now; what waits costs nothing. */
  get recovering(): number {
    let count = 0
    for (const { isWaiting } of this.recovered) if (!isWaiting) count++
    return count
  }

  // --- what a call is about

  private compile(saga: Untyped): Answer<Compiled> {
    return Effect.suspend(() => {
      const known = this.compiled.get(saga)
      return known !== undefined
        ? Effect.succeed(known)
        : Effect.tap(
          compile(saga, this.shared.digest),
          (compiled) => Effect.sync(() => this.compiled.set(saga, compiled))
        )
    })
  }

  private prepare(saga: Untyped, id: string): Answer<{ readonly compiled: Compiled; readonly id: RunId }> {
    if (!isName(id)) {
      return fail(
        new SagaInvalid({ detail: "its id must be 1 to 255 printable ASCII characters, no space at either end" })
      )
    }
    const prepared = Effect.map(this.compile(saga), (compiled) => ({ compiled, id: runId(saga.name, id) }))
    const { isInsideTransaction } = this.log
    return isInsideTransaction === undefined
      ? prepared
      : Effect.flatMap(isInsideTransaction, (isInside) => isInside ? fail(new InsideTransaction({})) : prepared)
  }

  private begin(
    saga: Untyped,
    payload: unknown,
    id: string,
    services: Services,
    isDetached: boolean
  ): Answer<Want> {
    return Effect.flatMap(this.prepare(saga, id), ({ compiled, id: run }): Answer<Want> => {
      const canonical = compiled.payload.canonical(payload, this.options.payloadLimitBytes)
      const stored = compiled.payload.store(payload, this.options.payloadLimitBytes)
      if (Result.isFailure(canonical)) return fail(new PayloadInvalid({ detail: canonical.failure }))
      if (Result.isFailure(stored)) return fail(new PayloadInvalid({ detail: stored.failure }))
      const hashed = this.shared.digest.digestHex(Digest.sha256, encoder.encode(canonical.success))
      return Effect.map(hashed, (hex) => {
        const opening: Opening = {
          fingerprint: `v1:${hex}`,
          definition: compiled.definition,
          payload: stored.success,
          ...compiled.opening
        }
        return { compiled, id: run, services, opening, reopen: undefined, isDetached }
      })
    })
  }

  // --- local callers

  private follow(want: Want): Answer<Ended> {
    return this.withEntry(want, (entry) => this.join(entry, want))
  }

  private launch(want: Want): Answer<void> {
    return this.withEntry(
      want,
      (entry) =>
        Effect.flatMap(
          Deferred.await(entry.known),
          () => entry.isKnown ? Effect.void : Effect.asVoid(Deferred.await(entry.end))
        )
    )
  }

  private withEntry<A>(want: Want, use: (entry: RunEntry) => Answer<A>): Answer<A> {
    return Effect.suspend(() => {
      const entry = this.live.get(want.id.key)
      if (entry === undefined) {
        const { runsMax } = this.options
        return this.live.size < runsMax ? use(this.lead(want)) : fail(new TooManyRuns({ runsMax }))
      }
      const again = () => this.withEntry(want, use)
      if (entry.isStopping || want.reopen !== undefined) {
        return Effect.flatMap(Effect.exit(Deferred.await(entry.end)), again)
      }
      if (want.opening === undefined || entry.fingerprint === want.opening.fingerprint) {
        entry.isDetached ||= want.isDetached
        return use(entry)
      }
      // What the run is about, the answer to the claim tells.
      return entry.isKnown ? fail(new IdConflict({})) : Effect.flatMap(Deferred.await(entry.known), again)
    })
  }

  // One waiter's interruption never stops the run while others wait; the last one's suspends it, unless it is detached.
  private join(entry: RunEntry, want: Want): Answer<Ended> {
    return Effect.suspend(() => {
      entry.waiting++
      return Effect.onExitPrimitive(Deferred.await(entry.end), () => {
        entry.waiting--
        if (entry.isSettled || entry.waiting > 0 || entry.isDetached || want.isDetached) return undefined
        entry.stop()
        return Effect.asVoid(Effect.exit(Deferred.await(entry.end)))
      })
    })
  }

  private nextOwner(): string {
    return `${this.engineId}.${this.claims++}`
  }

  private makeEntry(id: RunId, owner: string, fingerprint: string | undefined): RunEntry {
    const entry = new RunEntry(id, owner, fingerprint, this.options.leaseMillis)
    this.live.set(id.key, entry)
    return entry
  }

  private lead(want: Want): RunEntry {
    const entry = this.makeEntry(want.id, this.nextOwner(), want.opening?.fingerprint)
    entry.isDetached = want.isDetached
    this.fork(entry, want.services, this.claim(entry, want, this.deadline))
    return entry
  }

  /** In a fiber of the layer with the caller's services; when the layer closes it is interrupted, and so suspended. */
  private fork(entry: RunEntry, services: Services, self: Effect.Effect<Ended, SagaError, unknown>): void {
    const fiber = Effect.runForkWith(services)(self, { uninterruptible: true })
    entry.fiber = fiber
    fiber.addObserver((exit) => {
      this.shared.leases.drop(entry)
      if (this.live.get(entry.id.key) === entry) this.live.delete(entry.id.key)
      const isStopped = Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
      entry.settle(isStopped ? Exit.fail(stopped) : exit)
    })
    Fiber.runIn(fiber, this.scope)
    if (entry.isLost) fiber.interruptUnsafe()
  }

  // --- the claim

  private get deadline(): number {
    return this.shared.leases.nowMillis() + this.options.awaitMillis
  }

  private claim(entry: RunEntry, want: Want, until: number): Effect.Effect<Ended, SagaError, unknown> {
    const { id, opening, reopen } = want
    const request: ClaimRequest = {
      ...id,
      owner: entry.owner,
      leaseMillis: entry.leaseMillis,
      opening,
      reopen: typeof reopen === "object" ? "Completed" : reopen !== undefined
    }
    const sentAt = this.shared.leases.nowMillis()
    // A second try under the same owner: a claim whose reply was lost recognises itself.
    const asked = Effect.catch(this.log.claim(request), () => this.log.claim(request))
    return Effect.flatMap(
      this.unavailable(asked),
      (history): Effect.Effect<Ended, SagaError, unknown> => {
        if (history === undefined) return fail(new NotFound({}))
        const { run } = history
        if (opening !== undefined && run.fingerprint !== opening.fingerprint) return fail(new IdConflict({}))
        if (run.owner === entry.owner && run.leaseUntil > history.now) {
          return this.take(entry, want.compiled, history, sentAt, reopen)
        }
        if (!isUnfinished(run.state)) return this.ended(want.compiled, history)
        entry.know(run.fingerprint)
        return this.poll(run.leaseUntil - history.now, until, () => this.claim(entry, want, until))
      }
    )
  }

  // Another process works on it: asked again with jitter, at the latest when its lease ends, until the deadline.
  private poll<A, R>(
    leaseLeftMillis: number,
    until: number,
    again: () => Effect.Effect<A, SagaError, R>
  ): Effect.Effect<A, SagaError, R> {
    const left = until - this.shared.leases.nowMillis()
    if (left <= 0) return fail(new InFlight({ retryAfter: Duration.millis(Math.max(1, leaseLeftMillis)) }))
    return Effect.flatMap(Random.next, (random) => {
      const wait = Math.min(left, pollMinMillis + random * pollJitterMillis)
      return Effect.flatMap(Effect.interruptible(Effect.sleep(Duration.millis(wait))), again)
    })
  }

  private await(compiled: Compiled, id: RunId, until: number): Answer<Ended> {
    return Effect.suspend(() => {
      const entry = this.live.get(id.key)
      if (entry !== undefined) return Deferred.await(entry.end)
      return Effect.flatMap(this.unavailable(this.log.read(id)), (history): Answer<Ended> => {
        if (history === undefined) return fail(new NotFound({}))
        return isUnfinished(history.run.state)
          ? this.poll(history.run.leaseUntil - history.now, until, () => this.await(compiled, id, until))
          : this.ended(compiled, history)
      })
    })
  }

  /** What has ended is told from the log. */
  private ended(compiled: Compiled, history: History): Answer<Ended> {
    const definition = definitionOf(history)
    const shape = definition === compiled.definition ? compiled.shape : shapeOf(definition)
    if (shape === undefined) return fail(new HistoryUnreadable({ detail: "its definition" }))
    const state = fold(shape, initial(shape), eventsOf(history))
    if (state.parked !== undefined) {
      return Effect.succeed({ _tag: "Parked", step: state.parked.step, reason: state.parked.reason })
    }
    const payload = compiled.payload.restore(history.run.payload)
    const execution = Result.flatMap(
      Result.mapError(payload, () => "the payload"),
      (payload) => executionOf(compiled, shape, state, payload)
    )
    if (Result.isFailure(execution)) return fail(new HistoryUnreadable({ detail: execution.failure }))
    return execution.success === undefined
      ? fail(new HistoryUnreadable({ detail: "its state" }))
      : Effect.succeed(execution.success)
  }

  // --- what is ours

  private adopt(compiled: Compiled, history: History, sentAt: number, services: Services): Effect.Effect<boolean> {
    const { run } = history
    const id = runId(run.saga, run.id)
    if (history.isUnreadable === true) return Effect.as(this.parkUnreadable(run), false)
    if (
      differenceOf(compiled, definitionOf(history), eventsOf(history)) !== undefined && this.isForeign(history)
    ) {
      this.foreign.set(id.key, this.shared.leases.nowMillis() + foreignMillis)
      return Effect.as(this.giveBack(run), false)
    }
    // Someone here asks for it already.
    if (this.live.has(id.key)) return Effect.as(this.giveBack(run), false)
    return Effect.sync(() => {
      const entry = this.makeEntry(id, run.owner, run.fingerprint)
      entry.isDetached = true
      this.recovered.add(entry)
      this.fork(entry, services, this.take(entry, compiled, history, sentAt, undefined))
      entry.fiber?.addObserver(() => {
        this.recovered.delete(entry)
      })
      return true
    })
  }

  /** Nobody can go on with it until it is mended. Where that cannot be written its lease lapses, and it comes again. */
  private parkUnreadable(run: Run): Effect.Effect<void> {
    const reason = "its history cannot be read"
    const { epoch, length, owner } = run
    const parked = this.log.append({
      ...runId(run.saga, run.id),
      owner,
      epoch,
      seq: length + 1,
      state: "Parked",
      events: [{ _tag: "Parked", reason }]
    })
    return Effect.ignore(
      Effect.andThen(
        this.unavailable(parked),
        report(run, { _tag: "Parked", step: undefined, reason }, this.options.onStuck)
      )
    )
  }

  private take(
    entry: RunEntry,
    compiled: Compiled,
    history: History,
    sentAt: number,
    reopen: Want["reopen"]
  ): Effect.Effect<Ended, SagaError, unknown> {
    const { run } = history
    entry.epoch = run.epoch
    this.shared.leases.hold(entry, sentAt - Math.max(0, entry.leaseMillis - (run.leaseUntil - history.now)))
    entry.know(run.fingerprint)
    const drive = Effect.gen({ self: this }, function*() {
      // Who wants all of it undone does not have a run go on.
      if (typeof reopen === "object" && isUnfinished(run.state)) {
        yield* this.release(entry)
        return yield* fail(new InFlight({ retryAfter: Duration.seconds(1) }))
      }
      const isLeft = typeof reopen === "object" ? run.state !== "Completed" : reopen === "cancel" &&
        !canCancel(compiled, history)
      if (isLeft && !isUnfinished(run.state)) {
        yield* this.release(entry)
        return yield* this.ended(compiled, history)
      }
      const ready = yield* this.ready(entry, compiled, history, reopen)
      if (ready._tag === "Parked") return ready
      const last = history.entries.at(-1)
      const resumed = isUnfinished(run.state) || last === undefined ? undefined : { from: run.state, at: last.at }
      const runner = new Runner(this.shared, entry, compiled, ready.history, ready.results, resumed)
      yield* runner.drive(isFresh(history))
      if (runner.suspended !== undefined) return yield* this.suspend(entry, runner.suspended)
      const execution = executionOf(compiled, compiled.shape, runner.state, ready.results["payload"])
      if (Result.isFailure(execution) || execution.success === undefined) {
        return yield* this.suspend(entry, new Suspended({ by: "Interrupted", detail: "no end" }))
      }
      return execution.success
    })
    return Effect.tap(
      Effect.withSpan(
        drive,
        `saga ${compiled.name}`,
        { attributes: { "saga.id": run.id, "saga.epoch": run.epoch }, captureStackTrace: false }
      ),
      (execution) => report(run, execution, this.options.onStuck)
    )
  }

  /** A run that cannot go on under this definition is parked under the name of what has changed. */
  private ready(
    entry: RunEntry,
    compiled: Compiled,
    history: History,
    reopen: Want["reopen"]
  ): Effect.Effect<Ready | Ended & { readonly _tag: "Parked" }, SagaError> {
    if (reopen === undefined && isFresh(history) && history.run.definition === compiled.definition) {
      const results = readResults(compiled, history)
      if (Result.isSuccess(results)) return Effect.succeed({ _tag: "Ready", history, results: results.success })
    }
    return Effect.gen({ self: this }, function*() {
      const { run } = history
      if (reopen !== undefined && run.length >= this.options.entriesMax) {
        yield* this.release(entry)
        return yield* fail(new HistoryFull({ entriesMax: this.options.entriesMax }))
      }
      const difference = differenceOf(compiled, definitionOf(history), eventsOf(history))
      if (difference !== undefined && this.isForeign(history)) {
        yield* this.release(entry)
        return yield* fail(new Redefined({ detail: difference }))
      }
      const results = readResults(compiled, history)
      if (difference !== undefined || Result.isFailure(results)) {
        const reason = difference === undefined
          ? `${Result.isFailure(results) ? results.failure : ""} cannot be read`
          : `the definition has changed: ${difference}`
        yield* this.add(entry, run.length + 1, "Parked", [{ _tag: "Parked", reason }])
        return { _tag: "Parked" as const, step: undefined, reason }
      }
      const pivots = compiled.shape.flatMap(({ kind, name }) => kind === "pivot" ? [name] : [])
      const events: ReadonlyArray<Event> = [
        ...reopen === undefined || isUnfinished(run.state)
          ? []
          : run.state === "Completed" && typeof reopen === "object"
          ? [{ _tag: "Reversed" as const, ...reopen, pivots }]
          : [{ _tag: "Resumed" as const }],
        ...definitionOf(history) === compiled.definition
          ? []
          : [{ _tag: "Redefined" as const, definition: compiled.definition }]
      ]
      if (events.length === 0) return { _tag: "Ready" as const, history, results: results.success }
      const state = statusOf(
        compiled.shape,
        fold(compiled.shape, initial(compiled.shape), [...eventsOf(history), ...events])
      )
      yield* this.add(entry, run.length + 1, state, events)
      const entered = { seq: run.length + 1, epoch: run.epoch, at: history.now, state, events }
      return {
        _tag: "Ready" as const,
        history: { ...history, run: { ...run, length: entered.seq, state }, entries: [...history.entries, entered] },
        results: results.success
      }
    })
  }

  private add(entry: RunEntry, seq: number, state: State, events: ReadonlyArray<Event>): Answer<void> {
    return Effect.flatMap(
      this.unavailable(this.log.append({ ...entry.id, owner: entry.owner, epoch: entry.epoch, seq, state, events })),
      ({ appended }) => appended ? Effect.void : fail(new Suspended({ by: "LeaseLost", detail: "" }))
    )
  }

  private suspend(entry: RunEntry, reason: Suspended): Answer<never> {
    const told = reason.by === "Interrupted" && reason.detail === "" ? Effect.void : Effect.annotateLogs(
      Effect.logWarning("a saga is suspended"),
      { saga: entry.id.saga, id: entry.id.id, by: reason.by, detail: reason.detail }
    )
    return Effect.andThen(Effect.andThen(this.release(entry), told), fail(reason))
  }

  /** Any owner may go on at once. One that is not told waits for the lease. */
  private release(entry: RunEntry): Effect.Effect<void> {
    this.shared.leases.drop(entry)
    return this.giveBack({ ...entry.id, owner: entry.owner, epoch: entry.epoch })
  }

  private giveBack(run: Ownership): Effect.Effect<void> {
    return Effect.ignore(boundedBy(this.shared.deadlines, this.log.release(run), releaseMillis))
  }

  /** A log in another process may hang: it is waited for one lease. */
  private unavailable<A>(self: Effect.Effect<A, LogUnavailable>): Answer<A> {
    const asked = this.log.isLocal === true ? self : boundedBy(this.shared.deadlines, self, this.options.leaseMillis)
    return Effect.mapError(
      asked,
      (error) =>
        new SagaError({ reason: error ?? new LogUnavailable({ operation: "answer", detail: "no answer in time" }) })
    )
  }
}

const encoder = new TextEncoder()

const isName = Schema.is(Name)

const fail = (reason: Reason): Effect.Effect<never, SagaError> => Effect.fail(new SagaError({ reason }))

const stopped = new SagaError({ reason: new Suspended({ by: "Interrupted", detail: "" }) })

const eventsOf = ({ entries }: History): ReadonlyArray<Event> => entries.flatMap(({ events }) => events)

const canCancel = ({ shape }: Compiled, history: History): boolean =>
  history.run.state === "Parked" && isCancellable(shape, fold(shape, initial(shape), eventsOf(history)))

/** Made by this claim: a later owner has a higher epoch than the first entry. */
const isFresh = ({ entries, run }: History): boolean => run.length === 1 && entries[0]?.epoch === run.epoch

const ends = Metric.counter("effect_payments_sagas_total", {
  description: "Sagas that have ended or are parked, by state",
  incremental: true
})

// Sagas are few and named in code; past the bound they are counted together.
const sagasMax = 1000
const counters = new Map<string, Metric.Metric<number, unknown>>()

const counterOf = (saga: string, state: string): Metric.Metric<number, unknown> => {
  const name = counters.has(`${state} ${saga}`) || counters.size < sagasMax ? saga : "other"
  const key = `${state} ${name}`
  const counter = counters.get(key) ?? Metric.withAttributes(ends, { saga: name, state })
  counters.set(key, counter)
  return counter
}

/** @internal Counts how a run has ended, and tells whom it may concern. */
export const report = (
  { id, saga }: RunId,
  execution: Ended,
  onStuck: OnStuck | undefined
): Effect.Effect<void> => {
  const counted = Metric.update(counterOf(saga, execution._tag), 1)
  if (execution._tag !== "Parked" && execution._tag !== "FailedCompensation") return counted
  const logged = Effect.annotateLogs(
    Effect.logError(execution._tag === "Parked" ? "a saga is parked" : "an undo of a saga has failed"),
    execution._tag === "Parked"
      ? { saga, id, step: execution.step, reason: execution.reason }
      : { saga, id, undos: execution.undos.filter(({ _tag }) => _tag === "Failed") }
  )
  return Effect.andThen(
    counted,
    onStuck === undefined ? logged : Effect.andThen(logged, alarm(onStuck, { saga, id, execution }))
  )
}

const alarmMillis = 10_000

/** Whatever becomes of it, the run is as it is. */
const alarm = (onStuck: OnStuck, stuck: Stuck): Effect.Effect<void> =>
  Effect.catchCause(
    Effect.asVoid(Effect.timeoutOrElse(Effect.suspend(() => onStuck(stuck)), {
      duration: Duration.millis(alarmMillis),
      orElse: () => Effect.fail("it did not end in time")
    })),
    (cause) =>
      Cause.hasInterruptsOnly(cause)
        ? Effect.interrupt
        : Effect.annotateLogs(Effect.logError("onStuck has failed"), {
          saga: stuck.saga,
          id: stuck.id,
          cause: kindOf(cause)
        })
  )
