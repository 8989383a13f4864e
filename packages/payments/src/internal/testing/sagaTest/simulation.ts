/**
 * Processes over a time of their own, one task after another: a process may die, so that nothing of it happens any more,
 * or freeze, so that it happens when it wakes.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as Random from "effect/Random"
import * as References from "effect/References"
import * as Scheduler from "effect/Scheduler"
import type { Stage } from "./instrument.ts"

/** @internal */
export interface Task {
  readonly process: Process
  readonly run: () => void
}

interface Timer extends Task {
  readonly at: number
}

// The first of January 2026, so that a time is never taken for an amount.
const startMillis = 1_767_225_600_000

const opsBeforeYield = 2048

/** @internal */
export class Process {
  readonly name: string
  readonly simulation: Simulation
  readonly context: Context.Context<never>
  state: "Running" | "Frozen" | "Dead" = "Running"
  /** Tasks that wait until it wakes, in order. */
  readonly held: Array<Task> = []
  /** Where it was frozen, and what it can have known there. */
  frozenAt = ""
  /** Steps at which it knows that someone wants the run undone. */
  readonly heard = new Set<string>()
  /** It looks for a message that does not come. */
  isWaiting = false
  /** Calls into services that have not come back. */
  calls = 0
  /** What happens in the schedule that it is part of; undefined outside of one. */
  stage: Stage | undefined = undefined

  constructor(simulation: Simulation, name: string, seed: number) {
    this.simulation = simulation
    this.name = name
    this.context = Context.make(Scheduler.Scheduler, schedulerOf(this)).pipe(
      Context.add(Clock.Clock, clockOf(this)),
      Context.add(Random.Random, randomOf(seed)),
      Context.add(Logger.CurrentLoggers, new Set()),
      Context.add(References.TracerEnabled, false),
      Context.add(CurrentProcess, this)
    )
  }

  get isRunning(): boolean {
    return this.state === "Running"
  }

  wake(): void {
    if (this.state !== "Frozen") return
    this.state = "Running"
    this.simulation.ready.push(...this.held.splice(0))
  }

  /** Runs in this process; the answer is told when there is one. */
  fork<A, E>(self: Effect.Effect<A, E, never>, context?: Context.Context<never>): Running<A, E> {
    const services = context === undefined ? this.context : Context.merge(context, this.context)
    const fiber = this.simulation.atWork(() => Effect.runForkWith(services)(self))
    return {
      get exit() {
        return fiber.pollUnsafe()
      }
    }
  }
}

/** @internal */
export interface Running<A, E> {
  readonly exit: Exit.Exit<A, E> | undefined
}

/** @internal The process whose fiber this is; undefined outside of a simulation. */
export const CurrentProcess = Context.Reference<Process | undefined>("effect-payments/testing/SagaTest/Process", {
  defaultValue: () => undefined
})

/** @internal */
export class Simulation {
  now = startMillis
  readonly isTraced: boolean
  get age(): number {
    return this.now - startMillis
  }
  ready: Array<Task> = []
  private timers: Array<Timer> = []
  /** Tasks since time has passed. */
  private tasks = 0

  constructor(isTraced: boolean) {
    this.isTraced = isTraced
  }

  /** Errors by the thousand, most of which nobody reads, have no stacks unless they are to be read. */
  atWork<A>(work: () => A): A {
    const { stackTraceLimit } = Error
    if (!this.isTraced) Error.stackTraceLimit = 0
    try {
      return work()
    } finally {
      Error.stackTraceLimit = stackTraceLimit
    }
  }

  schedule(process: Process, run: () => void): void {
    if (process.state !== "Dead") this.ready.push({ process, run })
  }

  sleep(process: Process, millis: number, run: () => void): () => void {
    const timer = { process, run, at: this.now + millis }
    let place = this.timers.length
    while (place > 0 && (this.timers[place - 1]?.at ?? 0) > timer.at) place--
    this.timers.splice(place, 0, timer)
    return () => {
      const index = this.timers.indexOf(timer)
      if (index >= 0) this.timers.splice(index, 1)
    }
  }

