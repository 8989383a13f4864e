// The TypeScript fences of a Markdown file or of the JSDoc in a source, and what makes a runnable test of one.
import { readFileSync } from "node:fs"
import { type ParseResult, parseSync, Visitor } from "oxc-parser"

export interface Fence {
  /** The line of its first line of code in the file, from 1. */
  readonly line: number
  readonly code: string
  /** False for a fence that starts a server, or the like: "```ts no-run". It is type-checked all the same. */
  readonly runs: boolean
}

/** All fences of a file; one with an unknown word after "ts" is an error, lest it be skipped in silence. */
export const fencesOf = (path: string): ReadonlyArray<Fence> => {
  const text = readFileSync(path, "utf8")
  const lines = path.endsWith(".md") ? text.split("\n") : jsdocLines(text)
  const found: Array<Fence> = []
  for (let i = 0; i < lines.length; i++) {
    const open = /^(\s*)(`{3,})(.*)$/.exec(lines[i] ?? "")
    if (open === null) continue
    const [, indent = "", ticks = "", info = ""] = open
    const start = i + 1
    let end = start
    while (end < lines.length && (lines[end] ?? "").trim() !== ticks) end++
    if (end === lines.length) throw new Error(`${path}:${i + 1}: the fence does not end`)
    i = end
    const [language, ...words] = info.trim().split(/\s+/)
    if (language !== "ts" && language !== "typescript") continue
    if (words.some((word) => word !== "no-run")) throw new Error(`${path}:${start}: unknown "${info.trim()}"`)
    const code = lines.slice(start, end).map((line) => line.startsWith(indent) ? line.slice(indent.length) : line)
    found.push({ line: start + 1, code: code.join("\n"), runs: words.length === 0 })
  }
  return found
}

// Every line stays at its number; what is no JSDoc becomes empty.
const jsdocLines = (text: string): ReadonlyArray<string> => {
  let inside = false
  return text.split("\n").map((line) => {
    if (!inside) {
      inside = /^\s*\/\*\*(?!.*\*\/)/.test(line)
      return ""
    }
    if (line.includes("*/")) {
      inside = false
      return ""
    }
    return line.replace(/^\s*\* ?/, "")
  })
}

type Node = { readonly start: number; readonly end: number }
interface Edit extends Node {
  readonly text: string
}

/**
 * The fence as the body of an async function: imports become `await import(…)`, and each `// => value` behind or below
 * a statement becomes `__expect(…).toEqual(value)`.
 */
export const toTest = ({ code }: Fence): string => {
  const parsed = parseSync("fence.ts", code)
  const failure = parsed.errors[0]
  if (failure !== undefined) throw new Error(failure.message)
  const edits: Array<Edit> = []
  for (const node of parsed.program.body) {
    if (node.type === "ImportDeclaration") edits.push({ start: node.start, end: node.end, text: toDynamic(node, code) })
    if (node.type === "ExportNamedDeclaration" && node.declaration !== null) {
      edits.push({ start: node.start, end: node.declaration.start, text: "" })
    }
  }
  edits.push(...assertions(code, parsed))
  return apply(code, edits)
}

const toDynamic = (
  node: Extract<ParseResult["program"]["body"][number], { readonly type: "ImportDeclaration" }>,
  code: string
): string => {
  if (node.importKind === "type") return ""
  const from = `await import(${code.slice(node.source.start, node.source.end)})`
  const names: Array<string> = []
  for (const part of node.specifiers) {
    if (part.type === "ImportNamespaceSpecifier") return `const ${part.local.name} = ${from};`
    if (part.type === "ImportDefaultSpecifier") names.push(`default: ${part.local.name}`)
    else if (part.importKind !== "type") {
      names.push(`${code.slice(part.imported.start, part.imported.end)}: ${part.local.name}`)
    }
  }
  return node.specifiers.length === 0
    ? `${from};`
    : names.length === 0
    ? ""
    : `const { ${names.join(", ")} } = ${from};`
}

interface Expectation {
  readonly start: number
  readonly value: string
}

/** `// => value`; a value may go on over the comment lines that follow, until it is an expression. */
const expectations = (code: string, { comments }: ParseResult): ReadonlyArray<Expectation> =>
  comments.flatMap((comment, i) => {
    if (comment.type !== "Line" || !comment.value.trimStart().startsWith("=>")) return []
    let value = comment.value.trimStart().slice(2).trim()
    for (let next = i + 1; parseSync("value.ts", `(${value})`).errors.length > 0; next++) {
      const more = comments[next]
      const between = more && code.slice(comments[next - 1]?.end, more.start)
      if (more?.type !== "Line" || between?.trim() !== "" || more.value.trimStart().startsWith("=>")) {
        throw new Error(`"// => ${value}" holds no expression`)
      }
      value += `\n${more.value}`
    }
    return [{ start: comment.start, value }]
  })

const assertions = (code: string, parsed: ParseResult): ReadonlyArray<Edit> => {
  const open = new Set(expectations(code, parsed))
  const edits: Array<Edit> = []
  // The comment that follows a statement with nothing but white space and at most one line break between.
  const after = (end: number): string | undefined => {
    for (const found of open) {
      if (found.start >= end && /^[ \t;]*\n?[ \t]*$/.test(code.slice(end, found.start))) {
        open.delete(found)
        return found.value
      }
    }
    return undefined
  }
  const wrap = (outer: Node, inner: Node, value: string) => {
    edits.push({ start: outer.start, end: inner.start, text: "__check(" })
    edits.push({ start: inner.end, end: outer.end, text: `, (${value}))` })
  }
  new Visitor({
    ExpressionStatement: (node) => {
      const value = after(node.end)
      if (value === undefined) return
      const { expression } = node
      const logs = expression.type === "CallExpression" && code.startsWith("console.log(", expression.start)
      wrap(expression, (logs ? expression.arguments[0] : undefined) ?? expression, value)
    },
    VariableDeclaration: (node) => {
      const init = node.declarations.length === 1 ? node.declarations[0]?.init : undefined
      const value = after(node.end)
      if (value !== undefined && init) wrap(init, init, value)
    },
    ReturnStatement: (node) => {
      const value = after(node.end)
      if (value !== undefined && node.argument) wrap(node.argument, node.argument, value)
    }
  }).visit(parsed.program)
  for (const { value } of open) throw new Error(`"// => ${value}" follows no statement`)
  return edits
}

const apply = (code: string, edits: ReadonlyArray<Edit>): string => {
  let result = ""
  let at = 0
  for (const edit of edits.toSorted((a, b) => a.start - b.start)) {
    result += code.slice(at, edit.start) + edit.text
    at = edit.end
  }
  return result + code.slice(at)
}
