/**
 * Watches one schedule: what the log holds when something leaves, and what is told of it in the end. It knows the saga by
 * its log, its steps and what its services did, and nothing of the engine.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { Entry, Event, Run, RunId, SagaLog } from "../../../SagaLog.ts"
import { standing, type StepOfKey, type Truth, twice } from "./books.ts"
import type { Message, Messages, Taken } from "./messages.ts"

/** @internal A promise that was not kept: which one, and how. */
export interface Broken {
  readonly invariant: string
  readonly detail: string
}

/** @internal A step as the monitor sees it. */
export interface Watched {
  readonly name: string
  readonly kind: string
  readonly verify: unknown
}

/** @internal What leaves, and who sends it. */
export interface Leaving {
  readonly step: string
  readonly part: "run" | "undo" | "verify"
  /** The epoch under which the sender believes to hold the run. */
  readonly epoch: number
}

type Log = SagaLog["Service"]

const causes: ReadonlyArray<string> = ["Failed", "Doubted", "Cancelled"]
const outcomes: ReadonlyArray<string> = ["Undone", "Skipped", "UndoFailed"]

/** @internal */
export class Monitor {
  broken: Broken | undefined = undefined
  /** The length of the log when someone's wish to have it undone became durable. */
  cancelledAt: number | undefined = undefined
  private readonly log: Log
  private readonly id: RunId
  private readonly steps: ReadonlyArray<Watched>
  private readonly messages: Messages
  /** Ends of waits that were written down. */
  private readonly judged = new Set<string>()
  private readonly keys = new Map<string, string>()
  private readonly owners = new Map<number, string>()
  /** Steps, undos and verifications that have come back well. */
  private readonly well = new Set<string>()
  private readonly looked = new Set<string>()
  private readonly texts: Array<string> = []
  private epoch = 0
  /** What services were called for, in order, with what came of it: what a crash does not take away. */
  readonly calls: Array<string> = []

  constructor(log: Log, id: RunId, steps: ReadonlyArray<Watched>, messages: Messages) {
    this.log = log
    this.id = id
    this.steps = steps
    this.messages = messages
  }

  breaks(invariant: string, detail: string): void {
    this.broken ??= { invariant, detail }
  }

  // The log is in memory: it answers at once.
  read(): { readonly run: Run; readonly entries: ReadonlyArray<Entry> } | undefined {
    return Effect.runSync(this.log.read(this.id))
  }

  /** A wish to have it undone would be new to the log. */
  get isCancellable(): boolean {
    return this.cancelledAt === undefined && this.read()?.run.state === "Running"
  }

  get events(): ReadonlyArray<Event> {
    return this.read()?.entries.flatMap(({ events }) => events) ?? []
  }

  /** What the future depends on once the process is gone. */
  get fingerprint(): string {
    const history = this.read()
    const known = [...this.well, ...this.looked].sort().join()
    return history === undefined ? `${this.calls.join()};${known}` : [
      history.run.state,
      history.run.cancelRequested,
      this.textOf(history.entries),
      this.calls.join(),
      known,
      this.cancelledAt
    ].join(";")
  }

  private textOf(entries: ReadonlyArray<Entry>): string {
    const texts = this.texts
    // Entries are added and never changed.
    for (const { events } of entries.slice(texts.length)) texts.push(JSON.stringify(events))
    return texts.join()
  }

  // --- what leaves

  leaves({ epoch, part, step }: Leaving): void {
    const history = this.read()
    if (history === undefined) return this.breaks(beforeEffect, `"${step}" was called before the run was written down`)
    if (epoch !== history.run.epoch) {
      return this.breaks("who was replaced sends nothing", `${part} "${step}" left a process that was replaced`)
    }
    if (part === "verify") return
    if (part === "run") this.runs(step, epoch, history.entries)
    else this.undoes(step, history.entries.flatMap(({ events }) => events))
  }

