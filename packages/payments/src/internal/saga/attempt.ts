/**
 * One step, one verification or one undo, with its tries.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type { Digest } from "../effect/crypto.ts"
import { GatewayCallMustBeInsideIdempotent } from "../stack/claim.ts"
import { kindOf } from "../stack/kind.ts"
import { ReadOnly } from "../stack/readOnly.ts"
import { type CompiledStep, type CompiledWait, triesMax, verifySchedule } from "./compile.ts"
import type { Refusal, Undo, UndoOutcome, Verdict } from "./decide.ts"
import { CurrentDepartures, type Departures, StepClaim } from "./departures.ts"
import type { Suspended } from "./errors.ts"
import { read } from "./failure.ts"
import type { RunId } from "./record.ts"
import type { AnyContext, Doubt, Outcome, Verdict as TypedVerdict } from "./step.ts"

/** @internal What an attempt belongs to. */
export interface Attempt {
  readonly id: RunId
  readonly step: CompiledStep
  readonly ctx: AnyContext
  readonly epoch: number
  readonly digest: Digest.Digest["Service"]
  /** How long ago the step was intended. */
  readonly ageMillis: () => number
  /** How long ago a request of the step can have left at the latest. */
  readonly silenceMillis: () => number
  readonly resultLimitBytes: number
  readonly tries: Tries
  readonly departures: Departures
  /** Monotonic, on the clock that leases are measured on. */
  readonly nowMillis: () => number
  /** Why nothing may leave any more, once the lease cannot be counted on. */
  readonly lost: () => Suspended | undefined
}

/** @internal What is left of a step's schedule, and what its earlier tries leave open. */
export interface Tries {
  /** Milliseconds until the next try; undefined when there is to be none. */
  readonly pause: Effect.Effect<number | undefined, never, unknown>
  count: number
  /** An earlier try may still arrive, or has arrived. */
  isDoubtful: boolean
  /** Monotonic time at which the last try ended. */
  endedAt: number
}

/** @internal */
export const makeTries = (schedule: Schedule.Schedule<unknown>, isDoubtful: boolean, now: number): Tries =>
  new ScheduledTries(schedule, isDoubtful, now)

class ScheduledTries implements Tries {
  count = 0
  isDoubtful: boolean
  endedAt: number
  private readonly schedule: Schedule.Schedule<unknown>
  private begun: Step | undefined = undefined

  constructor(schedule: Schedule.Schedule<unknown>, isDoubtful: boolean, now: number) {
    this.schedule = schedule
    this.isDoubtful = isDoubtful
    this.endedAt = now
  }

  get pause(): Effect.Effect<number | undefined> {
    return next(this, this.step)
  }

  // Most steps need one try, and then their schedule is not begun.
  private get step(): Effect.Effect<Step> {
    return Effect.suspend(() =>
      this.begun !== undefined
        ? Effect.succeed(this.begun)
        : Effect.map(Schedule.toStep(this.schedule), (step) => this.begun = step)
    )
  }
}

type Step = (now: number, input: unknown) => Pull.Pull<[unknown, Duration.Duration], never, unknown>

const pauseMax = 366 * 24 * 60 * 60 * 1000

const next = (tries: Tries, step: Effect.Effect<Step>): Effect.Effect<number | undefined> =>
  Effect.withFiber((fiber): Effect.Effect<number | undefined> => {
    if (tries.count >= triesMax) return Effect.undefined
    // A schedule is the user's: one that dies has no more tries, and so has one that waits for ever.
    return Effect.map(
      Effect.exit(
        Effect.flatMap(step, (step) => step(fiber.getRef(Clock.Clock).currentTimeMillisUnsafe(), undefined))
      ),
      (exit) => {
        const pause = Exit.isSuccess(exit) ? Duration.toMillis(exit.value[1]) : Number.NaN
        return pause <= pauseMax ? pause : undefined
      }
    )
  })

/** @internal The key of a phase of the step, or of its undo. */
const claimOf = ({ departures, digest, epoch, id, step, tries }: Attempt, part: "run" | "undo"): StepClaim =>
  new StepClaim(
    departures,
    {
      id: `saga${id.key}${step.name.length}:${step.name}${part}`,
      scope: { tenant: "saga", operation: id.saga, version: 1 },
      key: id.id
    },
    { fence: epoch, attempt: tries.count },
    digest,
    departures.ageMillis,
    Number.POSITIVE_INFINITY
  )

