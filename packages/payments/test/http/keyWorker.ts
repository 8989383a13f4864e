// A server in a process of its own over one SQLite file: `keyWorker.ts JSON`. Prints its port, and "run" for each run of its
// handler, which charges by a line in a file and never answers unless it is told to.
import { SqliteClient } from "@effect-payments/sqlite"
import { NodeCrypto, NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Effect, Layer, Schema } from "effect"
import { Idempotency, IdempotencyStore } from "effect-payments"
import { IdempotencyKey } from "effect-payments/http"
import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { appendFileSync, existsSync } from "node:fs"
import { createServer } from "node:http"

const Job = Schema.fromJsonString(Schema.Struct({
  filename: Schema.String,
  ledger: Schema.String,
  /** What there is to look up with: nothing, or the ledger. */
  resolve: Schema.Literals(["none", "ledger"]),
  hangs: Schema.Boolean
}))
export type Job = typeof Job.Type

const job = Schema.decodeSync(Job)(process.argv[2] ?? "")
const say = (word: string) => Effect.sync(() => process.stdout.write(`${word}\n`))
const charged = HttpServerResponse.text("charged", { status: 201 })

const handler = Effect.gen(function*() {
  const { url } = yield* HttpServerRequest.HttpServerRequest
  // Dies before or after the charge.
  if (job.hangs && url.endsWith("?before")) return yield* Effect.andThen(say("run"), Effect.never)
  yield* Effect.sync(() => appendFileSync(job.ledger, "charge\n"))
  yield* say("run")
  return job.hangs ? yield* Effect.never : charged
})

const resolvers = {
  none: undefined,
  ledger: () =>
    Effect.sync(() =>
      existsSync(job.ledger)
        ? { _tag: "Happened" as const, result: charged }
        : { _tag: "NeverHappened" as const, repeatable: true }
    )
}

const keys = IdempotencyKey.middleware({ tenant: "acme", lease: "1 second", resolve: resolvers[job.resolve] })

HttpRouter.serve(HttpRouter.add("POST", "/charges", handler).pipe(Layer.provide(keys.layer)), {
  disableListenLog: true,
  disableLogger: true
}).pipe(
  Layer.merge(
    Layer.effectDiscard(
      Effect.flatMap(HttpServer.HttpServer, ({ address }) => say(`port ${(address as { readonly port: number }).port}`))
    )
  ),
  Layer.provide(NodeHttpServer.layer(createServer, { port: 0, gracefulShutdownTimeout: "100 millis" })),
  Layer.provide(Idempotency.layer()),
  Layer.provide(IdempotencyStore.layerStoreSql()),
  Layer.provide([SqliteClient.layer({ filename: job.filename }), NodeCrypto.layer]),
  Layer.launch,
  NodeRuntime.runMain({ disableErrorReporting: true })
)
