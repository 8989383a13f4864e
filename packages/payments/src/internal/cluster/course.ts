/**
 * One run of a saga as the body of a workflow. It folds what its activities answered with the core of the engine, so a
 * replay comes to where it stood: nothing else is looked at, and every activity has one name.
 *
 * Undoing is a second phase of the body, not finalizers of the workflow: the open obligations are read from the state, last
 * started first, and each try of an undo is an activity.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type * as Schema from "effect/Schema"
import type { Digest } from "../effect/crypto.ts"
import { Activity, DurableClock, DurableDeferred, Workflow, WorkflowEngine } from "../effect/workflow.ts"
import { type Attempt, concluded, retryAfterMax, runOnce, undoOnce, verifyStep, waited } from "../saga/attempt.ts"
import { type Compiled, type CompiledStep, differenceOf, shapeOf } from "../saga/compile.ts"
import {
  type Command,
  decide,
  type Decision,
  fold,
  initial,
  isCancellable,
  isObligation,
  type SagaState,
  type Signal,
  statusOf,
  type StepCommand
} from "../saga/decide.ts"
import { Departures } from "../saga/departures.ts"
import { report } from "../saga/engine.ts"
import { define, executionOf, type OnStuck } from "../saga/execution.ts"
import type { Event, RunId } from "../saga/record.ts"
import type { Nonces } from "./nonces.ts"
import {
  Begun,
  cancelled,
  Entered,
  type History,
  Looked,
  message,
  Ran,
  redefined,
  stuck,
  Told,
  Undid,
  Verified,
  wake,
  Woken
} from "./protocol.ts"
import { fresh, inherited, type Line, pauseOf } from "./tries.ts"

/** @internal What all runs of a process share. */
export interface Host {
  readonly engine: WorkflowEngine.WorkflowEngine["Service"]
  readonly digest: Digest.Digest["Service"]
  readonly nonces: Nonces
  readonly resultLimitBytes: number
  readonly onStuck: OnStuck | undefined
}

/** What was kept does not fit the saga any more. */
class Differs {
  readonly _tag = "Differs"
  readonly detail: string
  constructor(detail: string) {
    this.detail = detail
  }
}

type Body<A> = Effect.Effect<A, Differs, unknown>
type Work<A> = Effect.Effect<A, never, unknown>

/** Timers of platforms end after 24 days; whoever waits longer looks again. */
const timerMax = 20 * 24 * 60 * 60 * 1000

/** @internal `hash` names the definition. */
export const run = (
  host: Host,
  compiled: Compiled,
  hash: string,
  id: RunId,
  payload: string
): Effect.Effect<History, never, unknown> => {
  const course = new Course(host, compiled, id, payload)
  return Effect.catch(course.run, ({ detail }) => course.stopAt(hash, detail))
}

class Course {
  private readonly host: Host
  private readonly compiled: Compiled
  private readonly id: RunId
  private readonly payload: string
  private readonly results: Record<string, unknown> = {}
  private readonly events: Array<Event> = []
  private state: SagaState
  private definition: string
  /** When the last activity ended, and by what the next one knows itself. */
  private now = 0
  private nonce = ""
  private epoch = 1
  private cancelRequested = false
  /** Seen meanwhile: it counts with the next decision. */
  private cancelSeen = false
  /** Of the steps that are to run, those that surely have not yet. */
  private unsent: ReadonlyArray<number> = []
  private timesStuck = 0
  private failedAt: number | undefined = undefined
  private readonly lines = new Map<number, Line>()
  private readonly doubts = new Map<number, string>()
  private readonly intendedAt = new Map<number, number>()
  private readonly doubtedAt = new Map<number, number>()
  private readonly undosSent = new Map<number, ReadonlyArray<string> | undefined>()
  private readonly calls = new Map<string, number>()

  constructor(host: Host, compiled: Compiled, id: RunId, payload: string) {
    this.host = host
    this.compiled = compiled
    this.id = id
    this.payload = payload
    this.definition = compiled.definition
    this.state = initial(compiled.shape)
  }

  // --- the whole

