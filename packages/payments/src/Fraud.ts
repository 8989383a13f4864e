/**
 * Rules that look at a payment before any gateway is asked, and what comes of them: approve, review, challenge or block.
 *
 * A rule is a function from a payment to a verdict or none; one that has to ask somebody is an effect. `evaluate` runs
 * them in order and stops at the first block, or at the first that allows. It records what every rule answered, with
 * reason, score and version, so that a decision can be explained to an auditor and tried again on old payments.
 * `screen` puts it in front of a call.
 *
 * It prevents that a payment which is known to be bad reaches the gateway, and that a rule which fails decides in silence:
 * a rule that throws, fails, hangs or answers nonsense never changes what another one says, and its own policy says what
 * becomes of the payment. It does not know what fraud is: the rules are yours, and so are the thresholds.
 *
 * | option | default | bounds |
 * |---|---|---|
 * | `reviewThreshold` of a set | 50: from that score on a payment is reviewed | 1 to 1,000,000 |
 * | `budget` of a set, for all rules that ask somebody | 1 second | 1 ms to a minute |
 * | rules of a set | | 1000 |
 * | `version` of a set, of a rule | 1 | 1 to 1,000,000 |
 * | `mode` of a rule | `on` | |
 * | `onFailure` of a rule | `review` | |
 * | `timeout` of a rule that asks somebody | 250 ms | 1 ms to a minute |
 * | score of a verdict | 100 for `Block`, 30 for `Challenge`, else 0 | -1000 to 1000 |
 * | entries of a list | | 1,000,000 |
 *
 * Counted: `effect_payments_fraud_decisions_total` by rule set and decision, `effect_payments_fraud_rules_total` by rule for what hit or
 * failed.
 *
 * Read `Sca` next, for when the law lets a payment go without a challenge.
 *
 * @since 0.1.0
 */
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Types from "effect/Types"
import * as Card from "./Card.ts"
import * as engine from "./internal/fraud/evaluate.ts"
import { isName, nameExpected, Rule as RuleImpl, timeoutExpected, timeoutMillisOf } from "./internal/fraud/rule.ts"
import * as rules from "./internal/fraud/rules.ts"
import * as screens from "./internal/fraud/screen.ts"
import * as Money from "./Money.ts"
import type { Challenge as PaymentChallenge, PaymentError } from "./PaymentError.ts"
import { AvsResult, CvvResult, type Transaction } from "./PaymentGateway.ts"
import type { Velocity } from "./Velocity.ts"

// --- the payment

const Text = Schema.String.check(Schema.isBetweenLength(1, 255))
const Country = Schema.String.check(
  Schema.isPattern(/^[A-Za-z]{2}$/, { expected: "a country code of ISO 3166-1 alpha-2" })
)

/**
 * What rules look at. Only `attempt` and `money` have to be known; a rule that finds nothing to look at passes.
 *
 * | field | |
 * |---|---|
 * | `attempt` | what velocity counts by: the same for a retry, another one for another payment or another card. The idempotency key will do, the id of an order that may be paid with card after card will not |
 * | `money` | what is to be paid |
 * | `userId`, `email`, `ip`, `deviceFingerprint` | who pays, from where and with what |
 * | `cardToken`, `cardCountry`, `billingCountry` | the card and where it and its holder are from, as ISO 3166-1 alpha-2 |
 * | `avs`, `cvv` | what the gateway found; see {@link withChecks} |
 * | `isNewUser` | whether this is a first payment |
 * | `isAuthenticated` | the payer has passed a challenge for this attempt: it is not asked for again |
 * | `riskSignals` | anything else, for rules of one's own |
 *
 * @category models
 * @since 0.1.0
 */
export const FraudContext = Schema.Struct({
  attempt: Text,
  money: Money.Money,
  userId: Schema.optional(Text),
  email: Schema.optional(Schema.String.check(Schema.isBetweenLength(1, 320))),
  ip: Schema.optional(Schema.String.check(Schema.isBetweenLength(1, 64))),
  cardToken: Schema.optional(Card.CardToken),
  cardCountry: Schema.optional(Country),
  billingCountry: Schema.optional(Country),
  avs: Schema.optional(AvsResult),
  cvv: Schema.optional(CvvResult),
  deviceFingerprint: Schema.optional(Text),
  isNewUser: Schema.optional(Schema.Boolean),
  isAuthenticated: Schema.optional(Schema.Boolean),
  riskSignals: Schema.optional(
    Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Finite, Schema.Boolean]))
  )
})

/**
 * See {@link FraudContext}.
 *
 * @category models
 * @since 0.1.0
 */
export type FraudContext = typeof FraudContext.Type

