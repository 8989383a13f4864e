/** Processes that are killed and frozen, at random and at the points they are told, while they work. */
import { Clock, Duration, Effect, type Scope } from "effect"
import { type Chance, pick } from "./chance.ts"
import type { Protocol, Signal } from "./wire.ts"
import * as Worker from "./Worker.ts"

/**
 * By how long a process takes to start here: on a slow machine leases that are short would be lost before anything is
 * done, and on a fast one long ones would only be waited for.
 */
export interface Pace {
  readonly leaseMillis: number
  readonly attemptMillis: number
  readonly settleMillis: number
}

export const paceOf = (startMillis: number): Pace => {
  const leaseMillis = Math.round(Math.min(Math.max(startMillis, 500), 4000))
  return { leaseMillis, attemptMillis: Math.round(leaseMillis / 2), settleMillis: 3 * leaseMillis }
}

export interface Options<Job, Call, Answer, Point> {
  readonly protocol: Protocol<Job, Call, Answer, Point>
  readonly program: Worker.Program
  readonly job: Job
  readonly pace: Pace
  readonly chance: Chance
  readonly kills: number
  readonly stops: number
  readonly points: readonly [Point, ...ReadonlyArray<Point>]
  readonly nameOf: (point: Point) => string
  /** A process is struck at the n-th time that it passes its point, n up to this. */
  readonly passesMax: number
  /** Every strike is at a point; otherwise a third of them is at any time. */
  readonly atPointsOnly: boolean
  readonly frozenMillis: () => number
  /** What is done beside each strike. */
  readonly beside: Effect.Effect<void>
  /** The share of the work that is done, from 0: no strike comes before its share. */
  readonly progress: () => number
}

export interface Strikes<Call, Answer, Point> {
  readonly workers: ReadonlyArray<Worker.Worker<Call, Answer, Point>>
  readonly left: Readonly<Record<Signal, number>>
  /** How many processes have ended by SIGKILL, and how often one was frozen and woken. */
  readonly sent: Readonly<Record<Signal, number>>
  /** Where processes were struck. */
  readonly struck: ReadonlyMap<string, number>
  /** Keeps so many processes up, and ends when all signals are sent; the processes go on until the scope closes. */
  readonly run: (processes: number) => Effect.Effect<void, never, Scope.Scope>
}

/** The first process leaves its compiled code behind for the others, and the second is like these. */
export const measure = Effect.fnUntraced(function*<Job, Call extends { readonly id: number }, Answer, Point>(
  protocol: Protocol<Job, Call, Answer, Point>,
  program: Worker.Program,
  job: Job
) {
  let took = 0
  for (let round = 0; round < 2; round++) {
    const begin = yield* Clock.currentTimeMillis
    const worker = yield* Worker.start(protocol, program, job, () => {})
    yield* worker.up
    took = (yield* Clock.currentTimeMillis) - begin
    worker.leave()
    yield* worker.ended
  }
  return paceOf(took)
})

export const make = <Job, Call extends { readonly id: number }, Answer, Point>(
  options: Options<Job, Call, Answer, Point>
): Strikes<Call, Answer, Point> => {
  const { chance, job, kills, program, protocol, stops } = options
  type Process = Worker.Worker<Call, Answer, Point>
  const workers: Array<Process> = []
  const left: Record<Signal, number> = { SIGKILL: kills, SIGSTOP: stops }
  const sent: Record<Signal, number> = { SIGKILL: 0, SIGSTOP: 0 }
  const struck = new Map<string, number>()

  /** It was armed, was struck from here since it took too long, and came to its point when it was woken. */
  const wakeStray = (worker: Process): void => {
    setTimeout(() => worker.kill("SIGCONT"), options.frozenMillis())
  }

  const lane = Effect.fnUntraced(function*(index: number) {
    for (let missed = 0; missed < missedMax;) {
      const worker = yield* Worker.start(protocol, program, job, wakeStray)
      workers[index] = worker
      yield* worker.up
      const end = yield* live(worker)
      if (end === "left") return
      missed = end === "killed" ? 0 : missed + 1
    }
    return yield* Effect.die(new Error(`${missedMax} processes in a row ended by themselves`))
  })

  /** Answers what became of it: `missed` when it had ended by itself, and `left` when there is no more to strike with. */
  const live = Effect.fnUntraced(function*(worker: Process) {
    for (;;) {
      const signal = yield* nextSignal
      if (signal === undefined) return "left" as const
      const where = yield* strike(options, worker, signal)
      yield* options.beside
      if (!(yield* isStruck(worker, signal, options.frozenMillis))) {
        left[signal]++
        return "missed" as const
      }
      sent[signal]++
      struck.set(where, (struck.get(where) ?? 0) + 1)
      if (signal === "SIGKILL") return "killed" as const
    }
  })

  /** Undefined when there are no more. */
  const nextSignal = Effect.gen(function*() {
    const all = left.SIGKILL + left.SIGSTOP
    if (all === 0) return undefined
    const due = 1 - all / (kills + stops)
    const signal: Signal = chance(all) < left.SIGKILL ? "SIGKILL" : "SIGSTOP"
    left[signal]--
    while (options.progress() < due) yield* Effect.sleep("10 millis")
    return signal
  })

  return {
    workers,
    left,
    sent,
    struck,
    run: (processes) =>
      Effect.asVoid(
        Effect.all(Array.from({ length: processes }, (_, index) => lane(index)), { concurrency: "unbounded" })
      )
  }
}

/** Answers where it was. */
const strike = Effect.fnUntraced(function*<Job, Call, Answer, Point>(
  { atPointsOnly, chance, nameOf, pace: { leaseMillis }, passesMax, points }: Options<Job, Call, Answer, Point>,
  worker: Worker.Worker<Call, Answer, Point>,
  signal: Signal
) {
  if (!atPointsOnly && chance(3) === 0) {
    const answered = worker.answered() + 1 + chance(8)
    const until = (yield* Clock.currentTimeMillis) + 2 * leaseMillis
    while (worker.isUp() && worker.answered() < answered && (yield* Clock.currentTimeMillis) < until) {
      yield* Effect.sleep("5 millis")
    }
    yield* Effect.sleep(Duration.millis(chance(50)))
    worker.kill(signal)
    return anyTime
  }
  // Some points are passed seldom: then another one.
  for (let round = 0; round < rounds && worker.isUp(); round++) {
    worker.arm(pick(chance, points), round === 0 ? 1 + chance(passesMax) : 1, signal)
    const point = yield* Effect.timeoutOption(worker.struck, Duration.millis(leaseMillis))
    if (point._tag === "Some") return nameOf(point.value)
  }
  worker.kill(signal)
  return anyTime
})

/** Only what has struck a process counts. One that was frozen is woken. */
const isStruck = Effect.fnUntraced(function*<Call extends { readonly id: number }, Answer, Point>(
  worker: Worker.Worker<Call, Answer, Point>,
  signal: Signal,
  frozenMillis: () => number
) {
  if (signal === "SIGKILL") {
    yield* worker.ended
    return worker.isKilled()
  }
  yield* Effect.sleep(Duration.millis(frozenMillis()))
  return worker.kill("SIGCONT")
})

const anyTime = "any time"
const rounds = 4
/** In a row: while a database is down none may start. */
const missedMax = 100
