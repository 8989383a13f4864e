/**
 * Carries out what `decide` says for one run that this process holds.
 *
 * Obligations are finalizers of a sequential Scope, in start order, so that closing it unwinds backwards. The Scope is
 * closed with a failure for one reason alone: a durable event says that the saga is to be undone. Whatever else ends the
 * fiber (a shutdown, a lost lease, a log that cannot be written) closes it with an interruption, in which every
 * finalizer does nothing, and the log is all that is left.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Redaction from "../../Redaction.ts"
import type { SagaLog } from "../../SagaLog.ts"
import type { Digest } from "../effect/crypto.ts"
import type { Deadlines } from "../stack/deadlines.ts"
import { kindOf } from "../stack/kind.ts"
import type { Leases } from "../stack/leases.ts"
import { type Attempt, makeTries, runStep, type Tries, undoStep, verifyStep, waited } from "./attempt.ts"
import { boundedBy } from "./bounded.ts"
import type { Compiled, CompiledStep } from "./compile.ts"
import {
  type Command,
  decide,
  type Decision,
  fold,
  initial,
  isObligation,
  type SagaState,
  type Signal,
  statusOf,
  type StepCommand
} from "./decide.ts"
import { Departures } from "./departures.ts"
import type { RunEntry } from "./entry.ts"
import { Suspended } from "./errors.ts"
import { define, resultsOf } from "./execution.ts"
import type { Inbox } from "./inbox.ts"
import { type AppendReply, type Event, type History, isUnfinished, type State } from "./record.ts"
import { Siblings } from "./siblings.ts"
import type { LogUnavailable } from "./unavailable.ts"

/** @internal What all runs of a process share. */
export interface Shared {
  readonly log: SagaLog["Service"]
  readonly digest: Digest.Digest["Service"]
  readonly leases: Leases<RunEntry>
  readonly deadlines: Deadlines
  readonly inbox: Inbox
  readonly resultLimitBytes: number
  /** For how long an entry is written again and again before the run is suspended. */
  readonly logMillis: number
}

const backoffMinMillis = 20
const backoffMaxMillis = 1000
// How soon a wait whose time is up asks a log again that did not answer.
const lookMillis = 1000

type Effect_<A> = Effect.Effect<A, Suspended, unknown>

/** What a process knows of a step beside its state. */
interface Note {
  tries: Tries | undefined
  departures: Departures | undefined
  doubt: string | undefined
  intendedAt: number | undefined
  doubtedAt: number | undefined
  /** Its undo is in the Scope. */
  isRegistered: boolean
  /** An earlier owner has intended it: its request may have left. */
  isInherited: boolean
  /** What an undo that failed may have sent: undefined when nobody knows. */
  undoSent: ReadonlyArray<string> | undefined
  /** Messages that it has passed over. */
  ignored: ReadonlyArray<string> | undefined
}

/** @internal */
export class Runner {
  state: SagaState
  suspended: Suspended | undefined = undefined
  private readonly shared: Shared
  private readonly entry: RunEntry
  private readonly compiled: Compiled
  private readonly results: Record<string, unknown>
  private readonly scope = Scope.makeUnsafe("sequential")
  private readonly notes: Array<Note | undefined> = []
  /** The undo that an earlier owner may have been at. */
  private readonly inheritedUndo: number | undefined
  /** When the saga began to unwind. */
  private failedAt: number | undefined = undefined
  private length: number
  private cancelRequested: boolean
  private pauseRequested: string | undefined
  /** What the log's clock showed at a moment of ours. */
  private readonly logAt: number
  private readonly monotonicAt: number
  /** A moment of ours since which no earlier owner has sent anything. */
  private readonly quietSince: number

