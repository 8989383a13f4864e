// What money costs: each hostile text through our reader and through the decimal library below it, and the arithmetic of
// ordinary amounts beside bare integers, which are the floor.
import { BigDecimal, Option, Result, Schema } from "effect"
import { Money, Ratio } from "effect-payments"
import { measure, type Measured } from "./measure.ts"
import { atMost, makeReport, type Report, type Row } from "./report.ts"

const million = 1_000_000

/** Texts of the field that other libraries take for amounts, or choke on. `once` marks what costs BigDecimal too much. */
const hostile: ReadonlyArray<
  { readonly name: string; readonly text: string; readonly raw: "timed" | "once" | string }
> = [
  { name: "(empty)", text: "", raw: "timed" },
  { name: "1e3", text: "1e3", raw: "timed" },
  { name: "0x10", text: "0x10", raw: "timed" },
  { name: "1,000.00", text: "1,000.00", raw: "timed" },
  { name: "1_000", text: "1_000", raw: "timed" },
  { name: "Arabic-Indic digits", text: "\u0661\u0662\u0663", raw: "timed" },
  { name: "full-width digits", text: "\uff11\uff12\uff13", raw: "timed" },
  { name: "NaN", text: "NaN", raw: "timed" },
  { name: "Infinity", text: "Infinity", raw: "timed" },
  { name: "-0 (taken, as zero)", text: "-0", raw: "timed" },
  { name: "'  12 '", text: "  12 ", raw: "timed" },
  { name: "+5", text: "+5", raw: "timed" },
  { name: ".5", text: ".5", raw: "timed" },
  { name: "5.", text: "5.", raw: "timed" },
  { name: "1.234 (USD)", text: "1.234", raw: "timed" },
  { name: "41 digits", text: "9".repeat(41), raw: "timed" },
  { name: "1e1000000", text: "1e1000000", raw: "once" },
  { name: "1e10000000", text: "1e10000000", raw: "not run: + 1 takes more than 5 s" },
  { name: "a million digits", text: "9".repeat(million), raw: "once" },
  { name: "a million spaces", text: " ".repeat(million), raw: "timed" }
]

const one = BigDecimal.fromBigInt(1n)
const rawAdd = (text: string) => Option.map(BigDecimal.fromString(text), (decimal) => BigDecimal.sum(decimal, one))

const outcome = (text: string): string =>
  Result.match(Money.parse("USD", text), {
    onSuccess: (money) => `taken: ${Money.format(money)}`,
    onFailure: ({ reason }) => `refused: ${reason._tag === "AmountMalformed" ? reason.fault : reason._tag}`
  })

const rawOutcome = (text: string): string =>
  Option.match(BigDecimal.fromString(text), {
    onNone: () => "refused",
    onSome: (decimal) => text.length > 100 ? "taken" : `taken: ${BigDecimal.format(decimal)}`
  })

const once = (run: () => unknown): number => {
  const begin = process.hrtime.bigint()
  run()
  return Number(process.hrtime.bigint() - begin)
}

const quick = { rounds: 7, roundMillis: 5 }

const hostileRows = async (): Promise<ReadonlyArray<Row>> => {
  const contenders = hostile.flatMap(({ name, raw, text }) => [
    [`parse ${name}`, () => Money.parse("USD", text)] as const,
    ...raw === "timed" ? [[`BigDecimal ${name}`, () => rawAdd(text)] as const] : []
  ])
  const { nanoseconds } = await measure<string>(Object.fromEntries(contenders), quick)
  return hostile.flatMap(({ name, raw, text }): ReadonlyArray<Row> => [
    { name: `parse ${name}`, nanoseconds: nanoseconds[`parse ${name}`] ?? Number.NaN, note: outcome(text) },
    raw === "timed"
      ? {
        name: `BigDecimal ${name}, + 1`,
        nanoseconds: nanoseconds[`BigDecimal ${name}`] ?? Number.NaN,
        note: rawOutcome(text)
      }
      : raw === "once"
      ? { name: `BigDecimal ${name}, + 1`, nanoseconds: once(() => rawAdd(text)), note: "one call" }
      : { name: `BigDecimal ${name}, + 1`, note: raw }
  ])
}

/** Decimals made elsewhere whose first sum would freeze the process: the check alone is timed. */
const killers = {
  "Amount 1e10000000": BigDecimal.make(1n, -10_000_000),
  "Amount 1e-10000000": BigDecimal.make(1n, 10_000_000),
  "Amount of a million digits": BigDecimal.make(10n ** BigInt(million), 0)
}

const amountRows = async (): Promise<ReadonlyArray<Row>> => {
  const isAmount = Schema.is(Money.Amount)
  const { nanoseconds } = await measure<string>(
    Object.fromEntries(Object.entries(killers).map(([name, decimal]) => [name, () => isAmount(decimal)])),
    quick
  )
  return Object.entries(killers).map(([name, decimal]) => ({
    name,
    nanoseconds: nanoseconds[name] ?? Number.NaN,
    note: isAmount(decimal) ? "taken" : "refused"
  }))
}

const operations = 64
let sink: unknown

/** A contender that does an operation on each of the samples in turn. */
const over = <A>(samples: ReadonlyArray<A>, f: (sample: A) => unknown) => {
  const turn = Array.from({ length: operations }, (_, i) => samples[i % samples.length] as A)
  return {
    operations,
    run: () => {
      for (const sample of turn) sink = f(sample)
    }
  }
}

