// Type-checks every fence of README, docs and JSDoc in one run of the compiler. Each becomes a module of its own, padded
// with empty lines so that an error names the line of the file that it stands in.
import { execFileSync, spawnSync } from "node:child_process"
import { globSync, mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { documented } from "./documented.ts"
import { fencesOf } from "./fences.ts"

const folder = "node_modules/.cache/fences"
rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })
const origin = new Map<string, string>()
for (const path of globSync(documented)) {
  for (const { code, line } of fencesOf(path)) {
    const name = `${path.replaceAll(/[^\w]+/g, "_")}_${line}.ts`
    origin.set(name, path)
    writeFileSync(join(folder, name), `${"\n".repeat(line - 1)}${code}\nexport {}\n`)
  }
}
writeFileSync(
  join(folder, "tsconfig.json"),
  JSON.stringify({
    extends: "../../../tsconfig.base.json",
    compilerOptions: { noEmit: true, noUnusedLocals: false, noUnusedParameters: false },
    files: [...origin.keys()]
  })
)
const compiler = execFileSync("effect-tsgo", ["get-exe-path"], { encoding: "utf8" }).trim()
const { status, stdout } = spawnSync(compiler, ["-p", folder, "--pretty", "false"], { encoding: "utf8" })
process.stdout.write(stdout.replace(/^.*?([^/\s(]+\.ts)\((\d+),(\d+)\)/gm, (all, name: string, line, column) => {
  const path = origin.get(name)
  return path === undefined ? all : `${path}:${line}:${column}`
}))
console.log(`${origin.size} fences type-checked`)
process.exitCode = status ?? 1
