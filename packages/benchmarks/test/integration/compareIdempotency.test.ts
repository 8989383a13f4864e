// What the docs say of Powertools and of this toolkit is what they do.
import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import { assert, inject, it } from "vitest"
import { type Comparison, format, formatContract } from "../../src/compare/table.ts"

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

// The cases of the contract that Powertools fails, with and without its validation of payloads.
const bothFail = [
  "leaves a record of another fingerprint alone, in whichever state",
  "leaves a lapsed claim alone without a resolver",
  "gives a lapsed claim to one that can resolve it",
  "parks a record whose attempts all lapsed",
  "never grants what is parked, nor lets its last owner complete it",
  "gives what is in doubt only to one that can resolve it",
  "keeps what is in doubt for ever",
  "goes by its own clock, whatever the caller's says",
  "answers a completion that is sent again alike, and changes nothing",
  "never changes what is completed",
  "refuses another owner, another fence and an absent record",
  "refuses an owner whose record was taken over",
  "counts an unresolved end and notes when the request can last have left",
  "neither counts nor notes what only looked",
  "parks at the last unresolved end, for good",
  "frees a slot and keeps its fingerprint and fence",
  "does not release what is in doubt, nor for another owner",
  "keeps a claim alive for as long as it is renewed",
  "never shortens a lease",
  "answers many renewals in their order, each on its own",
  "renews hundreds at once",
  "resolves what is in doubt, parked or lapsed",
  "frees what never happened, its count begun anew",
  "does not resolve what is in flight, finished, free, absent or of another fence",
  "answers a resolution that is sent again alike, and changes nothing",
  "lists by tenant and operation, and takes no name for the beginning of another",
  "lists page by page in the order of the ids",
  "lists by state, and what is stuck",
  "evicts what is finished or free, and the rest only with force",
  "does not begin the fence anew after an eviction",
  "sweeps what has expired, no more than asked and nothing else",
  "gives a lapsed claim to one of 64 that come at once",
  "keeps each of 64 records apart when all are written at once",
  "lets one of two ends win that come at once",
  "gives a lapsed claim to its owner's end or to the one that takes over, never to both",
  "lets a resolution or a take-over have what is in doubt, never both"
]
const failed = [
  [...bothFail, "leaves its own record of another fingerprint alone"],
  [...bothFail, "answers a replay with the result, and writes nothing"],
  []
]

// It starts eighteen processes: that takes its time where others run too.
it(
  "each demand has the verdict that is pinned here, and docs/idempotency.md has the tables",
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
    const page = readFileSync(join(root, "docs/idempotency.md"), "utf8")
    assert.include(page, format(comparison))
    const { contract } = comparison
    assert.isDefined(contract)
    const failing = comparison.contenders.map((_, i) =>
      contract.cases.filter(({ passes }) => passes[i] !== true).map(({ name }) => name).sort()
    )
    assert.deepStrictEqual(failing, failed.map((names) => names.toSorted()))
    assert.isAtLeast(contract.cases.length, 40)
    assert.include(page, formatContract(contract))
  }
)
