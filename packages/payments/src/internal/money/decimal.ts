/**
 * Plain decimal text and integers, without floating point. Every function is bounded by its caller: texts by
 * `textLengthMax`, scales by `scaleMax`. Nothing here is public.
 */
import type { Fault } from "../../MoneyError.ts"
import type { Rounding } from "../../Ratio.ts"

/** Longest text of an amount, in UTF-16 units: 34 digits, sign, point and some air. */
export const textLengthMax = 40
/** Most digits of an amount or of one side of a ratio, as in IEEE 754 decimal128. */
export const digitsMax = 34
/** Greatest scale, positive or negative, of a decimal made elsewhere. */
export const scaleMax = 34
/** Greatest exponent of a minor unit that a gateway may state. */
export const exponentMax = 12

const limit = 10n ** BigInt(digitsMax)
const powers = Array.from({ length: 4 * digitsMax }, (_, exponent) => 10n ** BigInt(exponent))

/** 10 to the power of an exponent that the caller has bounded. */
export const power = (exponent: number): bigint => powers[exponent] ?? 10n ** BigInt(exponent)

export const isInRange = (n: bigint): boolean => n < limit && n > -limit

const minus = 45
const point = 46
const zero = 48
const nine = 57

/** Where the point stands (the length where there is none), or -1 for what is no plain decimal number. */
const pointOf = (text: string): number => {
  const length = text.length
  const start = text.charCodeAt(0) === minus ? 1 : 0
  let found = length
  for (let i = start; i < length; i++) {
    const code = text.charCodeAt(i)
    if (code === point && found === length) found = i
    else if (code < zero || code > nine) return -1
  }
  const leadingZero = text.charCodeAt(start) === zero && found > start + 1
  return leadingZero || found === start || found === length - 1 ? -1 : found
}

/** A number, or why it is none. */
export type Read = bigint | Fault | "TooLong" | "OutOfRange" | "TooManyFractionDigits"

/** Reads a text as an integer of units that are 10^-digits: "10.5" at 2 digits is 1050n. */
export const readScaled = (text: string, digits: number): Read => {
  const length = text.length
  if (length > textLengthMax) return "TooLong"
  const at = pointOf(text)
  if (at === -1) return faultOf(text)
  const fraction = at === length ? 0 : length - at - 1
  if (fraction > digits) return "TooManyFractionDigits"
  const value = BigInt(fraction === 0 ? text : text.slice(0, at) + text.slice(at + 1))
  const scaled = fraction === digits ? value : value * power(digits - fraction)
  return isInRange(scaled) ? scaled : "OutOfRange"
}

/** Reads a text as value and scale, whatever its number of fraction digits. */
export const readDecimal = (
  text: string
): { readonly value: bigint; readonly scale: number } | Exclude<Read, bigint> => {
  const at = text.lastIndexOf(".", textLengthMax)
  const scale = text.length > textLengthMax || at === -1 ? 0 : text.length - at - 1
  const value = readScaled(text, scale)
  return typeof value === "bigint" ? { value, scale } : value
}

const faultOf = (text: string): Fault => {
  if (text === "") return "Empty"
  if (/[\s\u200b\u2060\ufeff]/.test(text)) return "Whitespace"
  if (/[^0-9\P{Nd}]/u.test(text)) return "NonAsciiDigit"
  if (text.startsWith("+")) return "LeadingPlus"
  if (/^-?0[xob]/i.test(text)) return "RadixPrefix"
  if (/^-?(nan|inf)/i.test(text)) return "NotANumber"
  if (/^-?[0-9.]+e/i.test(text)) return "Exponent"
  if (/^-?[0-9][0-9.,'_]*$/.test(text) && /[,'_]|\..*\./.test(text)) return "Grouping"
  if (/^-?0[0-9]+(\.[0-9]+)?$/.test(text)) return "LeadingZero"
  return /^-?(\.[0-9]*|[0-9]+\.)$/.test(text) ? "BareDecimalPoint" : "UnexpectedCharacter"
}

/** The value in units of 10^-digits, or undefined where that is not exact. */
export const rescale = (value: bigint, scale: number, digits: number): bigint | undefined => {
  if (scale === digits) return value
  if (scale < digits) return value * power(digits - scale)
  const unit = power(scale - digits)
  return value % unit === 0n ? value / unit : undefined
}

/** Plain text with exactly `digits` digits after the point. */
export const toText = (scaled: bigint, digits: number): string => {
  if (digits === 0) return scaled.toString()
  const negative = scaled < 0n
  const text = (negative ? -scaled : scaled).toString().padStart(digits + 1, "0")
  const at = text.length - digits
  return `${negative ? "-" : ""}${text.slice(0, at)}.${text.slice(at)}`
}

/** Divides by a positive denominator and rounds to an integer. */
export const divide = (numerator: bigint, denominator: bigint, rounding: Rounding): bigint => {
  const quotient = numerator / denominator
  const remainder = numerator - quotient * denominator
  return remainder === 0n ? quotient : quotient + adjustment(quotient, remainder, denominator, rounding)
}

/** What to add to a quotient that was cut towards zero: 0n, 1n or -1n. */
const adjustment = (quotient: bigint, remainder: bigint, denominator: bigint, rounding: Rounding): bigint => {
  const away = remainder < 0n ? -1n : 1n
  const twice = 2n * remainder * away
  const nearest = twice === denominator ? undefined : twice > denominator ? away : 0n
  switch (rounding) {
    case "to-zero":
      return 0n
    case "from-zero":
      return away
    case "ceil":
      return away === 1n ? 1n : 0n
    case "floor":
      return away === 1n ? 0n : -1n
    case "half-to-zero":
      return nearest ?? 0n
    case "half-from-zero":
      return nearest ?? away
    case "half-ceil":
      return nearest ?? (away === 1n ? 1n : 0n)
    case "half-floor":
      return nearest ?? (away === 1n ? 0n : -1n)
    case "half-even":
      return nearest ?? (quotient % 2n === 0n ? 0n : away)
    case "half-odd":
      return nearest ?? (quotient % 2n === 0n ? away : 0n)
  }
}

/** Splits a total by non-negative weights, not all zero, by largest remainder; ties go to the earlier part. */
export const allocate = (total: bigint, weights: ReadonlyArray<bigint>, weightSum: bigint): Array<bigint> => {
  const sign = total < 0n ? -1n : 1n
  const magnitude = total * sign
  const parts: Array<bigint> = []
  const remainders: Array<bigint> = []
  let left = magnitude
  for (const weight of weights) {
    const product = magnitude * weight
    const part = product / weightSum
    parts.push(part * sign)
    remainders.push(product - part * weightSum)
    left -= part
  }
  if (left === 0n) return parts
  const byRemainder = Array.from(weights.keys())
  byRemainder.sort((a, b) => compare(remainders[b]!, remainders[a]!) || a - b)
  for (const index of byRemainder.slice(0, Number(left))) parts[index]! += sign
  return parts
}

/** -1, 0 or 1. */
export const compare = (self: bigint, that: bigint): -1 | 0 | 1 => self === that ? 0 : self < that ? -1 : 1