/**
 * The context with what the gateway found out about address and security code, for the rules that run after an
 * authorization. What they block then has to be voided.
 *
 * @category models
 * @since 0.1.0
 */
export const withChecks = (context: FraudContext, transaction: Transaction): FraudContext => ({
  ...context,
  ...transaction.avs === undefined ? {} : { avs: transaction.avs },
  ...transaction.cvv === undefined ? {} : { cvv: transaction.cvv }
})

// --- verdicts

/**
 * What a rule wants done.
 *
 * - `Block`: the payment is refused, and no further rule runs.
 * - `Challenge`: the payer has to authenticate (3-D Secure).
 * - `Review`: the payment passes, and somebody looks at it.
 * - `Score`: nothing by itself; the score adds up.
 * - `Allow`: no further rule runs. What rules before it said stands.
 *
 * @category models
 * @since 0.1.0
 */
export const Action = Schema.Literals(["Block", "Challenge", "Review", "Score", "Allow"])

/**
 * See {@link Action}.
 *
 * @category models
 * @since 0.1.0
 */
export type Action = typeof Action.Type

/**
 * What a rule says about a payment: the action, what it adds to the score, and why. The reason is for the merchant; it is
 * kept with the decision, so it holds no card number and no more about the payer than has to be kept.
 *
 * @category models
 * @since 0.1.0
 */
export const Verdict = Schema.Struct({
  action: Action,
  score: Schema.Int.check(Schema.isBetween({ minimum: -1000, maximum: 1000 })),
  reason: Text
})

/**
 * See {@link Verdict}.
 *
 * @category models
 * @since 0.1.0
 */
export type Verdict = typeof Verdict.Type

/**
 * Makes a verdict, with the default score of its action (100 for `Block`, 30 for `Challenge`, else 0).
 *
 * **Example**
 *
 * ```ts
 * import { Fraud } from "effect-payments"
 *
 * Fraud.verdict("Score", "first order at night", 20) // => { action: "Score", score: 20, reason: "first order at night" }
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const verdict = (action: Action, reason: string, score?: number): Verdict => ({
  action,
  score: score ?? defaultScore[action],
  reason
})

const defaultScore: { readonly [A in Action]: number } = { Block: 100, Challenge: 30, Review: 0, Score: 0, Allow: 0 }

/**
 * What to do with a payment.
 *
 * @category models
 * @since 0.1.0
 */
export const Decision = Schema.Literals(["Approve", "Review", "Challenge", "Block"])

/**
 * See {@link Decision}.
 *
 * @category models
 * @since 0.1.0
 */
export type Decision = typeof Decision.Type

/**
 * How a rule failed.
 *
 * - `Defect`: it threw or died.
 * - `Error`: it failed with an error, or what it counts could not be counted.
 * - `Interrupted`: it interrupted itself.
 * - `Timeout`: it did not answer in time, or there was no time left for it.
 * - `VerdictInvalid`: what it answered is no verdict.
 * - `FlagInvalid`: its mode could not be told.
 * - `CurrencyUnknown`: it has no figure for the currency of the payment.
 * - `AddressInvalid`: its list names IP addresses, and that of the payment cannot be read.
 *
 * @category models
 * @since 0.1.0
 */
export const Failure = Schema.Literals([
  "Defect",
  "Error",
  "Interrupted",
  "Timeout",
  "VerdictInvalid",
  "FlagInvalid",
  "CurrencyUnknown",
  "AddressInvalid"
])

/**
 * See {@link Failure}.
 *
 * @category models
 * @since 0.1.0
 */
export type Failure = typeof Failure.Type

/**
 * What becomes of a payment when a rule fails.
 *
 * - `open`: as if the rule had passed it.
 * - `closed`: it is blocked.
 * - `review`: it passes and is reviewed. The default: sales go on and nothing goes by unseen.
 *
 * @category models
 * @since 0.1.0
 */
export const FailurePolicy = Schema.Literals(["open", "closed", "review"])

/**
 * See {@link FailurePolicy}.
 *
 * @category models
 * @since 0.1.0
 */
export type FailurePolicy = typeof FailurePolicy.Type

const about = { rule: Schema.String, version: Schema.Int }

/**
 * What became of one rule: it hit, it passed, it failed, it was skipped because another one had ended the evaluation, or
 * it was off. In `shadow` it had no effect.
 *
 * @category models
 * @since 0.1.0
 */