const provided = (context: Context.Context<unknown>, { departures }: Attempt, claim: StepClaim) => {
  const withClaim = Context.add(
    Context.add(context, GatewayCallMustBeInsideIdempotent, claim),
    CurrentDepartures,
    departures
  )
  return Context.get(context, ReadOnly) ? Context.add(withClaim, ReadOnly, false) : withClaim
}

const late = Symbol()

const stubbornMillis = 30_000

/**
 * Runs what a step, a verification or an undo is, under the claim; `late` after so long. An effect that ends without
 * waiting costs no timer. Functions of the user's: what they throw is a defect like any other.
 */
const within = (
  f: () => Effect.Effect<unknown, unknown, unknown>,
  claim: StepClaim,
  millis: number,
  attempt: Attempt
): Effect.Effect<Exit.Exit<unknown, unknown>> => {
  let child: Fiber.Fiber<unknown, unknown> | undefined
  return Effect.exit(Effect.onExitPrimitive(
    Effect.withFiber((fiber) => {
      const context = fiber.context as Context.Context<unknown>
      child = Effect.runForkWith(provided(context, attempt, claim))(Effect.suspend(f))
      return child.pollUnsafe() ?? Effect.timeoutOrElse(Fiber.join(child), {
        duration: Duration.millis(millis),
        orElse: () => Effect.succeed(late)
      })
    }),
    () => child === undefined || child.pollUnsafe() !== undefined ? undefined : stopped(child, attempt)
  ))
}

const stopped = (child: Fiber.Fiber<unknown, unknown>, { id, step }: Attempt): Effect.Effect<void> | undefined => {
  child.interruptUnsafe()
  if (child.pollUnsafe() !== undefined) return undefined
  // It may still send: it is waited for, and not in silence.
  const told = Effect.delay(
    Effect.annotateLogs(
      Effect.logError("a step of a saga is over its time and does not let itself be interrupted"),
      { saga: id.saga, id: id.id, step: step.name }
    ),
    Duration.millis(stubbornMillis)
  )
  return Effect.withFiber((fiber) => {
    const telling = Effect.runForkWith(fiber.context)(told)
    return Effect.map(Fiber.await(child), () => telling.interruptUnsafe())
  })
}

// --- running

/** @internal */
export type RunEnd =
  | { readonly _tag: "Succeeded"; readonly result: string; readonly value: unknown }
  | Refusal & { readonly _tag: "Failed" }
  | { readonly _tag: "Unknown"; readonly detail: string; readonly isVerifiable: boolean }
  | { readonly _tag: "Refuses"; readonly reason: string }

/** @internal However much patience the other side asks for. */
export const retryAfterMax = 60 * 60 * 1000

/** @internal Runs the step until it has an answer, is in doubt, or has no try left. */
export const runStep = (attempt: Attempt): Effect.Effect<RunEnd, Suspended, unknown> =>
  Effect.flatMap(
    runOnce(attempt),
    (once) => once.isRetriable ? runAgain(attempt, once) : Effect.succeed(concluded(attempt, once))
  )

const runAgain = Effect.fnUntraced(
  function*(attempt: Attempt, first: Once): Effect.fn.Return<RunEnd, Suspended, unknown> {
    let end = first
    while (end.isRetriable) {
      const pause = yield* attempt.tries.pause
      if (pause === undefined) break
      yield* Effect.sleep(Duration.millis(Math.max(pause, Math.min(end.retryAfterMillis, retryAfterMax))))
      end = yield* runOnce(attempt)
    }
    return concluded(attempt, end)
  }
)

/**
 * @internal What was not executed now, or was refused by the step itself, does not take back an earlier try of which
 * nobody knows.
 */
export const concluded = ({ step, tries }: Attempt, { end, isAnswer }: Once): RunEnd =>
  end._tag === "Failed" && !isAnswer && tries.isDoubtful
    ? { _tag: "Unknown", detail: end.detail, isVerifiable: step.verify === "look" }
    : end

/** @internal One try. */
export interface Once {
  readonly end: RunEnd
  readonly isRetriable: boolean
  readonly retryAfterMillis: number
  /** It ends what earlier tries left open too. */
  readonly isAnswer: boolean
}

/** @internal */
export const runOnce = (attempt: Attempt): Effect.Effect<Once, Suspended, unknown> =>
  Effect.suspend(() => {
    const { ctx, step, tries } = attempt
    const lost = attempt.lost()
    if (lost !== undefined) return Effect.fail(lost)
    tries.count++
    const claim = claimOf(attempt, "run")
    return Effect.map(within(() => step.step.run(ctx), claim, step.timeoutMillis, attempt), (exit) => {
      const end = ended(attempt, claim, exit)
      if (end.end._tag === "Unknown") tries.isDoubtful = true
      tries.endedAt = attempt.nowMillis()
      return end
    })
  })

