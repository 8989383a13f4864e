// What the docs say of Powertools and of this toolkit is what they do.
import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import { assert, inject, it } from "vitest"
import { type Comparison, format } from "../../src/compare/table.ts"

const root = join(import.meta.dirname, "../../../..")

const compare = async (signal: AbortSignal): Promise<Comparison> => {
  const { stdout } = await promisify(execFile)(join(root, "scripts/compare"), ["idempotency", "--json"], {
    env: { ...process.env, TEST_REDIS_URL: inject("redis") },
    signal
  })
  return JSON.parse(stdout) as Comparison
}

const other = "is told that the payload is another"
const twice = "2 charges"
const holds = ["", "", ""]

// What was seen of Powertools, of Powertools with its validation of payloads, and of this toolkit; nothing where it holds.
const pinned = {
  "two calls at once": holds,
  "the replay": ["", `the second call ${other}`, ""],
  "a date in the answer": ["the date is text", `the second call ${other}`, ""],
  "another payload in flight": ["it is told that it is in flight", "", ""],
  "another payload afterwards": ["it gets an answer", "", ""],
  "two operations in turn": holds,
  "two operations at once": [
    "the charge is told that it is in flight, the refund gets another operation's answer",
    `the charge is told that it is in flight, the refund ${other}`,
    ""
  ],
  "no key": holds,
  "nothing was sent": holds,
  "a decline": ["it is sent again, and charged", "it is sent again, and charged", ""],
  "a timeout": [twice, twice, ""],
  "a defect": [twice, twice, ""],
  "an answer that cannot be stored": [twice, twice, ""],
  "the store is full at the claim": holds,
  "the store is full at the save": [twice, twice, ""],
  "the claim's reply is lost": [
    "no charge, the retry is told that it is in flight",
    "no charge, the retry is told that it is in flight",
    ""
  ],
  "the save's reply is lost": ["", `the retry ${other}`, ""],
  "the store comes back empty": [twice, twice, twice],
  "a store that drops records": ["it starts, and charges", "it starts, and charges", ""],
  "killed before the charge": holds,
  "killed after the charge": [twice, twice, ""],
  "slow": ["2 charges, the other gets an answer", "2 charges, the other gets an answer", ""],
  "frozen after the charge": ["it is overwritten", `who comes later ${other}`, ""],
  "frozen, then nothing sent": [twice, twice, ""],
  "frozen right before the charge": [twice, twice, twice],
  "a clock that is ahead": ["2 charges, it gets an answer", "2 charges, it gets an answer", ""]
}

// It starts eighteen processes: that takes its time where others run too.
it(
  "each demand has the verdict that is pinned here, and docs/idempotency.md has the table",
  { timeout: 480_000 },
  async ({ signal }) => {
    const comparison = await compare(signal)
    const seen = comparison.rows.map(({ name, verdicts }) => [name, verdicts.map(({ seen }) => seen)] as const)
    assert.deepStrictEqual(Object.fromEntries(seen), pinned)
    for (const { holds, seen } of comparison.rows.flatMap(({ verdicts }) => verdicts)) {
      assert.strictEqual(
        holds,
        seen === ""
      )
    }
    assert.include(readFileSync(join(root, "docs/idempotency.md"), "utf8"), format(comparison))
  }
)