export const RuleResult = Schema.Union([
  Schema.TaggedStruct("Hit", { ...about, shadow: Schema.Boolean, verdict: Verdict }),
  Schema.TaggedStruct("Passed", { ...about, shadow: Schema.Boolean }),
  Schema.TaggedStruct("Failed", { ...about, shadow: Schema.Boolean, failure: Failure, policy: FailurePolicy }),
  Schema.TaggedStruct("Skipped", { ...about, because: Schema.String }),
  Schema.TaggedStruct("Off", about)
])

/**
 * See {@link RuleResult}.
 *
 * @category models
 * @since 0.1.0
 */
export type RuleResult = typeof RuleResult.Type

/**
 * The decision and all that led to it: one result for each rule of the set, in order. `at` is the time of the decision in
 * milliseconds since 1970, `blockedBy` the rule that blocked.
 *
 * **When to use**
 *
 * Keep it with the payment. It is plain data; encode it with this schema.
 *
 * @category models
 * @since 0.1.0
 */
export const Assessment = Schema.Struct({
  decision: Decision,
  score: Schema.Int,
  blockedBy: Schema.optionalKey(Schema.String),
  reviewThreshold: Schema.Int,
  ruleSet: Schema.String,
  version: Schema.Int,
  at: Schema.Int,
  results: Schema.Array(RuleResult)
})

/**
 * See {@link Assessment}.
 *
 * @category models
 * @since 0.1.0
 */
export type Assessment = typeof Assessment.Type

/**
 * Why it was decided so: the reasons of the rules that hit, and those that failed, shadows apart.
 *
 * @category accessors
 * @since 0.1.0
 */
export const reasons = ({ results }: Assessment): ReadonlyArray<string> =>
  results.flatMap((result) =>
    result._tag === "Hit" && !result.shadow
      ? [`${result.rule}: ${result.verdict.reason}`]
      : result._tag === "Failed" && !result.shadow
      ? [`${result.rule}: failed (${result.failure}), ${result.policy}`]
      : []
  )

// --- rules

/**
 * Whether a rule counts. In `shadow` it runs and is recorded, and has no effect.
 *
 * @category models
 * @since 0.1.0
 */
export type Mode = "on" | "off" | "shadow"

/**
 * What every rule may be given.
 *
 * - `name`: 1 to 64 printable ASCII characters, once in a set. Names a counter too: keep it.
 * - `version`: raise it when the rule changes; it is recorded with each result.
 * - `mode`: a mode, or a flag that is asked for each payment (for a share of them, or from a service of flags).
 * - `onFailure`: see {@link FailurePolicy}.
 *
 * @category models
 * @since 0.1.0
 */
export interface RuleOptions {
  readonly name: string
  readonly version?: number | undefined
  readonly mode?: Mode | ((context: FraudContext) => Mode) | undefined
  readonly onFailure?: FailurePolicy | undefined
}

/**
 * What a rule is told besides the payment.
 *
 * @category models
 * @since 0.1.0
 */
export interface Facts {
  /** The time of the evaluation, in milliseconds since 1970. */
  readonly nowMillis: number
}

/**
 * A rule. `R` is what it needs.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rule<out R = never> {
  readonly "~effect-payments/Fraud/Rule": Types.Covariant<R>
  readonly name: string
  readonly version: number
}

// The type parameter stands for what is inside.
const seal = <R = never>(rule: RuleImpl): Rule<R> => rule as unknown as Rule<R>

/**
 * A rule that is a function. It answers with a verdict, or none.
 *
 * **Example**
 *
 * ```ts
 * import { Option } from "effect"
 * import { Fraud } from "effect-payments"
 *
 * const firstOrder = Fraud.rule({
 *   name: "first_order",
 *   mode: "shadow",
 *   evaluate: (context) =>
 *     context.isNewUser === true ? Option.some(Fraud.verdict("Score", "a first order", 15)) : Option.none()
 * })
 *
 * firstOrder.name // => "first_order"
 * ```
 *
 * @category rules
 * @since 0.1.0
 */
export const rule = (
  options: RuleOptions & { readonly evaluate: (context: FraudContext, facts: Facts) => Option.Option<Verdict> }
): Rule => seal(new RuleImpl(options, { _tag: "Pure", evaluate: options.evaluate }))

/**
 * A rule that has to ask somebody: a service for scores, a table of chargebacks.
 *
 * **Details**
 *
 * It runs in a fiber of its own. After `timeout`, or when the budget of the set is used up, it is interrupted, not waited
 * for, and has failed; so has one that fails, dies or interrupts itself. Rules run one after the other.
 *
 * **Example**
 *
 * ```ts
 * import { Effect, Option } from "effect"
 * import { Fraud, Money } from "effect-payments"
 *
 * const scored = Fraud.ruleEffect({
 *   name: "score_service",
 *   onFailure: "open",
 *   timeout: "100 millis",
 *   evaluate: () => Effect.succeed(Option.some(Fraud.verdict("Score", "by the service", 35)))
 * })
 *
 * const rules = Fraud.makeUnsafe({ rules: [scored], reviewThreshold: 30 })
 * const payment = { attempt: "p_1", money: Money.makeUnsafe("EUR", "10.00") }
 *
 * const { decision, score } = await Effect.runPromise(Fraud.evaluate(rules, payment))
 * decision // => "Review"
 * score // => 35
 * ```
 *
 * @category rules
 * @since 0.1.0
 */
