// A process of its own that works on a queue: prints "started ID ATTEMPT" for each job, and ends it when a line comes in.
// Prints "lost" when it is told that another one has taken its job.
import { SqliteClient } from "@effect-payments/sqlite"
import { NodeRedis } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Logger, Redacted, Schema } from "effect"
import { JobQueue } from "effect-payments"
import { createInterface } from "node:readline"

export interface Store {
  readonly name: "postgres" | "redis" | "sqlite"
  /** A file, or the URL of a server. */
  readonly at: string
  /** A schema, or a prefix. */
  readonly within: string
}

const options = { lock: "2 seconds", pollInterval: "20 millis", sweepEvery: false } as const

/** Built anew each time. */
export const layerOf = ({ at, name, within }: Store): Layer.Layer<JobQueue.JobQueueStore, unknown> =>
  name === "redis"
    ? JobQueue.layerStoreRedis({ ...options, prefix: within }).pipe(Layer.provide(NodeRedis.layer({ url: at })))
    : JobQueue.layerStoreSql(options).pipe(
      Layer.provide(
        name === "sqlite"
          ? SqliteClient.layer({ filename: at, busyTimeout: "10 seconds" })
          : PgClient.layer({ url: Redacted.make(at), startupParameters: { search_path: within } })
      )
    )

export const makeQueue = (queue: string) => JobQueue.make({ name: queue, payload: Schema.Int, attemptsMax: 2 })

if (process.argv[1] === import.meta.filename) {
  const { queue, store } = JSON.parse(process.argv[2] ?? "{}") as { readonly queue: string; readonly store: Store }
  const lines = createInterface({ input: process.stdin })
  const line = Effect.callback<void>((resume) => void lines.once("line", () => resume(Effect.void)))
  const say = (text: string) => Effect.sync(() => console.log(text))
  const noted = Logger.make(({ message }) => {
    if (String(message).includes("was taken by another worker")) console.log("lost")
  })
  const program = Effect.gen(function*() {
    const jobs = yield* makeQueue(queue)
    return yield* jobs.work((_, { attempt, id }) => Effect.andThen(say(`started ${id} ${attempt}`), line), {
      workers: 1
    })
  })
  Effect.runFork(program.pipe(Effect.provide([layerOf(store), Logger.layer([noted])])))
}