  private runs(step: string, epoch: number, entries: ReadonlyArray<Entry>): void {
    const events = entries.flatMap(({ events }) => events)
    if (!has(events, "Intended", step)) {
      return this.breaks(beforeEffect, `"${step}" was called before it was intended`)
    }
    if (has(events, "Succeeded", step)) {
      return this.breaks("what is done is not done again", `"${step}" was called though it is done`)
    }
    if (events.some(({ _tag }) => causes.includes(_tag))) {
      return this.breaks("what is undone goes forward no more", `"${step}" was called though the run is to be undone`)
    }
    const pivot = this.steps.find(({ kind }) => kind === "pivot")?.name
    const placeOf = (name: string | undefined) => entries.findIndex(({ events }) => has(events, "Intended", name))
    const { cancelledAt } = this
    if (cancelledAt === undefined || placeOf(step) < cancelledAt) return
    // A pivot that another process has intended may have left.
    const isInherited = step === pivot && entries[placeOf(step)]?.epoch !== epoch
    const isTooLate = isInherited || has(events, "Succeeded", pivot) ||
      (pivot !== undefined && placeOf(pivot) !== -1 && placeOf(pivot) < cancelledAt)
    if (!isTooLate) this.breaks("a cancellation is heard", `"${step}" was called after the run was cancelled`)
  }

  private undoes(step: string, events: ReadonlyArray<Event>): void {
    if (!events.some(({ _tag }) => causes.includes(_tag))) {
      return this.breaks("nothing is undone without a cause", `"${step}" is undone, and no cause is written down`)
    }
    const pivot = this.steps.find(({ kind, name }) => kind === "pivot" && has(events, "Succeeded", name))
    if (pivot !== undefined) {
      return this.breaks("nothing is undone behind the pivot", `"${step}" is undone, and "${pivot.name}" is done`)
    }
    if (!isObligation(events, step)) {
      return this.breaks(oneOutcome, `"${step}" is undone, and there is nothing to undo`)
    }
    const recent = sinceResumed(events)
    if (recent.some((event) => outcomes.includes(event._tag) && isOf(event, step))) {
      return this.breaks(oneOutcome, `"${step}" is undone once more`)
    }
    const later = this.obligations(events)
    const open = later.slice(later.indexOf(step) + 1).find((name) =>
      !events.some((event) => (event._tag === "Undone" || event._tag === "Skipped") && isOf(event, name)) &&
      !recent.some((event) => event._tag === "UndoFailed" && isOf(event, name))
    )
    if (open !== undefined) {
      this.breaks("undone in reverse order", `"${step}" is undone before "${open}", which was begun after it`)
    }
  }

  /** `told`: what the undo was told of the step. */
  tells(step: string, told: string): void {
    const isDone = has(this.events, "Succeeded", step)
    if (isDone !== (told === "Done")) {
      return this.breaks("an undo is told the truth", `the undo of "${step}" was told ${told}`)
    }
    const isLooked = typeof this.steps.find(({ name }) => name === step)?.verify !== "function" || this.looked.has(step)
    if (!isDone && !isLooked) {
      this.breaks("verified before it is undone", `"${step}" is in doubt, and was undone without a look`)
    }
  }

  /** The key under which a call leaves is the same in every try and every process. */
  sends(step: string, part: string, key: string): void {
    const known = this.keys.get(`${part} ${step}`)
    if (known !== undefined && known !== key) {
      return this.breaks("one key for one call", `${part} "${step}" left under another key than before`)
    }
    this.keys.set(`${part} ${step}`, key)
  }

  /** A call has come back well, or a look-up has found it. What has failed a service may have counted. */
  comes(step: string, part: Leaving["part"], isWell: boolean): void {
    if (isWell) this.well.add(`${part} ${step}`)
    if (part === "verify") this.looked.add(step)
    else this.calls.push(`${part} ${step} ${isWell}`)
  }

  /** A call has not come to its service, again and again. */
  isLost(step: string, part: Leaving["part"]): void {
    const call = `${part} ${step} lost`
    if (part === "verify") this.looked.add(step)
    else if (this.calls.at(-1) !== call) this.calls.push(call)
  }

  // --- messages