  get run(): Body<History> {
    return Effect.gen({ self: this }, function*() {
      const { definition } = this.compiled
      const begun = yield* this.activity(
        "begin",
        "",
        Begun,
        Effect.map(this.stamp, (stamp) => ({ ...stamp, definition }))
      )
      this.mark(begun)
      this.definition = begun.definition
      // Which of its last steps have started is not known when they are gone.
      const length = shapeOf(begun.definition)?.length ?? Number.POSITIVE_INFINITY
      if (length > this.compiled.shape.length) {
        const all = this.compiled.shape.map(({ name }): Event => ({ _tag: "Intended", step: name }))
        const first = differenceOf(this.compiled, begun.definition, all)
        return yield* Effect.fail(new Differs(first ?? "the number of steps"))
      }
      this.epoch = Math.max(1, begun.at)
      const payload = this.compiled.payload.restore(this.payload)
      if (Result.isFailure(payload)) return yield* Effect.fail(new Differs("the payload"))
      this.results["payload"] = payload.success
      let signal: Signal = { _tag: "Begin", isFresh: true, cancel: false }
      for (;;) {
        yield* this.forward(signal)
        yield* this.unwind
        const status = statusOf(this.compiled.shape, this.state)
        if (status === "Completed" || status === "Compensated") break
        if (status !== "Parked" && status !== "FailedCompensation") return yield* Effect.die(new Error("no end"))
        signal = yield* this.stuck
      }
      this.host.nonces.take(this.nonce)
      yield* this.report
      return this.history
    })
  }

  private get history(): History {
    return { definition: this.definition, payload: this.payload, events: this.events }
  }

  private get report(): Effect.Effect<void> {
    const { shape } = this.compiled
    const execution = executionOf(this.compiled, shape, this.state, this.results["payload"])
    return Result.isSuccess(execution) && execution.success !== undefined
      ? report(this.id, execution.success, this.host.onStuck)
      : Effect.void
  }

  /** Nothing goes on that was begun as something else: it stands until it is resumed under a definition that fits. */
  stopAt(hash: string, detail: string): Work<never> {
    const { id, saga } = this.id
    const told = Effect.andThen(
      this.done(redefined(hash), detail),
      Effect.annotateLogs(
        Effect.logError("a saga stands still, for it was begun under another definition"),
        { saga, id, differs: detail }
      )
    )
    return Effect.gen({ self: this }, function*() {
      yield* Activity.make({ name: `redefined/${hash}`, execute: told })
      return yield* Effect.andThen(this.until([never]), Effect.never)
    })
  }

  private forward(first: Signal): Body<void> {
    return Effect.gen({ self: this }, function*() {
      let signal = first
      for (;;) {
        const command = yield* this.settle(decide(this.compiled.shape, this.state, signal))
        switch (command._tag) {
          case "Run":
            signal = yield* this.alone(command.step)
            break
          case "Verify":
            signal = yield* this.verify(command.step)
            break
          case "Wait":
            signal = yield* this.wait(command.step)
            break
          case "Group":
            signal = yield* this.group(command.commands)
            break
          case "Undo":
          case "Stop":
          case "Unwind":
            return
        }
      }
    })
  }

  /** The obligations that are open, last started first. One that fails keeps no other from its tries. */
  private get unwind(): Body<void> {
    return Effect.gen({ self: this }, function*() {
      const { shape } = this.compiled
      if (statusOf(shape, this.state) !== "Compensating") return
      const open = shape.flatMap((_, index) => isObligation(shape, this.state, index) ? [index] : [])
      for (const step of open.toReversed()) {
        let signal: Signal = { _tag: "Undo", step }
        for (;;) {
          const command: Command = yield* this.settle(decide(shape, this.state, signal))
          if (command._tag === "Verify") signal = yield* this.verify(step)
          else if (command._tag === "Undo") signal = yield* this.undo(command)
          else break
        }
      }
    })
  }

  private settle(decision: Decision): Body<Command> {
    return Effect.suspend(() => {
      this.cancelRequested ||= this.cancelSeen
      const differs = this.apply(decision.events)
      if (differs !== undefined) return Effect.fail(new Differs(differs))
      const { command, events } = decision
      this.unsent = command._tag === "Run" || command._tag === "Wait" || command._tag === "Group"
        ? events.flatMap((event) => event._tag === "Intended" ? [this.placeOf(event.step)] : [])
        : []
      if (!this.cancelRequested || this.unsent.length === 0) return Effect.succeed(command)
      const late = decide(this.compiled.shape, this.state, { _tag: "Cancel", unsent: this.unsent })
      // Where it comes too late, all goes on.
      return late.events.length === 0 ? Effect.succeed(command) : this.settle(late)
    })
  }

