import { fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import type { End } from "./contender.ts"
import type { Job } from "./worker.ts"

export interface Process {
  readonly ended: Promise<End>
  readonly kill: () => Promise<void>
}

const worker = fileURLToPath(new URL("worker.ts", import.meta.url))

export const start = (job: Job): Process => {
  const child = fork(worker, [JSON.stringify(job)], {
    execArgv: ["--conditions=@effect-payments/source", "--no-deprecation"],
    // What it prints is none of the table's.
    stdio: ["ignore", "ignore", "inherit", "ipc"]
  })
  const exited = once(child, "exit")
  const ended = new Promise<End>((resolve, reject) => {
    child.once("message", (end) => resolve(end as End))
    child.once("exit", () => reject(new Error("the process ended before its saga")))
  })
  // Not each is waited for.
  ended.catch(() => undefined)
  return {
    ended,
    kill: async () => {
      child.kill("SIGKILL")
      await exited
    }
  }
}
