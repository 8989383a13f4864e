/**
 * The simulator over HTTP.
 *
 * | request | answer |
 * |---|---|
 * | `POST /v1/authorizations` | 201 a transaction |
 * | `POST /v1/authorizations/:id/capture`, `…/void` | 201 a transaction |
 * | `POST /v1/transactions/:id/refunds` | 201 a transaction |
 * | `GET /v1/operations/by-key/:key` | 200 `in_progress`, `completed` or `refused`; 404 `unknown_key` |
 * | `GET /v1/rates/:base` | 200 exchange rates; plans name it by the key `rates` |
 * | `GET /ledger` | 200 the operations and sums |
 * | `GET /health` | 200 |
 * | `POST /admin/challenges` | 204 the payer has answered a challenge: an event tells of it |
 * | `POST /admin/plan`, `POST /admin/reset` | 204 |
 * | `POST /admin/webhooks`, `POST /admin/webhooks/redeliver` | 204 |
 * | `GET /admin/webhooks` | 200 the counts of deliveries |
 *
 * What moves money needs the header `idempotency-key` (1 to 255 printable ASCII characters). Bodies are JSON of at most
 * 16 KiB.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as ByteSize from "effect/ByteSize"
import type * as Mac from "effect/crypto/Mac"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpRouter from "effect/http/HttpRouter"
import type * as HttpServer from "effect/http/HttpServer"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { createServer, type ServerResponse } from "node:http"
import { isChallenged, lapses } from "./Cards.ts"
import { type Fault, isBefore } from "./Faults.ts"
import { ratesOf } from "./Rates.ts"
import * as Simulator from "./Simulator.ts"
import * as Wire from "./Wire.ts"

export interface Options extends Simulator.Options {
  readonly port: number
  /** Requests to `/v1` need `authorization: Bearer …` with it. */
  readonly apiKey?: string | undefined
}

const bodyMax = ByteSize.kibibytes(16)
const oversizedBytes = 2 * 1024 * 1024
const graceful = "100 millis"

/** Listens on 127.0.0.1 and nowhere else. */
export const layer = (options: Options) =>
  HttpRouter.serve(routes(options), {
    disableLogger: true,
    disableListenLog: true,
    // The longest key, percent-encoded.
    routerConfig: { maxParamLength: 1024 }
  }).pipe(
    Layer.provideMerge(NodeHttpServer.layer(() => createServer(), {
      port: options.port,
      host: "127.0.0.1",
      gracefulShutdownTimeout: graceful
    }))
  ) satisfies Layer.Layer<HttpServer.HttpServer, unknown, Mac.Mac>

const routes = (options: Options) =>
  HttpRouter.use(Effect.fnUntraced(function*(router) {
    const simulator = yield* Simulator.make(options)
    yield* addPayments(router, simulator, options.apiKey)
    yield* addAdmin(router, simulator)
  }))

const addPayments = Effect.fnUntraced(function*(
  router: HttpRouter.HttpRouter,
  simulator: Simulator.Simulator,
  apiKey: string | undefined
) {
  const post = <A>(path: HttpRouter.PathInput, schema: Schema.Codec<A, unknown>, read: Read<A>) =>
    router.add("POST", path, (request) => authorized(request, apiKey, operate(simulator, request, schema, read)))
  yield* post("/v1/authorizations", Wire.Authorization, authorization)
  yield* post("/v1/authorizations/:id/capture", Wire.Capture, (part, id) => ({
    kind: "capture",
    ...part,
    execute: (books) => books.capture(id, part)
  }))
  yield* post("/v1/authorizations/:id/void", Wire.Void, (_, id) => ({
    kind: "void",
    execute: (books) => books.void(id)
  }))
  yield* post("/v1/transactions/:id/refunds", Wire.Refund, ({ amountMinor, currency }, id) => ({
    kind: "refund",
    amountMinor,
    currency,
    execute: (books) =>
      books.refund(id, {
        ...amountMinor === undefined ? {} : { amountMinor },
        ...currency === undefined ? {} : { currency }
      })
  }))
  yield* router.add(
    "GET",
    "/v1/operations/by-key/:key",
    (request) =>
      authorized(request, apiKey, Effect.flatMap(HttpRouter.params, ({ key = "" }) => lookup(simulator, key)))
  )
  yield* router.add("GET", "/v1/rates/:base", (request) =>
    authorized(
      request,
      apiKey,
      Effect.flatMap(HttpRouter.params, ({ base = "" }) => {
        const fault = simulator.read("rates")
        return deliver(request, fault, isBefore(fault) ? Simulator.unprocessed : ratesOf(base))
      })
    ))
})

