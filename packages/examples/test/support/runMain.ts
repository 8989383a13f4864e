/** Runs a program of `src` as a process. */
import { Effect } from "effect"
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"

export const runMain = (name: string, args: ReadonlyArray<string> = []) =>
  Effect.callback<{ readonly code: number; readonly stdout: string; readonly stderr: string }>((resume) => {
    const program = fileURLToPath(new URL(`../../src/${name}`, import.meta.url))
    const child = execFile(
      process.execPath,
      ["--conditions=@effect-payments/source", program, ...args],
      { timeout: 50_000, killSignal: "SIGKILL" },
      (error, stdout, stderr) =>
        resume(Effect.succeed({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr }))
    )
    return Effect.sync(() => void child.kill("SIGKILL"))
  })
