/**
 * A rule as the engine runs it.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type {
  Facts,
  Failure,
  FailurePolicy,
  FraudContext,
  Mode,
  RuleOptions,
  RuleResult,
  Verdict
} from "../../Fraud.ts"
import type { Measure, Observation } from "../../Velocity.ts"
import type { Counters } from "./observe.ts"

/** @internal A rule that cannot say anything about a payment. It fails, and its policy decides. */
export class CannotJudge {
  readonly failure: Failure
  constructor(failure: Failure) {
    this.failure = failure
  }
}

/** @internal What a rule answers. */
export type Answer = Option.Option<Verdict> | CannotJudge

/** @internal */
export type Judge =
  | { readonly _tag: "Pure"; readonly evaluate: (context: FraudContext, facts: Facts) => Answer }
  | {
    readonly _tag: "Effect"
    readonly timeoutMillis: number
    readonly evaluate: (context: FraudContext) => Effect.Effect<Answer, unknown, any>
  }
  | {
    readonly _tag: "Velocity"
    readonly timeoutMillis: number
    /** None: there is nothing to count, and the rule passes. */
    readonly observe: (context: FraudContext) => Option.Option<Observation> | CannotJudge
    readonly evaluate: (measure: Measure, context: FraudContext) => Answer
  }

/** @internal An option that is out of its bounds. */
export interface Fault {
  readonly rule: string
  readonly option: string
  readonly expected: string
}

/** @internal */
export class Rule {
  readonly name: string
  readonly version: number
  readonly mode: Mode | ((context: FraudContext) => Mode)
  readonly onFailure: FailurePolicy
  readonly judge: Judge
  readonly faults: ReadonlyArray<Fault>
  // Most rules pass most payments: their results are made once.
  readonly passed: RuleResult
  readonly passedInShadow: RuleResult
  readonly off: RuleResult
  readonly counters: Counters = new Map()

  constructor(options: RuleOptions, judge: Judge, faults: ReadonlyArray<Fault> = []) {
    const { mode = "on", name, onFailure = "review", version = 1 } = options
    this.name = name
    this.version = version
    this.mode = mode
    this.onFailure = onFailure
    this.judge = judge
    this.faults = [...nameFaults(name, version), ...faults]
    this.passed = Object.freeze({ _tag: "Passed", rule: name, version, shadow: false })
    this.passedInShadow = Object.freeze({ _tag: "Passed", rule: name, version, shadow: true })
    this.off = Object.freeze({ _tag: "Off", rule: name, version })
  }
}

const nameFaults = (name: string, version: number): ReadonlyArray<Fault> => [
  ...(isName(name)
    ? []
    : [{ rule: name.slice(0, 64), option: "name", expected: nameExpected }]),
  ...(Number.isInteger(version) && version >= 1 && version <= 1_000_000
    ? []
    : [{ rule: name, option: "version", expected: "an integer from 1 to 1000000" }])
]

/** @internal */
export const isName = (name: string): boolean => /^[\x21-\x7e](?:[\x20-\x7e]{0,62}[\x21-\x7e])?$/.test(name)

/** @internal */
export const nameExpected = "1 to 64 printable ASCII characters, no space at either end"

const scoreMax = 1_000

const reasonMax = 255

/** @internal */
export const isScore = (score: number): boolean => Number.isInteger(score) && Math.abs(score) <= scoreMax

/** @internal */
export const scoreExpected = `an integer from -${scoreMax} to ${scoreMax}`

const actions: ReadonlySet<unknown> = new Set(["Block", "Challenge", "Review", "Score", "Allow"])

/** @internal Whether what a user's rule answered is a verdict. */
export const isVerdict = (value: Verdict): boolean =>
  actions.has(value.action) && isScore(value.score) && typeof value.reason === "string" &&
  value.reason.length >= 1 && value.reason.length <= reasonMax

/** @internal Milliseconds of a timeout; NaN for anything that is none. */
export const timeoutMillisOf = (input: Duration.Input | undefined): number => {
  const millis = Duration.toMillis(Option.getOrElse(Duration.fromInput(input ?? 250), () => Duration.zero))
  return millis >= 1 && millis <= 60_000 ? millis : Number.NaN
}

/** @internal */
export const timeoutExpected = "a duration from 1 millisecond to a minute"
