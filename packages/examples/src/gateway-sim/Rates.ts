/**
 * Exchange rates, for programs that only read. They are made up and never change.
 */
import { type Answer, failure } from "./Wire.ts"

const perEuro: ReadonlyMap<string, bigint> = new Map([
  ["EUR", 1_000_000n],
  ["CHF", 940_000n],
  ["GBP", 850_000n],
  ["JPY", 160_000_000n],
  ["USD", 1_080_000n]
])

const digits = 6

/** What one unit of `base` is worth, as decimal strings. */
export const ratesOf = (base: string): Answer => {
  const unit = perEuro.get(base)
  if (unit === undefined) return failure(404, "not_found", "unknown_currency", { field: "base" })
  const rates = [...perEuro].map(([currency, rate]) => [currency, toDecimal(rate * 10n ** BigInt(digits) / unit)])
  return { status: 200, body: { base, rates: Object.fromEntries(rates) } }
}

const toDecimal = (scaled: bigint): string => {
  const text = String(scaled).padStart(digits + 1, "0")
  return `${text.slice(0, -digits)}.${text.slice(-digits)}`
}
