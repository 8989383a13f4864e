// A process of its own that runs one checkout, or recovers what others have left, and may be told to die on the way.
import { NodeCrypto } from "@effect/platform-node"
import { Effect, Layer, Logger } from "effect"
import { Saga } from "effect-payments"
import { checkout } from "./checkout.ts"
import { dieAt, gatewayLayer, logLayer, shopLayer } from "./fileShop.ts"

const [directory = "", id = "", death = "", refuses = "", mode = "execute"] = process.argv.slice(2)

const layer = Saga.layer({ sweepEvery: false }).pipe(
  Layer.provideMerge(logLayer(`${directory}/${id}.db`)),
  Layer.provideMerge([gatewayLayer(`${directory}/${id}.books`), shopLayer(`${directory}/${id}.books`, refuses)]),
  Layer.provide(dieAt(death)),
  Layer.provide([NodeCrypto.layer, Logger.layer([])])
)

const program = mode === "execute"
  ? Saga.execute(checkout, { orderId: id }, { id })
  : Effect.provide(Saga.result(checkout, { id }), Saga.layerRecover([checkout], { every: "100 millis" }))

const execution = await Effect.runPromise(Effect.provide(program, layer))
console.log(execution._tag)