  /** `resumed`: it was stuck in this state, and nobody's, since its last entry at that time of the log. */
  constructor(
    shared: Shared,
    entry: RunEntry,
    compiled: Compiled,
    history: History,
    results: Record<string, unknown>,
    resumed: { readonly from: State; readonly at: number } | undefined
  ) {
    this.shared = shared
    this.entry = entry
    this.compiled = compiled
    this.results = results
    this.logAt = history.now
    this.monotonicAt = shared.leases.nowMillis()
    this.quietSince = this.monotonicAt - (resumed === undefined ? 0 : Math.max(0, history.now - resumed.at))
    this.length = history.run.length
    this.cancelRequested = history.run.cancelRequested
    this.pauseRequested = history.run.pauseRequested
    this.state = initial(compiled.shape)
    for (const { at, events } of history.entries) this.apply(events, at, fold(compiled.shape, this.state, events))
    const isUnwinding = statusOf(compiled.shape, this.state) === "Compensating"
    this.inheritedUndo = isUnwinding && resumed?.from !== "FailedCompensation" ? this.obligations.at(-1) : undefined
  }

  private get now(): number {
    return this.logAt + this.shared.leases.nowMillis() - this.monotonicAt
  }

  private apply(events: ReadonlyArray<Event>, at: number, state: SagaState): void {
    this.state = state
    for (const event of events) {
      if (event._tag === "Intended") this.intend(this.placeOf(event.step), at)
      if (event._tag === "Doubted") this.noteOf(this.placeOf(event.step)).doubtedAt = at
      if (event._tag === "UndoFailed") this.noteOf(this.placeOf(event.step)).undoSent = event.sent
      if (event._tag === "Ignored") {
        const note = this.noteOf(this.placeOf(event.step))
        note.ignored = [...note.ignored ?? [], event.event]
      }
    }
    if (this.state.cause !== undefined) this.failedAt ??= at
  }

  /** A wait that was paused meanwhile is over when it would have been. */
  private intend(place: number, at: number): void {
    const note = this.noteOf(place)
    const isAgain = this.compiled.shape[place]?.kind === "wait" && note.intendedAt !== undefined
    if (!isAgain) note.intendedAt = at
  }

  private noteOf(place: number): Note {
    return this.notes[place] ??= {
      tries: undefined,
      departures: undefined,
      doubt: undefined,
      intendedAt: undefined,
      doubtedAt: undefined,
      isRegistered: false,
      isInherited: false,
      undoSent: [],
      ignored: undefined
    }
  }

  private placeOf(step: string): number {
    return this.compiled.steps.findIndex(({ name }) => name === step)
  }

  // --- the whole

  /** Runs forward or unwinds until the run has ended, is parked or is suspended. `isFresh`: nothing has started yet. */
  drive(isFresh: boolean): Effect.Effect<void, never, unknown> {
    return Effect.uninterruptible(Effect.gen({ self: this }, function*() {
      yield* this.rebuild
      if (!isFresh) this.inherit()
      // The fiber cannot be interrupted but for the steps: what is on its way to the log gets there.
      const forward = Effect.interruptible(this.forward({ _tag: "Begin", isFresh, cancel: this.cancelRequested }))
      const exit = yield* Effect.exit(forward)
      if (Exit.isFailure(exit)) this.suspend(exit)
      const closing = this.suspended === undefined && Exit.isSuccess(exit) && exit.value === "Unwind"
        ? Exit.fail("unwind")
        : Exit.interrupt()
      yield* Scope.close(this.scope, closing) as Effect.Effect<void, never, unknown>
    }))
  }

  /** A crash loses the Scope and not what is in it: the log has the obligations, in start order. */
  private get rebuild(): Effect.Effect<void> {
    return Effect.forEach(this.obligations, (step) => this.register(step), { discard: true })
  }

  private get obligations(): ReadonlyArray<number> {
    const { shape } = this.compiled
    return shape.flatMap((_, index) => isObligation(shape, this.state, index) ? [index] : [])
  }

  private inherit(): void {
    for (const [step, { progress }] of this.state.steps.entries()) {
      if (progress._tag === "Intended" || progress._tag === "InDoubt") this.noteOf(step).isInherited = true
    }
  }

