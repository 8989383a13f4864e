/**
 * What people do to runs, as entries of the log: whoever holds the run's code carries them out.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Hex from "effect/encoding/Hex"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Redaction from "../../Redaction.ts"
import { SagaLog } from "../../SagaLog.ts"
import { SecureRandom } from "../effect/crypto.ts"
import { bounded } from "./bounded.ts"
import { shapeOf } from "./compile.ts"
import { fold, initial, isObligation, type SagaState, type Shape, statusOf } from "./decide.ts"
import { HistoryUnreadable, InFlight, NotApplicable, NotFound, type Reason, SagaError } from "./errors.ts"
import {
  definitionOf,
  type Event,
  type History,
  isUnfinished,
  type ListedRun,
  Name,
  type Run,
  runId,
  type State
} from "./record.ts"
import { LogUnavailable } from "./unavailable.ts"

type Answer<A> = Effect.Effect<A, SagaError, SagaLog | SecureRandom.SecureRandom>

/**
 * Which run.
 *
 * @category models
 * @since 0.1.0
 */
export interface Target {
  readonly saga: string
  readonly id: string
}

/**
 * What has come of a command: the run as it stands, and whether the command has changed it. One that is sent again
 * changes nothing.
 *
 * @category models
 * @since 0.1.0
 */
export interface Change {
  readonly run: Run
  readonly isChanged: boolean
}

/** @internal What a command makes of a run: events, nothing because it is so already, or a refusal. */
export type Verdict =
  | { readonly _tag: "Events"; readonly events: ReadonlyArray<Event> }
  | { readonly _tag: "Already" }
  | { readonly _tag: "Refused"; readonly detail: string }

const leaseMillis = 10_000
const askMillis = 10_000

const refuse = (reason: Reason): Effect.Effect<never, SagaError> => Effect.fail(new SagaError({ reason }))

const isName = Schema.is(Name)
const textMax = 500

/** @internal Who and why, in bounds and without card data: it is kept for as long as the run. */
export const textOf = (by: string, reason: string): Effect.Effect<readonly [string, string], SagaError> => {
  const isText = (text: string) => text.trim() !== "" && text.length <= textMax
  return !isText(by) || !isText(reason)
    ? refuse(new NotApplicable({ detail: `who and why must be told, in 1 to ${textMax} characters each` }))
    : Effect.succeed([Redaction.scrub(by), Redaction.scrub(reason)])
}

const asked = <A>(log: SagaLog["Service"], self: Effect.Effect<A, LogUnavailable>): Effect.Effect<A, SagaError> =>
  Effect.mapError(
    log.isLocal === true ? self : bounded(self, askMillis),
    (error) =>
      new SagaError({ reason: error ?? new LogUnavailable({ operation: "answer", detail: "no answer in time" }) })
  )

const idOf = ({ id, saga }: Target) => isName(saga) && isName(id) ? Effect.succeed(runId(saga, id)) : notFound

const notFound = refuse(new NotFound({}))

/** @internal */
export const read = (target: Target): Effect.Effect<History, SagaError, SagaLog> =>
  Effect.flatMap(
    SagaLog,
    (log) =>
      Effect.flatMap(idOf(target), (id) =>
        Effect.flatMap(asked(log, log.read(id)), (history) =>
          history === undefined ? notFound : Effect.succeed(history)))
  )

/**
 * Which runs to list.
 *
 * - `step`: those whose last entry about a step is about this one.
 * - `stuckSince`: those that nobody has written to for so long.
 * - `after`: the `key` of the last run of the page before; `limit`: 1 to 1000 (100).
 *
 * @category models
 * @since 0.1.0
 */
export interface Filter {
  readonly saga?: string | undefined
  readonly state?: State | undefined
  readonly step?: string | undefined
  readonly stuckSince?: Duration.Input | undefined
  readonly limit?: number | undefined
  readonly after?: string | undefined
}

