// What is demanded of idempotency, each demand written once and put to each contender. The ledger and the answers decide.
import { setTimeout } from "node:timers/promises"
import type { Row, Verdict } from "../table.ts"
import { type Answer, type Call, type Caller, TimedOut } from "./contender.ts"
import type { Gateway } from "./gateway.ts"
import type { Network } from "./network.ts"
import type { Process } from "./process.ts"
import type { Server } from "./server.ts"
import type { Role } from "./worker.ts"

/** Where a scenario plays: a contender, its store, the gateway, and a key that nobody has used. */
export interface Stage {
  readonly key: string
  readonly server: Server
  readonly gateway: Gateway
  /** Two processes that nothing befalls, as far as stores and locks go. */
  readonly one: Caller
  readonly other: Caller
  /** One more; closed with the stage. */
  readonly open: (url?: string) => Promise<Caller>
  /** One whose connection to the store loses replies. */
  readonly network: () => Promise<Network>
  /** A real process, killed with the stage. */
  readonly start: (role: Role, call: Omit<Call, "work">, options?: { readonly isAhead: boolean }) => Process
}

export interface Scenario extends Omit<Row, "verdicts"> {
  readonly run: (stage: Stage) => Promise<Verdict>
}

// --- words

const payload = { amount: 1000, currency: "EUR" }

/** No lease of this length lapses here. */
const longMillis = 60_000
const patienceMillis = 20_000

const callOf = ({ key }: Stage, given: Partial<Call> = {}) => ({
  operation: "charge",
  key,
  payload,
  leaseMillis: longMillis,
  ...given
})

/** The work of most calls: one charge. */
const charging = ({ gateway, key }: Stage, operation = "charge") => () => gateway.charge(operation, key, "here")

const chargeWith = (stage: Stage, caller: Caller, given: Partial<Call> = {}) =>
  caller.call({ work: charging(stage, given.operation), ...callOf(stage, given) })

const isOpen = ({ _tag }: Answer): boolean => _tag === "InFlight" || _tag === "Failed"

/** Asks as a client does, with the same key, for as long as it is told that it is under way or not known. */
const ask = async (stage: Stage, caller: Caller, given: Partial<Call> = {}): Promise<Answer> => {
  const until = performance.now() + patienceMillis
  for (;;) {
    const answer = await chargeWith(stage, caller, given)
    if (!isOpen(answer) || performance.now() > until) return answer
    await setTimeout(100)
  }
}

const gate = () => Promise.withResolvers<void>()

// --- verdicts

type Check = readonly [isMet: boolean, otherwise: string]

const verdict = (...checks: ReadonlyArray<Check>): Verdict => {
  const unmet = checks.flatMap(([isMet, otherwise]) => isMet ? [] : [otherwise])
  return { holds: unmet.length === 0, seen: unmet.join(", ") }
}

const oneCharge = async ({ gateway, key }: Stage, operation = "charge"): Promise<Check> => {
  const charges = await gateway.charges(operation, key)
  return [charges === 1, charges === 0 ? "no charge" : `${charges} charges`]
}

const told: Record<Answer["_tag"], string> = {
  Answered: "an answer",
  Declined: "a decline",
  Defect: "a defect",
  Failed: "an error of the store",
  InFlight: "that it is in flight",
  KeyMissing: "that the key is missing",
  NotSent: "that nothing was sent",
  OtherPayload: "that the payload is another",
  TimedOut: "a timeout"
}

const isTold = (who: string, answer: Answer, ...tags: ReadonlyArray<Answer["_tag"]>): Check => [
  tags.includes(answer._tag),
  `${who} is told ${told[answer._tag]}`
]

const isSame = (first: Answer, second: Answer): boolean =>
  first._tag === "Answered" && second._tag === "Answered"
    ? first.charge.id === second.charge.id
    : first._tag === second._tag

// --- the demands

export const scenarios: ReadonlyArray<Scenario> = [
  {
    name: "two calls at once",
    demand:
      "Two processes call at once with one key: one charge, and nobody is told anything but its answer or to wait",
    loss: "the payer pays twice for a double click.",
    run: async (stage) => {
      const both = gate()
      let entered = 0
      const call = async (caller: Caller) => {
        const answer = await chargeWith(stage, caller, {
          work: async () => {
            if (++entered === 2) both.resolve()
            await both.promise
            return charging(stage)()
          }
        })
        both.resolve()
        return answer
      }
      const answers = await Promise.all([call(stage.one), call(stage.other)])
      return verdict(
        await oneCharge(stage),
        ...answers.map((answer) => isTold("a caller", answer, "Answered", "InFlight"))
      )
    }
  },
  {
    name: "replay",
    demand: "The answer of a completed key is replayed to the same call",
    loss: "a client that lost the answer is never told it, and cannot say whether the payer has paid.",
    run: async (stage) => {
      const first = await chargeWith(stage, stage.one)
      const second = await chargeWith(stage, stage.other)
      return verdict(
        await oneCharge(stage),
        isTold("the second call", second, "Answered"),
        [second._tag !== "Answered" || isSame(first, second), "another answer"]
      )
    }
  },
  {
    name: "a timeout",
    demand: "The gateway charges and its answer times out: the retry charges nothing",
    loss: "the payer pays twice whenever an answer of the gateway is lost.",
    run: async (stage) => {
      await chargeWith(stage, stage.one, {
        work: async () => {
          await charging(stage)()
          throw new TimedOut()
        }
      })
      await ask(stage, stage.other)
      return verdict(await oneCharge(stage))
    }
  }
]
