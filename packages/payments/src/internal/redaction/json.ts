/**
 * A number in JSON that is replaced by a mark gets the quotes that keep the JSON valid.
 *
 * @internal
 */
import type { Span } from "./span.ts"

// How far to look back for the start of a key, for the bracket that opens a list, and over space; lists within lists.
const keyMax = 96
const listMax = 256
const spaceMax = 64
const depthMax = 4

/**
 * @internal The quotes of the strings around a value that starts here, if it is a bare value in JSON: those of its key, so
 * that JSON within a JSON string keeps its backslashes.
 */
export const quoteAt = (text: string, start: number, depth = depthMax): string | undefined => {
  const at = skipSpaceBack(text, start - 1)
  switch (text.charAt(at)) {
    case ":":
      return quoteOfKey(text, at)
    case "[":
      return quoteOfList(text, at, depth)
    case ",": {
      const open = openOfList(text, at)
      return open === undefined ? undefined : quoteOfList(text, open, depth)
    }
    default:
      return undefined
  }
}

const skipSpaceBack = (text: string, from: number): number => {
  let at = from
  while (from - at < spaceMax && isSpace(text.charCodeAt(at))) at--
  return at
}

const isSpace = (code: number): boolean => code === 32 || (code >= 9 && code <= 13)

const backslash = 92
const quoteCode = 34

const quoteOfKey = (text: string, colon: number): string | undefined => {
  const end = skipSpaceBack(text, colon - 1)
  if (text.charCodeAt(end) !== quoteCode) return undefined
  const escaped = backslashesBefore(text, end)
  for (let at = end - escaped - 1; end - at < keyMax; at--) {
    if (text.charCodeAt(at) !== quoteCode || backslashesBefore(text, at) !== escaped) continue
    const before = text.charAt(skipSpaceBack(text, at - escaped - 1))
    return before === "{" || before === "," ? text.slice(end - escaped, end + 1) : undefined
  }
  return undefined
}

const backslashesBefore = (text: string, at: number): number => {
  let count = 0
  while (count < spaceMax && text.charCodeAt(at - count - 1) === backslash) count++
  return count
}

const quoteOfList = (text: string, open: number, depth: number): string | undefined =>
  skipSpaceBack(text, open - 1) < 0 ? "\"" : depth > 0 ? quoteAt(text, open, depth - 1) : undefined

/** Where the list of numbers that goes on here opens. */
const openOfList = (text: string, from: number): number | undefined => {
  for (let at = from; from - at < listMax && at >= 0; at--) {
    const code = text.charCodeAt(at)
    if (code === 91) return at
    if (!isOfList(code)) return undefined
  }
  return undefined
}

/** What lists of numbers are made of: digits, signs, points, exponents, commas, space. */
const isOfList = (code: number): boolean =>
  (code >= 43 && code <= 57 && code !== 47) || code === 69 || code === 101 || isSpace(code)

const restOfNumber = /(?:\.\d{1,32})?(?:[eE][-+]?\d{1,8})?\s{0,64}(?:[,}\]]|$)/y
const exponent = /(?:\.\d{1,32})?(?:[eE][-+]?\d{1,8})?/y

/** @internal The spans, widened to the JSON number that they are and quoted where they are one. In order. */
export const quoteNumbers = (text: string, spans: ReadonlyArray<Span>): ReadonlyArray<Span> => {
  let last: { readonly end: number; readonly quote: string } | undefined
  return spans.map((span) => {
    const start = text.charAt(span.start - 1) === "-" ? span.start - 1 : span.start
    restOfNumber.lastIndex = span.end
    if (!restOfNumber.test(text)) return span
    const quote = (last === undefined ? undefined : quoteAsBefore(text, last, start)) ?? quoteAt(text, start)
    if (quote === undefined) return span
    exponent.lastIndex = span.end
    exponent.test(text)
    const end = exponent.lastIndex
    last = { end, quote }
    return { start, end, mark: quote + span.mark + quote }
  })
}

/** In a list that holds a number that was quoted, the next is. */
const quoteAsBefore = (
  text: string,
  { end, quote }: { readonly end: number; readonly quote: string },
  start: number
): string | undefined => {
  if (start - end > listMax) return undefined
  for (let at = end; at < start; at++) if (!isOfList(text.charCodeAt(at))) return undefined
  return quote
}
