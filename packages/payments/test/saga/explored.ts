/** The checkout in a world that writes down what its services do. */
import { Effect, Layer } from "effect"
import { SagaTest, TestGateway } from "effect-payments/testing"
import { checkout, Shop } from "./checkout.ts"

/** A shop that knows its orders: the same call twice is one. */
const shop = Layer.effect(
  Shop,
  Effect.map(SagaTest.Ledger, (ledger) => ({
    calls: [],
    plan: new Map(),
    call: (name) =>
      Effect.asVoid(name.startsWith("release") ? ledger.undone("reserve", "o1") : ledger.done(name, "o1")),
    happened: (name) => ledger.has(name, "o1")
  }))
)

export const world = { payload: { orderId: "o1" }, layer: Layer.merge(shop, TestGateway.layer()) }

export { checkout }
