import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { afterAll, assert, describe, it, vi } from "vitest"

// Each call starts a process.
vi.setConfig({ testTimeout: 60_000 })

const bin = join(resolve(import.meta.dirname, ".."), "bin/payctl.js")
const folder = mkdtempSync(join(tmpdir(), "redact-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const file = (name: string, text: string | Uint8Array): string => {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

const payctl = (args: ReadonlyArray<string>, input = "") =>
  spawnSync(process.execPath, [bin, "redact", ...args], {
    encoding: "utf8",
    input,
    maxBuffer: 100_000_000,
    env: { ...process.env, NO_COLOR: "1" }
  })

const dirty = "ok\ncard 4111 1111 1111 1111, cvv: 123\n{\"pan\":5555555555554444}\n"
const clean = "ok\ncard [PAN ****1111], cvv: [CVV]\n{\"pan\":\"[PAN ****4444]\"}\n"

describe("payctl redact", () => {
  it("cleans stdin", () => {
    const { status, stderr, stdout } = payctl([], dirty)
    assert.deepStrictEqual([status, stdout, stderr], [0, clean, ""])
  })

  it("cleans files one after the other, and stdin where there is a -", () => {
    const { status, stdout } = payctl([file("a.log", dirty), "-", file("b.log", "ümlaut\n")], "in: 378282246310005\n")
    assert.deepStrictEqual([status, stdout], [0, `${clean}in: [PAN ****0005]\nümlaut\n`])
  })

  it("passes on what holds nothing, byte for byte", () => {
    const text = "a\r\nb\tc\u0000 é 😀 2026-11-24T00:00:00Z 1760000000123\n\n"
    assert.strictEqual(payctl([], text).stdout, text)
    assert.strictEqual(payctl([], "").stdout, "")
  })

  it("passes on bytes of any encoding, and finds a card in them", () => {
    const latin = Buffer.from("caf\u00e9 \u00ff 4111111111111111\n", "latin1")
    const wide = (text: string) => Buffer.from(`\ufeff${text}`, "utf16le")
    for (
      const [input, expected] of [
        [Buffer.from("\ufeffok\n"), Buffer.from("\ufeffok\n")],
        [latin, Buffer.from("caf\u00e9 \u00ff [PAN ****1111]\n", "latin1")],
        [wide(dirty), wide(clean)]
      ] as const
    ) {
      const { stdout } = spawnSync(process.execPath, [bin, "redact"], { input })
      assert.strictEqual(stdout.toString("hex"), expected.toString("hex"))
    }
    // Without its mark nothing says that it is UTF-16.
    const bare = spawnSync(process.execPath, [bin, "redact", "--check"], { input: Buffer.from(dirty, "utf16le") })
    assert.strictEqual(bare.status, 1)
  })

  it("--check says where card data stands and ends with 1", () => {
    const name = file("check.log", dirty)
    const { status, stderr, stdout } = payctl(["--check", name])
    assert.strictEqual(status, 1)
    assert.strictEqual(stdout, `${name}:2: card number\n${name}:2: security code\n${name}:3: card number\n`)
    assert.include(stderr, "3 places would be redacted")
    assert.notMatch(`${stdout}${stderr}`, /4111|1111|4444/)
  })

  it("--check ends with 0 and says nothing where there is none", () => {
    const { status, stdout } = payctl(["--check", "-"], clean)
    assert.deepStrictEqual([status, stdout], [0, ""])
  })

  it("ends with 2 when a file cannot be read", () => {
    for (const args of [[join(folder, "none.log")], ["--check", join(folder, "none.log")], [folder]]) {
      const { status, stderr, stdout } = payctl(args)
      assert.strictEqual(status, 2)
      assert.strictEqual(stdout, "")
      assert.include(stderr, "cannot be read")
    }
  })

  it("says what it does with --help", () => {
    const { status, stdout } = payctl(["--help"])
    assert.strictEqual(status, 0)
    assert.match(stdout, /payctl redact \[flags\] \[<file\.\.\.>\]|payctl redact/)
    assert.include(stdout, "--check")
  })

  it("cleans a text far larger than what it keeps, and one long line", { timeout: 120_000 }, async () => {
    const line = `${"level=info msg=\"nothing to see here\" ".repeat(4)}\n`
    const child = spawn(process.execPath, ["--max-old-space-size=64", bin, "redact"], {
      stdio: ["pipe", "pipe", "inherit"]
    })
    let length = 0
    let found = 0
    let rest = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      length += text.length
      const all = rest + text
      found += all.split("[PAN ****1111]").length - 1
      rest = all.slice(all.lastIndexOf("\n") + 1).slice(-20).replace("[PAN ****1111]", "")
      assert.notInclude(all, "4111111111111111")
    })
    const block = `${line.repeat(500)}card 4111111111111111\n${"x".repeat(100_000)} `
    for (let i = 0; i < 300; i++) if (!child.stdin.write(block)) await once(child.stdin, "drain")
    child.stdin.end()
    const [status] = await once(child, "close") as [number]
    assert.strictEqual(status, 0)
    assert.strictEqual(found, 300)
    assert.strictEqual(length, 300 * (block.length - 2))
  })

  it("ends quietly when its reader has seen enough", () => {
    const name = file("long.log", `${"nothing to see here\n".repeat(200_000)}`)
    const { stderr, stdout } = spawnSync("sh", ["-c", `"${process.execPath}" "${bin}" redact "${name}" | head -n 1`], {
      encoding: "utf8"
    })
    assert.deepStrictEqual([stdout, stderr], ["nothing to see here\n", ""])
  })
})
