/**
 * The state machine of a saga, pure: `evolve` folds what is durable into a state, `decide` says what has to become
 * durable next and what to do then. Nothing else decides anything.
 *
 * ```text
 * Running → Completed | Compensating → Compensated | FailedCompensation
 *        ↘ Parked
 * ```
 *
 * @internal
 */
import type { Event, State } from "./record.ts"

/** @internal `wait`: sends nothing, and so leaves nothing to undo or to verify. */
export type Kind = "compensatable" | "pivot" | "retriable" | "wait"

/** @internal What has to be known of a step to decide. */
export interface StepShape {
  readonly name: string
  readonly kind: Kind
  /** `look`: it can be found out whether it happened. `rerun`: it may be run again under the same key. */
  readonly verify: "look" | "rerun"
  /** What becomes of a compensatable step of which nobody knows whether it happened. */
  readonly inDoubt: "compensate" | "park"
  /** A failure that has no error to ask about parks. */
  readonly onFailure?: "park" | undefined
  /** Steps whose undo is covered by the undo of this one, once this one is done. */
  readonly closes: ReadonlyArray<string>
  /** Steps that stand together and have the same number run at the same time. */
  readonly group?: number | undefined
}

/** @internal */
export type Shape = ReadonlyArray<StepShape>

/** @internal How far a step has come. `Intended`: it may have left. `NotDone`: it surely did not happen. */
export type Progress =
  | { readonly _tag: "Waiting" | "Intended" | "NotDone" }
  | { readonly _tag: "Done"; readonly result: string }
  | { readonly _tag: "InDoubt"; readonly detail: string }

/** @internal What became of an obligation to undo. */
export type Undo =
  | { readonly _tag: "Undone" }
  | { readonly _tag: "Skipped"; readonly by: string; readonly reason: string }
  | { readonly _tag: "Forced"; readonly by: string; readonly evidence: string }
  /** `sent`: the phases of its calls that may have left; undefined when nobody knows. */
  | {
    readonly _tag: "Failed"
    readonly detail: string
    readonly sent?: ReadonlyArray<string> | undefined
    /** The other side said no, for good; known only until it is written down. */
    readonly isRefused?: boolean | undefined
  }

/** @internal */
export interface StepState {
  readonly progress: Progress
  readonly undo: Undo | undefined
}

/** @internal Why a saga unwinds. */
export type Failure =
  | { readonly _tag: "Failed"; readonly step: string; readonly detail: string; readonly error: string | undefined }
  | { readonly _tag: "InDoubt"; readonly step: string; readonly detail: string }
  | { readonly _tag: "Cancelled" }

/** @internal */
export interface SagaState {
  readonly steps: ReadonlyArray<StepState>
  readonly cause: Failure | undefined
  readonly parked: { readonly step: string | undefined; readonly reason: string } | undefined
  /** Pivots that are undone too, because someone wants all of it undone. */
  readonly reversed: ReadonlyArray<string>
}

/** @internal `parks`: someone has to say what becomes of it. */
export interface Refusal {
  readonly detail: string
  readonly error: string | undefined
  readonly parks?: boolean | undefined
}

/** @internal */
export type Verdict =
  | { readonly _tag: "Happened"; readonly result: string }
  | Refusal & { readonly _tag: "Refused" }
  | { readonly _tag: "NeverHappened" | "NotSeen" | "StillUnknown" }

/** @internal What has happened. Steps are named by their place. */
export type Signal =
  /** `isFresh`: the step that is intended surely has not started yet. */
  | { readonly _tag: "Begin"; readonly isFresh: boolean; readonly cancel: boolean }
  | { readonly _tag: "Succeeded"; readonly step: number; readonly result: string }
  /** It surely did not happen. */
  | Refusal & { readonly _tag: "Failed"; readonly step: number }
  /** It may have happened; `isVerifiable: false` when looking it up cannot help. */
  | { readonly _tag: "Unknown"; readonly step: number; readonly detail: string; readonly isVerifiable: boolean }
  | { readonly _tag: "Refuses"; readonly step: number; readonly reason: string }
  /** A message that has come for a step that waits is none that it can take. */
  | { readonly _tag: "Unfit"; readonly step: number; readonly event: string; readonly reason: string }
  /** `isExhausted`: it is not to be run once more. */
  | {
    readonly _tag: "Verified"
    readonly step: number
    readonly verdict: Verdict
    readonly detail: string
    readonly isExhausted: boolean
    readonly cancel: boolean
  }
  /** Someone wants the saga undone; `unsent` are the steps that are intended and have surely not started. */
  | { readonly _tag: "Cancel"; readonly unsent: ReadonlyArray<number> }
  /** Someone wants nothing more to leave. */
  | { readonly _tag: "Pause"; readonly note: string; readonly unsent: ReadonlyArray<number> }
  /** How the steps of a group have ended that were not written down yet. */
  | { readonly _tag: "Joined"; readonly ends: ReadonlyArray<Signal> }
  | { readonly _tag: "Undo"; readonly step: number }
  | { readonly _tag: "Undid"; readonly step: number; readonly undo: Undo }

