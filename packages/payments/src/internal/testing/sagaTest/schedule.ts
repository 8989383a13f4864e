/**
 * One schedule, from the first call to the end: processes run the saga over one log and one set of services until it has
 * ended, those that were frozen wake up, and an operator sees to what is stuck.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Saga from "../../../Saga.ts"
import { layerStoreMemory, type Run, type RunId, SagaLog } from "../../../SagaLog.ts"
import { TestGateway } from "../../../testing/TestGateway.ts"
import type { SagaError } from "../../saga/errors.ts"
import { isUnfinished, runId } from "../../saga/record.ts"
import type { Untyped } from "../../saga/step.ts"
import { type Effected, Ledger, makeLedger, type StepOfKey, type Truth, truthOf } from "./books.ts"
import {
  type Alternative,
  type Behind,
  type Budget,
  Choices,
  type Deviation,
  type Draw,
  type Left,
  type Point
} from "./choices.ts"
import { crypto } from "./digest.ts"
import { instrumentLog, type Stage } from "./instrument.ts"
import { type Awaited, type Given, type Message, Messages, plan } from "./messages.ts"
import { type Broken, itEnds, Monitor } from "./monitor.ts"
import { CurrentProcess, Process, type Running, Simulation } from "./simulation.ts"
import { Trace } from "./trace.ts"

/** @internal How a run has ended, as an invariant of the user's sees it. */
export interface Ended {
  readonly execution: Saga.Execution<unknown, unknown>
  readonly ledger: ReadonlyArray<Effected>
}

/** @internal */
export interface Subject {
  /** Instrumented. */
  readonly saga: Untyped
  readonly payload: unknown
  readonly layer: Layer.Layer<unknown, unknown, Ledger>
  readonly invariants: ReadonlyArray<
    readonly [name: string, holds: (end: Ended) => Effect.Effect<unknown, unknown, unknown>]
  >
  readonly refusalOf: Stage["refusalOf"]
  readonly messages: ReadonlyArray<Given>
  readonly awaited: ReadonlyArray<Awaited>
  /** When each message comes; undefined leaves it to the schedule. */
  readonly plans?: ReadonlyArray<string | undefined> | undefined
  readonly budget: Budget
  /** What a run leaves behind whose waits end so, and nothing else happens to it. */
  readonly reference: ((plans: ReadonlyArray<string | undefined>) => Effect.Effect<Truth | undefined>) | undefined
  /** Whether what follows from this state has been seen with as much left. */
  readonly isSeen: (state: string, left: Left) => boolean
}

/** @internal */
export interface Played {
  readonly points: ReadonlyArray<Point>
  readonly met: number
  readonly broken: Broken | undefined
  readonly state: string | undefined
  readonly isMerged: boolean
  readonly truth: Truth
  readonly trace: string
}

const causeOf = (cause: Cause.Cause<unknown>): string => Cause.pretty(cause).slice(0, detailMax)

const detailMax = 2000

const id = "saga-test"
const leaseMillis = 30_000
const hourMillis = 3_600_000
const dayMillis = 24 * hourMillis
// Moments within this are taken for the same: nothing in a saga waits for exactly so long.
const sameMillis = 600_000
const takeoversMax = 12
const resumesMax = 4

const leaseMaxMillis = dayMillis
// So that the lease of a run that waits for weeks is not renewed a million times.
const leasesPerWait = 120

const sagasLayer = (lease: number) =>
  Layer.fresh(Saga.layer({ sweepEvery: false, lease })).pipe(Layer.provide(Layer.succeedContext(crypto)))

const signalRetryMillis = 1000

/** @internal */
export const play = (
  subject: Subject,
  deviations: ReadonlyArray<Deviation | Draw>,
  options: { readonly isTraced: boolean }
): Effect.Effect<Played> => Effect.suspend(() => new Player(subject, deviations, options.isTraced).play)

const comesLate: Alternative = { name: "late", cost: "crash" }

