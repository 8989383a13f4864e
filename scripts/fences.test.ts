import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { stripTypeScriptTypes } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { fencesOf, toTest } from "./fences.ts"

const read = (name: string, text: string) => {
  const folder = mkdtempSync(join(tmpdir(), "fences-"))
  try {
    writeFileSync(join(folder, name), text)
    return fencesOf(join(folder, name))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Runs a fence and answers what it asserts, in the order in which it comes to it. */
const assertionsOf = async (code: string) => {
  const seen: Array<readonly [actual: unknown, expected: unknown]> = []
  const body = stripTypeScriptTypes(`async () => {${toTest({ line: 1, code, runs: true })}\n}`)
  const check = (actual: unknown, expected: unknown) => {
    seen.push([actual, expected])
    return actual
  }
  // The text comes from the tests below. Code made from text has no import() of its own in a worker.
  const load = (name: string) => import(name)
  const run = new Function("__check", "__load", `return (${body.replaceAll("import(", "__load(")})`)
  await (run(check, load) as () => Promise<void>)()
  return seen
}

describe("finding fences", () => {
  it("in Markdown, with their lines, also inside a list, and no other language", () => {
    const text = "# A\n\n```ts\nconst a = 1\n```\n\n- b\n\n  ```typescript\n  f(\n    1)\n  ```\n\n```sh\nnpm i\n```\n"
    assert.deepStrictEqual(read("a.md", text), [
      { line: 4, code: "const a = 1", runs: true },
      { line: 10, code: "f(\n  1)", runs: true }
    ])
  })

  it("in JSDoc, not in code or strings", () => {
    const text =
      "const a = `\n```ts\nno\n```\n`\nclass B {\n  /**\n   * ```ts\n   * f( // => 1\n   *   1)\n   * ```\n   */\n}\n"
    assert.deepStrictEqual(read("a.ts", text), [{ line: 9, code: "f( // => 1\n  1)", runs: true }])
  })

  it("a fence may ask not to be run, and for nothing else", () => {
    assert.deepStrictEqual(read("a.md", "```ts no-run\na\n```\n"), [{ line: 2, code: "a", runs: false }])
    assert.throws(() => read("a.md", "```ts skip\na\n```\n"), /unknown "ts skip"/)
  })

  it("one that does not end is an error", () => {
    assert.throws(() => read("a.md", "```ts\na\n"), /does not end/)
  })

  it("a longer fence holds a shorter one", () => {
    assert.deepStrictEqual(read("a.md", "````md\n```ts\nno\n```\n````\n"), [])
  })
})

describe("assertions", () => {
  it("behind an expression, a declaration, a return and a log", async () => {
    const code = [
      "const f = () => {",
      "  return 1 // => 1",
      "}",
      "f() // => 2",
      "const a: number = f() // => 3",
      "console.log(a + 1, \"and more\") // => 4"
    ].join("\n")
    assert.deepStrictEqual(await assertionsOf(code), [[1, 1], [1, 2], [1, 1], [1, 3], [2, 4]])
  })

  it("below a statement of several lines, and of several lines themselves", async () => {
    const code = "[\n  1,\n  2\n].map(\n  (x) => x\n)\n// => [\n//   1,\n//   2\n// ]\n1 // => 1\n"
    assert.deepStrictEqual(await assertionsOf(code), [[[1, 2], [1, 2]], [1, 1]])
  })

  it("inside a function whose call is asserted too", async () => {
    const code = "await (async () => {\n  await Promise.resolve(1) // => 1\n  return 2\n})() // => 2\n"
    assert.deepStrictEqual(await assertionsOf(code), [[1, 1], [2, 2]])
  })

  it("that follow no statement, or hold no value, are errors", () => {
    const test = (code: string) => () => toTest({ line: 1, code, runs: true })
    assert.throws(test("// => 1\nf()"), /follows no statement/)
    assert.throws(test("f()\n\n\n// => 1"), /follows no statement/)
    assert.throws(test("f(\n  1, // => 1\n)"), /follows no statement/)
    assert.throws(test("f() // => (see below"), /holds no expression/)
    assert.throws(test("f() // => a b"), /holds no expression/)
    assert.throws(test("f( // => 1"), /./)
  })
})

describe("imports", () => {
  it("of every form, over several lines", async () => {
    const code = [
      "import type { Stats } from \"node:fs\"",
      "import {",
      "  basename as base,",
      "  type ParsedPath,",
      "  join",
      "} from \"node:path\"",
      "import * as url from \"node:url\"",
      "import process, { type Signals } from \"node:process\"",
      "import \"node:os\"",
      "import { type URLFormatOptions } from \"node:url\"",
      "export const path: string = join(\"a\", \"b\")",
      "base(path) // => \"b\"",
      "typeof url.format // => \"function\"",
      "typeof process.pid // => \"number\"",
      "export type Types = [Stats, ParsedPath, Signals, URLFormatOptions]"
    ].join("\n")
    const expected = [["b", "b"], ["function", "function"], ["number", "number"]]
    assert.deepStrictEqual<unknown>(await assertionsOf(code), expected)
  })
})