  /** Answers what of the events does not fit the saga. */
  private apply(events: ReadonlyArray<Event>): string | undefined {
    this.state = fold(this.compiled.shape, this.state, events)
    this.events.push(...events)
    for (const event of events) {
      const place = "step" in event && event.step !== undefined ? this.placeOf(event.step) : -1
      if (event._tag === "Intended") this.intend(place)
      if (event._tag === "Doubted") this.doubtedAt.set(place, this.now)
      if (event._tag === "UndoFailed") this.undosSent.set(place, event.sent)
      if (event._tag === "Succeeded") {
        const value = this.compiled.steps[place]?.success.restore(event.result)
        if (value === undefined || Result.isFailure(value)) return `the result of "${event.step}"`
        define(this.results, event.step, value.success)
      }
    }
    if (this.state.cause !== undefined) this.failedAt ??= this.now
    return differenceOf(this.compiled, this.definition, this.events)
  }

  private intend(place: number): void {
    const isAgain = this.compiled.shape[place]?.kind === "wait" && this.intendedAt.has(place)
    if (!isAgain) this.intendedAt.set(place, this.now)
  }

  private placeOf(step: string): number {
    return this.compiled.steps.findIndex(({ name }) => name === step)
  }

  // --- one step

  private alone(step: number): Body<Signal> {
    return Effect.gen({ self: this }, function*() {
      const isUnsent = this.unsent.includes(step) && !this.cancelRequested
      const end = yield* this.tried(step, { nonce: this.nonce }, isUnsent)
      if (end !== "Lost") return end
      // As after a crash: it is looked up, or runs again under its key.
      this.cancelRequested ||= this.cancelSeen
      return { _tag: "Begin", isFresh: false, cancel: this.cancelRequested }
    })
  }

  /** Runs at the same time; decides when all have ended. */
  private group(commands: ReadonlyArray<StepCommand>): Body<Signal> {
    return Effect.gen({ self: this }, function*() {
      const first = stepUnsafe(this.compiled, commands[0]?.step ?? -1).name
      const entered = yield* this.activity(
        "enter",
        first,
        Entered,
        Effect.gen({ self: this }, function*() {
          const nonces = commands.map(() => this.host.nonces.issue())
          return { ...yield* this.stamp, nonces, cancel: yield* this.isDone(cancelled) }
        })
      )
      this.mark(entered)
      if (entered.cancel && !this.cancelRequested && this.unsent.length > 0) {
        this.cancelRequested = true
        return { _tag: "Cancel", unsent: this.unsent }
      }
      const owns = entered.nonces.map((nonce) => ({ nonce }))
      const ends = yield* Effect.forEach(
        commands,
        (command, index) => this.member(command, owns[index] ?? { nonce: "" }),
        { concurrency: "unbounded" }
      )
      // Whoever ended last: a replay has to come with the same.
      this.nonce = owns.at(-1)?.nonce ?? ""
      return { _tag: "Joined", ends }
    })
  }

  private member(first: StepCommand, own: { nonce: string }): Body<Signal> {
    return Effect.gen({ self: this }, function*() {
      const { shape } = this.compiled
      let command = first
      for (;;) {
        const { step } = command
        const end = command._tag === "Verify" ? yield* this.verify(step, own) : yield* this.tried(step, own, false)
        if (end === "Lost" && shape[step]?.verify === "rerun") continue
        const signal: Signal = end === "Lost" ? yield* this.verify(step, own) : end
        if (signal._tag === "Verified" && signal.verdict._tag === "Happened") {
          return { _tag: "Succeeded", step, result: signal.verdict.result }
        }
        const next = decide(shape, this.state, signal)
        const isAgain = next.events.length === 0 && (next.command._tag === "Run" || next.command._tag === "Verify")
        if (!isAgain) return signal
        command = next.command as StepCommand
      }
    })
  }

