// What the house style asks of library code and oxlint has no rule for.
import { parseSync, Visitor } from "oxc-parser"
import { lineOf, type Source, type Violation } from "./imports.ts"

/** No async function, no throw outside of what is named Unsafe, no retry that reads no disposition. */
export const checkHabits = ({ path, text }: Source): ReadonlyArray<Violation> => {
  const violations: Array<Violation> = []
  const report = (node: { readonly start: number }, message: string) =>
    void violations.push({ file: path, line: lineOf(text, node.start), message })
  const enclosing: Array<string> = []
  const checkFunction = (node: { readonly async: boolean; readonly start: number }) => {
    if (node.async) report(node, "no async function in library code: use Effect")
  }
  new Visitor({
    VariableDeclarator: (node) => void enclosing.push(node.id.type === "Identifier" ? node.id.name : ""),
    "VariableDeclarator:exit": () => void enclosing.pop(),
    FunctionDeclaration: (node) => {
      enclosing.push(node.id?.name ?? "")
      checkFunction(node)
    },
    "FunctionDeclaration:exit": () => void enclosing.pop(),
    FunctionExpression: checkFunction,
    ArrowFunctionExpression: checkFunction,
    ThrowStatement: (node) => {
      if (enclosing.some((name) => name.endsWith("Unsafe"))) return
      report(node, "no throw in library code: fail with a typed error, or name the function ...Unsafe")
    },
    MemberExpression: (node) => {
      if (node.object.type !== "Identifier" || node.object.name !== "Effect") return
      if (node.property.type !== "Identifier" || !node.property.name.startsWith("retry")) return
      report(node, "Effect.retry reads no disposition: use Resilience.retry")
    }
  }).visit(parseSync(path, text).program)
  return violations
}

/** Every public export says what it is, in which category and since when. */
export const checkDocs = ({ path, text }: Source): ReadonlyArray<Violation> => {
  if (path.startsWith("internal/") || /(^|\/)index\.ts$/.test(path)) return []
  const { comments, program } = parseSync(path, text)
  const docBefore = (start: number): string => {
    const doc = comments.findLast((x) => x.end <= start && x.type === "Block" && x.value.startsWith("*"))
    return doc !== undefined && text.slice(doc.end, start).trim() === "" ? doc.value : ""
  }
  const described = new Set<string>()
  return program.body.flatMap((node) => {
    if (node.type !== "ExportNamedDeclaration") return []
    const starts = node.declaration === null
      ? node.specifiers.map((x) => [x.start, text.slice(x.start, x.end)] as const)
      : [[node.start, text.slice(node.start, node.end).split(/[({=<:;]|\bextends\b/)[0]?.trim() ?? ""] as const]
    return starts.flatMap(([start, name]) => {
      // The second signature of an overloaded function shares the words of the first.
      if (described.has(name)) return []
      described.add(name)
      const doc = docBefore(start) || docBefore(node.start)
      const missing = ["@category", "@since"].filter((tag) => !doc.includes(tag))
      return missing.length === 0
        ? []
        : [{ file: path, line: lineOf(text, start), message: `${name} lacks ${missing.join(" and ")} in its JSDoc` }]
    })
  })
}
