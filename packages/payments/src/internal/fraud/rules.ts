/**
 * The rules that are built in.
 *
 * @internal
 */
import * as Option from "effect/Option"
import type {
  AvsCvvOptions,
  CountryMismatchOptions,
  FraudContext,
  HighAmountOptions,
  ListOptions,
  Response,
  RuleOptions,
  VelocityOptions,
  Verdict
} from "../../Fraud.ts"
import * as Money from "../../Money.ts"
import type { Measure, Observation } from "../../Velocity.ts"
import * as Velocity from "../../Velocity.ts"
import * as lists from "./lists.ts"
import {
  type Answer,
  CannotJudge,
  type Fault,
  isScore,
  Rule,
  scoreExpected,
  timeoutExpected,
  timeoutMillisOf
} from "./rule.ts"

const hit = ({ action, score }: Response, reason: string): Option.Option<Verdict> =>
  Option.some({ action, score, reason })

const scoreFaults = (rule: string, responses: ReadonlyArray<Response>): ReadonlyArray<Fault> =>
  responses.every(({ score }) => isScore(score)) ? [] : [{ rule, option: "score", expected: scoreExpected }]

/** @internal */
export const list = (options: ListOptions & RuleOptions, response: Response, kind: string): Rule => {
  const { faults, find } = lists.compile(options.name, options)
  const evaluate = (context: FraudContext, nowMillis: number): Answer => {
    const found = find(context, nowMillis)
    if (found instanceof CannotJudge) return found
    return found === undefined ? Option.none() : hit(response, `the ${found} is on the ${kind}`)
  }
  return new Rule(
    options,
    { _tag: "Pure", evaluate: (context, { nowMillis }) => evaluate(context, nowMillis) },
    [...faults, ...scoreFaults(options.name, [response])]
  )
}

// --- AVS and CVV

const severity = { Allow: 0, Score: 1, Review: 2, Challenge: 3, Block: 4 } as const

/** @internal */
export const avsCvv = (options: AvsCvvOptions & RuleOptions): Rule => {
  const { avsMismatch = block, avsPartial = { action: "Score", score: 25 }, cvvMismatch = block } = options
  const evaluate = ({ avs, cvv }: FraudContext): Answer => {
    const parts = avs === undefined ? 0 : Number(avs.street === "mismatch") + Number(avs.postal === "mismatch")
    const byCvv = cvv === "mismatch" ? respond(cvvMismatch, "the security code does not match") : undefined
    const byAvs = parts === 2
      ? respond(avsMismatch, "the address does not match")
      : parts === 1
      ? respond(avsPartial, "a part of the address does not match")
      : undefined
    return both(byCvv, byAvs)
  }
  const responses = [avsMismatch, avsPartial, cvvMismatch].flatMap((x) => x === "ignore" ? [] : [x])
  return new Rule(options, { _tag: "Pure", evaluate }, scoreFaults(options.name, responses))
}

const block: Response = { action: "Block", score: 100 }

const respond = (response: Response | "ignore", reason: string): Verdict | undefined =>
  response === "ignore" ? undefined : { ...response, reason }

/** The more severe action, both scores. */
const both = (one: Verdict | undefined, other: Verdict | undefined): Option.Option<Verdict> => {
  if (one === undefined || other === undefined) return Option.fromUndefinedOr(one ?? other)
  const { action } = severity[one.action] >= severity[other.action] ? one : other
  return Option.some({ action, score: one.score + other.score, reason: `${one.reason}; ${other.reason}` })
}

// --- country and amount

/** @internal */
export const countryMismatch = (options: CountryMismatchOptions & RuleOptions, response: Response): Rule => {
  const evaluate = ({ billingCountry, cardCountry }: FraudContext): Answer =>
    cardCountry === undefined || billingCountry === undefined ||
      cardCountry.toUpperCase() === billingCountry.toUpperCase()
      ? Option.none()
      : hit(response, "the card and the billing address are of different countries")
  return new Rule(options, { _tag: "Pure", evaluate }, scoreFaults(options.name, [response]))
}

/** @internal */
export const highAmount = (options: HighAmountOptions & RuleOptions, response: Response): Rule => {
  const thresholds = byCurrency(options.thresholds)
  const evaluate = ({ money }: FraudContext): Answer => {
    const threshold = thresholds.get(money.currency)
    if (threshold === undefined) return new CannotJudge("CurrencyUnknown")
    return isAbove(money, threshold) ? hit(response, `above ${Money.format(threshold)}`) : Option.none()
  }
  return new Rule(options, { _tag: "Pure", evaluate }, [
    ...moneyFaults(options.name, "thresholds", options.thresholds),
    ...scoreFaults(options.name, [response])
  ])
}

const byCurrency = (monies: ReadonlyArray<Money.Money>): ReadonlyMap<Money.Currency, Money.Money> =>
  new Map(monies.map((money) => [money.currency, money]))

// Both are of one currency here.
const isAbove = (money: Money.Money, limit: Money.Money): boolean =>
  Money.compare(money as Money.Money<"USD">, limit as Money.Money<"USD">) > 0

