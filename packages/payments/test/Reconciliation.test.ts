import { assert, describe, it } from "@effect/vitest"
import { BigDecimal, Cause, DateTime, Deferred, Duration, Effect, Equal, Exit, Fiber, Schema } from "effect"
import { Money, Reconciliation } from "effect-payments"
import { TestClock } from "effect/testing"

type Rec = Reconciliation.TransactionRecord
type Report = Reconciliation.Report

const noon = "2026-01-31T12:00:00Z"

const record = (transactionId: string, changes: Partial<Rec> & { readonly at?: string } = {}): Rec => {
  const { at, ...rest } = changes
  return {
    transactionId,
    money: Money.makeUnsafe("USD", "10.00"),
    status: "captured",
    occurredAt: DateTime.makeUnsafe(at ?? noon),
    ...rest
  }
}

const usd = (amount: string) => Money.makeUnsafe("USD", amount)
const pair = (ours: Partial<Rec> & { readonly at?: string }, theirs: Partial<Rec> & { readonly at?: string }) =>
  [[record("tx", ours)], [record("tx", theirs)]] as const

/** What was found, as text, and that the report holds together. */
const found = (report: Report): ReadonlyArray<string> => {
  assert.isTrue(Reconciliation.isConserved(report))
  const counted = Object.values(report.byKind).reduce((sum, count) => sum + count, 0)
  assert.strictEqual(counted, report.discrepancies.length)
  return report.discrepancies.map(({ _tag, transactionId }) => `${_tag} ${transactionId}`)
}

