/**
 * Four processes charge over one store; they are killed and frozen while they do. The callers are here: a call whose
 * process died is sent again with its key, as clients do, until there is an answer for good.
 */
import { Clock, Duration, Effect, Fiber, Logger, type Scope } from "effect"
import { IdempotencyStore } from "effect-payments"
import { type GatewaySim, start as startSim } from "../gateway-sim/start.ts"
import { type Chance, chanceOf, pick } from "./chance.ts"
import { type Caller, orderOf } from "./orders.ts"
import { scope } from "./scope.ts"
import * as stores from "./stores.ts"
import { type Attempt, type Evidence, type Kept, verify, type Violation } from "./verify.ts"
import { type Answer, type Broken, type Job, Point, type Signal, type StoreAt } from "./wire.ts"
import * as Worker from "./Worker.ts"

export interface Options {
  readonly store: StoreAt["kind"]
  /** Of Postgres or Redis. */
  readonly url: string
  readonly program: Worker.Program
  readonly seed: number
  readonly kills: number
  readonly stops: number
  /** At least so many; more while there are signals to send. */
  readonly keys: number
  readonly deduplicates: boolean
  /** Where processes are struck; without it anywhere and at any time. */
  readonly at?: ReadonlyArray<Point>
  readonly broken?: Broken
  readonly progress?: (line: string) => void
}

export interface Report {
  readonly store: StoreAt["kind"]
  readonly seed: number
  readonly deduplicates: boolean
  readonly kills: number
  readonly stops: number
  readonly keys: number
  readonly callers: number
  readonly calls: number
  readonly charges: number
  readonly double: number
  /** Where processes were struck. */
  readonly struck: Readonly<Record<string, number>>
  readonly records: Readonly<Record<string, number>>
  /** What callers were told, calls without an answer as `none`. */
  readonly told: Readonly<Record<string, number>>
  readonly leaseMillis: number
  readonly millis: number
  readonly violations: ReadonlyArray<Violation>
}

const lanes = 4
const openMin = 8
const openMax = 16
const answerWithin = Duration.seconds(30)
/** After the last signal, for all answers. */
const drainMillis = 60_000

/**
 * By how long a process takes to start here: on a slow machine leases that are short would be lost before anything is
 * done, and on a fast one long ones would only be waited for.
 */
interface Pace {
  readonly leaseMillis: number
  readonly attemptMillis: number
  readonly settleMillis: number
}

const paceOf = (startMillis: number): Pace => {
  const leaseMillis = Math.round(Math.min(Math.max(startMillis, 500), 4000))
  return { leaseMillis, attemptMillis: Math.round(leaseMillis / 2), settleMillis: 3 * leaseMillis }
}

interface State {
  readonly options: Options
  readonly pace: Pace
  readonly chance: Chance
  readonly workers: Array<Worker.Worker>
  readonly callers: Array<{ readonly key: string; readonly amountMinor: number; readonly attempts: Array<Attempt> }>
  readonly left: Record<Signal, number>
  readonly sent: Record<Signal, number>
  readonly struck: Map<string, number>
  opened: number
  finished: number
  calls: number
  giveUpAt: number
}

export const drive = Effect.fnUntraced(
  function*(options: Options) {
    const begin = yield* Clock.currentTimeMillis
    const { deduplicates, kills, seed, stops } = options
    const at = yield* stores.place(options.store, options.url)
    const sim = yield* startSim({ seed, faultRate: 0.08, latencyMillis: 20, dedup: deduplicates ? "on" : "off" })
    const job = {
      store: at,
      gatewayUrl: sim.baseUrl,
      deduplicates,
      ...options.broken === undefined ? {} : { broken: options.broken },
      ...yield* measure(options.program, { store: at, gatewayUrl: sim.baseUrl, deduplicates, ...paceOf(0) })
    }
    const state: State = {
      options,
      pace: job,
      chance: chanceOf(seed),
      workers: [],
      callers: [],
      left: { SIGKILL: kills, SIGSTOP: stops },
      sent: { SIGKILL: 0, SIGSTOP: 0 },
      struck: new Map(),
      opened: 0,
      finished: 0,
      calls: 0,
      giveUpAt: Number.POSITIVE_INFINITY
    }
    const struck = yield* Effect.forkChild(
      Effect.all(Array.from({ length: lanes }, (_, index) => strikes(state, job, index, sim)), { concurrency: lanes })
    )
    const reporting = yield* Effect.forkChild(reports(state))
    const calls = yield* callAll(state)
    yield* Fiber.join(struck)
    state.giveUpAt = (yield* Clock.currentTimeMillis) + drainMillis
    yield* Effect.forEach(calls, Fiber.join)
    yield* Fiber.interrupt(reporting)
    const evidence = { ...yield* gather(at, sim), callers: state.callers }
    return reportOf(state, evidence, (yield* Clock.currentTimeMillis) - begin)
  },
  Effect.scoped,
  Effect.provide(Logger.layer([]))
)

