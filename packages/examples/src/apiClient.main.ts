/**
 * Asks for exchange rates at an API that fails twice, and once more while it is down.
 *
 * `npx node --conditions=@effect-payments/source packages/examples/src/apiClient.main.ts`
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer, Logger } from "effect"
import { Cached, Resilience } from "effect-payments"
import { FetchHttpClient } from "effect/http"
import { ExchangeRates, layer as layerRates } from "./apiClient.ts"
import { GatewaySim, layer as layerSim } from "./gateway-sim/start.ts"

const program = Effect.gen(function*() {
  const { baseUrl, plan, stop } = yield* GatewaySim
  yield* plan({ key: "rates", plan: "fail-before, fail-before" })
  const layer = layerRates(baseUrl).pipe(
    Layer.provide([FetchHttpClient.layer, Resilience.layerMemory, Cached.layerStoreMemory])
  )
  yield* Effect.gen(function*() {
    const { get } = yield* ExchangeRates
    const { rates } = yield* get("EUR")
    yield* Console.log(`EUR 1 is USD ${rates["USD"]}, after two failures`)
    yield* stop
    const again = yield* get("EUR")
    yield* Console.log(`EUR 1 is USD ${again.rates["USD"]}, from the cache: the API is down`)
    const error = yield* Effect.flip(get("GBP"))
    yield* Console.log(`GBP: ${error.message}`)
  }).pipe(Effect.provide(layer))
}).pipe(Effect.provide([layerSim(), Logger.layer([])]))

NodeRuntime.runMain(program)
