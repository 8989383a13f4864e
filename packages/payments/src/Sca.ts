/**
 * When the law lets a payment go without strong customer authentication, as pure functions.
 *
 * It prevents the two ways to get exemptions wrong: asking for one that does not apply (the issuer declines, and has to be
 * asked again with a challenge) and taking one without knowing who then bears the fraud. Each answer names its rule, the
 * article of the law, and who is expected to bear the loss if the payment turns out to be fraud. In doubt the answer is
 * that authentication is required: figures that are negative or no numbers at all, and currencies that the law gives no
 * figure for, exempt nothing.
 *
 * | | EEA | United Kingdom |
 * |---|---|---|
 * | law | PSD2 with Delegated Regulation (EU) 2018/389 (RTS) | PSRs 2017 with the FCA's SCA-RTS |
 * | low value: the payment | below EUR 30 | below GBP 25 |
 * | low value: since the last authentication | 5 payments and EUR 100 | 5 payments and GBP 85 |
 * | risk analysis: up to | EUR 100, 250, 500 | GBP 85, 220, 440 |
 * | risk analysis: at a fraud rate for cards of at most | 13, 6, 1 basis points | the same |
 *
 * What it does not do: decide. The issuer has the last word on every exemption, and counts low-value payments over all
 * merchants, so that a merchant's own counters are an estimate. Where the law leaves room the stricter reading is taken:
 * the payment at hand counts into both counters, and both have to hold; "does not exceed" is read as below. The British
 * amounts of the risk analysis are those of the FCA's form NOT004 (Handbook, SUP 15 Annex 12D, of 2021); the fraud rates
 * beside them could not be compared with the Appendix of the SCA-RTS: do so before you rely on them.
 *
 * This is a reading of the law by programmers. Have it checked by somebody who may give legal advice.
 *
 * Read `Fraud` next, which asks the payer to authenticate.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Money from "./Money.ts"

/**
 * Whose law applies: that of the payer's and the payee's payment service providers.
 *
 * @category models
 * @since 0.1.0
 */
export const Regime = Schema.Literals(["EEA", "UK"])

/**
 * See {@link Regime}.
 *
 * @category models
 * @since 0.1.0
 */
export type Regime = typeof Regime.Type

/**
 * Who applies the exemption: the merchant's side by asking for it, or the issuer of its own accord. Who applies it bears
 * the fraud.
 *
 * @category models
 * @since 0.1.0
 */
export const AppliedBy = Schema.Literals(["acquirer", "issuer"])

/**
 * See {@link AppliedBy}.
 *
 * @category models
 * @since 0.1.0
 */
export type AppliedBy = typeof AppliedBy.Type

/**
 * Who is expected to bear the loss: the merchant (through its acquirer) or the issuer. What the schemes' rules and the
 * answer to the authorization say wins.
 *
 * @category models
 * @since 0.1.0
 */
export const Liability = Schema.Literals(["merchant", "issuer"])

/**
 * See {@link Liability}.
 *
 * @category models
 * @since 0.1.0
 */
export type Liability = typeof Liability.Type

/**
 * What decided: the exemption that applies, or the condition of it that does not hold.
 *
 * | rule | |
 * |---|---|
 * | `low-value` | applies |
 * | `low-value.currency`, `.amount` | no figure for the currency; not below the limit, or negative |
 * | `low-value.count`, `.cumulative` | one of the counters is used up |
 * | `risk-analysis.band-1`, `.band-2`, `.band-3` | applies, by the lowest band that holds the amount |
 * | `risk-analysis.currency`, `.amount` | no figure for the currency; above the highest band, or negative |
 * | `risk-analysis.fraud-rate` | too high for the band of the amount |
 * | `risk-analysis.risk` | the analysis of this payment found a risk |
 * | `no-exemption` | nothing was asked for |
 *
 * @category models
 * @since 0.1.0
 */
