/** A Redis of the test's own, with a replica: what is done to it must not be done to the one that all tests share. */
import { Effect, Schedule } from "effect"
import { execFile, spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"

const freePort = Effect.callback<number>((resume) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const address = server.address()
    server.close(() => resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0)))
  })
})

const aside = ["--bind", "127.0.0.1", "--save", "", "--repl-diskless-sync-delay", "0"]

export interface Server {
  readonly port: number
  readonly url: string
  readonly pid: number
  readonly command: (...words: ReadonlyArray<string>) => Effect.Effect<string>
}

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "redis-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
)

/** Stopped with the scope. */
export const start = Effect.fnUntraced(function*(...options: ReadonlyArray<string>) {
  const port = yield* freePort
  const dir = yield* directory
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn("redis-server", ["--port", `${port}`, "--dir", dir, ...aside, ...options], { stdio: "ignore" })
    ),
    (child) =>
      Effect.callback<void>((resume) => {
        if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
        child.once("exit", () => resume(Effect.void))
        child.kill("SIGCONT")
        child.kill("SIGKILL")
      })
  )
  const command = (...words: ReadonlyArray<string>) =>
    Effect.promise(() => promisify(execFile)("redis-cli", ["-p", `${port}`, ...words])).pipe(
      Effect.map(({ stdout }) => stdout.trim())
    )
  const answers = Effect.tryPromise(() => promisify(execFile)("redis-cli", ["-p", `${port}`, "PING"]))
  yield* Effect.retry(answers, Schedule.max([Schedule.spaced("50 millis"), Schedule.recurs(200)]))
  return { port, url: `redis://127.0.0.1:${port}`, pid: child.pid ?? 0, command } satisfies Server
})

/** A replica that has caught up. */
export const startReplica = Effect.fnUntraced(function*(primary: Server) {
  const replica = yield* start("--replicaof", `127.0.0.1 ${primary.port}`)
  const linked = Effect.flatMap(
    replica.command("INFO", "replication"),
    (info) => info.includes("master_link_status:up") ? Effect.void : Effect.fail("not yet" as const)
  )
  yield* Effect.retry(linked, Schedule.max([Schedule.spaced("50 millis"), Schedule.recurs(200)]))
  return replica
})
