/**
 * How the simulator misbehaves, as text: `lost-reply;times=2, delay=300`.
 *
 * A plan is a list of faults; each meets one request, or `times` of them, in order. Where plans come from: the header
 * `x-sim-plan` (the n-th request under its key meets the n-th fault), the endpoint `POST /admin/plan`, or chance
 * (`--fault-rate`).
 *
 * | fault | the gateway acts | the client sees |
 * |---|---|---|
 * | `none` | yes | the answer |
 * | `delay=MS` | after MS, and the key is in flight meanwhile | the answer |
 * | `late=MS` | after MS, and the key is unknown meanwhile | the answer |
 * | `fail-before` | no | 503 `processed: false` |
 * | `fault-500-before`, `fault-500-after` | no, yes | 500 |
 * | `fail-after` | yes | 502 with a page of HTML, as a proxy would |
 * | `unavailable-after` | yes | 503 without the promise |
 * | `drop-before` | no | the connection closes |
 * | `lost-reply` | yes | the connection closes |
 * | `reset-reply` | yes | the connection is reset |
 * | `hang-before`, `hang-after` | no, yes | nothing |
 * | `garbage` | yes | 201 with a body that is no JSON |
 * | `wrong-shape` | yes | 201 with JSON that is no transaction |
 * | `wrong-amount` | yes | 201 with another amount |
 * | `oversized` | yes | 201 with 2 MiB |
 * | `truncated` | yes | 201 whose body ends early |
 * | `rate-limit=S`, `rate-limit-date=S` | no | 429 with `retry-after` in seconds, or as a date |
 * | `decline=CODE` | refuses, finally under the key | 402 |
 * | `duplicate` | gets the request twice | the first answer |
 * | `lookup-pending`, `lookup-fault-500`, `lookup-hang` | | meets look-ups only |
 */
import * as Result from "effect/Result"

const plain = [
  "none",
  "fail-before",
  "fault-500-before",
  "fault-500-after",
  "fail-after",
  "unavailable-after",
  "drop-before",
  "lost-reply",
  "reset-reply",
  "hang-before",
  "hang-after",
  "garbage",
  "wrong-shape",
  "wrong-amount",
  "oversized",
  "truncated",
  "duplicate",
  "lookup-pending",
  "lookup-fault-500",
  "lookup-hang"
] as const
const numeric = ["delay", "late", "rate-limit", "rate-limit-date"] as const

export type Fault =
  | { readonly name: typeof plain[number] }
  | { readonly name: typeof numeric[number]; readonly value: number }
  | { readonly name: "decline"; readonly code: string }

const faultsMax = 10_000
const valueMax = 600_000

/** Faults of chance: all that a client of a flaky network meets, and none that would keep it waiting. */
export const byChance = ["fail-before", "fault-500-before", "drop-before", "fail-after", "lost-reply"] as const

export const isForLookups = ({ name }: Fault): boolean => name.startsWith("lookup-")

/** Whether the request is kept from being processed. */
export const isBefore = ({ name }: Fault): boolean =>
  name.endsWith("-before") || name === "rate-limit" || name === "rate-limit-date"

export const parse = (plan: string): Result.Result<ReadonlyArray<Fault>, string> => parseWith(plan, parseFault)

/** The same over other words. */
export const parseWith = <F>(
  plan: string,
  parseFault: (text: string) => Result.Result<F, string>
): Result.Result<ReadonlyArray<F>, string> =>
  Result.gen(function*() {
    const faults: Array<F> = []
    for (const part of plan.split(",")) {
      const [text = "", ...options] = part.split(";").map((word) => word.trim())
      const fault = yield* parseFault(text)
      const times = yield* parseTimes(options)
      if (faults.length + times > faultsMax) return yield* Result.fail(`more than ${faultsMax} faults`)
      for (let i = 0; i < times; i++) faults.push(fault)
    }
    return faults
  })

const parseFault = (text: string): Result.Result<Fault, string> => {
  const [name = "", value] = text.split("=")
  const known = plain.find((fault) => fault === name)
  if (known !== undefined && value === undefined) return Result.succeed({ name: known })
  const counted = numeric.find((fault) => fault === name)
  if (counted !== undefined && value !== undefined && /^[0-9]{1,6}$/.test(value) && Number(value) <= valueMax) {
    return Result.succeed({ name: counted, value: Number(value) })
  }
  if (name === "decline" && value !== undefined && /^[a-z_]{1,64}$/.test(value)) {
    return Result.succeed({ name, code: value })
  }
  return Result.fail("unknown fault, or a value that is missing or out of bounds")
}

const parseTimes = (options: ReadonlyArray<string>): Result.Result<number, string> => {
  if (options.length === 0) return Result.succeed(1)
  const times = options.length === 1 ? /^times=([1-9][0-9]{0,4})$/.exec(options[0] ?? "")?.[1] : undefined
  return times === undefined ? Result.fail("expected times=N after the semicolon") : Result.succeed(Number(times))
}
