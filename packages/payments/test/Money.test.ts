import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, BigDecimal, Effect, Equal, Hash, Result, Schema } from "effect"
import { Currency, Money, MoneyError, Ratio } from "effect-payments"

const usd = (text: string) => Money.makeUnsafe("USD", text)
const failure = <A, E>(result: Result.Result<A, E>): E => Result.getOrThrow(Result.flip(result))

const Minor = Schema.BigInt.check(Schema.isBetweenBigInt({ minimum: -(10n ** 20n), maximum: 10n ** 20n }))
const Weight = Schema.BigInt.check(Schema.isBetweenBigInt({ minimum: 0n, maximum: 10n ** 12n }))
const Positive = Schema.BigInt.check(Schema.isBetweenBigInt({ minimum: 1n, maximum: 10n ** 12n }))
const AnyMoney = Arbitrary.schema(Money.Money)
const runs = { arbitrary: { runs: 500 } }

/** The known deviations of gateways from ISO 4217, as adapters would state them. */
const gateways: Record<string, Money.Exponents> = {
  iso4217: {},
  stripe: { UGX: 2, ISK: 2 },
  adyen: { CLP: 2, CVE: 0, ISK: 2 },
  sumup: { COP: 0, HUF: 0 }
}

type Refusal = MoneyError.Fault | "AmountTooLong" | "AmountOutOfRange" | "TooManyFractionDigits"

const hostile: ReadonlyArray<readonly [text: string, refusal: Refusal]> = [
  ["", "Empty"],
  [" ", "Whitespace"],
  [" 12", "Whitespace"],
  ["12 ", "Whitespace"],
  ["  12  ", "Whitespace"],
  ["1 000", "Whitespace"],
  ["1\u00a0000", "Whitespace"],
  ["1\u202f000.00", "Whitespace"],
  ["1\u2009000", "Whitespace"],
  ["\t1", "Whitespace"],
  ["1\n", "Whitespace"],
  ["1\r\n2", "Whitespace"],
  ["\ufeff1.00", "Whitespace"],
  ["1\u200b2", "Whitespace"],
  ["- 1", "Whitespace"],
  ["+5", "LeadingPlus"],
  ["+0", "LeadingPlus"],
  ["+1.00", "LeadingPlus"],
  ["++1", "LeadingPlus"],
  ["+-1", "LeadingPlus"],
  [".5", "BareDecimalPoint"],
  ["5.", "BareDecimalPoint"],
  ["-.5", "BareDecimalPoint"],
  ["-5.", "BareDecimalPoint"],
  [".", "BareDecimalPoint"],
  ["-.", "BareDecimalPoint"],
  ["0.", "BareDecimalPoint"],
  ["00", "LeadingZero"],
  ["007", "LeadingZero"],
  ["01.00", "LeadingZero"],
  ["-01", "LeadingZero"],
  ["-00.10", "LeadingZero"],
  ["000000000000000000000000000000000000001", "LeadingZero"],
  ["0x10", "RadixPrefix"],
  ["0X10", "RadixPrefix"],
  ["-0x1", "RadixPrefix"],
  ["0b11", "RadixPrefix"],
  ["0o17", "RadixPrefix"],
  ["1e3", "Exponent"],
  ["1E3", "Exponent"],
  ["1e+3", "Exponent"],
  ["1e-3", "Exponent"],
  ["1.5e3", "Exponent"],
  ["-1e3", "Exponent"],
  ["1e1000000", "Exponent"],
  ["1e10000000", "Exponent"],
  ["1e-10000000", "Exponent"],
  ["1e999999999999999999", "Exponent"],
  ["0e0", "Exponent"],
  [".5e1", "Exponent"],
  ["NaN", "NotANumber"],
  ["nan", "NotANumber"],
  ["Infinity", "NotANumber"],
  ["-Infinity", "NotANumber"],
  ["inf", "NotANumber"],
  ["1,000.00", "Grouping"],
  ["1,000", "Grouping"],
  ["1,5", "Grouping"],
  ["1.000,00", "Grouping"],
  ["1.000.000", "Grouping"],
  ["1_000", "Grouping"],
  ["1'000", "Grouping"],
  ["1..0", "Grouping"],
  ["12,34,567.00", "Grouping"],
  ["\u0661\u0662", "NonAsciiDigit"],
  ["\u06f1\u06f2.\u06f3", "NonAsciiDigit"],
  ["\uff11\uff12", "NonAsciiDigit"],
  ["1\uff10", "NonAsciiDigit"],
  ["\u0967", "NonAsciiDigit"],
  ["\u{1d7ce}", "NonAsciiDigit"],
  ["\u22125", "UnexpectedCharacter"],
  ["\u20135", "UnexpectedCharacter"],
  ["1\u066b5", "UnexpectedCharacter"],
  ["\u00bd", "UnexpectedCharacter"],
  ["\u00b2", "UnexpectedCharacter"],
  ["\u2163", "UnexpectedCharacter"],
  ["$10", "UnexpectedCharacter"],
  ["10$", "UnexpectedCharacter"],
  ["10 USD", "Whitespace"],
  ["USD10", "UnexpectedCharacter"],
  ["10USD", "UnexpectedCharacter"],
  ["\u20ac5", "UnexpectedCharacter"],
  ["-", "UnexpectedCharacter"],
  ["--1", "UnexpectedCharacter"],
  ["1-", "UnexpectedCharacter"],
  ["(1)", "UnexpectedCharacter"],
  ["1/2", "UnexpectedCharacter"],
  ["10%", "UnexpectedCharacter"],
  ["1n", "UnexpectedCharacter"],
  ["1f", "UnexpectedCharacter"],
  ["1;DROP", "UnexpectedCharacter"],
  ["1\u0000", "UnexpectedCharacter"],
  ["\u0000", "UnexpectedCharacter"],
  ["null", "UnexpectedCharacter"],
  ["undefined", "UnexpectedCharacter"],
  ["true", "UnexpectedCharacter"],
  ["[object Object]", "Whitespace"],
  ["\ud800", "UnexpectedCharacter"],
  ["1.234", "TooManyFractionDigits"],
  ["0.001", "TooManyFractionDigits"],
  ["10.000", "TooManyFractionDigits"],
  ["-0.000", "TooManyFractionDigits"],
  ["0.1234567890123456789012345678901234567", "TooManyFractionDigits"],
  ["100000000000000000000000000000000.00", "AmountOutOfRange"],
  ["99999999999999999999999999999999999", "AmountOutOfRange"],
  ["-" + "9".repeat(33), "AmountOutOfRange"],
  ["9".repeat(41), "AmountTooLong"],
  ["0".repeat(41), "AmountTooLong"],
  [" ".repeat(41), "AmountTooLong"]
]

