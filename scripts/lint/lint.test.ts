// Each lint rule of the core is shown to bite: a tree of small files that break one rule each, and one that breaks none.
import { spawnSync } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, resolve } from "node:path"
import { afterEach, assert, beforeEach, describe, it } from "vitest"
import { checkCore } from "../lint.ts"
import { levels } from "./levels.ts"

const root = resolve(import.meta.dirname, "../..")
let folder = ""

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lint-"))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const write = (files: Readonly<Record<string, string>>) => {
  for (const [name, text] of Object.entries(files)) {
    const path = join(folder, "packages/payments/src", name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
  }
}

const report = (files: Readonly<Record<string, string>>) => {
  write(files)
  return checkCore(folder).map(({ file, line, message }) => `${file}:${line}: ${message}`)
}

const oxlint = (files: Readonly<Record<string, string>>) => {
  write(files)
  cpSync(join(root, ".oxlintrc.json"), join(folder, ".oxlintrc.json"))
  const { stdout } = spawnSync(join(root, "node_modules/.bin/oxlint"), ["--deny-warnings", "--format=unix", "."], {
    cwd: folder,
    encoding: "utf8"
  })
  return stdout
}

describe("levels", () => {
  const pairs = levels.flatMap((low, i) => levels.slice(i + 1).map((high) => ({ low, high })))

  it.each(pairs)("$low.name know no $high.name and are known by them", ({ high, low }) => {
    const from = low.modules[0]
    const to = high.name === "subpaths" ? "testing/Thing" : high.modules[0]
    const violations = report({ [`${from}.ts`]: `import "./${to}.ts"\n`, [`${to}.ts`]: "export {}\n" })
    assert.strictEqual(violations.length, 1)
    assert.include(violations[0], `${low.name} know no ${high.name}: ${from}.ts -> ${to}.ts`)
    const back = high.name === "subpaths" ? "../" : "./"
    assert.deepStrictEqual(
      report({ [`${to}.ts`]: `import "${back}${from}.ts"\n`, [`${from}.ts`]: "export {}\n" }),
      []
    )
  })

  it("an upward import through internal files is one", () => {
    const violations = report({
      "IdempotencyStore.ts": `import "./internal/idempotency/a.ts"\n`,
      "internal/idempotency/a.ts": `export * from "./b.ts"\n`,
      "internal/idempotency/b.ts": `type T = import("../../Resilience.ts").T\n`,
      "Resilience.ts": "export {}\n"
    })
    assert.strictEqual(violations.length, 1)
    assert.include(violations[0], "ports know no combinators: IdempotencyStore.ts -> internal/idempotency/a.ts")
  })

  it("a type import counts, and so does a dynamic one", () => {
    for (const text of [`import type { A } from "./Saga.ts"\n`, `export const a = import("./Saga.ts")\n`]) {
      assert.include(report({ "Money.ts": text, "Saga.ts": "export {}\n" }).join(), "values know no engines")
    }
  })

  it("a module at no level is reported", () => {
    assert.include(report({ "Loyalty.ts": "export {}\n" }).join(), "Loyalty stands at no level")
  })

  it("a word in a comment or a string is no import", () => {
    const text = `// import "./Saga.ts"\n/** import { Effect } from "effect" */\nconst a = 'import "node:fs"'\n`
    assert.deepStrictEqual(report({ "Money.ts": text }), [])
  })
})

describe("internal folders", () => {
  it("are private to the module of their name", () => {
    const internal = { "internal/saga/decide.ts": "export {}\n" }
    const text = `import "./internal/saga/decide.ts"\n`
    assert.deepStrictEqual(report({ "Saga.ts": text, ...internal }), [])
    assert.include(report({ "Webhook.ts": text, ...internal }).join(), "internal/saga is private to Saga")
  })

  it("do not reach into each other", () => {
    const violations = report({
      "internal/resilience/retry.ts": `import "../money/amount.ts"\n`,
      "internal/money/amount.ts": "export {}\n"
    })
    assert.include(violations.join(), "internal/money is private to Currency, Money, MoneyError, Ratio")
  })

  it("that are shared open to their level and those after it", () => {
    const internal = { "internal/sql/writer.ts": "export {}\n" }
    const text = `import "./internal/sql/writer.ts"\n`
    assert.include(report({ "Money.ts": text, ...internal }).join(), "internal/sql is private")
    rmSync(join(folder, "packages"), { recursive: true })
    assert.deepStrictEqual(report({ "IdempotencyStore.ts": text, "Saga.ts": text, ...internal }), [])
  })
})

