// Each scenario with each contender: the contenders beside each other, each with a Redis of its own; the scenarios of one in
// turn or together, each with a key of its own.
import { urlOf } from "../../servers.ts"
import { settled } from "../settled.ts"
import type { Comparison, Verdict } from "../table.ts"
import type { Caller, Contender } from "./contender.ts"
import { type Contending, load, titles } from "./contenders.ts"
import * as Contract from "./contract.ts"
import * as Gateway from "./gateway.ts"
import * as Network from "./network.ts"
import * as Process from "./process.ts"
import { inTurn, type Scenario, type Stage, together } from "./scenarios.ts"
import * as Server from "./server.ts"

/** What is to be undone, the last first. */
type Undo = Array<() => Promise<unknown>>

const undoing = async <A>(use: (undo: Undo) => Promise<A>): Promise<A> => {
  const undo: Undo = []
  const failures: Array<unknown> = []
  const result = await use(undo).catch((cause: unknown) => void failures.push(cause))
  for (const each of undo.toReversed()) await each().catch((cause: unknown) => void failures.push(cause))
  if (failures.length > 0) throw failures[0]
  return result as A
}

interface Place {
  readonly name: Contending
  readonly contender: Contender
  readonly server: Server.Server
  readonly gateway: Gateway.Gateway
  readonly ledgerUrl: string
  readonly ledger: string
  readonly program: string
  readonly one: Caller
  readonly other: Caller
}

const stageOf = (place: Place, key: string, undo: Undo): Stage => {
  const { contender, gateway, ledger, ledgerUrl, name, one, other, program, server } = place
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
      const job = { contender: name, url: server.url, ledgerUrl, ledger, role, call }
      const process = Process.start(program, job, options)
      undo.push(process.kill)
      return process
    }
  }
}

const askAll = (program: string, name: Contending): Promise<ReadonlyArray<Verdict>> =>
  undoing(async (undo) => {
    const contender = await load(name)
    const server = await Server.start()
    undo.push(server.stop)
    const ledgerUrl = urlOf("redis")
    const ledger = `${process.pid}-${name}`
    const gateway = await Gateway.connect(ledgerUrl, ledger)
    undo.push(gateway.close)
    const open = async () => {
      const caller = await contender.open({ url: server.url, find: gateway.find })
      undo.push(caller.close)
      return caller
    }
    const place = {
      name,
      contender,
      server,
      gateway,
      ledgerUrl,
      ledger,
      program,
      one: await open(),
      other: await open()
    }
    const verdicts: Array<Verdict> = []
    for (const [i, scenario] of inTurn.entries()) verdicts.push(await askOne(place, scenario, `key-${i}`))
    const others = together.map((scenario, i) => askOne(place, scenario, `key-together-${i}`))
    return [...verdicts, ...await settled(others)]
  })

const askOne = (place: Place, { name, run }: Scenario, key: string): Promise<Verdict> =>
  undoing(async (undo) => {
    try {
      return await run(stageOf(place, key, undo))
    } catch (cause) {
      throw new Error(`${titles[place.name]}, ${name}: the comparison itself failed`, { cause })
    }
  })

export const run = (): Promise<Comparison> =>
  undoing(async (undo) => {
    const { close, program } = await Process.build()
    undo.push(close)
    const names = Object.keys(titles) as Array<Contending>
    const contract = await Contract.run(urlOf("redis"))
    const verdicts = await settled(names.map((name) => askAll(program, name)))
    return {
      name: "idempotency",
      contenders: Object.values(titles),
      contract,
      rows: [...inTurn, ...together].map(({ demand, loss, name }, i) => ({
        name,
        demand,
        loss,
        verdicts: verdicts.map((all) => all[i] ?? { holds: false, seen: "not asked" })
      }))
    }
  })