const texts = ["12345.67", "1.00", "99.99", "1000.01", "0.05", "7.50", "123456789.12", "10"]
const monies = texts.map((text) => Money.makeUnsafe("USD", text))
const minors = monies.map((money) => Money.toMinorUnitsUnsafe(money))
const ten = Money.makeUnsafe("USD", "10.00")
const fee = Result.getOrThrow(Ratio.parse("0.029"))
const decode = Schema.decodeUnknownResult(Money.Money)
const encode = Schema.encodeUnknownResult(Money.Money)

/** The least that each operation can cost with integers of minor units and a currency beside them. */
const floors = {
  add: (minor: bigint) => ({ minor: minor + 1000n, currency: "USD" }),
  multiply: (minor: bigint) => {
    const product = minor * 29n
    const quotient = product / 1000n
    const twice = (product - quotient * 1000n) * 2n
    return {
      minor: twice > 1000n || (twice === 1000n && quotient % 2n === 1n) ? quotient + 1n : quotient,
      currency: "USD"
    }
  },
  allocate: (minor: bigint) => {
    const parts = [minor * 50n / 100n, minor * 30n / 100n, minor * 20n / 100n]
    parts[0]! += minor - parts[0]! - parts[1]! - parts[2]!
    return parts.map((part) => ({ minor: part, currency: "USD" }))
  },
  parse: (text: string) => {
    const at = text.indexOf(".")
    return { minor: BigInt(at < 0 ? `${text}00` : text.slice(0, at) + text.slice(at + 1)), currency: "USD" }
  },
  format: (minor: bigint) => {
    const text = minor.toString().padStart(3, "0")
    return `${text.slice(0, -2)}.${text.slice(-2)}`
  }
}

const contenders = {
  "add": over(monies, (money) => Money.add(money, ten)),
  "add, floor": over(minors, floors.add),
  "add, BigDecimal": over(monies, ({ amount }) => BigDecimal.sum(amount, ten.amount)),
  "multiply by 2.9 %, half-even": over(monies, (money) => Money.multiply(money, { by: fee, rounding: "half-even" })),
  "multiply, floor": over(minors, floors.multiply),
  "multiply, BigDecimal": over(
    monies,
    ({ amount }) =>
      BigDecimal.round(BigDecimal.multiply(amount, BigDecimal.make(29n, 3)), { scale: 2, mode: "half-even" })
  ),
  "allocate 50/30/20": over(monies, (money) => Money.allocate(money, [50n, 30n, 20n])),
  "allocate, floor": over(minors, floors.allocate),
  "parse": over(texts, (text) => Money.parse("USD", text)),
  "parse, floor": over(texts, floors.parse),
  "parse, BigDecimal": over(texts, (text) => BigDecimal.fromString(text)),
  "format": over(monies, Money.formatAmount),
  "format, floor": over(minors, floors.format),
  "format, BigDecimal": over(minors, (minor) => BigDecimal.format(BigDecimal.make(minor, 2))),
  "compare": over(monies, (money) => Money.compare(money, ten)),
  "to minor units": over(monies, (money) => Money.toMinorUnits(money)),
  "from minor units": over(minors, (minor) => Money.fromMinorUnits("USD", minor)),
  "schema, decode": over(texts, (amount) => decode({ amount, currency: "USD" })),
  "schema, encode": over(monies, (money) => encode(money))
}

type Name = keyof typeof contenders

const arithmeticRows = ({ nanoseconds, ratio }: Measured<Name>): ReadonlyArray<Row> =>
  (Object.keys(contenders) as Array<Name>).map((name) => {
    const floor = `${name.split(/ by|,| 50/)[0]}, floor` as Name
    const row = { name, nanoseconds: nanoseconds[name] }
    return name !== floor && floor in contenders ? { ...row, ratio: ratio(name, floor), note: "to the floor" } : row
  })

const slowest = (rows: ReadonlyArray<Row>): number =>
  Math.max(...rows.filter(({ name }) => !name.startsWith("BigDecimal")).map(({ nanoseconds }) => nanoseconds ?? 0))

export const run = async (): Promise<Report> => {
  const refused = [...await hostileRows(), ...await amountRows()]
  const measured = await measure(contenders)
  const { nanoseconds, ratio } = measured
  const timeOf = (name: string) => refused.find((row) => row.name === name)?.nanoseconds ?? Number.NaN
  const rows = [...refused, ...arithmeticRows(measured)]
  return makeReport("money", sink === undefined ? [] : rows, [
    atMost("slowest hostile text or amount, microseconds", slowest(refused) / 1e3, 50),
    atMost("a million digits to 41 digits, refused", timeOf("parse a million digits") / timeOf("parse 41 digits"), 2),
    atMost("add, nanoseconds", nanoseconds.add, 20),
    atMost("add to BigDecimal's", ratio("add", "add, BigDecimal"), 1),
    atMost("parse, nanoseconds", nanoseconds.parse, 200),
    atMost(
      "multiply with rounding to BigDecimal's",
      ratio("multiply by 2.9 %, half-even", "multiply, BigDecimal"),
      0.5
    ),
    atMost("parse to BigDecimal's", ratio("parse", "parse, BigDecimal"), 1)
  ])
}
