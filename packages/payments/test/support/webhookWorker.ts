// A process of its own that takes in the events of a list, and kills itself at one of them, at the point it is told.
import { SqliteClient } from "@effect-payments/sqlite"
import { NodeCrypto } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted } from "effect"
import { Inbox, Signature, Webhook } from "effect-payments"
import { SqlClient } from "effect/sql"

export type Point = "started" | "written" | "committed"

export interface Job {
  readonly sqlite?: string
  readonly postgres?: { readonly url: string; readonly schema: string }
  readonly events: number
  readonly dieAt?: { readonly event: number; readonly point: Point }
}

const job = JSON.parse(process.argv[2] ?? "{}") as Job

const client = job.postgres === undefined
  ? SqliteClient.layer({ filename: job.sqlite ?? "", busyTimeout: "10 seconds" })
  : PgClient.layer({
    url: Redacted.make(job.postgres.url),
    startupParameters: { search_path: job.postgres.schema }
  })

const secrets = [Redacted.make("whsec_test_secret")]

const dieIf = (event: number, point: Point) =>
  Effect.suspend(() => {
    if (job.dieAt?.event !== event || job.dieAt.point !== point) return Effect.void
    process.kill(process.pid, "SIGKILL")
    return Effect.never
  })

const deliver = Effect.fnUntraced(function*(endpoint: Webhook.Endpoint, event: number) {
  const sql = yield* SqlClient.SqlClient
  const body = new TextEncoder().encode(`{"id": "evt_${event}"}`)
  const headers = yield* Signature.sign({ scheme: Signature.stripe, secrets, body })
  const handler = ({ id }: Webhook.Event) =>
    dieIf(event, "started").pipe(
      Effect.andThen(sql`INSERT INTO paid (event) VALUES (${id})`),
      Effect.andThen(dieIf(event, "written"))
    )
  const { _tag } = yield* Webhook.handle(endpoint, { headers, body }, handler)
  yield* dieIf(event, "committed")
  return _tag
})

const program = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE IF NOT EXISTS paid (event TEXT NOT NULL)`
  const endpoint = yield* Webhook.endpoint({ name: "shop", scheme: Signature.stripe, secrets })
  return yield* Effect.forEach(
    Array.from({ length: job.events }, (_, event) => event),
    (event) =>
      Effect.match(deliver(endpoint, event), {
        onFailure: (error) => "reason" in error ? error.reason._tag : error,
        onSuccess: (tag) => tag
      })
  )
})

const layer = Layer.mergeAll(Inbox.layerStoreSql(), NodeCrypto.layer).pipe(Layer.provideMerge(client))
console.log(JSON.stringify(await Effect.runPromise(Effect.provide(program, layer))))
