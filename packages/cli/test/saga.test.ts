import { SqliteClient } from "@effect-payments/sqlite"
import { Layer } from "effect"
import { SagaLog } from "effect-payments"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "vitest"
import { payctlHere } from "./support/payctl.ts"
import { sagaCommands } from "./support/sagaCommands.ts"

const folder = mkdtempSync(join(tmpdir(), "payctl-saga-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const file = join(folder, "log.db")

sagaCommands("SQLite", () => ({
  flags: ["--sqlite", file],
  layer: SagaLog.layerStoreSql().pipe(Layer.provide(SqliteClient.layer({ filename: file })))
}))

describe("the log of payctl saga", () => {
  it("has to be named and be there, and shows no password", async () => {
    const url = "postgres://ada:hunter2@127.0.0.1:1/payments"
    const wrong: ReadonlyArray<readonly [string, number, ReadonlyArray<string>, Readonly<Record<string, string>>?]> = [
      ["no store: set DATABASE_URL, or say --sqlite FILE", 2, []],
      // No log is kept there.
      ["no store", 2, [], { REDIS_URL: "redis://127.0.0.1:1" }],
      ["has no table other", 2, ["--sqlite", file, "--table", "other"]],
      ["Postgres at 127.0.0.1:1/payments", 70, [], { DATABASE_URL: url }],
      ["ERROR", 2, ["--limit", url]]
    ]
    for (const [what, status, args, env = {}] of wrong) {
      const ran = await payctlHere(["saga", "list", ...args], { env })
      assert.strictEqual(ran.status, status, ran.stderr)
      assert.include(ran.stderr, what)
      assert.notInclude(`${ran.stdout}${ran.stderr}`, "hunter2")
    }
  })

  it("is explained by --help, with examples", async () => {
    for (const command of ["list", "show", "graph", "retry", "skip", "force", "pause"]) {
      const { status, stdout } = await payctlHere(["saga", command, "--help"])
      assert.strictEqual(status, 0)
      assert.include(stdout, "EXAMPLES")
      assert.include(stdout, "--sqlite FILE")
    }
  })
})