/** The first process leaves its compiled code behind for the others, and the second is like these. */
const measure = Effect.fnUntraced(function*(program: Worker.Program, job: Job) {
  let took = 0
  for (let round = 0; round < 2; round++) {
    const begin = yield* Clock.currentTimeMillis
    const worker = yield* Worker.start(program, job, () => {})
    yield* worker.up
    took = (yield* Clock.currentTimeMillis) - begin
    worker.leave()
    yield* worker.ended
  }
  return paceOf(took)
})

// --- signals

const strikes = Effect.fnUntraced(function*(state: State, job: Job, lane: number, sim: GatewaySim["Service"]) {
  for (;;) {
    const worker = yield* Worker.start(state.options.program, job, (worker) => wakeStray(state, worker))
    state.workers[lane] = worker
    yield* worker.up
    if (!(yield* live(state, worker, sim))) return
  }
})

/** Answers whether it was killed. */
const live = Effect.fnUntraced(function*(state: State, worker: Worker.Worker, sim: GatewaySim["Service"]) {
  for (;;) {
    const signal = yield* nextSignal(state)
    if (signal === undefined) return false
    yield* strike(state, worker, signal)
    // A look-up that does not know, or fails, now and then.
    if (state.chance(4) === 0) {
      yield* Effect.ignore(
        sim.plan({ plan: pick(state.chance, ["lookup-pending", "lookup-fault-500", "lookup-hang"]) })
      )
    }
    if (signal === "SIGKILL") {
      yield* worker.ended
      return true
    }
    yield* Effect.sleep(Duration.millis(frozenMillis(state)))
    worker.kill("SIGCONT")
  }
})

/** Undefined when there are no more. They are spread over the keys: none comes before its share of them has answers. */
const nextSignal = Effect.fnUntraced(function*(state: State) {
  const { chance, left, options: { keys, kills, stops } } = state
  const all = left.SIGKILL + left.SIGSTOP
  if (all === 0) return undefined
  const due = keys * (kills + stops - all) / (kills + stops)
  const signal: Signal = chance(all) < left.SIGKILL ? "SIGKILL" : "SIGSTOP"
  left[signal]--
  while (state.finished < due - openMax) yield* Effect.sleep("10 millis")
  return signal
})

const strike = Effect.fnUntraced(function*(state: State, worker: Worker.Worker, signal: Signal) {
  const { chance, options, pace: { leaseMillis } } = state
  let where: string = "any time"
  const [first, ...more] = options.at ?? []
  if (first === undefined && chance(3) === 0) {
    const answered = worker.answered() + 1 + chance(8)
    const until = (yield* Clock.currentTimeMillis) + 2 * leaseMillis
    while (worker.answered() < answered && (yield* Clock.currentTimeMillis) < until) yield* Effect.sleep("5 millis")
    yield* Effect.sleep(Duration.millis(chance(50)))
    worker.kill(signal)
  } else {
    worker.arm(pick(chance, first === undefined ? Point.literals : [first, ...more]), 1 + chance(4), signal)
    const point = yield* Effect.timeoutOption(worker.struck, Duration.millis(2 * leaseMillis))
    if (point._tag === "Some") where = point.value
    else worker.kill(signal)
  }
  state.sent[signal]++
  state.struck.set(where, (state.struck.get(where) ?? 0) + 1)
})

/** Past its lease always, and without de-duplication often past the time after which "never happened" is believed. */
const frozenMillis = ({ chance, options, pace: { leaseMillis, settleMillis } }: State): number =>
  leaseMillis + (options.deduplicates ? 100 : settleMillis + leaseMillis) + chance(leaseMillis)

/** It was armed, was struck from here since it took too long, and came to its point when it was woken. */
const wakeStray = (state: State, worker: Worker.Worker): void => {
  setTimeout(() => worker.kill("SIGCONT"), frozenMillis(state))
}

// --- callers

