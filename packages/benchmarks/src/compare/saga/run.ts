// Each scenario with each contender: the contenders beside each other, the scenarios of one in turn, with processes that are
// killed beside those without, each with a saga of its own. What is killed has a store of its own, or an executor of its own
// in DBOS, whose store all share: nobody but the one process that comes after it can take it over.
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { urlOf } from "../../servers.ts"
import { settled } from "../settled.ts"
import type { Comparison, Verdict } from "../table.ts"
import type { Contender, Place } from "./contender.ts"
import { contenders } from "./contenders.ts"
import * as Process from "./process.ts"
import { type Kill, type Next, type Scenario, scenarios } from "./scenarios.ts"
import { appears, type Payload } from "./world.ts"

const goneMillis = 15_000
// A machine may be busy.
const hereMillis = 60_000

const placeAfter: Record<Next, (place: Place) => Place> = {
  another: (place) => ({ ...place, executor: `after-${place.executor}` }),
  upgraded: (place) => ({ ...place, version: `2-${place.executor}`, isExtended: true }),
  same: (place) => place
}

const killOne = async (contender: Contender, place: Place, payload: Payload, kill: Kill): Promise<Verdict> => {
  const { hangAt, judge, next } = kill
  const job = { contender: contender.name, payload, hangAt }
  const first = Process.start({ ...job, place, isFirst: true, millis: hereMillis })
  try {
    const isHere = await appears(payload.ledger, hangAt, hereMillis)
    if (!isHere) throw new Error("it has not come to where it is killed")
  } finally {
    await first.kill()
  }
  const second = Process.start({ ...job, place: placeAfter[next](place), isFirst: false, millis: goneMillis })
  try {
    return judge(payload, await second.ended)
  } finally {
    await second.kill()
  }
}

const askAll = async (
  contender: Contender,
  index: number,
  directory: string
): Promise<ReadonlyMap<Scenario, Verdict>> => {
  const placeOf = (name: string): Place => ({
    file: join(directory, `${index}-${name}.db`),
    url: urlOf("postgres"),
    executor: name,
    version: `1-${name}`,
    isExtended: false
  })
  const payloadOf = (scenario: Scenario, plan: Payload["plan"], isGroup = false): Payload => {
    const id = `saga-${process.pid}-${index}-${scenarios.indexOf(scenario) + 1}`
    return { id, ledger: join(directory, `${id}.ledger`), amount: 1999, isGroup, plan }
  }
  const caller = await contender.open(placeOf("here"))
  try {
    const verdicts = new Map<Scenario, Verdict>()
    const ask = async (scenario: Scenario) => {
      const { name, run } = scenario
      const asked = typeof run === "function"
        ? run({ caller, payload: (plan, options) => payloadOf(scenario, plan, options?.isGroup) })
        : killOne(contender, placeOf(`killed-${scenarios.indexOf(scenario) + 1}`), payloadOf(scenario, run.plan), run)
      verdicts.set(
        scenario,
        await asked.catch((cause: unknown) => {
          throw new Error(`${contender.name}, ${name}: the comparison itself failed`, { cause })
        })
      )
    }
    const inTurn = async (some: ReadonlyArray<Scenario>) => {
      for (const scenario of some) await ask(scenario)
    }
    const isKill = ({ run }: Scenario) => typeof run !== "function"
    await settled([inTurn(scenarios.filter(isKill)), inTurn(scenarios.filter((scenario) => !isKill(scenario)))])
    return verdicts
  } finally {
    await caller.close()
  }
}

export const run = async (): Promise<Comparison> => {
  const directory = mkdtempSync(join(tmpdir(), "compare-saga-"))
  try {
    const verdicts = await settled(contenders.map((contender, i) => askAll(contender, i, directory)))
    return {
      name: "saga",
      contenders: contenders.map(({ name }) => name),
      rows: scenarios.map((scenario) => ({
        name: scenario.name,
        demand: scenario.demand,
        loss: scenario.loss,
        verdicts: verdicts.map((all) => all.get(scenario) ?? { holds: false, seen: "not asked" })
      }))
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