const addAdmin = Effect.fnUntraced(function*(router: HttpRouter.HttpRouter, simulator: Simulator.Simulator) {
  const done = HttpServerResponse.empty({ status: 204 })
  const post = <A>(
    path: HttpRouter.PathInput,
    schema: Schema.Codec<A, unknown>,
    run: (body: A) => Effect.Effect<Result.Result<void, string>>
  ) =>
    router.add("POST", path, (request) =>
      Effect.match(Effect.flatMap(body(request, schema), run), {
        onSuccess: (result) => Result.isSuccess(result) ? done : toResponse(invalid(result.failure)),
        onFailure: toResponse
      }))
  yield* router.add("GET", "/health", HttpServerResponse.jsonUnsafe({ ok: true }))
  yield* router.add("GET", "/ledger", Effect.sync(() => HttpServerResponse.jsonUnsafe(simulator.ledger())))
  yield* router.add(
    "GET",
    "/admin/webhooks",
    Effect.sync(() => HttpServerResponse.jsonUnsafe(simulator.webhooks.stats()))
  )
  yield* router.add(
    "POST",
    "/admin/reset",
    Effect.sync(() => {
      simulator.reset()
      return done
    })
  )
  yield* post("/admin/plan", Wire.Planned, (plan) => Effect.sync(() => simulator.plan(plan)))
  yield* post(
    "/admin/webhooks",
    Wire.Endpoint,
    (endpoint) =>
      Effect.sync(() => simulator.webhooks.register(endpoint) ? Result.void : Result.fail("too many endpoints"))
  )
  yield* post("/admin/challenges", Wire.ChallengeAnswer, ({ answer, id }) => simulator.answer(id, answer))
  yield* post(
    "/admin/webhooks/redeliver",
    Wire.Redelivery,
    ({ id }) =>
      Effect.map(simulator.webhooks.redeliver(id), (known) => known ? Result.void : Result.fail("unknown event"))
  )
})

const authorization: Read<typeof Wire.Authorization.Type> = ({ amountMinor, capture = false, currency, ...rest }) => {
  const { merchantReference, token } = rest
  const terms = { capture, lapses: lapses(token), isChallenged: isChallenged(token), merchantReference }
  return {
    kind: "authorize",
    token,
    amountMinor,
    currency,
    execute: (books) => books.authorize(amountMinor, currency, terms)
  }
}

type Read<A> = (body: A, id: string) => Omit<Simulator.Incoming, "key" | "fingerprint" | "plan">

const invalid = (code: string, field?: string): Wire.Reply =>
  Wire.failure(400, "invalid_request", code, field === undefined ? {} : { field })

const toResponse = ({ body, headers, status }: Wire.Answer): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.jsonUnsafe(body, { status, ...headers === undefined ? {} : { headers } })

const authorized = <E, R>(
  { headers }: HttpServerRequest.HttpServerRequest,
  apiKey: string | undefined,
  handler: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
): Effect.Effect<HttpServerResponse.HttpServerResponse, E, R> =>
  apiKey === undefined || headers["authorization"] === `Bearer ${apiKey}`
    ? handler
    : Effect.succeed(toResponse(Wire.failure(401, "authentication", "api_key_invalid")))

const body = <A>(request: HttpServerRequest.HttpServerRequest, schema: Schema.Codec<A, unknown>) =>
  request.text.pipe(
    Effect.provideService(HttpIncomingMessage.MaxBodySize, bodyMax),
    Effect.mapError(() => Wire.failure(413, "invalid_request", "body_unreadable_or_too_large")),
    Effect.flatMap((text) =>
      Effect.mapError(
        Schema.decodeEffect(Schema.fromJsonString(schema))(text === "" ? "{}" : text),
        () => invalid("body_malformed")
      )
    )
  )