  /** The log has kept a message. */
  keeps(step: string, event: string, value: string, at: number): void {
    if (this.messages.find(step, event)?.kept !== undefined) {
      return this.breaks(countsOnce, `"${event}" of "${step}" was kept twice`)
    }
    this.messages.keep(step, event, value, at)
  }

  /** The sender of a message was told whether it is new. */
  confirms(message: Message, isNew: boolean): void {
    message.isConfirmed = true
    const { given: { event, step }, kept } = message
    if (kept === undefined) return this.breaks(inTime, `"${event}" of "${step}" was confirmed, and is not kept`)
    if (isNew && message.isNews) return this.breaks(countsOnce, `"${event}" of "${step}" was new twice`)
    message.isNews ||= isNew
  }

  /** When the time of a wait is up: undefined until the run has come to it. */
  untilOf(step: string): number | undefined {
    const begun = this.read()?.entries.find(({ events }) => has(events, "Intended", step))
    return begun && begun.at + (this.messages.awaitedAt(step)?.millis ?? Number.POSITIVE_INFINITY)
  }

  /** The step at which the run waits. */
  get waitsAt(): string | undefined {
    const { events } = this
    return this.messages.awaited.find(({ name }) =>
      has(events, "Intended", name) && !has(events, "Succeeded", name) && !has(events, "Failed", name)
    )?.name
  }

  /** How the waits of the run have ended. */
  get taken(): Taken {
    const { events } = this
    return new Map(this.messages.awaited.flatMap(({ isArrival, name }) => {
      const end = events.find((event) => event._tag === "Succeeded" && isOf(event, name))
      if (end?._tag !== "Succeeded" || isArrival === undefined) return []
      return [[name, isDeadline(isArrival, end.result) ? "deadline" : this.firstOf(name, events)?.index ?? "deadline"]]
    }))
  }

  private firstOf(step: string, events: ReadonlyArray<Event>): Message | undefined {
    const ignored = events.flatMap((event) => event._tag === "Ignored" && event.step === step ? [event.event] : [])
    return this.messages.firstOf(step, ignored)
  }

  /** A wait has ended. */
  private ended(event: Event & { readonly _tag: "Succeeded" | "Failed" }, step: string, now: number): void {
    const awaited = this.messages.awaitedAt(step)
    // An entry whose reply was lost is written again.
    const end = JSON.stringify(event)
    if (awaited === undefined || this.judged.has(end)) return
    this.judged.add(end)
    const until = this.untilOf(step) ?? Number.POSITIVE_INFINITY
    const first = this.firstOf(step, this.events)
    const isByTime = awaited.isArrival === undefined || event._tag === "Failed" ||
      isDeadline(awaited.isArrival, event.result)
    if (!isByTime) {
      if (first?.kept === undefined) {
        return this.breaks(waitsTruly, `"${step}" has ended with a message that nobody has sent`)
      }
      if (first.kept.at >= until) {
        return this.breaks(waitsTruly, `"${step}" has ended with a message that came when its time was up`)
      }
      const value: unknown = JSON.parse(event.result)
      const expected: unknown = JSON.parse(first.kept.value)
      if (!isEqual(value, awaited.isArrival === true ? { _tag: "Arrived", value: expected } : expected)) {
        this.breaks(waitsTruly, `"${step}" has ended with another message than its first, ${event.result}`)
      }
      return
    }
    if (now < until) return this.breaks(waitsTruly, `"${step}" has ended ${until - now} ms before its time is up`)
    if (first?.kept !== undefined && first.kept.at < until) {
      this.breaks(inTime, `"${first.given.event}" came before the time of "${step}" was up, which ended without it`)
    }
  }

  /** Each wait ends at most once. */
  private waitsOnce(events: ReadonlyArray<Event>): void {
    for (const { name } of this.messages.awaited) {
      const ends = events.filter((event) =>
        (event._tag === "Succeeded" || event._tag === "Failed") && isOf(event, name)
      )
      if (ends.length > 1) return this.breaks(waitsTruly, `"${name}" has ended ${ends.length} times`)
    }
  }

  // --- what is written