  /** Tries until there is an answer, a doubt, or no try left; or until it turns out that an earlier process was at it. */
  private tried(step: number, own: { nonce: string }, isUnsent: boolean): Body<Signal | "Lost"> {
    return Effect.gen({ self: this }, function*() {
      const line = this.lineOf(step)
      for (let isFirst = true;; isFirst = false) {
        const ran = yield* this.activity(
          "run",
          stepUnsafe(this.compiled, step).name,
          Ran,
          this.tryOf(step, line, own.nonce, isUnsent && isFirst)
        )
        this.mark(ran)
        own.nonce = ran.nonce
        if (ran._tag === "Unsent") {
          this.cancelRequested = true
          return { _tag: "Cancel", unsent: [step] }
        }
        if (ran._tag === "Lost") {
          this.epoch = Math.max(this.epoch + 1, ran.at)
          this.cancelSeen ||= ran.cancel
          this.lines.set(step, inherited(ran.at))
          return "Lost"
        }
        line.count++
        line.isDoubtful = ran.isDoubtful
        line.endedAt = ran.at
        line.sent = ran.sent
        line.decisive = ran.decisive
        const { end } = ran
        if (ran.again === undefined) {
          if (end._tag === "Unknown") this.doubts.set(step, end.detail)
          return end._tag === "Failed"
            ? { ...end, error: end.error, step }
            : { ...end, step }
        }
        line.asked = [...line.asked, ran.at]
        yield* this.pause(step, ran.again)
      }
    })
  }

  private tryOf(step: number, line: Line, nonce: string, isUnsent: boolean): Work<Ran> {
    return Effect.gen({ self: this }, function*() {
      if (!this.host.nonces.take(nonce)) {
        return { _tag: "Lost", ...yield* this.stamp, cancel: yield* this.isDone(cancelled) } as const
      }
      if (isUnsent && (yield* this.isDone(cancelled))) return { _tag: "Unsent", ...yield* this.stamp } as const
      const attempt = yield* this.attemptOf(step, line)
      const once = yield* Effect.orDie(runOnce(attempt))
      const stamp = yield* this.stamp
      const pause = once.isRetriable
        ? yield* pauseOf(attempt.step.schedule, { ...line, count: attempt.tries.count }, stamp.at)
        : undefined
      const end = pause === undefined ? concluded(attempt, once) : once.end
      const sent = attempt.departures.kept
      return {
        _tag: "Ran",
        ...stamp,
        end: end._tag === "Succeeded"
          ? { _tag: "Succeeded", result: end.result }
          : end._tag === "Failed"
          ? {
            _tag: "Failed",
            detail: end.detail,
            ...end.error === undefined ? {} : { error: end.error },
            ...end.parks === undefined ? {} : { parks: end.parks }
          }
          : end,
        ...pause === undefined ? {} : { again: Math.max(pause, Math.min(once.retryAfterMillis, retryAfterMax)) },
        isDoubtful: attempt.tries.isDoubtful,
        ...sent === undefined ? {} : { sent },
        decisive: attempt.departures.decisivePhases
      } as const
    })
  }

  private verify(step: number, own?: { nonce: string }): Body<Signal & { readonly _tag: "Verified" }> {
    return Effect.gen({ self: this }, function*() {
      const line = this.lineOf(step)
      const detail = this.doubts.get(step) ?? "interrupted"
      const mayRunAgain = line.count > 0 && this.state.cause === undefined
      const found = yield* this.activity(
        "verify",
        stepUnsafe(this.compiled, step).name,
        Verified,
        Effect.gen({ self: this }, function*() {
          const attempt = yield* this.attemptOf(step, line)
          const { verdict } = yield* Effect.orDie(verifyStep(attempt, detail))
          const stamp = yield* this.stamp
          const isAgain = mayRunAgain && isAbsent(verdict._tag)
          const pause = isAgain ? yield* pauseOf(attempt.step.schedule, line, stamp.at) : 0
          return {
            ...stamp,
            verdict: verdict._tag === "Refused"
              ? {
                _tag: "Refused",
                detail: verdict.detail,
                ...verdict.error === undefined ? {} : { error: verdict.error },
                ...verdict.parks === undefined ? {} : { parks: verdict.parks }
              }
              : verdict,
            ...pause === undefined ? {} : { again: pause },
            isExhausted: pause === undefined,
            cancel: yield* this.isDone(cancelled)
          } as const
        })
      )
      this.mark(found)
      if (own !== undefined) own.nonce = found.nonce
      this.cancelSeen ||= found.cancel
      const { verdict } = found
      if (verdict._tag === "NeverHappened") {
        line.isDoubtful = false
        line.sent = []
      }
      if (verdict._tag === "NotSeen") line.isDoubtful = true
      if (mayRunAgain && isAbsent(verdict._tag)) line.asked = [...line.asked, found.at]
      if (found.again !== undefined && found.again > 0) yield* this.pause(step, found.again)
      return {
        _tag: "Verified",
        step,
        verdict: verdict._tag === "Refused" ? { ...verdict, error: verdict.error } : verdict,
        detail,
        isExhausted: found.isExhausted,
        cancel: found.cancel || this.cancelRequested
      }
    })
  }