/** @internal */
export const list = (
  log: SagaLog["Service"],
  { after, limit = 100, saga, state, step, stuckSince }: Filter = {}
): Effect.Effect<ReadonlyArray<ListedRun>, SagaError> => {
  const since = stuckSince === undefined ? undefined : Duration.fromInput(stuckSince)
  if (since?._tag === "None") return refuse(new NotApplicable({ detail: "stuckSince must be a duration" }))
  const untouchedMillis = since === undefined ? undefined : Duration.toMillis(since.value)
  return asked(log, log.list({ saga, state, step, untouchedMillis, limit, after }))
}

/** @internal Leaves a wish with a run that somebody may hold. */
export const wish = (
  target: Target,
  ask: (log: SagaLog["Service"], id: ReturnType<typeof runId>) => Effect.Effect<Run | undefined, LogUnavailable>
): Effect.Effect<Run, SagaError, SagaLog> =>
  Effect.flatMap(
    SagaLog,
    (log) =>
      Effect.flatMap(idOf(target), (id) =>
        Effect.flatMap(asked(log, ask(log, id)), (run) => run === undefined ? notFound : Effect.succeed(run)))
  )

/** @internal Takes the run, adds what the command makes of it, and gives it back at once. */
export const command = (
  target: Target,
  decide: (shape: Shape, state: SagaState, run: Run, events: ReadonlyArray<Event>) => Verdict
): Answer<Change> =>
  Effect.gen(function*() {
    const log = yield* SagaLog
    const random = yield* SecureRandom.SecureRandom
    const id = yield* idOf(target)
    const owner = `operator.${Hex.encode(yield* random.randomBytes(12))}`
    const claim = asked(log, log.claim({ ...id, owner, leaseMillis, reopen: true }))
    // A second try under the same owner: a claim whose reply was lost recognises itself.
    const history = yield* Effect.catch(claim, () => claim)
    if (history === undefined) return yield* notFound
    const { run } = history
    const isOurs = run.owner === owner && run.leaseUntil > history.now
    const giveBack = isOurs ? Effect.ignore(asked(log, log.release(run))) : Effect.void
    const shape = shapeOf(definitionOf(history))
    if (shape === undefined) {
      yield* giveBack
      return yield* refuse(new HistoryUnreadable({ detail: "its definition" }))
    }
    const events = history.entries.flatMap(({ events }) => events)
    const state = fold(shape, initial(shape), events)
    const verdict = decide(shape, state, run, events)
    if (verdict._tag === "Already") {
      yield* giveBack
      return { run, isChanged: false }
    }
    if (verdict._tag === "Refused") {
      yield* giveBack
      return yield* refuse(new NotApplicable({ detail: verdict.detail }))
    }
    if (!isOurs) {
      const retryAfter = Duration.millis(Math.max(1, run.leaseUntil - history.now))
      return yield* isUnfinished(run.state)
        ? refuse(new InFlight({ retryAfter }))
        : refuse(new NotApplicable({ detail: `it has ended: ${run.state}` }))
    }
    const next = statusOf(shape, fold(shape, state, verdict.events))
    const append = asked(
      log,
      log.append({ ...id, owner, epoch: run.epoch, seq: run.length + 1, state: next, events: verdict.events })
    )
    const { appended } = yield* Effect.catch(append, () => append)
    yield* giveBack
    if (!appended) return yield* refuse(new InFlight({ retryAfter: Duration.millis(leaseMillis) }))
    const after = yield* asked(log, log.read(id))
    return { run: after?.run ?? run, isChanged: true }
  })

// --- the commands

const events = (...events: ReadonlyArray<Event>): Verdict => ({ _tag: "Events", events })
const already: Verdict = { _tag: "Already" }
const refused = (detail: string): Verdict => ({ _tag: "Refused", detail })

/** @internal */
export const resume = (by: string, reason: string) => (_shape: Shape, _state: SagaState, run: Run): Verdict =>
  run.state === "Parked" || run.state === "FailedCompensation"
    ? events({ _tag: "Resumed", by, reason })
    : isUnfinished(run.state)
    ? already
    : refused(`it has ended: ${run.state}`)