/** @internal */
export interface StepCommand {
  readonly _tag: "Run" | "Verify" | "Wait"
  readonly step: number
}

/** @internal */
export type Command =
  | StepCommand
  /** All of them at the same time. */
  | { readonly _tag: "Group"; readonly commands: ReadonlyArray<StepCommand> }
  | { readonly _tag: "Undo"; readonly step: number; readonly outcome: UndoOutcome }
  | { readonly _tag: "Unwind" | "Stop" }

/** @internal What an undo is told. */
export type UndoOutcome =
  | { readonly _tag: "Done"; readonly result: string }
  | { readonly _tag: "InDoubt"; readonly detail: string }

/** @internal First the events become durable, then the command is carried out. */
export interface Decision {
  readonly events: ReadonlyArray<Event>
  readonly command: Command
}

/** @internal */
export const initial = (shape: Shape): SagaState => ({
  steps: shape.map(() => ({ progress: { _tag: "Waiting" }, undo: undefined })),
  cause: undefined,
  parked: undefined,
  reversed: []
})

// --- the fold

/** @internal An event about a step that the shape does not have changes nothing. */
const evolve = (shape: Shape, state: SagaState, event: Event): SagaState => {
  const at = (update: (step: StepState) => Partial<StepState>, rest?: Partial<SagaState>): SagaState => {
    const index = "step" in event ? shape.findIndex(({ name }) => name === event.step) : -1
    const step = state.steps[index]
    return {
      ...state,
      ...rest,
      steps: step === undefined ? state.steps : state.steps.with(index, { ...step, ...update(step) })
    }
  }
  switch (event._tag) {
    case "Intended":
      return progressed(shape, state, event.step, intendedProgress)
    case "Succeeded":
      return progressed(shape, state, event.step, { _tag: "Done", result: event.result })
    case "Failed": {
      const { detail, error, step } = event
      return at(() => ({ progress: { _tag: "NotDone" } }), {
        cause: state.cause ?? { _tag: "Failed", step, detail, error }
      })
    }
    case "Doubted": {
      const { detail, step } = event
      return at(() => ({ progress: { _tag: "InDoubt", detail } }), {
        cause: state.cause ?? { _tag: "InDoubt", step, detail }
      })
    }
    case "Cancelled":
      return setting(shape, { ...state, cause: { _tag: "Cancelled" } }, event.unsent, "NotDone")
    case "Undone":
      return at(() => ({ undo: { _tag: "Undone" } }))
    case "Skipped":
      return at(() => ({ undo: { _tag: "Skipped", by: event.by, reason: event.reason } }))
    case "UndoFailed":
      return at(() => ({ undo: { _tag: "Failed", detail: event.detail } }))
    case "Forced":
      return at((step) => forced(state, step, event))
    case "Parked": {
      const { reason, step, unsent } = event
      return setting(shape, { ...state, parked: { step, reason } }, unsent, "Waiting")
    }
    case "Resumed":
      return {
        ...state,
        parked: undefined,
        steps: state.steps.map((step) => step.undo?._tag === "Failed" ? { ...step, undo: undefined } : step)
      }
    case "Reversed":
      return { ...state, cause: { _tag: "Cancelled" }, reversed: event.pivots }
    case "Ignored":
    case "Redefined":
      return state
  }
}

const intendedProgress = { _tag: "Intended" } as const

