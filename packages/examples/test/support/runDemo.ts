/** Runs `./scripts/demo` as a process. */
import { Effect } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const script = fileURLToPath(new URL("../../../../scripts/demo", import.meta.url))

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "demo-test-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

/** From another folder; its temporary files go to one of their own, and `left` is what it leaves there. */
export const runDemo = Effect.fnUntraced(function*(
  args: ReadonlyArray<string>,
  options: {
    readonly env?: Readonly<Record<string, string>>
    readonly onText?: (text: string, child: ChildProcess) => void
  } = {}
) {
  const [cwd, files] = [yield* folder, yield* folder]
  const env = { ...process.env, DATABASE_URL: "", REDIS_URL: "", TMPDIR: files, ...options.env }
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => spawn(script, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] })),
    (child) => Effect.sync(() => void child.kill("SIGKILL"))
  )
  return yield* Effect.callback<{
    readonly code: number | null
    readonly stdout: string
    readonly stderr: string
    readonly left: ReadonlyArray<string>
  }>((resume) => {
    let stdout = ""
    let stderr = ""
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk
      options.onText?.(stdout, child)
    })
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk
    })
    child.once("close", (code) => resume(Effect.succeed({ code, stdout, stderr, left: readdirSync(files) })))
  })
})
