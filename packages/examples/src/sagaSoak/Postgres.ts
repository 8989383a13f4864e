/** A Postgres of the kill test's own, which is stopped as by a crash and started again while sagas run. */
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

export interface Postgres {
  readonly url: string
  /** `pg_ctl stop -m immediate`: no connection is let end, nothing is flushed. */
  readonly stop: Effect.Effect<void>
  readonly start: Effect.Effect<void>
}

const script = fileURLToPath(new URL("../../../../scripts/postgres", import.meta.url))

/** Gone with the scope. */
export const start = Effect.gen(function*() {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => spawn(script, { stdio: ["pipe", "pipe", "inherit"] })),
    (child) =>
      Effect.callback<void>((resume) => {
        if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
        child.once("exit", () => resume(Effect.void))
        child.stdin.end()
      })
  )
  const lines = createInterface({ input: child.stdout })
  const next = Effect.callback<string>((resume) => {
    const end = () => resume(Effect.die(new Error("scripts/postgres has ended")))
    child.once("exit", end)
    lines.once("line", (line) => {
      child.off("exit", end)
      resume(Effect.succeed(line))
    })
  })
  const say = (word: string) =>
    Effect.suspend(() => {
      child.stdin.write(`${word}\n`)
      return Effect.asVoid(next)
    })
  const postgres: Postgres = { url: yield* next, stop: say("stop"), start: say("start") }
  return postgres
})
