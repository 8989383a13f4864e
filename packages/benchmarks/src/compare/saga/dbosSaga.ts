// A saga of DBOS, written by hand: each step by `DBOS.runStep`, its undo pushed once it has answered, the undos run backwards
// in the workflow's `catch`, each a step that is tried three times, and then the error is thrown on.
import { DBOS } from "@dbos-inc/dbos-sdk"
import { setTimeout as sleep } from "node:timers/promises"
import { type Caller, end, type Place } from "./contender.ts"
import { type Name, type Payload, send } from "./world.ts"

const retries = { retriesAllowed: true, maxAttempts: 3, intervalSeconds: 0.05, backoffRate: 1 }

let isExtended = false

const saga = DBOS.registerWorkflow(async (payload: Payload) => {
  const undos: Array<Name> = []
  const undoable = async (name: Name) => {
    await DBOS.runStep(() => send(payload, name), { name })
    undos.push(name)
  }
  try {
    if (payload.isGroup) await Promise.all([undoable("reserve"), undoable("authorize")])
    else for (const name of ["reserve", "authorize"] as const) await undoable(name)
    await undoable("capture")
    const shipped = await DBOS.runStep(() => send(payload, "ship"), { name: "ship" })
    if (isExtended) await DBOS.runStep(() => send(payload, "notify"), { name: "notify" })
    return shipped
  } catch (error) {
    for (const name of undos.toReversed()) {
      const call = `undo ${name}`
      if (payload.plan[call] === "sleeps") await DBOS.sleep(300)
      await DBOS.runStep(() => send(payload, call), { name: call, ...retries })
    }
    throw error
  }
}, { name: "saga" })

const silent = { info: () => {}, debug: () => {}, warn: () => {}, error: () => {} }
const isEnded = (status: string): boolean => status !== "PENDING" && status !== "ENQUEUED"

const nameOf = (error: unknown): string => {
  const name = error instanceof Error ? error.name : ""
  return name === "Declined" || name === "TimedOut" ? name : "another error"
}

export const open = async ({ executor, isExtended: isItExtended, url, version }: Place): Promise<Caller> => {
  isExtended = isItExtended
  DBOS.setConfig({
    name: "compare",
    systemDatabaseUrl: url,
    systemDatabasePoolSize: 10,
    executorID: executor,
    applicationVersion: version,
    logger: silent
  })
  await DBOS.launch()
  return {
    start: async (payload) => {
      const handle = await DBOS.startWorkflow(saga, { workflowID: payload.id })(payload)
      handle.getResult().catch(() => undefined)
      return "Started"
    },
    ended: async ({ id }, millis) => {
      for (const until = Date.now() + millis;;) {
        const status = await DBOS.getWorkflowStatus(id)
        if (status !== null && isEnded(status.status)) {
          const steps = await DBOS.listWorkflowSteps(id) ?? []
          const failed = steps.filter(({ error, name }) => error !== null && name.startsWith("undo "))
          return status.status === "SUCCESS"
            ? end("Completed")
            : end("Failed", nameOf(status.error), failed.map(({ name }) => name.slice(5)))
        }
        if (Date.now() > until) return end(status === null ? "Missing" : "Open")
        await sleep(20)
      }
    },
    cancel: ({ id }) => {
      const answered = DBOS.cancelWorkflow(id)
      return { taken: answered, answered }
    },
    resume: async ({ id }) => {
      const steps = await DBOS.listWorkflowSteps(id) ?? []
      const failed = steps.find(({ error, name }) => error !== null && name.startsWith("undo "))
      if (failed !== undefined) await DBOS.rewindWorkflow(id, { startStep: failed.functionID })
    },
    close: () => DBOS.shutdown()
  }
}