describe("Money parse", () => {
  it.effect.each(hostile)("refuses %j with a reason", ([text, refusal]) => refuses(text, refusal))

  it.effect.each(["9", "1e9", "-", "0.0", " ", "\u0661"])(
    "refuses a megabyte of %j by its length",
    (text) => refuses(text.padEnd(1_000_000, text), "AmountTooLong")
  )

  const refuses = (text: string, refusal: Refusal) =>
    Effect.sync(() => {
      const { reason } = failure(Money.parse("USD", text))
      assert.strictEqual(reason._tag === "AmountMalformed" ? reason.fault : reason._tag, refusal)
      const decoded = failure(Schema.decodeUnknownResult(Money.Money)({ amount: text, currency: "USD" }))
      assert.strictEqual(decoded.message, reason.message)
      assert.isTrue(reason.message.length < 100)
    })

  it("has about a hundred hostile texts, all different", () => {
    assert.isAtLeast(new Set(hostile.map(([text]) => text)).size, 100)
  })

  it("costs the same for a megabyte as for a dozen characters", () => {
    const million = "9".repeat(1_000_000)
    const before = performance.now()
    for (let i = 0; i < 1000; i++) Money.parse("USD", million)
    // Reading a megabyte of digits takes more than 100 ms a time; a thousand refusals take some 10 ms.
    assert.isBelow(performance.now() - before, 1000)
  })

  it("reads what a person writes and brings it to the digits of the currency", () => {
    const read = (currency: Currency.Currency, text: string) =>
      Money.formatAmount(Result.getOrThrow(Money.parse(currency, text)))
    assert.strictEqual(read("USD", "10"), "10.00")
    assert.strictEqual(read("USD", "10.5"), "10.50")
    assert.strictEqual(read("USD", "-0.01"), "-0.01")
    assert.strictEqual(read("JPY", "1000"), "1000")
    assert.strictEqual(read("KWD", "1.5"), "1.500")
    assert.strictEqual(read("CLF", "0.0001"), "0.0001")
    assert.strictEqual(read("USD", "99999999999999999999999999999999.99"), "99999999999999999999999999999999.99")
  })

  it("turns minus zero into zero", () => {
    for (const text of ["-0", "-0.0", "-0.00"]) {
      const money = usd(text)
      assert.strictEqual(Money.formatAmount(money), "0.00")
      assert.isTrue(Equal.equals(money, Money.zero("USD")))
      assert.isFalse(Money.isNegative(money))
    }
  })

  it("never repeats what it refused", () => {
    const pan = "4111111111111111"
    const texts = [`${pan}x`, `x${pan}`, `${pan}${pan}${pan}`, `${pan}.${pan}`]
    for (const amount of texts) {
      const error = failure(Money.parse("USD", amount))
      assert.notInclude(JSON.stringify(error) + String(error) + error.message, pan)
    }
    const error = failure(Schema.decodeUnknownResult(Money.Money)({ amount: "1", currency: pan }))
    assert.notInclude(JSON.stringify(error) + String(error), pan)
  })

  it("throws only where the name says so", () => {
    assert.throws(() => Money.makeUnsafe("USD", "1e3"), MoneyError.MoneyError)
  })
})