  owns(run: Run): void {
    const owner = this.owners.get(run.epoch)
    if (owner !== undefined && owner !== run.owner) {
      this.breaks("one owner for one epoch", `two owners hold the run in epoch ${run.epoch}`)
    }
    this.owners.set(run.epoch, run.owner)
    this.epoch = Math.max(this.epoch, run.epoch)
  }

  writes(epoch: number, events: ReadonlyArray<Event>, now: number): void {
    if (epoch < this.epoch) {
      this.breaks("who was replaced writes nothing", `${events.map(({ _tag }) => _tag).join()} by an old owner`)
    }
    for (const event of events) this.witnesses(event, now)
  }

  private witnesses(event: Event, now: number): void {
    // For what a saga waits, nobody calls.
    const isWait = "step" in event && this.steps.find(({ name }) => name === event.step)?.kind === "wait"
    if (isWait && (event._tag === "Succeeded" || event._tag === "Failed")) return this.ended(event, event.step, now)
    if (event._tag === "Ignored" && this.messages.find(event.step, event.event)?.kept === undefined) {
      this.breaks(waitsTruly, `"${event.event}" was passed over at "${event.step}", for which nobody has sent it`)
    }
    if (
      event._tag === "Succeeded" && !this.well.has(`run ${event.step}`) &&
      !this.well.has(`verify ${event.step}`)
    ) {
      this.breaks("what is written has happened", `"${event.step}" is written down as done, and nobody has seen that`)
    }
    if (event._tag === "Undone" && !this.well.has(`undo ${event.step}`)) {
      this.breaks("what is written has happened", `"${event.step}" is written down as undone, and was not`)
    }
  }

  // --- what is left

  /** Steps that may have happened, in the order of their start. */
  private obligations(events: ReadonlyArray<Event>): ReadonlyArray<string> {
    return this.started(events).filter((step) =>
      this.steps.find(({ name }) => name === step)?.kind === "compensatable" && isObligation(events, step)
    )
  }

  private started(events: ReadonlyArray<Event>): ReadonlyArray<string> {
    return [...new Set(events.flatMap((event) => event._tag === "Intended" ? [event.step] : []))]
  }

  /** `told` is what callers were told, `reference` what a run without faults leaves behind. */
  ends(told: ReadonlyArray<string>, truth: Truth, reference: Truth | undefined, stepOf: StepOfKey): void {
    const history = this.read()
    if (history === undefined) return this.breaks(itEnds, "the run was never written down")
    const { state } = history.run
    const events = history.entries.flatMap(({ events }) => events)
    const lie = told.find((tag) => tag !== state)
    if (lie !== undefined) return this.breaks("callers are told the truth", `${lie} was told of a run that is ${state}`)
    if (!history.entries.every(({ seq }, index) => seq === index + 1)) {
      return this.breaks("who was replaced writes nothing", "the entries of the log are not in one order")
    }
    const double = twice([...truth.own, ...truth.moved])
    if (double !== undefined) {
      return this.breaks("at most once", `"${double.step}" was ${double.what} twice`)
    }
    this.outcomesOnce(events)
    this.waitsOnce(events)
    if (state === "Completed") this.completed(events, truth, reference)
    else if (state === "Compensated") this.compensated(events, truth, stepOf)
    else if (state === "FailedCompensation") this.failedCompensation(events)
    else if (state === "Parked") this.parked(events)
    else this.breaks(itEnds, `it stays ${state}`)
  }

  private outcomesOnce(events: ReadonlyArray<Event>): void {
    for (const { name } of this.steps) {
      const done = events.filter((event) => (event._tag === "Undone" || event._tag === "Skipped") && isOf(event, name))
      const recent = sinceResumed(events).filter((event) => outcomes.includes(event._tag) && isOf(event, name))
      if (done.length > 1 || recent.length > 1) {
        return this.breaks(oneOutcome, `the undo of "${name}" has ${Math.max(done.length, recent.length)} outcomes`)
      }
      if (recent.length > 0 && !this.started(events).includes(name)) {
        return this.breaks(oneOutcome, `"${name}" was never begun, and its undo has an outcome`)
      }
    }
  }

