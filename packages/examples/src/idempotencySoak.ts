/**
 * The long form of the kill tests: `npm run soak:idempotency -- --help`. The short one is among the integration tests.
 */
import { Console, Effect } from "effect"
import { randomInt } from "node:crypto"
import { trialOf } from "./soak/broken.ts"
import { runMain } from "./soak/command.ts"
import { drive, type Report } from "./soak/drive.ts"
import { type Flags, parse, usage } from "./soak/flags.ts"
import { program } from "./soak/program.ts"
import * as report from "./soak/report.ts"
import type { Broken, StoreAt } from "./soak/wire.ts"

const urls: Readonly<Record<StoreAt["kind"], string>> = {
  sqlite: "",
  postgres: process.env["TEST_POSTGRES_URL"] ?? "",
  redis: process.env["TEST_REDIS_URL"] ?? ""
}

const tenth = (count: number) => Math.ceil(count / 10)

const soak = Effect.fnUntraced(function*({ json, keys, kills, seed: given, stops, stores }: Flags) {
  const seed = given ?? randomInt(2 ** 31)
  const made = yield* program
  const reports: Array<Report> = []
  yield* Console.error(`seed ${seed}`)
  for (const store of stores) {
    const shared = { store, url: urls[store], program: made, seed, progress: (line: string) => console.error(line) }
    reports.push(
      yield* drive({ ...shared, kills, stops, keys, deduplicates: true }),
      yield* drive({ ...shared, kills: tenth(kills), stops: 0, keys: tenth(keys), deduplicates: false }),
      yield* drive({ ...shared, kills: 0, stops: tenth(stops), keys: tenth(keys), deduplicates: false })
    )
  }
  const bad = reports.filter((made) => report.unexpected(made).length > 0)
  yield* Console.log(
    json ? JSON.stringify(reports, null, 2) : [
      ...reports.map(report.details),
      report.table(reports),
      ...bad.map(report.faults),
      `seed ${seed}: ${bad.length === 0 ? "as it has to be" : "violated"}`
    ].join("\n\n")
  )
  return bad.length === 0
}, Effect.scoped)

/** Answers whether each of them was seen. */
const tryBroken = Effect.fnUntraced(function*({ broken, json, seed = randomInt(2 ** 31) }: Flags) {
  const made = yield* program
  const seen: Array<{ readonly broken: Broken; readonly violations: Readonly<Record<string, number>> }> = []
  yield* Console.error(`seed ${seed}`)
  for (const name of broken) {
    const violations = report.unexpected(yield* drive({ ...trialOf(name), program: made, seed }))
    seen.push({ broken: name, violations: report.byTag(violations) })
  }
  yield* Console.log(
    json
      ? JSON.stringify(seen, null, 2)
      : seen.map(({ broken, violations }) => `${broken}: ${report.listed(violations) || "not seen"}`).join("\n")
  )
  return seen.every(({ violations }) => Object.keys(violations).length > 0)
}, Effect.scoped)

runMain(parse, usage, (flags) => (flags.broken.length > 0 ? tryBroken : soak)(flags))