describe("Currency", () => {
  it("has the digits of ISO 4217", () => {
    const of = (digits: number) => Currency.codes.filter((code) => Currency.digits(code) === digits).join(" ")
    assert.strictEqual(of(0), "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF")
    assert.strictEqual(of(3), "BHD IQD JOD KWD LYD OMR TND")
    assert.strictEqual(of(4), "CLF UYW")
    assert.strictEqual(Currency.digits("MGA"), 2)
    assert.strictEqual(Currency.digits("MRU"), 2)
    assert.strictEqual(Currency.codes.length, 165)
    assert.deepStrictEqual([...Currency.codes], [...Currency.codes].sort())
  })

  it("does not take its digits from the locale data", () => {
    const displayed = (code: string) =>
      new Intl.NumberFormat("en", { style: "currency", currency: code }).resolvedOptions().maximumFractionDigits
    assert.strictEqual(displayed("IQD"), 0)
    assert.strictEqual(Currency.digits("IQD"), 3)
  })

  it("refuses codes without a minor unit, withdrawn codes and others, each with its reason", () => {
    for (const code of "XAG XAU XBA XBB XBC XBD XDR XPD XPT XSU XTS XUA XXX".split(" ")) {
      assert.strictEqual(failure(Currency.fromCode(code)).reason._tag, "NoMinorUnit")
      assert.strictEqual(failure(Money.parse(code as never, "1")).reason._tag, "NoMinorUnit")
      assert.include(
        failure(Schema.decodeUnknownResult(Money.Money)({ amount: "1", currency: code })).message,
        "no minor unit"
      )
    }
    const others = "ANG BGN CUC HRK SLL ZWL DEM usd Usd US USDX __proto__ constructor".split(" ")
    for (const code of [...others, "", " ", "X".repeat(1_000_000)]) {
      assert.strictEqual(failure(Currency.fromCode(code)).reason._tag, "UnknownCurrency")
      assert.isFalse(Currency.isCurrency(code))
      assert.isTrue(Result.isFailure(Schema.decodeUnknownResult(Currency.Currency)(code)))
    }
  })
})

