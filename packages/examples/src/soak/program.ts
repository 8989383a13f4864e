/** Processes of kill tests as one file each, in a folder that goes with the scope. */
import { Effect } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { bundle } from "./bundle.ts"
import type { Program } from "./Worker.ts"

export const programOf = Effect.fnUntraced(function*(source: string) {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "kills-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  )
  const path = yield* bundle(source, folder)
  const made: Program = { path, env: { ...process.env, NODE_COMPILE_CACHE: folder } }
  return made
})

export const program = programOf(fileURLToPath(new URL("worker.main.ts", import.meta.url)))