const ended = (attempt: Attempt, claim: StepClaim, exit: Exit.Exit<unknown, unknown>): Once => {
  const { step } = attempt
  const unknown = (detail: string): Once => ({
    end: { _tag: "Unknown", detail, isVerifiable: true },
    // The same key again answers as the first time.
    isRetriable: step.verify === "rerun",
    retryAfterMillis: 0,
    isAnswer: false
  })
  const final = (end: RunEnd, isAnswer = true): Once => ({ end, isRetriable: false, retryAfterMillis: 0, isAnswer })
  if (Exit.isSuccess(exit)) {
    if (exit.value === late) return unknown("timeout")
    return claim.isUncertain ? unknown(callInDoubt) : final(stored(attempt, exit.value))
  }
  const detail = kindOf(exit.cause)
  const reading = read(exit.cause)
  if (reading._tag === "Park") return final({ _tag: "Refuses", reason: reading.reason })
  // A call of this step is in doubt, whatever the last one said.
  if (reading._tag === "Unknown" || claim.isUncertain) return unknown(detail)
  const failed: RunEnd = { _tag: "Failed", ...refusalOf(attempt, detail, reading.error) }
  return reading._tag === "Refused" ? final(failed, claim.isAnswered) : {
    end: failed,
    isRetriable: true,
    retryAfterMillis: reading.retryAfter === undefined ? 0 : Duration.toMillis(reading.retryAfter),
    isAnswer: false
  }
}

/** What a step makes of a call in doubt, a success too, does not end the doubt. */
const callInDoubt = "a call in doubt"

/**
 * What later steps see is what comes out of the log, here and in every process. Where it cannot be kept it has happened
 * all the same, and looking it up gives nothing better.
 */
const stored = ({ resultLimitBytes, step }: Attempt, value: unknown): RunEnd => {
  const result = step.success.store(value, resultLimitBytes)
  const unknown = (what: string): RunEnd => ({ _tag: "Unknown", detail: `the result ${what}`, isVerifiable: false })
  if (Result.isFailure(result)) return unknown(`is ${result.failure}`)
  const kept = step.success.restore(result.success)
  return Result.isSuccess(kept)
    ? { _tag: "Succeeded", result: result.success, value: kept.success }
    : unknown("cannot be read back")
}

const refusalOf = (attempt: Attempt, detail: string, error: unknown): Refusal => {
  const { onFailure = "compensate" } = attempt.step.step
  const policy = typeof onFailure === "string"
    ? onFailure
    : Result.getOrElse(Result.try(() => onFailure(error)), () => "park")
  const refusal = { detail, error: storedError(attempt, error) }
  return policy === "compensate" ? refusal : { ...refusal, parks: true }
}

const storedError = ({ resultLimitBytes, step }: Attempt, error: unknown): string | undefined => {
  const result = step.error?.store(error, resultLimitBytes)
  return result !== undefined && Result.isSuccess(result) ? result.success : undefined
}

/** @internal How a wait ends: with its message (JSON, as it was sent), or without one once its time is up. */
export const waited = (
  step: CompiledStep,
  wait: CompiledWait,
  ctx: AnyContext,
  message: string | undefined,
  limitBytes: number
): RunEnd => {
  if (message === undefined && wait.onDeadline !== undefined) {
    const late = Result.try(() => wait.onDeadline?.(ctx))
    if (Result.isFailure(late)) return { _tag: "Refuses", reason: "its onDeadline throws" }
    const stored = step.error?.store(late.success, limitBytes)
    const error = stored !== undefined && Result.isSuccess(stored) ? stored.success : undefined
    return { _tag: "Failed", detail: kindOf(Cause.fail(late.success)), error }
  }
  const result = message === undefined
    ? wait.isArrival ? `{"_tag":"DeadlinePassed"}` : "null"
    : wait.isArrival
    ? `{"_tag":"Arrived","value":${message}}`
    : message
  const value = step.success.restore(result)
  return Result.isSuccess(value)
    ? { _tag: "Succeeded", result, value: value.success }
    : { _tag: "Refuses", reason: "its message does not fit its schema" }
}

// --- verifying

/** @internal What was found out; a verification that fails or hangs does not know. */
export interface Finding {
  readonly verdict: Verdict
  /** The result as it was found, where the step has happened. */
  readonly value: unknown
}

const stillUnknown: Finding = { verdict: { _tag: "StillUnknown" }, value: undefined }