describe("Money schema", () => {
  it.effect.prop("decodes what it encoded, canonically", [AnyMoney], ([money]) =>
    Effect.gen(function*() {
      const encoded = yield* Schema.encodeEffect(Money.Money)(money)
      const decoded = yield* Schema.decodeEffect(Money.Money)(encoded)
      assert.isTrue(Equal.equals(decoded, money))
      assert.deepStrictEqual(yield* Schema.encodeEffect(Money.Money)(decoded), encoded)
      const fraction = encoded.amount.split(".")[1] ?? ""
      assert.strictEqual(fraction.length, Currency.digits(money.currency))
    }), runs)

  it.effect.prop("gives equal amounts equal texts, hashes and equality", [Minor], ([minor]) =>
    Effect.sync(() => {
      const canonical = Money.fromMinorUnits("USD", minor)
      const coarse: Money.Money<"USD"> = {
        amount: Money.Amount.make(BigDecimal.normalize(canonical.amount)),
        currency: "USD"
      }
      assert.isTrue(Equal.equals(canonical, coarse))
      assert.isTrue(Money.Equivalence(canonical, coarse))
      assert.strictEqual(Hash.hash(canonical), Hash.hash(coarse))
      assert.deepStrictEqual(Schema.encodeSync(Money.Money)(coarse), Schema.encodeSync(Money.Money)(canonical))
    }), runs)

  it("compares by value and by currency", () => {
    assert.isTrue(Equal.equals(usd("10.00"), usd("10.0")))
    assert.isFalse(Equal.equals(usd("10.00"), usd("10.01")))
    assert.isFalse(Equal.equals<Money.Money, Money.Money>(usd("10.00"), Money.makeUnsafe("EUR", "10.00")))
  })

  it("refuses what is no struct of two strings", () => {
    const inputs = [null, undefined, 1, "1", [], {}, { amount: "1" }, { currency: "USD" }, {
      amount: 1,
      currency: "USD"
    }, {
      amount: 1n,
      currency: "USD"
    }]
    for (const input of inputs) assert.isTrue(Result.isFailure(Schema.decodeUnknownResult(Money.Money)(input)))
  })

  it("takes one currency where one is named", () => {
    const decode = Schema.decodeUnknownResult(Money.of("USD"))
    assert.isTrue(Result.isSuccess(decode({ amount: "1.00", currency: "USD" })))
    assert.strictEqual(failure(decode({ amount: "1.00", currency: "EUR" })).message, "not in USD")
  })

  it("refuses to encode an amount that is finer than its currency", () => {
    const finer = { amount: Money.Amount.make(BigDecimal.make(10001n, 3)), currency: "USD" } as const
    assert.isTrue(Result.isFailure(Schema.encodeResult(Money.Money)(finer)))
  })

  it("survives the JSON codec from both sides", () => {
    const json = Schema.toCodecJson(Schema.Struct({ money: Money.Money, side: Schema.toType(Money.Money) }))
    const value = { money: usd("1.10"), side: Money.makeUnsafe("JPY", "5") }
    const encoded = Schema.encodeSync(json)(value)
    assert.deepStrictEqual<unknown>(encoded, {
      money: { amount: "1.10", currency: "USD" },
      side: { amount: "5", currency: "JPY" }
    })
    assert.isTrue(Equal.equals(Schema.decodeUnknownSync(json)(encoded), value))
  })
})

describe("Amount", () => {
  it("bounds scale and digits of a decimal made elsewhere before any arithmetic", () => {
    const killers = [
      BigDecimal.fromStringUnsafe("1e10000000"),
      BigDecimal.fromStringUnsafe("1e-10000000"),
      BigDecimal.fromStringUnsafe("1e35"),
      BigDecimal.make(0n, 10_000_000),
      BigDecimal.make(1n, Number.MAX_SAFE_INTEGER),
      BigDecimal.make(10n ** 34n, 0),
      BigDecimal.make(-(10n ** 40n), 20)
    ]
    const before = performance.now()
    for (const killer of killers) {
      assert.throws(() => Money.Amount.make(killer))
      assert.strictEqual(failure(Money.fromBigDecimal("USD", killer)).reason._tag, "AmountOutOfRange")
      assert.isTrue(Result.isFailure(Schema.encodeUnknownResult(Money.Money)({ amount: killer, currency: "USD" })))
      assert.isFalse(Schema.is(Money.Money)({ amount: killer, currency: "USD" }))
    }
    assert.isBelow(performance.now() - before, 500)
  })

  it("takes decimals within the bounds and says where they do not fit the currency", () => {
    const take = (text: string) => Money.fromBigDecimal("USD", BigDecimal.fromStringUnsafe(text))
    assert.strictEqual(Money.format(Result.getOrThrow(take("1e3"))), "USD 1000.00")
    assert.strictEqual(Money.format(Result.getOrThrow(take("10.0000"))), "USD 10.00")
    assert.strictEqual(failure(take("10.001")).reason._tag, "TooManyFractionDigits")
    assert.strictEqual(failure(take("1e33")).reason._tag, "AmountOutOfRange")
  })

  it("calculates with amounts made by hand at another scale", () => {
    const byHand = { amount: Money.Amount.make(BigDecimal.make(1n, -1)), currency: "USD" } as const
    assert.strictEqual(Money.format(byHand), "USD 10.00")
    assert.strictEqual(Money.format(Money.add(byHand, usd("0.01"))), "USD 10.01")
    assert.strictEqual(Money.compare(byHand, usd("9.99")), 1)
    assert.deepStrictEqual(Result.getOrThrow(Money.allocate(byHand, [1n, 2n])).map(Money.formatAmount), [
      "3.33",
      "6.67"
    ])
    const finer = { amount: Money.Amount.make(BigDecimal.make(10005n, 3)), currency: "USD" } as const
    assert.strictEqual(Money.format(finer), "USD 10.005")
    assert.strictEqual(failure(Money.allocate(finer, [1n])).reason._tag, "NotRepresentable")
    const rounded = Money.multiply(finer, { by: "1", rounding: "half-even" })
    assert.strictEqual(Money.format(Result.getOrThrow(rounded)), "USD 10.00")
  })

  it("has a bounded text form of its own", () => {
    const json = Schema.toCodecJson(Money.Amount)
    assert.strictEqual(Schema.encodeSync(json)(Money.Amount.make(BigDecimal.make(12n, -2))), "1200")
    assert.isTrue(Equal.equals(Schema.decodeSync(json)("1.50"), Money.Amount.make(BigDecimal.make(15n, 1))))
    for (const text of ["1e3", "9".repeat(41), "", "1e10000000"]) {
      assert.isTrue(Result.isFailure(Schema.decodeUnknownResult(json)(text)))
    }
  })
})

