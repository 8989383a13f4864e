import { Decline } from "effect-payments"
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { assert, describe, it, vi } from "vitest"

// Each call starts a process, or npx and a process.
vi.setConfig({ testTimeout: 60_000 })

const folder = resolve(import.meta.dirname, "..")
const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { readonly version: string }

const payctl = (...args: ReadonlyArray<string>) =>
  spawnSync(process.execPath, [join(folder, "bin/payctl.js"), ...args], {
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1" }
  })

describe("payctl", () => {
  it("says its version, and nothing else", () => {
    const { status, stderr, stdout } = payctl("--version")
    assert.deepStrictEqual([status, stdout, stderr], [0, `payctl v${version}\n`, ""])
  })

  it("lists its commands with --help", () => {
    const { status, stdout } = payctl("--help")
    assert.strictEqual(status, 0)
    assert.match(stdout, /USAGE\n {2}payctl <subcommand>/)
    assert.match(stdout, /decline +What a decline code means/)
  })

  it("ends with 2 on arguments that it does not know or misses, and says which", () => {
    const wrong: ReadonlyArray<readonly [string, ReadonlyArray<string>]> = [
      ["nope", ["--nope"]],
      ["nope", ["nope"]],
      ["processor", ["decline"]],
      ["--chek", ["redact", "--chek"]],
      ["--vectors", ["webhook", "verify"]],
      ["--scheme", ["webhook", "sign"]],
      ["--internal", ["reconcile"]]
    ]
    for (const [what, args] of wrong) {
      const { status, stderr } = payctl(...args)
      assert.strictEqual(status, 2, args.join(" "))
      assert.include(stderr, what)
    }
  })

  it("starts through npx from the root, where an older Node may be first", () => {
    const { status, stdout } = spawnSync("npx", ["payctl", "--version"], {
      cwd: resolve(folder, "../.."),
      encoding: "utf8"
    })
    assert.deepStrictEqual([status, stdout], [0, `payctl v${version}\n`])
  })
})

describe("payctl decline", () => {
  it("tells the merchant, and what the payer may learn", () => {
    const { status, stdout } = payctl("decline", "stripe:decline_code", "stolen_card")
    assert.strictEqual(status, 0)
    assert.match(stdout, /^kind +LostOrStolenCard: never tell the payer$/m)
    assert.match(stdout, /^new attempt +never, key: none$/m)
    assert.match(stdout, /^the payer sees +CardDeclined, TryAnotherMethod$/m)
  })

  it("--json prints each row of the table as JSON alone, the delay in milliseconds", () => {
    const delayed = Decline.all.find((row) => row.delay !== undefined)
    assert.isDefined(delayed)
    const { status, stdout } = payctl("decline", delayed.processor, delayed.code, "--json")
    assert.strictEqual(status, 0)
    const row = JSON.parse(stdout) as Record<string, unknown>
    assert.strictEqual(row["code"], delayed.code)
    assert.strictEqual(row["disposition"], delayed.disposition)
    assert.isAbove(row["delayMillis"] as number, 0)
    assert.strictEqual(row["payerText"], Decline.payerText(delayed.advice))
  })

  it("an unknown code ends with 1 and says what the toolkit makes of it", () => {
    const { status, stderr, stdout } = payctl("decline", "stripe:decline_code", "no_such_code")
    assert.strictEqual(status, 1)
    assert.strictEqual(stdout, "")
    assert.include(stderr, `no code "no_such_code" of stripe:decline_code`)
    assert.include(stderr, "CardDeclined")
  })

  it("an unknown processor ends with 2 and lists those that it knows", () => {
    const { status, stderr } = payctl("decline", "nobody", "51")
    assert.strictEqual(status, 2)
    assert.include(stderr, "stripe:decline_code")
  })
})
