/**
 * Structured field values (RFC 8941, section 4.2): an Item whose value is a String.
 *
 * @internal
 */
import * as Result from "effect/Result"

const string = /"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"/y
const parameterName = /[a-z*][a-z0-9_\-.*]*/y
// A number with more digits than allowed matches in part, and what is left of it is no parameter.
const bareItems = [
  /-?(?:\d{1,12}\.\d{1,3}|\d{1,15})/y,
  string,
  /[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*/y,
  /:[A-Za-z0-9+/=]*:/y,
  /\?[01]/y
]

/**
 * @internal The string of an Item. Its parameters have to be well-formed and are ignored, as the standard asks for ones
 * that are not known. Several header lines arrive joined by commas, which no Item is.
 */
export const parseString = (field: string): Result.Result<string, string> => {
  const start = skipSpaces(field, 0)
  const value = match(string, field, start)
  if (value === undefined) {
    return Result.fail(
      field[start] === "\"" ? "the string does not end, or holds what it may not" : "it is not in double quotes"
    )
  }
  const end = skipParameters(field, start + value.length)
  if (end === undefined) return Result.fail("its parameters are malformed")
  if (skipSpaces(field, end) !== field.length) return Result.fail("something stands after the string")
  return Result.succeed(value.slice(1, -1).replaceAll(/\\(["\\])/g, "$1"))
}

/** @internal */
export const serializeString = (value: string): string => `"${value.replaceAll(/["\\]/g, "\\$&")}"`

const skipParameters = (field: string, from: number): number | undefined => {
  let at = from
  while (field[at] === ";") {
    at = skipSpaces(field, at + 1)
    const name = match(parameterName, field, at)
    if (name === undefined) return undefined
    at += name.length
    if (field[at] === "=") {
      const value = bareItem(field, at + 1)
      if (value === undefined) return undefined
      at += 1 + value.length
    }
  }
  return at
}

const bareItem = (field: string, at: number): string | undefined => {
  for (const pattern of bareItems) {
    const found = match(pattern, field, at)
    if (found !== undefined) return found
  }
  return undefined
}

const match = (pattern: RegExp, field: string, at: number): string | undefined => {
  pattern.lastIndex = at
  return pattern.exec(field)?.[0]
}

const skipSpaces = (field: string, from: number): number => {
  let at = from
  while (field[at] === " ") at++
  return at
}
