// The direction of imports in packages/payments/src. An internal file has no level of its own: what it imports counts
// for each module that reaches it, so a port cannot use a combinator through internal files either.
import { readFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { parseSync, Visitor } from "oxc-parser"
import { internals, levels } from "./levels.ts"

export interface Violation {
  readonly file: string
  readonly line: number
  readonly message: string
}

export interface Source {
  /** Relative to the root of the sources, with `/`. */
  readonly path: string
  readonly text: string
}

interface Import {
  readonly line: number
  readonly specifier: string
}

export const lineOf = (text: string, offset: number): number => text.slice(0, offset).split("\n").length

const importsOf = ({ path, text }: Source): ReadonlyArray<Import> => {
  const { module, program } = parseSync(path, text)
  const found: Array<readonly [offset: number, specifier: string]> = [
    ...module.staticImports.map((x) => [x.start, x.moduleRequest.value] as const),
    ...module.staticExports.flatMap((x) =>
      x.entries.flatMap((entry) => entry.moduleRequest === null ? [] : [[x.start, entry.moduleRequest.value] as const])
    )
  ]
  new Visitor({
    TSImportType: (node) => void found.push([node.start, node.source.value]),
    ImportExpression: (node) =>
      void found.push([
        node.start,
        node.source.type === "Literal" && typeof node.source.value === "string" ? node.source.value : "(computed)"
      ])
  }).visit(program)
  return found.map(([offset, specifier]) => ({ line: lineOf(text, offset), specifier }))
}

/** `Money` for src/Money.ts, `testing` for all of src/testing, undefined for the index and internal files. */
const moduleOf = (path: string): string | undefined =>
  path.startsWith("internal/") || path === "index.ts" ? undefined : path.split("/")[0]?.replace(/\.ts$/, "")

const folderOf = (path: string): string | undefined => /^internal\/([^/]+)\//.exec(path)?.[1]

const levelOf = (module: string): number =>
  levels.findIndex((level) => (level.modules as ReadonlyArray<string>).includes(module))

const ownersOf = (folder: string): ReadonlyArray<string> => {
  const entry = internals[folder]
  if (entry === undefined) return [folder.charAt(0).toUpperCase() + folder.slice(1)]
  return "modules" in entry ? entry.modules : []
}

const mayEnter = (path: string, folder: string): boolean => {
  const own = folderOf(path)
  if (own === folder) return true
  const entry = internals[folder]
  const visitors = own === undefined ? [moduleOf(path) ?? ""] : ownersOf(own)
  if (entry !== undefined && "from" in entry) {
    const first = levels.findIndex((level) => level.name === entry.from)
    // A shared folder holds no level: what it reaches is judged at the modules that reach it.
    return visitors.every((module) => levelOf(module) >= first)
  }
  const owners = ownersOf(folder)
  return visitors.length > 0 && visitors.every((module) => owners.includes(module))
}

const unstable = (() => {
  const known = new Map<string, boolean>()
  const root = dirname(fileURLToPath(import.meta.resolve("effect/package.json")))
  return (specifier: string): boolean => {
    const already = known.get(specifier)
    if (already !== undefined) return already
    let header = ""
    try {
      header = /\/\*\*[\s\S]*?\*\//.exec(readFileSync(join(root, `src/${specifier.slice(7)}.ts`), "utf8"))?.[0] ?? ""
    } catch {
      // No such file: the compiler says so.
    }
    const answer = /@stability (unstable|experimental)/.test(header)
    known.set(specifier, answer)
    return answer
  }
})()

const checkExternal = ({ specifier }: Import): string | undefined => {
  if (specifier.startsWith("node:")) return "the core runs anywhere: no node:*"
  if (specifier === "effect" || /^effect\/(?:.*\/)?[a-z-]+$/.test(specifier)) {
    return `import the module, such as "effect/Effect", not the barrel "${specifier}"`
  }
  if (!specifier.startsWith("effect/")) return `the core imports effect and nothing else, not "${specifier}"`
  return undefined
}

const checkRelative = (path: string, target: string): string | undefined => {
  if (target.startsWith("../")) return "a relative import does not leave the package"
  if (!target.endsWith(".ts")) return "a relative import ends in .ts"
  if (/(^|\/)index\.ts$/.test(target)) return "import the module, not the barrel"
  const folder = folderOf(target)
  if (folder !== undefined && !mayEnter(path, folder)) {
    const owners = ownersOf(folder)
    return `internal/${folder} is private to ${owners.length > 0 ? owners.join(", ") : "the levels listed for it"}`
  }
  return undefined
}

/** The public modules that `path` reaches through internal files alone, each with the way there. */
const reach = (path: string, targets: ReadonlyMap<string, ReadonlyArray<string>>) => {
  const found = new Map<string, ReadonlyArray<string>>()
  const seen = new Set([path])
  const queue: Array<readonly [path: string, way: ReadonlyArray<string>]> = [[path, []]]
  for (const [at, way] of queue) {
    for (const target of targets.get(at) ?? []) {
      const module = moduleOf(target)
      if (module !== undefined) {
        if (!found.has(module)) found.set(module, [...way, target])
      } else if (!seen.has(target)) {
        seen.add(target)
        queue.push([target, [...way, target]])
      }
    }
  }
  return found
}

export const checkImports = (sources: ReadonlyArray<Source>): ReadonlyArray<Violation> => {
  const violations: Array<Violation> = []
  const targets = new Map<string, ReadonlyArray<string>>()
  const firstUse = new Map<string, string>()
  for (const source of sources) {
    const { path } = source
    const module = moduleOf(path)
    if (module !== undefined && levelOf(module) === -1) {
      violations.push({
        file: path,
        line: 1,
        message: `${module} stands at no level: add it to scripts/lint/levels.ts`
      })
    }
    const relatives: Array<string> = []
    for (const found of importsOf(source)) {
      const { line, specifier } = found
      if (path === "index.ts") continue
      let message: string | undefined
      if (specifier.startsWith(".")) {
        const target = relative(".", join(dirname(path), specifier)).replaceAll("\\", "/")
        relatives.push(target)
        message = checkRelative(path, target)
      } else {
        message = checkExternal(found)
        if (message === undefined && unstable(specifier)) {
          const first = firstUse.get(specifier) ?? path
          firstUse.set(specifier, first)
          if (folderOf(path) === undefined || first !== path) {
            message = `${specifier} is unstable: import it in one file of internal/, and that file from here`
              + (first === path ? "" : ` (already in ${first})`)
          }
        }
      }
      if (message !== undefined) violations.push({ file: path, line, message })
    }
    targets.set(path, relatives)
  }
  for (const { path } of sources) {
    const module = moduleOf(path)
    if (module === undefined) continue
    const own = levelOf(module)
    for (const [other, way] of reach(path, targets)) {
      if (own === -1 || levelOf(other) <= own) continue
      const message = `${levels[own]?.name} know no ${levels[levelOf(other)]?.name}: ${[path, ...way].join(" -> ")}`
      violations.push({ file: path, line: 1, message })
    }
  }
  return violations
}
