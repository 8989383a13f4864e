/**
 * What a short text of ASCII holds in an encoding: percent-encoding, base64, hexadecimal.
 */

/** Each reading of a text that differs from it. Words are decoded from each place where they could begin. */
export const decodings = (text: string): ReadonlyArray<string> => [
  ...text.includes("%") ? [percentDecoded(text)] : [],
  ...wordsOf(text, base64Word, 4, fromBase64),
  ...wordsOf(text, hexWord, 2, fromHex)
]

// A card number of twelve digits takes sixteen characters of the one and twenty-four of the other.
const base64Word = /[A-Za-z0-9+/_-]{16,}/g
const hexWord = /[0-9A-Fa-f]{24,}/g

const percentDecoded = (text: string): string =>
  text.replace(/%(?:25)*([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))

const wordsOf = (
  text: string,
  word: RegExp,
  unit: number,
  decode: (word: string) => string
): ReadonlyArray<string> =>
  (text.match(word) ?? []).flatMap((word) => Array.from({ length: unit }, (_, at) => decode(word.slice(at))))

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

const fromBase64 = (word: string): string => {
  let out = ""
  let bits = 0
  let size = 0
  for (const character of word.replaceAll("-", "+").replaceAll("_", "/")) {
    bits = ((bits << 6) | alphabet.indexOf(character)) & 0xfff
    size += 6
    if (size < 8) continue
    size -= 8
    out += String.fromCharCode((bits >> size) & 0xff)
  }
  return out
}

const fromHex = (word: string): string => word.replace(/../g, (pair) => String.fromCharCode(parseInt(pair, 16)))