export const Rule = Schema.Literals([
  "low-value",
  "low-value.currency",
  "low-value.amount",
  "low-value.count",
  "low-value.cumulative",
  "risk-analysis.band-1",
  "risk-analysis.band-2",
  "risk-analysis.band-3",
  "risk-analysis.currency",
  "risk-analysis.amount",
  "risk-analysis.fraud-rate",
  "risk-analysis.risk",
  "no-exemption"
])

/**
 * See {@link Rule}.
 *
 * @category models
 * @since 0.1.0
 */
export type Rule = typeof Rule.Type

/**
 * The exemption to ask the issuer for.
 *
 * @category models
 * @since 0.1.0
 */
export const Exemption = Schema.Literals(["LowValue", "TransactionRiskAnalysis"])

/**
 * See {@link Exemption}.
 *
 * @category models
 * @since 0.1.0
 */
export type Exemption = typeof Exemption.Type

/**
 * An exemption applies.
 *
 * @category models
 * @since 0.1.0
 */
export const Exempt = Schema.TaggedStruct("Exempt", {
  exemption: Exemption,
  rule: Rule,
  article: Schema.String,
  liability: Liability
})

/**
 * See {@link Exempt}.
 *
 * @category models
 * @since 0.1.0
 */
export type Exempt = typeof Exempt.Type

/**
 * The payer has to authenticate. Then the issuer bears the fraud.
 *
 * @category models
 * @since 0.1.0
 */
export const Required = Schema.TaggedStruct("Required", {
  rule: Rule,
  article: Schema.String,
  liability: Liability
})

/**
 * See {@link Required}.
 *
 * @category models
 * @since 0.1.0
 */
export type Required = typeof Required.Type

/**
 * What the law says, as far as these functions know.
 *
 * @category models
 * @since 0.1.0
 */
export const Answer = Schema.Union([Exempt, Required])

/**
 * See {@link Answer}.
 *
 * @category models
 * @since 0.1.0
 */
export type Answer = typeof Answer.Type

/**
 * The payments without authentication since the last one with: how many, and their sum. The one at hand is not among
 * them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Counters {
  readonly count: number
  readonly total: Money.Money
}

/**
 * What {@link lowValue} looks at. `appliedBy` is `acquirer` by default.
 *
 * @category models
 * @since 0.1.0
 */
export interface LowValueOptions {
  readonly regime: Regime
  readonly money: Money.Money
  readonly since: Counters
  readonly appliedBy?: AppliedBy | undefined
}

/**
 * The exemption for payments of low value (article 16).
 *
 * **Details**
 *
 * The payment has to be below the limit, and with it at most five payments and at most the cumulative sum may have gone
 * without authentication. A payment in another currency than that of the regime is not converted here: convert it first.
 *
 * **Example**
 *
 * ```ts
 * import { Money, Sca } from "effect-payments"
 *
 * const eur = (amount: string) => Money.makeUnsafe("EUR", amount)
 * const asked = { regime: "EEA", since: { count: 2, total: eur("41.00") } } as const
 *
 * Sca.lowValue({ ...asked, money: eur("29.99") })
 * // => { _tag: "Exempt", exemption: "LowValue", rule: "low-value", article: "RTS (EU) 2018/389, Art. 16", liability: "merchant" }
 * Sca.lowValue({ ...asked, money: eur("30.00") }).rule // => "low-value.amount"
 * ```
 *
 * @category exemptions
 * @since 0.1.0
 */
export const lowValue = ({ appliedBy, money, regime, since }: LowValueOptions): Answer => {
  const { currency, lowValue } = figures[regime]
  if (money.currency !== currency || since.total.currency !== currency) return required(regime, "low-value.currency")
  if (Money.isNegative(money) || !isBelow(money, lowValue.payment)) return required(regime, "low-value.amount")
  if (!(since.count >= 0 && since.count + 1 <= lowValue.count)) return required(regime, "low-value.count")
  const total = Money.addChecked(since.total, money)
  return Money.isNegative(since.total) || Result.isFailure(total) || isBelow(lowValue.cumulative, total.success)
    ? required(regime, "low-value.cumulative")
    : exempt(regime, "LowValue", "low-value", 16, appliedBy)
}

