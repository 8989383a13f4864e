/**
 * Drivers read 64-bit integers as number, bigint or string.
 *
 * @internal
 */

/** @internal NaN when it is none. */
export const integer = (value: unknown): number => {
  if (typeof value === "number") return Number.isSafeInteger(value) ? value : Number.NaN
  if (typeof value !== "bigint" && (typeof value !== "string" || !/^-?\d{1,16}$/.test(value))) return Number.NaN
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : Number.NaN
}
