import { assert, describe, it } from "@effect/vitest"
import * as machine from "../../src/internal/idempotency/machine.ts"
import { explore } from "./modelCheck.ts"

const all = ["Claimed", "Indeterminate", "Parked", "Resolving", "Succeeded", "Vacant", "none"]

describe("the machine, in every interleaving", () => {
  // Two on their way: a request that is late and the same sent again, or those of two attempts.
  for (const [attempts, onTheirWay, atLeast] of [[2, 3, 33_044], [3, 2, 33_223]] as const) {
    it(
      `of ${attempts} attempts and ${onTheirWay} requests executes once, keeps what was completed, lets one at a time count on its lease`,
      () => {
        const { reached, states, steps, wrong } = explore({ attempts, onTheirWay })
        console.log(`${attempts} attempts, ${onTheirWay} on their way: ${states} states, ${steps} steps`)
        assert.isUndefined(wrong, wrong?.history.join("; "))
        assert.isAtLeast(states, atLeast)
        assert.deepStrictEqual(Array.from(reached).sort(), all)
      },
      300_000
    )
  }

  it("is the same whether attempts have names or not, but for the number of states", () => {
    const named = explore({ attempts: 2, onTheirWay: 2, named: true })
    const { orbits, reached, states, wrong } = explore({ attempts: 2, onTheirWay: 2 })
    console.log(`2 attempts, 2 on their way: ${named.states} states with names, ${states} without`)
    assert.isUndefined(named.wrong)
    assert.isUndefined(wrong)
    assert.deepStrictEqual(reached, named.reached)
    // What is explored without names is all there is with names, up to a change of names: no more and no less.
    assert.deepStrictEqual(orbits, named.orbits)
    // A state has two names at the most, of two attempts.
    assert.isAbove(named.states, states)
    assert.isAtMost(named.states, states * 2)
  }, 300_000)

  it("leaves out nothing that can matter", () => {
    const whole = explore({ attempts: 2, onTheirWay: 2, whole: true })
    const { orbits, reached, states } = explore({ attempts: 2, onTheirWay: 2 })
    console.log(`2 attempts, 2 on their way: ${whole.states} states as they are, ${states} simplified`)
    assert.isUndefined(whole.wrong)
    assert.deepStrictEqual(reached, whole.reached)
    assert.deepStrictEqual(Array.from(whole.orbits).filter((orbit) => !orbits.has(orbit)), [])
  }, 300_000)

  it("finds what is wrong with a machine, whether attempts have names or not", () => {
    const { claim, complete, renew } = machine
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
      "renews for an old fence once the lease has lapsed": {
        renew: (record, request, now) =>
          renew(
            record,
            record !== undefined && record.leaseUntil <= now
              ? { ...request, owner: record.owner, fence: record.fence }
              : request,
            now
          )
      },
      "tells an old fence that it is renewed": {
        renew: (record, request, now) => renew(record, request, now) ?? record
      },
      "keeps the fence": {
        claim: (record, request, now) => ({ ...claim(record, request, now), fence: record?.fence ?? now })
      }
    }
    for (const [name, wrong] of Object.entries(wrongs)) {
      const rules = { ...machine, ...wrong }
      const found = explore({ attempts: 2, onTheirWay: 1, rules }).wrong
      const foundNamed = explore({ attempts: 2, onTheirWay: 1, rules, named: true }).wrong
      assert.isDefined(found, name)
      // Both are shortest ones.
      assert.strictEqual(found?.what, foundNamed?.what, name)
      assert.strictEqual(found?.history.length, foundNamed?.history.length, name)
    }
  }, 300_000)
})
