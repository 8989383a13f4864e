/** Account numbers of banks (IBAN, ISO 13616), whose digits can look like a card. */
import { isSeparator } from "./characters.ts"

/** How many characters the IBAN of each country of the registry has. */
const lengths: ReadonlyMap<string, number> = new Map(
  Object.entries({
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU"
  }).flatMap(([length, countries]) => countries.split(" ").map((country) => [country, Number(length)] as const))
)

const lengthMax = 33
// In groups of four, with a sign between two.
const writtenMax = lengthMax + 8

const head = /(?<![0-9A-Za-z])[A-Za-z]{2}[0-9]{2}/g

/** Whether a part of a text lies in an IBAN: a country, the length of its accounts, and the right check digits. */
export const isInIban = (text: string, start: number, end: number): boolean => {
  const from = Math.max(0, start - writtenMax)
  // Which place a head has in its word is seen from the character before it.
  const around = text.slice(Math.max(0, from - 1), end + writtenMax)
  const offset = Math.max(0, from - 1)
  for (const { 0: first, index } of around.matchAll(head)) {
    if (offset + index >= end) return false
    const length = lengths.get(first.slice(0, 2).toUpperCase())
    const written = length === undefined ? 0 : writtenLength(around, index, length)
    if (offset + index + written > start) return true
  }
  return false
}

/** How much of a text from here is an IBAN of this length, at most one sign between two characters; 0 if none is. */
const writtenLength = (text: string, start: number, length: number): number => {
  let account = ""
  let at = start
  for (; account.length < length; at++) {
    const code = text.charCodeAt(at)
    if (isAlphanumeric(code)) account += text.charAt(at)
    else if (!isSeparator(code) || !isAlphanumeric(text.charCodeAt(at - 1))) return 0
  }
  return !isAlphanumeric(text.charCodeAt(at)) && isValid(account) ? at - start : 0
}

const isAlphanumeric = (code: number): boolean =>
  (code >= 48 && code <= 57) || (code >= 65 && code <= 90) || (code >= 97 && code <= 122)

/** ISO 7064 MOD 97-10: the account before country and check digits, letters as numbers from 10, leaves 1. */
const isValid = (account: string): boolean => {
  let rest = 0
  for (const character of account.slice(4) + account.slice(0, 4)) {
    const value = parseInt(character, 36)
    rest = (rest * (value < 10 ? 10 : 100) + value) % 97
  }
  return rest === 1
}
