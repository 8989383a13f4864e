/**
 * A number in JSON that is replaced by a mark gets quotes, so that the JSON stays valid: also within a JSON string, where
 * quotes have backslashes before them.
 *
 * @internal
 */
import type { Span } from "./span.ts"

const spaceMax = 64

/** @internal The spans, widened to the JSON number that they are and quoted where they are one. In order. */
export const quoteNumbers = (text: string, spans: ReadonlyArray<Span>): ReadonlyArray<Span> => {
  if (spans.length === 0) return spans
  const quoteAt = makeQuotes(text)
  return spans.map((span) => {
    const number = numberAround(text, span)
    const quote = number === undefined ? undefined : quoteAt(number.start)
    return number === undefined || quote === undefined ? span : { ...number, mark: quote + span.mark + quote }
  })
}

const exponent = /(?:\.[0-9]{1,32})?(?:[eE][-+]?[0-9]{1,8})?/y
const afterValue = /\s{0,64}(?:[,}\]]|$)/y

/** The number that a span is part of, if it stands where JSON has values. */
const numberAround = (
  text: string,
  { end, start }: Span
): { readonly start: number; readonly end: number } | undefined => {
  const first = text.charAt(start - 1) === "-" ? start - 1 : start
  const before = text.charAt(skipSpaceBack(text, first - 1))
  if (before !== ":" && before !== "," && before !== "[") return undefined
  exponent.lastIndex = end
  exponent.test(text)
  const last = exponent.lastIndex
  afterValue.lastIndex = last
  return afterValue.test(text) ? { start: first, end: last } : undefined
}

const skipSpaceBack = (text: string, from: number): number => {
  let at = from
  while (from - at < spaceMax && isSpace(text.charCodeAt(at))) at--
  return at
}

const isSpace = (code: number): boolean => code === 32 || (code >= 9 && code <= 13)

// JSON in a string of JSON in a string …
const depthMax = 6

/**
 * Tells of ascending places the quote that a string there would have, or that none would. Within `d` strings a quote has
 * 2ᵈ − 1 backslashes before it.
 */
const makeQuotes = (text: string): (at: number) => string | undefined => {
  if (!opensJson(text, 0)) return (at) => quoteOfKey(text, skipSpaceBack(text, at - 1))
  const isJson = [true]
  const state = { depth: 0, quote: text.indexOf("\""), line: text.indexOf("\n") }
  const readQuote = () => {
    const level = levelOf(backslashesBefore(text, state.quote), state.depth)
    if (level < state.depth) state.depth = level
    else if (state.depth < depthMax) isJson[++state.depth] = opensJson(text, state.quote + 1)
    state.quote = text.indexOf("\"", state.quote + 1)
  }
  // No string of JSON goes over the end of a line.
  const readLine = () => {
    state.depth = 0
    state.line = text.indexOf("\n", state.line + 1)
  }
  return (at) => {
    for (;;) {
      const { depth, line, quote } = state
      const isLine = line !== -1 && line < at && (quote === -1 || line < quote)
      if (isLine) readLine()
      else if (quote !== -1 && quote < at) readQuote()
      else return isJson[depth] === true ? quoteOf(depth) : undefined
    }
  }
}

/**
 * Which string a quote closes, of `depth` that are open, or that it opens one more. An even number of backslashes before a
 * quote are backslashes; of an odd number one escapes the quote, and the others are half as many in the string.
 */
const levelOf = (backslashes: number, depth: number): number => {
  let left = backslashes
  let level = 0
  while (level < depth && left % 2 === 1) {
    left = (left - 1) / 2
    level++
  }
  return level
}

const quoteOf = (depth: number): string => `${"\\".repeat(2 ** depth - 1)}"`

const opensJson = (text: string, from: number): boolean => {
  let at = from
  while (at - from < spaceMax && isSpace(text.charCodeAt(at))) at++
  return text.charAt(at) === "{" || text.charAt(at) === "["
}

const backslash = 92
const backslashesMax = 2 ** depthMax

const backslashesBefore = (text: string, at: number): number => {
  let count = 0
  while (count < backslashesMax && text.charCodeAt(at - count - 1) === backslash) count++
  return count
}

// How far to look back for the start of a key.
const keyMax = 96

/** In a text that is not JSON but may hold some: the quote of the key of a value behind this colon. */
const quoteOfKey = (text: string, colon: number): string | undefined => {
  if (text.charAt(colon) !== ":") return undefined
  const end = skipSpaceBack(text, colon - 1)
  if (text.charAt(end) !== "\"") return undefined
  const escaped = backslashesBefore(text, end)
  for (let at = end - escaped - 1; end - at < keyMax; at--) {
    if (text.charAt(at) !== "\"" || backslashesBefore(text, at) !== escaped) continue
    const before = text.charAt(skipSpaceBack(text, at - escaped - 1))
    return before === "{" || before === "," ? text.slice(end - escaped, end + 1) : undefined
  }
  return undefined
}
