/** A server that ends in the middle of a request, and is asked again with the same key. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Job } from "./keyWorker.ts"

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "idempotency-key-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
)

const path = fileURLToPath(new URL("keyWorker.ts", import.meta.url))

const start = Effect.fnUntraced(function*(job: Job) {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, ["--conditions=@effect-payments/source", path, JSON.stringify(job)], {
        stdio: ["ignore", "pipe", "inherit"]
      })
    ),
    (child) => Effect.sync(() => void child.kill("SIGKILL"))
  )
  const lines: Array<string> = []
  child.stdout.on("data", (chunk: Buffer) => lines.push(...String(chunk).trimEnd().split("\n")))
  const said = (pattern: RegExp) =>
    Effect.gen(function*() {
      while (true) {
        const found = lines.map((line) => pattern.exec(line)).find((found) => found !== null)
        if (found !== undefined) return found
        yield* Effect.sleep("10 millis")
      }
    }).pipe(Effect.timeout("3 minutes"), Effect.orDie)
  const [, port] = yield* said(/^port (\d+)$/)
  const post = (query: string) =>
    Effect.tryPromise(async (signal) => {
      const response = await fetch(`http://127.0.0.1:${port}/charges${query}`, {
        method: "POST",
        headers: { "idempotency-key": `"8e03978e"` },
        signal
      })
      return { status: response.status, body: await response.text(), headers: response.headers }
    })
  const end = (signal: "SIGKILL" | "SIGTERM") =>
    Effect.callback<void>((resume) => {
      child.once("exit", () => resume(Effect.void))
      child.kill(signal)
    })
  return { end, post, said }
})

const restarted = Effect.fnUntraced(
  function*(signal: "SIGKILL" | "SIGTERM", query: "" | "?before", resolve: Job["resolve"]) {
    const folder = yield* directory
    const job: Job = { filename: join(folder, "keys.db"), ledger: join(folder, "ledger"), resolve, hangs: true }
    const first = yield* start(job)
    const asked = yield* Effect.forkChild(Effect.exit(first.post(query)))
    yield* first.said(/^run$/)
    yield* first.end(signal)
    const second = yield* start({ ...job, hangs: false })
    const statuses: Array<number> = []
    let last = yield* second.post(query)
    // Until the lease is over.
    while (last.status === 409) {
      statuses.push(last.status)
      assert.isAtLeast(Number(last.headers.get("retry-after")), 1)
      yield* Effect.sleep("100 millis")
      last = yield* second.post(query)
    }
    const again = yield* second.post(query)
    yield* Effect.sync(() => asked.interruptUnsafe())
    const charges = existsSync(job.ledger) ? readFileSync(job.ledger, "utf8").trimEnd().split("\n").length : 0
    return { statuses, last, again, charges }
  },
  Effect.scoped
)

describe.each(["SIGKILL", "SIGTERM"] as const)("a server that ends by %s", (signal) => {
  it.live("after the charge is found to have charged", () =>
    Effect.gen(function*() {
      const { again, charges, last } = yield* restarted(signal, "", "ledger")
      assert.deepStrictEqual([last.status, last.body, charges], [201, "charged", 1])
      assert.deepStrictEqual([again.status, again.headers.get("idempotency-replayed")], [201, "true"])
    }), 400_000)

  it.live("after the charge does not charge again without a look-up", () =>
    Effect.gen(function*() {
      const { again, charges, last } = yield* restarted(signal, "", "none")
      assert.deepStrictEqual([last.status, again.status, charges], [504, 504, 1])
    }), 400_000)

  it.live("before the charge charges once it was looked up", () =>
    Effect.gen(function*() {
      const { again, charges, last } = yield* restarted(signal, "?before", "ledger")
      assert.deepStrictEqual([last.status, again.status, charges], [201, 201, 1])
      assert.strictEqual(again.headers.get("idempotency-replayed"), "true")
    }), 400_000)
})
