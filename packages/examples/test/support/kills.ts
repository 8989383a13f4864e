/** What tests share in which processes are killed: folders, schemas, and the processes. */
import { Effect } from "effect"
import type { Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { layerPostgres } from "../../src/checkout/stores.ts"

export type Environment = Readonly<Record<string, string>>

/** Starts a process and sees it end. It is killed `aliveMillis` after it has said `up`, or where its task says. */
export const runKilled = (program: string, task: string, environment: Environment, aliveMillis: number) =>
  Effect.callback<
    { readonly signal: string | null; readonly code: number | null; readonly lines: ReadonlyArray<string> }
  >((resume) => {
    const child = spawn(process.execPath, [program, task], {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, DATABASE_URL: "", REDIS_URL: "", ...environment }
    })
    const lines: Array<string> = []
    const kill = () => void child.kill("SIGKILL")
    let timer: NodeJS.Timeout | undefined
    createInterface({ input: child.stdout }).on("line", (line) => {
      lines.push(line)
      if (line === "up") timer ??= setTimeout(kill, aliveMillis)
    })
    child.once("close", (code, signal) => {
      clearTimeout(timer)
      resume(Effect.succeed({ code, signal, lines }))
    })
    return Effect.sync(kill)
  })

/** A folder that goes with the scope. */
export const folder = (prefix: string) =>
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), prefix))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  )

/** A schema of Postgres that goes with the scope. */
export const schema = (url: Redacted.Redacted<string>, prefix: string) =>
  Effect.gen(function*() {
    const name = `${prefix}_${process.pid}`
    const run = (text: string) =>
      Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(text)).pipe(
        Effect.provide(layerPostgres(url, "public")),
        Effect.orDie
      )
    yield* Effect.acquireRelease(run(`CREATE SCHEMA ${name}`), () => run(`DROP SCHEMA ${name} CASCADE`))
    return name
  })