const operate = Effect.fnUntraced(function*<A>(
  simulator: Simulator.Simulator,
  request: HttpServerRequest.HttpServerRequest,
  schema: Schema.Codec<A, unknown>,
  read: Read<A>
) {
  const key = request.headers["idempotency-key"]
  if (!Wire.isKey(key)) return toResponse(invalid("idempotency_key_invalid", "idempotency-key"))
  const decoded = yield* Effect.result(body(request, schema))
  if (Result.isFailure(decoded)) return toResponse(decoded.failure)
  const { id = "" } = yield* HttpRouter.params
  const { fault, reply } = yield* simulator.operate({
    ...read(decoded.success, id),
    key,
    fingerprint: `${request.url} ${JSON.stringify(decoded.success)}`,
    plan: request.headers["x-sim-plan"]
  })
  return yield* deliver(request, fault, reply)
})

const lookup = (simulator: Simulator.Simulator, key: string) => {
  const { fault, known } = simulator.lookup(key)
  if (fault.name === "lookup-hang") return Effect.never
  if (fault.name === "lookup-fault-500") return Effect.succeed(toResponse(broken))
  if (known === undefined && fault.name !== "lookup-pending") {
    return Effect.succeed(toResponse(Wire.failure(404, "not_found", "unknown_key", { field: "key" })))
  }
  const reply = fault.name === "lookup-pending" ? undefined : known?.reply
  return Effect.succeed(HttpServerResponse.jsonUnsafe(
    reply === undefined
      ? { key, state: "in_progress" }
      : "error" in reply.body
      ? { key, state: "refused", status: reply.status, error: reply.body.error }
      : { key, state: "completed", transaction: reply.body }
  ))
}

const broken = Wire.failure(500, "api_error", "internal")

/** Lets the answer through, or what the fault makes of it. */
const deliver = (
  request: HttpServerRequest.HttpServerRequest,
  fault: Fault,
  reply: Wire.Answer
): Effect.Effect<HttpServerResponse.HttpServerResponse> => {
  const text = (body: string, contentType = "application/json", status = 201) =>
    Effect.succeed(HttpServerResponse.text(body, { status, contentType }))
  switch (fault.name) {
    case "fault-500-before":
    case "fault-500-after":
      return Effect.succeed(toResponse(broken))
    case "fail-after":
      return text("<html><body><h1>502 Bad Gateway</h1></body></html>", "text/html", 502)
    case "unavailable-after":
      return Effect.succeed(toResponse(Wire.failure(503, "unavailable", "overloaded")))
    case "drop-before":
    case "lost-reply":
      return cut(request, (response) => response.socket?.destroy())
    case "reset-reply":
      return cut(request, (response) => response.socket?.resetAndDestroy())
    case "hang-before":
    case "hang-after":
      return Effect.never
    case "garbage":
      return text("{\"id\": \"auth_")
    case "wrong-shape":
      return text("{\"ok\":true}")
    case "wrong-amount":
      return text(JSON.stringify({ ...reply.body, amountMinor: "1" }))
    case "oversized":
      return text(JSON.stringify({ ...reply.body, padding: "x".repeat(oversizedBytes) }))
    case "truncated":
      return cut(request, (response) => {
        response.writeHead(201, { "content-type": "application/json", "content-length": "1000" })
        response.write("{\"id\":", () => response.socket?.destroy())
      })
    case "rate-limit":
      return Effect.succeed(toResponse(throttled(String(fault.value))))
    case "rate-limit-date":
      return Effect.clockWith((clock) => {
        const at = new Date(clock.currentTimeMillisUnsafe() + fault.value * 1000)
        return Effect.succeed(toResponse(throttled(at.toUTCString())))
      })
    default:
      return Effect.succeed(toResponse(reply))
  }
}

const throttled = (retryAfter: string): Wire.Reply =>
  Wire.failure(429, "rate_limited", "too_many_requests", { processed: false }, { "retry-after": retryAfter })

/** Takes the connection away. The fiber of the request ends with it. */
const cut = (
  request: HttpServerRequest.HttpServerRequest,
  end: (response: ServerResponse) => void
): Effect.Effect<never> =>
  Effect.suspend(() => {
    end(NodeHttpServerRequest.toServerResponse(request) as ServerResponse)
    return Effect.never
  })