  /** Lets go on what can, and time pass until `limit`, as long as `isOver` says no; whether it is over. */
  run(isOver: () => boolean, limitMillis: number): Effect.Effect<boolean> {
    const limit = this.now + limitMillis
    const turn: Effect.Effect<boolean> = Effect.suspend(() => {
      for (let turns = 0;;) {
        this.atWork(() => this.drain(isOver))
        if (isOver()) return Effect.succeed(true)
        // It turns round and round, and never comes to wait.
        if (this.tasks > tasksMax) return Effect.succeed(false)
        // What is not on our clock, a promise, may come back by itself.
        if (this.timers.some(({ process }) => process.isRunning && process.calls > 0) && turns++ < turnsMax) {
          return Effect.andThen(realTurns, this.afterTurns(isOver, limit, turn))
        }
        if (!this.advance(limit)) return Effect.andThen(realTurns, this.afterTurns(isOver, limit, turn))
      }
    })
    return turn
  }

  private afterTurns(isOver: () => boolean, limit: number, again: Effect.Effect<boolean>): Effect.Effect<boolean> {
    return Effect.suspend(() => {
      if (this.ready.length > 0 || this.advance(limit)) return again
      return Effect.succeed(isOver())
    })
  }

  private drain(isOver: () => boolean): void {
    while (this.ready.length > 0 && this.tasks <= tasksMax) {
      const tasks = this.ready
      this.ready = []
      for (let i = 0; i < tasks.length; i++) {
        const task = tasks[i]
        if (task === undefined) continue
        this.tasks++
        if (task.process.state === "Running") task.run()
        else if (task.process.state === "Frozen") task.process.held.push(task)
        if (isOver()) {
          this.ready = [...tasks.slice(i + 1), ...this.ready]
          return
        }
      }
    }
  }

  /** To the next moment at which something happens. */
  private advance(limit: number): boolean {
    const index = this.timers.findIndex(({ process }) => process.state === "Running")
    const timer = this.timers[index]
    if (timer === undefined || timer.at > limit) return false
    this.timers.splice(index, 1)
    this.now = Math.max(this.now, timer.at)
    this.tasks = 0
    this.ready.push(timer)
    return true
  }

  /** What nobody waits for any more. */
  forget(process: Process): void {
    this.timers = this.timers.filter((timer) => timer.process !== process)
    process.held.length = 0
  }
}

const turnsMax = 4

const tasksMax = 100_000

const realTurns = Effect.repeat(Effect.yieldNow, { times: 2 })

const schedulerOf = (process: Process): Scheduler.Scheduler => ({
  executionMode: "async",
  shouldYield: (fiber) => process.state !== "Running" || fiber.currentOpCount >= opsBeforeYield,
  makeDispatcher: () => ({
    scheduleTask: (run) => process.simulation.schedule(process, run),
    flush: () => undefined
  })
})

const clockOf = (process: Process): Clock.Clock => {
  const { simulation } = process
  const millis = () => simulation.now
  const nanos = () => BigInt(simulation.now) * 1_000_000n
  return {
    currentTimeMillisUnsafe: millis,
    currentTimeMillis: Effect.sync(millis),
    currentTimeNanosUnsafe: nanos,
    currentTimeNanos: Effect.sync(nanos),
    monotonicTimeNanosUnsafe: nanos,
    monotonicTimeNanos: Effect.sync(nanos),
    sleep: (duration) => {
      const length = Math.ceil(Duration.toMillis(duration))
      if (length <= 0) return Effect.yieldNow
      if (!Number.isFinite(length)) return Effect.never
      return Effect.callback<void>((resume) => {
        const cancel = simulation.sleep(process, length, () => resume(Effect.void))
        return Effect.sync(cancel)
      })
    }
  }
}

/** A small generator of its own, so that a schedule is the same each time. */
const randomOf = (seed: number): Context.Service.Shape<typeof Random.Random> => {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return {
    nextDoubleUnsafe: next,
    nextIntUnsafe: () => Math.floor((next() - 0.5) * 2 * Number.MAX_SAFE_INTEGER)
  }
}