/** @internal */
export const verifyStep = Effect.fnUntraced(
  function*(attempt: Attempt, cause: string): Effect.fn.Return<Finding, Suspended, unknown> {
    const { verify } = attempt.step.step
    if (verify === "rerun") return stillUnknown
    const tries = makeTries(verifySchedule, false, 0)
    for (;;) {
      const lost = attempt.lost()
      if (lost !== undefined) return yield* Effect.fail(lost)
      tries.count++
      const doubt = doubtOf(attempt, cause)
      const asked = () => verify(attempt.ctx, doubt)
      const exit = yield* within(asked, claimOf(attempt, "run"), attempt.step.verifyMillis, attempt)
      const finding = Exit.isSuccess(exit) && exit.value !== late
        ? findingOf(attempt, exit.value as TypedVerdict<unknown, unknown> | null | undefined)
        : stillUnknown
      if (finding.verdict._tag !== "StillUnknown") return finding
      const pause = yield* tries.pause
      if (pause === undefined) return stillUnknown
      yield* Effect.sleep(Duration.millis(pause))
    }
  }
)

const doubtOf = (attempt: Attempt, cause: string): Doubt => ({
  cause,
  age: Duration.millis(attempt.ageMillis()),
  silence: Duration.millis(attempt.silenceMillis())
})

// Whatever a verification answers that is no verdict says nothing.
const findingOf = (attempt: Attempt, verdict: TypedVerdict<unknown, unknown> | null | undefined): Finding => {
  switch (verdict?._tag) {
    case "Happened": {
      const end = stored(attempt, verdict.result)
      return end._tag === "Succeeded"
        ? { verdict: { _tag: "Happened", result: end.result }, value: end.value }
        : stillUnknown
    }
    case "Refused": {
      const detail = kindOf(Cause.fail(verdict.error))
      return { verdict: { _tag: "Refused", ...refusalOf(attempt, detail, verdict.error) }, value: undefined }
    }
    case "NeverHappened":
    case "NotSeen":
      return { verdict: { _tag: verdict._tag }, value: undefined }
    default:
      return stillUnknown
  }
}

// --- undoing

/** @internal What `Saga.skip` answers. */
export class Skip {
  readonly _tag = "Skip"
  readonly reason: string
  constructor(reason: string) {
    this.reason = reason
  }
}

/** @internal Tries the undo until it is done, is refused, or has no try left. Exactly one outcome comes of it. */
export const undoStep = Effect.fnUntraced(
  function*(attempt: Attempt, outcome: UndoOutcome, result: unknown): Effect.fn.Return<Undo, Suspended, unknown> {
    for (;;) {
      const undo = yield* undoOnce(attempt, outcome, result)
      // A final no stays one under the same key.
      const pause = undo._tag === "Failed" && undo.isRefused !== true ? yield* attempt.tries.pause : undefined
      if (pause === undefined) return undo
      yield* Effect.sleep(Duration.millis(pause))
    }
  }
)

/** @internal One try of the undo. */
export const undoOnce = Effect.fnUntraced(
  function*(attempt: Attempt, outcome: UndoOutcome, result: unknown): Effect.fn.Return<Undo, Suspended, unknown> {
    const { ctx, step, tries } = attempt
    const lost = attempt.lost()
    if (lost !== undefined) return yield* Effect.fail(lost)
    tries.count++
    const told = toldOf(attempt, outcome, result)
    const claim = claimOf(attempt, "undo")
    const exit = yield* within(() => step.step.compensate(told, ctx), claim, step.undoMillis, attempt)
    tries.endedAt = attempt.nowMillis()
    if (Exit.isSuccess(exit) && exit.value !== late && !claim.isUncertain) {
      return exit.value instanceof Skip
        ? { _tag: "Skipped", by: "compensation", reason: exit.value.reason }
        : { _tag: "Undone" }
    }
    const detail = Exit.isFailure(exit) ? kindOf(exit.cause) : exit.value === late ? "timeout" : callInDoubt
    const isRefused = Exit.isFailure(exit) && read(exit.cause)._tag === "Refused"
    return { _tag: "Failed", detail, sent: attempt.departures.kept, isRefused }
  }
)

const toldOf = (attempt: Attempt, outcome: UndoOutcome, result: unknown): Outcome<unknown> => {
  if (outcome._tag === "Done") return { _tag: "Done", result }
  const claim = claimOf(attempt, "run")
  const downstreamKey = (phase: string) => claim.downstreamKey(phase)
  return { _tag: "InDoubt", ...doubtOf(attempt, outcome.detail), downstreamKey }
}
