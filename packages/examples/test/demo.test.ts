import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import type { ChildProcess } from "node:child_process"
import { parse } from "../src/demo/flags.ts"
import { fact, type Outcome, runAll, type Scenario } from "../src/demo/Scenario.ts"
import { GatewaySim } from "../src/gateway-sim/start.ts"
import { runDemo } from "./support/runDemo.ts"

const timeout = 300_000

const isRunning = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** The gateway, and the services as they were first started. */
const processesIn = (text: string): ReadonlyArray<number> => [
  Number(/simulator, process (\d+)/.exec(text)?.[1]),
  ...(/^services  (.*)$/m.exec(text)?.[1] ?? "").split(", ").map((service) => Number(service.split(" ")[1]))
]

const isGone = (text: string): void => {
  const pids = processesIn(text)
  assert.lengthOf(pids, 5)
  assert.deepStrictEqual(pids.filter(isRunning), [])
}

const everyStep = "inventory reserve, gateway authorize, gateway capture, accounting book, shipping ship, receipts send"

describe("./scripts/demo", () => {
  it.live("goes as it has to, and prints nothing but data with --json", () =>
    Effect.gen(function*() {
      const { code, left, stderr, stdout } = yield* runDemo(["--json"])
      const { scenarios, ...rest } = JSON.parse(stdout) as { readonly scenarios: ReadonlyArray<Outcome> }
      assert.deepStrictEqual(
        scenarios.map(({ chargesInLedger, name, ok }) => [name, ok, chargesInLedger]),
        [
          ["two transient failures", true, 1],
          ["the same key again", true, 1],
          ["the same key, another amount", true, 1],
          ["50 duplicates at once", true, 1],
          ["a decline", true, 0],
          ["a timeout whose charge happened", true, 1],
          ["SIGKILL between charge and save", true, 1],
          ["a checkout over two failures", true, 1],
          ["the same order again", true, 1],
          ["a shipment that is refused", true, 1],
          ["a capture that is refused", true, 1],
          ["a buyer on the blocklist", true, 0],
          ["webhooks: new, again, forged", true, 1],
          ["the reconciliation of the day", true, 0],
          ["a card number in a log line", true, 0],
          ["SIGKILL after the capture", true, 1],
          ["SIGTERM in the middle", true, 1],
          ["a challenge that is passed", true, 1],
          ["its webhook twice and too early", true, 1],
          ["a challenge that nobody answers", true, 1],
          ["SIGKILL while it waits", true, 1],
          ["an undo that fails", true, 1],
          ["a service killed at its commit", true, 1],
          ["the money in each ledger", true, 0]
        ],
        stdout
      )
      for (const scenario of scenarios) {
        assert.hasAllKeys(scenario, ["name", "ok", "chargesInLedger", "detail", "shown"])
        assert.match(scenario.detail, /^.+: .+$/)
      }
      const shown = (name: string) => scenarios.find((scenario) => scenario.name === name)?.shown
      // One that goes well, one that is undone in reverse, one that somebody has to settle, one that another process ends.
      assert.deepStrictEqual(shown("a checkout over two failures"), [everyStep])
      assert.deepStrictEqual(shown("a shipment that is refused"), [
        "inventory reserve, gateway authorize, gateway capture, accounting book",
        "undone: accounting reverse, gateway refund, inventory release"
      ])
      assert.deepStrictEqual(shown("an undo that fails"), [
        "payctl saga list --waiting   order-2008 FailedCompensation",
        "payctl saga show             the undo of reserve (Unavailable)",
        "payctl saga retry --by ada   Compensated; accounting reverse, gateway refund, inventory release"
      ])
      assert.deepStrictEqual(shown("SIGKILL after the capture"), [everyStep])
      assert.deepStrictEqual(shown("a challenge that is passed"), [everyStep])
      assert.deepStrictEqual(shown("its webhook twice and too early"), [everyStep])
      assert.deepStrictEqual(shown("a challenge that nobody answers"), [
        "inventory reserve, gateway authorize",
        "undone: gateway void, inventory release"
      ])
      assert.deepStrictEqual(shown("SIGKILL while it waits"), [everyStep])
      assert.deepStrictEqual(shown("the money in each ledger"), [
        "gateway     captured EUR 569.00, refunded EUR 97.00, held EUR 0.00",
        "accounting  sold EUR 569.00, reversed EUR 97.00",
        "inventory   20 delivered, 8 sold, 12 left",
        "shipping    8 parcels for EUR 472.00"
      ])
      assert.deepStrictEqual([code, stderr, rest, left], [0, "", {}, []])
    }).pipe(Effect.scoped), timeout)

  it.live("fails when the gateway does not keep its promise", () =>
    Effect.gen(function*() {
      const { code, left, stderr, stdout } = yield* runDemo(["--gateway-dedup", "off"])
      const lines = stdout.split("\n").filter((line) => /^(ok|FAIL) +\d/.test(line))
      assert.deepStrictEqual(
        lines.map((line) => line.slice(0, 7)),
        Array.from({ length: 24 }, (_, index) => `${index === 5 ? "FAIL" : "ok  "}${String(index + 1).padStart(3)}`),
        stdout
      )
      assert.match(lines[5] ?? "", / 3 {2}.*, but charges in the ledger: expected 1, saw 3$/)
      assert.match(stdout, /\n23 of 24 as expected, in \d+\.\d s\. The gateway charged 18 times in all\.\n$/)
      const width = Math.max(...lines.filter((line) => line.startsWith("ok")).map(({ length }) => length))
      assert.isAtMost(width, 120)
      assert.deepStrictEqual([code, stderr, left], [1, "", []])
      isGone(stdout)
    }).pipe(Effect.scoped), timeout)

  const ends: ReadonlyArray<readonly [string, (child: ChildProcess) => void]> = [
    ["SIGINT", (child) => child.kill("SIGINT")],
    ["SIGTERM", (child) => child.kill("SIGTERM")],
    ["SIGHUP", (child) => child.kill("SIGHUP")],
    ["a reader that is gone", (child) => child.stdout?.destroy()]
  ]
  it.live.each(ends)("leaves nothing behind on %s", ([, end]) =>
    Effect.gen(function*() {
      const { code, left, stderr, stdout } = yield* runDemo([], {
        onText: (text, child) => {
          if (text.includes("ok    1")) end(child)
        }
      })
      assert.notInclude(stdout, "as expected")
      assert.deepStrictEqual([code, stderr, left], [130, "", []])
      isGone(stdout)
    }).pipe(Effect.scoped), timeout)

  it.live("explains itself, and refuses what it does not know", () =>
    Effect.gen(function*() {
      const help = yield* runDemo(["--help"])
      assert.deepStrictEqual([help.code, help.stderr], [0, ""])
      assert.include(help.stdout, "Usage: ./scripts/demo")
      const wrong = yield* runDemo(["--jsn"])
      assert.deepStrictEqual([wrong.code, wrong.stdout], [2, ""])
      assert.match(wrong.stderr, /^Unknown option '--jsn'/)
    }).pipe(Effect.scoped), timeout)
})