/**
 * What {@link riskAnalysis} looks at.
 *
 * - `fraudRate`: of the provider that asks, in basis points (13 is 0.13 %), for this kind of payment, over the last
 *   quarter as article 19 has it computed.
 * - `isLowRisk`: what the analysis of this payment in real time found (article 18(2)(c)), for example that `Fraud.evaluate`
 *   approves it.
 * - `instrument`: `card` by default.
 * - `appliedBy`: `acquirer` by default.
 *
 * @category models
 * @since 0.1.0
 */
export interface RiskAnalysisOptions {
  readonly regime: Regime
  readonly money: Money.Money
  readonly fraudRate: number
  readonly isLowRisk: boolean
  readonly instrument?: Instrument | undefined
  readonly appliedBy?: AppliedBy | undefined
}

/**
 * What is paid with: the reference fraud rates differ.
 *
 * @category models
 * @since 0.1.0
 */
export const Instrument = Schema.Literals(["card", "creditTransfer"])

/**
 * See {@link Instrument}.
 *
 * @category models
 * @since 0.1.0
 */
export type Instrument = typeof Instrument.Type

/**
 * A band of the annex: payments of at most `limit` go without authentication at a provider whose fraud rate is at most
 * that of the instrument, in basis points.
 *
 * @category models
 * @since 0.1.0
 */
export interface Band {
  readonly limit: Money.Money
  readonly fraudRate: { readonly [I in Instrument]: number }
}

/**
 * The bands of a regime, the lowest amount first.
 *
 * **Example**
 *
 * ```ts
 * import { Money, Sca } from "effect-payments"
 *
 * Sca.bands("EEA").map(({ fraudRate, limit }) => `${Money.format(limit)} at ${fraudRate.card}`)
 * // => ["EUR 100.00 at 13", "EUR 250.00 at 6", "EUR 500.00 at 1"]
 * ```
 *
 * @category exemptions
 * @since 0.1.0
 */
export const bands = (regime: Regime): ReadonlyArray<Band> => figures[regime].bands

/**
 * The exemption by transaction risk analysis (article 18).
 *
 * **Gotchas**
 *
 * A provider whose rate was above the reference for two quarters in a row has to stop using the exemption (article 20);
 * that is for the caller to know.
 *
 * **Example**
 *
 * ```ts
 * import { Money, Sca } from "effect-payments"
 *
 * const asked = { regime: "EEA", fraudRate: 5.2, isLowRisk: true } as const
 *
 * Sca.riskAnalysis({ ...asked, money: Money.makeUnsafe("EUR", "180.00") }).rule // => "risk-analysis.band-2"
 * Sca.riskAnalysis({ ...asked, money: Money.makeUnsafe("EUR", "280.00") }).rule // => "risk-analysis.fraud-rate"
 * ```
 *
 * @category exemptions
 * @since 0.1.0
 */
export const riskAnalysis = (options: RiskAnalysisOptions): Answer => {
  const { appliedBy, fraudRate, instrument = "card", isLowRisk, money, regime } = options
  const { bands, currency } = figures[regime]
  if (money.currency !== currency) return required(regime, "risk-analysis.currency")
  // The rates fall as the amounts grow: where the band of an amount does not apply, no higher one does.
  const at = bands.findIndex(({ limit }) => !isBelow(limit, money))
  const band = bands[at]
  const rule = bandRules[at]
  if (band === undefined || rule === undefined || Money.isNegative(money)) {
    return required(regime, "risk-analysis.amount")
  }
  if (!(fraudRate >= 0 && fraudRate <= band.fraudRate[instrument])) return required(regime, "risk-analysis.fraud-rate")
  if (!isLowRisk) return required(regime, "risk-analysis.risk")
  return exempt(regime, "TransactionRiskAnalysis", rule, 18, appliedBy)
}

