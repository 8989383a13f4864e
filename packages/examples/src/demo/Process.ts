/**
 * A process of the demo: told what to do by one argument, says what came of it in one line of JSON.
 */
import { Duration, Effect, Fiber, Schema, type Scope } from "effect"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

export class ProcessError extends Schema.TaggedError<ProcessError>()("ProcessError", { detail: Schema.String }) {
  override get message(): string {
    return `a process of the demo: ${this.detail}`
  }
}

export interface Process<A> {
  readonly pid: number
  /** Sends the signal, and answers with what ended the process: a signal, or its exit code. */
  readonly end: (signal: "SIGKILL" | "SIGTERM") => Effect.Effect<string, ProcessError>
  readonly answer: Effect.Effect<A, ProcessError>
}

interface End {
  readonly code: number | null
  readonly signal: string | null
  readonly output: string
  readonly errors: string
}

const outputMax = 64 * 1024
const endWithin = "30 seconds"

/** Starts the program. It ends with the scope, and with this process. */
export const start = Effect.fnUntraced(
  function*<I, A>(
    program: URL,
    input: { readonly schema: Schema.Codec<I, unknown>; readonly value: I },
    answer: Schema.Codec<A, unknown>
  ): Effect.fn.Return<Process<A>, ProcessError, Scope.Scope> {
    const argument = yield* Effect.orDie(Schema.encodeEffect(Schema.fromJsonString(input.schema))(input.value))
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, [
          "--conditions=@effect-payments/source",
          fileURLToPath(program),
          argument
        ], { stdio: ["pipe", "pipe", "pipe"] })
      ),
      (child) => Effect.sync(() => void child.kill("SIGKILL"))
    )
    const closed = Effect.callback<End, ProcessError>((resume) => {
      let output = ""
      let errors = ""
      child.stdout.on("data", (chunk: Buffer) => {
        output = `${output}${chunk}`.slice(0, outputMax)
      })
      child.stderr.on("data", (chunk: Buffer) => {
        errors = `${errors}${chunk}`.slice(-outputMax)
      })
      child.once("error", ({ message }) => resume(Effect.fail(new ProcessError({ detail: message }))))
      child.once("close", (code, signal) => resume(Effect.succeed({ code, signal, output, errors })))
    })
    const fiber = yield* Effect.forkScoped(closed, { startImmediately: true })
    const end = Fiber.join(fiber).pipe(
      Effect.timeoutOrElse({
        duration: Duration.fromInputUnsafe(endWithin),
        orElse: () => Effect.fail(new ProcessError({ detail: `did not end within ${endWithin}` }))
      })
    )
    return {
      pid: child.pid ?? 0,
      end: (signal) =>
        Effect.suspend(() => {
          child.kill(signal)
          return Effect.map(end, ({ code, signal }) => signal ?? `exit code ${code}`)
        }),
      answer: Effect.flatMap(end, (end) => answerOf(end, answer))
    }
  }
)

const answerOf = <A>(
  { code, errors, output, signal }: End,
  schema: Schema.Codec<A, unknown>
): Effect.Effect<A, ProcessError> =>
  code === 0
    ? Effect.mapError(
      Schema.decodeEffect(Schema.fromJsonString(schema))(output),
      () => new ProcessError({ detail: `said ${JSON.stringify(output.slice(0, 200))}` })
    )
    : Effect.fail(
      new ProcessError({ detail: `ended by ${signal ?? `code ${code}`}: ${`${output}${errors}`.trim().slice(-500)}` })
    )