  private wait(step: number): Body<Signal> {
    return Effect.gen({ self: this }, function*() {
      const compiled = stepUnsafe(this.compiled, step)
      const { name, wait } = compiled
      if (wait === undefined) return yield* Effect.die(new Error("decide named no wait"))
      const until = (this.intendedAt.get(step) ?? this.now) + wait.millis
      const mail = wait.message === undefined ? undefined : message(name)
      for (let times = 0;; times++) {
        const looked = yield* this.activity(
          "look",
          name,
          Looked,
          Effect.gen({ self: this }, function*() {
            const sent = mail === undefined ? undefined : yield* this.read(mail)
            const cancel = yield* this.isDone(cancelled)
            return { ...yield* this.stamp, ...sent === undefined ? {} : { value: sent.value }, cancel }
          })
        )
        this.mark(looked)
        if (looked.cancel && !this.cancelRequested) {
          this.cancelRequested = true
          return { _tag: "Cancel", unsent: [step] }
        }
        if (looked.value !== undefined || looked.at >= until) {
          const end = waited(compiled, wait, this.results, looked.value, this.host.resultLimitBytes)
          return { ...end, step }
        }
        const clock = until === Number.POSITIVE_INFINITY
          ? undefined
          : DurableClock.make({
            name: `wait/${times}/${name}`,
            duration: Duration.millis(Math.min(until - looked.at, timerMax))
          })
        if (clock !== undefined) yield* this.schedule(clock)
        yield* this.until([
          ...mail === undefined ? [] : [mail],
          ...this.cancelRequested ? [] : [cancelled],
          ...clock === undefined ? [] : [clock.deferred]
        ])
      }
    })
  }

  private undo({ outcome, step }: Command & { readonly _tag: "Undo" }): Body<Signal> {
    return Effect.gen({ self: this }, function*() {
      const { name } = stepUnsafe(this.compiled, step)
      const before = this.undosSent.has(step) ? this.undosSent.get(step) : []
      const line: Line = { ...fresh(this.now), sent: before }
      for (;;) {
        const undid = yield* this.activity("undo", name, Undid, this.tryUndo(step, line, this.nonce, outcome))
        this.mark(undid)
        const { again, undo } = undid
        line.count++
        line.endedAt = undid.at
        if (undo._tag === "Failed") line.sent = undo.sent
        if (again === undefined) return { _tag: "Undid", step, undo }
        line.asked = [...line.asked, undid.at]
        yield* this.pause(step, again)
      }
    })
  }

  private tryUndo(
    step: number,
    line: Line,
    nonce: string,
    outcome: (Command & { readonly _tag: "Undo" })["outcome"]
  ): Work<Undid> {
    return Effect.gen({ self: this }, function*() {
      const isFirst = this.host.nonces.take(nonce)
      const clock = yield* Clock.Clock
      const failedAt = this.failedAt ?? this.now
      const endedAt = isFirst ? line.endedAt : clock.currentTimeMillisUnsafe()
      const attempt = yield* this.attemptOf(step, this.lineOf(step))
      // An earlier process may have been at it.
      const departures = new Departures(
        isFirst ? line.sent : undefined,
        () => Math.max(0, clock.currentTimeMillisUnsafe() - failedAt),
        () => Math.max(0, clock.currentTimeMillisUnsafe() - endedAt)
      )
      const tries = { ...attempt.tries, count: line.count, isDoubtful: false }
      const undo = yield* Effect.orDie(
        undoOnce({ ...attempt, tries, departures }, outcome, this.results[attempt.step.name])
      )
      const stamp = yield* this.stamp
      if (undo._tag === "Forced") return yield* Effect.die(new Error("an undo does not force itself"))
      if (undo._tag !== "Failed") return { ...stamp, undo }
      const isRefused = undo.isRefused === true
      const pause = isRefused
        ? undefined
        : yield* pauseOf(attempt.step.undoSchedule, { ...line, count: tries.count }, stamp.at)
      return {
        ...stamp,
        undo: {
          _tag: "Failed",
          detail: undo.detail,
          ...undo.sent === undefined ? {} : { sent: undo.sent },
          isRefused
        },
        ...pause === undefined ? {} : { again: pause }
      } as const
    })
  }

