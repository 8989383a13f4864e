/** What is called for a key, drawn by chance: its payloads, its callers, and what the gateway does with it. */
import { type Chance, pick } from "./chance.ts"
import type { Call } from "./wire.ts"

export interface Caller extends Omit<Call, "id"> {
  /** After so long it calls for the first time. */
  readonly afterMillis: number
}

export interface Order {
  readonly key: string
  /** At once, or nearly so, and from several processes. */
  readonly callers: ReadonlyArray<Caller>
  /** When all of them have their answers. */
  readonly late: ReadonlyArray<Caller>
}

const tokens = [
  "tok_declined",
  "tok_insufficient",
  "tok_visa",
  "tok_visa",
  "tok_visa",
  "tok_visa",
  "tok_visa",
  "tok_visa",
  "tok_visa",
  "tok_visa"
] as const

/** For its first requests; later ones meet what the gateway does to any. Half of them are charged though nobody is told. */
const plans = [
  "",
  "",
  "",
  "",
  "",
  "none",
  "delay=80",
  "lost-reply",
  "lost-reply;times=3",
  "reset-reply",
  "hang-after",
  "hang-before",
  "delay=500",
  "late=150",
  "fail-before",
  "fail-before;times=2, lost-reply",
  "drop-before",
  "fail-after",
  "unavailable-after",
  "garbage",
  "fault-500-after",
  "fault-500-before"
] as const

const callersMax = 4

/** Two amounts for each key: every payload has one of its own. */
const amountOf = (index: number) => 1000 + 2 * index

export const orderOf = (index: number, chance: Chance): Order => {
  const key = `key-${index}`
  const token = pick(chance, tokens)
  const plan = pick(chance, plans)
  const isAtOnce = chance(2) === 0
  const caller = (isRival: boolean): Caller => ({
    key,
    amountMinor: amountOf(index) + (isRival ? 1 : 0),
    token,
    plan,
    duplicates: chance(2) === 0 ? "await" : "reject",
    afterMillis: isAtOnce ? 0 : chance(150)
  })
  const same = Array.from({ length: 1 + chance(callersMax) }, () => caller(false))
  const rivals = chance(100) < 20 ? [caller(true)] : []
  return {
    key,
    callers: chance(2) === 0 ? [...rivals, ...same] : [...same, ...rivals],
    late: chance(100) < 20 ? [caller(false)] : chance(100) < 5 ? [caller(true)] : []
  }
}
