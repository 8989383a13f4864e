// Each demand can be failed: by one who runs all that comes, or by one who says no to all of it.
import { assert, describe, it } from "vitest"
import { type Caller, type Charge, Declined, NotSent, TimedOut } from "../src/compare/idempotency/contender.ts"
import type { Gateway } from "../src/compare/idempotency/gateway.ts"
import { inTurn, type Stage, together } from "../src/compare/idempotency/scenarios.ts"

const gatewayOf = (): Gateway => {
  const ledger = new Map<string, Array<Charge>>()
  const chargesOf = (operation: string, key: string) => ledger.get(`${operation} ${key}`) ?? []
  return {
    charge: async (operation, key, by) => {
      const charges = chargesOf(operation, key)
      const charge = { id: `${operation}-${charges.length + 1}`, amount: 1000, at: new Date(), by }
      ledger.set(`${operation} ${key}`, [...charges, charge])
      return charge
    },
    find: async (operation, key) => chargesOf(operation, key)[0],
    charges: async (operation, key) => chargesOf(operation, key).length,
    close: async () => undefined
  }
}

const callers = {
  "runs all that comes": {
    call: ({ work }) =>
      work().then(
        (charge) => ({ _tag: "Answered", charge }),
        (error) =>
          error instanceof NotSent
            ? { _tag: "NotSent" }
            : error instanceof Declined
            ? { _tag: "Declined" }
            : error instanceof TimedOut
            ? { _tag: "TimedOut" }
            : { _tag: "Defect" }
      ),
    close: async () => undefined
  },
  "says no to all": { call: async () => ({ _tag: "Declined" }), close: async () => undefined }
} satisfies Record<string, Caller>

const stageOf = (caller: Caller): Stage => ({
  key: "key",
  server: {
    port: 0,
    url: "",
    configure: async () => undefined,
    forget: async () => undefined,
    stop: async () => undefined
  },
  gateway: gatewayOf(),
  one: caller,
  other: caller,
  open: async () => caller,
  network: async () => ({
    url: "",
    loseReply: async () => undefined,
    lost: async () => 1,
    close: async () => undefined
  }),
  start: () => ({
    here: Promise.resolve(),
    told: Promise.resolve({ _tag: "Declined" }),
    ended: Promise.resolve(),
    kill: async () => undefined,
    wake: () => undefined
  })
})

describe("a demand on idempotency", () => {
  it.each([...inTurn, ...together])("$name: is not met by both", async ({ run }) => {
    const verdicts = await Promise.all(Object.values(callers).map((caller) => run(stageOf(caller))))
    const unmet = verdicts.filter(({ holds }) => !holds)
    assert.isNotEmpty(unmet)
    for (const { seen } of unmet) assert.notStrictEqual(seen, "")
  })
})
