/**
 * The short form of the kill tests: `npm run soak:idempotency` is the long one, over the same code.
 */
import { assert, describe, inject, it } from "@effect/vitest"
import { Effect } from "effect"
import { randomInt } from "node:crypto"
import { drive } from "../../src/soak/drive.ts"
import { program } from "../../src/soak/program.ts"
import { details, faults, unexpected } from "../../src/soak/report.ts"

const seed = Number(process.env["IDEMPOTENCY_KILLS_SEED"] ?? randomInt(2 ** 31))

const run = Effect.fnUntraced(function*(given: Partial<Parameters<typeof drive>[0]>) {
  const made = yield* program
  const report = yield* drive({
    store: "sqlite",
    url: "",
    program: made,
    seed,
    kills: 12,
    stops: 6,
    keys: 60,
    deduplicates: true,
    ...given
  })
  console.log(`IDEMPOTENCY_KILLS_SEED=${seed} ${details(report)}`)
  return report
}, Effect.scoped)

const stores = [
  { store: "sqlite", url: "" },
  { store: "postgres", url: inject("postgres") },
  { store: "redis", url: inject("redis") }
] as const

describe("processes that are killed and frozen while they charge", () => {
  for (const at of stores) {
    it.live(
      `charge each key once, and tell every caller what the record says, over ${at.store}`,
      () =>
        Effect.gen(function*() {
          const report = yield* run(at)
          assert.lengthOf(unexpected(report), 0, faults(report))
          assert.deepStrictEqual([report.kills, report.stops], [12, 6])
          assert.isAtLeast(report.keys, 60)
          // Otherwise little was tried.
          assert.isAbove(report.charges, report.keys / 2)
          assert.isAbove(report.records["Refused"] ?? 0, 0)
          assert.isAbove(report.told["none"] ?? 0, 0)
          assert.isAbove(report.told["Conflict"] ?? 0, 0)
        }),
      240_000
    )
  }
})
