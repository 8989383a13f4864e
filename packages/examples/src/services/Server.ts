/**
 * A service of the shop over HTTP, on a database of its own: the same for all of them. Where a request comes twice, for a
 * reply that was lost or by a process that took over, `IdempotencyKey` answers it as the first time; what the process that
 * had it did not live to answer is looked up in the journal.
 */
import { SqliteClient } from "@effect-payments/sqlite"
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { ByteSize, Effect, Layer } from "effect"
import { Idempotency, IdempotencyStore, PaymentGateway } from "effect-payments"
import { IdempotencyKey } from "effect-payments/http"
import { HttpIncomingMessage, HttpRouter, HttpServerResponse } from "effect/http"
import { createServer } from "node:http"
import { StepKey } from "./Api.ts"
import * as Faults from "./Faults.ts"
import { routes } from "./handlers.ts"
import * as Journal from "./Journal.ts"
import type { Task } from "./Task.ts"

const bodyLimitBytes = 16 * 1024
/** For how long a process of it that has died keeps its requests. */
const lease = "2 seconds"

/** Listens on 127.0.0.1 and nowhere else. */
export const layer = ({ filename, name, port }: typeof Task.Type) =>
  HttpRouter.serve(Layer.mergeAll(routes[name], Faults.middleware, bounded), {
    disableLogger: true,
    disableListenLog: true,
    routerConfig: { maxParamLength: 1024 }
  }).pipe(
    Layer.provide(keys),
    Layer.provide([Faults.layer, Journal.layer, Idempotency.layer()]),
    Layer.provide([IdempotencyStore.layerStoreSql(), NodeCrypto.layer]),
    Layer.provide(SqliteClient.layer({ filename, busyTimeout: "5 seconds" })),
    Layer.provideMerge(NodeHttpServer.layer(() => createServer(), {
      port,
      host: "127.0.0.1",
      gracefulShutdownTimeout: "100 millis"
    }))
  )

const bounded = HttpRouter.middleware(
  Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(bodyLimitBytes)),
  { global: true }
)

/** What became of a request that a process did not live to answer. */
const resolve = Effect.fnUntraced(function*({ key }: Idempotency.ResolveContext) {
  const { of } = yield* Journal.Journal
  const entry = yield* of(key)
  // The journal lets a key act once: the request may be handled again at once.
  if (entry === null) return { _tag: "NeverHappened", repeatable: true } as const
  return entry.outcome === "done"
    ? PaymentGateway.happened(HttpServerResponse.jsonUnsafe(entry.answer))
    : PaymentGateway.refused(HttpServerResponse.jsonUnsafe(entry.answer, { status: 409 }))
})

const keys = IdempotencyKey.layer(StepKey, {
  tenant: "shop",
  lease,
  bodyLimitBytes,
  resolve
})
