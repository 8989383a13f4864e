/**
 * The user's saga and the log with a choice at each of their points. What a step, a verification or an undo does is left
 * as it is: it is let go, held back, or its answer is lost.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { LogUnavailable, type Run, type RunId, type SagaLog } from "../../../SagaLog.ts"
import type { Event } from "../../saga/record.ts"
import type { AnyContext, AnyStep, Doubt, Outcome, Untyped } from "../../saga/step.ts"
import { GatewayCallMustBeInsideIdempotent } from "../../stack/claim.ts"
import type { Alternative, Choices } from "./choices.ts"
import { type Message, type Messages, plan } from "./messages.ts"
import type { Monitor } from "./monitor.ts"
import { CurrentProcess, type Process } from "./simulation.ts"
import type { Trace } from "./trace.ts"

type Log = SagaLog["Service"]
type Any = Effect.Effect<unknown, unknown, unknown>
type Part = "run" | "undo" | "verify"

/** @internal What a schedule and what happens in it share. */
export interface Stage {
  readonly id: RunId
  readonly choices: Choices
  readonly messages: Messages
  /** A message comes, to a process that does not have the run; awaited. */
  readonly send: (message: Message) => Effect.Effect<void>
  /** The same, to this process, which goes on. */
  readonly sendTo: (process: Process, message: Message) => void
  /** The same, to one that does not have the run, in so many milliseconds. */
  readonly sendIn: (message: Message, millis: number) => void
  readonly monitor: Monitor
  readonly trace: Trace
  /** Someone asks for the run to be undone, from outside. */
  readonly cancel: Effect.Effect<void>
  /** The lease of an owner that is gone is over. */
  readonly expire: (run: Run) => Effect.Effect<void>
  /** Lets the process close its layer, as a deploy does. */
  readonly shutDown: (process: Process) => void
  /** Whether another process is frozen. */
  readonly isFrozen: (beside: Process) => boolean
  /** Wakes the others. */
  readonly wake: (by: Process) => void
  /** What a refusal of this step is; undefined where it may not be refused. */
  readonly refusalOf: (step: string) => { readonly error: unknown } | undefined
  readonly isKnownKey: (key: string) => boolean
  /** A downstream key is one of this step's. */
  readonly knowKey: (key: string, step: string, isUndo: boolean) => void
  /** Answers that go on being lost, until an operator has repaired the services. */
  readonly down: Map<string, Process | undefined>
  /** What has met its fault already: each does once. */
  readonly struck: Set<string>
}

const crash = (name: string): Alternative => ({ name, cost: "crash" })
const fault = (name: string): Alternative => ({ name, cost: "fault" })

const dieBefore = crash("die before")
const dieAfter = crash("die after")
const freezeBefore = crash("freeze before")
const freezeAfter = crash("freeze after")
const stopBefore = crash("stop before")
const stopAfter = crash("stop after")
const cancelled = crash("cancel")
const woken = crash("wake")
const refuse = fault("refuse")
const loseReply = fault("lose reply")
const loseRequest = fault("lose request")
const down = fault("down")
const hang = fault("time out")
const hangAfter = fault("time out after")

/** The process is gone: nothing of it happens any more. */
const die = (stage: Stage, process: Process): Effect.Effect<never> => {
  stage.trace.note(process, "dies")
  process.state = "Dead"
  return Effect.never
}

/** Nothing happens until it is woken. */
const freeze = (stage: Stage, process: Process): Effect.Effect<void> => {
  stage.trace.note(process, "freezes")
  process.state = "Frozen"
  const point = stage.choices.points.findLast(({ by }) => by === process.name)
  process.frozenAt = `${point?.label}, ${point?.taken}: ${stage.monitor.fingerprint}`
  // A task of a process that is frozen is held until it wakes.
  return Effect.yieldNow
}

