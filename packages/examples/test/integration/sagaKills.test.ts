/**
 * The short form of the saga kill test: `npm run soak:saga` is the long one, over the same code. More than a hundred processes are
 * killed in both together.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { randomInt } from "node:crypto"
import { drive, type Report } from "../../src/sagaSoak/drive.ts"
import { program } from "../../src/sagaSoak/program.ts"
import { details, faults } from "../../src/sagaSoak/report.ts"

const seed = Number(process.env["SAGA_KILLS_SEED"] ?? randomInt(2 ** 31))

const counts = { kills: 52, stops: 4, restarts: 0, cuts: 0, sagas: 120 }

const run = Effect.fnUntraced(function*(given: Partial<Parameters<typeof drive>[0]>) {
  const made = yield* program
  const report = yield* drive({ store: "sqlite", url: "", program: made, seed, ...counts, ...given })
  console.log(`SAGA_KILLS_SEED=${seed} ${details(report)}`)
  check(report)
  return report
}, Effect.scoped)

const check = (report: Report) => {
  assert.lengthOf(report.violations, 0, faults(report))
  assert.deepStrictEqual([report.kills, report.stops], [counts.kills, counts.stops])
  // Otherwise little was tried.
  const { acts, sagas, states, struck, told } = report
  assert.isAtLeast(sagas, counts.sagas)
  assert.isAbove(states["Completed"] ?? 0, sagas / 4)
  assert.isAbove(states["Compensated"] ?? 0, sagas / 5)
  assert.isAbove(acts["void"] ?? 0, 0)
  assert.isAbove(acts["refund"] ?? 0, 0)
  assert.isAbove(told["none"] ?? 0, 0)
  assert.isAbove(Object.keys(struck).length, 5)
}

describe("processes that are killed and frozen while they run sagas", () => {
  it.live("lose no compensation and capture nothing twice, over SQLite", () => run({ store: "sqlite" }), 240_000)

  it.live(
    "lose no compensation and capture nothing twice, over a Postgres that crashes twice and whose connections are cut",
    () =>
      Effect.gen(function*() {
        const { cuts, restarts } = yield* run({ store: "postgres", restarts: 2, cuts: 8 })
        assert.deepStrictEqual([restarts, cuts], [2, 8])
      }),
    240_000
  )
})
