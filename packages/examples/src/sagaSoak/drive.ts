/**
 * Three processes run sagas over one log; they are killed and frozen while they do, the database is stopped and started, and
 * connections are cut. The callers are here: a call whose process died is sent again, as clients do, until there is an answer
 * for good; some leave as soon as their saga has begun, and it has to end all the same.
 */
import { NodeSocket, NodeSocketServer } from "@effect/platform-node"
import { Clock, Context, Duration, Effect, Fiber, Layer, Logger } from "effect"
import { SagaLog } from "effect-payments"
import { StoreFaults } from "effect-payments/testing"
import { type GatewaySim, start as startSim } from "../gateway-sim/start.ts"
import { type Chance, chanceOf, pick } from "../soak/chance.ts"
import * as places from "../soak/stores.ts"
import * as strikes from "../soak/strikes.ts"
import type { StoreAt } from "../soak/wire.ts"
import type { Program } from "../soak/Worker.ts"
import { type Drawn, orderOf } from "./orders.ts"
import { type Point, points } from "./points.ts"
import * as Postgres from "./Postgres.ts"
import * as Services from "./Services.ts"
import * as stores from "./stores.ts"
import { type Caller, type Charge, type Evidence, type Kept, verify, type Violation } from "./verify.ts"
import { type Answer, type Broken, type Call, protocol } from "./wire.ts"

export interface Options {
  readonly store: StoreAt["kind"]
  /** Of Redis, or of Postgres where it is not to be stopped; without it a Postgres is started for the purpose. */
  readonly url: string
  readonly program: Program
  readonly seed: number
  readonly workers?: number
  readonly kills: number
  readonly stops: number
  /** Postgres stopped as by a crash, and started again. */
  readonly restarts: number
  /** Connections to the store that are closed, reset or left half-open, as a request or its reply is under way. */
  readonly cuts: number
  /** At least so many; more while there is something to strike. */
  readonly sagas: number
  /** Where processes are struck; without it anywhere and at any time. */
  readonly at?: ReadonlyArray<Point>
  readonly broken?: Broken
  /** For all ends, after the last strike; default two minutes. */
  readonly drainMillis?: number
  readonly progress?: (line: string) => void
}

export interface Report {
  readonly store: StoreAt["kind"]
  readonly seed: number
  readonly kills: number
  readonly stops: number
  readonly restarts: number
  readonly cuts: number
  readonly sagas: number
  readonly calls: number
  /** How the sagas stand in the log. */
  readonly states: Readonly<Record<string, number>>
  /** What the gateway and the services did. */
  readonly acts: Readonly<Record<string, number>>
  /** Where processes were struck. */
  readonly struck: Readonly<Record<string, number>>
  /** What callers were told, calls without an answer as `none`. */
  readonly told: Readonly<Record<string, number>>
  readonly leaseMillis: number
  readonly millis: number
  readonly violations: ReadonlyArray<Violation>
}

const workersDefault = 3
const openMax = 24
const answerWithin = Duration.seconds(30)
const drainMillisDefault = 120_000

interface State {
  readonly options: Options
  readonly pace: strikes.Pace
  readonly chance: Chance
  readonly strikes: strikes.Strikes<Call, Answer, Point>
  readonly drawn: Map<string, Drawn>
  readonly callers: Array<Caller & { readonly answers: Array<Answer | undefined> }>
  readonly done: { restarts: number; cuts: number }
  opened: number
  finished: number
  calls: number
  giveUpAt: number
}