const inProcess = <A, E>(
  use: (process: Process) => Effect.Effect<A, E>,
  otherwise: Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  Effect.withFiber((fiber) => {
    const process = fiber.getRef(CurrentProcess)
    if (process === undefined) return otherwise
    return process.state === "Dead" ? Effect.never : use(process)
  })

// --- the log

/** @internal */
export const instrumentLog = (stage: Stage, log: Log): Log => ({
  ...log,
  claim: (request) =>
    inProcess((process) => {
      const label = request.opening === undefined ? "claim" : "claim, with the first intent"
      const events = request.opening?.events ?? []
      const claimed = Effect.tap(log.claim(request), (history) =>
        Effect.sync(() => {
          if (history?.run.owner !== request.owner || history.run.leaseUntil <= history.now) return
          stage.monitor.owns(history.run)
          stage.trace.log(process, `claimed in epoch ${history.run.epoch}`)
          if (history.run.length === 1) begins(stage, process, events)
        }))
      return commit(
        stage,
        process,
        label,
        "claim",
        Effect.andThen(sends(stage, plan.beforeWait, begun(events)), claimed)
      )
    }, log.claim(request)),
  ...appending(stage, log),
  ...receiving(stage, log),
  orphans: (request) =>
    inProcess((process) =>
      Effect.flatMap(log.orphans(request), (found) => {
        for (const { run } of found) {
          stage.monitor.owns(run)
          stage.trace.log(process, `taken over in epoch ${run.epoch}`)
        }
        if (found.length === 0) return Effect.succeed(found)
        return Effect.as(
          after(
            stage,
            process,
            stage.choices.choose(process.name, "take over", offer(stage, process, [dieAfter, freezeAfter]))
          ),
          found
        )
      }), log.orphans(request)),
  release: (request) =>
    inProcess((process) => {
      const chosen = stage.choices.choose(process.name, "release", [dieBefore])
      return chosen === undefined ? log.release(request) : die(stage, process)
    }, log.release(request))
})

const appending = (stage: Stage, log: Log): Pick<Log, "append"> => ({
  append: (request) =>
    inProcess((process) => {
      const label = request.events.map((event) => "step" in event ? `${event._tag} ${event.step}` : event._tag)
        .join(", ")
      const decided = stage.messages.all.length === 0 ? [] : endedByTime(stage, request.events)
      const appended = Effect.tap(log.append(request), ({ appended }) => {
        if (appended) {
          stage.monitor.writes(request.epoch, request.events, process.simulation.now)
          begins(stage, process, request.events)
        }
        stage.trace.log(process, appended ? label : `${label}: refused, no longer the owner`)
        return appended ? sends(stage, plan.behind, decided) : Effect.void
      })
      const written = Effect.andThen(sends(stage, plan.decided, decided), appended)
      return commit(
        stage,
        process,
        label,
        "append",
        Effect.andThen(sends(stage, plan.beforeWait, begun(request.events)), written)
      )
    }, log.append(request))
})

// --- waits

const receiving = (stage: Stage, log: Log): Pick<Log, "inbox" | "signal"> => ({
  signal: (request) =>
    inProcess((process) => {
      const kept = Effect.tap(log.signal(request), (reply) =>
        Effect.sync(() => {
          if (reply === "Kept" && request.key === stage.id.key) {
            stage.monitor.keeps(request.step, request.event, request.value, process.simulation.now)
          }
          stage.trace.log(process, `message ${request.event} of ${request.step}: ${reply}`)
        }))
      return process.stage === undefined
        ? kept
        : commit(stage, process, `message ${request.event} of ${request.step}`, "signal", kept)
    }, log.signal(request)),
  inbox: (requests) =>
    inProcess((process) => {
      const at = requests.findIndex(({ key }) => key === stage.id.key)
      const { step } = requests[at] ?? {}
      const look = log.inbox(requests)
      return process.stage === undefined || step === undefined ? look : Effect.flatMap(look, (found) => {
        const { cancelRequested, pauseRequested, value } = found[at] ?? {}
        // What is wished is news once.
        const isNews = value !== undefined || pauseRequested !== undefined ||
          (cancelRequested === true && !process.heard.has(step))
        if (cancelRequested === true) process.heard.add(step)
        const left = (stage.monitor.untilOf(step) ?? 0) - process.simulation.now
        // Who looks beside a look that waits wants to know what there is.
        return isNews || left <= 0 || process.isWaiting
          ? Effect.succeed(found)
          : Effect.flatMap(waits(stage, process, step, left), () => look)
      })
    }, log.inbox(requests))
})

/** Waits at which the run stands once these events are durable. */
const begun = (events: ReadonlyArray<Event>): ReadonlyArray<string> =>
  events.flatMap((event) => event._tag === "Intended" ? [event.step] : [])

/** Waits that these events end without a message. */
const endedByTime = ({ messages }: Stage, events: ReadonlyArray<Event>): ReadonlyArray<string> =>
  events.flatMap((event) => {
    if (event._tag !== "Succeeded" && event._tag !== "Failed") return []
    const isByTime = event._tag === "Failed" || event.result.startsWith("{\"_tag\":\"DeadlinePassed\"")
    return messages.awaitedAt(event.step) !== undefined && isByTime ? [event.step] : []
  })

/** The messages of these steps come that are to come now. */
const sends = (stage: Stage, how: string, steps: ReadonlyArray<string>): Effect.Effect<void> =>
  stage.messages.all.length === 0 || steps.length === 0 ? Effect.void : Effect.suspend(() =>
    Effect.forEach(
      steps.flatMap((step) => stage.messages.due(how, step)),
      (message) => stage.send(message),
      { discard: true }
    )
  )

/** So long before the time is up comes what comes at the last moment. */
const lastMillis = 1
/** So long after it comes what is too late, whoever looks and when. */
const lateMillis = 1_000

const begins = (stage: Stage, process: Process, events: ReadonlyArray<Event>): void => {
  for (const step of stage.messages.all.length === 0 ? [] : begun(events)) {
    const left = (stage.monitor.untilOf(step) ?? 0) - process.simulation.now
    for (const message of stage.messages.due(plan.last, step)) stage.sendIn(message, left - lastMillis)
    for (const message of stage.messages.due(plan.late, step)) stage.sendIn(message, left + lateMillis)
  }
}

const waited = [dieBefore, freezeBefore, stopBefore]

/** The run waits, and there is no message: one comes, or none does until the time is up. */
const waits = (stage: Stage, process: Process, step: string, left: number): Effect.Effect<void> => {
  const alternatives = stage.monitor.isCancellable ? [...waited, cancelled] : waited
  const taken = stage.choices.choose(process.name, `wait ${step}`, offer(stage, process, alternatives))
  if (taken === cancelled.name) return stage.cancel
  if (taken === stopBefore.name) {
    stage.shutDown(process)
    return Effect.never
  }
  return Effect.andThen(before(stage, process, taken), () => {
    if (taken === woken.name) stage.wake(process)
    const message = stage.messages.next(step)
    if (message === undefined) {
      // Nobody looks until something can have changed.
      process.isWaiting = true
      return Effect.map(left === Number.POSITIVE_INFINITY ? Effect.never : Effect.sleep(left), () => {
        process.isWaiting = false
      })
    }
    if (message.plan === plan.elsewhere) stage.sendIn(message, 0)
    else stage.sendTo(process, message)
    return Effect.void
  })
}

// --- commits

const committed = [dieBefore, dieAfter, freezeBefore, freezeAfter, loseReply]

const commit = <A>(
  stage: Stage,
  process: Process,
  label: string,
  operation: string,
  write: Effect.Effect<A, LogUnavailable>
): Effect.Effect<A, LogUnavailable> => {
  const alternatives = stage.monitor.isCancellable ? [...committed, cancelled] : committed
  const taken = stage.choices.choose(process.name, label, offer(stage, process, alternatives))
  return Effect.andThen(before(stage, process, taken), () =>
    Effect.flatMap(write, (answer) => {
      if (taken !== loseReply.name) return Effect.as(after(stage, process, taken), answer)
      stage.trace.note(process, "does not hear the answer")
      return Effect.fail(new LogUnavailable({ operation, detail: "Simulated" }))
    }))
}

/** What can happen here besides. */
const offer = (
  stage: Stage,
  process: Process,
  alternatives: ReadonlyArray<Alternative>
): ReadonlyArray<Alternative> =>
  stage.isFrozen(process) ? [...alternatives.filter(({ name }) => !name.startsWith("freeze")), woken] : alternatives

const before = (stage: Stage, process: Process, taken: string | undefined): Effect.Effect<void> => {
  switch (taken) {
    case dieBefore.name:
      return die(stage, process)
    case freezeBefore.name:
      return freeze(stage, process)
    case cancelled.name:
      return stage.cancel
    default:
      return Effect.void
  }
}

const after = (stage: Stage, process: Process, taken: string | undefined): Effect.Effect<void> => {
  switch (taken) {
    case dieAfter.name:
      return die(stage, process)
    case freezeAfter.name:
      return freeze(stage, process)
    case woken.name:
      stage.wake(process)
      return Effect.yieldNow
    default:
      return Effect.void
  }
}

// --- steps

/** @internal The same saga, so far as its log can tell. */
export const instrumentSaga = (saga: Untyped): Untyped => ({
  ...saga,
  steps: saga.steps.map((step): AnyStep => ({
    ...step,
    run: (ctx: AnyContext) => effect(step, "run", () => step.run(ctx)),
    ...step.compensate === undefined ? {} : {
      compensate: (outcome: Outcome<unknown>, ctx: AnyContext) =>
        effect(step, "undo", () => step.compensate(outcome, ctx), outcome._tag)
    },
    verify: step.verify === "rerun" ? "rerun" : verifying(step, step.verify)
  }))
})

type Verify = Exclude<AnyStep["verify"], "rerun">

const verifying = (step: AnyStep, verify: Verify): Verify =>
  // What is wrong with the options of a verification stays with it.
  Object.assign(
    (ctx: AnyContext, doubt: Doubt) => effect(step, "verify", () => verify(ctx, doubt)),
    Object.fromEntries(Object.getOwnPropertySymbols(verify).map((key) => [key, Reflect.get(verify, key)]))
  ) as never

const firstPhase = "authorize"
const otherPhases = ["capture", "void", "refund"]

const offered: Readonly<Record<Part, ReadonlyArray<Alternative>>> = {
  run: [dieBefore, dieAfter, freezeAfter, stopBefore, stopAfter],
  undo: [dieBefore, dieAfter, freezeAfter, stopBefore, stopAfter],
  verify: [dieBefore, dieAfter]
}

const effect = (step: AnyStep, part: Part, call: () => Any, told?: string): Any =>
  Effect.withFiber((fiber): Any => {
    const process = fiber.getRef(CurrentProcess)
    const stage = process?.stage
    if (process === undefined || stage === undefined) return Effect.suspend(call)
    if (process.state === "Dead") return Effect.never
    const claim = Context.getUnsafe(fiber.context, GatewayCallMustBeInsideIdempotent)
    stage.monitor.leaves({ step: step.name, part, epoch: claim.fence })
    if (told !== undefined) stage.monitor.tells(step.name, told)
    if (part === "verify") return strike(stage, step, part, process, call)
    return Effect.flatMap(claim.downstreamKey(firstPhase), (first) => {
      stage.monitor.sends(step.name, part, first)
      const struck = Effect.suspend(() => strike(stage, step, part, process, call))
      if (stage.isKnownKey(first)) return struck
      stage.knowKey(first, step.name, part === "undo")
      return Effect.andThen(
        Effect.forEach(otherPhases, (phase) =>
          Effect.map(claim.downstreamKey(phase), (key) => stage.knowKey(key, step.name, part === "undo"))),
        struck
      )
    })
  })

/** What was lost: nobody can tell whether it happened. */
class Lost extends Error {
  readonly _tag = "Lost"
  override readonly name = "Lost"
  constructor(what: string) {
    super(`the ${what} was lost, by plan`)
  }
}

const strike = (stage: Stage, step: AnyStep, part: Part, process: Process, call: () => Any): Any => {
  const name = `${part} ${step.name}`
  const isDown = stage.down.has(name) && (stage.down.get(name) ?? process) === process
  const isStruck = stage.struck.has(name)
  const faults = isStruck || isDown ? [] : faultsOf(stage, step, part)
  // Each time it stays away is as the first.
  const isAgain = isDown && stage.choices.points.findLast(({ by }) => by === process.name)?.label === name
  const alternatives = isAgain ? [] : offer(stage, process, [...offered[part], ...faults])
  const taken = stage.choices.choose(process.name, name, alternatives)
  if (faults.some((fault) => fault.name === taken)) stage.struck.add(name)
  if (taken === down.name) stage.down.set(name, part === "verify" ? process : undefined)
  if (isDown || taken === down.name) {
    stage.trace.call(process, name, "no answer")
    stage.monitor.isLost(step.name, part)
    return Effect.die(new Lost("request"))
  }
  switch (taken) {
    case hang.name:
      stage.trace.call(process, name, "lost on its way, and nobody says so")
      return Effect.never
    case refuse.name:
      stage.trace.call(process, name, "refused")
      return Effect.fail(stage.refusalOf(step.name)?.error)
    case loseRequest.name:
      stage.trace.call(process, name, "lost on its way")
      return Effect.die(new Lost("request"))
    case stopBefore.name:
      stage.trace.call(process, name, "stopped before it left")
      stage.shutDown(process)
      return Effect.never
  }
  return Effect.andThen(before(stage, process, taken), called(stage, step, part, process, taken, call))
}

const faultsOf = (stage: Stage, step: AnyStep, part: Part): ReadonlyArray<Alternative> =>
  part === "verify"
    ? [down]
    : part === "undo"
    ? [loseReply, loseRequest, down]
    : [
      ...stage.refusalOf(step.name) === undefined ? [] : [refuse],
      loseReply,
      loseRequest,
      down,
      ...step.timeout === undefined ? [] : [hang, hangAfter]
    ]

/** It happens, whatever becomes of its answer. */
const called = (
  stage: Stage,
  step: AnyStep,
  part: Part,
  process: Process,
  taken: string | undefined,
  call: () => Any
): Any =>
  Effect.suspend(() => {
    const name = `${part} ${step.name}`
    process.calls++
    return Effect.flatMap(
      Effect.exit(Effect.onExit(Effect.suspend(call), () => Effect.sync(() => process.calls--))),
      (exit): Any => {
        if (process.state === "Dead") return Effect.never
        const isWell = Exit.isSuccess(exit) && (part !== "verify" || isHappened(exit.value))
        stage.trace.call(process, name, Exit.isSuccess(exit) ? tagOf(exit.value) : "failed")
        stage.monitor.comes(step.name, part, isWell)
        if (taken === loseReply.name) {
          stage.trace.note(process, `does not hear the answer of ${name}`)
          return Effect.die(new Lost("reply"))
        }
        if (taken === hangAfter.name) {
          stage.trace.note(process, `waits for the answer of ${name}`)
          return Effect.never
        }
        if (taken === stopAfter.name) {
          stage.shutDown(process)
          return Effect.never
        }
        return Effect.andThen(after(stage, process, taken), exit)
      }
    )
  })

const tagOf = (value: unknown): string =>
  typeof value === "object" && value !== null && "_tag" in value && typeof value._tag === "string" ? value._tag : "done"

const isHappened = (value: unknown): boolean => tagOf(value) === "Happened"
