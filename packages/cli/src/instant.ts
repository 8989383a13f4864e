/**
 * Reads a point in time strictly: a date and a time of RFC 3339, with an offset as ISO 8601 has it too, or a date of ISO
 * 8601 alone, which is its midnight in UTC.
 * `Date.parse` would take much more, in the time zone of whoever runs it.
 *
 * @internal
 */

/**
 * Milliseconds since the epoch, or why it is no point in time. Digits below a millisecond are cut.
 *
 * @internal
 */
export const parse = (text: string): number | string => {
  const day = text.length >= 10 ? readDay(text) : Number.NaN
  if (Number.isNaN(day)) return "not a date such as 2026-01-31 or 2026-01-31T12:00:00Z"
  if (text.length === 10) return day
  if (text.length > 40) return "longer than 40 characters"
  const separator = text.charCodeAt(10)
  if (separator !== 84 && separator !== 116 && separator !== 32) return "a date that something other than T follows"
  return readTime(text, day)
}

/** Midnight of the date at the start, or NaN. */
const readDay = (text: string): number => {
  if (text.charCodeAt(4) !== 45 || text.charCodeAt(7) !== 45) return Number.NaN
  const year = digits(text, 0, 4)
  const month = digits(text, 5, 2)
  const day = digits(text, 8, 2)
  if (!(year >= 1900 && month >= 1 && month <= 12 && day >= 1)) return Number.NaN
  return day <= daysOf(year, month) ? Date.UTC(year, month - 1, day) : Number.NaN
}

const daysOf = (year: number, month: number): number =>
  month === 2
    ? (year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28)
    : month === 4 || month === 6 || month === 9 || month === 11
    ? 30
    : 31

/** `HH:MM[:SS[.fraction]]` and an offset, from position 11. */
const readTime = (text: string, day: number): number | string => {
  const hour = digits(text, 11, 2)
  const minute = digits(text, 14, 2)
  if (text.charCodeAt(13) !== 58 || !(hour < 24 && minute < 60)) return "not a time of the day such as 12:00:00"
  let at = 16
  let millis = 0
  if (text.charCodeAt(at) === 58) {
    const second = digits(text, at + 1, 2)
    if (!(second < 60)) return "not a time of the day such as 12:00:00"
    at += 3
    millis = second * 1000
    if (text.charCodeAt(at) === 46 || text.charCodeAt(at) === 44) {
      const fraction = at + 1
      at = fraction
      while (isDigit(text.charCodeAt(at))) at++
      if (at === fraction) return "not a time of the day such as 12:00:00"
      millis += Number(text.slice(fraction, Math.min(at, fraction + 3)).padEnd(3, "0"))
    }
  }
  const offset = readOffset(text, at)
  return typeof offset === "string" ? offset : day + (hour * 60 + minute - offset) * 60_000 + millis
}

/** Minutes east of Greenwich. */
const readOffset = (text: string, at: number): number | string => {
  if (at === text.length) return "no time zone: end it with Z or an offset such as +02:00"
  const sign = text.charCodeAt(at)
  if ((sign === 90 || sign === 122) && at + 1 === text.length) return 0
  const hours = digits(text, at + 1, 2)
  // As ISO 8601 has it: +02:00, +0200 or +02.
  const left = text.length - at
  const minutes = left === 3 ? 0 : digits(text, left === 5 ? at + 3 : at + 4, 2)
  const isSplit = left === 6 && text.charCodeAt(at + 3) === 58
  const isWhole = (isSplit || left === 5 || left === 3) && hours < 24 && minutes < 60
  if ((sign !== 43 && sign !== 45) || !isWhole) return "a time zone other than Z or an offset such as +02:00"
  return (sign === 43 ? 1 : -1) * (hours * 60 + minutes)
}

const isDigit = (code: number): boolean => code >= 48 && code <= 57

/** A number of so many digits, or NaN. */
const digits = (text: string, at: number, count: number): number => {
  let value = 0
  for (let i = at; i < at + count; i++) {
    const code = text.charCodeAt(i)
    if (!isDigit(code)) return Number.NaN
    value = value * 10 + code - 48
  }
  return value
}
