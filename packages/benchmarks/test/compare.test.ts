import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { assert, describe, it, vi } from "vitest"
import { format, formatContract } from "../src/compare/table.ts"

// Some of the tests start a process.
vi.setConfig({ testTimeout: 60_000 })

const main = join(import.meta.dirname, "../src/compare/main.ts")

const compare = (...args: ReadonlyArray<string>) =>
  spawnSync(process.execPath, ["--conditions=@effect-payments/source", main, ...args], { encoding: "utf8" })

const holds = { holds: true, seen: "1 charge" }
const fails = { holds: false, seen: "2 charges" }

describe("format", () => {
  it("is a table of verdicts, and what is lost by those that failed", () => {
    const table = format({
      name: "x",
      contenders: ["a peer 1.0", "ours"],
      rows: [
        { name: "one", demand: "the first", loss: "nobody loses it.", verdicts: [holds, holds] },
        { name: "two", demand: "second", loss: "the payer pays twice.", verdicts: [fails, holds] },
        { name: "three", demand: "third", loss: `${"words ".repeat(30)}end.`, verdicts: [holds, fails] }
      ]
    })
    assert.deepStrictEqual(table.split("\n"), [
      "| row | demand    | a peer 1.0           | ours                 |",
      "| --- | --------- | -------------------- | -------------------- |",
      "| 1   | the first | holds                | holds                |",
      "| 2   | second    | **fails**: 2 charges | holds                |",
      "| 3   | third     | holds                | **fails**: 2 charges |",
      "",
      "- Row 2, two: the payer pays twice.",
      `- Row 3, three:${" words".repeat(18)}`,
      `  ${"words ".repeat(12)}end.`
    ])
  })

  it("says nothing of losses when nobody fails", () => {
    const row = { name: "one", demand: "the first", loss: "nothing.", verdicts: [holds] }
    assert.strictEqual(format({ name: "x", contenders: ["ours"], rows: [row] }).split("\n").length, 3)
  })
})

describe("formatContract", () => {
  it("is a table of cases, and how many each passes", () => {
    const table = formatContract({
      contenders: ["a peer 1.0", "ours"],
      cases: [{ name: "keeps a refusal", passes: [false, true] }, { name: "waits", passes: [true, true] }]
    })
    assert.deepStrictEqual(table.split("\n"), [
      "| the store …     | a peer 1.0 | ours   |",
      "| --------------- | ---------- | ------ |",
      "| keeps a refusal | **fails**  | passes |",
      "| waits           | passes     | passes |",
      "| passed          | 1 of 2     | 2 of 2 |"
    ])
  })
})

describe("npm run compare", () => {
  it.each([[[]], [["none"]], [["toString"]], [["idempotency", "more"]], [["idempotency", "--jsno"]]])(
    "%j lists the names and ends with 2",
    (args) => {
      const { status, stderr, stdout } = compare(...args)
      assert.strictEqual(status, 2)
      assert.strictEqual(stdout, "")
      assert.match(stderr, /^names: .*\bidempotency\b/m)
    }
  )
})
