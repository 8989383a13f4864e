// How fast log lines go through the scrubber, beside two that find less: the expression that everybody writes first (13 to
// 19 digits, spaces and dashes between, and a check digit), and that of the Python package this project follows. The
// floor reads every character once: a copy of the text byte by byte.
import { Redaction } from "effect-payments"
import { type Contender, measure, type Measured } from "./measure.ts"
import { atMost, makeReport, type Report, type Row } from "./report.ts"

const lines = 2000

/** Chance that is the same each time (mulberry32). */
const makeRandom = (seed: number) => {
  let state = seed
  return (limit: number): number => {
    state = (state + 0x6d2b79f5) | 0
    let bits = Math.imul(state ^ (state >>> 15), 1 | state)
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits
    return Math.floor(((bits ^ (bits >>> 14)) >>> 0) / 4294967296 * limit)
  }
}

const panOf = (random: (limit: number) => number): string => {
  const stem = `4${Array.from({ length: 14 }, () => random(10)).join("")}`
  const sum = Array.from(stem, Number).reduce(
    (sum, digit, at) => sum + (at % 2 === 1 ? digit : (digit * 2) % 10 + Math.floor(digit / 5)),
    0
  )
  return `${stem}${(10 - sum % 10) % 10}`
}

/** Lines as services write them, so many in a hundred with a card number. */
const logOf = (percent: number): string => {
  const random = makeRandom(1)
  const hex = (length: number) => Array.from({ length }, () => random(16).toString(16)).join("")
  const uuid = () => `${hex(8)}-${hex(4)}-4${hex(3)}-a${hex(3)}-${hex(12)}`
  return Array.from({ length: lines }, (_, i) => {
    const at = 1_760_000_000_000 + i * 1237
    const what = random(100) < percent ? `card ${panOf(random).replace(/(.{4})(?=.)/g, "$1 ")}` : `order ${random(1e8)}`
    const shapes = [
      `{"level":30,"time":${at},"pid":4711,"req":{"id":"${uuid()}","method":"POST","url":"/v1/charges"},"msg":"paid ${what}","ms":${
        random(1000) / 10
      }}`,
      `timestamp=${new Date(at).toISOString()} level=INFO fiber=#${random(1000)} message="paid ${what}" trace=${
        hex(32)
      } duration=${random(1000)}ms`,
      `10.0.${random(256)}.${random(256)} - - "GET /v1/orders/${uuid()}?page=${random(100)}%20 HTTP/1.1" 200 ${
        random(1e5)
      } "${what}"`,
      `Error: ${what} was declined\\n    at charge (/app/src/charge.ts:${
        random(500)
      }:13)\\n    at process.processTicksAndRejections (node:internal/process/task_queues:105:5)`
    ]
    return shapes[random(shapes.length)] ?? ""
  }).join("\n")
}

// --- peers

const luhn = (digits: string): boolean => {
  let sum = 0
  for (let i = digits.length - 1, double = false; i >= 0; i--, double = !double) {
    const digit = digits.charCodeAt(i) - 48
    sum += double ? (digit > 4 ? digit * 2 - 9 : digit * 2) : digit
  }
  return sum % 10 === 0
}

const maskIfCard = (text: string): string => {
  const digits = text.replace(/[ -]/g, "")
  return luhn(digits) ? `****${digits.slice(-4)}` : text
}

const naive = (text: string): string => text.replace(/\b(?:\d[ -]?){13,19}\b/g, maskIfCard)

