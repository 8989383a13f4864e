import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Money, Sca } from "effect-payments"

const regimes = {
  EEA: { currency: "EUR", payment: 30_00, cumulative: 100_00, limits: [100_00, 250_00, 500_00], rts: /2018\/389/ },
  UK: { currency: "GBP", payment: 25_00, cumulative: 85_00, limits: [85_00, 220_00, 440_00], rts: /UK SCA-RTS/ }
} as const

const each = (["EEA", "UK"] as const).map((regime) => {
  const money = (cents: number) => Money.fromMinorUnits(regimes[regime].currency, BigInt(cents))
  const low = (cents: number, count: number, total: number, appliedBy?: Sca.AppliedBy) =>
    Sca.lowValue({ regime, money: money(cents), since: { count, total: money(total) }, appliedBy })
  const risk = (cents: number, fraudRate: number, options?: Partial<Sca.RiskAnalysisOptions>) =>
    Sca.riskAnalysis({ regime, money: money(cents), fraudRate, isLowRisk: true, ...options })
  return { regime, ...regimes[regime], money, low, risk }
})

for (const { cumulative, currency, limits, low, money, payment, regime, risk, rts } of each) {
  describe(`low value, ${regime}`, () => {
    it("exempts what is below the limit and within both counters", () => {
      const answer = low(payment - 1, 0, 0)
      assert.deepStrictEqual(answer, {
        _tag: "Exempt",
        exemption: "LowValue",
        rule: "low-value",
        article: answer.article,
        liability: "merchant"
      })
      assert.match(answer.article, rts)
      assert.match(answer.article, /Art\. 16$/)
      assert.strictEqual(low(0, 0, 0)._tag, "Exempt")
    })

    it("asks for authentication from the limit on", () => {
      const answer = low(payment, 0, 0)
      assert.deepStrictEqual(answer, {
        _tag: "Required",
        rule: "low-value.amount",
        article: regime === "EEA" ? "PSD2, Art. 97(1)" : "PSRs 2017, reg. 100(1)",
        liability: "issuer"
      })
      assert.strictEqual(low(-1, 0, 0).rule, "low-value.amount")
    })

    it("counts the payment at hand as the fifth at most", () => {
      assert.strictEqual(low(1, 4, 0)._tag, "Exempt")
      for (const count of [5, 6, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
        assert.strictEqual(low(1, count, 0).rule, "low-value.count")
      }
    })

    it("adds the payment at hand to the cumulative sum", () => {
      assert.strictEqual(low(1_000, 1, cumulative - 1_000)._tag, "Exempt")
      assert.strictEqual(low(1_001, 1, cumulative - 1_000).rule, "low-value.cumulative")
      assert.strictEqual(low(1, 1, -5).rule, "low-value.cumulative")
    })

    it("converts nothing", () => {
      const dollars = Money.makeUnsafe("USD", "1.00")
      const other = Money.makeUnsafe(currency === "EUR" ? "GBP" : "EUR", "1.00")
      for (const foreign of [dollars, other]) {
        const since = { count: 0, total: money(0) }
        assert.strictEqual(Sca.lowValue({ regime, money: foreign, since }).rule, "low-value.currency")
        const mixed = Sca.lowValue({ regime, money: money(1), since: { count: 0, total: foreign } })
        assert.strictEqual(mixed.rule, "low-value.currency")
        const byRisk = Sca.riskAnalysis({ regime, money: foreign, fraudRate: 0, isLowRisk: true })
        assert.strictEqual(byRisk.rule, "risk-analysis.currency")
      }
    })

    it("leaves the fraud with the issuer where the issuer applies it", () => {
      assert.strictEqual(low(1, 0, 0, "issuer").liability, "issuer")
      assert.strictEqual(low(1, 0, 0, "acquirer").liability, "merchant")
      assert.strictEqual(risk(1, 0, { appliedBy: "issuer" }).liability, "issuer")
    })
  })

  describe(`transaction risk analysis, ${regime}`, () => {
    const rates = { card: [13, 6, 1], creditTransfer: [1.5, 1, 0.5] } as const

    it("takes the lowest band that holds the amount, up to its limit and rate", () => {
      for (const instrument of ["card", "creditTransfer"] as const) {
        for (const [i, limit] of limits.entries()) {
          const rate = rates[instrument][i] ?? Number.NaN
          const answer = risk(limit, rate, { instrument })
          assert.deepStrictEqual(answer, {
            _tag: "Exempt",
            exemption: "TransactionRiskAnalysis",
            rule: `risk-analysis.band-${i + 1}` as Sca.Rule,
            article: answer.article,
            liability: "merchant"
          })
          assert.match(answer.article, /Art\. 18$/)
          assert.strictEqual(risk(limit, rate + 0.01, { instrument }).rule, "risk-analysis.fraud-rate")
          const above = risk(limit + 1, 0, { instrument })
          assert.strictEqual(above.rule, i === 2 ? "risk-analysis.amount" : `risk-analysis.band-${i + 2}`)
        }
      }
    })

    it("exempts nothing on figures that are none", () => {
      for (const rate of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
        assert.strictEqual(risk(1, rate).rule, "risk-analysis.fraud-rate")
      }
      assert.strictEqual(risk(-1, 0).rule, "risk-analysis.amount")
    })

    it("asks for authentication where this payment looks risky", () => {
      assert.strictEqual(risk(1, 0, { isLowRisk: false }).rule, "risk-analysis.risk")
    })

    it("states the bands as they are applied", () => {
      assert.deepStrictEqual(
        Sca.bands(regime),
        limits.map((limit, i) => ({
          limit: money(limit),
          fraudRate: { card: rates.card[i] ?? 0, creditTransfer: rates.creditTransfer[i] ?? 0 }
        }))
      )
    })
  })

  describe(`decide, ${regime}`, () => {
    const since = { count: 0, total: money(0) }

    it("prefers low value, then risk analysis", () => {
      const both = { lowValue: { since }, riskAnalysis: { fraudRate: 1, isLowRisk: true } }
      assert.strictEqual(Sca.decide({ regime, money: money(payment - 1), ...both }).rule, "low-value")
      assert.strictEqual(Sca.decide({ regime, money: money(payment), ...both }).rule, "risk-analysis.band-1")
    })

    it("says why the last one tried did not apply, or that none was asked for", () => {
      assert.strictEqual(Sca.decide({ regime, money: money(payment) }).rule, "no-exemption")
      assert.strictEqual(
        Sca.decide({ regime, money: money(payment), lowValue: { since } }).rule,
        "low-value.amount"
      )
      const risky = { fraudRate: 99, isLowRisk: true }
      assert.strictEqual(
        Sca.decide({ regime, money: money(payment), lowValue: { since }, riskAnalysis: risky }).rule,
        "risk-analysis.fraud-rate"
      )
    })

    it("hands on who applies it", () => {
      const answer = Sca.decide({ regime, money: money(1), appliedBy: "issuer", lowValue: { since } })
      assert.strictEqual(answer.liability, "issuer")
    })
  })
}

describe("all answers", () => {
  const Inputs = Schema.Struct({
    regime: Sca.Regime,
    appliedBy: Sca.AppliedBy,
    currency: Schema.Literals(["EUR", "GBP", "USD", "JPY"]),
    minor: Schema.Int.check(Schema.isBetween({ minimum: -100, maximum: 60_000 })),
    total: Schema.Int.check(Schema.isBetween({ minimum: -100, maximum: 12_000 })),
    count: Schema.Number,
    fraudRate: Schema.Number,
    isLowRisk: Schema.Boolean
  })
  const encode = Schema.encodeSync(Sca.Answer)
  const decode = Schema.decodeUnknownSync(Sca.Answer)

  it.effect.prop(
    "are total, storable, and leave the fraud with whoever chose",
    [Inputs],
    ([input]) =>
      Effect.sync(() => {
        const { appliedBy, count, currency, fraudRate, isLowRisk, minor, regime, total } = input
        const answer = Sca.decide({
          regime,
          money: Money.fromMinorUnits(currency, BigInt(minor)),
          appliedBy,
          lowValue: { since: { count, total: Money.fromMinorUnits(currency, BigInt(total)) } },
          riskAnalysis: { fraudRate, isLowRisk }
        })
        assert.deepStrictEqual(decode(encode(answer)), answer)
        assert.isAbove(answer.article.length, 0)
        const expected = answer._tag === "Exempt" && appliedBy === "acquirer" ? "merchant" : "issuer"
        assert.strictEqual(answer.liability, expected)
        if (answer._tag === "Exempt") {
          assert.strictEqual(currency, regime === "EEA" ? "EUR" : "GBP")
          assert.isTrue(minor >= 0 && minor <= 50_000)
        }
      }),
    { arbitrary: { runs: 500 } }
  )
})
