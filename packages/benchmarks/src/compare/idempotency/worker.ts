// A process of its own that makes one call for the one that started it, and comes to harm on the way.
import { type Answer, type Call, type Charge, NotSent } from "./contender.ts"
import { type Contending, load } from "./contenders.ts"
import * as Gateway from "./gateway.ts"

/** What it does in its call. It says `here` where it hangs or is frozen. */
export type Role =
  | "charge"
  | "hang"
  | "chargeAndHang"
  | "chargeAndFreeze"
  /** Frozen between its last look at anything and the charge. */
  | "freezeAndCharge"
  /** Frozen, and on waking it turns out that nothing can be sent. */
  | "freezeAndFail"

export interface Job {
  readonly contender: Contending
  readonly url: string
  readonly ledgerUrl: string
  readonly ledger: string
  readonly role: Role
  readonly call: Omit<Call, "work">
}

export type Message = { readonly _tag: "Here" } | { readonly _tag: "Told"; readonly answer: Answer }

const say = (message: Message) => new Promise<void>((resolve) => process.send?.(message, () => resolve()))

const hang = () => new Promise<never>(() => setInterval(() => undefined, 1 << 30))

/** Stands still, and goes on with the next statement when it is woken. */
const freeze = () => void process.kill(process.pid, "SIGSTOP")

const roles: Record<Role, (charge: () => Promise<Charge>) => Promise<Charge>> = {
  charge: (charge) => charge(),
  hang: async () => {
    await say({ _tag: "Here" })
    return hang()
  },
  chargeAndHang: async (charge) => {
    await charge()
    await say({ _tag: "Here" })
    return hang()
  },
  chargeAndFreeze: async (charge) => {
    const charged = await charge()
    await say({ _tag: "Here" })
    freeze()
    return charged
  },
  freezeAndCharge: async (charge) => {
    await say({ _tag: "Here" })
    freeze()
    return charge()
  },
  freezeAndFail: async () => {
    await say({ _tag: "Here" })
    freeze()
    throw new NotSent()
  }
}

const run = async ({ call, contender, ledger, ledgerUrl, role, url }: Job) => {
  const { open } = await load(contender)
  const gateway = await Gateway.connect(ledgerUrl, ledger)
  const caller = await open({ url, find: gateway.find })
  const charge = () => gateway.charge(call.operation, call.key ?? "", role)
  await say({ _tag: "Told", answer: await caller.call({ ...call, work: () => roles[role](charge) }) })
  await caller.close()
  await gateway.close()
  process.disconnect()
}

// It has nobody to work for any more.
process.once("disconnect", () => process.exit())
process.once("message", (job: Job) => void run(job))