  private register(step: number): Effect.Effect<void> {
    const note = this.noteOf(step)
    if (note.isRegistered) return Effect.void
    note.isRegistered = true
    return Scope.addFinalizerExit(this.scope, (exit) => {
      const isUnwinding = Exit.isFailure(exit) && exit.cause.reasons.every(({ _tag }) => _tag === "Fail")
      return isUnwinding ? this.finalize(step) as Effect.Effect<void> : Effect.void
    })
  }

  private forward(signal: Signal): Effect_<"Stop" | "Unwind"> {
    return Effect.flatMap(
      this.settle(decide(this.compiled.shape, this.state, signal)),
      (command): Effect_<"Stop" | "Unwind"> => {
        switch (command._tag) {
          case "Run":
            return Effect.flatMap(this.run(command.step), this.onward)
          case "Verify":
            return Effect.flatMap(this.verify(command.step), this.onward)
          case "Wait":
            return Effect.flatMap(this.wait(command.step), this.onward)
          case "Group":
            return Effect.flatMap(this.group(command.commands), this.onward)
          case "Undo":
          case "Stop":
            return Effect.succeed("Stop")
          case "Unwind":
            return Effect.succeed("Unwind")
        }
      }
    )
  }

  private readonly onward = (signal: Signal) => this.forward(signal)

  /**
   * Runs steps at the same time. What has happened becomes durable when it does; what failed waits for the others, or
   * interrupts them, for nothing is undone or parked beside a step that runs.
   */
  private group(commands: ReadonlyArray<StepCommand>): Effect_<Signal> {
    return Effect.gen({ self: this }, function*() {
      const lock = Semaphore.makeUnsafe(1)
      const running = new Set(commands.map(({ step }) => step))
      const siblings = new Siblings()
      // In start order, whatever the timing.
      for (const { step } of commands) yield* this.registerUndo(step)
      const ends = yield* Effect.forEach(
        commands,
        (command) =>
          Effect.gen({ self: this }, function*() {
            const isEnding = this.compiled.steps[command.step]?.step.interruptSiblings === true
            const end = yield* isEnding ? siblings.run(this.member(command)) : this.member(command)
            running.delete(command.step)
            if (end === undefined) {
              yield* this.interrupted(command.step)
              return []
            }
            const { command: next } = decide(this.compiled.shape, this.state, end)
            if (isEnding && next._tag === "Unwind") siblings.interrupt()
            if (end._tag !== "Succeeded" || running.size === 0) return [end]
            const written = Effect.suspend(() => this.append(decide(this.compiled.shape, this.state, end).events))
            yield* lock.withPermits(1)(written)
            return []
          }),
        { concurrency: "unbounded" }
      )
      return { _tag: "Joined", ends: ends.flat() }
    })
  }

  /** It may have left until now; the unwinding looks it up. */
  private interrupted(step: number): Effect_<void> {
    return this.withAttempt(step, ({ tries }) => {
      this.noteOf(step).doubt = "interrupted"
      tries.isDoubtful = true
      tries.endedAt = this.nowMillis()
      return Effect.void
    })
  }

  /** One step of a group, until nothing but its end is left to write down. */
  private member(first: StepCommand): Effect_<Signal> {
    return Effect.gen({ self: this }, function*() {
      let command: StepCommand = first
      for (;;) {
        const { step } = command
        const signal = command._tag === "Verify" ? yield* this.verify(step) : yield* this.run(step)
        if (signal._tag === "Verified" && signal.verdict._tag === "Happened") {
          return { _tag: "Succeeded", step, result: signal.verdict.result }
        }
        const next = decide(this.compiled.shape, this.state, signal)
        const isAgain = next.events.length === 0 && (next.command._tag === "Run" || next.command._tag === "Verify")
        if (!isAgain) return signal
        command = next.command as StepCommand
      }
    })
  }

  private registerUndo(step: number): Effect.Effect<void> {
    return this.compiled.shape[step]?.kind === "compensatable" ? this.register(step) : Effect.void
  }