const moneyFaults = (rule: string, option: string, monies: ReadonlyArray<Money.Money>): ReadonlyArray<Fault> =>
  monies.length > 0 && byCurrency(monies).size === monies.length && !monies.some(Money.isNegative)
    ? []
    : [{ rule, option, expected: "at least one amount, at most one for each currency, none negative" }]

// --- velocity

/** @internal */
export const velocity = (options: VelocityOptions & RuleOptions, response: Response): Rule => {
  const { key, window = "1 hour" } = options
  const eventsMax = eventsMaxOf(options)
  const counted = countedBy(options, eventsMax)
  const series = seriesOf(options.name)
  const timeoutMillis = timeoutMillisOf(options.timeout)
  const observe = (context: FraudContext): Option.Option<Observation> | CannotJudge => {
    const whose = key(context)
    if (whose === undefined) return Option.none()
    const part = counted.observe(context)
    return part === undefined || part instanceof CannotJudge
      ? part ?? Option.none()
      : Option.some({ series, key: whose, window, attempt: context.attempt, eventsMax, ...part })
  }
  const evaluate = (measure: Measure, context: FraudContext): Answer => {
    const reason = measure.isLowerBound ? `more than ${eventsMax} attempts` : counted.exceeded(measure, context)
    return reason === undefined ? Option.none() : hit(response, `${reason} in the window of ${options.name}`)
  }
  return new Rule(options, { _tag: "Velocity", timeoutMillis, observe, evaluate }, [
    ...counted.faults,
    ...(Number.isNaN(timeoutMillis) ? [{ rule: options.name, option: "timeout", expected: timeoutExpected }] : []),
    ...storeFaults(options.name, { window, eventsMax }),
    ...scoreFaults(options.name, [response])
  ])
}

/** The name, and never what {@link sumSeriesOf} makes of another name. */
const seriesOf = (name: string): string => / [A-Z]{3}!*$/.test(name) ? `${name}!` : name

const sumSeriesOf = (name: string, currency: Money.Currency): string => `${name} ${currency}`

/** What differs between counting attempts, money and values. */
interface Counted {
  readonly observe: (context: FraudContext) => Partial<Observation> | CannotJudge | undefined
  readonly exceeded: (measure: Measure, context: FraudContext) => string | undefined
  readonly faults: ReadonlyArray<Fault>
}

const nothing: Partial<Observation> = {}

/** As many as it takes to see the limit passed, and a hundred to see by how far. */
const eventsMaxOf = (options: VelocityOptions): number => {
  const { eventsMax, maxCount, maxDistinct } = options
  return eventsMax ?? Math.max(100, (maxDistinct ?? maxCount ?? 0) + 1)
}

const countedBy = (options: VelocityOptions & RuleOptions, eventsMax: number): Counted => {
  if (options.maxSum !== undefined) return bySum(options.name, options.maxSum)
  if (options.maxDistinct !== undefined) {
    const { maxDistinct, of } = options
    return {
      observe: (context) => {
        const value = of(context)
        return value === undefined ? undefined : { value }
      },
      exceeded: ({ distinct }) => distinct > maxDistinct ? `${distinct} different values` : undefined,
      faults: countFaults(options.name, "maxDistinct", maxDistinct, eventsMax)
    }
  }
  const { maxCount = 5 } = options
  return {
    observe: () => nothing,
    exceeded: ({ count }) => count > maxCount ? `${count} attempts` : undefined,
    faults: countFaults(options.name, "maxCount", maxCount, eventsMax)
  }
}

const bySum = (rule: string, maxSum: ReadonlyArray<Money.Money>): Counted => {
  const limits = byCurrency(maxSum)
  const minor = (money: Money.Money) => Money.toMinorUnits(money)
  return {
    observe: ({ money }) => {
      const amount = minor(money)
      if (!limits.has(money.currency)) return new CannotJudge("CurrencyUnknown")
      return amount._tag === "Failure"
        ? new CannotJudge("Error")
        : { amount: amount.success, series: sumSeriesOf(rule, money.currency) }
    },
    exceeded: ({ sum }, { money }) => {
      const limit = limits.get(money.currency)
      const most = limit === undefined ? undefined : minor(limit)
      return limit !== undefined && most?._tag === "Success" && sum > most.success
        ? `more than ${Money.format(limit)}`
        : undefined
    },
    faults: moneyFaults(rule, "maxSum", maxSum)
  }
}

const countFaults = (rule: string, option: string, max: number, eventsMax: number): ReadonlyArray<Fault> =>
  Number.isInteger(max) && max >= 0 && max < eventsMax
    ? []
    : [{ rule, option, expected: `an integer from 0 to below eventsMax (${eventsMax})` }]

const storeFaults = (rule: string, part: Pick<Observation, "window" | "eventsMax">): ReadonlyArray<Fault> => {
  const checked = Velocity.check({ series: "s", key: "k", attempt: "a", ...part })
  if (checked._tag === "Success") return []
  const { reason } = checked.failure
  return reason._tag === "ObservationInvalid" ? [{ rule, option: reason.field, expected: reason.expected }] : []
}