const progressed = (shape: Shape, state: SagaState, name: string, progress: StepState["progress"]): SagaState => {
  const index = placeOf(shape, name)
  const step = state.steps[index]
  if (step === undefined) return state
  const steps = state.steps.slice()
  steps[index] = { progress, undo: step.undo }
  return { steps, cause: state.cause, parked: state.parked, reversed: state.reversed }
}

const placeOf = (shape: Shape, name: string): number => {
  for (let index = 0; index < shape.length; index++) if (shape[index]?.name === name) return index
  return -1
}

/** Those steps, which were intended, have surely not started. */
const setting = (
  shape: Shape,
  state: SagaState,
  unsent: string | ReadonlyArray<string> | undefined,
  progress: "NotDone" | "Waiting"
): SagaState => ({
  ...state,
  steps: state.steps.map((step, index) => {
    const name = nameOf(shape, index)
    return unsent === name || (typeof unsent === "object" && unsent.includes(name))
      ? { ...step, progress: { _tag: progress } }
      : step
  })
})

const forced = (
  state: SagaState,
  step: StepState,
  { as, by, evidence }: Event & { readonly _tag: "Forced" }
): Partial<StepState> => {
  switch (as._tag) {
    case "Undone":
      return { undo: { _tag: "Forced", by, evidence } }
    case "Happened":
      return { progress: { _tag: "Done", result: as.result } }
    case "NeverHappened":
      // Going forward it is sent as if for the first time.
      return step.progress._tag === "Done"
        ? {}
        : { progress: { _tag: state.cause === undefined ? "Waiting" : "NotDone" } }
  }
}

/** @internal */
export const fold = (shape: Shape, state: SagaState, events: ReadonlyArray<Event>): SagaState =>
  events.reduce((state, event) => evolve(shape, state, event), state)

/** @internal Whether the step at this place may have happened and nothing has come of its undo yet. */
export const isObligation = (shape: Shape, state: SagaState, index: number): boolean => {
  const step = state.steps[index]
  const { kind, name } = shape[index] ?? {}
  const isUndoable = kind === "compensatable" || (name !== undefined && state.reversed.includes(name))
  return isUndoable && step !== undefined && step.undo === undefined &&
    step.progress._tag !== "Waiting" && step.progress._tag !== "NotDone"
}

/**
 * @internal Whether a saga that is parked can still be undone: it unwinds already, or its pivot has not left, or it can be
 * found out whether it has happened. Nothing is sent forward for that.
 */
export const isCancellable = (shape: Shape, state: SagaState): boolean => {
  const pivot = shape.findIndex(({ kind }) => kind === "pivot")
  const progress = state.steps[pivot]?.progress._tag ?? "Waiting"
  return state.cause !== undefined || progress === "Waiting" ||
    (progress === "Intended" && shape[pivot]?.verify === "look")
}

/** @internal */
export const statusOf = (shape: Shape, state: SagaState): State => {
  if (state.parked !== undefined) return "Parked"
  if (state.cause === undefined) {
    return state.steps.every(({ progress }) => progress._tag === "Done") ? "Completed" : "Running"
  }
  if (shape.some((_, index) => isObligation(shape, state, index))) return "Compensating"
  return state.steps.some(({ undo }) => undo?._tag === "Failed") ? "FailedCompensation" : "Compensated"
}

// --- the decisions

const stop: Command = { _tag: "Stop" }
const unwind: Command = { _tag: "Unwind" }

const only = (command: Command): Decision => ({ events: [], command })

/** @internal */
export const decide = (shape: Shape, state: SagaState, signal: Signal): Decision => {
  switch (signal._tag) {
    case "Begin":
      return begin(shape, state, signal)
    case "Succeeded":
      return succeeded(shape, state, signal.step, signal.result)
    case "Failed":
      return failed(shape, signal.step, signal)
    case "Unknown":
      return signal.isVerifiable && shape[signal.step]?.verify === "look"
        ? only({ _tag: "Verify", step: signal.step })
        : doubt(shape, signal.step, signal.detail)
    case "Refuses":
      return park(shape, signal.step, signal.reason)
    case "Unfit": {
      const { event, reason, step } = signal
      return { events: [{ _tag: "Ignored", step: nameOf(shape, step), event, reason }], command: go(shape, step) }
    }
    case "Verified":
      return state.cause === undefined ? verified(shape, state, signal) : found(shape, signal)
    case "Cancel":
      return cancel(shape, state, signal.unsent)
    case "Pause":
      return pause(shape, signal.note, signal.unsent)
    case "Joined":
      return joined(shape, state, signal.ends)
    case "Undo":
      return undo(shape, state, signal.step)
    case "Undid":
      return undidOf(shape, state, signal.step, signal.undo)
  }
}

