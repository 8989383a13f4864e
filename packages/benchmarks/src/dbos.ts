// The same saga as a workflow of DBOS, as its documentation writes one: each step by `DBOS.runStep`.
import { DBOS } from "@dbos-inc/dbos-sdk"
import { answer, nextId, payload, steps } from "./checkout.ts"

const step = async () => answer

const workflow = DBOS.registerWorkflow(async (_payload: typeof payload) => {
  let last = answer
  for (const name of steps) last = await DBOS.runStep(step, { name })
  return last
}, { name: "checkout" })

const silent = { info: () => {}, debug: () => {}, warn: () => {}, error: () => {} }

/** Launches DBOS over a pool of its default size; its tables are made there. */
export const launch = async (systemDatabaseUrl: string): Promise<void> => {
  DBOS.setConfig({ name: "checkout", systemDatabaseUrl, systemDatabasePoolSize: 10, logger: silent })
  await DBOS.launch()
}

export const shutdown = (): Promise<void> => DBOS.shutdown()

export const execute = () => DBOS.withNextWorkflowID(nextId(), () => workflow(payload))

/** Runs it over and over, by so many callers at once. */
export const callers = (operations: number, concurrency: number) => ({
  operations,
  run: () =>
    Promise.all(Array.from({ length: concurrency }, async () => {
      for (let i = 0; i < operations / concurrency; i++) await execute()
    }))
})
