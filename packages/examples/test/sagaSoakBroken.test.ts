// That the saga kill test finds what is wrong: logs and adapters that are broken on purpose, those that are seen within seconds.
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { trialOf } from "../src/sagaSoak/broken.ts"
import { drive } from "../src/sagaSoak/drive.ts"
import { program } from "../src/sagaSoak/program.ts"
import { byTag } from "../src/soak/report.ts"

// What a trial meets depends on the machine too: what is broken is seen in one of these.
const seeds = [7, 8, 9, 10, 11]

describe("the saga kill test", () => {
  for (
    const [broken, violation] of [
      ["no-intents", "HistoryBroken"],
      ["lost-undos", "LostCompensation"],
      ["fresh-keys", "DoubleCharge"]
    ] as const
  ) {
    it.live(`sees ${violation} of ${broken}`, () =>
      Effect.gen(function*() {
        const ended = []
        for (const seed of seeds) {
          const report = yield* drive({ ...trialOf(broken), program: yield* program, seed })
          if ((byTag(report.violations)[violation] ?? 0) > 0) return
          ended.push(report.states)
        }
        assert.fail(`it is not seen: ${JSON.stringify(ended)}`)
      }).pipe(Effect.scoped), 240_000)
  }
})
