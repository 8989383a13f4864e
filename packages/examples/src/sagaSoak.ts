/**
 * The long form of the saga kill test: `npm run soak:saga -- --help`. The short one is among the integration tests.
 */
import { Console, Effect } from "effect"
import { randomInt } from "node:crypto"
import { trialOf } from "./sagaSoak/broken.ts"
import { drive, type Report } from "./sagaSoak/drive.ts"
import { type Flags, parse, usage } from "./sagaSoak/flags.ts"
import { program } from "./sagaSoak/program.ts"
import * as report from "./sagaSoak/report.ts"
import type { Broken } from "./sagaSoak/wire.ts"
import { runMain } from "./soak/command.ts"
import { byTag, listed } from "./soak/report.ts"
import type { StoreAt } from "./soak/wire.ts"

/** Postgres is one of its own, since it is stopped. */
const urls: Readonly<Record<StoreAt["kind"], string>> = {
  sqlite: "",
  postgres: "",
  redis: process.env["TEST_REDIS_URL"] ?? ""
}

const soak = Effect.fnUntraced(function*({ json, seed: given, stores, ...counts }: Flags) {
  const seed = given ?? randomInt(2 ** 31)
  const made = yield* program
  const reports: Array<Report> = []
  yield* Console.error(`seed ${seed}`)
  for (const store of stores) {
    const { cuts, kills, restarts, sagas, stops, workers } = counts
    reports.push(
      yield* drive({
        store,
        url: urls[store],
        program: made,
        seed,
        workers,
        kills,
        stops,
        restarts: store === "postgres" ? restarts : 0,
        cuts: store === "sqlite" ? 0 : cuts,
        sagas,
        progress: (line) => console.error(line)
      })
    )
  }
  const bad = reports.filter(({ violations }) => violations.length > 0)
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
    const { millis, violations } = yield* drive({ ...trialOf(name), program: made, seed })
    seen.push({ broken: name, violations: byTag(violations) })
    yield* Console.error(`${name}: ${violations.length} violations after ${Math.round(millis / 1000)} s`)
  }
  yield* Console.log(
    json
      ? JSON.stringify(seen, null, 2)
      : seen.map(({ broken, violations }) => `${broken}: ${listed(violations) || "not seen"}`).join("\n")
  )
  return seen.every(({ violations }) => Object.keys(violations).length > 0)
}, Effect.scoped)

runMain(parse, usage, (flags) => (flags.broken.length > 0 ? tryBroken : soak)(flags))