export const ruleEffect = <E, R>(
  options: RuleOptions & {
    readonly timeout?: Duration.Input | undefined
    readonly evaluate: (context: FraudContext) => Effect.Effect<Option.Option<Verdict>, E, R>
  }
): Rule<R> => {
  const timeoutMillis = timeoutMillisOf(options.timeout)
  return seal(
    new RuleImpl(
      options,
      { _tag: "Effect", timeoutMillis, evaluate: options.evaluate },
      Number.isNaN(timeoutMillis) ? [{ rule: options.name, option: "timeout", expected: timeoutExpected }] : []
    )
  )
}

/**
 * What a built-in rule answers with, where it can be chosen.
 *
 * @category models
 * @since 0.1.0
 */
export interface Response {
  readonly action: Action
  readonly score: number
}

type BuiltIn = Partial<RuleOptions>
type Answering = BuiltIn & { readonly action?: Action | undefined; readonly score?: number | undefined }

const responseOf = ({ action, score }: Answering, otherwise: Action): Response => ({
  action: action ?? otherwise,
  score: score ?? defaultScore[action ?? otherwise]
})

/**
 * An entry of a list, by itself or with the time from when on it does not count any more. `note` is for those who keep the
 * list.
 *
 * @category models
 * @since 0.1.0
 */
export type ListEntry = string | {
  readonly value: string
  readonly expiresAt?: DateTime.Utc | undefined
  readonly note?: string | undefined
}

/**
 * What a list names.
 *
 * - `emails`: an address, or `@domain` for all of it. Compared in lower case, as Unicode NFKC.
 * - `ips`: an IPv4 or IPv6 address, or a network in CIDR notation. Compared as numbers, however they are written. `ip` of a
 *   payment may have a port (`203.0.113.7:443`, `[2001:db8::7]:443`) or a zone. One that cannot be read makes the rule fail
 *   (`AddressInvalid`), and its `onFailure` decides; so does a list such as that of `X-Forwarded-For`, of which only you
 *   know whose entry counts. That goes for an `allowlist` too.
 * - `tokens`: card tokens; `userIds`; `devices`: fingerprints. Compared as they are.
 *
 * @category models
 * @since 0.1.0
 */
export interface Lists {
  readonly emails?: Iterable<ListEntry> | undefined
  readonly ips?: Iterable<ListEntry> | undefined
  readonly tokens?: Iterable<ListEntry> | undefined
  readonly userIds?: Iterable<ListEntry> | undefined
  readonly devices?: Iterable<ListEntry> | undefined
}

/**
 * Options of {@link blocklist} and {@link allowlist}.
 *
 * @category models
 * @since 0.1.0
 */
export type ListOptions = Lists & Answering

/**
 * Blocks who is on a list. Entries are read once, when the rule is made.
 *
 * **Details**
 *
 * Named `blocklist`, action `Block`, score 100 unless said otherwise. The reason says which kind of entry was found, and not
 * what it is.
 *
 * **Example**
 *
 * ```ts
 * import { DateTime, Effect } from "effect"
 * import { Fraud, Money } from "effect-payments"
 *
 * const rules = Fraud.makeUnsafe({
 *   rules: [
 *     Fraud.blocklist({
 *       emails: ["mallory@example.com", "@throwaway.example"],
 *       ips: ["203.0.113.0/24", { value: "2001:db8::1", expiresAt: DateTime.makeUnsafe("2020-01-01T00:00:00Z") }]
 *     })
 *   ]
 * })
 *
 * const decide = (payer: { readonly email?: string; readonly ip?: string }) =>
 *   Effect.runSync(Fraud.evaluate(rules, { attempt: "p_1", money: Money.makeUnsafe("EUR", "5.00"), ...payer })).decision
 *
 * decide({ email: "Mallory@Example.com" }) // => "Block"
 * decide({ ip: "::ffff:203.0.113.7" }) // => "Block"
 * decide({ ip: "2001:db8::1" }) // => "Approve"
 * ```
 *
 * @category rules
 * @since 0.1.0
 */