type Ending = Running<Saga.Execution<unknown, unknown>, unknown>

interface Living {
  readonly process: Process
  readonly context: Context.Context<never>
  readonly scope: Scope.Closeable
  ending: Ending | undefined
  isHeard: boolean
  /** Messages that it was sent. */
  readonly sent: Set<Message>
  stopping: Running<void, never> | undefined
}

class Player {
  private readonly subject: Subject
  private readonly simulation: Simulation
  private readonly ledger = makeLedger()
  private readonly choices: Choices
  private readonly messages: Messages
  /** All time that the saga waits. */
  private readonly waitMillis: number
  private readonly leaseMillis: number
  /** Receives messages, and never has a run. */
  private readonly sender: Process
  private sending: Context.Context<never> | undefined = undefined
  private readonly scheduled = new Set<Message>()
  private readonly trace: Trace
  private readonly world: Process
  private readonly living: Array<Living> = []
  private readonly keys = new Map<string, { readonly step: string; readonly isUndo: boolean }>()
  private readonly told: Array<string> = []
  private readonly id: RunId
  private execution: Saga.Execution<unknown, unknown> | undefined = undefined
  private readonly own = new Set<string>()
  private stage: Stage | undefined = undefined
  private isMerged = false
  private takeovers = 0
  private names = 0

  constructor(subject: Subject, deviations: ReadonlyArray<Deviation | Draw>, isTraced: boolean) {
    this.subject = subject
    this.choices = new Choices(deviations, subject.budget, (by) => this.behindOf(by))
    this.simulation = new Simulation(isTraced)
    this.trace = new Trace(isTraced, this.simulation.now)
    this.world = new Process(this.simulation, "World", 1)
    this.sender = new Process(this.simulation, "Receiver", 1_000)
    this.messages = new Messages(subject.messages, subject.awaited)
    const waits = subject.awaited.map(({ millis }) => millis).filter(Number.isFinite)
    this.waitMillis = waits.reduce((sum, millis) => sum + millis, 0)
    this.leaseMillis = Math.max(leaseMillis, Math.min(leaseMaxMillis, Math.ceil(this.waitMillis / leasesPerWait)))
    this.id = runId(subject.saga.name, id)
  }

  get play(): Effect.Effect<Played> {
    return Effect.gen({ self: this }, function*() {
      const services = yield* this.build(
        this.world,
        Layer.provideMerge(this.subject.layer, Layer.succeed(Ledger, this.ledger.service))
      )
      const log = Context.get(
        (yield* this.build(this.world, Layer.fresh(layerStoreMemory()))) as Context.Context<SagaLog>,
        SagaLog
      )
      const monitor = new Monitor(log, this.id, this.subject.saga.steps, this.messages)
      const stage = this.stageOf(log, monitor)
      this.stage = stage
      const setting: Setting = {
        log: instrumentLog(stage, log),
        saga: this.subject.saga as never,
        services,
        stage
      }
      if (this.messages.all.length > 0) yield* this.planMessages(setting)
      yield* this.untilEnded(setting)
      if (!this.isMerged && monitor.broken === undefined) yield* this.untilAwake(monitor)
      if (!this.isMerged && monitor.broken === undefined) yield* this.sendLeft(setting)
      if (!this.isMerged) yield* this.judge(setting)
      if (!this.isMerged && monitor.broken === undefined) yield* this.repair(setting)
      return {
        points: this.choices.points,
        met: this.choices.met,
        broken: monitor.broken,
        state: monitor.read()?.run.state,
        isMerged: this.isMerged,
        truth: yield* this.truth(services),
        trace: this.trace.mermaid
      }
    })
  }

