/** What a character is to a card number: a digit of some script, something that separates digits, or nothing of these. */

/** First code of each block of ten decimal digits outside ASCII (Unicode Nd), in order. */
const zeros = [
  0x660,
  0x6f0,
  0x7c0,
  0x966,
  0x9e6,
  0xa66,
  0xae6,
  0xb66,
  0xbe6,
  0xc66,
  0xce6,
  0xd66,
  0xde6,
  0xe50,
  0xed0,
  0xf20,
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
  0xff10,
  0x104a0,
  0x10d30,
  0x10d40,
  0x11066,
  0x110f0,
  0x11136,
  0x111d0,
  0x112f0,
  0x11450,
  0x114d0,
  0x11650,
  0x116c0,
  0x116d0,
  0x116da,
  0x11730,
  0x118e0,
  0x11950,
  0x11bf0,
  0x11c50,
  0x11d50,
  0x11da0,
  0x11de0,
  0x11f50,
  0x16130,
  0x16a60,
  0x16ac0,
  0x16b50,
  0x16d70,
  0x1ccf0,
  0x1d7ce,
  0x1d7d8,
  0x1d7e2,
  0x1d7ec,
  0x1d7f6,
  0x1e140,
  0x1e2f0,
  0x1e4f0,
  0x1e5f1,
  0x1e950,
  0x1fbf0
]

/** Digits in circles, which stand in no block of ten. */
const circled: ReadonlyMap<number, number> = new Map(
  Array.from("⓪①②③④⑤⑥⑦⑧⑨", (digit, value) => [digit.charCodeAt(0), value])
)

/** The value of a digit of any script, or -1. */
export const digitOf = (code: number): number => {
  if (code < 0x80) return code >= 48 && code <= 57 ? code - 48 : -1
  let low = 0
  let high = zeros.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (zeros[middle]! <= code) low = middle
    else high = middle - 1
  }
  const value = code - zeros[low]!
  return value >= 0 && value < 10 ? value : circled.get(code) ?? -1
}

const codesOf = (text: string): ReadonlySet<number> => new Set(Array.from(text, (character) => character.charCodeAt(0)))

/** Shown between digits: spaces of all widths, tab and line breaks, dashes, points, slashes, underscore, plus, tilde, dots. */
const separators = codesOf(
  " \t\r\n\v\f\u001c\u001d\u001e\u001f\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a" +
    "\u2028\u2029\u202f\u205f\u2800\u3000" +
    "-\u058a\u05be\u1400\u1806\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\u2500\u2501\u2796\u2e17\u2e1a\u2e3a\u2e3b\u2e40" +
    "\u2e5d\u301c\u3030\u30a0\u30fc\ufe31\ufe32\ufe58\ufe63\uff0d\uff5e\uff70~\u00af\u203e" +
    "./_+\u00b7\u2022\u2024\u2027\u2044\u2215\u2219\u22c5\u2e31\u3002\u30fb\uff0b\uff0e\uff0f\uff3f\uff65"
)

/** Not shown at all: format characters, what Unicode lets ignore, the key around a digit, and the half of UTF-16 that is zero. */
const invisible = codesOf(
  "\0\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180e\u180f\u200b\u200c\u200d\u200e\u200f" +
    "\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064\u2065\u2066\u2067\u2068\u2069\u206a\u206b\u206c\u206d\u206e\u206f" +
    "\u20e3\u3164\ufe00\ufe01\ufe02\ufe03\ufe04\ufe05\ufe06\ufe07\ufe08\ufe09\ufe0a\ufe0b\ufe0c\ufe0d\ufe0e\ufe0f\ufeff\uffa0" +
    "\ufff9\ufffa\ufffb"
)

export const isSeparator = (code: number): boolean => separators.has(code)

export const isInvisible = (code: number): boolean => (code > 0x7f || code === 0) && invisible.has(code)