describe("Money minor units", () => {
  it.effect.prop(
    "round-trip for every currency",
    [Minor, Schema.Literals(Currency.codes)],
    ([minor, currency]) =>
      Effect.sync(() => {
        const money = Money.fromMinorUnits(currency, minor)
        assert.strictEqual(Money.toMinorUnitsUnsafe(money), minor)
        assert.isTrue(Equal.equals(Result.getOrThrow(Money.fromMinorUnitsChecked(currency, minor)), money))
        assert.isTrue(Equal.equals(Result.getOrThrow(Money.parse(currency, Money.formatAmount(money))), money))
      }),
    runs
  )

  for (const [gateway, exponents] of Object.entries(gateways)) {
    it(`round-trip for every currency at the exponents of ${gateway}`, () => {
      for (const currency of Currency.codes) {
        for (const units of [0n, 1n, -7n, 1234n, 10n ** 20n]) {
          const money = Money.fromMinorUnits(currency, units * 10n ** BigInt(Currency.digits(currency)))
          const minor = Result.getOrThrow(Money.toMinorUnits(money, exponents))
          assert.strictEqual(minor, units * 10n ** BigInt(exponents[currency] ?? Currency.digits(currency)))
          assert.isTrue(Equal.equals(Money.fromMinorUnits(currency, minor, exponents), money))
          assert.isTrue(
            Equal.equals(Result.getOrThrow(Money.fromMinorUnitsChecked(currency, minor, exponents)), money)
          )
        }
      }
    })
  }

  it("never rounds: what a gateway cannot count is refused", () => {
    const error = failure(Money.toMinorUnits(Money.makeUnsafe("HUF", "10.50"), { HUF: 0 }))
    assert.strictEqual(error.reason._tag, "NotRepresentable")
    assert.throws(() => Money.toMinorUnitsUnsafe(Money.makeUnsafe("HUF", "10.50"), { HUF: 0 }), MoneyError.MoneyError)
    assert.strictEqual(failure(Money.fromMinorUnitsChecked("CLP", 1050n, { CLP: 2 })).reason._tag, "NotRepresentable")
    assert.strictEqual(Money.format(Money.fromMinorUnits("CLP", 1050n, { CLP: 2 })), "CLP 10.50")
  })

  it("bounds the integer, the code and the exponent", () => {
    assert.strictEqual(failure(Money.fromMinorUnitsChecked("USD", 10n ** 34n)).reason._tag, "AmountOutOfRange")
    assert.strictEqual(
      failure(Money.fromMinorUnitsChecked("CVE", 10n ** 33n, { CVE: 0 })).reason._tag,
      "AmountOutOfRange"
    )
    assert.strictEqual(failure(Money.fromMinorUnitsChecked("XAU", 1n)).reason._tag, "NoMinorUnit")
    assert.strictEqual(failure(Money.fromMinorUnitsChecked("usd", 1n)).reason._tag, "UnknownCurrency")
    for (const exponent of [-1, 13, 0.5, Number.NaN, Infinity, 1e9]) {
      assert.strictEqual(failure(Money.toMinorUnits(usd("1"), { USD: exponent })).reason._tag, "ExponentInvalid")
      assert.throws(() => Money.fromMinorUnits("USD", 1n, { USD: exponent }))
    }
  })
})

