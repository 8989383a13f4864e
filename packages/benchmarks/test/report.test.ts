import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it, vi } from "vitest"
import { measure, median } from "../src/measure.ts"
import { atLeast, atMost, format, makeReport } from "../src/report.ts"

// Some of the tests start a process.
vi.setConfig({ testTimeout: 60_000 })

const source = join(import.meta.dirname, "../src")

const bench = (...args: ReadonlyArray<string>) =>
  spawnSync(process.execPath, ["--conditions=@effect-payments/source", join(source, "main.ts"), ...args], {
    encoding: "utf8"
  })

describe("format", () => {
  const report = makeReport(
    "stack",
    [
      { name: "ours", nanoseconds: 812, perSecond: 1_231_527.1, ratio: 0.5, note: "of the peer" },
      { name: "a peer", nanoseconds: 1_624_000 },
      { name: "nothing but a ratio", ratio: 12.34 }
    ],
    [atMost("ours through peer", 0.5, 0.6), atLeast("per second", 10, 20), atMost("not run", Number.NaN, 1)]
  )

  it("aligns the columns and says which aims are met", () => {
    const [title, , ...lines] = format(report).split("\n")
    assert.match(title ?? "", /^stack on .+, node v\d+/)
    assert.deepStrictEqual(lines, [
      "                     per call  per second  ratio",
      "ours                   812 ns   1 231 527  0.50x  of the peer",
      "a peer                1.62 ms",
      "nothing but a ratio                        12.3x",
      "",
      "met    ours through peer: at most 0.6 (0.500)",
      "UNMET  per second: at least 20 (10.0)",
      "UNMET  not run: at most 1 (NaN)"
    ])
  })

  it("leaves out a column that no row fills", () => {
    const lines = format(makeReport("x", [{ name: "a", nanoseconds: 1 }], [])).split("\n")
    assert.deepStrictEqual(lines.slice(2), ["   per call", "a      1 ns"])
  })
})

describe("measure", () => {
  const spin = (n: number) => () => {
    let x = 0
    for (let i = 0; i < n; i++) x = (x * 31 + i) | 0
    return x
  }

  it("tells what takes longer, in and out of ratios", async () => {
    const { nanoseconds, ratio } = await measure({ short: spin(1000), long: spin(20_000) }, {
      rounds: 5,
      roundMillis: 2
    })
    assert.isAbove(nanoseconds.long, nanoseconds.short)
    assert.isAbove(ratio("long", "short"), 5)
    assert.isBelow(ratio("short", "long"), 0.2)
  })

  it("runs each contender as often as it is told, and waits for the async ones", async () => {
    const calls = { sync: 0, pending: 0, pendingMost: 0 }
    await measure({
      sync: () => void calls.sync++,
      async: async () => {
        calls.pending++
        calls.pendingMost = Math.max(calls.pendingMost, calls.pending)
        await Promise.resolve()
        calls.pending--
      }
    }, { rounds: 3, iterations: 4 })
    // One to see whether it is async, one round to warm up, three that count.
    assert.strictEqual(calls.sync, 1 + 4 + 3 * 4)
    assert.strictEqual(calls.pendingMost, 1)
  })

  it("divides the time of a call by the operations that it does", async () => {
    const { ratio } = await measure({ ten: { run: spin(100_000), operations: 10 }, one: spin(100_000) }, {
      rounds: 5,
      iterations: 20
    })
    assert.isBelow(ratio("ten", "one"), 0.5)
  })

  it("takes the middle", () => {
    assert.strictEqual(median([3, 1, 2]), 2)
    assert.strictEqual(median([4, 1, 2, 3]), 2.5)
    assert.isNaN(median([]))
  })
})

describe("npm run bench", () => {
  it.each([[[]], [["none"]], [["money", "stack"]], [["money", "--jsno"]]])(
    "%j lists the names and ends with 2",
    (args) => {
      const { status, stderr, stdout } = bench(...args)
      assert.strictEqual(status, 2)
      assert.strictEqual(stdout, "")
      assert.match(
        stderr,
        /^names: .*\bidempotency-memory, idempotency-postgres, idempotency-redis, idempotency-sqlite, .*\bstack\b/m
      )
    }
  )

  it("each name is a file", () => {
    for (const name of bench().stderr.split("names: ")[1]?.trim().split(", ") ?? []) {
      assert.isTrue(existsSync(join(source, `${name}.ts`)), name)
    }
  })
})
