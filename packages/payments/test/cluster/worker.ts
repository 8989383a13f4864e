// A process of its own that is a runner, and may be told to die on the way.
import { Effect, Layer } from "effect"
import { ClusterSaga } from "effect-payments/cluster"
import { checkout } from "../saga/checkout.ts"
import { type Orders, runnerOf } from "./runners.ts"

const orders = JSON.parse(process.argv[2] ?? "{}") as Orders
const { id, mode } = orders

if (mode === "serve") {
  await Effect.runPromise(Layer.launch(
    Layer.effectDiscard(Effect.sync(() => console.log("ready"))).pipe(
      Layer.provide(runnerOf(orders))
    )
  ))
} else {
  const execution = await Effect.runPromise(
    Effect.provide(ClusterSaga.execute(checkout, { orderId: id }, { id }), runnerOf(orders))
  )
  console.log(execution._tag)
}