const nameOf = (shape: Shape, step: number): string => shape[step]?.name ?? ""

/** The steps that run at the same time as this one, in order; itself alone unless it stands in a group. */
const unitOf = (shape: Shape, step: number): ReadonlyArray<number> => {
  const group = shape[step]?.group
  return group === undefined ? [step] : shape.flatMap((other, index) => other.group === group ? [index] : [])
}

/** Where to go on: at the first step that is not done, and those beside it. */
const begin = (shape: Shape, state: SagaState, signal: Signal & { readonly _tag: "Begin" }): Decision => {
  const status = statusOf(shape, state)
  if (status === "Compensating") return only(unwind)
  if (status !== "Running") return only(stop)
  const first = state.steps.findIndex(({ progress }) => progress._tag !== "Done")
  const progressOf = (step: number) => state.steps[step]?.progress._tag
  const open = unitOf(shape, first).filter((step) => progressOf(step) !== "Done" && shape[step] !== undefined)
  if (open.length === 0) return only(stop)
  const waiting = open.filter((step) => progressOf(step) === "Waiting")
  const kind = shape[first]?.kind
  if (signal.cancel) {
    if (waiting.length === open.length || signal.isFresh || kind === "wait") {
      const cancelled = cancel(shape, state, open.filter((step) => !waiting.includes(step)))
      if (cancelled.command === unwind) return cancelled
    } else if (kind === "compensatable") {
      return { events: [{ _tag: "Cancelled" }], command: unwind }
    }
  }
  const commands = open.map((step): StepCommand =>
    waiting.includes(step) || signal.isFresh || shape[step]?.verify === "rerun"
      ? go(shape, step)
      : { _tag: "Verify", step }
  )
  return { events: waiting.map((step) => intended(shape, step)), command: all(commands) }
}

const go = (shape: Shape, step: number): StepCommand => ({ _tag: shape[step]?.kind === "wait" ? "Wait" : "Run", step })

const all = (commands: ReadonlyArray<StepCommand>): Command => {
  const [only] = commands
  return only !== undefined && commands.length === 1 ? only : { _tag: "Group", commands }
}

const goAll = (shape: Shape, steps: ReadonlyArray<number>): Command => all(steps.map((step) => go(shape, step)))

const intended = (shape: Shape, step: number): Event => ({ _tag: "Intended", step: nameOf(shape, step) })

/** The outcome of a step and the intents of the next become durable together. */
const succeeded = (shape: Shape, state: SagaState, step: number, result: string): Decision => {
  const event: Event = { _tag: "Succeeded", step: nameOf(shape, step), result }
  const following = shape[step + 1]
  // Most steps stand by themselves, and so do those behind them.
  if (shape[step]?.group === undefined && following !== undefined && following.group === undefined) {
    return state.cause === undefined
      ? { events: [event, intended(shape, step + 1)], command: go(shape, step + 1) }
      : { events: [event], command: stop }
  }
  const unit = unitOf(shape, step)
  const isLast = unit.every((other) => other === step || state.steps[other]?.progress._tag === "Done")
  const next = (unit.at(-1) ?? step) + 1
  if (!isLast || state.cause !== undefined || shape[next] === undefined) return { events: [event], command: stop }
  const steps = unitOf(shape, next)
  return { events: [event, ...steps.map((step) => intended(shape, step))], command: goAll(shape, steps) }
}

/**
 * The steps of a group have all ended, and what is not written down of it becomes durable at once: what has happened first,
 * then what surely has not, of which the first decides, then doubts.
 */
