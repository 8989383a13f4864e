import { spawnSync } from "node:child_process"
import { createHmac } from "node:crypto"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { afterAll, assert, describe, it, vi } from "vitest"

// Each call starts a process.
vi.setConfig({ testTimeout: 60_000 })

const bin = resolve(import.meta.dirname, "../bin/payctl.js")
const shipped = resolve(import.meta.dirname, "../../payments/test/data/webhook-vectors.json")
const folder = mkdtempSync(join(tmpdir(), "payctl-webhook-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const payctl = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) =>
  spawnSync(process.execPath, [bin, "webhook", ...args], {
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1", ...env }
  })

const file = (name: string, content: string): string => {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

interface Vector {
  readonly id: string
  readonly provider: string
  readonly secrets: ReadonlyArray<string>
  readonly expect: string
  readonly reason: string | null
}

const { vectors } = JSON.parse(readFileSync(shipped, "utf8")) as { readonly vectors: ReadonlyArray<Vector> }
const supported = ["stripe", "standard-webhooks", "github"]
const isSupported = ({ provider, secrets }: Vector) =>
  supported.includes(provider) && !secrets.some((secret) => secret.startsWith("whpk_"))

describe("payctl webhook verify", () => {
  it("--json prints the verdict on each vector, a line each, and says what it does not support", () => {
    const { status, stderr, stdout } = payctl(["verify", "--vectors", shipped, "--json"])
    assert.deepStrictEqual([status, stderr], [0, ""])
    const expected = vectors.map((vector) => ({
      id: vector.id,
      provider: vector.provider,
      verdict: isSupported(vector) ? vector.expect : "unsupported",
      reason: isSupported(vector) ? vector.reason : null
    }))
    assert.deepStrictEqual(stdout.trimEnd().split("\n").map((line) => JSON.parse(line)), expected)
    assert.isAbove(expected.filter(({ verdict }) => verdict === "unsupported").length, 10)
    assert.isAbove(expected.filter(({ verdict }) => verdict === "reject").length, 30)
  })

  it("ends with 1 when a verdict or a reason is not the expected one, and prints all the same", () => {
    const [valid] = vectors
    assert.isDefined(valid)
    const other = vectors.find(({ reason }) => reason === "SignatureMismatch")
    for (const wrong of [{ ...valid, expect: "reject" }, { ...other, reason: "TimestampTooOld" }]) {
      const path = file("wrong.json", JSON.stringify([wrong, valid]))
      const { status, stderr, stdout } = payctl(["verify", "--vectors", path])
      assert.strictEqual(status, 1)
      assert.include(stderr, "1 of 2 verdicts")
      assert.strictEqual(stdout.trimEnd().split("\n").length, 2)
      assert.include(stdout, `accept       ${valid.id}\n`)
    }
  })

  it("asks nothing of a vector that expects nothing", () => {
    const [valid] = vectors
    const path = file("open.json", JSON.stringify({ vectors: [{ ...valid, expect: null }] }))
    assert.strictEqual(payctl(["verify", "--vectors", path]).status, 0)
  })

  it("reads of a vector no more than it needs, and headers that come more than once", () => {
    const [valid] = vectors as ReadonlyArray<Vector & { readonly headers: { readonly [name: string]: string } }>
    assert.isDefined(valid)
    const twice = Object.fromEntries(Object.entries(valid.headers).map(([name, value]) => [name, [value, value]]))
    const path = file(
      "loose.json",
      JSON.stringify([
        { id: "a", provider: "constructor", headers: null },
        { ...valid, id: "b", headers: twice, expect: "reject", reason: "HeaderMalformed" },
        { ...valid, id: "c", toleranceSec: null }
      ])
    )
    const { status, stdout } = payctl(["verify", "--vectors", path])
    assert.deepStrictEqual([status, stdout], [
      0,
      "unsupported  a\nreject       b  HeaderMalformed\naccept       c\n"
    ])
  })

  it("ends with 2 when there are no vectors to be read", () => {
    const [valid] = vectors
    for (
      const [path, what] of [
        [join(folder, "absent.json"), "cannot be read (NotFound)"],
        [folder, "cannot be read"],
        [file("text.json", "not json"), "no vectors"],
        [file("other.json", `{"vectors": [{"id": 1}]}`), "vector 1"],
        [file("some.json", JSON.stringify([{ ...valid, secrets: "x" }])), String(valid?.id)],
        [file("base64.json", JSON.stringify([{ ...valid, bodyBase64: "*" }])), "no Base64"]
      ] as const
    ) {
      const { status, stderr, stdout } = payctl(["verify", "--vectors", path, "--json"])
      assert.deepStrictEqual([status, stdout], [2, ""], path)
      assert.include(stderr, what)
    }
  })
})

describe("payctl webhook sign", () => {
  const body = file("event.json", `{"id": "evt_1"}`)

  it("prints the headers of a provider, with the secret of the environment", () => {
    const args = ["sign", "--scheme", "github", "--body", body]
    const { status, stdout } = payctl(args, { PAYCTL_WEBHOOK_SECRET: "a secret" })
    const hex = createHmac("sha256", "a secret").update(`{"id": "evt_1"}`).digest("hex")
    assert.deepStrictEqual([status, stdout], [0, `x-hub-signature-256: sha256=${hex}\n`])
  })

  it("signs now, with an id", () => {
    const key = Buffer.alloc(32, 7)
    const args = ["sign", "--scheme", "standard-webhooks", "--body", body, "--id", "msg_7"]
    const { stdout } = payctl(args, { PAYCTL_WEBHOOK_SECRET: `whsec_${key.toString("base64")}` })
    const [, seconds = "", signature] =
      /^webhook-id: msg_7\nwebhook-timestamp: (\d+)\nwebhook-signature: v1,(\S+)\n$/.exec(stdout) ?? []
    assert.closeTo(Number(seconds), Date.now() / 1000, 60)
    const expected = createHmac("sha256", key).update(`msg_7.${seconds}.{"id": "evt_1"}`).digest("base64")
    assert.strictEqual(signature, expected)
  })

  it("ends with 2 without a secret, and with one that is none, and does not print it", () => {
    const without = payctl(["sign", "--scheme", "stripe", "--body", body])
    assert.strictEqual(without.status, 2)
    assert.include(without.stderr, "PAYCTL_WEBHOOK_SECRET")
    const wrong = payctl(["sign", "--scheme", "stripe", "--body", body], { PAYCTL_WEBHOOK_SECRET: "sk_live_x" })
    assert.strictEqual(wrong.status, 2)
    assert.include(wrong.stderr, "whsec_")
    assert.notInclude(wrong.stderr, "sk_live_x")
  })
})