  private stageOf(log: SagaLog["Service"], monitor: Monitor): Stage {
    const { choices, id, keys, living, messages, subject, trace, world } = this
    return {
      id,
      messages,
      send: (message) => this.elsewhere(message),
      sendTo: (process, message) => {
        const own = living.find((one) => one.process === process)
        if (own === undefined || own.sent.has(message)) return
        own.sent.add(message)
        process.fork(this.signal(message, process), own.context)
      },
      sendIn: (message, millis) => {
        if (this.scheduled.has(message)) return
        this.scheduled.add(message)
        world.fork(Effect.delay(Effect.suspend(() => this.elsewhere(message)), millis))
      },
      choices,
      monitor,
      trace,
      cancel: Effect.map(Effect.orDie(log.cancel(id)), (run) => {
        trace.note(world, run === undefined ? "cancels a run that is not there" : "cancels the run")
        if (run === undefined) return
        monitor.cancelledAt = run.length
        if (!run.cancelRequested) monitor.breaks("a cancellation is heard", "the log has not kept it")
      }),
      expire: (run) => Effect.asVoid(Effect.orDie(log.release({ ...id, owner: run.owner, epoch: run.epoch }))),
      shutDown: (process) => {
        const own = living.find((one) => one.process === process)
        if (own === undefined) return
        trace.note(process, "shuts down")
        own.stopping = process.fork(Scope.close(own.scope, Exit.void))
      },
      isFrozen: (beside) => living.some(({ process }) => process !== beside && process.state === "Frozen"),
      wake: (by) => {
        for (const { process } of living) {
          if (process === by || process.state !== "Frozen") continue
          trace.note(process, "wakes up")
          process.wake()
        }
      },
      refusalOf: subject.refusalOf,
      isKnownKey: (key) => keys.has(key),
      knowKey: (key, step, isUndo) => keys.set(key, { step, isUndo }),
      down: new Map(),
      struck: new Set()
    }
  }

  private readonly stepOf: StepOfKey = (key) => this.keys.get(key)

  private truth(services: Context.Context<never>): Effect.Effect<Truth> {
    const gateway = Context.getOption(services, TestGateway)
    return gateway._tag === "None"
      ? Effect.succeed(truthOf(this.ledger.entries.slice(), undefined, this.stepOf))
      : Effect.map(gateway.value.ledger, (ledger) => truthOf(this.ledger.entries.slice(), ledger, this.stepOf))
  }

  // --- messages

