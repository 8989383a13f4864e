/**
 * Whether every value of a schema has a stored form that reads back as it was.
 *
 * @internal
 */
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"

/**
 * @internal What of a schema cannot be stored, with where it is: a part that takes any value (`Unknown`, `Any`, `Object`), or
 * one of a kind that has no JSON codec (`instanceOf`, a `declare` without one). Undefined when all of it can be.
 */
export const unstorable = (schema: Schema.Constraint): string | undefined =>
  faultOf(SchemaAST.toEncoded(schema.ast), "", new Set())

const faultOf = (ast: SchemaAST.AST, path: string, seen: Set<SchemaAST.AST>): string | undefined => {
  if (seen.has(ast)) return undefined
  seen.add(ast)
  const within = (inner: SchemaAST.AST, step: string) => faultOf(inner, path + step, seen)
  switch (ast._tag) {
    case "Unknown":
    case "Any":
    case "ObjectKeyword":
      return at(path, `${ast._tag} takes what has no stored form`)
    case "Declaration":
      return ofDeclaration(ast, path, seen)
    case "Objects":
      return first(ast.propertySignatures, ({ name, type }) => within(type, `.${String(name)}`)) ??
        first(ast.indexSignatures, ({ type }) => within(type, "[key]"))
    case "Arrays":
      return first([...ast.elements, ...ast.rest], (item) => within(item, "[]"))
    case "Union":
      return first(ast.types, (type) => within(type, ""))
    case "Suspend":
      return within(ast.thunk(), "")
    default:
      return undefined
  }
}

// As the JSON codec is derived: by the declaration's own link, whose other side is looked at in turn.
const ofDeclaration = (ast: SchemaAST.Declaration, path: string, seen: Set<SchemaAST.AST>): string | undefined => {
  const link: unknown = ast.annotations?.["toCodecJson"] ?? ast.annotations?.["toCodec"]
  if (typeof link !== "function") return at(path, `${nameOf(ast)} has no JSON codec`)
  const made: unknown = link(ast.typeParameters.map((parameter) => Schema.make(SchemaAST.toEncoded(parameter))))
  return made instanceof SchemaAST.Link ? faultOf(SchemaAST.toEncoded(made.to), path, seen) : undefined
}

const nameOf = ({ annotations }: SchemaAST.Declaration): string => {
  const name = annotations?.["identifier"] ?? annotations?.["expected"] ?? annotations?.["title"]
  return typeof name === "string" ? name : "a declared schema"
}

const at = (path: string, fault: string): string => path === "" ? fault : `${fault}, at ${path.replace(/^\./u, "")}`

const first = <A>(items: ReadonlyArray<A>, f: (item: A) => string | undefined): string | undefined => {
  for (const item of items) {
    const fault = f(item)
    if (fault !== undefined) return fault
  }
  return undefined
}
