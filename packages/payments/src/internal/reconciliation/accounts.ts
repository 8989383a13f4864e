/**
 * Counts and sums per side and currency. What was read is added up where it comes in, what was matched and reported where
 * it goes out, so that the two can be held against each other.
 */
import * as Currency from "../../Currency.ts"
import * as Money from "../../Money.ts"
import type { Account, Side, Tally } from "../../Reconciliation.ts"
import { byText } from "./compare.ts"

type State = "read" | "matched" | "reported"

/** A sum in units of 10^-scale: `small` while it is exact as a number, the rest in `large`. */
interface Sum {
  records: number
  readonly scale: number
  small: number
  large: bigint
  /** Amounts at another scale, as only those made by hand have. */
  odd: Money.Money | undefined
}

interface Sums {
  readonly read: Sum
  readonly matched: Sum
  readonly reported: Sum
}

/** The sums of one side by currency. */
type Currencies = Map<Money.Currency, Sums>

export type Ledger = { readonly [S in Side]: Currencies }

export const make = (): Ledger => ({ internal: new Map(), gateway: new Map() })

export const add = (ledger: Ledger, side: Side, state: State, money: Money.Money): void => {
  const known = ledger[side].get(money.currency)
  const sums = known ?? makeSums(money.currency)
  if (known === undefined) ledger[side].set(money.currency, sums)
  addTo(sums[state], money)
}

const makeSums = (currency: Money.Currency): Sums => {
  const make = (): Sum => ({ records: 0, scale: Currency.digits(currency), small: 0, large: 0n, odd: undefined })
  return { read: make(), matched: make(), reported: make() }
}

const addTo = (sum: Sum, money: Money.Money): void => {
  sum.records++
  const { scale, value } = money.amount
  if (scale !== sum.scale) {
    sum.odd = sum.odd === undefined ? money : plus(sum.odd, money)
    return
  }
  const small = sum.small + Number(value)
  // A number that is beyond the safe integers makes a sum that is, too, or one that cancels to an inexact one.
  if (value < safeMax && value > -safeMax && Number.isSafeInteger(small)) sum.small = small
  else {
    sum.large += BigInt(sum.small) + value
    sum.small = 0
  }
}

const safeMax = BigInt(Number.MAX_SAFE_INTEGER)

/** Both are in one currency, which the caller vouches for. */
const plus = (a: Money.Money, b: Money.Money): Money.Money =>
  Money.add(a as Money.Money<"USD">, b as Money.Money<"USD">) as Money.Money

export const list = (ledger: Ledger): ReadonlyArray<Account> => [
  ...listSide("internal", ledger.internal),
  ...listSide("gateway", ledger.gateway)
]

const listSide = (side: Side, currencies: Currencies): ReadonlyArray<Account> =>
  Array.from(currencies, ([currency, { matched, read, reported }]) => ({
    side,
    currency,
    read: toTally(currency, read),
    matched: toTally(currency, matched),
    reported: toTally(currency, reported)
  })).sort((a, b) => byText(a.currency, b.currency))

const toTally = (currency: Money.Currency, { large, odd, records, small }: Sum): Tally => {
  const sum = Money.fromMinorUnits(currency, large + BigInt(small))
  return { records, sum: odd === undefined ? sum : plus(sum, odd) }
}

export const isBalanced = ({ matched, read, reported }: Account): boolean => {
  const out: Tally = {
    records: matched.records + reported.records,
    sum: plus(matched.sum, reported.sum)
  }
  return read.records === out.records && Money.Equivalence(read.sum, out.sum)
}
