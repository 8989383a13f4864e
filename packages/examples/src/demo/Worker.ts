/**
 * A process that charges one card and ends, and the hand on it.
 */
import { Duration, Effect, Fiber, Schema, type Scope } from "effect"
import { Idempotency, PaymentGateway } from "effect-payments"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

/** What the process is told, as its one argument. */
export const Order = Schema.Struct({
  gatewayUrl: Schema.String,
  filename: Schema.String,
  key: Idempotency.Key,
  request: PaymentGateway.AuthorizeRequest,
  attemptMillis: Schema.Finite,
  leaseMillis: Schema.Finite
})

/** What it says when it ends. */
export const Answer = Schema.Struct({ transaction: PaymentGateway.Transaction })

export class WorkerError extends Schema.TaggedError<WorkerError>()("WorkerError", { detail: Schema.String }) {
  override get message(): string {
    return `the process that charges: ${this.detail}`
  }
}

export interface Worker {
  readonly pid: number
  /** Ends it on the spot: no handler, no finalizer. Answers with the signal that ended it. */
  readonly kill: Effect.Effect<string, WorkerError>
  readonly answer: Effect.Effect<typeof Answer.Type, WorkerError>
}

interface End {
  readonly code: number | null
  readonly signal: string | null
  readonly output: string
  readonly errors: string
}

const outputMax = 64 * 1024
const endWithin = "30 seconds"

/** Starts it. It ends with the scope, and with this process. */
export const start = Effect.fnUntraced(
  function*(order: typeof Order.Type): Effect.fn.Return<Worker, WorkerError, Scope.Scope> {
    const argument = yield* Effect.orDie(Schema.encodeEffect(Schema.fromJsonString(Order))(order))
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, [
          "--conditions=@effect-payments/source",
          fileURLToPath(new URL("worker.main.ts", import.meta.url)),
          argument
        ], { stdio: ["pipe", "pipe", "pipe"] })
      ),
      (child) => Effect.sync(() => void child.kill("SIGKILL"))
    )
    const closed = Effect.callback<End, WorkerError>((resume) => {
      let output = ""
      let errors = ""
      child.stdout.on("data", (chunk: Buffer) => {
        output = `${output}${chunk}`.slice(0, outputMax)
      })
      child.stderr.on("data", (chunk: Buffer) => {
        errors = `${errors}${chunk}`.slice(-outputMax)
      })
      child.once("error", ({ message }) => resume(Effect.fail(new WorkerError({ detail: message }))))
      child.once("close", (code, signal) => resume(Effect.succeed({ code, signal, output, errors })))
    })
    const fiber = yield* Effect.forkScoped(closed, { startImmediately: true })
    const end = Fiber.join(fiber).pipe(
      Effect.timeoutOrElse({
        duration: Duration.fromInputUnsafe(endWithin),
        orElse: () => Effect.fail(new WorkerError({ detail: `did not end within ${endWithin}` }))
      })
    )
    return {
      pid: child.pid ?? 0,
      kill: Effect.suspend(() => {
        child.kill("SIGKILL")
        return Effect.map(end, ({ code, signal }) => signal ?? `exit code ${code}`)
      }),
      answer: Effect.flatMap(end, answerOf)
    }
  }
)

const answerOf = ({ code, errors, output, signal }: End): Effect.Effect<typeof Answer.Type, WorkerError> =>
  code === 0
    ? Effect.mapError(
      Schema.decodeEffect(Schema.fromJsonString(Answer))(output),
      () => new WorkerError({ detail: `said ${JSON.stringify(output.slice(0, 200))}` })
    )
    : Effect.fail(
      new WorkerError({ detail: `ended by ${signal ?? `code ${code}`}: ${`${output}${errors}`.trim().slice(-500)}` })
    )
