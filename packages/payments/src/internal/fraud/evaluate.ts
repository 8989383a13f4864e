/**
 * Runs the rules of a set over one payment. Rules that are functions run in a plain loop; the loop becomes an effect where
 * a rule is one.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { Assessment, Decision, Facts, FraudContext, Mode, RuleResult, Verdict } from "../../Fraud.ts"
import * as Velocity from "../../Velocity.ts"
import { monotonicMillis } from "../stack/clock.ts"
import { guard } from "./guard.ts"
import * as observe from "./observe.ts"
import { type Answer, CannotJudge, isVerdict, type Judge, type Rule } from "./rule.ts"

/** @internal */
export interface Rules {
  readonly name: string
  readonly version: number
  readonly reviewThreshold: number
  readonly budgetMillis: number
  readonly rules: ReadonlyArray<Rule>
  readonly counters: observe.Counters
}

const none: Answer = Option.none()

type AnyFiber = Fiber.Fiber<unknown, unknown>
type VelocityJudge = Judge & { readonly _tag: "Velocity" }

/** @internal */
export const evaluate = (rules: Rules, context: FraudContext): Effect.Effect<Assessment, never, any> =>
  Effect.withFiber((fiber) => {
    const evaluation = new Evaluation(rules, context, fiber)
    const rest = evaluation.run()
    // The answer of the common case needs no effect of its own.
    if (rest === undefined) return evaluation.finish()
    return Effect.onExitPrimitive(Effect.flatMap(rest, () => evaluation.finish()), () => {
      evaluation.close()
      return undefined
    })
  })

class Evaluation {
  private readonly rules: Rules
  private readonly context: FraudContext
  private readonly fiber: AnyFiber
  private readonly facts: Facts
  private readonly results: Array<RuleResult> = []
  private next = 0
  private score = 0
  private needsChallenge = false
  private needsReview = false
  private blockedBy: string | undefined = undefined
  /** The rule that ended the evaluation. */
  private endedBy: string | undefined = undefined
  /** The log lines of the rules that failed. */
  private failures: Effect.Effect<void> | undefined = undefined
  private modes: Map<Rule, Mode | CannotJudge> | undefined = undefined
  private deadline = Number.NaN
  private counting: Fiber.Fiber<ReadonlyArray<Velocity.Measure>, unknown> | undefined = undefined
  private counted: ReadonlyMap<Rule, Option.Option<number> | CannotJudge> | undefined = undefined

  constructor(rules: Rules, context: FraudContext, fiber: AnyFiber) {
    this.rules = rules
    this.context = context
    this.fiber = fiber
    this.facts = { nowMillis: fiber.getRef(Clock.Clock).currentTimeMillisUnsafe() }
  }

  /** Undefined when all rules have run. */
  run(): Effect.Effect<void, never, any> | undefined {
    const { rules } = this.rules
    for (; this.next < rules.length; this.next++) {
      const rule = rules[this.next]
      if (rule === undefined) continue
      if (this.endedBy !== undefined) {
        this.results.push({ _tag: "Skipped", rule: rule.name, version: rule.version, because: this.endedBy })
        continue
      }
      const mode = this.modeOf(rule)
      if (mode === "off") {
        this.results.push(rule.off)
        continue
      }
      const isShadow = mode === "shadow"
      if (mode instanceof CannotJudge) this.note(rule, isShadow, mode)
      else if (rule.judge._tag === "Pure") this.note(rule, isShadow, this.judge(rule.judge))
      else {
        this.next++
        return Effect.flatMap(this.ask(rule, rule.judge), (answer) => {
          this.note(rule, isShadow, answer)
          return this.run() ?? Effect.void
        })
      }
    }
    return undefined
  }

  finish(): Effect.Effect<Assessment> {
    const assessment = this.assess()
    observe.countDecision(this.rules.counters, this.fiber, assessment.ruleSet, assessment.decision)
    return this.failures === undefined ? Effect.succeed(assessment) : Effect.as(this.failures, assessment)
  }

  private assess(): Assessment {
    const { name, reviewThreshold, version } = this.rules
    const decision = this.decide()
    return {
      decision,
      score: this.score,
      ...this.blockedBy === undefined ? {} : { blockedBy: this.blockedBy },
      reviewThreshold,
      ruleSet: name,
      version,
      at: this.facts.nowMillis,
      results: this.results
    }
  }

  close(): void {
    if (this.counting !== undefined && this.counting.pollUnsafe() === undefined) this.counting.interruptUnsafe()
  }

  private decide(): Decision {
    if (this.blockedBy !== undefined) return "Block"
    // A payer who has authenticated for this attempt is not asked again.
    if (this.needsChallenge && this.context.isAuthenticated !== true) return "Challenge"
    return this.needsReview || this.score >= this.rules.reviewThreshold ? "Review" : "Approve"
  }

  // --- one rule

  private modeOf(rule: Rule): Mode | CannotJudge {
    if (typeof rule.mode !== "function") return rule.mode
    // Asked once for each payment: a flag for a share of them may draw lots.
    const modes = this.modes ??= new Map()
    const known = modes.get(rule)
    if (known !== undefined) return known
    const mode = chooseMode(rule.mode, this.context)
    modes.set(rule, mode)
    return mode
  }

  private judge(judge: Judge & { readonly _tag: "Pure" }): Answer {
    try {
      return judge.evaluate(this.context, this.facts)
    } catch {
      return new CannotJudge("Defect")
    }
  }

