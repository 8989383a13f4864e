/** How two records of one id differ, and which of several copies belong together. Nothing here looks beyond one id. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Money from "../../Money.ts"
import type { Policy, TransactionRecord } from "../../Reconciliation.ts"

/** A policy with its defaults filled in. */
export interface Rules {
  readonly tolerance: Tolerances
  readonly feeTolerance: Tolerances
  readonly windowMillis: number
  readonly aliases: ReadonlyMap<string, string>
}

type Tolerances = NonNullable<Policy["tolerance"]>

export const makeRules = (policy: Policy): Rules => ({
  tolerance: policy.tolerance ?? {},
  feeTolerance: policy.feeTolerance ?? {},
  windowMillis: Duration.toMillis(Duration.abs(Duration.fromInputUnsafe(policy.window ?? "24 hours"))),
  aliases: resolve(new Map(Object.entries(policy.statusAliases ?? {})))
})

/** Each word with what it stands for in the end. Of words that stand for each other it is the first by text. */
const resolve = (aliases: ReadonlyMap<string, string>): ReadonlyMap<string, string> =>
  new Map(Array.from(aliases.keys(), (word) => [word, endOf(aliases, word)]))

const endOf = (aliases: ReadonlyMap<string, string>, word: string): string => {
  const seen: Array<string> = []
  let next: string | undefined = word
  let at = word
  while (next !== undefined) {
    at = next
    const again = seen.indexOf(at)
    if (again !== -1) return seen.slice(again).sort(byText)[0] ?? at
    seen.push(at)
    next = aliases.get(at)
  }
  return at
}

/** Differences as bits: the greater the number, the worse the pair, whatever else differs. */
export const Difference = { date: 1, fee: 2, status: 4, amount: 8, currency: 16 } as const

/** The differences of two records. Amounts and fees are compared only within one currency. */
export const compare = (internal: TransactionRecord, gateway: TransactionRecord, rules: Rules): number => {
  const sameCurrency = internal.money.currency === gateway.money.currency
  return (sameCurrency ? 0 : Difference.currency)
    | (!sameCurrency || isWithin(internal.money, gateway.money, rules.tolerance) ? 0 : Difference.amount)
    | (isSameStatus(internal, gateway, rules) ? 0 : Difference.status)
    | (!sameCurrency || isSameFee(internal.fee, gateway.fee, rules) ? 0 : Difference.fee)
    | (Math.abs(driftMillis(internal, gateway)) <= rules.windowMillis ? 0 : Difference.date)
}

/** How much later the gateway has it, in milliseconds. */
export const driftMillis = (internal: TransactionRecord, gateway: TransactionRecord): number =>
  DateTime.toEpochMillis(gateway.occurredAt) - DateTime.toEpochMillis(internal.occurredAt)

/** Both are in one currency, which the caller has looked at. */
const isWithin = (internal: Money.Money, gateway: Money.Money, tolerances: Tolerances): boolean => {
  const a = internal as Money.Money<"USD">
  const b = gateway as Money.Money<"USD">
  if (Money.compare(a, b) === 0) return true
  const tolerance = tolerances[internal.currency] as Money.Money<"USD"> | undefined
  return tolerance !== undefined && Money.compare(Money.abs(Money.subtract(a, b)), Money.abs(tolerance)) <= 0
}

/** A side that states no fee says nothing about it. */
const isSameFee = (internal: Money.Money | undefined, gateway: Money.Money | undefined, rules: Rules): boolean =>
  internal === undefined || gateway === undefined ||
  (internal.currency === gateway.currency && isWithin(internal, gateway, rules.feeTolerance))

/** Whether both say that it is a charge or a refund, as far as they say it, and where it stands. */
const isSameStatus = (internal: TransactionRecord, gateway: TransactionRecord, rules: Rules): boolean =>
  (internal.status === gateway.status ||
    common(internal.status, rules) === common(gateway.status, rules)) &&
  (internal.kind === undefined || gateway.kind === undefined || internal.kind === gateway.kind)

const common = (status: string, { aliases }: Rules): string => aliases.get(status) ?? status

/** A total order by content, so that what is made of several copies does not depend on how they came in. */
export const byContent = (a: TransactionRecord, b: TransactionRecord): number =>
  byText(a.money.currency, b.money.currency) ||
  Money.compare(a.money as Money.Money<"USD">, b.money as Money.Money<"USD">) ||
  DateTime.toEpochMillis(a.occurredAt) - DateTime.toEpochMillis(b.occurredAt) ||
  byText(a.status, b.status) ||
  byText(feeText(a), feeText(b)) ||
  byText(a.kind ?? "", b.kind ?? "") ||
  byText(a.parent ?? "", b.parent ?? "")

export const byText = (a: string, b: string): number => a === b ? 0 : a < b ? -1 : 1

const feeText = ({ fee }: TransactionRecord): string => fee === undefined ? "" : Money.format(fee)

/** How many different copies a side are tried for the best pair: with more, only the first by content. */
const copiesMax = 64

/** The two copies that differ least; the earlier ones by content where several do. Both sides are sorted by content. */
export const closest = (
  internals: ReadonlyArray<TransactionRecord>,
  gateways: ReadonlyArray<TransactionRecord>,
  rules: Rules
): readonly [internal: number, gateway: number] => {
  const others = different(gateways)
  let best: readonly [number, number] = [0, 0]
  let least = Number.POSITIVE_INFINITY
  for (const [i, internal] of different(internals)) {
    for (const [j, gateway] of others) {
      const differences = compare(internal, gateway, rules)
      if (differences < least) {
        least = differences
        best = [i, j]
      }
    }
  }
  return best
}

const different = (sorted: ReadonlyArray<TransactionRecord>): ReadonlyArray<readonly [number, TransactionRecord]> => {
  const found: Array<readonly [number, TransactionRecord]> = []
  for (const [index, record] of sorted.entries()) {
    const last = found.at(-1)
    if (last === undefined || byContent(last[1], record) !== 0) found.push([index, record])
    if (found.length === copiesMax) break
  }
  return found
}
