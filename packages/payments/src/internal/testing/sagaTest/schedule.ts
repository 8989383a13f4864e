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
import * as Scope from "effect/Scope"
import * as Saga from "../../../Saga.ts"
import { layerStoreMemory, type RunId, SagaLog } from "../../../SagaLog.ts"
import { TestGateway } from "../../../testing/TestGateway.ts"
import { isUnfinished, runId } from "../../saga/record.ts"
import type { Untyped } from "../../saga/step.ts"
import { type Effected, Ledger, makeLedger, type StepOfKey, type Truth, truthOf } from "./books.ts"
import { type Behind, type Budget, Choices, type Deviation, type Draw, type Left, type Point } from "./choices.ts"
import { crypto } from "./digest.ts"
import { instrumentLog, type Stage } from "./instrument.ts"
import { type Broken, itEnds, Monitor } from "./monitor.ts"
import { Process, type Running, Simulation } from "./simulation.ts"
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
  readonly budget: Budget
  readonly reference: Truth | undefined
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

const sagasLayer = Layer.fresh(Saga.layer({ sweepEvery: false, lease: leaseMillis })).pipe(
  Layer.provide(Layer.succeedContext(crypto))
)

/** @internal */
export const play = (
  subject: Subject,
  deviations: ReadonlyArray<Deviation | Draw>,
  options: { readonly isTraced: boolean }
): Effect.Effect<Played> => Effect.suspend(() => new Player(subject, deviations, options.isTraced).play)

type Ending = Running<Saga.Execution<unknown, unknown>, unknown>

interface Living {
  readonly process: Process
  readonly context: Context.Context<never>
  readonly scope: Scope.Closeable
  ending: Ending | undefined
  isHeard: boolean
  stopping: Running<void, never> | undefined
}

class Player {
  private readonly subject: Subject
  private readonly simulation = new Simulation()
  private readonly ledger = makeLedger()
  private readonly choices: Choices
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
    this.trace = new Trace(isTraced, this.simulation.now)
    this.world = new Process(this.simulation, "World", 1)
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
      const monitor = new Monitor(log, this.id, this.subject.saga.steps)
      const stage = this.stageOf(log, monitor)
      this.stage = stage
      const setting: Setting = {
        log: instrumentLog(stage, log),
        saga: this.subject.saga as never,
        services,
        stage
      }
      yield* this.untilEnded(setting)
      if (!this.isMerged && monitor.broken === undefined) yield* this.untilAwake(monitor)
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
    const { choices, id, keys, living, subject, trace, world } = this
    return {
      choices,
      monitor,
      trace,
      cancel: Effect.map(Effect.orDie(log.cancel(id)), (run) => {
        trace.note(world, run === undefined ? "cancels a run that is not there" : "cancels the run")
        if (run === undefined) return
        monitor.cancelledAt = run.length
        if (!run.cancelRequested) monitor.breaks("a cancellation is heard", "the log has not kept it")
      }),
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
        sagasLayer.pipe(Layer.provide(Layer.succeed(SagaLog, setting.log))),
        scope
      )
      const living: Living = {
        process,
        scope,
        context: Context.merge(setting.services, built),
        ending: undefined,
        isHeard: false,
        stopping: undefined
      }
      this.living.push(living)
      return living
    })
  }

  /** Until its call has come back, or nothing of it moves any more. */
  private watch(living: Living, limitMillis: number) {
    const { process } = living
    return this.simulation.run(
      () =>
        process.state !== "Running" ||
        (living.stopping === undefined
          ? living.ending?.exit !== undefined
          : living.stopping.exit !== undefined && living.ending?.exit !== undefined),
      limitMillis
    )
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
        if (!(yield* this.watch(living, dayMillis))) return monitor.breaks(itEnds, "it hangs")
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
      Math.floor(this.simulation.age / sameMillis)
    ].join("|")
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
      if (run !== undefined) this.simulation.now = Math.max(this.simulation.now, run.leaseUntil)
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
        if (!(yield* this.watch(living, dayMillis))) return monitor.breaks(itEnds, `${living.process.name} hangs`)
        this.hear(living)
      }
    })
  }

  // --- the end

  private judge({ services, stage: { monitor } }: Setting): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      if (monitor.broken !== undefined) return
      const truth = yield* this.truth(services)
      monitor.ends(this.told, truth, this.subject.reference, this.stepOf)
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
        if (!(yield* this.watch(living, dayMillis))) return monitor.breaks(itEnds, "it hangs after it was resumed")
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