/** As many keys at a time as keep the processes busy, until there are enough of them and the last signal was sent. */
const callAll = Effect.fnUntraced(function*(state: State) {
  const { options, sent } = state
  const fibers: Array<Fiber.Fiber<void>> = []
  const signals = options.kills + options.stops
  while (state.opened < options.keys || sent.SIGKILL + sent.SIGSTOP < signals) {
    const open = state.opened - state.finished
    if (open < (state.opened < options.keys ? openMax : openMin)) {
      fibers.push(yield* Effect.forkChild(callKey(state, state.opened++)))
    } else yield* Effect.sleep("5 millis")
  }
  return fibers
})

const callKey = Effect.fnUntraced(function*(state: State, index: number) {
  const { callers, late } = orderOf(index, chanceOf(state.options.seed ^ Math.imul(index + 1, 0x9e3779b1)))
  yield* Effect.forEach(callers, (caller) => callUntilAnswered(state, caller), { concurrency: "unbounded" })
  yield* Effect.forEach(late, (caller) => callUntilAnswered(state, { ...caller, afterMillis: 0 }))
  state.finished++
})

const callUntilAnswered = Effect.fnUntraced(function*(state: State, { afterMillis, ...call }: Caller) {
  const attempts: Array<Attempt> = []
  state.callers.push({ key: call.key, amountMinor: call.amountMinor, attempts })
  yield* Effect.sleep(Duration.millis(afterMillis))
  for (;;) {
    const sentAt = yield* Clock.currentTimeMillis
    if (sentAt > state.giveUpAt) return
    const up = state.workers.filter((worker) => worker.isUp())
    const worker = up[state.chance(up.length)]
    if (worker !== undefined) {
      const asked = yield* Effect.timeoutOption(worker.ask({ ...call, id: state.calls++ }), answerWithin)
      const answer = asked._tag === "Some" ? asked.value : undefined
      attempts.push({ sentAt, endedAt: yield* Clock.currentTimeMillis, answer })
      if (answer !== undefined && answer._tag !== "Open") return
    }
    yield* Effect.sleep(Duration.millis(20 + state.chance(state.pace.leaseMillis / 4)))
  }
})

// --- the end

const gather = Effect.fnUntraced(function*(at: StoreAt, sim: GatewaySim["Service"]) {
  const { operations } = yield* sim.ledger
  const records = yield* Effect.orDie(Effect.provide(allRecords, stores.layer(at)))
  return {
    charges: operations.flatMap(({ amountMinor, status, transactionId }) =>
      status === "refused" ? [] : [{ id: transactionId ?? "", amountMinor: Number(amountMinor) }]
    ),
    records
  }
})

const allRecords = Effect.gen(function*() {
  const store = yield* IdempotencyStore.IdempotencyStore
  const limit = 1000
  const found: Array<Kept> = []
  let after: string | undefined
  for (;;) {
    const page = yield* store.list({ tenant: scope.tenant, limit, after })
    found.push(...page.map(({ key, result, state }) => ({ key, state, result })))
    if (page.length < limit) return found
    after = page.at(-1)?.id
  }
})

const countBy = <A>(values: ReadonlyArray<A>, nameOf: (value: A) => string): Record<string, number> =>
  Object.fromEntries(
    [...Map.groupBy(values, nameOf)].map(([name, { length }]) => [name, length] as const).sort()
  )

const nameOf = (answer: Answer | undefined): string =>
  answer === undefined ? "none" : answer._tag === "Open" ? answer.reason : answer._tag

const reportOf = (
  { callers, calls, opened, options, pace, sent, struck }: State,
  evidence: Evidence,
  millis: number
): Report => {
  const violations = verify(evidence)
  const answers = callers.flatMap(({ attempts }) => attempts.map(({ answer }) => answer))
  return {
    store: options.store,
    seed: options.seed,
    deduplicates: options.deduplicates,
    kills: sent.SIGKILL,
    stops: sent.SIGSTOP,
    keys: opened,
    callers: callers.length,
    calls,
    charges: evidence.charges.length,
    double: violations.filter(({ _tag }) => _tag === "DoubleCharge").length,
    struck: Object.fromEntries([...struck].sort()),
    records: countBy(evidence.records, ({ state }) => state),
    told: countBy(answers, nameOf),
    leaseMillis: pace.leaseMillis,
    millis,
    violations
  }
}

const reports = (state: State): Effect.Effect<void, never, Scope.Scope> =>
  Effect.forever(
    Effect.delay(
      Effect.sync(() => {
        const { finished, opened, options, sent } = state
        options.progress?.(
          `${options.store}: ${sent.SIGKILL} of ${options.kills} kills, ${sent.SIGSTOP} of ${options.stops} stops, ` +
            `${finished} of ${opened} keys answered`
        )
      }),
      "3 seconds"
    )
  )