/**
 * What {@link decide} looks at: the exemptions that are given are tried.
 *
 * @category models
 * @since 0.1.0
 */
export interface DecideOptions {
  readonly regime: Regime
  readonly money: Money.Money
  readonly appliedBy?: AppliedBy | undefined
  readonly lowValue?: Pick<LowValueOptions, "since"> | undefined
  readonly riskAnalysis?: Pick<RiskAnalysisOptions, "fraudRate" | "isLowRisk" | "instrument"> | undefined
}

/**
 * The first exemption that applies, low value before risk analysis; else that authentication is required, by the rule of
 * the last one tried.
 *
 * **Example**
 *
 * ```ts
 * import { Money, Sca } from "effect-payments"
 *
 * const answer = Sca.decide({
 *   regime: "UK",
 *   money: Money.makeUnsafe("GBP", "60.00"),
 *   lowValue: { since: { count: 0, total: Money.zero("GBP") } },
 *   riskAnalysis: { fraudRate: 9, isLowRisk: true }
 * })
 *
 * answer.rule // => "risk-analysis.band-1"
 * answer.liability // => "merchant"
 * ```
 *
 * @category exemptions
 * @since 0.1.0
 */
export const decide = ({ appliedBy, lowValue: low, money, regime, riskAnalysis: risk }: DecideOptions): Answer => {
  const byValue = low === undefined ? undefined : lowValue({ ...low, regime, money, appliedBy })
  if (byValue?._tag === "Exempt") return byValue
  return risk === undefined
    ? byValue ?? required(regime, "no-exemption")
    : riskAnalysis({ ...risk, regime, money, appliedBy })
}

// --- the figures of the law

interface Figures {
  readonly currency: "EUR" | "GBP"
  readonly lowValue: { readonly payment: Money.Money; readonly count: number; readonly cumulative: Money.Money }
  readonly bands: ReadonlyArray<Band>
  readonly rts: string
  readonly required: string
}

const figuresOf = (
  currency: "EUR" | "GBP",
  [payment, cumulative, ...limits]: ReadonlyArray<string>
): Pick<Figures, "currency" | "lowValue" | "bands"> => {
  const money = (amount: string) => Money.makeUnsafe(currency, amount)
  return {
    currency,
    lowValue: { payment: money(payment ?? ""), count: 5, cumulative: money(cumulative ?? "") },
    bands: limits.map((limit, i) => ({
      limit: money(limit),
      fraudRate: { card: [13, 6, 1][i] ?? 0, creditTransfer: [1.5, 1, 0.5][i] ?? 0 }
    }))
  }
}

const figures: { readonly [R in Regime]: Figures } = {
  EEA: {
    ...figuresOf("EUR", ["30", "100", "100", "250", "500"]),
    rts: "RTS (EU) 2018/389",
    required: "PSD2, Art. 97(1)"
  },
  UK: {
    ...figuresOf("GBP", ["25", "85", "85", "220", "440"]),
    rts: "UK SCA-RTS",
    required: "PSRs 2017, reg. 100(1)"
  }
}

const bandRules = ["risk-analysis.band-1", "risk-analysis.band-2", "risk-analysis.band-3"] as const

// --- answers

// Both are of the currency of the regime here.
const isBelow = (money: Money.Money, limit: Money.Money): boolean =>
  Money.compare(money as Money.Money<"EUR">, limit as Money.Money<"EUR">) < 0

const exempt = (
  regime: Regime,
  exemption: Exemption,
  rule: Rule,
  article: number,
  appliedBy: AppliedBy = "acquirer"
): Exempt => ({
  _tag: "Exempt",
  exemption,
  rule,
  article: `${figures[regime].rts}, Art. ${article}`,
  liability: appliedBy === "issuer" ? "issuer" : "merchant"
})

const required = (regime: Regime, rule: Rule): Required => ({
  _tag: "Required",
  rule,
  article: figures[regime].required,
  liability: "issuer"
})