export const blocklist = (options: ListOptions): Rule =>
  seal(rules.list({ ...options, name: options.name ?? "blocklist" }, responseOf(options, "Block"), "blocklist"))

/**
 * Ends the evaluation for who is on a list: no further rule runs, and what rules before it said stands. So a rule that the
 * law asks for goes before it.
 *
 * **Details**
 *
 * Named `allowlist`, action `Allow`, score 0 unless said otherwise.
 *
 * @category rules
 * @since 0.1.0
 */
export const allowlist = (options: ListOptions): Rule =>
  seal(rules.list({ ...options, name: options.name ?? "allowlist" }, responseOf(options, "Allow"), "allowlist"))

/**
 * Options of {@link avsCvv}: what to answer, or to `ignore` it.
 *
 * - `cvvMismatch`: the security code does not match. Default: block, score 100.
 * - `avsMismatch`: neither street nor postal code matches. Default: block, score 100.
 * - `avsPartial`: one of them does not match. Default: score 25.
 *
 * @category models
 * @since 0.1.0
 */
export interface AvsCvvOptions extends BuiltIn {
  readonly cvvMismatch?: Response | "ignore" | undefined
  readonly avsMismatch?: Response | "ignore" | undefined
  readonly avsPartial?: Response | "ignore" | undefined
}

/**
 * Answers to what the gateway found out about the address and the security code.
 *
 * **Details**
 *
 * Only a mismatch counts. What was not checked, or cannot be checked (an issuer abroad, a service that is down), says
 * nothing. Where both are wrong the more severe action holds and the scores add up. Named `avs_cvv`.
 *
 * @category rules
 * @since 0.1.0
 */
export const avsCvv = (options: AvsCvvOptions = {}): Rule =>
  seal(rules.avsCvv({ ...options, name: options.name ?? "avs_cvv" }))

/**
 * Options of {@link countryMismatch}.
 *
 * @category models
 * @since 0.1.0
 */
export type CountryMismatchOptions = Answering

/**
 * Asks for a challenge where the card is of another country than the billing address. Passes where one of them is not
 * known. Named `country_mismatch`, score 30.
 *
 * @category rules
 * @since 0.1.0
 */
export const countryMismatch = (options: CountryMismatchOptions = {}): Rule =>
  seal(
    rules.countryMismatch({ ...options, name: options.name ?? "country_mismatch" }, responseOf(options, "Challenge"))
  )

/**
 * Options of {@link highAmount}: `thresholds`, one for each currency that you take.
 *
 * @category models
 * @since 0.1.0
 */
export interface HighAmountOptions extends Answering {
  readonly thresholds: ReadonlyArray<Money.Money>
}

/**
 * Asks for a challenge where the amount is above the threshold of its currency. Named `high_amount`, score 30.
 *
 * **Gotchas**
 *
 * For a currency without a threshold the rule fails (`CurrencyUnknown`) and its `onFailure` decides; by default such a
 * payment is reviewed. Nothing is converted.
 *
 * **Example**
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Fraud, Money } from "effect-payments"
 *
 * const rules = Fraud.makeUnsafe({
 *   rules: [Fraud.highAmount({ thresholds: [Money.makeUnsafe("USD", "2000.00")] })]
 * })
 * const decide = (money: Money.Money) => Effect.runSync(Fraud.evaluate(rules, { attempt: "p_1", money })).decision
 *
 * decide(Money.makeUnsafe("USD", "2000.00")) // => "Approve"
 * decide(Money.makeUnsafe("USD", "2000.01")) // => "Challenge"
 * decide(Money.makeUnsafe("EUR", "1.00")) // => "Review"
 * ```
 *
 * @category rules
 * @since 0.1.0
 */
export const highAmount = (options: HighAmountOptions): Rule =>
  seal(rules.highAmount({ ...options, name: options.name ?? "high_amount" }, responseOf(options, "Challenge")))

/**
 * Options of {@link velocity}.
 *
 * - `key`: whose attempts count together; a payment without one passes.
 * - `window`: how far to look back. Default 1 hour.
 * - one of: `maxCount` attempts (default 5); `maxSum`, an amount for each currency; `maxDistinct` values of `of`. More than
 *   that hits.
 * - `eventsMax`: how many attempts of a key are kept (see `Velocity`). By default 100, or one more than the limit if that
 *   is more. A key with more than that hits.
 * - `timeout`: how long to wait for the store. Default 250 ms.
 *
 * @category models
 * @since 0.1.0
 */