  private ask(rule: Rule, judge: Exclude<Judge, { readonly _tag: "Pure" }>): Effect.Effect<Answer, never, any> {
    const now = monotonicMillis(this.fiber)
    if (Number.isNaN(this.deadline)) this.deadline = now + this.rules.budgetMillis
    const millis = Math.min(judge.timeoutMillis, this.deadline - now)
    return judge._tag === "Velocity"
      ? this.askVelocity(rule, judge, millis)
      : guard(Effect.suspend(() => judge.evaluate(this.context)), millis)
  }

  private note(rule: Rule, isShadow: boolean, answer: Answer): void {
    // Effect has one `none`, and it is what nearly all rules answer: asked for first, by identity.
    if (answer === none || (Option.isOption(answer) && Option.isNone(answer))) {
      this.results.push(isShadow ? rule.passedInShadow : rule.passed)
      return
    }
    if (answer instanceof CannotJudge) return this.noteFailure(rule, isShadow, answer)
    if (!Option.isOption(answer)) return this.noteFailure(rule, isShadow, new CannotJudge("VerdictInvalid"))
    const verdict = read(answer.value)
    if (verdict === undefined) return this.noteFailure(rule, isShadow, new CannotJudge("VerdictInvalid"))
    observe.countRule(rule.counters, this.fiber, rule.name, isShadow ? "hitInShadow" : "hit")
    this.results.push({ _tag: "Hit", rule: rule.name, version: rule.version, shadow: isShadow, verdict })
    if (!isShadow) this.apply(rule, verdict)
  }

  private noteFailure(rule: Rule, isShadow: boolean, { failure }: CannotJudge): void {
    const policy = rule.onFailure
    const logged = observe.failed(rule.counters, this.fiber, rule.name, failure)
    this.failures = this.failures === undefined ? logged : Effect.andThen(this.failures, logged)
    this.results.push({ _tag: "Failed", rule: rule.name, version: rule.version, shadow: isShadow, failure, policy })
    if (isShadow || policy === "open") return
    if (policy === "review") this.needsReview = true
    else this.block(rule)
  }

  private apply(rule: Rule, { action, score }: Verdict): void {
    this.score += score
    if (action === "Block") this.block(rule)
    else if (action === "Allow") this.endedBy = rule.name
    else if (action === "Challenge") this.needsChallenge = true
    else if (action === "Review") this.needsReview = true
  }

  private block(rule: Rule): void {
    this.blockedBy = rule.name
    this.endedBy = rule.name
  }

  // --- rules that count: all of them in one call, begun by the first

  private askVelocity(rule: Rule, judge: VelocityJudge, millis: number): Effect.Effect<Answer, never, any> {
    this.counted ??= this.count(rule)
    const found = this.counted.get(rule)
    if (found === undefined || found instanceof CannotJudge) {
      return Effect.succeed(found ?? new CannotJudge("Defect"))
    }
    const { counting } = this
    if (found._tag === "None" || counting === undefined) return Effect.succeed(Option.none())
    return guard(
      Effect.map(Fiber.join(counting), (measures): Answer => {
        const measure = measures[found.value]
        return measure === undefined ? new CannotJudge("Error") : judge.evaluate(measure, this.context)
      }),
      millis
    )
  }

  /** What each of the rules from here on counts, as an index into the answers of one call. */
  private count(first: Rule): ReadonlyMap<Rule, Option.Option<number> | CannotJudge> {
    const observations: Array<Velocity.Observation> = []
    const indices = new Map<Rule, Option.Option<number> | CannotJudge>()
    const { rules } = this.rules
    for (const rule of rules.slice(rules.indexOf(first))) {
      if (rule.judge._tag !== "Velocity") continue
      const mode = this.modeOf(rule)
      if (mode === "off" || mode instanceof CannotJudge) continue
      const observation = this.observe(rule.judge)
      indices.set(
        rule,
        observation instanceof CannotJudge
          ? observation
          : Option.map(observation, (observation) => observations.push(observation) - 1)
      )
    }
    // The type of the set asks for the service, so it is there.
    const services = this.fiber.context as Context.Context<Velocity.Velocity>
    if (observations.length > 0) this.counting = Effect.runForkWith(services)(record(observations))
    return indices
  }

  // One observation that is out of bounds must not spoil the call for the others.
  private observe(judge: VelocityJudge): Option.Option<Velocity.Observation> | CannotJudge {
    try {
      const observation = judge.observe(this.context)
      const isInvalid = !(observation instanceof CannotJudge) && Option.isSome(observation) &&
        Result.isFailure(Velocity.check(observation.value))
      return isInvalid ? new CannotJudge("Error") : observation
    } catch {
      return new CannotJudge("Defect")
    }
  }
}

const chooseMode = (choose: (context: FraudContext) => Mode, context: FraudContext): Mode | CannotJudge => {
  try {
    const mode = choose(context)
    return mode === "on" || mode === "off" || mode === "shadow" ? mode : new CannotJudge("FlagInvalid")
  } catch {
    return new CannotJudge("FlagInvalid")
  }
}

// A getter of a user's verdict may throw too.
const read = (value: Verdict): Verdict | undefined => {
  try {
    const { action, reason, score } = value
    const verdict = { action, score, reason }
    return isVerdict(verdict) ? verdict : undefined
  } catch {
    return undefined
  }
}

const callMax = 100

const record = (observations: ReadonlyArray<Velocity.Observation>) =>
  Effect.flatMap(Velocity.Velocity, (velocity) => {
    const calls = Array.from(
      { length: Math.ceil(observations.length / callMax) },
      (_, i) => velocity.record(observations.slice(i * callMax, (i + 1) * callMax))
    )
    return Effect.map(Effect.all(calls, { concurrency: "unbounded" }), (measures) => measures.flat())
  })
