import { SqliteClient } from "@effect-payments/sqlite"
import { Effect, Layer } from "effect"
import { IdempotencyStore } from "effect-payments"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it, vi } from "vitest"
import { idempotencyCommands } from "./support/idempotencyCommands.ts"
import { payctl, payctlHere } from "./support/payctl.ts"

// Some calls start a process.
vi.setConfig({ testTimeout: 60_000 })

const folder = mkdtempSync(join(tmpdir(), "payctl-idempotency-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const layerOf = (filename: string) =>
  IdempotencyStore.layerStoreSql().pipe(Layer.provide(SqliteClient.layer({ filename })))

idempotencyCommands("SQLite", () => {
  const file = join(folder, "records.db")
  return { flags: ["--sqlite", file], layer: layerOf(file) }
})

describe("the store of payctl idempotency", () => {
  const empty = join(folder, "empty.db")
  beforeAll(() => Effect.runPromise(Effect.provide(Effect.void, layerOf(empty))))

  const list = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) =>
    payctlHere(["idempotency", "list", ...args], { env })

  it("may hold nothing", async () => {
    assert.deepStrictEqual(await list(["--sqlite", empty]), { status: 0, stdout: "no such records\n", stderr: "" })
    assert.include((await list(["--sqlite", empty, "--json"])).stdout, `"records": []`)
  })

  it("is asked by a process too, which prints nothing else", () => {
    const { status, stderr, stdout } = payctl(["idempotency", "list", "--sqlite", empty])
    assert.deepStrictEqual([status, stdout], [0, "no such records\n"])
    assert.notMatch(stderr, /payctl|Error/)
    assert.strictEqual(payctl(["idempotency", "list", "--sqlite", `${empty}.none`]).status, 2)
    assert.strictEqual(payctl(["idempotency", "inspect", "--sqlite", empty, "rec_000000000000000000000000"]).status, 1)
    assert.strictEqual(payctl(["idempotency", "list", "--redis", "redis://127.0.0.1:1"]).status, 70)
  })

  it("has to be named, once, and be there", async () => {
    const text = join(folder, "text.db")
    writeFileSync(text, "this is no database, and long enough to be taken for none ".repeat(10))
    const wrong: ReadonlyArray<readonly [string, number, ReadonlyArray<string>, Readonly<Record<string, string>>?]> = [
      ["no store: set DATABASE_URL or REDIS_URL", 2, []],
      ["one of them", 2, ["--sqlite", empty, "--redis", "redis://h"]],
      ["there is no such file", 2, ["--sqlite", join(folder, "none.db")]],
      ["has no table other", 2, ["--sqlite", empty, "--table", "other"]],
      ["--table must be", 2, ["--sqlite", empty, "--table", "x;y"]],
      ["cannot be used", 70, ["--sqlite", text]],
      ["both set", 2, [], { DATABASE_URL: "postgres://h/d", REDIS_URL: "redis://h" }]
    ]
    for (const [what, status, args, env] of wrong) {
      const ran = await list(args, env)
      assert.deepStrictEqual([ran.status, ran.stdout], [status, ""], ran.stderr)
      assert.include(ran.stderr, what)
    }
  })

  it("shows no password, whatever goes wrong", async () => {
    const secret = "hunter2"
    const url = `postgres://ada:${secret}@127.0.0.1:1/payments`
    const wrong: ReadonlyArray<readonly [string, number, ReadonlyArray<string>, Readonly<Record<string, string>>?]> = [
      ["Postgres at 127.0.0.1:1/payments", 70, [], { DATABASE_URL: url }],
      ["Postgres at 127.0.0.1:1/payments", 70, ["--postgres", url]],
      ["Redis at 127.0.0.1:1", 70, [], { REDIS_URL: `redis://ada:${secret}@127.0.0.1:1` }],
      ["DATABASE_URL is no URL", 2, [], { DATABASE_URL: `postgres:/ada:${secret}@[` }],
      ["DATABASE_URL is no URL", 2, [], { DATABASE_URL: `postgres://ada:${secret}#1@h/d` }],
      ["percent-encode", 2, [], { DATABASE_URL: `postgres://ada:1/${secret}@h/d` }],
      ["--redis is no URL", 2, ["--redis", url]],
      // In the wrong place.
      ["ERROR", 2, ["--limit", url]],
      ["ERROR", 2, ["--state", url]],
      ["ERROR", 2, [url]],
      ["ERROR", 2, ["--postgress", url]]
    ]
    for (const [what, status, args, env] of wrong) {
      const ran = await list(args, env)
      assert.notInclude(`${ran.stdout}${ran.stderr}`, secret)
      assert.strictEqual(ran.status, status, ran.stderr)
      assert.include(ran.stderr, what)
    }
  })

  it("is explained by --help, with examples", async () => {
    for (const command of ["list", "inspect", "resolve", "evict"]) {
      const { status, stdout } = await payctlHere(["idempotency", command, "--help"])
      assert.strictEqual(status, 0)
      assert.include(stdout, "EXAMPLES")
      assert.include(stdout, "--sqlite FILE")
    }
  })
})
