/**
 * A scenario, what has to be true after it, and how it is run.
 *
 * The gateway's ledger is the judge: what it counts since the scenario's purchase began is what the payer paid.
 */
import { Cause, Clock, type Context, Effect } from "effect"
import { GatewaySim, type GatewaySimError } from "../gateway-sim/start.ts"
import type { Ledger } from "../gateway-sim/Wire.ts"

export type Row = Ledger["operations"][number]

/** What was seen, beside what has to be. */
export interface Fact {
  readonly what: string
  readonly expected: unknown
  readonly seen: unknown
}

export const fact = (what: string, expected: unknown, seen: unknown): Fact => ({ what, expected, seen })

export interface Told {
  /** What happened, as it was seen. */
  readonly happened: string
  readonly facts: ReadonlyArray<Fact>
  /** What others have written down of it: lines for the reader. */
  readonly shown?: ReadonlyArray<string>
}

/** `rows` are those of the ledger since the purchase began. */
export interface Scenario<R> {
  readonly name: string
  /** Why it matters, in half a line. */
  readonly why: string
  /** How often the payer may have been charged when it ends, since the purchase began. */
  readonly charges: number
  /** Whether it goes on with the purchase of the one before. */
  readonly continues?: boolean
  readonly run: (rows: Effect.Effect<ReadonlyArray<Row>, GatewaySimError>) => Effect.Effect<Told, unknown, R>
}

type Needs<S> = S extends Scenario<infer R> ? R : never

/** A scenario that has what it needs. */
export const provide = <S extends Scenario<unknown>, R>(
  scenario: S,
  context: Context.Context<R>
): Scenario<Exclude<Needs<S>, R>> => {
  const run = scenario.run as Scenario<Needs<S>>["run"]
  return { ...scenario, run: (rows) => Effect.provideContext(run(rows), context) }
}

export interface Outcome {
  readonly name: string
  readonly ok: boolean
  readonly chargesInLedger: number
  readonly detail: string
  readonly shown: ReadonlyArray<string>
}

const scenarioWithinMillis = 120_000
const allWithinMillis = 240_000

/**
 * Runs the scenarios in order and hands on each outcome as it comes. One that fails, hangs or surprises is not ok and
 * does not keep the next ones from running; those for which no time is left are not ok either.
 */
export const runAll = Effect.fnUntraced(function*<R>(
  scenarios: ReadonlyArray<Scenario<R>>,
  onOutcome: (outcome: Outcome, index: number) => Effect.Effect<void>
) {
  const { ledger } = yield* GatewaySim
  const until = (yield* Clock.currentTimeMillis) + allWithinMillis
  const outcomes: Array<Outcome> = []
  let before = yield* ledger
  for (const [index, scenario] of scenarios.entries()) {
    if (scenario.continues !== true) before = yield* ledger
    const left = Math.min(scenarioWithinMillis, until - (yield* Clock.currentTimeMillis))
    const outcome = yield* runOne(scenario, before, left)
    outcomes.push(outcome)
    yield* onOutcome(outcome, index)
  }
  return outcomes
})

const runOne = Effect.fnUntraced(function*<R>(scenario: Scenario<R>, before: Ledger, withinMillis: number) {
  const { ledger } = yield* GatewaySim
  const rows = Effect.map(ledger, ({ operations }) => operations.slice(before.operations.length))
  const told: Told = yield* scenario.run(rows).pipe(
    Effect.timeoutOrElse({
      duration: Math.max(0, withinMillis),
      orElse: () => Effect.succeed(broken("did not end in time"))
    }),
    Effect.catchCause((cause) => Effect.succeed(broken(Cause.pretty(cause))))
  )
  const chargesInLedger = (yield* ledger).charges - before.charges
  const surprises = [...told.facts, fact("charges in the ledger", scenario.charges, chargesInLedger)].filter(
    ({ expected, seen }) => expected !== seen
  )
  return {
    name: scenario.name,
    ok: surprises.length === 0,
    chargesInLedger,
    shown: told.shown ?? [],
    detail: surprises.length === 0
      ? `${told.happened}: ${scenario.why}`
      : `${told.happened}, but ${
        surprises.map(({ expected, seen, what }) => `${what}: expected ${expected}, saw ${seen}`).join("; ")
      }`
  } satisfies Outcome
})

const broken = (what: string): Told => ({ happened: "it broke off", facts: [fact("end", "an answer", what)] })

export const count = (n: number | undefined, what: string): string => `${n ?? 0} ${what}${n === 1 ? "" : "s"}`

export const sent = (before: Row | undefined, after: Row | undefined): string =>
  before?.requests === after?.requests ? "nothing sent" : "sent again"

/** Asks again until it is so. Each scenario has a limit of its own. */
export const until = <A, E, R>(self: Effect.Effect<A, E, R>, holds: (a: A) => boolean): Effect.Effect<A, E, R> =>
  Effect.flatMap(
    self,
    (a) => holds(a) ? Effect.succeed(a) : Effect.andThen(Effect.sleep("20 millis"), until(self, holds))
  )