describe("Reconciliation.reconcile", () => {
  it("matches what agrees", () => {
    const report = Reconciliation.reconcile([record("a"), record("b")], [record("b"), record("a")])
    assert.deepStrictEqual(found(report), [])
    assert.deepStrictEqual([report.matched, report.total, report.byKind], [2, 2, {}])
  })

  it("knows nothing of nothing", () => {
    const report = Reconciliation.reconcile([], [])
    assert.deepStrictEqual(report, { matched: 0, total: 0, discrepancies: [], byKind: {}, accounts: [] })
  })

  it("finds what one side lacks", () => {
    const report = Reconciliation.reconcile([record("ours"), record("both")], [record("both"), record("theirs")])
    assert.deepStrictEqual(found(report), ["MissingGateway ours", "MissingInternal theirs"])
    assert.deepStrictEqual([report.matched, report.total], [1, 3])
  })

  it("takes any iterable, and reads it once", () => {
    const once = function*() {
      yield record("a")
      yield record("b")
    }
    assert.strictEqual(Reconciliation.reconcile(once(), new Set([record("a"), record("b")])).matched, 2)
  })

  it("compares ids exactly, those of Object.prototype too", () => {
    const ids = ["__proto__", "constructor", "toString", "A", "a", " a"]
    const report = Reconciliation.reconcile(ids.map((id) => record(id)), [record("__proto__")])
    assert.strictEqual(report.matched, 1)
    assert.strictEqual(report.byKind.MissingGateway, 5)
  })

  it("reports in the order of ids", () => {
    const ids = ["b", "10", "9", "B", "\u00e4", "a"]
    const report = Reconciliation.reconcile(ids.map((id) => record(id)), [])
    assert.deepStrictEqual(report.discrepancies.map((x) => x.transactionId), ["10", "9", "B", "a", "b", "\u00e4"])
  })

  describe("amounts", () => {
    it("differ by a cent without a tolerance", () => {
      const report = Reconciliation.reconcile(...pair({}, { money: usd("9.99") }))
      assert.deepStrictEqual(found(report), ["AmountMismatch tx"])
      const [first] = report.discrepancies
      assert.isTrue(first?._tag === "AmountMismatch" && Equal.equals(first.difference, usd("-0.01")))
    })

    it("agree up to the tolerance of their currency, both ways", () => {
      const policy = { tolerance: { USD: usd("0.02"), JPY: Money.makeUnsafe("JPY", "5") } }
      for (const [amount, agrees] of [["10.02", true], ["9.98", true], ["10.03", false], ["9.97", false]] as const) {
        const report = Reconciliation.reconcile(...pair({}, { money: usd(amount) }), policy)
        assert.deepStrictEqual(found(report), agrees ? [] : ["AmountMismatch tx"], amount)
      }
      const euro = (amount: string) => ({ money: Money.makeUnsafe("EUR", amount) })
      assert.deepStrictEqual(
        found(Reconciliation.reconcile(...pair(euro("1.00"), euro("1.01")), policy)),
        ["AmountMismatch tx"]
      )
    })

    it("take a tolerance of either sign", () => {
      const report = Reconciliation.reconcile(...pair({}, { money: usd("10.01") }), {
        tolerance: { USD: usd("-0.01") }
      })
      assert.deepStrictEqual(found(report), [])
    })

    it("are exact beyond floating point", () => {
      const [a, b] = ["90071992547409930.01", "90071992547409930.02"]
      assert.deepStrictEqual(
        found(Reconciliation.reconcile(...pair({ money: usd(a) }, { money: usd(b) }))),
        ["AmountMismatch tx"]
      )
    })

    it("agree whatever the scale", () => {
      const coarse: Money.Money = { currency: "USD", amount: Money.Amount.make(BigDecimal.make(1n, -1)) }
      assert.deepStrictEqual(found(Reconciliation.reconcile(...pair({}, { money: coarse }))), [])
      const fine: Money.Money = { currency: "USD", amount: Money.Amount.make(BigDecimal.make(10001n, 3)) }
      assert.deepStrictEqual(found(Reconciliation.reconcile(...pair({}, { money: fine }))), ["AmountMismatch tx"])
    })
  })

  describe("currencies", () => {
    it("that differ are no amount mismatch, whatever the amounts", () => {
      for (const amount of ["10.00", "11.00"]) {
        const report = Reconciliation.reconcile(...pair({}, { money: Money.makeUnsafe("EUR", amount) }))
        assert.deepStrictEqual(found(report), ["CurrencyMismatch tx"])
      }
    })

    it("that differ are accounted for each on its side", () => {
      const { accounts } = Reconciliation.reconcile(...pair({}, { money: Money.makeUnsafe("EUR", "9.00") }))
      assert.deepStrictEqual(
        accounts.map(({ currency, matched, read, reported, side }) => [
          side,
          currency,
          read.records,
          matched.records,
          Money.format(reported.sum)
        ]),
        [["internal", "USD", 1, 0, "USD 10.00"], ["gateway", "EUR", 1, 0, "EUR 9.00"]]
      )
    })
  })

  describe("statuses", () => {
    it("are compared exactly", () => {
      for (const status of ["refunded", "Captured"]) {
        assert.deepStrictEqual(found(Reconciliation.reconcile(...pair({}, { status }))), ["StatusMismatch tx"])
      }
    })

    it("may have other words on either side", () => {
      const statusAliases = { settled: "captured", paid: "captured", captured: "captured" }
      for (const [ours, theirs] of [["settled", "captured"], ["captured", "paid"], ["settled", "paid"]] as const) {
        const report = Reconciliation.reconcile(...pair({ status: ours }, { status: theirs }), { statusAliases })
        assert.deepStrictEqual(found(report), [])
      }
      assert.deepStrictEqual(
        found(Reconciliation.reconcile(...pair({ status: "settled" }, { status: "voided" }), { statusAliases })),
        ["StatusMismatch tx"]
      )
    })

    it("may have another word for another word", () => {
      const statusAliases = { paid: "settled", settled: "captured", a: "b", b: "a" }
      for (const [ours, theirs] of [["paid", "settled"], ["paid", "captured"], ["settled", "captured"], ["a", "b"]]) {
        const report = Reconciliation.reconcile(
          ...pair({ status: ours ?? "" }, { status: theirs ?? "" }),
          { statusAliases }
        )
        assert.deepStrictEqual(found(report), [], `${ours} ${theirs}`)
      }
      assert.deepStrictEqual(
        found(Reconciliation.reconcile(...pair({ status: "a" }, { status: "captured" }), { statusAliases })),
        ["StatusMismatch tx"]
      )
    })

    it("differ where one side has a charge and the other a refund", () => {
      const options = { orphanRefunds: false }
      assert.deepStrictEqual(
        found(Reconciliation.reconcile(...pair({ kind: "charge" }, { kind: "refund" }), options)),
        ["StatusMismatch tx"]
      )
      assert.deepStrictEqual(found(Reconciliation.reconcile(...pair({}, { kind: "refund" }), options)), [])
    })
  })

  describe("fees", () => {
    it("are compared where both sides state one", () => {
      const fee = usd("0.30")
      assert.deepStrictEqual(found(Reconciliation.reconcile(...pair({ fee }, {}))), [])
      assert.deepStrictEqual(found(Reconciliation.reconcile(...pair({}, { fee }))), [])
      assert.deepStrictEqual(found(Reconciliation.reconcile(...pair({ fee }, { fee }))), [])
      assert.deepStrictEqual(
        found(Reconciliation.reconcile(...pair({ fee }, { fee: usd("0.31") }))),
        ["FeeMismatch tx"]
      )
      assert.deepStrictEqual(
        found(Reconciliation.reconcile(...pair({ fee }, { fee: Money.makeUnsafe("EUR", "0.30") }))),
        ["FeeMismatch tx"]
      )
    })

    it("have a tolerance of their own", () => {
      const records = pair({ fee: usd("0.30") }, { fee: usd("0.31") })
      const tolerance = { USD: usd("0.01") }
      assert.deepStrictEqual(found(Reconciliation.reconcile(...records, { feeTolerance: tolerance })), [])
      assert.deepStrictEqual(found(Reconciliation.reconcile(...records, { tolerance })), ["FeeMismatch tx"])
    })

    it("are not compared across currencies of the pair", () => {
      const euro = (amount: string) => Money.makeUnsafe("EUR", amount)
      const records = pair({ fee: usd("0.30") }, { money: euro("10.00"), fee: euro("0.30") })
      assert.deepStrictEqual(found(Reconciliation.reconcile(...records)), ["CurrencyMismatch tx"])
    })
  })

  describe("times", () => {
    it("may be apart by the window, inclusive, both ways", () => {
      for (
        const [at, agrees] of [
          ["2026-02-01T12:00:00.000Z", true],
          ["2026-01-30T12:00:00.000Z", true],
          ["2026-02-01T12:00:00.001Z", false],
          ["2026-01-30T11:59:59.999Z", false]
        ] as const
      ) {
        const report = Reconciliation.reconcile(...pair({}, { at }))
        assert.deepStrictEqual(found(report), agrees ? [] : ["DateDrift tx"], at)
      }
    })

    it("say which side is later", () => {
      for (const [at, drift] of [["2026-02-02T12:00:00Z", 2], ["2026-01-29T12:00:00Z", -2]] as const) {
        const [first] = Reconciliation.reconcile(...pair({}, { at })).discrepancies
        assert.isTrue(first?._tag === "DateDrift" && Duration.toDays(first.drift) === drift)
      }
    })

    it("have the window that the policy says", () => {
      const records = pair({}, { at: "2026-02-02T12:00:00Z" })
      assert.deepStrictEqual(found(Reconciliation.reconcile(...records, { window: "2 days" })), [])
      assert.deepStrictEqual(found(Reconciliation.reconcile(...records, { window: "47 hours" })), ["DateDrift tx"])
      const years = pair({}, { at: "1999-01-01T00:00:00Z" })
      assert.deepStrictEqual(found(Reconciliation.reconcile(...years, { window: "Infinity" })), [])
    })
  })

  it("reports a pair once for each way in which it differs, and counts it once", () => {
    const report = Reconciliation.reconcile(
      ...pair({ fee: usd("0.30") }, {
        money: usd("11.00"),
        status: "refunded",
        fee: usd("0.40"),
        at: "2026-03-01T00:00:00Z"
      })
    )
    assert.deepStrictEqual(
      found(report),
      ["AmountMismatch tx", "StatusMismatch tx", "FeeMismatch tx", "DateDrift tx"]
    )
    assert.deepStrictEqual([report.matched, report.total], [0, 1])
    assert.deepStrictEqual(report.accounts.map(({ reported }) => reported.records), [1, 1])
  })

  describe("copies of an id", () => {
    it("are duplicates of their side, and the best one is paired", () => {
      const wrong = record("tx", { money: usd("99.00") })
      for (const ours of [[wrong, record("tx")], [record("tx"), wrong]]) {
        const report = Reconciliation.reconcile(ours, [record("tx")])
        assert.deepStrictEqual(found(report), ["Duplicate tx"])
        assert.deepStrictEqual([report.matched, report.total], [1, 2])
        const [first] = report.discrepancies
        assert.isTrue(first?._tag === "Duplicate" && first.record === wrong && first.side === "internal")
      }
    })

    it("are not overwritten where they are the same", () => {
      const copies = [record("tx"), record("tx"), record("tx")]
      const report = Reconciliation.reconcile([record("tx")], copies)
      assert.deepStrictEqual(found(report), ["Duplicate tx", "Duplicate tx"])
      assert.deepStrictEqual(
        report.discrepancies.map((x) => x._tag === "Duplicate" ? [x.side, x.copy, x.copies] : []),
        [["gateway", 2, 3], ["gateway", 3, 3]]
      )
      assert.strictEqual(report.accounts.find((x) => x.side === "gateway")?.read.records, 3)
    })

    it("are reported on both sides, even where they would agree", () => {
      const report = Reconciliation.reconcile([record("tx"), record("tx")], [record("tx"), record("tx")])
      assert.deepStrictEqual(report.discrepancies.map((x) => x._tag === "Duplicate" ? x.side : x._tag), [
        "internal",
        "gateway"
      ])
      assert.deepStrictEqual([report.matched, report.total], [1, 3])
    })

    it("that the other side lacks are missing once", () => {
      const report = Reconciliation.reconcile([], [record("tx"), record("tx")])
      assert.deepStrictEqual(found(report), ["MissingInternal tx", "Duplicate tx"])
      assert.deepStrictEqual([report.matched, report.total], [0, 2])
    })

    it("pair by what matters most: currency, amount, status, fee, time", () => {
      const gateway = record("tx", { fee: usd("0.30") })
      const worse = [
        record("tx", { fee: usd("0.30"), at: "2027-01-01T00:00:00Z" }),
        record("tx", { fee: usd("0.31") }),
        record("tx", { fee: usd("0.30"), status: "voided" }),
        record("tx", { fee: usd("0.30"), money: usd("10.01") }),
        record("tx", { fee: usd("0.30"), money: Money.makeUnsafe("EUR", "10.00") })
      ]
      const kinds: ReadonlyArray<Reconciliation.Kind> = [
        "DateDrift",
        "FeeMismatch",
        "StatusMismatch",
        "AmountMismatch",
        "CurrencyMismatch"
      ]
      for (const [index, kind] of kinds.entries()) {
        const report = Reconciliation.reconcile(worse.slice(index).toReversed(), [gateway])
        assert.strictEqual(report.discrepancies[0]?._tag, kind)
        assert.strictEqual(report.byKind.Duplicate ?? 0, worse.length - index - 1)
      }
    })

    it("cost no more than their number, however many", () => {
      const copies = (cents: number) =>
        Array.from(
          { length: 20_000 },
          (_, i) => record("tx", { money: Money.fromMinorUnits("USD", BigInt(i + cents)) })
        )
      const begin = performance.now()
      const report = Reconciliation.reconcile(copies(0), copies(1_000_000))
      assert.isBelow(performance.now() - begin, 10_000)
      assert.strictEqual(report.byKind.Duplicate, 39_998)
      assert.isTrue(Reconciliation.isConserved(report))
    })
  })

  describe("refunds", () => {
    const refund = (parent?: string) => record("re", { kind: "refund", ...parent === undefined ? {} : { parent } })

    it("belong to a charge on either side", () => {
      for (const [ours, theirs] of [[[record("tx")], []], [[], [record("tx")]], [[record("tx")], [record("tx")]]]) {
        const report = Reconciliation.reconcile([...ours ?? [], refund("tx")], [refund("tx"), ...theirs ?? []])
        assert.isUndefined(report.byKind.OrphanRefund)
      }
    })

    it("are orphans without one", () => {
      const others = [record("tx"), record("re2", { kind: "refund", parent: "tx" })]
      for (const parent of ["nowhere", "re2", "re", undefined]) {
        const report = Reconciliation.reconcile([refund(parent), ...others], [refund(parent), ...others])
        assert.deepStrictEqual(found(report), ["OrphanRefund re"], parent)
        assert.deepStrictEqual([report.matched, report.total], [2, 3])
      }
    })

    it("that one side has alone are missing and may be orphans", () => {
      const report = Reconciliation.reconcile([], [refund("nowhere")])
      assert.deepStrictEqual(found(report), ["MissingInternal re", "OrphanRefund re"])
      assert.strictEqual(report.total, 1)
    })

    it("need their charge to be named on one side only", () => {
      const charge = record("tx")
      assert.deepStrictEqual(found(Reconciliation.reconcile([refund("tx"), charge], [refund(), charge])), [])
      assert.deepStrictEqual(found(Reconciliation.reconcile([refund(), charge], [refund("tx"), charge])), [])
    })

    it("are reported where the sides name different charges that are both there", () => {
      const charges = [record("tx"), record("ty")]
      const report = Reconciliation.reconcile([refund("tx"), ...charges], [refund("ty"), ...charges])
      assert.deepStrictEqual(found(report), ["OrphanRefund re"])
      assert.deepStrictEqual([report.matched, report.total], [2, 3])
      assert.deepStrictEqual(report.discrepancies.map(Reconciliation.detail), [
        "internal names the charge tx, gateway the charge ty: there is no charge that both name"
      ])
      // One of them may know the charge by a name of its own.
      assert.deepStrictEqual(
        found(Reconciliation.reconcile([refund("tx"), ...charges], [refund("ch_1"), ...charges])),
        []
      )
      const policy = { orphanRefunds: false }
      assert.deepStrictEqual(
        found(Reconciliation.reconcile([refund("tx"), ...charges], [refund("ty"), ...charges], policy)),
        []
      )
    })

    it("may name a charge among copies, or of an earlier day", () => {
      const copies = [record("tx", { kind: "refund", parent: "old" }), record("tx")]
      const policy = { knownCharges: new Set(["old"]) }
      const report = Reconciliation.reconcile([...copies, refund("tx")], [refund("tx")], policy)
      assert.isUndefined(report.byKind.OrphanRefund)
      assert.deepStrictEqual(found(Reconciliation.reconcile([refund("old")], [refund("old")], policy)), [])
    })

    it("are not traced where the policy says so", () => {
      const policy = { orphanRefunds: false }
      assert.deepStrictEqual(found(Reconciliation.reconcile([refund()], [refund()], policy)), [])
    })
  })
})

