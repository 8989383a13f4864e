// That the kill tests find what is wrong: stores that are broken on purpose, those that are seen within seconds.
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { trialOf } from "../src/soak/broken.ts"
import { drive } from "../src/soak/drive.ts"
import { program } from "../src/soak/program.ts"
import { byTag, unexpected } from "../src/soak/report.ts"

// What a trial meets depends on the machine too: what is broken is seen in one of these.
const seeds = [7, 8, 9, 10, 11]

describe("the kill tests", () => {
  for (
    const [broken, violation] of [
      ["no-fingerprint", "ConflictNotRefused"],
      ["read-then-write", "DoubleCharge"],
      ["rerun-after-save-error", "DoubleCharge"]
    ] as const
  ) {
    it.live(`see ${violation} of ${broken}`, () =>
      Effect.gen(function*() {
        const told = []
        for (const seed of seeds) {
          const report = yield* drive({ ...trialOf(broken), program: yield* program, seed })
          if ((byTag(unexpected(report))[violation] ?? 0) > 0) return
          told.push(report.told)
        }
        assert.fail(`it is not seen: ${JSON.stringify(told)}`)
      }).pipe(Effect.scoped), 240_000)
  }
})
