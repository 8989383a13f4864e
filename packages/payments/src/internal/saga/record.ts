/**
 * The vocabulary of the saga log.
 *
 * @internal
 */
import * as Schema from "effect/Schema"

/** @internal A saga's or a run's name. */
export const Name = Schema.String.check(
  Schema.isPattern(/^[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?$/, {
    expected: "1 to 255 printable ASCII characters, no space at either end"
  })
)

/** @internal */
export const State = Schema.Literals([
  "Running",
  "Compensating",
  "Completed",
  "Compensated",
  "FailedCompensation",
  "Parked"
])

/** @internal */
export type State = typeof State.Type

/** @internal Someone works on it, or has to. */
export const isUnfinished = (state: State): boolean => state === "Running" || state === "Compensating"

const step = Schema.String
const Unsent = Schema.Union([step, Schema.Array(step)])

/**
 * @internal What becomes durable. `result` and `error` are JSON as the step's schemas encode it; `detail` names the kind
 * of a failure and never quotes a message.
 *
 * - `Intended`: the obligation to undo, written before the request leaves.
 * - `Doubted`: nobody knows whether the step happened. `Failed`: it surely did not.
 * - `Cancelled`: `unsent` are the steps that were intended and surely never started.
 * - `UndoFailed`: `sent` are the phases of its calls that may have left; without it nobody knows which.
 * - `Parked`: `unsent` as there.
 * - `Ignored`: a message of a step that waits does not fit; the step waits on for another one. `event` is the message's name.
 * - `Redefined`: the run goes on under another definition that agrees on all it has started.
 * - `Resumed`, `Reversed`: someone wants it to go on, or a run that has ended well to be undone, with these pivots.
 * - `Forced`: an operator knows what became of a step, or that it is undone, and says how.
 */
export const Event = Schema.Union([
  Schema.TaggedStruct("Intended", { step }),
  Schema.TaggedStruct("Succeeded", { step, result: Schema.String }),
  Schema.TaggedStruct("Failed", { step, detail: Schema.String, error: Schema.optionalKey(Schema.String) }),
  Schema.TaggedStruct("Doubted", { step, detail: Schema.String }),
  Schema.TaggedStruct("Cancelled", { unsent: Schema.optionalKey(Unsent) }),
  Schema.TaggedStruct("Undone", { step }),
  Schema.TaggedStruct("Skipped", { step, by: Schema.String, reason: Schema.String }),
  Schema.TaggedStruct("UndoFailed", {
    step,
    detail: Schema.String,
    sent: Schema.optionalKey(Schema.Array(Schema.String))
  }),
  Schema.TaggedStruct("Parked", {
    step: Schema.optionalKey(step),
    reason: Schema.String,
    unsent: Schema.optionalKey(Unsent)
  }),
  Schema.TaggedStruct("Resumed", { by: Schema.optionalKey(Schema.String), reason: Schema.optionalKey(Schema.String) }),
  Schema.TaggedStruct("Reversed", { by: Schema.String, reason: Schema.String, pivots: Schema.Array(Schema.String) }),
  Schema.TaggedStruct("Forced", {
    step,
    by: Schema.String,
    evidence: Schema.String,
    as: Schema.Union([
      Schema.TaggedStruct("Undone", {}),
      Schema.TaggedStruct("Happened", { result: Schema.String }),
      Schema.TaggedStruct("NeverHappened", {})
    ])
  }),
  Schema.TaggedStruct("Ignored", { step, event: Schema.String, reason: Schema.String }),
  Schema.TaggedStruct("Redefined", { definition: Schema.String })
])

/** @internal */
export type Event = typeof Event.Type

/** @internal Which run. `key` is the saga and the id as one length-prefixed string. */
export interface RunId {
  readonly key: string
  readonly saga: string
  readonly id: string
}

/** @internal */
export const runId = (saga: string, id: string): RunId => ({
  key: `${saga.length}:${saga}${id.length}:${id}`,
  saga,
  id
})

/** @internal The saga and the id that a key is made of; undefined when it is none. */
export const fromKey = (key: string): RunId | undefined => {
  const [length, rest = ""] = split(key)
  const saga = rest.slice(0, length)
  const id = split(rest.slice(length))[1]
  return id !== undefined && runId(saga, id).key === key ? { key, saga, id } : undefined
}

const split = (text: string): readonly [length: number, rest: string | undefined] => {
  const at = text.indexOf(":")
  return at === -1 ? [0, undefined] : [Number(text.slice(0, at)), text.slice(at + 1)]
}

/**
 * @internal One run as it is stored. All times are milliseconds on the store's clock.
 *
 * - `epoch` grows with every change of owner and never restarts.
 * - `length` counts entries.
 * - `leaseUntil` is 0 when nobody holds it.
 * - `step` is the one that the last entry about a step is about.
 * - `pauseRequested` says who wants it parked, and why.
 */
export interface Run extends RunId {
  readonly fingerprint: string
  readonly definition: string
  readonly payload: string
  readonly state: State
  readonly owner: string
  readonly epoch: number
  readonly leaseUntil: number
  readonly length: number
  readonly cancelRequested: boolean
  readonly pauseRequested: string | undefined
  readonly step: string | undefined
  readonly createdAt: number
  readonly updatedAt: number
}

/**
 * @internal A row that is no run as this version knows them, written by a later one or changed by hand: it is listed, and
 * holds up no other. `detail` names the first column that does not fit, never what is in it.
 */
export interface UnreadableRun extends RunId {
  readonly state: "Unreadable"
  readonly detail: string
}

/** @internal */
export type ListedRun = Run | UnreadableRun

/** @internal What became durable at once, and who wrote it. Entries are added at the end and never changed. */
export interface Entry {
  readonly seq: number
  readonly epoch: number
  readonly at: number
  readonly state: State
  readonly events: ReadonlyArray<Event>
}

/** @internal */
export interface History {
  readonly run: Run
  readonly entries: ReadonlyArray<Entry>
  /** The store's time. */
  readonly now: number
  /** An entry is missing, or is none that this version knows: `entries` is empty. Only {@link OrphansRequest} answers so. */
  readonly isUnreadable?: true | undefined
}

/** @internal The definition that the run goes by now. */
export const definitionOf = ({ entries, run }: History): string => {
  const redefined = entries.flatMap(({ events }) => events).findLast((event) => event._tag === "Redefined")
  return redefined?._tag === "Redefined" ? redefined.definition : run.definition
}

/** @internal */
export interface Opening {
  readonly fingerprint: string
  readonly definition: string
  readonly payload: string
  readonly state: State
  readonly events: ReadonlyArray<Event>
}

/** @internal */
export interface ClaimRequest extends RunId {
  /** New for each attempt, so that a claim whose reply was lost recognises itself. */
  readonly owner: string
  readonly leaseMillis: number
  /** What to begin with when there is no such run; without it nothing is made. */
  readonly opening?: Opening | undefined
  /** Also takes a run that is parked or whose compensation has failed; `Completed`: one that has ended well too. */
  readonly reopen?: boolean | "Completed" | undefined
}

/** @internal */
export interface Ownership extends RunId {
  readonly owner: string
  readonly epoch: number
}

/** @internal */
export interface AppendRequest extends Ownership {
  /** The number of the new entry: one more than the length that the owner knows. */
  readonly seq: number
  readonly state: State
  readonly events: ReadonlyArray<Event>
}

/** @internal */
export interface AppendReply {
  /** False: the caller no longer owns the run and nothing was written. */
  readonly appended: boolean
  readonly cancelRequested: boolean
  readonly pauseRequested: string | undefined
}

/** @internal */
export interface PauseRequest extends RunId {
  /** Who wants it, and why. */
  readonly note: string
}

/** @internal Which message of which step. */
export interface SignalRequest extends RunId {
  readonly step: string
  /** Names the message: one that is sent again is known by it. */
  readonly event: string
  /** JSON as the step's schema encodes it. */
  readonly value: string
}

/** @internal `Full`: so many messages wait for the run already that this one was not kept. */
export type SignalReply = "Kept" | "Known" | "Full"

/** @internal Messages that one run may have, of all steps together. */
export const signalsMax = 1_000

/** @internal */
export interface InboxRequest extends RunId {
  readonly step: string
  /** Names of messages that are passed over: at most those that a run may have. */
  readonly except?: ReadonlyArray<string> | undefined
}

/** @internal What waits for a run that waits: the first message of the step, by its name, and what others want. */
export interface Inbox {
  readonly event: string | undefined
  /** When the log has kept it. */
  readonly at?: number | undefined
  readonly value: string | undefined
  readonly cancelRequested: boolean
  readonly pauseRequested: string | undefined
}

/** @internal The step that these events are about in the end. */
export const stepOf = (events: ReadonlyArray<Event>): string | undefined => {
  const last = events.findLast((event) => "step" in event && event.step !== undefined)
  return last !== undefined && "step" in last ? last.step : undefined
}

/** @internal */
export interface RenewRequest extends Ownership {
  readonly leaseMillis: number
}

/** @internal */
export interface OrphansRequest {
  readonly sagas: ReadonlyArray<string>
  readonly owner: string
  readonly leaseMillis: number
  /** 1 to 1000. */
  readonly limit: number
  /** Keys of at most 1000 runs that are left alone. */
  readonly except?: ReadonlyArray<string> | undefined
}

/** @internal */
export interface ListRequest {
  readonly saga?: string | undefined
  readonly state?: State | undefined
  readonly step?: string | undefined
  /** Runs that nobody has written to for so long. */
  readonly untouchedMillis?: number | undefined
  /** 1 to 1000. */
  readonly limit: number
  /** The `key` of the last run of the page before. */
  readonly after?: string | undefined
}

/** @internal */
export interface SweepRequest {
  /** Runs that ended, all well or all undone, at least so long ago. */
  readonly olderThanMillis: number
  /** 1 to 10 000. */
  readonly limit: number
}

/** @internal */
export const listLimitMax = 1_000

/** @internal */
export const sweepLimitMax = 10_000

/** @internal */
export const isLimit = (limit: number, max: number): boolean => Number.isInteger(limit) && limit >= 1 && limit <= max
