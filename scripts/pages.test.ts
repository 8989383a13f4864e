// What pages say of the project has to be so: the tests that they name, the names that they map.
import { assert, describe, it } from "@effect/vitest"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"

interface Cited {
  readonly path: string
  readonly names: ReadonlyArray<string>
}

/** `[file.ts](../path/file.ts): "a test", "another" and "a third"`, over any lines. */
const citedIn = (page: string): ReadonlyArray<Cited> =>
  [
    ...readFileSync(page, "utf8")
      .replaceAll(/\s*\n\s*/g, " ")
      .matchAll(/\]\(\.\.\/(packages\/[^)#]+\.ts)\): ((?:"[^"]+"(?:, | and )?)+)/g)
  ].map(([, path = "", names = ""]) => ({
    path,
    names: [...names.matchAll(/"([^"]+)"/g)].map(([, name = ""]) => name)
  }))

/** Whether the file has a test of this name, or one whose name goes on with what it is about. */
const hasTest = (source: string, name: string): boolean =>
  [`"${name}"`, `\`${name}\``, `\`${name}, \${`].some((quoted) => source.includes(quoted))

describe.each(["docs/requirements.md", "docs/checkout.md"])("%s", (page) => {
  const cited = citedIn(page)

  it("names tests", () => {
    assert.isAtLeast(cited.length, 3)
  })

  it.each(cited)("finds $names in $path", ({ names, path }) => {
    assert.isTrue(existsSync(join(".", path)))
    const source = readFileSync(path, "utf8")
    assert.deepStrictEqual(names.filter((name) => !hasTest(source, name)), [])
  })

  it("names no test in another way", () => {
    const links = readFileSync(page, "utf8").match(/\]\(\.\.\/packages\/[^)]+(?:\.test|[cC]ontract|claims)\.ts\)/g) ??
      []
    const tests = cited.filter(({ path }) => /(?:\.test|[cC]ontract|claims)\.ts$/.test(path))
    assert.strictEqual(links.length, tests.length)
  })
})

describe("docs/requirements.md", () => {
  const text = readFileSync("docs/requirements.md", "utf8")

  it("has all ten, and all of the checklist, each with a test and what stays with the reader", () => {
    const sections = text.split(/^### /m).slice(1)
    assert.deepStrictEqual(sections.slice(0, 10).map((section) => Number.parseInt(section, 10)), [
      1,
      2,
      3,
      4,
      5,
      6,
      7,
      8,
      9,
      10
    ])
    assert.lengthOf(sections, 10 + 7)
    for (const section of sections) {
      assert.match(section, /^- \[`[\w./]+`\]\(\.\.\/packages\//m, section)
      assert.match(section, /^With you: /m, section)
    }
  })

  it("names modules that there are", () => {
    const index = readFileSync("packages/payments/src/index.ts", "utf8")
    const rows = text.split("\n").filter((line) => /^\| \d+\. /.test(line))
    const modules = rows.flatMap((row) => [...(row.split("|")[2] ?? "").matchAll(/`(\w+)`/g)].map(([, name]) => name))
    assert.lengthOf(rows, 10)
    assert.deepStrictEqual(modules.filter((name) => !index.includes(`export * as ${name} from`)), [])
  })
})