export type VelocityOptions =
  & RuleOptions
  & Answering
  & {
    readonly key: (context: FraudContext) => string | undefined
    readonly window?: Duration.Input | undefined
    readonly eventsMax?: number | undefined
    readonly timeout?: Duration.Input | undefined
  }
  & (
    | { readonly maxCount?: number | undefined; readonly maxSum?: undefined; readonly maxDistinct?: undefined }
    | { readonly maxSum: ReadonlyArray<Money.Money>; readonly maxCount?: undefined; readonly maxDistinct?: undefined }
    | {
      readonly maxDistinct: number
      readonly of: (context: FraudContext) => string | undefined
      readonly maxCount?: undefined
      readonly maxSum?: undefined
    }
  )

/**
 * Blocks where something happens too often: attempts of a user, money of a card, cards on a device.
 *
 * **Details**
 *
 * The attempt is recorded and counted in one step at the `Velocity` store, so that attempts which come at once see each
 * other, and a retry under the same `attempt` counts once: another amount for `maxSum` and another value for `maxDistinct`
 * counts also under the same one. All velocity rules of a set share one call, made when the first
 * of them has its turn: an attempt that was blocked before is not counted, one that is blocked later is. Action `Block`,
 * score 100 unless said otherwise.
 *
 * For `maxSum` a currency without a limit makes the rule fail, as with {@link highAmount}.
 *
 * The series at the store is the name of the rule, and for `maxSum` the name and the currency (`daily USD`). A name that
 * looks like the latter gets a `!`.
 *
 * **Example**
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Fraud, Money, Velocity } from "effect-payments"
 *
 * const rules = Fraud.makeUnsafe({
 *   rules: [
 *     Fraud.velocity({ name: "user_hourly", key: (context) => context.userId, maxCount: 5, window: "1 hour" }),
 *     Fraud.velocity({
 *       name: "cards_of_device",
 *       key: (context) => context.deviceFingerprint,
 *       window: "1 day",
 *       maxDistinct: 3,
 *       of: (context) => context.cardToken
 *     })
 *   ]
 * })
 *
 * const attempt = (i: number) =>
 *   Fraud.evaluate(rules, { attempt: `p_${i}`, userId: "u_42", money: Money.makeUnsafe("EUR", "10.00") })
 *
 * const decisions = await Effect.forEach([1, 2, 3, 4, 5, 5, 6], attempt).pipe(
 *   Effect.map((all) => all.map(({ decision }) => decision)),
 *   Effect.provide(Velocity.layerStoreMemory()),
 *   Effect.runPromise
 * )
 * decisions // => ["Approve", "Approve", "Approve", "Approve", "Approve", "Approve", "Block"]
 * ```
 *
 * @category rules
 * @since 0.1.0
 */
export const velocity = (options: VelocityOptions): Rule<Velocity> =>
  seal(rules.velocity(options, responseOf(options, "Block")))

// --- sets of rules

/**
 * Rules in the order in which they run, checked. `R` is what they need.
 *
 * @category models
 * @since 0.1.0
 */
export interface RuleSet<out R = never> {
  readonly "~effect-payments/Fraud/RuleSet": Types.Covariant<R>
  readonly name: string
  readonly version: number
  readonly reviewThreshold: number
  readonly rules: ReadonlyArray<{ readonly name: string; readonly version: number }>
}

/**
 * Options of {@link make}. `name` and `version` are recorded with each assessment; the name is `default` unless given.
 *
 * @category models
 * @since 0.1.0
 */
export interface RuleSetOptions<Rules extends ReadonlyArray<Rule<any>>> {
  readonly rules: Rules
  readonly name?: string | undefined
  readonly version?: number | undefined
  readonly reviewThreshold?: number | undefined
  readonly budget?: Duration.Input | undefined
}

/**
 * What the rules of a set need.
 *
 * @category models
 * @since 0.1.0
 */
export type Requirements<Rules extends ReadonlyArray<Rule<any>>> = Rules[number] extends infer One
  ? One extends Rule<infer R> ? R : never
  : never