const python = (text: string): string =>
  text
    .replace(/%?B\d{13,19}\^[^^]{2,26}\^\d{4}[^?]{0,64}\?/g, "[TRACK]")
    .replace(/;\d{13,19}=\d{4}[^?]{0,64}\?/g, "[TRACK]")
    .replace(/\b(cvv2?|cvc2?|cid|security[ _]?code)(["']?\s*[:=]\s*["']?)\d{3,4}\b/gi, "$1$2***")
    .replace(/\b\d(?:[ -]?\d){12,18}\b/g, maskIfCard)

const copy = (text: string) => {
  const target = new Uint8Array(text.length)
  return () => {
    for (let i = 0; i < text.length; i++) target[i] = text.charCodeAt(i)
    return target
  }
}

// --- what is timed

const mixes = [0, 1, 100] as const

const eachLine = (text: string, scrub: (line: string) => string): Contender => {
  const all = text.split("\n")
  let kept = 0
  return () => {
    for (const line of all) kept += scrub(line).length
    return kept
  }
}

const logs = mixes.map((percent) => ({ percent, text: logOf(percent) }))

const contenders: Readonly<Record<string, Contender>> = Object.fromEntries(logs.flatMap(({ percent, text }) => [
  [`copy, byte by byte, ${percent} %`, copy(text)],
  [`naive expression, ${percent} %`, eachLine(text, naive)],
  [`the Python package's rules, ${percent} %`, eachLine(text, python)],
  [`scrub, ${percent} %`, eachLine(text, Redaction.scrub)]
]))

// --- hostile texts

/** Texts of which a rule may read more than once what it has read; many of each in a row. */
const hostile: ReadonlyArray<string> = [
  "0",
  "1 ",
  "1%20",
  "%20",
  "1\\n",
  "1&nbsp;",
  "cvv%",
  "a1:",
  ", 1",
  "3",
  "4",
  "4 ",
  "4,",
  "53, ",
  "4111-",
  "4111111111111111,",
  "[4111111111111111,",
  "{\"a\":4111111111111111,",
  "\"4111\",",
  "cc1=4111&cc2=1111&",
  "a1=11",
  "MTEx",
  "NDEx",
  "3431",
  "34 31 ",
  "%34",
  "%25",
  "\\u0034",
  "\\",
  "\\\"",
  "&#52;",
  "\u001b[",
  "%B4111111111111111^",
  ";4111111111111111=",
  "cvv:\\\"",
  "pin block ",
  "DE2=16",
  "[",
  "cvv ",
  "1\n        ",
  "=20",
  "=3D",
  "<br>",
  "MTEx\n",
  "MTExMTExMTExMTEx\n",
  "3131313131313131\n",
  "DE52 4845 3326 "
]

const hostileSize = 250_000

const nanosecondsOf = (text: string): number => {
  const start = process.hrtime.bigint()
  Redaction.scrub(text)
  return Number(process.hrtime.bigint() - start)
}

/** How many times as long four times the text takes; what is quadratic takes sixteen times as long. */
const growthOf = (part: string): number => {
  const text = part.repeat(hostileSize / part.length)
  const best = (text: string) => Math.min(nanosecondsOf(text), nanosecondsOf(text), nanosecondsOf(text))
  // Less is measured as the start of the compiler.
  return best(text.repeat(4)) / Math.max(best(text), 1e7)
}

const worstGrowth = (): { readonly part: string; readonly growth: number } =>
  hostile.map((part) => ({ part, growth: growthOf(part) })).reduce((a, b) => a.growth > b.growth ? a : b)

const megabytesPerSecond = (bytes: number, nanoseconds: number): number => bytes / 1e6 / (nanoseconds / 1e9)

const altered = (scrub: (line: string) => string, text: string): number =>
  text.split("\n").filter((line) => scrub(line) !== line).length

const rowsOf = ({ nanoseconds, ratio }: Measured<string>): ReadonlyArray<Row> =>
  logs.flatMap(({ percent, text }) =>
    Object.keys(contenders).filter((name) => name.endsWith(`, ${percent} %`)).map((name): Row => {
      const time = nanoseconds[name] ?? Number.NaN
      const speed = `${megabytesPerSecond(text.length, time).toFixed(0)} MB/s`
      const floor = `copy, byte by byte, ${percent} %`
      return name === floor
        ? { name, nanoseconds: time, note: speed }
        : { name, nanoseconds: time, ratio: ratio(name, floor), note: `to the copy; ${speed}` }
    })
  )

const alteredRows = (text: string): ReadonlyArray<Row> =>
  Object.entries({ "naive expression": naive, "the Python package's rules": python, "scrub": Redaction.scrub }).map(
    ([name, scrub]) => ({ name: `${name}: clean lines altered`, note: `${altered(scrub, text)} of ${lines}` })
  )

export const run = async (): Promise<Report> => {
  const measured = await measure(contenders, { rounds: 9 })
  const clean = logs[0]?.text ?? ""
  const { ratio } = measured
  const { growth, part } = worstGrowth()
  const growthRow: Row = {
    name: "hostile text, four times as long",
    ratio: growth,
    note: `to the time of the text, the worst of ${hostile.length}: ${JSON.stringify(part)}`
  }
  return makeReport("redaction", [...rowsOf(measured), ...alteredRows(clean), growthRow], [
    atMost(
      "scrub to the Python package's rules, clean lines",
      ratio("scrub, 0 %", "the Python package's rules, 0 %"),
      3
    ),
    atMost("scrub to the copy, clean lines", ratio("scrub, 0 %", "copy, byte by byte, 0 %"), 12),
    atMost("clean lines altered", altered(Redaction.scrub, clean), 0),
    atMost("time of four times a hostile text", growth, 10)
  ])
}
