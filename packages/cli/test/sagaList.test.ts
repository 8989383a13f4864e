import { SqliteClient } from "@effect-payments/sqlite"
import { Effect, Layer } from "effect"
import { SagaLog } from "effect-payments"
import { SqlClient } from "effect/sql"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "vitest"
import { payctlHere } from "./support/payctl.ts"

const folder = mkdtempSync(join(tmpdir(), "payctl-saga-list-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const fill = (name: string, ids: ReadonlyArray<string>, change: string | undefined) => {
  const file = join(folder, name)
  const opening = { definition: "[]", fingerprint: "f", payload: "{}", state: "Running" as const, events: [] }
  return Effect.runPromise(
    Effect.gen(function*() {
      const log = yield* SagaLog.SagaLog
      const sql = yield* SqlClient.SqlClient
      for (const id of ids) yield* log.claim({ ...SagaLog.runId("order", id), owner: id, leaseMillis: 1, opening })
      if (change !== undefined) yield* sql.unsafe(change)
      return file
    }).pipe(Effect.provide(SagaLog.layerStoreSql().pipe(Layer.provideMerge(SqliteClient.layer({ filename: file })))))
  )
}

describe("payctl saga list", () => {
  it("lists the others beside a row whose time is none", async () => {
    const file = await fill(
      "time.db",
      ["o-1", "o-2"],
      "UPDATE effect_payments_saga SET updated_at = 9000000000000000 WHERE id = 'o-1'"
    )
    const text = await payctlHere(["saga", "list", "--sqlite", file])
    const json = await payctlHere(["saga", "list", "--sqlite", file, "--json"])
    assert.strictEqual(text.status, 0, text.stderr)
    assert.include(text.stdout, "o-2")
    assert.strictEqual(json.status, 0, json.stderr)
  })

  it("prints no card number of an id, in the cursor neither", async () => {
    const file = await fill("pan.db", ["4111111111111111", "9"], undefined)
    for (const flags of [[], ["--json"]]) {
      const { stdout } = await payctlHere(["saga", "list", "--sqlite", file, "--limit", "1", ...flags])
      assert.notInclude(stdout, "4111111111111111")
    }
  })

  it("prints a cursor that a shell takes for one argument", async () => {
    const file = await fill("quote.db", ["1'; touch pwned; '", "9"], undefined)
    const { stdout } = await payctlHere(["saga", "list", "--sqlite", file, "--limit", "1"])
    assert.match(stdout, /^\.\.\. and more: --after [\w-]+$/m)
  })
})
