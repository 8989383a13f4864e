import { fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import type { Answer } from "./contender.ts"
import type { Job, Message } from "./worker.ts"

export interface Process {
  /** It has come to where its role hangs or freezes. */
  readonly here: Promise<void>
  readonly told: Promise<Answer>
  readonly kill: () => Promise<void>
  readonly wake: () => void
}

const worker = fileURLToPath(new URL("worker.ts", import.meta.url))
const clockAhead = new URL("clockAhead.ts", import.meta.url).href

export const start = (job: Job, options: { readonly isAhead: boolean }): Process => {
  const child = fork(worker, {
    execArgv: ["--conditions=@effect-payments/source", ...(options.isAhead ? ["--import", clockAhead] : [])],
    serialization: "advanced",
    // What it prints is none of the table's.
    stdio: ["ignore", "ignore", "inherit", "ipc"]
  })
  const exited = once(child, "exit")
  const message = <Tag extends Message["_tag"]>(tag: Tag) =>
    new Promise<Extract<Message, { readonly _tag: Tag }>>((resolve, reject) => {
      child.on("message", (message: Message) => {
        if (message._tag === tag) resolve(message as Extract<Message, { readonly _tag: Tag }>)
      })
      child.once("exit", () => reject(new Error(`the process ended before it was ${tag}`)))
    })
  const here = message("Here").then(() => undefined)
  const told = message("Told").then(({ answer }) => answer)
  // Not each is waited for.
  for (const promise of [here, told]) promise.catch(() => undefined)
  child.send(job)
  return {
    here,
    told,
    kill: async () => {
      child.kill("SIGKILL")
      await exited
    },
    wake: () => void child.kill("SIGCONT")
  }
}
