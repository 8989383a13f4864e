import { Effect } from "effect"
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"

const worker = fileURLToPath(new URL("./claimWorker.ts", import.meta.url))

/** Four processes that claim and complete the same keys at once; answers which were given to somebody, each as often. */
export const run = (kind: "postgres" | "redis" | "sqlite", where: string, space: string, count: number) =>
  Effect.map(
    Effect.forEach(["a", "b", "c", "d"], (name) =>
      Effect.promise(() =>
        promisify(execFile)(process.execPath, [
          "--conditions=@effect-payments/source",
          worker,
          kind,
          where,
          space,
          name,
          `${count}`
        ])
      ), { concurrency: "unbounded" }),
    (outputs) => outputs.flatMap(({ stdout }): ReadonlyArray<string> => JSON.parse(stdout))
  )