describe("flags", () => {
  it("are all that is taken", () => {
    const messages = [["--json=yes"], ["x"], ["--gateway-dedup"], ["--gateway-dedup", "maybe"]].map((args) => {
      const parsed = parse(args)
      return parsed._tag === "Failure" ? parsed.failure._tag : parsed.success
    })
    assert.deepStrictEqual(messages, Array.from({ length: 4 }, () => "UsageError" as const))
  })
})

describe("runAll", () => {
  const ledger = { charges: 0, operations: [], totals: {} }
  const run = (scenarios: ReadonlyArray<Scenario<never>>, charges: ReadonlyArray<number> = []) => {
    let asked = 0
    // Only the ledger is asked for.
    const sim = {
      ledger: Effect.sync(() => ({ ...ledger, charges: charges[asked++] ?? 0 }))
    } as unknown as GatewaySim["Service"]
    return runAll(scenarios, () => Effect.void).pipe(Effect.provideService(GatewaySim, sim))
  }
  const scenario = (name: string, run: Scenario<never>["run"], charges = 0): Scenario<never> => ({
    name,
    why: "so it is",
    charges,
    run
  })
  const fine = () => Effect.succeed({ happened: "it went well", facts: [fact("answer", 42, 42)] })

  it.effect("takes a wrong fact, a failure, a defect and a wrong number of charges for surprises", () =>
    Effect.gen(function*() {
      const outcomes = yield* run([
        scenario("fact", () => Effect.succeed({ happened: "it answered", facts: [fact("answer", 42, 41)] })),
        scenario("failure", () => Effect.fail("no")),
        scenario("defect", () => Effect.die(new Error("broken"))),
        scenario("fine", fine)
      ])
      assert.deepStrictEqual(outcomes.map(({ ok }) => ok), [false, false, false, true])
      assert.strictEqual(outcomes[0]?.detail, "it answered, but answer: expected 42, saw 41")
      assert.strictEqual(outcomes[3]?.detail, "it went well: so it is")
      // Before all, before the first, after it, before the second, after it.
      const [once, twice] = yield* run([scenario("once", fine, 1), scenario("twice", fine, 1)], [0, 0, 1, 1, 3])
      assert.deepStrictEqual([once?.ok, once?.chargesInLedger], [true, 1])
      assert.deepStrictEqual([twice?.ok, twice?.chargesInLedger], [false, 2])
    }))

  it.effect("ends what hangs, and has an outcome for each", () =>
    Effect.gen(function*() {
      const hanging = Array.from({ length: 4 }, (_, index) => scenario(`${index}`, () => Effect.never))
      const fiber = yield* Effect.forkChild(run(hanging), { startImmediately: true })
      yield* TestClock.adjust("300 seconds")
      const outcomes = yield* Fiber.join(fiber)
      assert.deepStrictEqual(outcomes.map(({ ok }) => ok), [false, false, false, false])
      assert.include(outcomes[3]?.detail, "did not end in time")
    }))
})
