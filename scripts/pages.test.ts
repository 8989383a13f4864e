// What pages say of the project has to be so: the tests that they name, the names that they map.
import { assert, describe, it } from "@effect/vitest"
import { existsSync, globSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { pythonNames } from "./pythonNames.ts"

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

describe("docs/from-python.md", () => {
  const sections = readFileSync("docs/from-python.md", "utf8").split(/^## /m).slice(1)
  const titled = (group: string) => sections.find((section) => section.startsWith(`\`${group}\`\n`)) ?? ""
  const rowsOf = (section: string) =>
    section.split("\n").filter((line) => line.startsWith("| `")).map((line) => {
      const [name = "", ...rest] = line.slice(1, -1).split(" | ")
      return { name: name.trim().slice(1, -1), here: rest.join(" | ").trim() }
    })

  it.each(Object.entries(pythonNames))("has a row for each name of %s, and a snippet that runs", (group, names) => {
    const section = titled(group)
    const rows = rowsOf(section)
    assert.deepStrictEqual(rows.map(({ name }) => name), [...names])
    assert.deepStrictEqual(rows.filter(({ here }) => here.length < 5), [])
    assert.match(section, /^```ts\n[^]*?\/\/ =>[^]*?^```$/m)
  })

  it("has no other groups", () => {
    const groups = sections.flatMap((section) =>
      section.startsWith("`") ? [section.slice(1, section.indexOf("`", 1))] : []
    )
    assert.deepStrictEqual(groups, Object.keys(pythonNames))
  })

  /** Modules of the toolkit first: some have the name of one of Effect. */
  const sourceOf = (module: string): string =>
    [
      `packages/payments/src/${module}.ts`,
      `packages/payments/src/http/${module}.ts`,
      ...globSync(`node_modules/effect/src/**/${module}.ts`)
    ]
      .filter((path) => existsSync(path)).map((path) => readFileSync(path, "utf8")).join("\n")

  it("names what there is", () => {
    const names = sections.flatMap(rowsOf).flatMap(({ here }) =>
      [...here.matchAll(/`([A-Z]\w+)\.(\w+)[^`]*`/g)].map(([, module = "", member = ""]) => ({ module, member }))
    )
    assert.isAtLeast(names.length, 100)
    const missing = names.filter(({ member, module }) => {
      const declared = `\\b(?:const|class|interface|type|function|readonly) ${member}\\b|^ +(?:\\w+ as )?${member},?$`
      return !new RegExp(declared, "m").test(sourceOf(module))
    })
    assert.deepStrictEqual(missing, [])
  })
})

describe("docs/production.md", () => {
  const text = readFileSync("docs/production.md", "utf8")
  const sources = globSync("packages/{payments,sqlite}/src/**/*.ts").map((path) => readFileSync(path, "utf8")).join(
    "\n"
  )

  it("names metrics that there are", () => {
    const metrics = [...text.matchAll(/`(effect_payments_\w+)`/g)].map(([, name = ""]) => name)
    assert.isAtLeast(metrics.length, 10)
    assert.deepStrictEqual(metrics.filter((name) => !sources.includes(`"${name}"`)), [])
  })

  it("names options that there are", () => {
    const options = [...text.matchAll(/`([a-z]+[A-Z]\w+)`/g)].map(([, name = ""]) => name)
    assert.isAtLeast(options.length, 12)
    // Of the client of Postgres.
    const known = options.filter((name) => name !== "maxConnections")
    assert.deepStrictEqual(known.filter((name) => !new RegExp(`\\b${name}\\b`).test(sources)), [])
  })

  it("names members that there are", () => {
    const members = [
      ...text.matchAll(
        /`(IdempotencyStore|SagaLog|Saga|Idempotency|Inbox|Velocity|Resilience|Redaction|AuditLog|Card)\.(\w+)/g
      )
    ]
    assert.isAtLeast(members.length, 20)
    const missing = members.filter(([, module = "", member = ""]) =>
      !new RegExp(`\\b(?:const|class|type) ${member}\\b`).test(
        readFileSync(`packages/payments/src/${module}.ts`, "utf8")
      )
    )
    assert.deepStrictEqual(missing.map(([name]) => name), [])
  })
})

describe("README.md", () => {
  const text = readFileSync("README.md", "utf8")

  it("shows the scenarios that the demo runs", () => {
    const shown = [...text.matchAll(/^ok +\d+ {2}(.+?) {2,}\d /gm)].map(([, name = ""]) => name)
    const test = readFileSync("packages/examples/test/demo.test.ts", "utf8")
    const run = [...test.matchAll(/\["([^"]+)", true, \d\]/g)].map(([, name = ""]) => name)
    assert.isAtLeast(run.length, 20)
    assert.deepStrictEqual(shown, run)
  })

  it("names every module", () => {
    const index = readFileSync("packages/payments/src/index.ts", "utf8")
    const modules = [...index.matchAll(/^export \* as (\w+) from/gm)].map(([, name = ""]) => name)
    assert.isAtLeast(modules.length, 25)
    assert.deepStrictEqual(modules.filter((name) => !text.includes(`\`${name}\``)), [])
  })
})