  /** One obligation, undone or passed over. Never fails; what suspends it suspends the rest too. */
  private finalize(step: number): Effect.Effect<void, never, unknown> {
    return Effect.suspend(() => {
      if (this.suspended !== undefined) return Effect.void
      return Effect.map(Effect.exit(Effect.interruptible(this.unwindOne(step))), (exit) => {
        if (Exit.isFailure(exit)) this.suspend(exit)
      })
    })
  }

  private unwindOne(step: number): Effect_<void> {
    return Effect.gen({ self: this }, function*() {
      let signal: Signal = { _tag: "Undo", step }
      for (;;) {
        const command: Command = yield* this.settle(decide(this.compiled.shape, this.state, signal))
        if (command._tag === "Verify") signal = yield* this.verify(step)
        else if (command._tag === "Undo") signal = yield* this.undo(command)
        else return
      }
    })
  }

  private suspend(exit: Exit.Failure<unknown, Suspended>): void {
    const [reason] = exit.cause.reasons
    this.suspended ??= reason?._tag === "Fail"
      ? reason.error
      : new Suspended({
        by: this.entry.isLost ? "LeaseLost" : "Interrupted",
        detail: reason?._tag === "Die" ? kindOf(exit.cause) : ""
      })
  }

  // --- one step

  private run(step: number): Effect_<Signal> {
    const registered = this.registerUndo(step)
    return Effect.flatMap(
      registered,
      () =>
        this.withAttempt(step, (attempt) =>
          Effect.map(runStep(attempt), (end): Signal => {
            switch (end._tag) {
              case "Succeeded":
                define(this.results, attempt.step.name, end.value)
                return { _tag: "Succeeded", step, result: end.result }
              case "Unknown":
                this.noteOf(step).doubt = end.detail
                return { ...end, step }
              default:
                return { ...end, step }
            }
          }))
    )
  }

  private wait(step: number): Effect_<Signal> {
    return Effect.gen({ self: this }, function*() {
      const compiled = this.compiled.steps[step]
      const { wait } = compiled ?? {}
      if (compiled === undefined || wait === undefined) return yield* Effect.die(new Error("decide named no wait"))
      const until = (this.noteOf(step).intendedAt ?? this.now) + wait.millis
      const except = this.noteOf(step).ignored ?? []
      for (;;) {
        const lost = this.lost()
        if (lost !== undefined) return yield* Effect.fail(lost)
        const { id } = this.entry
        this.entry.isWaiting = true
        const waiting = Effect.ensuring(
          this.shared.inbox.next(id, compiled.name, except, this.cancelRequested, until - this.now),
          Effect.sync(() => {
            this.entry.isWaiting = false
          })
        )
        let found = this.now < until ? yield* waiting : undefined
        const isOver = this.now >= until
        if (found === undefined && isOver) {
          // What has come in time is taken also when it is found late.
          found = yield* this.shared.inbox.once(id, compiled.name, except)
          if (found === undefined) {
            yield* Effect.sleep(Duration.millis(lookMillis))
            continue
          }
        }
        if (found?.pauseRequested !== undefined) {
          return { _tag: "Pause", note: found.pauseRequested, unsent: [step] }
        }
        if (found?.cancelRequested === true && !this.cancelRequested) {
          this.cancelRequested = true
          return { _tag: "Cancel", unsent: [step] }
        }
        // Whoever looks, and whenever: what came behind the deadline does not count.
        const message = found?.at !== undefined && found.at >= until ? undefined : found?.value
        if (message === undefined && !isOver) continue
        const end = waited(compiled, wait, this.results, message, this.shared.resultLimitBytes)
        if (end._tag === "Succeeded") define(this.results, compiled.name, end.value)
        if (end._tag === "Refuses" && message !== undefined && found?.event !== undefined) {
          return yield* this.passOver(step, found.event)
        }
        return { ...end, step }
      }
    })
  }