describe("Money math", () => {
  it.effect.prop("adds and subtracts without loss", [Minor, Minor], ([a, b]) =>
    Effect.sync(() => {
      const x = Money.fromMinorUnits("KWD", a)
      const y = Money.fromMinorUnits("KWD", b)
      assert.strictEqual(Money.toMinorUnitsUnsafe(Money.add(x, y)), a + b)
      assert.strictEqual(Money.toMinorUnitsUnsafe(Money.subtract(x, y)), a - b)
      assert.isTrue(Equal.equals(Money.add(x, y), Money.add(y, x)))
      assert.isTrue(Equal.equals(Money.subtract(Money.add(x, y), y), x))
      assert.isTrue(Equal.equals(Money.add(x, Money.negate(x)), Money.zero("KWD")))
      assert.isTrue(Equal.equals(x.amount, BigDecimal.make(a, 3)))
      assert.isTrue(Equal.equals(Money.add(x, y).amount, BigDecimal.sum(x.amount, y.amount)))
    }), runs)

  it.effect.prop("sums like adding one by one", [Schema.Array(Minor)], ([minors]) =>
    Effect.sync(() => {
      const total = Money.sum("USD", minors.map((minor) => Money.fromMinorUnits("USD", minor)))
      assert.strictEqual(Money.toMinorUnitsUnsafe(total), minors.reduce((sum, minor) => sum + minor, 0n))
    }), runs)

  it("checks currencies that are known only at run time", () => {
    const dollars: Money.Money = usd("10.00")
    const euros: Money.Money = Money.makeUnsafe("EUR", "1.00")
    for (const refused of [Money.addChecked(dollars, euros), Money.subtractChecked(dollars, euros)]) {
      const mismatch = failure(refused)
      assert.instanceOf(mismatch, MoneyError.CurrencyMismatch)
      assert.deepStrictEqual([mismatch.expected, mismatch.actual], ["USD", "EUR"])
      assert.strictEqual(mismatch.disposition, "Refused")
    }
    assert.strictEqual(Money.format(Result.getOrThrow(Money.addChecked(dollars, dollars))), "USD 20.00")
    assert.strictEqual(Money.format(Result.getOrThrow(Money.subtractChecked(dollars, usd("0.01")))), "USD 9.99")
  })

  it("dies rather than add two currencies where a cast got past the types", () => {
    const cast = Money.makeUnsafe("EUR", "1.00") as Money.Money as Money.Money<"USD">
    assert.throws(() => Money.add(usd("1.00"), cast), MoneyError.CurrencyMismatch)
    assert.throws(() => Money.compare(usd("1.00"), cast), MoneyError.CurrencyMismatch)
    assert.throws(() => Money.min(usd("1.00"), cast), MoneyError.CurrencyMismatch)
    assert.throws(() => Money.sum("USD", [cast]), MoneyError.CurrencyMismatch)
  })

  it("tells the sign", () => {
    const signs = (text: string) => [Money.isNegative, Money.isZero, Money.isPositive].map((is) => is(usd(text)))
    assert.deepStrictEqual(signs("-0.01"), [true, false, false])
    assert.deepStrictEqual(signs("0.00"), [false, true, false])
    assert.deepStrictEqual(signs("0.01"), [false, false, true])
    assert.strictEqual(Money.format(Money.abs(usd("-1.00"))), "USD 1.00")
    assert.strictEqual(Money.format(Money.abs(usd("1.00"))), "USD 1.00")
    assert.strictEqual(Money.format(Money.negate(usd("0"))), "USD 0.00")
  })
})

