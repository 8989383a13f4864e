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
import * as strikes from "./strikes.ts"
import { type Attempt, type Evidence, type Kept, verify, type Violation } from "./verify.ts"
import { type Answer, type Broken, type Call, Point, protocol, type StoreAt } from "./wire.ts"
import type { Program } from "./Worker.ts"

export interface Options {
  readonly store: StoreAt["kind"]
  /** Of Postgres or Redis. */
  readonly url: string
  readonly program: Program
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

interface State {
  readonly options: Options
  readonly pace: strikes.Pace
  readonly chance: Chance
  readonly strikes: strikes.Strikes<Call, Answer, Point>
  readonly callers: Array<{ readonly key: string; readonly amountMinor: number; readonly attempts: Array<Attempt> }>
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
    const base = {
      store: at,
      gatewayUrl: sim.baseUrl,
      deduplicates,
      ...options.broken === undefined ? {} : { broken: options.broken }
    }
    const pace = yield* strikes.measure(protocol, options.program, { ...base, ...strikes.paceOf(0) })
    const chance = chanceOf(seed)
    const state: State = {
      options,
      pace,
      chance,
      strikes: strikes.make({
        protocol,
        program: options.program,
        job: { ...base, ...pace },
        pace,
        chance,
        kills,
        stops,
        points: pointsOf(options.at),
        nameOf: (point) => point,
        passesMax: 4,
        atPointsOnly: options.at !== undefined,
        frozenMillis: () => frozenMillis(state),
        // A look-up that does not know, or fails, now and then.
        beside: Effect.suspend(() =>
          chance(4) === 0
            ? Effect.ignore(sim.plan({ plan: pick(chance, ["lookup-pending", "lookup-fault-500", "lookup-hang"]) }))
            : Effect.void
        ),
        progress: () => (state.finished + openMax) / options.keys
      }),
      callers: [],
      opened: 0,
      finished: 0,
      calls: 0,
      giveUpAt: Number.POSITIVE_INFINITY
    }
    const struck = yield* Effect.forkChild(state.strikes.run(lanes))
    const reporting = yield* Effect.forkChild(reports(state))
    const calls = yield* callAll(state, struck)
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

const pointsOf = (at: ReadonlyArray<Point> = Point.literals): readonly [Point, ...ReadonlyArray<Point>] => {
  const [first = "claimed", ...more] = at
  return [first, ...more]
}

/** Past its lease always, and without de-duplication often past the time after which "never happened" is believed. */
const frozenMillis = ({ chance, options, pace: { leaseMillis, settleMillis } }: State): number =>
  leaseMillis + (options.deduplicates ? 100 : settleMillis + leaseMillis) + chance(leaseMillis)

// --- callers

/** As many keys at a time as keep the processes busy, until there are enough of them and the last signal was sent. */
const callAll = Effect.fnUntraced(function*(state: State, struck: Fiber.Fiber<unknown>) {
  const { options, strikes: { sent } } = state
  const fibers: Array<Fiber.Fiber<void>> = []
  const signals = options.kills + options.stops
  // One that has nothing to strike ends by a defect.
  const isStriking = () => sent.SIGKILL + sent.SIGSTOP < signals && struck.pollUnsafe() === undefined
  while (state.opened < options.keys || isStriking()) {
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
    const up = state.strikes.workers.filter((worker) => worker.isUp())
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
  { callers, calls, opened, options, pace, strikes: { sent, struck } }: State,
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
        const { finished, opened, options, strikes: { sent } } = state
        options.progress?.(
          `${options.store}: ${sent.SIGKILL} of ${options.kills} kills, ${sent.SIGSTOP} of ${options.stops} stops, ` +
            `${finished} of ${opened} keys answered`
        )
      }),
      "3 seconds"
    )
  )