/**
 * Makes a set of rules. Fails with every option of it and of its rules that is out of bounds.
 *
 * **Example**
 *
 * ```ts
 * import { Result } from "effect"
 * import { Fraud } from "effect-payments"
 *
 * const made = Fraud.make({ rules: [Fraud.blocklist({ ips: ["300.1.1.1"] }), Fraud.avsCvv(), Fraud.avsCvv()] })
 *
 * Result.getOrThrow(Result.flip(made)).message
 * // => "blocklist: ips[0] must be an IPv4 or IPv6 address or a network in CIDR notation; avs_cvv: name must be given to one rule only"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const Rules extends ReadonlyArray<Rule<any>>>(
  options: RuleSetOptions<Rules>
): Result.Result<RuleSet<Requirements<Rules>>, FraudError> => {
  const { name = "default", reviewThreshold = 50, version = 1 } = options
  const impls = options.rules as ReadonlyArray<unknown> as ReadonlyArray<RuleImpl>
  const budgetMillis = timeoutMillisOf(options.budget ?? "1 second")
  const set: engine.Rules = { name, version, reviewThreshold, budgetMillis, rules: impls, counters: new Map() }
  const faults = [...setFaults(set), ...impls.flatMap(({ faults }) => faults), ...nameFaults(impls)]
  return faults.length === 0
    ? Result.succeed(set as unknown as RuleSet<Requirements<Rules>>)
    : Result.fail(new FraudError({ reason: new RuleSetInvalid({ faults }) }))
}

/**
 * {@link make} that throws the `FraudError`, for rules that are written in the program.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeUnsafe = <const Rules extends ReadonlyArray<Rule<any>>>(
  options: RuleSetOptions<Rules>
): RuleSet<Requirements<Rules>> => Result.getOrThrow(make(options))

const rulesMax = 1_000

const setFaults = ({ budgetMillis, name, reviewThreshold, rules, version }: engine.Rules) => {
  const bounds: ReadonlyArray<readonly [option: string, holds: boolean, expected: string]> = [
    ["name", isName(name), nameExpected],
    ["version", isIntegerTo(version, 1_000_000), "an integer from 1 to 1000000"],
    ["reviewThreshold", isIntegerTo(reviewThreshold, 1_000_000), "an integer from 1 to 1000000"],
    ["budget", !Number.isNaN(budgetMillis), timeoutExpected],
    ["rules", rules.length <= rulesMax, `at most ${rulesMax}`]
  ]
  return bounds.flatMap(([option, holds, expected]) => holds ? [] : [{ rule: "the set", option, expected }])
}

const isIntegerTo = (value: number, max: number): boolean => Number.isInteger(value) && value >= 1 && value <= max

const nameFaults = (rules: ReadonlyArray<RuleImpl>) =>
  rules.filter(({ name }, i) => rules.findIndex((other) => other.name === name) < i).map(({ name }) => ({
    rule: name,
    option: "name",
    expected: "given to one rule only"
  }))

// --- evaluation

/**
 * Runs the rules over a payment and decides. Never fails.
 *
 * **Details**
 *
 * In the order of the set, until one blocks or allows; the rest is recorded as skipped because of it. Then the first that
 * holds:
 *
 * | decision | when |
 * |---|---|
 * | `Block` | a rule blocked, or one with the policy `closed` failed |
 * | `Challenge` | a rule asks for a challenge, and the payer has not passed one for this attempt (`isAuthenticated`) |
 * | `Review` | the scores add up to `reviewThreshold` or more, a rule asks for a review, or one with the policy `review` failed |
 * | `Approve` | otherwise |
 *
 * Rules in shadow are recorded, and neither stop nor score nor decide.
 *
 * **Example**
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Fraud, Money } from "effect-payments"
 *
 * const rules = Fraud.makeUnsafe({
 *   rules: [Fraud.blocklist({ emails: ["mallory@example.com"] }), Fraud.countryMismatch()]
 * })
 * const payment = {
 *   attempt: "p_1",
 *   money: Money.makeUnsafe("EUR", "80.00"),
 *   email: "mallory@example.com",
 *   cardCountry: "US",
 *   billingCountry: "DE"
 * }
 *
 * const assessment = Effect.runSync(Fraud.evaluate(rules, payment))
 * assessment.decision // => "Block"
 * assessment.results.map(({ _tag, rule }) => `${rule} ${_tag}`) // => ["blocklist Hit", "country_mismatch Skipped"]
 * ```
 *
 * @category evaluation
 * @since 0.1.0
 */
export const evaluate: {
  (context: FraudContext): <R>(rules: RuleSet<R>) => Effect.Effect<Assessment, never, R>
  <R>(rules: RuleSet<R>, context: FraudContext): Effect.Effect<Assessment, never, R>
} = dual(
  2,
  <R>(rules: RuleSet<R>, context: FraudContext): Effect.Effect<Assessment, never, R> =>
    engine.evaluate(rules as unknown as engine.Rules, context)
)

/**
 * Options of {@link screen}.
 *
 * - `rules`, `context`: what is evaluated.
 * - `challenge`: makes the challenge that the payer has to pass, usually at the gateway or its 3-D Secure server. Asked only
 *   where the decision is `Challenge`.
 * - `onAssessment`: told every decision before it takes effect, to keep it or to queue a review. If it fails, nothing is
 *   paid.
 *
 * @category models
 * @since 0.1.0
 */
