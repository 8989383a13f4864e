import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { anchorsOf, faultsOf, linksOf } from "./links.ts"

const targetsOf = (text: string) => linksOf(text).map(({ line, target }) => `${line} ${target}`)

describe("links", () => {
  it("are found inline, as images and as definitions, with their lines", () => {
    const text = "[a](b.md) and ![c](d/e.png \"f\")\n\n[g]: h.md#i\n[`j`](k_(l).md) [m](<n.md>)"
    assert.deepStrictEqual(targetsOf(text), ["1 b.md", "1 d/e.png", "3 h.md#i", "4 k_(l).md", "4 n.md"])
  })

  it("are not looked for in code", () => {
    assert.deepStrictEqual(targetsOf("`[a](b)` ``[`c](d)``\n```ts\nx[e](f)\n```\n~~~\n[g](h)\n~~~\n[i](j)"), ["8 j"])
  })
})

describe("anchors", () => {
  it("are those that GitHub makes of headings, numbered when they repeat", () => {
    const text =
      "# A `b` of (c), d!\n## [Text](x.md) here\n### Same\n### Same\n```sh\n# no heading\n```\n#no heading\n## Über_uns - 2\n## `code`"
    assert.deepStrictEqual([...anchorsOf(text)], [
      "a-b-of-c-d",
      "text-here",
      "same",
      "same-1",
      "über_uns---2",
      "code"
    ])
  })
})

describe("faults", () => {
  // Inside the repository, since a link that leads out of it is one of them.
  const folder = mkdtempSync(join("node_modules", ".links-"))
  const faults = (text: string) => {
    writeFileSync(join(folder, "other.md"), "# One\n")
    writeFileSync(join(folder, "page.md"), text)
    return faultsOf(join(folder, "page.md")).map((fault) => fault.slice(fault.indexOf(" ") + 1))
  }

  it("are named by link", () => {
    try {
      const good =
        "# Here\n[a](#here) [b](other.md) [c](other.md#one) [d](https://example.com/x) [e](.) [f](mailto:a@b.c)"
      assert.deepStrictEqual(faults(good), [])
      assert.deepStrictEqual(
        faults("[a](no.md) [b](#no) [c](other.md#two) [d](/etc) [e](../../../x.md) [f](.#g)"),
        [
          "no.md leads nowhere",
          "#no names no heading",
          "other.md#two names no heading",
          "/etc is not relative",
          "../../../x.md leads out of the repository",
          ".#g has a fragment, but no Markdown file to find it in"
        ]
      )
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

describe("the documentation", () => {
  const files = globSync(["*.md", "docs/**/*.md", "packages/*/README.md"])

  it("is found", () => {
    assert.includeMembers(files, ["README.md", "docs/README.md", "packages/payments/README.md"])
  })

  it.each(files)("%s leads where it says", (file) => {
    assert.deepStrictEqual(faultsOf(file), [])
  })

  // "[file.ts](path): `one`, `two`" in the tour promises that the file holds these names.
  const stops = [
    ...readFileSync("docs/reading-tour.md", "utf8")
      .replaceAll(/\s*\n\s*/g, " ")
      .matchAll(/\[[^\]]+\]\(\.\.\/([^)]+\.ts)\): ((?:`\w+`(?:, | and )?)+)/g)
  ].map(([, path = "", names = ""]) => ({ path, names: [...names.matchAll(/\w+(?=`)/g)].map(([name]) => name) }))

  it.each(stops)("the tour finds $names in $path", ({ names, path }) => {
    const code = readFileSync(path, "utf8")
    assert.deepStrictEqual(names.filter((name) => !new RegExp(`\\b${name}\\b`).test(code)), [])
  })

  it("the tour has its stops", () => {
    assert.isAtLeast(stops.length, 30)
  })

  // The errors that a page quotes are those that the type tests pin.
  it.each(["docs/stack.md", "docs/tutorial.md"])("%s quotes pinned compile errors", (file) => {
    const pinned = globSync("packages/*/test/types/*.ts").map((path) => readFileSync(path, "utf8")).join("\n")
    const quoted = [...readFileSync(file, "utf8").matchAll(/```text\n([^`]*)```/g)].flatMap(([, text = ""]) =>
      text.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("call →"))
    )
    assert.isNotEmpty(quoted)
    assert.deepStrictEqual(quoted.filter((line) => !pinned.includes(`// @refuse ${line}`)), [])
  })
})
