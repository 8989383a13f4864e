import { SqliteClient } from "@effect-payments/sqlite"
import { Effect, Layer } from "effect"
import { SagaLog } from "effect-payments"
import { SqlClient } from "effect/sql"
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
      ["no store: set DATABASE_URL or REDIS_URL, or say --sqlite FILE", 2, []],
      ["both set: say --store", 2, [], { DATABASE_URL: url, REDIS_URL: "redis://127.0.0.1:1" }],
      ["Redis at 127.0.0.1:1", 70, [], { REDIS_URL: "redis://ada:hunter2@127.0.0.1:1" }],
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

  it("lists a row that cannot be read beside the others", async () => {
    const odd = join(folder, "odd.db")
    const client = SqliteClient.layer({ filename: odd })
    const opening = { definition: "[]", fingerprint: "f", payload: "{}", state: "Running" as const, events: [] }
    await Effect.runPromise(
      Effect.gen(function*() {
        const log = yield* SagaLog.SagaLog
        const sql = yield* SqlClient.SqlClient
        for (const id of ["o-1", "o-2"]) {
          yield* log.claim({ ...SagaLog.runId("order", id), owner: id, leaseMillis: 1, opening })
        }
        yield* sql`UPDATE effect_payments_saga SET state = 'Elsewhere' WHERE id = 'o-1'`
      }).pipe(Effect.provide(SagaLog.layerStoreSql().pipe(Layer.provideMerge(client))))
    )
    const { status, stdout } = await payctlHere(["saga", "list", "--sqlite", odd])
    assert.strictEqual(status, 0)
    assert.match(stdout, /^order +o-1 +Unreadable +its state does not fit/m)
    assert.match(stdout, /^order +o-2 +Running +.* ago +1$/m)
    const json = JSON.parse((await payctlHere(["saga", "list", "--sqlite", odd, "--json"])).stdout)
    assert.deepStrictEqual(json.runs[0], { saga: "order", id: "o-1", state: "Unreadable", detail: "its state" })
    assert.deepInclude(json.runs[1], { saga: "order", id: "o-2", state: "Running" })
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