  /** One message that does not fit keeps nobody from sending another: it is written down, and the step waits on. */
  private passOver(step: number, event: string): Effect.Effect<Signal> {
    const { id, saga } = this.entry.id
    return Effect.as(
      Effect.annotateLogs(Effect.logWarning("a message for a saga does not fit, and is passed over"), {
        saga,
        id,
        step: this.compiled.steps[step]?.name,
        event: Redaction.scrub(event)
      }),
      { _tag: "Unfit", step, event, reason: "it does not fit its schema" }
    )
  }

  private verify(step: number): Effect_<Signal> {
    return this.withAttempt(step, (attempt) => this.verifyWith(step, attempt))
  }

  private verifyWith(step: number, attempt: Attempt): Effect_<Signal> {
    return Effect.gen({ self: this }, function*() {
      const detail = this.noteOf(step).doubt ?? "interrupted"
      const { value, verdict } = yield* verifyStep(attempt, detail)
      const { tries } = attempt
      if (verdict._tag === "Happened") define(this.results, attempt.step.name, value)
      if (verdict._tag === "NeverHappened") {
        tries.isDoubtful = false
        attempt.departures.forgetAll()
      }
      if (verdict._tag === "NotSeen") tries.isDoubtful = true
      // It will run once more. The first try of this process is free.
      const isAgain = (verdict._tag === "NeverHappened" || verdict._tag === "NotSeen") && tries.count > 0 &&
        this.state.cause === undefined
      const pause = isAgain ? yield* tries.pause : 0
      if (pause !== undefined && pause > 0) yield* Effect.sleep(Duration.millis(pause))
      return {
        _tag: "Verified",
        step,
        verdict,
        detail,
        isExhausted: pause === undefined,
        cancel: this.cancelRequested
      }
    })
  }

  private undo(command: Command & { readonly _tag: "Undo" }): Effect_<Signal> {
    const { outcome, step } = command
    return this.withAttempt(step, (attempt) => {
      const tries = makeTries(attempt.step.undoSchedule, false, this.quietSince)
      const failedAt = this.failedAt ?? this.now
      const isKnown = step !== this.inheritedUndo
      const departures = new Departures(
        isKnown ? this.noteOf(step).undoSent : undefined,
        () => Math.max(0, this.now - failedAt),
        () => Math.max(0, this.shared.leases.nowMillis() - tries.endedAt)
      )
      return Effect.map(
        undoStep({ ...attempt, tries, departures }, outcome, this.results[attempt.step.name]),
        (undo): Signal => ({ _tag: "Undid", step, undo })
      )
    })
  }

  private withAttempt<A>(step: number, use: (attempt: Attempt) => Effect_<A>): Effect_<A> {
    return Effect.suspend(() => {
      const compiled = this.compiled.steps[step]
      return compiled === undefined
        ? Effect.die(new Error("decide named a step that is not there"))
        : use(this.attemptOf(step, compiled))
    })
  }

  private attemptOf(step: number, compiled: CompiledStep): Attempt {
    const note = this.noteOf(step)
    const tries = note.tries ??= makeTries(compiled.schedule, note.isInherited, this.quietSince)
    const intendedAt = note.intendedAt ?? this.now
    // Nothing leaves any more once the doubt is written down.
    const doubtedAt = note.doubtedAt ?? Number.POSITIVE_INFINITY
    const ageMillis = () => Math.max(0, this.now - intendedAt)
    const silenceMillis = () => Math.max(0, this.nowMillis() - tries.endedAt, this.now - doubtedAt)
    const departures = note.departures ??= new Departures(note.isInherited ? undefined : [], ageMillis, silenceMillis)
    return {
      id: this.entry.id,
      step: compiled,
      ctx: this.results,
      epoch: this.entry.epoch,
      digest: this.shared.digest,
      ageMillis,
      silenceMillis,
      resultLimitBytes: this.shared.resultLimitBytes,
      tries,
      departures,
      nowMillis: this.nowMillis,
      lost: this.lost
    }
  }

  private readonly nowMillis = (): number => this.shared.leases.nowMillis()

  private readonly lost = (): Suspended | undefined =>
    this.shared.leases.isLive(this.entry) ? undefined : new Suspended({ by: "LeaseLost", detail: "" })

