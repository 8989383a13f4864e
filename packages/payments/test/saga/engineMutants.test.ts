import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { mutants } from "./engineMutants.ts"

const hunter = fileURLToPath(new URL("mutantHunter.ts", import.meta.url))

interface Hunted {
  readonly name: string
  readonly found?: string
  readonly error?: string
}

/** All of them in a process of its own, whose engine is another one each time. */
const hunted = () =>
  new Promise<ReadonlyArray<Hunted>>((resolve, reject) => {
    execFile(
      process.execPath,
      ["--conditions=@effect-payments/source", hunter],
      { timeout: 290_000, maxBuffer: 1 << 24 },
      (error, stdout, stderr) => {
        if (error !== null) return reject(new Error(`${error.message} ${stderr}`))
        resolve(stdout.trim().split("\n").map((line) => JSON.parse(line) as Hunted))
      }
    )
  })

describe("SagaTest.explore", () => {
  it("catches every protocol bug of the engine, and none where there is none", async () => {
    const results = await hunted()
    assert.strictEqual(new Set(mutants.map(({ name }) => name)).size, mutants.length)
    assert.isAtLeast(mutants.length, 40)
    assert.strictEqual(results.length, mutants.length + 1)
    assert.deepStrictEqual(results.filter(({ error }) => error !== undefined), [], "each replacement applies and runs")
    const survivors = results.filter(({ found }) => found === undefined).map(({ name }) => name)
    assert.deepStrictEqual(survivors, ["nothing wrong"])
  }, 300_000)
})
