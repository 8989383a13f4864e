import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { reasons, type Stage, stages, verdicts } from "./verdicts.ts"

const root = resolve(import.meta.dirname, "../../../..")
const folder = join(root, "node_modules/.cache/pairs")

const applied: { readonly [S in Stage]: string } = {
  logExecution: `Observe.logExecution({ name: "call" })`,
  timer: `Observe.timer("call_duration")`,
  timeout: `Resilience.timeout("1 second")`,
  bulkhead: "Resilience.bulkhead(places)",
  rateLimit: `Resilience.rateLimit({ key: "gateway", limit: 10, window: "1 second" })`,
  throttle: "Resilience.throttle(window)",
  hedge: `Resilience.hedge({ after: "1 second" })`,
  retry: "Resilience.retry({ attempts: 3 })",
  circuitBreaker: `Resilience.circuitBreaker({ name: "gateway" })`,
  deadline: `Resilience.deadline("1 minute")`,
  idempotent: "idempotent"
}

const head = `
import { type Context, type Effect, Schema } from "effect"
import { type AuditLog, Idempotency, Observe, PaymentError, Resilience } from "effect-payments"
declare const call: Effect.Effect<string, PaymentError.PaymentError>
declare const places: Resilience.Bulkhead
declare const window: Resilience.Throttle
declare const scope: Idempotency.Scope
declare const key: Idempotency.Key
const idempotent = Idempotency.idempotent({
  scope, key, payload: 1, payloadSchema: Schema.Number, success: Schema.String, error: PaymentError.PaymentError
})
const around = Idempotency.idempotent({
  scope, key, payload: 1, payloadSchema: Schema.Number, success: Schema.String,
  error: Schema.Union([PaymentError.PaymentError, Idempotency.IdempotencyError])
})
const operation = Idempotency.operation("call")
type Services = Idempotency.Idempotency | Resilience.CircuitBreakerStore | Resilience.RateLimiter
  | Context.Service.Identifier<typeof AuditLog.AuditLog>
const run = <A, E>(self: Effect.Effect<A, E, Services>) => self
`.trim()

/** The pair in a stack that is closed by `idempotent` where it is not part of the pair itself. */
const program = (inside: Stage, outside: Stage): string => {
  const closing = inside === "idempotent" || outside === "idempotent" ? [] : ["idempotent"]
  const second = inside === "idempotent" && outside === "idempotent" ? "around" : applied[outside]
  return `run(call.pipe(${[applied[inside], second, ...closing, "operation"].join(", ")}))`
}

/** Two stages of one kind come apart only by what is between them. */
const sentence = (inside: Stage, outside: Stage): string =>
  inside === outside
    ? `${inside} is applied twice: keep one`
    : inside === "idempotent"
    ? `${outside}(...) is outside idempotent(...): pipe idempotent after it`
    : `${outside} must be inside ${inside}: pipe ${outside} before ${inside}`

const pairs = stages.flatMap((inside) =>
  stages.map((outside) => ({ inside, outside, verdict: verdicts[inside][outside] }))
)

describe("every ordered pair of stages", () => {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const lines = pairs.map(({ inside, outside }) => program(inside, outside))
  writeFileSync(join(folder, "pairs.ts"), [head, ...lines].join("\n"))
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({
      extends: "../../../tsconfig.base.json",
      compilerOptions: { noEmit: true, noErrorTruncation: true },
      files: ["pairs.ts"]
    })
  )
  const { stdout } = spawnSync(join(root, "node_modules/.bin/tsc"), ["-p", folder, "--pretty", "false"], {
    cwd: root,
    encoding: "utf8"
  })
  const first = head.split("\n").length + 1
  const errors = new Map<number, string>()
  for (const block of stdout.split(/\n(?=\S)/)) {
    const found = /pairs\.ts\((\d+),\d+\): error ([\s\S]*)$/.exec(block)
    const line = Number(found?.[1] ?? Number.NaN)
    if (found) errors.set(line, `${errors.get(line) ?? ""}${found[2]}`)
  }

  it.each(pairs.map((pair, i) => ({ ...pair, line: first + i })))(
    "$inside inside $outside: $verdict",
    ({ inside, line, outside, verdict }) => {
      const error = errors.get(line)
      if (verdict === "yes") assert.isUndefined(error)
      else assert.include(error, sentence(inside, outside))
    }
  )

  it("has an error nowhere else", () => {
    assert.isEmpty([...errors.keys()].filter((line) => line < first || line >= first + pairs.length))
    assert.lengthOf(pairs, 121)
  })

  it("has a reason for each that is refused, and each reason refuses one", () => {
    const used = new Set(pairs.flatMap(({ verdict }) => verdict === "yes" ? [] : [verdict]))
    assert.sameMembers([...used], Object.keys(reasons))
  })
})

describe("docs/stack.md", () => {
  const page = readFileSync(join(root, "docs/stack.md"), "utf8")

  it("has the same table", () => {
    const rows = page.split("\n").filter((line) => /^\| `\w+` +\| (?:yes|once|no \()/.test(line))
    const shown = Object.fromEntries(rows.map((row) => {
      const [name = "", ...cells] = row.split("|").slice(1, -1).map((cell) => cell.trim())
      return [name.replaceAll("`", ""), cells]
    }))
    const columns = stages.filter((stage) => !["logExecution", "timer", "deadline"].includes(stage))
    for (const inside of columns) {
      assert.deepStrictEqual(
        shown[inside],
        columns.map((outside) => {
          const verdict = verdicts[inside][outside]
          return verdict === "yes" || verdict === "once" ? verdict : `no (${verdict})`
        }),
        inside
      )
    }
  })

  it("has a note for each reason", () => {
    const notes = [...page.matchAll(/^(\d+)\. /gm)].map(([, number]) => number)
    assert.deepStrictEqual(notes, Object.keys(reasons).filter((reason) => reason !== "once"))
  })
})
