/**
 * Serves orders on 127.0.0.1 until it is stopped, over SQLite in the file of the first argument.
 *
 * `npx node --conditions=@effect-payments/source packages/examples/src/orders.main.ts orders.sqlite`
 */
import { SqliteClient } from "@effect-payments/sqlite"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer } from "effect"
import { JobQueue } from "effect-payments"
import { HttpRouter, HttpServer } from "effect/http"
import { createServer } from "node:http"
import { Inventory, layer, layerRelay, OrderEvents, route } from "./orders.ts"

/** Somebody who wants to hear of orders. The service does not know of it. */
const layerMail = Layer.effectDiscard(
  Effect.flatMap(OrderEvents, ({ subscribe }) =>
    subscribe({
      name: "mail",
      on: ["OrderCreated"],
      handler: ({ orderId, userId }) => Console.log(`mail to ${userId}: your order ${orderId}`)
    }))
)

const layerStart = Layer.effectDiscard(Effect.gen(function*() {
  const { left, restock } = yield* Inventory
  if ((yield* left("lamp")) === 0) yield* restock("lamp", 10)
  const { address } = yield* HttpServer.HttpServer
  yield* Console.log(`POST http://127.0.0.1:${"port" in address ? address.port : 0}/orders`)
}))

const service = Layer.mergeAll(
  layerStart,
  HttpRouter.serve(route, { disableLogger: true, disableListenLog: true }),
  Layer.provideMerge(layerRelay, layerMail)
).pipe(
  Layer.provide(layer),
  Layer.provide(JobQueue.layerStoreSql({ pollInterval: "100 millis" })),
  Layer.provide(SqliteClient.layer({ filename: process.argv[2] ?? ":memory:" })),
  Layer.provide(NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" }))
)

NodeRuntime.runMain(Layer.launch(service))