describe("Reconciliation.isConserved", () => {
  const report = Reconciliation.reconcile([record("a"), record("b")], [record("a")])

  it("holds for every report", () => {
    assert.isTrue(Reconciliation.isConserved(report))
    const [ours] = report.accounts
    assert.deepStrictEqual(
      [ours?.read, ours?.matched, ours?.reported].map((tally) => [tally?.records, tally && Money.format(tally.sum)]),
      [[2, "USD 20.00"], [1, "USD 10.00"], [1, "USD 10.00"]]
    )
  })

  it("sums exactly, beyond what a number can hold and at any scale", () => {
    const minors = [
      9_007_199_254_740_991n,
      1n,
      1n,
      -9_007_199_254_740_992n,
      10n ** 33n,
      -(10n ** 32n),
      9_007_199_254_740_993n
    ]
    const records = minors.map((minor, i) => record(`tx_${i}`, { money: Money.fromMinorUnits("USD", minor) }))
    const fine = BigDecimal.make(12_345n, 4)
    const odd = [1, 2].map((i) => record(`odd_${i}`, { money: { currency: "USD", amount: Money.Amount.make(fine) } }))
    const { accounts } = Reconciliation.reconcile([...records, ...odd], records)
    const total = BigDecimal.make(minors.reduce((sum, minor) => sum + minor, 0n), 2)
    for (const { matched, read, reported, side } of accounts) {
      const apart = side === "internal" ? BigDecimal.sum(fine, fine) : BigDecimal.make(0n, 0)
      assert.isTrue(BigDecimal.equals(matched.sum.amount, total), side)
      assert.isTrue(BigDecimal.equals(reported.sum.amount, apart), side)
      assert.isTrue(BigDecimal.equals(read.sum.amount, BigDecimal.sum(total, apart)), side)
    }
  })

  it("notices a record and a cent that are lost", () => {
    const broken = (change: Partial<Reconciliation.Tally>): Report => ({
      ...report,
      accounts: report.accounts.map((x, i) => i === 0 ? { ...x, reported: { ...x.reported, ...change } } : x)
    })
    assert.isTrue(Reconciliation.isConserved(broken({})))
    assert.isFalse(Reconciliation.isConserved(broken({ records: 0 })))
    assert.isFalse(Reconciliation.isConserved(broken({ sum: usd("9.99") })))
  })
})