describe("external imports", () => {
  it.each([
    ["node:fs", "no node:*"],
    ["effect", "not the barrel"],
    ["effect/sql", "not the barrel"],
    ["@effect/sql-pg", "imports effect and nothing else"],
    ["@effect-payments/sqlite", "imports effect and nothing else"],
    ["redis", "imports effect and nothing else"],
    ["effect-payments", "imports effect and nothing else"],
    ["../../sqlite/src/index.ts", "does not leave the package"],
    ["./index.ts", "import the module, not the barrel"],
    ["./Card", "ends in .ts"]
  ])("%s is refused", (specifier, message) => {
    const violations = report({ "Money.ts": `import * as X from "${specifier}"\n` })
    assert.strictEqual(violations.length, 1)
    assert.include(violations[0], message)
  })

  it("an unstable module of Effect is imported in one internal file", () => {
    const text = `import * as SqlClient from "effect/sql/SqlClient"\n`
    assert.deepStrictEqual(report({ "internal/effect/sql.ts": text, "Money.ts": `import "effect/Effect"\n` }), [])
    assert.include(report({ "internal/sql/other.ts": text }).join(), "(already in internal/effect/sql.ts)")
    assert.include(report({ "IdempotencyStore.ts": text }).join(), "effect/sql/SqlClient is unstable")
  })
})

describe("habits", () => {
  it.each([
    ["export const f = async () => 1", "no async function"],
    ["export async function f() {}", "no async function"],
    ["export const f = () => { throw new Error() }", "no throw"],
    ["export const f = Effect.retry", "reads no disposition"]
  ])("%s", (code, message) => {
    const doc = "/** What it is.\n * @category constructors\n * @since 0.1.0\n */\n"
    const violations = report({ "Money.ts": doc + code })
    assert.strictEqual(violations.length, 1)
    assert.match(violations[0] ?? "", new RegExp(`^Money.ts:5: .*${message}`))
  })

  it("what is named Unsafe may throw", () => {
    assert.deepStrictEqual(report({ "internal/money/a.ts": "const aUnsafe = () => { throw new Error() }" }), [])
  })

  it("public exports are described", () => {
    const violations = report({
      "Money.ts":
        "/** @since 0.1.0 */\nexport const a = 1\n\n/** @category x @since y */\nexport type B = 1\nexport class C {}\n",
      "internal/money/a.ts": "export const c = 1\n"
    })
    assert.deepStrictEqual(violations, [
      "Money.ts:2: export const a lacks @category in its JSDoc",
      "Money.ts:6: export class C lacks @category and @since in its JSDoc"
    ])
  })
})

describe("oxlint", () => {
  const forbidden: ReadonlyArray<readonly [code: string, message: string]> = [
    ["console.log(1)", "no-console"],
    ["export const a = Math.random()", "'Math.random' is restricted"],
    ...[
      "Buffer",
      "Date",
      "clearInterval",
      "clearTimeout",
      "crypto",
      "fetch",
      "globalThis",
      "performance",
      "process",
      "require",
      "setImmediate",
      "setInterval",
      "setTimeout"
    ].map((name) => [`export const a = ${name}`, `Unexpected use of '${name}'`] as const)
  ]

  it("reports each forbidden global in the core", () => {
    const output = oxlint(Object.fromEntries(forbidden.map(([code], i) => [`internal/money/f${i}.ts`, `${code}\n`])))
    for (const [i, [, message]] of forbidden.entries()) {
      const line = output.split("\n").find((x) => x.includes(`internal/money/f${i}.ts:`)) ?? `nothing on f${i}`
      assert.include(line, message, output)
    }
  })

  it("reports cycles, ts-ignore, skipped and focused tests, and long functions", () => {
    const long = `export const f = () => {\n${"  f()\n".repeat(70)}}\n`
    const output = oxlint({
      "A.ts": `import { b } from "./B.ts"\nexport const a = () => b\n`,
      "B.ts": `import { a } from "./A.ts"\nexport const b = () => a\n`,
      "C.ts": "// @ts-ignore\nexport const c = 1\n",
      "D.test.ts": `import { it } from "vitest"\nit.skip("x", () => {})\nit.only("y", () => {})\n`,
      "E.ts": long,
      "F.test.ts": long
    })
    for (
      const [file, rule] of [
        ["A.ts", "no-cycle"],
        ["C.ts", "ban-ts-comment"],
        ["D.test.ts:2", "no-disabled-tests"],
        ["D.test.ts:3", "no-focused-tests"],
        ["E.ts", "max-lines-per-function"]
      ] as const
    ) {
      assert.isTrue(output.split("\n").some((x) => x.includes(file) && x.includes(rule)), `${file} ${rule}\n${output}`)
    }
    assert.notInclude(output, "F.test.ts")
  })
})