  /** When each of them comes. */
  private planMessages(setting: Setting): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const { choices, messages, subject } = this
      for (const message of messages.all) {
        message.plan = subject.plans === undefined
          ? choices.choose(this.world.name, `message ${message.name}`, messages.alternativesOf(message))
          : subject.plans[message.index]
      }
      if (messages.all.some(({ plan }) => plan !== undefined)) yield* this.receive(setting)
      for (const message of messages.due(plan.beforeRun)) yield* this.deliver(message)
    })
  }

  /** Makes the process ready that receives messages for others. */
  private receive(setting: Setting): Effect.Effect<void> {
    return this.sending !== undefined ? Effect.void : Effect.map(
      this.build(this.sender, sagasLayer(this.leaseMillis).pipe(Layer.provide(Layer.succeed(SagaLog, setting.log)))),
      (context) => {
        this.sending = Context.add(context, CurrentProcess, this.sender)
      }
    )
  }

  private elsewhere(message: Message): Effect.Effect<void> {
    return this.sending === undefined
      ? Effect.void
      : Effect.provideContext(this.signal(message, this.sender) as Effect.Effect<void>, this.sending)
  }

  private deliver(message: Message): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const running = this.world.fork(this.elsewhere(message))
      yield* this.simulation.run(() => running.exit !== undefined, hourMillis)
    })
  }

  /** Its sender sends it until there is an answer, and once more where it comes twice. */
  private signal(message: Message, process: Process, isAgain = false): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { given: { event, step, valueOf } } = message
      this.trace.note(process, `is sent ${event} of ${step}`)
      const sent = Saga.signal(
        this.subject.saga as never,
        { name: step } as never,
        { id, event, value: valueOf(this.results) as never }
      ) as Effect.Effect<boolean, SagaError>
      return Effect.matchEffect(sent, {
        onFailure: ({ message: why, reason }) => {
          if (reason._tag === "LogUnavailable") {
            return Effect.delay(this.signal(message, process, isAgain), signalRetryMillis)
          }
          this.stage?.monitor.breaks("the messages of the world are some", `${message.name}: ${why}`)
          return Effect.void
        },
        onSuccess: (isNew) => {
          this.stage?.monitor.confirms(message, isNew)
          return message.plan === plan.twice && !isAgain ? this.signal(message, process, true) : Effect.void
        }
      })
    })
  }

  /** What the saga has come to, as the log has it. */
  private get results(): Readonly<Record<string, unknown>> {
    const results: Record<string, unknown> = { payload: this.subject.payload }
    for (const event of this.stage?.monitor.events ?? []) {
      const success = event._tag === "Succeeded"
        ? this.subject.saga.steps.find(({ name }) => name === event.step)?.success
        : undefined
      if (event._tag === "Succeeded" && success !== undefined) {
        results[event.step] = Schema.decodeSync(Schema.fromJsonString(Schema.toCodecJson(success)))(event.result)
      }
    }
    return results
  }

  /** Senders that had no answer, or nobody to send to, send when the run has ended; and so do those that send twice. */
  private sendLeft(setting: Setting): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      for (const message of this.messages.all) {
        const { given: { isFromResults, step }, isConfirmed } = message
        if (isConfirmed && message.plan !== plan.twice) continue
        if (isFromResults && setting.stage.monitor.untilOf(step) === undefined) continue
        yield* this.receive(setting)
        yield* this.deliver(message)
      }
    })
  }

  // --- processes

  private build<A>(process: Process, layer: Layer.Layer<A, unknown>, scope = Scope.makeUnsafe()) {
    return Effect.gen({ self: this }, function*() {
      const running = process.fork(Layer.buildWithScope(layer, scope))
      yield* this.simulation.run(() => running.exit !== undefined, hourMillis)
      const { exit } = running
      if (exit === undefined) return yield* Effect.die(new Error("a layer of the world is not built within an hour"))
      return yield* Effect.orDie(exit) as Effect.Effect<Context.Context<never>>
    })
  }

  private start(setting: Setting): Effect.Effect<Living> {
    return Effect.gen({ self: this }, function*() {
      const process = new Process(this.simulation, `P${++this.names}`, this.names)
      process.stage = setting.stage
      const scope = Scope.makeUnsafe()
      const built = yield* this.build(
        process,
        sagasLayer(this.leaseMillis).pipe(Layer.provide(Layer.succeed(SagaLog, setting.log))),
        scope
      )
      const living: Living = {
        process,
        scope,
        context: Context.merge(setting.services, built),
        ending: undefined,
        isHeard: false,
        sent: new Set(),
        stopping: undefined
      }
      this.living.push(living)
      return living
    })
  }

  /** Until its call has come back, or nothing of it moves any more. */
  private watch(living: Living) {
    const { process } = living
    return this.simulation.run(
      () =>
        process.state !== "Running" ||
        (living.stopping === undefined
          ? living.ending?.exit !== undefined
          : living.stopping.exit !== undefined && living.ending?.exit !== undefined),
      dayMillis + this.waitMillis
    )
  }

  private get hanging(): string {
    const step = this.stage?.monitor.waitsAt
    return step === undefined ? "it hangs" : `it waits at "${step}", and goes on for no message of the world`
  }

  // --- the run

  private untilEnded(setting: Setting): Effect.Effect<void> {
    const { monitor } = setting.stage
    return Effect.gen({ self: this }, function*() {
      for (; this.execution === undefined && monitor.broken === undefined; this.takeovers++) {
        const { takeovers } = this
        if (takeovers > takeoversMax) return monitor.breaks(itEnds, `${takeovers} processes have not finished it`)
        if (takeovers > 0 && this.isSeenAgain(setting.stage)) return
        const living = yield* this.start(setting)
        yield* this.take(setting, living, takeovers)
        if (!(yield* this.watch(living))) return monitor.breaks(itEnds, this.hanging)
        this.hear(living)
        if (living.process.state === "Dead") this.simulation.forget(living.process)
      }
    })
  }

  /** What one process knew is gone: what is to come depends on the log, the services and those that are frozen. */
  private isSeenAgain(stage: Stage): boolean {
    // Every deviation has to be met first: what is not met yet is still to come.
    if (this.choices.isClosed || !this.choices.isMet || this.isAnyAtWork(undefined)) return false
    const state = this.stateBehind(stage, this.takeovers)
    // What comes to the same again by itself may never end.
    if (this.own.has(state)) return false
    this.own.add(state)
    this.isMerged = this.subject.isSeen(state, this.leftOf(stage))
    return this.isMerged
  }

  /** What is left behind if the last process dies now. */
  private behindOf(by: string): Behind | undefined {
    const { stage } = this
    if (stage === undefined || this.living.at(-1)?.process.name !== by || this.isAnyAtWork(by)) return undefined
    return { ...this.leftOf(stage), state: this.stateBehind(stage, this.takeovers + 1), at: this.simulation.now }
  }

  private stateBehind({ down, monitor }: Stage, takeovers: number): string {
    return [
      monitor.fingerprint,
      [...down.keys()].join(),
      this.living.flatMap(({ process }) => process.state === "Frozen" ? [process.frozenAt] : []).join("&"),
      takeovers % 2,
      Math.floor(this.simulation.age / sameMillis),
      ...this.messages.awaited.length === 0 ? [] : [this.messages.fingerprint, this.leftToWait(monitor)]
    ].join("|")
  }

  /** How long the run still waits where it stands. */
  private leftToWait(monitor: Monitor): number | undefined {
    const step = monitor.waitsAt
    const until = step === undefined ? undefined : monitor.untilOf(step)
    return until && Math.max(0, until - this.simulation.now)
  }

  private leftOf({ struck }: Stage): Left {
    return { ...this.choices.left, struck: [...struck] }
  }

  /** Whether a process beside this one, woken or shut down, goes on. */
  private isAnyAtWork(beside: string | undefined): boolean {
    return this.living.some(({ ending, process }) =>
      process.isRunning && process.name !== beside && ending?.exit === undefined
    )
  }

  /** The first process is called; later ones find the run, or are called again. */
  private take(setting: Setting, living: Living, takeovers: number): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const { saga, stage } = setting
      const { process } = living
      const run = stage.monitor.read()?.run
      if (run !== undefined) {
        yield* this.outlast(setting, run)
        yield* this.comeLate(setting.stage, process)
      }
      const execute = Saga.execute(saga, this.subject.payload as never, { id })
      const isRecovered = run !== undefined && takeovers % 2 === 1
      const call = isRecovered
        ? Effect.flatMap(Saga.recover([saga]), (found) => {
          if (found === 0 && isUnfinished(run.state)) {
            stage.monitor.breaks(itEnds, "nobody takes it over, and its lease is over")
          }
          return Saga.result(saga, { id })
        })
        : execute
      stage.trace.note(process, isRecovered ? "recovers" : "is called")
      living.ending = process.fork(call as Effect.Effect<Saga.Execution<unknown, unknown>, unknown>, living.context)
      yield* Effect.void
    })
  }

  /** Whoever held the run has lost it. The lease of one that is dead is no longer than usual, however long the saga waits. */
  private outlast({ stage }: Setting, run: Run): Effect.Effect<void> {
    const { simulation } = this
    const isLong = run.leaseUntil > simulation.now + leaseMillis && !this.isAnyAtWork(undefined) &&
      this.living.every(({ process }) => process.state !== "Frozen")
    simulation.now = isLong ? simulation.now + leaseMillis : Math.max(simulation.now, run.leaseUntil)
    return isLong ? stage.expire(run) : Effect.void
  }

  /** It may take until behind the deadline before someone takes a run over that waits. */
  private comeLate({ choices, monitor }: Stage, process: Process): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const left = this.leftToWait(monitor)
      if (left === undefined || left <= 0 || left === Number.POSITIVE_INFINITY) return
      if (choices.choose(process.name, "find the run that waits", [comesLate]) === undefined) return
      this.trace.note(process, "comes behind the deadline")
      const until = this.simulation.now + left
      yield* this.simulation.run(() => false, left)
      this.simulation.now = Math.max(this.simulation.now, until)
    })
  }

  private hear(living: Living): void {
    const { ending, isHeard, process } = living
    const exit = ending?.exit
    if (isHeard || exit === undefined || Exit.isFailure(exit)) return
    living.isHeard = true
    this.told.push(exit.value._tag)
    this.trace.note(process, `answers ${exit.value._tag}`)
    this.execution = exit.value
  }

  /** Those that were frozen go on, long after they have lost the run. */
  private untilAwake(monitor: Monitor): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      for (const living of this.living) {
        if (living.process.state === "Dead") continue
        if (living.process.state === "Frozen") {
          this.trace.note(living.process, "wakes up")
          living.process.wake()
        }
        if (!(yield* this.watch(living))) return monitor.breaks(itEnds, `${living.process.name} hangs`)
        this.hear(living)
      }
    })
  }

  // --- the end

  private judge({ services, stage: { monitor } }: Setting): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      if (monitor.broken !== undefined) return
      const truth = yield* this.truth(services)
      const { reference } = this.subject
      const isCompleted = monitor.read()?.run.state === "Completed"
      const expected = reference === undefined || !isCompleted
        ? undefined
        : yield* reference(this.messages.planFor(monitor.taken))
      monitor.ends(this.told, truth, expected, this.stepOf)
      if (this.execution === undefined || monitor.broken !== undefined) return
      const end: Ended = {
        execution: this.execution,
        ledger: [...truth.own, ...truth.moved]
      }
      for (const [name, holds] of this.subject.invariants) {
        const running = this.world.fork(holds(end) as Effect.Effect<unknown, unknown>, services)
        yield* this.simulation.run(() => running.exit !== undefined, hourMillis)
        const { exit } = running
        if (exit === undefined) return monitor.breaks(name, "it does not answer")
        if (Exit.isFailure(exit)) return monitor.breaks(name, causeOf(exit.cause))
        if (exit.value === false) return monitor.breaks(name, "it answers false")
      }
    })
  }

  /** Someone has repaired the services, and has it tried again. */
  private repair(setting: Setting): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const { saga, stage } = setting
      const { monitor } = stage
      stage.down.clear()
      this.choices.isClosed = true
      for (let resumes = 0; monitor.broken === undefined; resumes++) {
        const state = monitor.read()?.run.state
        if (state !== "Parked" && state !== "FailedCompensation") return
        if (resumes === resumesMax) return monitor.breaks(itEnds, `it stays ${state} however often it is resumed`)
        this.simulation.now += 10 * 60_000
        const living = yield* this.start(setting)
        stage.trace.note(living.process, "resumes what is stuck")
        living.ending = living.process.fork(
          Saga.resume(saga, { id }) as Effect.Effect<Saga.Execution<unknown, unknown>, unknown>,
          living.context
        )
        if (!(yield* this.watch(living))) return monitor.breaks(itEnds, "it hangs after it was resumed")
        this.told.length = 0
        this.execution = undefined
        this.hear(living)
        yield* this.judge(setting)
      }
    })
  }
}

interface Setting {
  readonly log: SagaLog["Service"]
  readonly saga: Saga.Saga<{ readonly payload: unknown }, never, never>
  readonly services: Context.Context<never>
  readonly stage: Stage
}