describe("Reconciliation.summary", () => {
  it("is the line of the form that is known", () => {
    const day = Array.from({ length: 1248 }, (_, i) => record(`tx_${i}`))
    const report = Reconciliation.reconcile(
      [...day, record("tx_s")],
      [record("tx_m1"), ...day, record("tx_s", { status: "refunded" }), record("tx_m2")]
    )
    assert.strictEqual(
      Reconciliation.summary(report),
      "1248/1251 matched, 3 discrepancies: 2 missing_internal, 1 status_mismatch"
    )
  })

  it("names every kind that occurs, in one order", () => {
    const all: ReadonlyArray<readonly [Reconciliation.Kind, string]> = [
      ["MissingInternal", "missing_internal"],
      ["MissingGateway", "missing_gateway"],
      ["AmountMismatch", "amount_mismatch"],
      ["CurrencyMismatch", "currency_mismatch"],
      ["StatusMismatch", "status_mismatch"],
      ["Duplicate", "duplicate"],
      ["FeeMismatch", "fee_mismatch"],
      ["DateDrift", "date_drift"],
      ["OrphanRefund", "orphan_refund"]
    ]
    const byKind = Object.fromEntries(all.toReversed().map(([kind]) => [kind, 1]))
    const counts = all.map(([, name]) => `1 ${name}`).join(", ")
    const report: Report = { matched: 0, total: 0, discrepancies: [], byKind, accounts: [] }
    assert.strictEqual(Reconciliation.summary(report), `0/0 matched, 0 discrepancies: ${counts}`)
    assert.deepStrictEqual(Reconciliation.kinds, all.map(([kind]) => kind))
  })
})

