/**
 * JSON with the members of each object in the order of their names (RFC 8785), and lone surrogates replaced.
 *
 * @internal
 */
import type * as Schema from "effect/Schema"

const depthMax = 64

/** @internal Undefined when it is nested too deep, or longer than `limit` characters. */
export const write = (json: Schema.Json, limit: number): string | undefined => {
  const text = writeAt(json, depthMax)
  return text !== undefined && text.length <= limit ? text : undefined
}

const writeAt = (json: Schema.Json, depth: number): string | undefined => {
  if (typeof json === "string") return JSON.stringify(json.toWellFormed())
  if (typeof json !== "object" || json === null) return JSON.stringify(json)
  if (depth === 0) return undefined
  if (isArray(json)) return joined("[", json.map((value) => writeAt(value, depth - 1)), "]")
  const names = Object.keys(json).sort(byCodeUnits)
  const members = names.map((name) => {
    const value = writeAt(json[name] ?? null, depth - 1)
    return value === undefined ? undefined : `${JSON.stringify(name.toWellFormed())}:${value}`
  })
  return joined("{", members, "}")
}

const isArray = (json: Schema.Json): json is ReadonlyArray<Schema.Json> => Array.isArray(json)

const byCodeUnits = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

const joined = (open: string, parts: ReadonlyArray<string | undefined>, close: string): string | undefined =>
  parts.includes(undefined) ? undefined : open + parts.join(",") + close