export const drive = Effect.fnUntraced(
  function*(options: Options) {
    const begin = yield* Clock.currentTimeMillis
    const { seed } = options
    const drawn = new Map<string, Drawn>()
    const sim = yield* startSim({ seed, faultRate: 0.03, latencyMillis: 10, operationsMax: 10_000_000 })
    const services = yield* Services.serve((orderId) => drawn.get(orderId)?.services ?? {})
    const server = options.store === "postgres" && options.url === "" ? yield* Postgres.start : undefined
    const direct = yield* places.place(options.store, server?.url ?? options.url)
    const proxy = options.cuts > 0 && options.store !== "sqlite" ? yield* proxyTo(options.store, direct.url) : undefined
    const base = {
      store: proxy === undefined ? direct : { ...direct, url: through(direct.url, proxy.port) },
      gatewayUrl: sim.baseUrl,
      servicesUrl: services.url,
      ...options.broken === undefined ? {} : { broken: options.broken }
    }
    // Three of them and all that they call share the machine: twice as long as one needs alone.
    const alone = yield* strikes.measure(protocol, options.program, { ...base, ...strikes.paceOf(0) })
    const pace = strikes.paceOf(2 * alone.leaseMillis)
    const state = begun(options, base, pace, drawn, sim)
    const struck = yield* Effect.forkChild(
      Effect.all([
        state.strikes.run(options.workers ?? workersDefault),
        restarting(state, server),
        cutting(state, proxy)
      ], {
        concurrency: "unbounded",
        discard: true
      })
    )
    const reporting = yield* Effect.forkChild(reports(state))
    const calls = yield* callAll(state, struck)
    yield* Fiber.join(struck)
    state.giveUpAt = (yield* Clock.currentTimeMillis) + (options.drainMillis ?? drainMillisDefault)
    yield* Effect.forEach(calls, Fiber.join)
    const context = yield* Effect.orDie(Layer.build(stores.layer(direct)))
    const log = Context.get(context, SagaLog.SagaLog)
    yield* operate(state, log)
    yield* Fiber.interrupt(reporting)
    const evidence = yield* gather(state, log, sim, services.acts)
    return reportOf(state, evidence, (yield* Clock.currentTimeMillis) - begin)
  },
  Effect.scoped,
  Effect.provide(Logger.layer([]))
)

const begun = (
  options: Options,
  base: Pick<typeof protocol.job.Type, "store" | "gatewayUrl" | "servicesUrl" | "broken">,
  pace: strikes.Pace,
  drawn: Map<string, Drawn>,
  sim: GatewaySim["Service"]
): State => {
  const chance = chanceOf(options.seed)
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
      kills: options.kills,
      stops: options.stops,
      points: pointsOf(options.at),
      nameOf: (point) => point,
      // Some points are passed by few sagas.
      passesMax: 2,
      atPointsOnly: options.at !== undefined,
      // Past its lease, and not as long as it takes until "never seen" is believed: beyond that no log protects.
      frozenMillis: () => pace.leaseMillis + 100 + chance(pace.leaseMillis / 2),
      // A look-up that does not know, or fails, now and then.
      beside: Effect.suspend(() =>
        chance(4) === 0
          ? Effect.ignore(sim.plan({ plan: pick(chance, ["lookup-pending", "lookup-fault-500", "lookup-hang"]) }))
          : Effect.void
      ),
      progress: () => progressOf(state)
    }),
    drawn,
    callers: [],
    done: { restarts: 0, cuts: 0 },
    opened: 0,
    finished: 0,
    calls: 0,
    giveUpAt: Number.POSITIVE_INFINITY
  }
  return state
}

const pointsOf = (at: ReadonlyArray<Point> = points): readonly [Point, ...ReadonlyArray<Point>] => {
  const [first = "after claim", ...more] = at
  return [first, ...more]
}

const progressOf = ({ finished, options: { sagas } }: State): number => (finished + openMax) / sagas

// --- the store

const proxyTo = (kind: StoreAt["kind"], url: string) => {
  const { hostname, port } = new URL(url)
  return Effect.map(
    Effect.orDie(Layer.build(
      StoreFaults.layer({
        protocol: kind === "redis" ? StoreFaults.redis : StoreFaults.postgres,
        upstream: NodeSocket.makeNet({ host: hostname, port: Number(port) }),
        reset: Effect.map(NodeSocket.NetSocket, (socket) => socket.resetAndDestroy())
      }).pipe(Layer.provide(NodeSocketServer.layer({ host: "127.0.0.1", port: 0 })))
    )),
    (context) => Context.get(context, StoreFaults.StoreFaults)
  )
}

const through = (url: string, port: number): string => {
  const proxied = new URL(url)
  proxied.hostname = "127.0.0.1"
  proxied.port = `${port}`
  return proxied.href
}

/** One after another, spread over the sagas. What has not struck does not count, and is tried again. */
const spread = Effect.fnUntraced(function*(
  state: State,
  kind: "restarts" | "cuts",
  one: Effect.Effect<boolean>
) {
  const count = state.options[kind]
  let missed = 0
  while (state.done[kind] < count) {
    while (progressOf(state) < (state.done[kind] + 0.5) / count) yield* Effect.sleep("10 millis")
    const hasStruck = yield* one
    missed = hasStruck ? 0 : missed + 1
    if (hasStruck) state.done[kind]++
    else if (missed === missedMax) {
      return yield* Effect.die(new Error(`${kind}: nothing to strike, ${missed} times in a row`))
    }
  }
})

const missedMax = 10

