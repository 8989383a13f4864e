import { assert, describe, it } from "@effect/vitest"
import * as machine from "../../src/internal/idempotency/machine.ts"
import { explore } from "./modelCheck.ts"

const all = ["Claimed", "Indeterminate", "Parked", "Resolving", "Succeeded", "Vacant", "none"]

describe("the machine, in every interleaving", () => {
  // A request that is late and the same sent again are on their way at once only of two attempts: of three there are too many.
  for (const [attempts, onTheirWay] of [[2, 2], [3, 1]] as const) {
    it(
      `of ${attempts} attempts executes once, keeps what was completed, and lets one at a time count on its lease`,
      () => {
        const { reached, states, steps, wrong } = explore({ attempts, onTheirWay })
        console.log(`${attempts} attempts, ${onTheirWay} on their way: ${states} states, ${steps} steps`)
        assert.isUndefined(wrong, wrong?.history.join("; "))
        assert.isAbove(states, 100_000)
        assert.deepStrictEqual(Array.from(reached).sort(), all)
      },
      300_000
    )
  }

  it("finds what is wrong with a machine", () => {
    const { claim, complete } = machine
    const wrongs: { readonly [name: string]: Partial<typeof machine> } = {
      "runs a lapsed claim again": {
        claim: (record, request, now) => {
          const next = claim(record, request, now)
          return next.state === "Resolving" ? { ...next, state: "Claimed" } : next
        }
      },
      "gives a claim away": {
        claim: (record, request, now) => claim(record && { ...record, leaseUntil: 0 }, request, now)
      },
      "writes over what was completed": {
        complete: (record, request, now) =>
          complete(record?.state === "Succeeded" ? { ...record, state: "Claimed" } : record, request, now)
      },
      "keeps the fence": {
        claim: (record, request, now) => ({ ...claim(record, request, now), fence: record?.fence ?? now })
      }
    }
    for (const [name, wrong] of Object.entries(wrongs)) {
      assert.isDefined(explore({ attempts: 2, onTheirWay: 1, rules: { ...machine, ...wrong } }).wrong, name)
    }
  }, 300_000)
})
