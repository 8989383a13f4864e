// Each scenario with each contender: the contenders beside each other, the scenarios of one in turn, each with a saga of its
// own. What is killed stands in a store of its own, and the processes that come after it come one after the other, the one
// of the same name last: a contender that takes over what is left does so before.
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { urlOf } from "../../servers.ts"
import type { Comparison, Verdict } from "../table.ts"
import type { Contender, Place } from "./contender.ts"
import { contenders } from "./contenders.ts"
import * as Process from "./process.ts"
import { type Next, type Scenario, scenarios } from "./scenarios.ts"
import { appears, type Payload } from "./world.ts"

const goneMillis = 15_000
// A machine may be busy.
const hereMillis = 60_000

const nexts: ReadonlyArray<readonly [Next, Partial<Place>]> = [
  ["another", { executor: "another" }],
  ["upgraded", { version: "2" }],
  ["same", {}]
]

type Verdicts = Map<Scenario, Verdict>

const killAll = async (
  contender: Contender,
  place: Place,
  payloadOf: (scenario: Scenario, plan: Payload["plan"]) => Payload
): Promise<Verdicts> => {
  const all = scenarios.flatMap((scenario) => {
    const { run } = scenario
    return typeof run === "function" ? [] : [{ scenario, run, payload: payloadOf(scenario, run.plan) }]
  })
  const start = (place: Place, isFirst: boolean, some: typeof all) =>
    Process.start({
      contender: contender.name,
      place,
      sagas: some.map(({ payload, run: { hangAt } }) => ({ payload, hangAt })),
      isFirst,
      millis: isFirst ? hereMillis : goneMillis
    })
  const first = start(place, true, all)
  const here = await Promise.all(all.map(({ payload, run }) => appears(payload.ledger, run.hangAt, hereMillis)))
  await first.kill()
  if (here.includes(false)) throw new Error(`${contender.name}: it has not come to where it is killed`)
  const verdicts: Verdicts = new Map()
  for (const [next, names] of nexts) {
    const some = all.filter(({ run }) => run.next === next)
    const process = start({ ...place, ...names }, false, some)
    try {
      for (const [i, end] of (await process.ended).entries()) {
        const one = some[i]
        if (one !== undefined) verdicts.set(one.scenario, one.run.judge(one.payload, end))
      }
    } finally {
      await process.kill()
    }
  }
  return verdicts
}

const askAll = async (contender: Contender, index: number, directory: string): Promise<Verdicts> => {
  const placeOf = (name: string): Place => ({
    file: join(directory, `${index}-${name}.db`),
    url: urlOf("postgres"),
    executor: name,
    version: `1-${name}`
  })
  const payloadOf = (scenario: Scenario, plan: Payload["plan"], isGroup = false): Payload => {
    const id = `saga-${process.pid}-${index}-${scenarios.indexOf(scenario) + 1}`
    return { id, ledger: join(directory, `${id}.ledger`), amount: 1999, isGroup, plan }
  }
  const caller = await contender.open(placeOf("here"))
  try {
    const verdicts = await killAll(contender, placeOf("killed"), payloadOf)
    for (const scenario of scenarios) {
      const { name, run } = scenario
      if (typeof run !== "function") continue
      const asked = run({ caller, payload: (plan, options) => payloadOf(scenario, plan, options?.isGroup) })
      verdicts.set(
        scenario,
        await asked.catch((cause: unknown) => {
          throw new Error(`${contender.name}, ${name}: the comparison itself failed`, { cause })
        })
      )
    }
    return verdicts
  } finally {
    await caller.close()
  }
}

export const run = async (): Promise<Comparison> => {
  const directory = mkdtempSync(join(tmpdir(), "compare-saga-"))
  try {
    const verdicts = await Promise.all(contenders.map((contender, i) => askAll(contender, i, directory)))
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