const restarting = (state: State, server: Postgres.Postgres | undefined) =>
  server === undefined ? Effect.void : spread(
    state,
    "restarts",
    Effect.gen(function*() {
      yield* server.stop
      yield* Effect.sleep(Duration.millis(state.chance(2 * state.pace.leaseMillis)))
      yield* server.start
      return true
    })
  )

const cuts = ["close", "reset", "halfOpen"] as const

const cutting = (state: State, proxy: StoreFaults.StoreFaults["Service"] | undefined) =>
  proxy === undefined ? Effect.void : spread(
    state,
    "cuts",
    Effect.gen(function*() {
      const { chance, pace: { leaseMillis } } = state
      const cut = pick(chance, cuts)
      const fault = chance(2) === 0 ? StoreFaults.dropReply({ cut }) : StoreFaults.dropRequest({ cut })
      yield* proxy.plan({ nth: 1 + chance(30), fault })
      yield* Effect.timeoutOption(proxy.untilStruck(1), Duration.millis(10 * leaseMillis))
      const hasStruck = (yield* proxy.struck) > 0
      // Nobody hears of it until then.
      if (hasStruck && cut === "halfOpen") yield* Effect.sleep(Duration.millis(chance(3 * leaseMillis)))
      yield* proxy.heal
      return hasStruck
    })
  )

// --- callers

const isStriking = ({ done, options, strikes: { sent } }: State): boolean =>
  sent.SIGKILL + sent.SIGSTOP < options.kills + options.stops ||
  (options.store === "postgres" && done.restarts < options.restarts) ||
  (options.store !== "sqlite" && done.cuts < options.cuts)

/** As many sagas at a time as keep the processes busy, until there are enough of them and the last strike is over. */
const callAll = Effect.fnUntraced(function*(state: State, struck: Fiber.Fiber<unknown>) {
  const fibers: Array<Fiber.Fiber<void>> = []
  // One that has nothing to strike ends by a defect.
  while (state.opened < state.options.sagas || (isStriking(state) && struck.pollUnsafe() === undefined)) {
    if (state.opened - state.finished < openMax) {
      fibers.push(yield* Effect.forkChild(callSaga(state, state.opened++)))
    } else yield* Effect.sleep("5 millis")
  }
  return fibers
})

const callSaga = Effect.fnUntraced(function*(state: State, index: number) {
  const drawn = orderOf(index, chanceOf(state.options.seed ^ Math.imul(index + 1, 0x9e3779b1)))
  state.drawn.set(drawn.order.orderId, drawn)
  yield* Effect.forEach(drawn.callers, ({ afterMillis, does }) => callUntilAnswered(state, drawn, does, afterMillis), {
    concurrency: "unbounded"
  })
  state.finished++
})

const callUntilAnswered = Effect.fnUntraced(function*(
  state: State,
  { mayStick, order }: Drawn,
  first: Call["does"],
  afterMillis: number
) {
  const answers: Array<Answer | undefined> = []
  state.callers.push({ orderId: order.orderId, answers })
  yield* Effect.sleep(Duration.millis(afterMillis))
  let does = first
  while ((yield* Clock.currentTimeMillis) < state.giveUpAt) {
    const answer = yield* ask(state, { does, order })
    if (answer !== "nobody") answers.push(answer)
    if (answer !== "nobody" && answer !== undefined && answer._tag !== "Open") {
      const isStuck = answer._tag === "Ended" && (answer.state === "Parked" || answer.state === "FailedCompensation")
      if (!isStuck || mayStick !== undefined) return
      // As an operator does, once nothing can be under way any more.
      does = "resume"
      yield* quiet(state)
    }
    yield* Effect.sleep(Duration.millis(20 + state.chance(state.pace.leaseMillis / 4)))
  }
})

const quiet = ({ pace: { leaseMillis, settleMillis } }: State) =>
  Effect.sleep(Duration.millis(leaseMillis + settleMillis))

const ask = Effect.fnUntraced(function*(state: State, call: Omit<Call, "id">) {
  const up = state.strikes.workers.filter((worker) => worker.isUp())
  const worker = up[state.chance(up.length)]
  if (worker === undefined) return "nobody" as const
  const asked = yield* Effect.timeoutOption(worker.ask({ ...call, id: state.calls++ }), answerWithin)
  return asked._tag === "Some" ? asked.value : undefined
})

// --- the end

const pageMax = 1000