/** @internal For a run that nobody holds. */
export const park = (note: string) => (_shape: Shape, _state: SagaState, run: Run): Verdict =>
  run.state === "Parked"
    ? already
    : isUnfinished(run.state)
    ? events({ _tag: "Parked", reason: `paused by ${note}` })
    : refused(`it is ${run.state}`)

const placeOf = (shape: Shape, step: string) => shape.findIndex(({ name }) => name === step)

const noStep = (shape: Shape, step: string): Verdict =>
  refused(`it has no step "${step}", only ${shape.map(({ name }) => `"${name}"`).join(", ")}`)

/** Whether the undo of the step waits for someone; undefined when something has come of it. */
const stands = (shape: Shape, state: SagaState, place: number): "open" | "settled" | "nothing" => {
  const undo = state.steps[place]?.undo
  if (undo?._tag === "Failed" || isObligation(shape, state, place)) {
    return state.cause === undefined
      ? "nothing"
      : "open"
  }
  return undo === undefined ? "nothing" : "settled"
}

const ofUndo = (shape: Shape, state: SagaState, step: string, event: Event): Verdict => {
  const place = placeOf(shape, step)
  if (place === -1) return noStep(shape, step)
  switch (stands(shape, state, place)) {
    case "open":
      return events(event)
    case "settled":
      return already
    case "nothing":
      return refused(`"${step}" has no undo that waits: the run is not being undone, or the step never happened`)
  }
}

/** @internal */
export const skip = (step: string, by: string, reason: string) => (shape: Shape, state: SagaState, run: Run): Verdict =>
  isHeldOpen(run) ?? ofUndo(shape, state, step, { _tag: "Skipped", step, by, reason })

/** What a live process may be at is not decided beside it. */
const isHeldOpen = (run: Run): Verdict | undefined =>
  run.state === "Compensating" || run.state === "Running"
    ? refused("it is under way: pause it first, so that nobody is at that step")
    : undefined

/** @internal What an operator knows of a step. */
export type Knows = (Event & { readonly _tag: "Forced" })["as"]

/** @internal */
export const force =
  (step: string, as: Knows, by: string, evidence: string) =>
  (shape: Shape, state: SagaState, run: Run, history: ReadonlyArray<Event>): Verdict => {
    const underWay = isHeldOpen(run)
    if (underWay !== undefined) return underWay
    const event: Event = { _tag: "Forced", step, by, evidence, as }
    // What someone has told can be told again, as long as nobody has gone on with it.
    const last = history.findLast((event) => "step" in event && event.step === step && event._tag !== "Parked")
    const isTold = last?._tag === "Forced" && run.state === "Parked"
    if (as._tag === "Undone") return ofUndo(shape, state, step, event)
    const place = placeOf(shape, step)
    const progress = state.steps[place]?.progress
    if (progress === undefined) return noStep(shape, step)
    if (as._tag === "Happened" && progress._tag === "Done") {
      return progress.result === as.result
        ? already
        : isTold
        ? events(event)
        : refused("it is done, with another result")
    }
    if (as._tag === "NeverHappened" && (progress._tag === "Waiting" || progress._tag === "NotDone")) return already
    if (progress._tag === "Intended" || progress._tag === "InDoubt") return events(event)
    return refused(
      progress._tag === "Done" ? `"${step}" is done` : `"${step}" has not left: nothing is known of it that is in doubt`
    )
  }

/** @internal JSON in bounds. */
export const resultOf = (result: unknown): Effect.Effect<string, SagaError> => {
  const json = Result.try(() => JSON.stringify(result))
  return Result.isSuccess(json) && typeof json.success === "string" && json.success.length <= resultMax
    ? Effect.succeed(json.success)
    : refuse(new NotApplicable({ detail: "the result must be JSON of at most 256 KiB" }))
}

const resultMax = 262_144