describe("Money allocate", () => {
  it.effect.prop("gives parts that sum to the whole, each within one unit of its share", [
    Minor,
    Schema.Array(Weight)
  ], ([minor, weights]) =>
    Effect.sync(() => {
      const parts = Money.allocate(Money.fromMinorUnits("USD", minor), weights)
      const total = weights.reduce((sum, weight) => sum + weight, 0n)
      if (total === 0n) return assert.strictEqual(failure(parts).reason._tag, "WeightsInvalid")
      const units = Result.getOrThrow(parts).map((part) => Money.toMinorUnitsUnsafe(part))
      assert.strictEqual(units.length, weights.length)
      assert.strictEqual(units.reduce((sum, unit) => sum + unit, 0n), minor)
      units.forEach((unit, index) => {
        const difference = unit * total - minor * weights[index]!
        assert.isTrue(difference < total && -difference < total)
        if (weights[index] === 0n) assert.strictEqual(unit, 0n)
      })
    }), { arbitrary: { runs: 1000 } })

  it.effect.prop(
    "mirrors negative amounts",
    [Minor, Schema.NonEmptyArray(Positive)],
    ([minor, weights]) =>
      Effect.sync(() => {
        const split = (n: bigint) =>
          Result.getOrThrow(Money.allocate(Money.fromMinorUnits("JPY", n), weights)).map((part) =>
            Money.toMinorUnitsUnsafe(part)
          )
        assert.deepStrictEqual(split(-minor), split(minor).map((unit) => -unit))
      }),
    runs
  )

  it("gives what is left to the largest remainders, earlier parts first", () => {
    const split = (amount: string, weights: ReadonlyArray<bigint>) =>
      Result.getOrThrow(Money.allocate(usd(amount), weights)).map(Money.formatAmount)
    assert.deepStrictEqual(split("10.03", [50n, 30n, 20n]), ["5.01", "3.01", "2.01"])
    assert.deepStrictEqual(split("-1.00", [1n, 1n, 1n]), ["-0.34", "-0.33", "-0.33"])
    assert.deepStrictEqual(split("0.01", [0n, 1n, 0n]), ["0.00", "0.01", "0.00"])
    assert.deepStrictEqual(split("0.05", [3n, 7n]), ["0.02", "0.03"])
    assert.deepStrictEqual(split("1.00", [1n]), ["1.00"])
    assert.deepStrictEqual(split("0.02", [1n, 1n, 1n]), ["0.01", "0.01", "0.00"])
    assert.deepStrictEqual(split("0.10", [1n, 1n, 4n]), ["0.02", "0.02", "0.06"])
  })

  it("refuses weights that split nothing, and bounds them", () => {
    const fault = (weights: ReadonlyArray<bigint>) => {
      const { reason } = failure(Money.allocate(usd("1.00"), weights))
      return reason._tag === "WeightsInvalid" ? reason.fault : reason._tag
    }
    assert.strictEqual(fault([]), "Empty")
    assert.strictEqual(fault([0n, 0n]), "AllZero")
    assert.strictEqual(fault([1n, -1n]), "Negative")
    assert.strictEqual(fault(Array.from({ length: 10_001 }, () => 1n)), "TooMany")
    assert.strictEqual(fault([10n ** 34n]), "TooManyDigits")
    assert.isTrue(Result.isSuccess(Money.allocate(usd("1.00"), Array.from({ length: 10_000 }, () => 1n))))
  })
})

const modes = Ratio.Rounding.literals

describe("Money multiply and convert", () => {
  it.effect.prop("round like BigDecimal in every mode", [
    Minor,
    Schema.BigInt.check(Schema.isBetweenBigInt({ minimum: -100000n, maximum: 100000n })),
    Schema.Literals([0, 1, 2, 3, 4, 5]),
    Schema.Literals(modes)
  ], ([minor, value, scale, mode]) =>
    Effect.sync(() => {
      const money = Money.fromMinorUnits("USD", minor)
      const ratio = BigDecimal.make(value, scale)
      const expected = BigDecimal.round(BigDecimal.multiply(money.amount, ratio), { scale: 2, mode })
      const by = { numerator: value, denominator: 10n ** BigInt(scale) }
      const product = Result.getOrThrow(Money.multiply(money, { by, rounding: mode }))
      assert.isTrue(BigDecimal.equals(product.amount, expected), `${mode} ${minor} ${value} ${scale}`)
      assert.strictEqual(product.amount.scale, 2)
    }), { arbitrary: { runs: 2000 } })

  it("rounds ties as each mode says", () => {
    const table = {
      "ceil": ["3", "-2", "3"],
      "floor": ["2", "-3", "2"],
      "to-zero": ["2", "-2", "2"],
      "from-zero": ["3", "-3", "3"],
      "half-ceil": ["3", "-2", "2"],
      "half-floor": ["2", "-3", "2"],
      "half-to-zero": ["2", "-2", "2"],
      "half-from-zero": ["3", "-3", "2"],
      "half-even": ["2", "-2", "2"],
      "half-odd": ["3", "-3", "2"]
    } as const
    for (const mode of modes) {
      const round = (by: string) =>
        Money.formatAmount(Result.getOrThrow(Money.multiply(Money.makeUnsafe("JPY", "1"), { by, rounding: mode })))
      assert.deepStrictEqual([round("2.5"), round("-2.5"), round("2.4")], [...table[mode]], mode)
    }
  })

  it.effect.prop("an exchange and its remainder are the exact product", [
    Minor,
    Schema.Literals(Currency.codes),
    Positive,
    Positive,
    Schema.Literals(Currency.codes),
    Schema.Literals(modes)
  ], ([minor, from, numerator, denominator, to, rounding]) =>
    Effect.sync(() => {
      const money: Money.Money = Money.fromMinorUnits(from, minor % 10n ** 12n)
      const { money: result, remainder } = Result.getOrThrow(
        Money.convert(money, { to, rate: { numerator, denominator }, rounding })
      )
      assert.strictEqual(result.currency, to)
      // (units + remainder) / 10^to = minor / 10^from * rate, over common denominators
      const left = (Money.toMinorUnitsUnsafe(result) * remainder.denominator + remainder.numerator) *
        10n ** BigInt(Currency.digits(money.currency)) * denominator
      const right = Money.toMinorUnitsUnsafe(money) * numerator * 10n ** BigInt(Currency.digits(to)) *
        remainder.denominator
      assert.strictEqual(left, right)
      const size = remainder.numerator < 0n ? -remainder.numerator : remainder.numerator
      assert.isTrue(size < remainder.denominator)
    }), runs)
})