  private lineOf(step: number): Line {
    let line = this.lines.get(step)
    if (line === undefined) this.lines.set(step, line = fresh(this.now))
    return line
  }

  private attemptOf(step: number, line: Line): Effect.Effect<Attempt> {
    return Effect.map(Clock.Clock, (clock) => {
      const intendedAt = this.intendedAt.get(step) ?? this.now
      // Nothing leaves any more once the doubt is written down.
      const doubtedAt = this.doubtedAt.get(step) ?? Number.POSITIVE_INFINITY
      const ageMillis = () => Math.max(0, clock.currentTimeMillisUnsafe() - intendedAt)
      const silenceMillis = () =>
        Math.max(0, clock.currentTimeMillisUnsafe() - line.endedAt, clock.currentTimeMillisUnsafe() - doubtedAt)
      const departures = new Departures(line.sent, ageMillis, silenceMillis)
      for (const phase of line.decisive) departures.noteDecisive(phase)
      return {
        id: this.id,
        step: stepUnsafe(this.compiled, step),
        ctx: this.results,
        epoch: this.epoch,
        digest: this.host.digest,
        ageMillis,
        silenceMillis,
        resultLimitBytes: this.host.resultLimitBytes,
        // One try; the pauses between are durable.
        tries: { pause: Effect.undefined, count: line.count, isDoubtful: line.isDoubtful, endedAt: 0 },
        departures,
        nowMillis: () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6,
        lost: () => undefined
      }
    })
  }

  // --- stuck

  /** Tells that it is stuck and waits for someone, without a fiber. */
  private get stuck(): Body<Signal> {
    return Effect.gen({ self: this }, function*() {
      const { shape } = this.compiled
      const parkedAt = this.now
      for (;;) {
        const times = this.timesStuck
        const cancelKnown = this.cancelRequested
        const told = yield* this.activity(
          "stuck",
          "",
          Told,
          Effect.gen({ self: this }, function*() {
            // What was told before a crash stands.
            const isTold = yield* this.isDone(stuck(times))
            const cancel = !isTold && (yield* this.isDone(cancelled))
            if (cancelKnown || !cancel) {
              yield* this.done(stuck(times), { history: this.history, cancelKnown })
              yield* this.report
            }
            return { ...yield* this.stamp, cancel }
          })
        )
        this.mark(told)
        let wish: "Resume" | "Cancel" = "Cancel"
        if (cancelKnown || !told.cancel) {
          yield* this.until([wake(times), ...cancelKnown ? [] : [cancelled]])
          const woken = yield* this.activity(
            "woken",
            "",
            Woken,
            Effect.gen({ self: this }, function*() {
              const cancel = yield* this.isDone(cancelled)
              const asked = yield* this.read(wake(times))
              if (asked === undefined) yield* this.done(wake(times), "Cancel")
              return { ...yield* this.stamp, wish: asked ?? "Cancel", cancel }
            })
          )
          this.mark(woken)
          this.timesStuck++
          this.cancelRequested ||= woken.cancel
          wish = woken.wish
        } else this.cancelRequested = true
        const isParked = this.state.parked !== undefined
        if (wish === "Resume" || (isParked && isCancellable(shape, this.state))) {
          this.apply([{ _tag: "Resumed" }])
          this.inherit(parkedAt)
          return { _tag: "Begin", isFresh: false, cancel: wish === "Cancel" || this.cancelRequested }
        }
      }
    })
  }

  /** What may have left before it got stuck, and nothing has since. */
  private inherit(until: number): void {
    this.doubts.clear()
    for (const [step, { progress }] of this.state.steps.entries()) {
      if (progress._tag === "Intended" || progress._tag === "InDoubt") this.lines.set(step, inherited(until))
      else this.lines.delete(step)
    }
  }

