/**
 * A run of a saga as it is shown: from its log alone, without the saga's code.
 *
 * @internal
 */
import * as Redaction from "effect-payments/Redaction"
import * as Saga from "effect-payments/Saga"
import type * as SagaLog from "effect-payments/SagaLog"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { align } from "./columns.ts"
import * as duration from "./duration.ts"

type Run = SagaLog.Run
type Event = SagaLog.Event

// A row may hold any number, and is shown all the same.
const toIso = (millis: number): string => {
  const date = new Date(millis)
  return Number.isNaN(date.getTime()) ? `${millis} ms` : date.toISOString()
}

const decodeJson = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Unknown))

/** What a step answered, without card data. */
const valueOf = (text: string): Schema.Json =>
  Option.match(decodeJson(text), {
    onNone: () => Redaction.scrub(text),
    onSome: (value) => Redaction.scrubUnknown(value)
  })

const scrubOptional = (text: string | undefined): string | null => text === undefined ? null : Redaction.scrub(text)

/** @internal What `list --json` prints of a run, and of a row that is none. */
export const toListed = (run: SagaLog.ListedRun) =>
  run.state === "Unreadable"
    ? { saga: Redaction.scrub(run.saga), id: Redaction.scrub(run.id), state: run.state, detail: run.detail }
    : toShown(run)

/** @internal */
export const toShown = (run: Run) => ({
  saga: Redaction.scrub(run.saga),
  id: Redaction.scrub(run.id),
  state: run.state,
  step: scrubOptional(run.step),
  entries: run.length,
  epoch: run.epoch,
  leaseUntil: run.leaseUntil === 0 ? null : toIso(run.leaseUntil),
  cancelRequested: run.cancelRequested,
  pauseRequested: scrubOptional(run.pauseRequested),
  createdAt: toIso(run.createdAt),
  updatedAt: toIso(run.updatedAt)
})

/** @internal */
export const header = ["SAGA", "ID", "STATE", "STEP", "CHANGED", "ENTRIES"]

/** @internal */
export const toRow = (run: SagaLog.ListedRun, now: number): ReadonlyArray<string> => {
  if (run.state === "Unreadable") {
    return [Redaction.scrub(run.saga), Redaction.scrub(run.id), run.state, `${run.detail} does not fit`, "", ""]
  }
  const { id, saga, state, step } = toShown(run)
  return [saga, id, state, step ?? "", `${duration.format(now - run.updatedAt)} ago`, `${run.length}`]
}

/** An event without what the step answered, unless that is asked for. */
const eventOf = (event: Event, withResults: boolean): Schema.Json => {
  const { _tag, ...rest } = event
  const fields = Object.entries(rest).flatMap(([name, value]): ReadonlyArray<readonly [string, Schema.Json]> => {
    if (name === "definition") return []
    if (name === "result" || name === "error") return withResults ? [[name, valueOf(String(value))]] : []
    if (name === "as") return [[name, knownAs(value as Forced["as"], withResults)]]
    return [[name, Redaction.scrubUnknown(value)]]
  })
  return { event: _tag, ...Object.fromEntries(fields) }
}

type Forced = Event & { readonly _tag: "Forced" }

const knownAs = (as: Forced["as"], withResults: boolean): Schema.Json =>
  as._tag === "Happened" && withResults ? { event: as._tag, result: valueOf(as.result) } : { event: as._tag }

const undoOf = ({ isOwed, undo }: Saga.StepProgress): Schema.Json =>
  undo === undefined
    ? isOwed ? { outcome: "Owed" } : null
    : Redaction.scrubUnknown((({ _tag, ...rest }) => ({ outcome: _tag, ...rest }))(undo))

/** @internal What `show --json` prints. */
export const toJson = (history: SagaLog.History, withResults: boolean) => ({
  ...toShown(history.run),
  ...withResults ? { payload: valueOf(history.run.payload) } : {},
  now: toIso(history.now),
  steps: Saga.progress(history)?.map((step) => ({
    step: Redaction.scrub(step.name),
    kind: step.kind,
    outcome: step.outcome,
    undo: undoOf(step)
  })) ?? null,
  timeline: history.entries.map(({ at, epoch, events, seq, state }) => ({
    seq,
    at: toIso(at),
    epoch,
    state,
    events: events.map((event) => eventOf(event, withResults))
  }))
})

const meanings: { readonly [state in SagaLog.State]: string } = {
  Running: "it goes forward",
  Compensating: "it is being undone",
  Completed: "all is done",
  Compensated: "all is undone",
  FailedCompensation: "an undo has failed: it waits for you",
  Parked: "it waits for you"
}

/** @internal */
export const toLines = (history: SagaLog.History, withResults: boolean): ReadonlyArray<string> => {
  const { entries, now, run } = history
  const { cancelRequested, id, pauseRequested, saga } = toShown(run)
  const holder = run.leaseUntil > now
    ? `a process, for another ${duration.format(run.leaseUntil - now)} at least`
    : run.state === "Running" || run.state === "Compensating"
    ? "nobody: the next process that knows the saga takes it over"
    : "nobody"
  const steps = Saga.progress(history)
  return [
    ...align([
      ["saga", saga],
      ["id", id],
      ["state", `${run.state}: ${meanings[run.state]}`],
      ["held by", holder],
      ...cancelRequested ? [["asked for", "to be undone"]] : [],
      ...pauseRequested === null ? [] : [["asked for", `a pause, by ${pauseRequested}`]],
      ...withResults ? [["payload", JSON.stringify(valueOf(run.payload))]] : [],
      ["begun", toIso(run.createdAt)],
      ["changed", toIso(run.updatedAt)]
    ]),
    "",
    ...steps === undefined ? ["its definition cannot be read"] : align([
      ["STEP", "KIND", "OUTCOME", "UNDO"],
      ...steps.map((step) => [Redaction.scrub(step.name), step.kind, step.outcome, undoText(step)])
    ]),
    "",
    ...align([
      ["AT", "STATE", "EVENT", "STEP", "DETAIL"],
      ...entries.flatMap(({ at, events, state }) =>
        events.map((event, index) => [
          index === 0 ? `+${duration.format(at - run.createdAt)}` : "",
          index === 0 ? state : "",
          event._tag,
          "step" in event && event.step !== undefined ? Redaction.scrub(event.step) : "",
          detailOf(event, withResults)
        ])
      )
    ])
  ]
}

const undoText = ({ isOwed, undo }: Saga.StepProgress): string => {
  switch (undo?._tag) {
    case undefined:
      return isOwed ? "owed, if it unwinds" : ""
    case "Undone":
      return "undone"
    case "Skipped":
      return `skipped by ${Redaction.scrub(undo.by)}: ${Redaction.scrub(undo.reason)}`
    case "Forced":
      return `forced by ${Redaction.scrub(undo.by)}: ${Redaction.scrub(undo.evidence)}`
    case "Failed":
      return `failed: ${Redaction.scrub(undo.detail)}`
  }
}

const detailOf = (event: Event, withResults: boolean): string => {
  const { event: _event, step: _step, ...rest } = eventOf(event, withResults) as {
    readonly [name: string]: Schema.Json
  }
  return Object.entries(rest)
    .map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(", ")
}
