import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { listed, stores, tableOf } from "../support/faultTable.ts"

/** Where a row cannot arise. */
const exclusions = [
  "11 memory: before any store",
  "11 SQLite: before any store",
  "11 Postgres: before any store",
  "11 Redis: before any store",
  "31 memory: no such check",
  "31 SQLite: no such check",
  "31 Postgres: no such check",
  "31 Redis: no such check",
  "35 memory: no replica",
  "35 SQLite: no replica",
  "35 Postgres: as it replicates",
  "36 memory: drops nothing",
  "36 SQLite: drops nothing",
  "36 Postgres: drops nothing",
  "37 memory: no statements",
  "37 SQLite: one writer at a time",
  "37 Redis: one script at a time"
]

describe("docs/fault-matrix.md", () => {
  it("has every row once, on every store where it applies", () => {
    const rows = tableOf("row")
    assert.deepStrictEqual(rows.map(([row]) => row), Array.from({ length: 40 }, (_, index) => String(index + 1)))
    const excluded = rows.flatMap(([row, , , ...cells]) =>
      cells.flatMap((cell, index) => cell === "yes" ? [] : [`${row} ${stores[index]}: ${cell}`])
    )
    assert.deepStrictEqual(excluded, exclusions)
  })

  it("has a test of each row on each of its stores, and none where it does not apply", () => {
    const tested = new Set(
      listed().flatMap(({ stores, test }) => {
        const row = /^row (\d+): /.exec(test)?.[1]
        return row === undefined ? [] : stores.map((store) => `${row} ${store}`)
      })
    )
    for (const [row, , , ...cells] of tableOf("row")) {
      for (const [index, cell] of cells.entries()) {
        assert.strictEqual(tested.has(`${row} ${stores[index]}`), cell === "yes", `row ${row} on ${stores[index]}`)
      }
    }
  })

  it("names files that are there, and type tests that they hold", () => {
    const missing = listed().filter(({ test, where }) => {
      const source = readFileSync(new URL(where, import.meta.url), "utf8")
      return where.endsWith(".test-d.ts") && !source.includes(`it("${test}"`)
    })
    assert.deepStrictEqual(missing, [])
  })
})
