// Processes of the contenders. Each is started anew for the call in which it comes to harm, so they are bundled: it takes a
// fifth of the time.
import { fork } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { rolldown } from "rolldown"
import type { Answer } from "./contender.ts"
import type { Job, Message } from "./worker.ts"

export interface Process {
  /** It has come to where its role hangs or freezes. */
  readonly here: Promise<void>
  readonly told: Promise<Answer>
  /** All that it had under way is done. */
  readonly ended: Promise<void>
  readonly kill: () => Promise<void>
  readonly wake: () => void
}

const clockAhead = new URL("clockAhead.ts", import.meta.url).href

/** The program of the processes, in a folder that goes with `close`. */
export const build = async () => {
  const folder = mkdtempSync(join(tmpdir(), "compare-idempotency-"))
  const bundle = await rolldown({
    input: fileURLToPath(new URL("worker.ts", import.meta.url)),
    platform: "node",
    resolve: { conditionNames: ["@effect-payments/source", "import", "node", "default"] },
    logLevel: "silent"
  })
  await bundle.write({ dir: folder, format: "esm", entryFileNames: "worker.mjs", chunkFileNames: "[name].mjs" })
  await bundle.close()
  return {
    program: join(folder, "worker.mjs"),
    close: async () => rmSync(folder, { recursive: true, force: true })
  }
}

export const start = (program: string, job: Job, { isAhead }: { readonly isAhead: boolean }): Process => {
  const child = fork(program, {
    execArgv: isAhead ? ["--import", clockAhead] : [],
    serialization: "advanced",
    // What it prints is none of the table's.
    stdio: ["ignore", "ignore", "inherit", "ipc"]
  })
  const exited = once(child, "exit").then(() => undefined)
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
    ended: exited,
    kill: () => {
      child.kill("SIGKILL")
      return exited
    },
    wake: () => void child.kill("SIGCONT")
  }
}
