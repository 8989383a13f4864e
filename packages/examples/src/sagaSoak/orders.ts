/** What is ordered, drawn by chance: through which saga, what refuses it, what is lost on the way, and who calls. */
import { type Chance, pick } from "../soak/chance.ts"
import type { Fault, Plan } from "./Services.ts"
import type { Order } from "./wire.ts"

export interface Drawn {
  readonly order: Order
  readonly services: Plan
  /** What can stop it for good, by its order: an undo that is never possible, a delivery behind the pivot that nobody makes. */
  readonly mayStick: "reserve" | "ship" | undefined
  readonly callers: ReadonlyArray<Caller>
}

export interface Caller {
  readonly does: "execute" | "start" | "cancel"
  /** After so long it calls for the first time. */
  readonly afterMillis: number
}

/** For the first requests of a phase. Half of them are carried out though nobody is told. */
const plans = [
  "",
  "",
  "",
  "",
  "",
  "",
  "",
  "",
  "",
  "",
  "",
  "",
  "delay=80",
  "late=120",
  "lost-reply",
  "lost-reply;times=2",
  "reset-reply",
  "hang-after",
  "hang-before",
  "fail-before",
  "drop-before",
  "fail-after",
  "unavailable-after",
  "garbage",
  "fault-500-before",
  "lost-reply;times=2, fault-500-after;times=30"
] as const

const faults: readonly [Fault, ...ReadonlyArray<Fault>] = ["unavailable", "drop", "lose", "hang", "late"]

/** What refuses a saga, out of a hundred. What is above goes well, unless it is cancelled. */
const fates = [
  { below: 6, is: "no stock" },
  { below: 13, is: "declined" },
  { below: 20, is: "not captured" },
  { below: 34, is: "not delivered" },
  { below: 36, is: "never released" }
] as const

export const orderOf = (index: number, chance: Chance): Drawn => {
  const kind = chance(2) === 0 ? "sale" : "order"
  const roll = chance(100)
  const drawn = fates.find(({ below }) => roll < below)?.is
  // A sale whose delivery is refused is stuck: few of these.
  const fate = drawn === "not delivered" && kind === "sale" && chance(8) > 0 ? "declined" : drawn
  const planned = (): string => pick(chance, plans)
  const faulty = (): ReadonlyArray<Fault> => chance(100) < 12 ? [pick(chance, faults)] : []
  const delivery: ReadonlyArray<Fault> = fate === "not delivered" ? ["refuse"] : faulty()
  return {
    order: {
      orderId: `order-${index}`,
      kind,
      amountMinor: 1000 + index,
      token: tokenOf(fate),
      plans: { authorize: planned(), capture: planned(), void: planned(), refund: planned() }
    },
    services: {
      reserve: fate === "no stock" ? ["refuse"] : faulty(),
      release: fate === "never released" ? ["break"] : faulty(),
      ship: delivery,
      receipt: faulty(),
      parcel: faulty()
    },
    mayStick: fate === "never released" ? "reserve" : fate === "not delivered" && kind === "sale" ? "ship" : undefined,
    callers: callersOf(chance)
  }
}

const tokenOf = (fate: typeof fates[number]["is"] | undefined): string => {
  switch (fate) {
    case "declined":
    case "never released":
      return "tok_declined"
    case "not captured":
      return "tok_hold_lapses"
    default:
      return "tok_visa"
  }
}

const callersOf = (chance: Chance): ReadonlyArray<Caller> => [
  // Who only starts it leaves: whatever becomes of it, nobody asks again.
  { does: chance(100) < 30 ? "start" : "execute", afterMillis: 0 },
  ...chance(100) < 15 ? [{ does: "execute" as const, afterMillis: chance(100) }] : [],
  ...chance(100) < 12 ? [{ does: "cancel" as const, afterMillis: chance(400) }] : []
]
