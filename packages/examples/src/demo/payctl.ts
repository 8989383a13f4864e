/**
 * `payctl saga` as a process, on the log of the demo: what an operator types.
 */
import { Effect, Schema } from "effect"
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import type { Place } from "../checkout/stores.ts"
import { urls } from "../checkout/stores.ts"
import { ProcessError } from "./Process.ts"

const program = fileURLToPath(new URL("../../../cli/bin/payctl.js", import.meta.url))

/** Answers what it prints with `--json`. */
export const saga = Effect.fnUntraced(function*<A>(
  place: Place,
  args: ReadonlyArray<string>,
  schema: Schema.Codec<A, unknown>
) {
  const { postgres } = yield* urls
  const store = postgres._tag === "Some" ? ["--schema", place.schema] : ["--sqlite", place.filename]
  const text = yield* Effect.callback<string, ProcessError>((resume) => {
    const child = execFile(
      process.execPath,
      [program, "saga", ...args, ...store, "--json"],
      { timeout: 30_000, killSignal: "SIGKILL", env: { ...process.env, REDIS_URL: "" } },
      (error, stdout, stderr) =>
        resume(
          error === null
            ? Effect.succeed(stdout)
            : Effect.fail(new ProcessError({ detail: `payctl ${args[0]}: ${`${stdout}${stderr}`.slice(-500)}` }))
        )
    )
    return Effect.sync(() => void child.kill("SIGKILL"))
  })
  return yield* Schema.decodeEffect(Schema.fromJsonString(schema))(text)
})