  private completed(events: ReadonlyArray<Event>, truth: Truth, reference: Truth | undefined): void {
    const missing = this.steps.find(({ name }) => !has(events, "Succeeded", name))
    if (missing !== undefined) return this.breaks(truthful, `Completed, and "${missing.name}" is not done`)
    const wrong = events.find(({ _tag }) => outcomes.includes(_tag) || causes.includes(_tag))
    if (wrong !== undefined) return this.breaks(truthful, `Completed, with ${wrong._tag} in its history`)
    if (reference === undefined) return
    const [is, was] = [describe(truth), describe(reference)]
    if (is !== was) this.breaks(truthful, `Completed with ${is}, where a run without faults leaves ${was}`)
  }

  private compensated(events: ReadonlyArray<Event>, truth: Truth, stepOf: StepOfKey): void {
    this.allHaveOutcomes(events)
    const [left] = standing(truth.own)
    if (left !== undefined) return this.breaks(undone, `Compensated, and "${left}" still stands`)
    if (truth.isMoneyLeft) return this.breaks(undone, `Compensated, with ${truth.money}`)
    const stray = truth.moved.find(({ key }) => stepOf(key) === undefined)
    if (stray !== undefined) this.breaks(undone, `a ${stray.step} belongs to no step`)
    if (!events.some(({ _tag }) => causes.includes(_tag))) this.breaks(truthful, "Compensated without a cause")
    const failed = events.find((event) => event._tag === "UndoFailed" && sinceResumed(events).includes(event))
    if (failed !== undefined) this.breaks(truthful, "Compensated, and an undo of it has failed")
  }

  private failedCompensation(events: ReadonlyArray<Event>): void {
    this.allHaveOutcomes(events)
    if (!sinceResumed(events).some(({ _tag }) => _tag === "UndoFailed")) {
      this.breaks(truthful, "FailedCompensation, and no undo of it has failed")
    }
  }

  private parked(events: ReadonlyArray<Event>): void {
    const parked = events.findLast((event) => event._tag === "Parked")
    if (parked?._tag !== "Parked" || parked.reason === "") this.breaks(truthful, "Parked without a reason")
  }

  private allHaveOutcomes(events: ReadonlyArray<Event>): void {
    const lost = this.obligations(events).find((name) =>
      !events.some((event) => outcomes.includes(event._tag) && isOf(event, name))
    )
    if (lost !== undefined) this.breaks(oneOutcome, `"${lost}" may have happened, and its undo has no outcome`)
  }
}

const beforeEffect = "intended before it leaves"
const oneOutcome = "one undo and one outcome for each obligation"
const truthful = "the state is true"
const countsOnce = "a message counts once"
const inTime = "a message that came in time is taken"
const waitsTruly = "a wait ends with its first message, or when its time is up"
const undone = "nothing that happened is left"

/** @internal */
export const itEnds = "every run ends"

const isOf = (event: Event, step: string | undefined): boolean => "step" in event && event.step === step

const has = (events: ReadonlyArray<Event>, tag: string, step: string | undefined): boolean =>
  events.some((event) => event._tag === tag && isOf(event, step))

const isDeadline = (isArrival: boolean, result: string): boolean =>
  isArrival && (JSON.parse(result) as { readonly _tag?: unknown })._tag === "DeadlinePassed"

const isEqual = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)

const sinceResumed = (events: ReadonlyArray<Event>): ReadonlyArray<Event> =>
  events.slice(events.findLastIndex(({ _tag }) => _tag === "Resumed") + 1)

const isObligation = (events: ReadonlyArray<Event>, step: string): boolean =>
  has(events, "Intended", step) && !has(events, "Failed", step) &&
  !events.some((event) => event._tag === "Cancelled" && [event.unsent].flat().includes(step))

const describe = ({ money, moved, own }: Truth): string => {
  const all = [...own, ...moved].map(({ key, step, what }) => `${step} ${what} (${key})`).sort()
  return [all.length === 0 ? "nothing" : all.join(", "), ...money === undefined ? [] : [money]].join("; ")
}