describe("Money ratios", () => {
  it("refuses ratios and rates that cannot be used", () => {
    const multiply = (by: Ratio.Input) => failure(Money.multiply(usd("1"), { by, rounding: "half-even" })).reason
    const convert = (rate: Ratio.Input) =>
      failure(Money.convert(usd("1"), { to: "EUR", rate, rounding: "half-even" })).reason
    for (const [text, refusal] of hostile) {
      if (refusal === "TooManyFractionDigits" || refusal === "AmountOutOfRange") continue
      const reason = multiply(text)
      assert.strictEqual(reason._tag === "AmountMalformed" ? reason.fault : reason._tag, refusal)
      assert.strictEqual(convert(text)._tag, reason._tag)
    }
    for (const use of [multiply, convert]) {
      const fault = (ratio: Ratio.Ratio) => {
        const reason = use(ratio)
        return reason._tag === "RatioInvalid" ? reason.fault : reason._tag
      }
      assert.strictEqual(fault({ numerator: 1n, denominator: 0n }), "ZeroDenominator")
      assert.strictEqual(fault({ numerator: 10n ** 34n, denominator: 1n }), "TooManyDigits")
      assert.strictEqual(fault({ numerator: 1n, denominator: 10n ** 34n }), "TooManyDigits")
    }
    for (const rate of ["0", "-1", { numerator: -1n, denominator: 1n }, { numerator: 1n, denominator: -1n }]) {
      const reason = convert(rate)
      assert.strictEqual(reason._tag === "RatioInvalid" ? reason.fault : reason._tag, "NotPositive")
    }
    const overflow = Money.multiply(usd("9".repeat(30)), { by: "1000", rounding: "half-even" })
    assert.strictEqual(failure(overflow).reason._tag, "AmountOutOfRange")
  })

  it("takes a ratio with a negative denominator for what it is", () => {
    const by = { numerator: 1n, denominator: -3n }
    const third = Money.multiply(usd("1.00"), { by, rounding: "half-even" })
    assert.strictEqual(Money.format(Result.getOrThrow(third)), "USD -0.33")
  })
})

describe("Money comparisons", () => {
  it.effect.prop("are a total order", [Minor, Minor, Minor], ([a, b, c]) =>
    Effect.sync(() => {
      const [x, y, z] = [a, b, c].map((minor) => Money.fromMinorUnits("EUR", minor)) as [
        Money.Money<"EUR">,
        Money.Money<"EUR">,
        Money.Money<"EUR">
      ]
      assert.strictEqual(Money.compare(x, x), 0)
      assert.strictEqual(Money.compare(x, y) + Money.compare(y, x), 0)
      assert.strictEqual(Money.compare(x, y) === 0, Equal.equals(x, y))
      assert.strictEqual(Money.compare(x, y) < 0, a < b)
      if (Money.compare(x, y) <= 0 && Money.compare(y, z) <= 0) assert.isTrue(Money.compare(x, z) <= 0)
      assert.strictEqual(Money.toMinorUnitsUnsafe(Money.min(x, y)), a < b ? a : b)
      assert.strictEqual(Money.toMinorUnitsUnsafe(Money.max(x, y)), a > b ? a : b)
      assert.strictEqual(Money.order("EUR")(x, y), Money.compare(x, y))
    }), runs)

  it("narrow a currency known only at run time", () => {
    const money: Money.Money = usd("1.00")
    if (!Money.hasCurrency(money, "USD")) return assert.fail("it is in dollars")
    assert.strictEqual(Money.format(Money.add(money, usd("1.00"))), "USD 2.00")
    assert.isFalse(Money.hasCurrency("EUR")(money))
    assert.isFalse(Money.Equivalence(usd("1.00"), Money.makeUnsafe("EUR", "1.00")))
  })
})
