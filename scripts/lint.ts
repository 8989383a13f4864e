// The lint rules of the core that oxlint cannot express. `lint.ts [FOLDER]` checks FOLDER/packages/payments/src.
import { globSync, readFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { checkDocs, checkHabits } from "./lint/habits.ts"
import { checkImports, type Source, type Violation } from "./lint/imports.ts"

export const checkCore = (folder: string): ReadonlyArray<Violation> => {
  const root = join(folder, "packages/payments/src")
  const sources = globSync("**/*.ts", { cwd: root }).sort().map((path): Source => ({
    path: path.replaceAll("\\", "/"),
    text: readFileSync(join(root, path), "utf8")
  }))
  return [...checkImports(sources), ...sources.flatMap(checkHabits), ...sources.flatMap(checkDocs)]
}

if (import.meta.main) {
  const violations = checkCore(process.argv[2] ?? ".")
  for (const { file, line, message } of violations) {
    console.error(`packages/payments/src/${file}:${line}: ${message}`)
  }
  if (violations.length > 0) {
    console.error(`${violations.length} violations`)
    process.exitCode = 1
  }
}