const everyKind = (): Report => {
  const fee = usd("0.30")
  const ours = [
    record("01"),
    record("03"),
    record("04"),
    record("05"),
    record("06"),
    record("06", { status: "voided" }),
    record("07", { fee }),
    record("08"),
    record("09", { kind: "refund", parent: "01" }),
    record("10", { kind: "refund", parent: "nowhere" })
  ]
  const theirs = [
    record("02"),
    record("03", { money: usd("12.50") }),
    record("04", { money: Money.makeUnsafe("EUR", "10.00") }),
    record("05", { kind: "charge", status: "refunded" }),
    record("06"),
    record("07", { fee: usd("0.35") }),
    record("08", { at: "2026-02-02T12:30:00Z" }),
    record("09", { kind: "refund" }),
    record("10", { kind: "refund" })
  ]
  return Reconciliation.reconcile(ours, theirs)
}

describe("Reconciliation.detail", () => {
  it("says of each kind what is wrong", () => {
    assert.deepStrictEqual(everyKind().discrepancies.map((x) => `${x._tag}: ${Reconciliation.detail(x)}`), [
      "MissingGateway: internal has USD 10.00 captured at 2026-01-31T12:00:00.000Z, the gateway has nothing",
      "MissingInternal: the gateway has USD 10.00 captured at 2026-01-31T12:00:00.000Z, internal has nothing",
      "AmountMismatch: internal USD 10.00, gateway USD 12.50, difference USD 2.50",
      "CurrencyMismatch: internal USD 10.00, gateway EUR 10.00",
      "StatusMismatch: internal captured, gateway charge refunded",
      "Duplicate: copy 2 of 2 on the side internal: USD 10.00 voided at 2026-01-31T12:00:00.000Z",
      "FeeMismatch: internal fee USD 0.30, gateway fee USD 0.35",
      "DateDrift: internal 2026-01-31T12:00:00.000Z, gateway 2026-02-02T12:30:00.000Z, 2d 30m apart",
      "OrphanRefund: there is no charge nowhere on either side"
    ])
  })

  it("says of a refund that it names no charge", () => {
    const refund = record("re", { kind: "refund" })
    const [orphan] = Reconciliation.reconcile([refund], [refund]).discrepancies
    assert.strictEqual(orphan && Reconciliation.detail(orphan), "the refund names no charge")
  })
})

