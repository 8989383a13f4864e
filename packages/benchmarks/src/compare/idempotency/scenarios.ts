// What is demanded of idempotency, each demand written once and put to each contender. The ledger and the answers decide.
import { setTimeout } from "node:timers/promises"
import { isDeepStrictEqual } from "node:util"
import type { Row, Verdict } from "../table.ts"
import { type Answer, type Call, type Caller, type Charge, Declined, NotSent, TimedOut } from "./contender.ts"
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
const otherPayload = { amount: 9900, currency: "EUR" }

/** No lease of this length lapses here. */
const longMillis = 60_000
/** One that is to lapse. */
const shortMillis = 1_500
const patienceMillis = 20_000

const callOf = ({ key }: Stage, given: Partial<Omit<Call, "work">> = {}): Omit<Call, "work"> => ({
  operation: "charge",
  key,
  payload,
  leaseMillis: longMillis,
  ...given
})

/** The work of most calls: one charge. */
const charging = ({ gateway, key }: Pick<Stage, "gateway" | "key">, operation = "charge") => () =>
  gateway.charge(operation, key, "here")

const chargeWith = (stage: Stage, caller: Caller, { work, ...given }: Partial<Call> = {}) =>
  caller.call({ ...callOf(stage, given), work: work ?? charging(stage, given.operation) })

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
  Answered: "gets an answer",
  Declined: "is told that it was declined",
  Defect: "gets a defect",
  Failed: "gets an error of the store",
  InFlight: "is told that it is in flight",
  KeyMissing: "is told that the key is missing",
  NotSent: "is told that nothing was sent",
  OtherPayload: "is told that the payload is another",
  TimedOut: "gets a timeout"
}

const isTold = (who: string, answer: Answer, ...tags: ReadonlyArray<Answer["_tag"]>): Check => [
  tags.includes(answer._tag),
  `${who} ${told[answer._tag]}`
]

const isSame = (first: Answer, second: Answer): boolean =>
  first._tag === "Answered" && second._tag === "Answered"
    ? first.charge.id === second.charge.id
    : first._tag === second._tag

/** Another operation. */
const refund = "refund"

// --- the demands