  // --- the workflow engine

  private activity<A>(kind: string, step: string, success: Schema.Codec<A, unknown>, execute: Work<A>): Work<A> {
    return Effect.suspend(() => {
      const key = `${kind} ${step}`
      const times = this.calls.get(key) ?? 0
      this.calls.set(key, times + 1)
      return Activity.make({ name: `${kind}/${times}/${step}`, success, execute, interruptRetryPolicy })
    })
  }

  private pause(step: number, millis: number): Work<void> {
    return Effect.suspend(() => {
      const { name } = stepUnsafe(this.compiled, step)
      const key = `pause ${name}`
      const times = this.calls.get(key) ?? 0
      this.calls.set(key, times + 1)
      const parts = Math.max(1, Math.ceil(millis / timerMax))
      return Effect.forEach(
        Array.from({ length: parts }, (_, part) => part),
        (part) =>
          DurableClock.sleep({
            name: `pause/${times}.${part}/${name}`,
            duration: Duration.millis(Math.min(timerMax, millis - part * timerMax))
          }),
        { discard: true }
      )
    })
  }

  private schedule(clock: DurableClock.DurableClock): Work<void> {
    return Effect.flatMap(
      WorkflowEngine.WorkflowInstance,
      ({ executionId, workflow }) => this.host.engine.scheduleClock(workflow, { executionId, clock })
    )
  }

  /** Until one of them is there, without a fiber. */
  private until(deferreds: ReadonlyArray<DurableDeferred.DurableDeferred<any>>): Work<void> {
    return Effect.gen({ self: this }, function*() {
      const instance = yield* WorkflowEngine.WorkflowInstance
      const { awaitedDeferreds: awaited } = instance
      // Registered before the look: whatever comes later wakes the run.
      for (const { name } of deferreds) awaited.set(name, (awaited.get(name) ?? 0) + 1)
      const found = yield* Workflow.wrapActivityResult(
        Effect.map(
          Effect.forEach(deferreds, (deferred) => this.host.engine.deferredResult(deferred)),
          (all) => all.some(Option.isSome)
        ),
        (found) => !found
      )
      if (!found) return yield* Workflow.suspend(instance)
      for (const { name } of deferreds) {
        const count = (awaited.get(name) ?? 0) - 1
        if (count > 0) awaited.set(name, count)
        else awaited.delete(name)
      }
    })
  }

  private read<S extends Schema.Constraint>(
    deferred: DurableDeferred.DurableDeferred<S>
  ): Work<S["Type"] | undefined> {
    return Effect.map(
      this.host.engine.deferredResult(deferred),
      (exit) => Option.isSome(exit) && Exit.isSuccess(exit.value) ? exit.value.value : undefined
    )
  }

  private isDone(deferred: DurableDeferred.DurableDeferred<any>): Work<boolean> {
    return Effect.map(this.host.engine.deferredResult(deferred), Option.isSome)
  }

  private done<S extends Schema.Constraint>(
    deferred: DurableDeferred.DurableDeferred<S>,
    value: S["Type"]
  ): Work<void> {
    return Effect.flatMap(
      WorkflowEngine.WorkflowInstance,
      ({ executionId, workflow }) =>
        this.host.engine.deferredDone(deferred, {
          workflowName: workflow._tag,
          executionId,
          deferredName: deferred.name,
          exit: Exit.succeed(value)
        })
    )
  }

  private get stamp(): Effect.Effect<{ readonly at: number; readonly nonce: string }> {
    return Effect.map(Clock.currentTimeMillis, (at) => ({ at, nonce: this.host.nonces.issue() }))
  }

  private mark({ at, nonce }: { readonly at: number; readonly nonce: string }): void {
    this.now = Math.max(this.now, at)
    this.nonce = nonce
  }
}

const stepUnsafe = ({ steps }: Compiled, place: number): CompiledStep => {
  const step = steps[place]
  if (step === undefined) throw new Error("decide named a step that is not there")
  return step
}

const isAbsent = (verdict: string): boolean => verdict === "NeverHappened" || verdict === "NotSeen"

/** Whatever interrupts a step is its end; one that the runner interrupts runs again elsewhere, and then looks first. */
const interruptRetryPolicy = Schedule.recurs(0)

const never = DurableDeferred.make("Saga/never")
