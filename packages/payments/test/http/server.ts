/** The server that the cases of `test/data/idempotency-key-cases.jsonl` ask for, as plain routes and as an `HttpApi`. */
import { NodeCrypto, NodeHttpServer } from "@effect/platform-node"
import { Context, Deferred, Effect, Layer, Stream } from "effect"
import { Idempotency, IdempotencyStore } from "effect-payments"
import { IdempotencyKey } from "effect-payments/http"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
import { type FaultyStore, make as makeFaulty, repeat } from "../support/faultyStore.ts"

type Response = HttpServerResponse.HttpServerResponse

class State extends Context.Service<State, {
  runs: number
  held: number
  hungUp: number
  release: Deferred.Deferred<void>
  store: FaultyStore | undefined
}>()("test/State") {}

/** The routes under keys, by method and path: each counts its runs. */
const guarded: ReadonlyArray<readonly [name: string, method: "POST" | "PUT" | "PATCH" | "DELETE", path: `/${string}`]> =
  [
    ["charge", "POST", "/charges"],
    ["put", "PUT", "/charges"],
    ["patch", "PATCH", "/charges"],
    ["delete", "DELETE", "/charges"],
    ["refund", "POST", "/refunds"],
    ["account", "POST", "/accounts/:id/charges"],
    ["status", "POST", "/status/:code"],
    ["empty", "POST", "/empty"],
    ["binary", "POST", "/binary"],
    ["stream", "POST", "/stream"],
    ["cookie", "POST", "/cookie"],
    ["large", "POST", "/large"],
    ["defect", "POST", "/defect"],
    ["hold", "POST", "/hold"]
  ]

const bytes = new Uint8Array(256).map((_, i) => i)

const handle = (
  name: string
): Effect.Effect<Response, never, State | HttpServerRequest.HttpServerRequest | HttpRouter.RouteContext> =>
  Effect.gen(function*() {
    const state = yield* State
    const request = yield* HttpServerRequest.HttpServerRequest
    const run = ++state.runs
    switch (name) {
      case "status": {
        const { code } = yield* HttpRouter.params
        return HttpServerResponse.text(`run ${run}`, { status: Number(code), headers: { "retry-after": "7" } })
      }
      case "empty":
        return HttpServerResponse.empty()
      case "binary":
        return HttpServerResponse.uint8Array(bytes, { contentType: "application/octet-stream" })
      case "stream":
        return HttpServerResponse.stream(Stream.make(bytes, new TextEncoder().encode(`run ${run}`)))
      case "cookie":
        return HttpServerResponse.setCookieUnsafe(HttpServerResponse.text(`run ${run}`), "session", `secret${run}`)
      case "large":
        return HttpServerResponse.text("x".repeat(2001))
      case "defect":
        return yield* Effect.die("defect")
      case "hold":
        if (!request.url.endsWith("?now")) {
          state.held++
          yield* Deferred.await(state.release)
        }
        return HttpServerResponse.text(`run ${run}`)
      default:
        return HttpServerResponse.jsonUnsafe({ run, sent: yield* Effect.orDie(request.text) }, {
          status: 201,
          headers: { location: `/charges/${run}`, "x-run": String(run) }
        })
    }
  })

const tenant = Effect.map(
  HttpServerRequest.HttpServerRequest,
  ({ headers }) => (headers["authorization"] ?? "Bearer A").slice(7)
)

/** Over a store of the test, with small bounds. */
const options = { tenant, bodyLimitBytes: 1000, responseLimitBytes: 2000 }

const guardedPlain = HttpRouter.use((router) =>
  Effect.forEach(guarded, ([name, method, path]) => router.add(method, path, handle(name)))
)

/** That a client has hung up, which is seen outside of the middleware. */
const watch = HttpRouter.middleware(
  Effect.map(State, (state) => (handler) => Effect.onInterrupt(handler, () => Effect.sync(() => state.hungUp++))),
  { global: true }
)

class Keyed extends IdempotencyKey.Service<Keyed>()("test/Keyed") {}

const endpoints = guarded.map(([name, method, path]) => HttpApiEndpoint.make(method)(name, path).middleware(Keyed))

const Api = HttpApi.make("test").add(
  HttpApiGroup.make("charges").add(endpoints[0]!, ...endpoints.slice(1))
)

const guardedApi = (unquoted: boolean) =>
  HttpApiBuilder.layer(Api).pipe(
    Layer.provide(
      HttpApiBuilder.group(
        Api,
        "charges",
        // Endpoints made of a table have no names in their types.
        ((handlers: { handle: (name: string, handler: () => unknown) => typeof handlers }) =>
          guarded.reduce((all, [name]) => all.handle(name, () => handle(name)), handlers)) as never
      )
    ),
    Layer.provide(IdempotencyKey.layer(Keyed, { ...options, unquoted }))
  )

const unguarded = HttpRouter.use((router) =>
  Effect.gen(function*() {
    const state = yield* State
    const count = Effect.sync(() => HttpServerResponse.text(`run ${++state.runs}`))
    const control = (path: `/${string}`, answer: Effect.Effect<string>) =>
      router.add("GET", path, Effect.map(answer, (text) => HttpServerResponse.text(text)))
    yield* router.add("OPTIONS", "/charges", count)
    yield* router.add("GET", "/charges", count)
    yield* control("/runs", Effect.sync(() => String(state.runs)))
    yield* control("/held", Effect.sync(() => String(state.held)))
    yield* control("/hung-up", Effect.sync(() => String(state.hungUp)))
    yield* control(
      "/release",
      Effect.gen(function*() {
        yield* Deferred.succeed(state.release, undefined)
        state.release = yield* Deferred.make<void>()
        state.held = state.hungUp = 0
        return "released"
      })
    )
    yield* control(
      "/store/down",
      Effect.sync(() => {
        state.store?.plan({ claim: repeat("lostRequest", 100) })
        return "down"
      })
    )
    yield* control(
      "/store/up",
      Effect.sync(() => {
        state.store?.plan({})
        return "up"
      })
    )
  })
)

const state = Layer.effect(
  State,
  Effect.gen(function*() {
    return { runs: 0, held: 0, hungUp: 0, release: yield* Deferred.make<void>(), store: undefined }
  })
)

/** The store of the server, which the routes under `/store` break and mend. */
const faulty = Layer.effect(
  IdempotencyStore.IdempotencyStore,
  Effect.gen(function*() {
    const state = yield* State
    state.store = makeFaulty(yield* IdempotencyStore.IdempotencyStore)
    return state.store.store
  })
)

/** A server on a free port, and a client of it. */
export const serve = (
  kind: "plain" | "api",
  store: Layer.Layer<IdempotencyStore.IdempotencyStore, unknown>,
  { unquoted = false }: { readonly unquoted?: boolean } = {}
) => {
  const keys = IdempotencyKey.middleware({ ...options, unquoted })
  const routes = kind === "plain" ? Layer.provide(guardedPlain, keys.layer) : guardedApi(unquoted)
  return HttpRouter.serve(Layer.mergeAll(routes, unguarded, watch), { disableListenLog: true, disableLogger: true })
    .pipe(
      Layer.provideMerge(NodeHttpServer.layerTest),
      Layer.provide(Idempotency.layer()),
      Layer.provide(faulty),
      Layer.provide([Layer.orDie(store), NodeCrypto.layer]),
      Layer.provide(state)
    )
}