const calls: ReadonlyArray<Scenario> = [
  {
    name: "two calls at once",
    demand: "Two processes call at once: one charge, and each is told its answer or to wait",
    loss: "a double click is a double charge.",
    run: async (stage) => {
      const both = Promise.withResolvers<void>()
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
    name: "the replay",
    demand: "The same call comes again after the answer: it gets that answer",
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
    name: "a date in the answer",
    demand: "A replayed answer equals the first one, the date in it too",
    loss: "a replay has another type than the first answer, and the compiler does not say so: `at.getTime()` throws.",
    run: async (stage) => {
      const first = await chargeWith(stage, stage.one)
      const second = await chargeWith(stage, stage.other)
      return verdict(
        isTold("the second call", second, "Answered"),
        [
          second._tag !== "Answered" || isDeepStrictEqual(first, second),
          `the date is ${
            second._tag === "Answered" && (second.charge.at as unknown) instanceof Date ? "another" : "text"
          }`
        ]
      )
    }
  },
  {
    name: "another payload in flight",
    demand: "The key comes with another payload while the first call runs: it is refused as such",
    loss: "a client that reuses a key is told to wait for an answer that is not about its payment.",
    run: async (stage) => {
      const { inWork, leave, running } = await enter(stage, stage.one)
      await inWork
      const second = await chargeWith(stage, stage.other, { payload: otherPayload })
      leave()
      await running
      return verdict(await oneCharge(stage), isTold("it", second, "OtherPayload"))
    }
  },
  {
    name: "another payload afterwards",
    demand: "The key comes with another payload after the answer: it is refused as such",
    loss: "another payment is answered with the first one's receipt, and is never made.",
    run: async (stage) => {
      await chargeWith(stage, stage.one)
      const second = await chargeWith(stage, stage.other, { payload: otherPayload })
      return verdict(await oneCharge(stage), isTold("it", second, "OtherPayload"))
    }
  },
  {
    name: "two operations in turn",
    demand: "A charge and a refund with one key, in turn: each is made, and has its own answer",
    loss: "a refund is answered with the charge, and never made.",
    run: async (stage) => {
      const charge = await chargeWith(stage, stage.one)
      const refunded = await chargeWith(stage, stage.one, { operation: refund })
      return verdict(
        await oneCharge(stage),
        await oneRefund(stage),
        isOf("the charge", charge, "charge"),
        isOf("the refund", refunded, refund)
      )
    }
  },
  {
    name: "two operations at once",
    demand: "A charge and a refund with one key in one process, at the same time: each keeps its own answer",
    loss:
      "an answer is saved under the key of the other operation, unless each has a persistence layer of its own: a refund is answered with a charge, and is never made.",
    run: async (stage) => {
      const { inWork, leave, running } = await enter(stage, stage.one)
      await inWork
      await chargeWith(stage, stage.one, { operation: refund })
      leave()
      await running
      const charge = await chargeWith(stage, stage.other)
      const refunded = await chargeWith(stage, stage.other, { operation: refund })
      return verdict(
        await oneCharge(stage),
        await oneRefund(stage),
        isOf("the charge", charge, "charge"),
        isOf("the refund", refunded, refund)
      )
    }
  },
  {
    name: "no key",
    demand: "A call without a key is refused, and nothing runs",
    loss: "a client that forgets the key is charged at each try.",
    run: async (stage) => {
      const charges = counting(charging({ ...stage, key: "none" }))
      const answer = await chargeWith(stage, stage.one, { key: undefined, work: charges.work })
      return verdict([charges.count() === 0, "it runs"], isTold("it", answer, "KeyMissing"))
    }
  }
]

const ends: ReadonlyArray<Scenario> = [
  {
    name: "nothing was sent",
    demand: "The work fails before anything was sent: the retry runs at once, and charges once",
    loss: "a payment that could be made has to wait.",
    run: async (stage) => {
      await chargeWith(stage, stage.one, { work: () => Promise.reject(new NotSent()) })
      const second = await chargeWith(stage, stage.other)
      return verdict(await oneCharge(stage), isTold("the retry", second, "Answered"))
    }
  },
  {
    name: "a decline",
    demand: "The issuer declines: the retry gets the same refusal, and nothing is sent again",
    loss: "a payer who was told no, and has paid in another way, is charged by a late retry.",
    run: async (stage) => {
      await chargeWith(stage, stage.one, { work: () => Promise.reject(new Declined()) })
      const retry = counting(charging(stage))
      const second = await chargeWith(stage, stage.other, { work: retry.work })
      return verdict(
        [retry.count() === 0, "it is sent again, and charged"],
        [retry.count() > 0 || second._tag === "Declined", `the retry ${told[second._tag]}`]
      )
    }
  },
  {
    name: "a timeout",
    demand: "The gateway charges, and its answer times out: one charge after the retry",
    loss: "the payer pays twice for each answer of the gateway that is lost.",
    run: (stage) => failAndRetry(stage, new TimedOut())
  },
  {
    name: "a defect",
    demand: "The gateway charges, and the code that reads its answer throws: one charge after the retry",
    loss: "a mistake in the program becomes double charges.",
    run: (stage) => failAndRetry(stage, new TypeError("the answer was read wrongly"))
  },
  {
    name: "an answer that cannot be stored",
    demand: "The gateway charges, and its answer cannot be stored (a bigint in it): one charge after the retry",
    loss: "the payer pays twice for an answer that nobody has tried to store before.",
    run: async (stage) => {
      await chargeWith(stage, stage.one, {
        leaseMillis: shortMillis,
        work: async () => {
          const charge = await charging(stage)()
          return { ...charge, amount: BigInt(charge.amount) as never }
        }
      })
      await ask(stage, stage.other, { leaseMillis: shortMillis })
      return verdict(await oneCharge(stage))
    }
  }
]

const stores: ReadonlyArray<Scenario> = [
  {
    name: "the store is full at the claim",
    demand: "The store takes no writes when the call comes: nothing is charged",
    loss: "payments go on without any protection.",
    run: async (stage) => {
      const charges = counting(charging(stage))
      await stage.server.configure("maxmemory", "1")
      await chargeWith(stage, stage.one, { leaseMillis: shortMillis, work: charges.work })
      await stage.server.configure("maxmemory", "0")
      return verdict([charges.count() === 0, "it is charged"])
    }
  },
  {
    name: "the store is full at the save",
    demand: "The store takes no writes between the charge and the save: one charge after the retry",
    loss: "the payer pays twice when the store fails at the wrong moment.",
    run: async (stage) => {
      await chargeWith(stage, stage.one, {
        leaseMillis: shortMillis,
        work: async () => {
          const charge = await charging(stage)()
          await stage.server.configure("maxmemory", "1")
          return charge
        }
      })
      await stage.server.configure("maxmemory", "0")
      await ask(stage, stage.other, { leaseMillis: shortMillis })
      return verdict(await oneCharge(stage))
    }
  },
  {
    name: "the claim's reply is lost",
    demand: "The reply to the claim is lost: the call, or a retry right after it, is charged once and answered",
    loss: "the claim of a caller that never ran keeps everybody out until it lapses.",
    run: (stage) => loseReply(stage, 1)
  },
  {
    name: "the save's reply is lost",
    demand: "The reply to the save is lost: the call, or a retry right after it, is answered, with one charge",
    loss: "a payment that was made is not answered.",
    run: (stage) => loseReply(stage, 2)
  },
  {
    name: "the store comes back empty",
    demand: "The store has lost its records (a failover, a restart without a disk): one charge after the retry",
    loss:
      "a key that was charged is charged again. For money take Postgres, or a gateway that de-duplicates by the downstream key.",
    run: async (stage) => {
      await chargeWith(stage, stage.one)
      await stage.server.forget()
      await ask(stage, stage.other)
      return verdict(await oneCharge(stage))
    }
  },
  {
    name: "a store that drops records",
    demand: "A store that may drop records when memory is short (maxmemory-policy allkeys-lru) is refused at the start",
    loss: "records go unnoticed under load, and each key that comes again is charged again.",
    run: async (stage) => {
      await stage.server.configure("maxmemory-policy", "allkeys-lru")
      try {
        await chargeWith(stage, await stage.open())
      } catch {
        return verdict()
      } finally {
        await stage.server.configure("maxmemory-policy", "noeviction")
      }
      return verdict([false, "it starts, and charges"])
    }
  }
]

/** Scenarios of real processes, which wait for leases and for each other: they can play at the same time. */
export const together: ReadonlyArray<Scenario> = [
  {
    name: "killed before the charge",
    demand: "The process is killed (SIGKILL) before the charge: one charge after the retry",
    loss: "the payment is never made.",
    run: async (stage) => {
      const process = stage.start("hang", callOf(stage, { leaseMillis: shortMillis }))
      await process.here
      await process.kill()
      await ask(stage, stage.one)
      return verdict(await oneCharge(stage))
    }
  },
  {
    name: "killed after the charge",
    demand: "The process is killed (SIGKILL) between the charge and the save: one charge after the retry",
    loss: "the payer pays twice for each crash and each deployment at the wrong moment.",
    run: async (stage) => {
      const process = stage.start("chargeAndHang", callOf(stage, { leaseMillis: shortMillis }))
      await process.here
      await process.kill()
      await ask(stage, stage.one)
      return verdict(await oneCharge(stage))
    }
  },
  {
    name: "slow",
    demand: "The work takes longer than its lease, in a process that is alive: nobody takes over, one charge",
    loss:
      "a slow gateway is a double charge. In Lambda the function is ended when its time is up; elsewhere nothing ends it.",
    run: async (stage) => {
      const leaseMillis = 4 * shortMillis
      const { inWork, leave, running } = await enter(stage, stage.one, { leaseMillis })
      await inWork
      const until = performance.now() + 2 * leaseMillis
      let answer = await chargeWith(stage, stage.other)
      while (answer._tag === "InFlight" && performance.now() < until) {
        await setTimeout(100)
        answer = await chargeWith(stage, stage.other)
      }
      leave()
      await running
      return verdict(await oneCharge(stage), isTold("the other", answer, "InFlight"))
    }
  },
  {
    name: "frozen after the charge",
    demand: "An owner frozen (SIGSTOP) after the charge wakes when another has answered: that answer stays",
    loss:
      "the late save overwrites the answer that a client has had: the books name another charge than the client does.",
    run: async (stage) => {
      const process = stage.start("chargeAndFreeze", callOf(stage, { leaseMillis: shortMillis }))
      await process.here
      const first = await ask(stage, stage.one)
      process.wake()
      await process.ended
      const second = await chargeWith(stage, stage.other)
      return verdict(
        isTold("who comes later", second, "Answered"),
        [second._tag !== "Answered" || isDeepStrictEqual(first, second), "it is overwritten"]
      )
    }
  },
  {
    name: "frozen, then nothing sent",
    demand: "An owner frozen before it sent anything wakes when another has charged, and fails: still one charge",
    loss: "the late failure deletes the record of a charge that was made, and the next call charges again.",
    run: async (stage) => {
      const process = stage.start("freezeAndFail", callOf(stage, { leaseMillis: shortMillis }))
      await process.here
      await ask(stage, stage.one)
      process.wake()
      await process.ended
      await ask(stage, stage.other)
      return verdict(await oneCharge(stage))
    }
  },
  {
    name: "frozen right before the charge",
    demand: "An owner frozen right before it sends, for longer than lease and `settle`, then woken: one charge",
    loss:
      "what it sends on waking is a second charge. No lease can prevent it: send the downstream key to a gateway that de-duplicates.",
    run: async (stage) => {
      const process = stage.start("freezeAndCharge", callOf(stage, { leaseMillis: shortMillis }))
      await process.here
      await ask(stage, stage.one)
      process.wake()
      await process.ended
      return verdict(await oneCharge(stage))
    }
  },
  {
    name: "a clock that is ahead",
    demand: "A process whose clock is ten minutes ahead meets a claim that is held: it has to wait, one charge",
    loss: "one server with a wrong clock takes over claims that are held, and charges again.",
    run: async (stage) => {
      const { inWork, leave, running } = await enter(stage, stage.one)
      await inWork
      const answer = await stage.start("charge", callOf(stage), { isAhead: true }).told
      leave()
      await running
      return verdict(await oneCharge(stage), isTold("it", answer, "InFlight"))
    }
  }
]

/** What is done to a store here is done to all who use it. */
export const inTurn: ReadonlyArray<Scenario> = [...calls, ...ends, ...stores]

// --- what several have in common

/** A call that stays in its work, before the charge, until it is let go. */
const enter = async (stage: Stage, caller: Caller, given: Partial<Call> = {}) => {
  const entered = Promise.withResolvers<void>()
  const left = Promise.withResolvers<void>()
  const running = chargeWith(stage, caller, {
    work: async () => {
      entered.resolve()
      await left.promise
      return charging(stage)()
    },
    ...given
  })
  return { inWork: Promise.race([entered.promise, running]), leave: () => left.resolve(), running }
}

const counting = (work: () => Promise<Charge>) => {
  let count = 0
  return {
    count: () => count,
    work: () => {
      count++
      return work()
    }
  }
}

const failAndRetry = async (stage: Stage, error: Error): Promise<Verdict> => {
  await chargeWith(stage, stage.one, {
    work: async () => {
      await charging(stage)()
      throw error
    }
  })
  await ask(stage, stage.other)
  return verdict(await oneCharge(stage))
}

/** A first call takes two requests: the claim and the save. */
const loseReply = async (stage: Stage, nth: number): Promise<Verdict> => {
  const network = await stage.network()
  const caller = await stage.open(network.url)
  // What is sent once has been sent: scripts, and what opens a connection.
  await chargeWith({ ...stage, key: `${stage.key}-before` }, caller)
  await network.loseReply(nth)
  const first = await chargeWith(stage, caller)
  if (await network.lost() === 0) throw new Error("no reply was lost")
  const answer = isOpen(first) ? await chargeWith(stage, stage.other) : first
  return verdict(await oneCharge(stage), isTold("the retry", answer, "Answered"))
}

const oneRefund = async (stage: Stage): Promise<Check> => {
  const refunds = await stage.gateway.charges(refund, stage.key)
  return [refunds === 1, `${refunds} refunds`]
}

const isOf = (who: string, answer: Answer, operation: string): Check =>
  answer._tag === "Answered"
    ? [answer.charge.id.startsWith(operation), `${who} gets another operation's answer`]
    : isTold(who, answer, "Answered")