const joined = (shape: Shape, state: SagaState, ends: ReadonlyArray<Signal>): Decision => {
  const rank = (end: Signal) => {
    if (end._tag === "Succeeded") return 0
    const refusal = refusalOf(end)
    return refusal === undefined ? end._tag === "Refuses" ? 3 : 2 : refusal.parks === true ? 3 : 1
  }
  let events: ReadonlyArray<Event> = []
  let command: Command = stop
  for (const end of ends.toSorted((a, b) => rank(a) - rank(b))) {
    const before = fold(shape, state, events)
    const isDecided = before.cause !== undefined || before.parked !== undefined
    const decision = isDecided
      ? decide(shape, { ...before, cause: undefined, parked: undefined }, unparked(end))
      : decide(shape, before, end)
    if (!isDecided) command = decision.command
    events = [
      ...events,
      ...decision.events.filter((event) => !isDecided || (before.cause !== undefined && event._tag === "Failed"))
    ]
  }
  return { events, command }
}

const refusalOf = (end: Signal): Refusal | undefined =>
  end._tag === "Failed" ? end : end._tag === "Verified" && end.verdict._tag === "Refused" ? end.verdict : undefined

/** What is refused is written down as such where the saga is undone anyway. */
const unparked = (end: Signal): Signal => {
  if (end._tag === "Failed") return { ...end, parks: false }
  return end._tag === "Verified" && end.verdict._tag === "Refused"
    ? { ...end, verdict: { ...end.verdict, parks: false } }
    : end
}

/** What stands behind the pivot may not fail for good: it waits for someone. */
const failed = (shape: Shape, step: number, { detail, error, parks }: Refusal): Decision =>
  isBehindPivot(shape, step)
    ? park(shape, step, detail)
    : parks === true
    // It surely did not happen: it begins anew, or is left out when the saga is undone.
    ? {
      events: [{ _tag: "Parked", reason: detail, step: nameOf(shape, step), ...unsentOf(shape, [step]) }],
      command: stop
    }
    : {
      events: [{ _tag: "Failed", step: nameOf(shape, step), detail, ...error === undefined ? {} : { error } }],
      command: unwind
    }

const isBehindPivot = (shape: Shape, step: number): boolean =>
  shape.some(({ kind }, index) => kind === "pivot" && index < step)

const pause = (shape: Shape, note: string, unsent: ReadonlyArray<number>): Decision => {
  const [first] = unsent
  return {
    events: [{
      _tag: "Parked",
      reason: `paused by ${note}`,
      ...first === undefined ? {} : { step: nameOf(shape, first), ...unsentOf(shape, unsent) }
    }],
    command: stop
  }
}

const unsentOf = (shape: Shape, steps: ReadonlyArray<number>): { readonly unsent?: string | ReadonlyArray<string> } => {
  const [first] = steps
  if (first === undefined) return {}
  return { unsent: steps.length === 1 ? nameOf(shape, first) : steps.map((step) => nameOf(shape, step)) }
}

const park = (shape: Shape, step: number, reason: string): Decision => ({
  events: [{ _tag: "Parked", step: nameOf(shape, step), reason }],
  command: stop
})

/** Nobody knows. Before the pivot it is undone as if it had happened; at the pivot and behind nothing is. */
const doubt = (shape: Shape, step: number, detail: string): Decision => {
  const shaped = shape[step]
  return shaped?.kind === "compensatable" && shaped.inDoubt === "compensate"
    ? { events: [{ _tag: "Doubted", step: shaped.name, detail }], command: unwind }
    : park(shape, step, `in doubt: ${detail}`)
}

const verified = (shape: Shape, state: SagaState, signal: Signal & { readonly _tag: "Verified" }): Decision => {
  const { detail, isExhausted, step, verdict } = signal
  switch (verdict._tag) {
    case "Happened":
      return succeeded(shape, state, step, verdict.result)
    case "Refused":
      return failed(shape, step, verdict)
    case "NeverHappened": {
      if (signal.cancel && shape[step]?.kind !== "retriable") {
        return { events: [{ _tag: "Cancelled", unsent: nameOf(shape, step) }], command: unwind }
      }
      const parks = shape[step]?.onFailure === "park"
      return isExhausted ? failed(shape, step, { detail, error: undefined, parks }) : only({ _tag: "Run", step })
    }
    case "NotSeen": {
      const { kind } = shape[step] ?? {}
      // What someone wants undone is not sent once more.
      if (signal.cancel && kind === "compensatable") return { events: [{ _tag: "Cancelled" }], command: unwind }
      const isLast = isExhausted || (signal.cancel && kind === "pivot")
      return isLast ? doubt(shape, step, detail) : only({ _tag: "Run", step })
    }
    case "StillUnknown":
      return doubt(shape, step, detail)
  }
}