  // --- the log

  /** Makes the events durable, then says what to do: what was asked for meanwhile may have changed it. */
  private settle(decision: Decision): Effect_<Command> {
    const { command, events } = decision
    const written = events.length === 0 ? Effect.void : this.append(events)
    return Effect.flatMap(written, () => {
      if (this.pauseRequested === undefined && !this.cancelRequested) return Effect.succeed(command)
      const { shape } = this.compiled
      if (this.pauseRequested !== undefined && isUnfinished(statusOf(shape, this.state))) {
        const note = this.pauseRequested
        this.pauseRequested = undefined
        return this.settle(decide(shape, this.state, { _tag: "Pause", note, unsent: this.unsentOf(decision) }))
      }
      const unsent = this.unsentOf(decision)
      const cancelled = this.cancelRequested && unsent.length > 0
        ? decide(shape, this.state, { _tag: "Cancel", unsent })
        : decision
      // Where it comes too late, all goes on: steps beside those that have not left too.
      return cancelled === decision || cancelled.events.length === 0 ? Effect.succeed(command) : this.settle(cancelled)
    })
  }

  /** The steps that the decision intends, which have surely not started. */
  private unsentOf({ command, events }: Decision): ReadonlyArray<number> {
    // A step that waits sends nothing, however long it has waited.
    if (command._tag === "Wait") return [command.step]
    return command._tag === "Run" || command._tag === "Group"
      ? events.flatMap((event) => event._tag === "Intended" ? [this.placeOf(event.step)] : [])
      : []
  }

  private append(events: ReadonlyArray<Event>): Effect_<void> {
    const next = fold(this.compiled.shape, this.state, events)
    const { epoch, id, owner } = this.entry
    const request = {
      key: id.key,
      saga: id.saga,
      id: id.id,
      owner,
      epoch,
      seq: this.length + 1,
      state: statusOf(this.compiled.shape, next),
      events
    }
    const until = this.shared.leases.nowMillis() + this.shared.logMillis
    return Effect.uninterruptible(Effect.flatMap(this.persist(this.shared.log.append(request), until), (reply) => {
      if (!reply.appended) return Effect.fail(new Suspended({ by: "LeaseLost", detail: "" }))
      this.apply(events, this.now, next)
      this.length++
      this.cancelRequested ||= reply.cancelRequested
      this.pauseRequested = reply.pauseRequested
      return Effect.void
    }))
  }

  /** Asks until the log answers, the lease is gone or the time is up. Every write may be sent twice. */
  private persist(
    write: Effect.Effect<AppendReply, LogUnavailable>,
    until: number,
    backoffMillis = backoffMinMillis
  ): Effect.Effect<AppendReply, Suspended> {
    const { deadlines, leases, log } = this.shared
    if (!leases.isLive(this.entry)) return Effect.fail(new Suspended({ by: "LeaseLost", detail: "" }))
    const asked = log.isLocal === true ? write : boundedBy(deadlines, write, Math.max(1, until - leases.nowMillis()))
    return Effect.catch(asked, (error) =>
      leases.nowMillis() >= until
        ? Effect.fail(
          new Suspended({ by: "LogUnavailable", detail: error === undefined ? "no answer in time" : error.detail })
        )
        : Effect.flatMap(
          Effect.sleep(Duration.millis(backoffMillis)),
          () => this.persist(write, until, Math.min(backoffMillis * 2, backoffMaxMillis))
        ))
  }
}

/** @internal The payload and the results so far, or what of them cannot be read. */
export const readResults = (
  compiled: Compiled,
  history: History
): Result.Result<Record<string, unknown>, string> => {
  const payload = compiled.payload.restore(history.run.payload)
  if (Result.isFailure(payload)) return Result.fail("the payload")
  const state = fold(compiled.shape, initial(compiled.shape), history.entries.flatMap(({ events }) => events))
  return Result.map(resultsOf(compiled, compiled.shape, state, payload.success), (results) => ({ ...results }))
}