export interface ScreenOptions<out R, out E1, out R1, out E2, out R2> {
  readonly rules: RuleSet<R>
  readonly context: FraudContext
  readonly challenge: (assessment: Assessment, context: FraudContext) => Effect.Effect<PaymentChallenge, E1, R1>
  readonly onAssessment?: ((assessment: Assessment) => Effect.Effect<unknown, E2, R2>) | undefined
}

/**
 * Evaluates the rules first, and runs the effect only if they let it.
 *
 * **When to use**
 *
 * Around the call to the gateway, inside of `Idempotency.idempotent` or a saga step and outside of `Resilience.retry`: a
 * replay is then answered as it was the first time, and attempts of one payment are screened once.
 *
 * **Details**
 *
 * | decision | |
 * |---|---|
 * | `Block` | fails with `FraudBlocked`, which names the rule |
 * | `Challenge` | fails with `AuthenticationRequired`, with the challenge |
 * | `Review`, `Approve` | runs the effect |
 *
 * Both failures are `Refused`: under the same idempotency key they come again. After the challenge the payment is tried
 * under a new key or phase, with `isAuthenticated: true`.
 *
 * The effect can read the assessment ({@link screened}). Its span has `fraud.decision`, `fraud.score`, `fraud.rule_set` and
 * `fraud.blocked_by`, and so have its log lines; a payment that passes for review is logged.
 *
 * **Example**
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Fraud, Money } from "effect-payments"
 *
 * const rules = Fraud.makeUnsafe({ rules: [Fraud.highAmount({ thresholds: [Money.makeUnsafe("USD", "2000.00")] })] })
 *
 * const charge = Effect.succeed("charged").pipe(
 *   Fraud.screen({
 *     rules,
 *     context: { attempt: "p_1", money: Money.makeUnsafe("USD", "2500.00") },
 *     challenge: () => Effect.succeed({ id: "3ds_1", url: "https://shop.example/3ds/1" })
 *   })
 * )
 *
 * const error = Effect.runSync(Effect.flip(charge))
 * error.reason._tag // => "AuthenticationRequired"
 * error.disposition // => "Refused"
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const screen: {
  <R, E1 = never, R1 = never, E2 = never, R2 = never>(
    options: ScreenOptions<R, E1, R1, E2, R2>
  ): <A, E, R0>(self: Effect.Effect<A, E, R0>) => Effect.Effect<A, E | PaymentError | E1 | E2, R0 | R | R1 | R2>
  <A, E, R0, R, E1 = never, R1 = never, E2 = never, R2 = never>(
    self: Effect.Effect<A, E, R0>,
    options: ScreenOptions<R, E1, R1, E2, R2>
  ): Effect.Effect<A, E | PaymentError | E1 | E2, R0 | R | R1 | R2>
} = dual(
  2,
  <A, E, R0, R, E1, R1, E2, R2>(
    self: Effect.Effect<A, E, R0>,
    options: ScreenOptions<R, E1, R1, E2, R2>
  ): Effect.Effect<A, E | PaymentError | E1 | E2, R0 | R | R1 | R2> =>
    Effect.flatMap(
      evaluate(options.rules, options.context),
      (assessment) => screens.act(self, assessment, options)
    )
)

/**
 * The assessment of the {@link screen} around, if there is one.
 *
 * **Example**
 *
 * ```ts
 * import { Effect, Option } from "effect"
 * import { Fraud } from "effect-payments"
 *
 * Option.isNone(Effect.runSync(Fraud.screened)) // => true
 * ```
 *
 * @category accessors
 * @since 0.1.0
 */
export const screened: Effect.Effect<Option.Option<Assessment>> = Effect.withFiberSucceed((fiber) =>
  Option.fromUndefinedOr(fiber.getRef(screens.Screened))
)

// --- errors

/**
 * Options of a set of rules, or of rules in it, that are out of their bounds.
 *
 * @category reasons
 * @since 0.1.0
 */
export class RuleSetInvalid extends Schema.TaggedError<RuleSetInvalid>()("RuleSetInvalid", {
  faults: Schema.Array(Schema.Struct({ rule: Schema.String, option: Schema.String, expected: Schema.String }))
}) {
  override get message(): string {
    return this.faults.map(({ expected, option, rule }) => `${rule}: ${option} must be ${expected}`).join("; ")
  }
}

/**
 * Why a set of rules could not be made. Nothing was evaluated, so the disposition is `NotExecuted`.
 *
 * @category errors
 * @since 0.1.0
 */
export class FraudError extends Schema.TaggedError<FraudError>()("FraudError", {
  reason: Schema.Union([RuleSetInvalid])
}) {
  readonly disposition = "NotExecuted" as const
  override get message(): string {
    return this.reason.message
  }
}