const all = Effect.fnUntraced(function*(log: SagaLog.SagaLog["Service"], filter: { readonly state?: SagaLog.State }) {
  const found: Array<SagaLog.Run> = []
  let after: string | undefined
  for (;;) {
    const page = yield* Effect.orDie(log.list({ ...filter, limit: pageMax, after }))
    const isRun = (run: SagaLog.ListedRun): run is SagaLog.Run => run.state !== "Unreadable"
    if (!page.every(isRun)) return yield* Effect.die(new Error("a run cannot be read"))
    found.push(...page)
    if (page.length < pageMax) return found
    after = page.at(-1)?.key
  }
})

/** Waits until nothing is under way any more, and goes on with what waits for somebody without need. */
const operate = Effect.fnUntraced(function*(state: State, log: SagaLog.SagaLog["Service"]) {
  while ((yield* Clock.currentTimeMillis) < state.giveUpAt) {
    const pages = yield* Effect.forEach(
      ["Running", "Compensating", "Parked", "FailedCompensation"] as const,
      (state) => all(log, { state })
    )
    const open = pages.flat().filter(({ id, state: at }) =>
      at === "Running" || at === "Compensating" || state.drawn.get(id)?.mayStick === undefined
    )
    if (open.length === 0) return
    const stuck = open.flatMap(({ id, state: at }) => {
      const drawn = state.drawn.get(id)
      return drawn === undefined || at === "Running" || at === "Compensating" ? [] : [drawn]
    })
    if (stuck.length > 0) yield* quiet(state)
    yield* Effect.forEach(stuck, ({ order }) => ask(state, { does: "resume", order }), {
      concurrency: openMax,
      discard: true
    })
    yield* Effect.sleep("250 millis")
  }
})

const gather = Effect.fnUntraced(function*(
  state: State,
  log: SagaLog.SagaLog["Service"],
  sim: GatewaySim["Service"],
  acts: ReadonlyArray<Services.Act>
) {
  const { operations, totals } = yield* sim.ledger
  const runs = yield* Effect.forEach(
    yield* all(log, {}),
    (run) =>
      Effect.map(Effect.orDie(log.read(run)), (history): Kept => ({
        id: run.id,
        saga: run.saga,
        state: run.state,
        entries: history?.entries ?? []
      })),
    { concurrency: 16 }
  )
  const evidence: Evidence = {
    orders: [...state.drawn.values()].map(({ mayStick, order }) => ({ ...order, mayStick })),
    runs,
    charges: operations.flatMap(({ amountMinor, kind, status, transactionId }): ReadonlyArray<Charge> =>
      status === "refused" ? [] : [{ id: transactionId ?? "", kind, amountMinor: Number(amountMinor) }]
    ),
    netMinor: Number(totals["EUR"]?.net ?? 0),
    acts,
    callers: state.callers
  }
  return evidence
})

const countBy = <A>(values: ReadonlyArray<A>, nameOf: (value: A) => string): Record<string, number> =>
  Object.fromEntries(
    [...Map.groupBy(values, nameOf)].map(([name, { length }]) => [name, length] as const).sort()
  )

const nameOf = (answer: Answer | undefined): string => {
  if (answer === undefined) return "none"
  switch (answer._tag) {
    case "Open":
      return answer.reason
    case "Ended":
      return answer.state
    default:
      return answer._tag
  }
}

const reportOf = (
  { callers, calls, done, opened, options, pace, strikes: { sent, struck } }: State,
  evidence: Evidence,
  millis: number
): Report => ({
  store: options.store,
  seed: options.seed,
  kills: sent.SIGKILL,
  stops: sent.SIGSTOP,
  restarts: done.restarts,
  cuts: done.cuts,
  sagas: opened,
  calls,
  states: countBy(evidence.runs, ({ state }) => state),
  acts: {
    ...countBy(evidence.charges, ({ kind }) => kind),
    ...countBy(evidence.acts.filter(({ did }) => did === "Done"), ({ operation }) => operation)
  },
  struck: Object.fromEntries([...struck].sort()),
  told: countBy(callers.flatMap(({ answers }) => answers), nameOf),
  leaseMillis: pace.leaseMillis,
  millis,
  violations: verify(evidence)
})

const reports = (state: State): Effect.Effect<void> =>
  Effect.forever(
    Effect.delay(
      Effect.sync(() => {
        const { done, finished, opened, options, strikes: { sent } } = state
        options.progress?.(
          `${options.store}: ${sent.SIGKILL} of ${options.kills} kills, ${sent.SIGSTOP} of ${options.stops} stops, ` +
            `${done.restarts} restarts, ${done.cuts} cuts, ${finished} of ${opened} sagas answered`
        )
      }),
      "3 seconds"
    )
  )
