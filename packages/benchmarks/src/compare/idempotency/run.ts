// Each scenario with each contender: the contenders beside each other, the scenarios of one in turn, each with a key of its
// own.
import { urlOf } from "../../servers.ts"
import type { Comparison, Verdict } from "../table.ts"
import type { Caller, Contender } from "./contender.ts"
import { contenders } from "./contenders.ts"
import * as Gateway from "./gateway.ts"
import * as Network from "./network.ts"
import * as Process from "./process.ts"
import { type Scenario, scenarios, type Stage } from "./scenarios.ts"
import * as Server from "./server.ts"

/** What is to be undone, the last first. */
type Undo = Array<() => Promise<unknown>>

const undoing = async <A>(use: (undo: Undo) => Promise<A>): Promise<A> => {
  const undo: Undo = []
  try {
    return await use(undo)
  } finally {
    for (const each of undo.toReversed()) await each()
  }
}

interface Place {
  readonly contender: Contender
  readonly server: Server.Server
  readonly gateway: Gateway.Gateway
  readonly ledgerUrl: string
  readonly ledger: string
  readonly one: Caller
  readonly other: Caller
}

const stageOf = (place: Place, key: string, undo: Undo): Stage => {
  const { contender, gateway, ledger, ledgerUrl, one, other, server } = place
  return {
    key,
    server,
    gateway,
    one,
    other,
    open: async (url = server.url) => {
      const caller = await contender.open({ url, find: gateway.find })
      undo.push(caller.close)
      return caller
    },
    network: async () => {
      const network = await Network.before(server.port)
      undo.push(network.close)
      return network
    },
    start: (role, call, options = { isAhead: false }) => {
      const job = { contender: contender.name, url: server.url, ledgerUrl, ledger, name: role, role, call }
      const process = Process.start(job, options)
      undo.push(process.kill)
      return process
    }
  }
}

const askAll = (contender: Contender, index: number): Promise<ReadonlyArray<Verdict>> =>
  undoing(async (undo) => {
    const server = await Server.start()
    undo.push(server.stop)
    const ledgerUrl = urlOf("redis")
    const ledger = `${process.pid}-${index}`
    const gateway = await Gateway.connect(ledgerUrl, ledger)
    undo.push(gateway.close)
    const open = async () => {
      const caller = await contender.open({ url: server.url, find: gateway.find })
      undo.push(caller.close)
      return caller
    }
    const place = { contender, server, gateway, ledgerUrl, ledger, one: await open(), other: await open() }
    const verdicts: Array<Verdict> = []
    for (const [i, scenario] of scenarios.entries()) verdicts.push(await askOne(place, scenario, `key-${i + 1}`))
    return verdicts
  })

const askOne = (place: Place, { name, run }: Scenario, key: string): Promise<Verdict> =>
  undoing(async (undo) => {
    try {
      return await run(stageOf(place, key, undo))
    } catch (cause) {
      throw new Error(`${place.contender.name}, ${name}: the comparison itself failed`, { cause })
    }
  })

export const run = async (): Promise<Comparison> => {
  const verdicts = await Promise.all(contenders.map(askAll))
  return {
    name: "idempotency",
    contenders: contenders.map(({ name }) => name),
    rows: scenarios.map(({ demand, loss, name }, i) => ({
      name,
      demand,
      loss,
      verdicts: verdicts.map((all) => all[i] ?? { holds: false, seen: "not asked" })
    }))
  }
}
