import { assert, describe, it } from "@effect/vitest"
import { type Duration, Effect, Fiber, Layer } from "effect"
import { Cached, Resilience } from "effect-payments"
import { FetchHttpClient, HttpClient, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"
import { ExchangeRates, layer, make } from "../src/apiClient.ts"
import { GatewaySim, layer as layerSim } from "../src/gateway-sim/start.ts"
import { runMain } from "./support/runMain.ts"

const rates = JSON.stringify({ base: "EUR", rates: { USD: "1.080000" } })

/** Circuits, quotas and answers of this process. */
const layerLocal = Layer.merge(Resilience.layerMemory, Cached.layerStoreMemory)

/** An API that answers the n-th request with the n-th answer, the last one for ever. `undefined` hangs. */
const api = Effect.fnUntraced(function*(answers: ReadonlyArray<readonly [number, string?, string?] | undefined>) {
  const asked: Array<string> = []
  const client = HttpClient.make((request) => {
    const answer = answers[Math.min(asked.push(request.url), answers.length) - 1]
    if (answer === undefined) return Effect.never
    const [status, body = rates, retryAfter] = answer
    const headers: Record<string, string> = retryAfter === undefined ? {} : { "retry-after": retryAfter }
    return Effect.succeed(HttpClientResponse.fromWeb(request, new Response(body, { status, headers })))
  })
  const { get } = yield* make("http://rates.example").pipe(Effect.provideService(HttpClient.HttpClient, client))
  return { asked, get }
})

const after = <A, E>(self: Effect.Effect<A, E>, duration: Duration.Input) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(self, { startImmediately: true })
    yield* TestClock.adjust(duration)
    return yield* Fiber.join(fiber)
  })

describe("apiClient", () => {
  it.effect("asks again after failures, up to three times", () =>
    Effect.gen(function*() {
      const { asked, get } = yield* api([[503], [500], [200]])
      assert.deepStrictEqual((yield* after(get("EUR"), "3 seconds")).rates, { USD: "1.080000" })
      assert.deepStrictEqual(asked, Array.from({ length: 3 }, () => "http://rates.example/v1/rates/EUR"))
    }).pipe(Effect.provide(layerLocal), Effect.scoped))

  it.effect("answers from the cache for five minutes, and shares one request", () =>
    Effect.gen(function*() {
      const { asked, get } = yield* api([[200]])
      yield* Effect.all(Array.from({ length: 20 }, () => get("EUR")), { concurrency: "unbounded" })
      yield* TestClock.adjust("4 minutes")
      yield* get("EUR")
      assert.lengthOf(asked, 1)
      yield* get("USD")
      assert.lengthOf(asked, 2)
      yield* TestClock.adjust("1 minute")
      yield* get("EUR")
      assert.lengthOf(asked, 3)
    }).pipe(Effect.provide(layerLocal), Effect.scoped))

  it.effect("keeps no failure, and does not ask again what was refused", () =>
    Effect.gen(function*() {
      const { asked, get } = yield* api([[404, "{}"], [200]])
      const error = yield* Effect.flip(get("EUR"))
      assert.strictEqual(error.message, "invalid request: status_404")
      assert.lengthOf(asked, 1)
      assert.strictEqual((yield* get("EUR")).base, "EUR")
    }).pipe(Effect.provide(layerLocal), Effect.scoped))

  it.effect("waits as long as the API asks for", () =>
    Effect.gen(function*() {
      const { asked, get } = yield* api([[429, "{}", "7"], [200]])
      const fiber = yield* Effect.forkChild(get("EUR"), { startImmediately: true })
      yield* TestClock.adjust("6999 millis")
      assert.lengthOf(asked, 1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(fiber)).base, "EUR")
      assert.lengthOf(asked, 2)
    }).pipe(Effect.provide(layerLocal), Effect.scoped))

  it.effect("ends what hangs, and leaves an API alone that is down", () =>
    Effect.gen(function*() {
      const { asked, get } = yield* api([undefined])
      for (let failures = 1; failures <= 5; failures++) {
        const error = yield* after(Effect.flip(get("EUR")), "9 seconds")
        assert.strictEqual(error.reason._tag, "GatewayTimeout")
        assert.lengthOf(asked, 3 * failures)
      }
      const error = yield* Effect.flip(get("EUR"))
      assert.strictEqual(error.reason._tag, "GatewayUnavailable")
      assert.lengthOf(asked, 15)
    }).pipe(Effect.provide(layerLocal), Effect.scoped))

  it.effect("takes no answer that is too large or no rates", () =>
    Effect.gen(function*() {
      for (const body of ["{", "{\"base\":\"EUR\",\"rates\":{\"USD\":1.08}}", `{"base":"${"x".repeat(70_000)}"}`]) {
        const { get } = yield* api([[200, body]])
        const error = yield* after(Effect.flip(get("EUR")), "3 seconds")
        assert.strictEqual(error.reason._tag, "GatewayFault")
      }
    }).pipe(Effect.provide(layerLocal), Effect.scoped))

  it.live("runs against the simulator", () =>
    Effect.gen(function*() {
      const { baseUrl, plan } = yield* GatewaySim
      yield* plan({ key: "rates", plan: "fail-before, lost-reply" })
      let requests = 0
      const counted = HttpClient.mapRequest((request) => {
        requests++
        return request
      })
      const client = Layer.effect(HttpClient.HttpClient, Effect.map(HttpClient.HttpClient, counted)).pipe(
        Layer.provide(FetchHttpClient.layer)
      )
      yield* Effect.gen(function*() {
        const { get } = yield* ExchangeRates
        assert.strictEqual((yield* get("EUR")).rates["USD"], "1.080000")
        assert.strictEqual((yield* get("EUR")).rates["JPY"], "160.000000")
        assert.strictEqual(requests, 3)
        assert.strictEqual((yield* get("USD")).rates["EUR"], "0.925925")
      }).pipe(Effect.provide(layer(baseUrl).pipe(Layer.provide([client, layerLocal]))))
    }).pipe(Effect.provide(layerSim())), 60_000)

  it.live("runs as a program", () =>
    Effect.gen(function*() {
      const { code, stderr, stdout } = yield* runMain("apiClient.main.ts")
      assert.deepStrictEqual([code, stderr], [0, ""])
      assert.deepStrictEqual(stdout.split("\n"), [
        "EUR 1 is USD 1.080000, after two failures",
        "EUR 1 is USD 1.080000, from the cache: the API is down",
        "GBP: the connection broke after the request left",
        ""
      ])
    }), 60_000)
})
