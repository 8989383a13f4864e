// What the docs say of effect's own workflows, of DBOS and of this toolkit is what they do.
import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import { assert, inject, it } from "vitest"
import { type Comparison, format } from "../../src/compare/table.ts"

const root = join(import.meta.dirname, "../../../..")

const compare = async (signal: AbortSignal): Promise<Comparison> => {
  const { stdout } = await promisify(execFile)(join(root, "scripts/compare"), ["saga", "--json"], {
    env: { ...process.env, TEST_POSTGRES_URL: inject("postgres") },
    signal,
    maxBuffer: 1 << 24
  })
  return JSON.parse(stdout) as Comparison
}

const undone = (step: string) => `${step} is not undone`
const three = (seen: string) => [seen, seen, seen, ""]
const same = "answered as if it were the same"
const twice = "\"authorize\" is sent more than once"
const open = "it does not end"

// What was seen of effect's engine in memory, of its engine on a cluster, of DBOS and of this toolkit; nothing where it holds.
const pinned = {
  "reverse order": ["", "", "", ""],
  "happened without an answer": three(undone("authorize")),
  "pivot in doubt": three("undone although it shipped"),
  "sibling in a group": three(undone("reserve")),
  "undo that waits": [undone("authorize"), "not undone in order", "", ""],
  "undo that fails": ["", "", undone("reserve"), ""],
  "what is told of it": ["the first error is gone", open, "the first error is gone", ""],
  "resumed by an operator": [undone("authorize"), undone("authorize"), "", ""],
  "cancelled while it is undone": three(undone("reserve")),
  "same id, other payload": three(same),
  "killed before the answer is kept": [open, twice, twice, ""],
  "killed while it is undone": [open, "", "", ""],
  "another process": [open, "", open, ""],
  "a new version": [open, "", open, ""]
}

// It starts thirty-two processes: that takes its time where others run too.
it(
  "each demand has the verdict that is pinned here, and docs/saga.md has the table",
  { timeout: 600_000 },
  async ({ signal }) => {
    const comparison = await compare(signal)
    const seen = comparison.rows.map(({ name, verdicts }) => [name, verdicts.map(({ seen }) => seen)] as const)
    assert.deepStrictEqual(Object.fromEntries(seen), pinned)
    for (const { holds, seen } of comparison.rows.flatMap(({ verdicts }) => verdicts)) {
      assert.strictEqual(holds, seen === "")
    }
    assert.include(readFileSync(join(root, "docs/saga.md"), "utf8"), format(comparison))
  }
)