describe("Reconciliation.toJson", () => {
  it("has these fields and no others", () => {
    const json = Reconciliation.toJson(everyKind())
    assert.deepStrictEqual(Object.keys(json), ["matched", "total", "discrepancies", "byKind"])
    for (const discrepancy of json.discrepancies) {
      assert.deepStrictEqual(Object.keys(discrepancy), ["kind", "transactionId", "internal", "gateway", "detail"])
    }
    assert.deepStrictEqual(json.byKind, {
      missing_internal: 1,
      missing_gateway: 1,
      amount_mismatch: 1,
      currency_mismatch: 1,
      status_mismatch: 1,
      duplicate: 1,
      fee_mismatch: 1,
      date_drift: 1,
      orphan_refund: 1
    })
    assert.deepStrictEqual([json.matched, json.total], [2, 11])
  })

  it("shows the records in plain fields, null where a side has none", () => {
    const byKind = new Map(Reconciliation.toJson(everyKind()).discrepancies.map((x) => [x.kind, x]))
    const plain = { amount: "10.00", currency: "USD", status: "captured", occurredAt: "2026-01-31T12:00:00.000Z" }
    assert.deepStrictEqual(byKind.get("missing_internal")?.internal, null)
    assert.deepStrictEqual(byKind.get("missing_internal")?.gateway, { transactionId: "02", ...plain })
    assert.deepStrictEqual(byKind.get("missing_gateway")?.gateway, null)
    assert.deepStrictEqual(byKind.get("duplicate")?.internal, { transactionId: "06", ...plain, status: "voided" })
    assert.deepStrictEqual(byKind.get("duplicate")?.gateway, null)
    assert.deepStrictEqual(byKind.get("fee_mismatch")?.internal, {
      transactionId: "07",
      ...plain,
      fee: "0.30",
      feeCurrency: "USD"
    })
    assert.deepStrictEqual(byKind.get("orphan_refund")?.internal, {
      transactionId: "10",
      ...plain,
      kind: "refund",
      parent: "nowhere"
    })
  })

  it("is plain data", () => {
    const json = Reconciliation.toJson(everyKind())
    assert.deepStrictEqual(JSON.parse(JSON.stringify(json)), json)
  })
})

