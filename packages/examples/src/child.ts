/**
 * Programs that serve, as processes of their own: started on a free port, ended with the scope.
 */
import { Effect, Schema, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

/** `detail` is a word on the cause, or the end of what the process wrote on standard error. */
export class ChildError extends Schema.TaggedError<ChildError>()("ChildError", { detail: Schema.String }) {
  override get message(): string {
    return `a process: ${this.detail}`
  }
}

export interface Child {
  readonly pid: number
  readonly port: number
  /** Ends it now, before the scope does. Its port refuses connections afterwards. */
  readonly stop: Effect.Effect<void>
  /** Waits until it is gone. */
  readonly gone: Effect.Effect<void>
}

const startWithin = "90 seconds"
const endWithin = "3 seconds"
const outputMax = 4096

/** Waits until it says on which port it listens. Its standard input closes when this process is gone, also by SIGKILL. */
export const start = Effect.fnUntraced(
  function*(program: URL, args: ReadonlyArray<string>): Effect.fn.Return<Child, ChildError, Scope.Scope> {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, ["--conditions=@effect-payments/source", fileURLToPath(program), ...args], {
          stdio: ["pipe", "pipe", "pipe"]
        })
      ),
      end
    )
    const port = yield* listening(child).pipe(
      Effect.timeoutOrElse({
        duration: startWithin,
        orElse: () => Effect.fail(new ChildError({ detail: `silent for ${startWithin}` }))
      })
    )
    return { pid: child.pid ?? 0, port, stop: end(child), gone: goneOf(child) }
  }
)

const decodeLine = Schema.decodeOption(Schema.fromJsonString(Schema.Struct({ listening: Schema.Int })))

const listening = (child: ChildProcess): Effect.Effect<number, ChildError> =>
  Effect.callback((resume) => {
    let output = ""
    let errors = ""
    const fail = (detail: string) => resume(Effect.fail(new ChildError({ detail })))
    // Both are read to the end, or the child would block on a full pipe.
    child.stdout?.on("data", (chunk: Buffer) => {
      output = `${output}${chunk}`.slice(0, outputMax)
      const line = decodeLine(output.slice(0, Math.max(output.indexOf("\n"), 0)))
      if (line._tag === "Some") resume(Effect.succeed(line.value.listening))
    })
    child.stderr?.on("data", (chunk: Buffer) => {
      errors = `${errors}${chunk}`.slice(-outputMax)
    })
    child.once("error", ({ message }) => fail(message))
    child.once("close", (code) => fail(`ended with code ${code}: ${errors.trim()}`))
  })

const goneOf = (child: ChildProcess): Effect.Effect<void> =>
  Effect.suspend(() =>
    child.pid === undefined || child.exitCode !== null || child.signalCode !== null
      ? Effect.void
      : Effect.callback<void>((resume) => {
        child.once("exit", () => resume(Effect.void))
      })
  )

const end = (child: ChildProcess): Effect.Effect<void> =>
  Effect.suspend(() => {
    const gone = goneOf(child)
    child.kill("SIGTERM")
    return Effect.timeoutOrElse(gone, {
      duration: endWithin,
      orElse: () => Effect.sync(() => void child.kill("SIGKILL"))
    })
  })
