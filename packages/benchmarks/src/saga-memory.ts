// Sagas of four steps in memory, one after the other and 64 at once, beside effect/workflow's engine in memory. Ours keeps
// the history of each run, as it would in a database.
import { ManagedRuntime } from "effect"
import { SagaLog } from "effect-payments"
import { execute, fibers, layerOf, steps, workflow, workflowsInMemory } from "./checkout.ts"
import { measure } from "./measure.ts"
import { atLeast, makeReport, type Report, type Row } from "./report.ts"

const operations = 512
const rounds = 15

export const run = async (): Promise<Report> => {
  const memory = ManagedRuntime.make(layerOf(SagaLog.layerStoreMemory({ capacity: 5_000_000 })))
  const workflows = ManagedRuntime.make(workflowsInMemory)
  try {
    const contenders = {
      "ours, one at a time": fibers(memory, execute, operations, 1),
      "effect/workflow, one at a time": fibers(workflows, workflow, operations, 1),
      "ours, 64 at once": fibers(memory, execute, operations, 64),
      "effect/workflow, 64 at once": fibers(workflows, workflow, operations, 64)
    } as const
    // Until all of it is compiled.
    for (let i = 0; i < 4; i++) for (const { run } of Object.values(contenders)) await run()
    const { nanoseconds, ratio } = await measure(contenders, { rounds, iterations: 1 })
    const rows = (Object.keys(contenders) as Array<keyof typeof contenders>).map((name): Row => ({
      name,
      nanoseconds: nanoseconds[name],
      perSecond: 1e9 / nanoseconds[name],
      ratio: ratio(name.endsWith("once") ? "effect/workflow, 64 at once" : "effect/workflow, one at a time", name),
      note: `of the speed of effect/workflow; ${
        Math.round((1e9 / nanoseconds[name]) * steps.length).toLocaleString("en").replaceAll(",", " ")
      } steps per second`
    }))
    return makeReport("saga-memory", rows, [
      atLeast(
        "64 at once: of the speed of effect/workflow in memory",
        ratio("effect/workflow, 64 at once", "ours, 64 at once"),
        4
      ),
      atLeast(
        "one at a time: of the speed of effect/workflow in memory",
        ratio("effect/workflow, one at a time", "ours, one at a time"),
        4
      )
    ])
  } finally {
    await memory.dispose()
    await workflows.dispose()
  }
}