describe("Reconciliation.TransactionRecord", () => {
  it("decodes and encodes", () => {
    const wire: typeof Reconciliation.TransactionRecord.Encoded = {
      transactionId: "tx",
      money: { amount: "10.00", currency: "USD" },
      status: "captured",
      occurredAt: "2026-01-31T12:00:00.000Z",
      fee: { amount: "0.30", currency: "USD" },
      kind: "refund",
      parent: "tx_0"
    }
    const decoded = Schema.decodeSync(Reconciliation.TransactionRecord)(wire)
    assert.deepStrictEqual(Schema.encodeSync(Reconciliation.TransactionRecord)(decoded), wire)
  })

  it("refuses what has no id, no status, or too much of it", () => {
    const decode = Schema.decodeUnknownResult(Reconciliation.TransactionRecord)
    const wire = {
      transactionId: "tx",
      money: { amount: "10.00", currency: "USD" },
      status: "captured",
      occurredAt: noon
    }
    assert.strictEqual(decode(wire)._tag, "Success")
    for (
      const change of [
        { transactionId: "" },
        { transactionId: "x".repeat(256) },
        { status: "" },
        { status: "x".repeat(65) },
        { occurredAt: "yesterday" },
        { kind: "payout" },
        { parent: "" },
        { money: { amount: "10.001", currency: "USD" } }
      ]
    ) assert.strictEqual(decode({ ...wire, ...change })._tag, "Failure", JSON.stringify(change))
  })
})

