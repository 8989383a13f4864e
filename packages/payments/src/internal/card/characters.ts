/** What a character is to a card number: a digit of some script, something that separates digits, or nothing of these. */

/** First code of each block of ten decimal digits (Unicode Nd) outside ASCII, in the basic plane. */
const zeros = [
  0x0660,
  0x06f0,
  0x07c0,
  0x0966,
  0x09e6,
  0x0a66,
  0x0ae6,
  0x0b66,
  0x0be6,
  0x0c66,
  0x0ce6,
  0x0d66,
  0x0de6,
  0x0e50,
  0x0ed0,
  0x0f20,
  0x1040,
  0x1090,
  0x17e0,
  0x1810,
  0x1946,
  0x19d0,
  0x1a80,
  0x1a90,
  0x1b50,
  0x1bb0,
  0x1c40,
  0x1c50,
  0xa620,
  0xa8d0,
  0xa900,
  0xa9d0,
  0xa9f0,
  0xaa50,
  0xabf0,
  0xff10
]

/** The value of a digit of any script in the basic plane, or -1. */
export const digitOf = (code: number): number => {
  if (code < 0x660) return code >= 48 && code <= 57 ? code - 48 : -1
  let low = 0
  let high = zeros.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (zeros[middle]! <= code) low = middle
    else high = middle - 1
  }
  const value = code - zeros[low]!
  return value >= 0 && value < 10 ? value : -1
}

/** The value of a styled mathematical digit (U+1D7CE to U+1D7FF), which takes two code units, or -1. */
export const mathematicalDigitOf = (high: number, low: number): number =>
  high === 0xd835 && low >= 0xdfce && low <= 0xdfff ? (low - 0xdfce) % 10 : -1

const codesOf = (text: string): ReadonlySet<number> => new Set(Array.from(text, (character) => character.charCodeAt(0)))

/** Shown between digits: spaces of all widths, tab and line breaks, dashes, point, slash, underscore, plus, middle dot. */
const separators = codesOf(
  " \t\r\n\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000" +
    "-\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\u2e3a\u2e3b\ufe58\ufe63\uff0d" +
    "./_+\u00b7\u2022\u2024\u2044\u2215\u30fb\uff0e\uff0f\uff3f"
)

/** Not shown at all: zero-width characters, joiners, direction marks, variation selectors, and the half of UTF-16 that is zero. */
const invisible = codesOf(
  "\0\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufe0e\ufe0f\ufeff\u180e\u034f"
)

export const isSeparator = (code: number): boolean => separators.has(code)

export const isInvisible = (code: number): boolean => (code > 0x7f || code === 0) && invisible.has(code)