/** Refused once the pivot may have left: from there it goes forward only. */
const cancel = (shape: Shape, state: SagaState, unsent: ReadonlyArray<number>): Decision => {
  const pivot = shape.findIndex(({ kind }) => kind === "pivot")
  const progress = state.steps[pivot]?.progress._tag ?? "Waiting"
  const isOpen = statusOf(shape, state) === "Running" &&
    (progress === "Waiting" || (progress === "Intended" && unsent.includes(pivot)))
  if (!isOpen) return only(unsent.length === 0 ? stop : goAll(shape, unsent))
  return { events: [{ _tag: "Cancelled", ...unsentOf(shape, unsent) }], command: unwind }
}

// --- unwinding

const undo = (shape: Shape, state: SagaState, step: number): Decision => {
  if (statusOf(shape, state) !== "Compensating" || !isObligation(shape, state, step)) return only(stop)
  const progress = state.steps[step]?.progress
  if (progress?._tag === "Done") {
    const closer = closerOf(shape, state, step)
    return closer === undefined
      ? only({ _tag: "Undo", step, outcome: { _tag: "Done", result: progress.result } })
      : skip(shape, step, `closed by "${closer}"`)
  }
  if (shape[step]?.verify === "look") return only({ _tag: "Verify", step })
  const detail = progress?._tag === "InDoubt" ? progress.detail : "interrupted"
  return only({ _tag: "Undo", step, outcome: { _tag: "InDoubt", detail } })
}

/**
 * A step in doubt that was undone may have closed this one, or not: its undo is tried all the same, and where it is refused
 * the other one has covered it.
 */
const undidOf = (shape: Shape, state: SagaState, step: number, undo: Undo): Decision => {
  const closer = undo._tag === "Failed" && undo.isRefused === true ? doubtfulCloserOf(shape, state, step) : undefined
  return closer === undefined
    ? { events: [undid(nameOf(shape, step), undo)], command: stop }
    : skip(shape, step, `closed by "${closer}"`)
}

const doubtfulCloserOf = (shape: Shape, state: SagaState, step: number): string | undefined =>
  shape.find((other, index) =>
    index > step && other.closes.includes(nameOf(shape, step)) && state.steps[index]?.undo?._tag === "Undone"
  )?.name

const closerOf = (shape: Shape, state: SagaState, step: number): string | undefined =>
  shape.find((other, index) =>
    index > step && other.closes.includes(nameOf(shape, step)) && state.steps[index]?.progress._tag === "Done"
  )?.name

const skip = (shape: Shape, step: number, reason: string): Decision => ({
  events: [{ _tag: "Skipped", step: nameOf(shape, step), by: "engine", reason }],
  command: stop
})

/** What was in doubt has been looked up, and the saga unwinds. What may still arrive is undone like what arrived. */
const found = (shape: Shape, { detail, step, verdict }: Signal & { readonly _tag: "Verified" }): Decision => {
  switch (verdict._tag) {
    case "Happened": {
      const { result } = verdict
      return {
        events: [{ _tag: "Succeeded", step: nameOf(shape, step), result }],
        command: { _tag: "Undo", step, outcome: { _tag: "Done", result } }
      }
    }
    case "Refused":
      return skip(shape, step, "refused")
    case "NeverHappened":
      return skip(shape, step, "never happened")
    case "NotSeen":
    case "StillUnknown":
      return only({ _tag: "Undo", step, outcome: { _tag: "InDoubt", detail } })
  }
}

const undid = (step: string, undo: Undo): Event => {
  switch (undo._tag) {
    case "Undone":
      return { _tag: "Undone", step }
    case "Skipped":
      return { _tag: "Skipped", step, by: undo.by, reason: undo.reason }
    case "Forced":
      return { _tag: "Forced", step, by: undo.by, evidence: undo.evidence, as: { _tag: "Undone" } }
    case "Failed":
      return { _tag: "UndoFailed", step, detail: undo.detail, ...undo.sent === undefined ? {} : { sent: undo.sent } }
  }
}