describe("Reconciliation.handle", () => {
  const report = Reconciliation.reconcile(["a", "b", "c"].map((id) => record(id)), [record("d")])

  it.effect("gives each handler the discrepancies of its kind, in order", () =>
    Effect.gen(function*() {
      const calls: Array<string> = []
      const note = (name: string) => ({ transactionId }: { readonly transactionId: string }) =>
        Effect.sync(() => calls.push(`${name} ${transactionId}`))
      const handled = yield* Reconciliation.handle(report, [
        Reconciliation.on("MissingInternal", note("replay")),
        Reconciliation.on("MissingGateway", note("page")),
        Reconciliation.on("MissingGateway", note("ticket")),
        Reconciliation.on("AmountMismatch", note("never"))
      ])
      assert.deepStrictEqual(calls, [
        "page a",
        "ticket a",
        "page b",
        "ticket b",
        "page c",
        "ticket c",
        "replay d"
      ])
      assert.deepStrictEqual(handled, { succeeded: 7, failures: [], skipped: {} })
    }))

  it.effect("goes on after one that fails, dies, throws or interrupts itself, and says so", () =>
    Effect.gen(function*() {
      const done: Array<string> = []
      const handled = yield* Reconciliation.handle(report, [
        Reconciliation.on("MissingGateway", ({ transactionId }) => {
          // oxlint-disable-next-line no-throw-literal
          if (transactionId === "a") throw new Error("thrown")
          return transactionId === "b" ? Effect.die("a defect") : Effect.interrupt
        }),
        Reconciliation.on("MissingGateway", ({ transactionId }) => Effect.sync(() => done.push(transactionId))),
        Reconciliation.on("MissingInternal", () => Effect.fail("no" as const))
      ])
      assert.deepStrictEqual(done, ["a", "b", "c"])
      assert.strictEqual(handled.succeeded, 3)
      assert.deepStrictEqual(handled.failures.map((x) => x.discrepancy.transactionId), ["a", "b", "c", "d"])
      const [thrown, died, interrupted, failed] = handled.failures.map((x) => x.cause)
      assert.isTrue(thrown !== undefined && Cause.hasDies(thrown))
      assert.isTrue(died !== undefined && Cause.hasDies(died))
      assert.isTrue(interrupted !== undefined && Cause.hasInterruptsOnly(interrupted))
      assert.isTrue(failed !== undefined && Equal.equals(failed, Cause.fail("no")))
    }))

  it.effect("stops one that hangs", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(
        Reconciliation.handle(report, [
          Reconciliation.on(
            "MissingGateway",
            ({ transactionId }) => transactionId === "b" ? Effect.never : Effect.void
          ),
          Reconciliation.on("MissingInternal", () => Effect.void)
        ], { timeout: "5 seconds" })
      )
      yield* TestClock.adjust("5 seconds")
      const handled = yield* Fiber.join(fiber)
      assert.strictEqual(handled.succeeded, 3)
      assert.deepStrictEqual(handled.failures.map((x) => x.discrepancy.transactionId), ["b"])
      assert.isTrue(handled.failures.every((x) => Cause.squash(x.cause) instanceof Cause.TimeoutError))
    }))

  it.effect("has a timeout of its own", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(
        Reconciliation.handle(report, [Reconciliation.on("MissingInternal", () => Effect.never)])
      )
      yield* TestClock.adjust("29999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* Fiber.join(fiber)).failures.length, 1)
    }))

  it.effect("stops as a whole when it is interrupted", () =>
    Effect.gen(function*() {
      const started = yield* Deferred.make<void>()
      const seen: Array<string> = []
      const fiber = yield* Effect.forkChild(
        Reconciliation.handle(report, [
          Reconciliation.on("MissingGateway", ({ transactionId }) => {
            seen.push(transactionId)
            return Effect.andThen(Deferred.succeed(started, undefined), Effect.never)
          })
        ])
      )
      yield* Deferred.await(started)
      yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
      assert.deepStrictEqual(seen, ["a"])
    }))

  it.effect("handles no more of a kind than the limit, and counts the rest", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const note = ({ transactionId }: { readonly transactionId: string }) =>
        Effect.sync(() => seen.push(transactionId))
      const handled = yield* Reconciliation.handle(report, [
        Reconciliation.on("MissingGateway", note),
        Reconciliation.on("MissingInternal", note)
      ], { limitPerKind: 1 })
      assert.deepStrictEqual(seen, ["a", "d"])
      assert.deepStrictEqual(handled, { succeeded: 2, failures: [], skipped: { MissingGateway: 2 } })
    }))

  it.effect("runs as many at a time as it is told, and keeps the order of failures", () =>
    Effect.gen(function*() {
      let running = 0
      let most = 0
      const fiber = yield* Effect.forkChild(
        Reconciliation.handle(report, [
          Reconciliation.on("MissingGateway", ({ transactionId }) =>
            Effect.gen(function*() {
              most = Math.max(most, ++running)
              yield* Effect.sleep(transactionId === "a" ? "2 seconds" : "1 second")
              running--
              return yield* Effect.fail(transactionId)
            }))
        ], { concurrency: 3 })
      )
      yield* TestClock.adjust("2 seconds")
      const { failures } = yield* Fiber.join(fiber)
      assert.strictEqual(most, 3)
      assert.deepStrictEqual(failures.map((x) => x.discrepancy.transactionId), ["a", "b", "c"])
    }))
})
