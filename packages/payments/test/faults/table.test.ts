import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { listed, tableOf } from "../support/faultTable.ts"

describe("docs/fault-matrix.md", () => {
  it("has every row once, with a test of its own or the reason why there is none", () => {
    const rows = tableOf("row")
    assert.deepStrictEqual(rows.map(([row]) => row), Array.from({ length: 40 }, (_, index) => String(index + 1)))
    const tested = new Set(listed().map(({ test }) => /^row (\d+): /.exec(test)?.[1]))
    const untested = rows.filter(([row]) => !tested.has(row))
    assert.deepStrictEqual(untested.map(([row]) => row), ["31", "35", "36", "37"])
    for (const [, , answer] of untested) assert.match(answer ?? "", /^Not here: /)
  })

  it("names files that are there, and type tests that they hold", () => {
    const missing = listed().filter(({ test, where }) => {
      const source = readFileSync(new URL(where, import.meta.url), "utf8")
      return where.endsWith(".test-d.ts") && !source.includes(`it("${test}"`)
    })
    assert.deepStrictEqual(missing, [])
  })
})
