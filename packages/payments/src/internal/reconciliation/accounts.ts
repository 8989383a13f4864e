/**
 * Counts and sums per side and currency. What was read is added up where it comes in, what was matched and reported where
 * it goes out, so that the two can be held against each other.
 */
import * as Money from "../../Money.ts"
import type { Account, Side, Tally } from "../../Reconciliation.ts"
import { byText } from "./compare.ts"

type State = "read" | "matched" | "reported"

interface Sum {
  records: number
  sum: Money.Money
}

/** The sums of one side by currency. */
type Currencies = Map<Money.Currency, { readonly [S in State]: Sum }>

export type Ledger = { readonly [S in Side]: Currencies }

export const make = (): Ledger => ({ internal: new Map(), gateway: new Map() })

export const add = (ledger: Ledger, side: Side, state: State, money: Money.Money): void => {
  let sums = ledger[side].get(money.currency)
  if (sums === undefined) {
    sums = { read: none(money.currency), matched: none(money.currency), reported: none(money.currency) }
    ledger[side].set(money.currency, sums)
  }
  const one = sums[state]
  one.records++
  one.sum = plus(one.sum, money)
}

const none = (currency: Money.Currency): Sum => ({ records: 0, sum: Money.zero(currency) })

/** Both are in one currency, which the caller vouches for. */
const plus = (a: Money.Money, b: Money.Money): Money.Money =>
  Money.add(a as Money.Money<"USD">, b as Money.Money<"USD">) as Money.Money

export const list = (ledger: Ledger): ReadonlyArray<Account> => [
  ...listSide("internal", ledger.internal),
  ...listSide("gateway", ledger.gateway)
]

const listSide = (side: Side, currencies: Currencies): ReadonlyArray<Account> =>
  Array.from(currencies, ([currency, sums]) => ({ side, currency, ...sums })).sort((a, b) =>
    byText(a.currency, b.currency)
  )

export const isBalanced = ({ matched, read, reported }: Account): boolean => {
  const out: Tally = {
    records: matched.records + reported.records,
    sum: plus(matched.sum, reported.sum)
  }
  return read.records === out.records && Money.Equivalence(read.sum, out.sum)
}
