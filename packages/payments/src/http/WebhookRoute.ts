/**
 * A route that takes webhooks: the raw body in, a status out.
 *
 * It prevents the mistake that breaks most verifications, a body that a framework has parsed before: the route reads the
 * bytes itself, up to the limit of the endpoint, and nothing reads them before it. What it answers decides whether the
 * provider delivers again:
 *
 * | status | what has happened | delivered again |
 * |---|---|---|
 * | 200 `{"received":true}` | handled now | no |
 * | 200 `{"received":true,"duplicate":true}` | handled before | no |
 * | 400 | refused: forged, malformed, too old, no id | by some, to no avail |
 * | 409 with `Retry-After` | being handled at the moment | yes |
 * | 413 | the body is too large | by some, to no avail |
 * | 422 | the id came before with another content | by some, to no avail |
 * | 500 | the handler failed | yes |
 * | 503 with `Retry-After` | the store is silent, the handler took too long, or another process took over | yes |
 *
 * A failure is answered as `application/problem+json` (RFC 9457) with the tag of the reason as `reason`; of a handler's
 * failure nothing is told. Refusals are logged as warnings, the rest as errors, scrubbed.
 *
 * Read `Webhook` next.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { type AtLeastOnceInbox, type Inbox, InboxError } from "../Inbox.ts"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "../internal/effect/http.ts"
import * as body from "../internal/http/body.ts"
import * as Redaction from "../Redaction.ts"
import * as Signature from "../Signature.ts"
import * as Webhook from "../Webhook.ts"

/** What handles an event. Its result is dropped. */
type Handler<E, R> = (event: Webhook.Attempt) => Effect.Effect<unknown, E, R>

/**
 * A `POST` route over `Webhook.handle`. What the handler needs is needed by the layer.
 *
 * **Example**
 *
 * ```ts
 * import { SqliteClient } from "@effect-payments/sqlite"
 * import { NodeCrypto } from "@effect/platform-node"
 * import { Effect, Layer, Redacted } from "effect"
 * import { Inbox, Signature, Webhook } from "effect-payments"
 * import { WebhookRoute } from "effect-payments/http"
 * import { HttpRouter, HttpServer } from "effect/http"
 *
 * const secrets = [Redacted.make("whsec_test_secret")]
 * const route = Layer.unwrap(
 *   Effect.map(
 *     Webhook.endpoint({ name: "shop", scheme: Signature.stripe, secrets }),
 *     (stripe) => WebhookRoute.layer("/webhooks/stripe", stripe, (event) => Effect.logInfo(`event ${event.id}`))
 *   )
 * )
 * const layer = route.pipe(
 *   Layer.provide(Inbox.layerStoreSql()),
 *   Layer.provide([NodeCrypto.layer, SqliteClient.layer({ filename: ":memory:" })]),
 *   Layer.provideMerge(HttpServer.layerServices)
 * )
 * const { dispose, handler } = HttpRouter.toWebHandler(layer, { disableLogger: true })
 *
 * const forged = new Request("http://localhost/webhooks/stripe", { method: "POST", body: "{}" })
 * const { status } = await handler(forged)
 * await dispose()
 * status // => 400
 * ```
 *
 * @category routes
 * @since 0.1.0
 */
export const layer = <E, R>(
  path: HttpRouter.PathInput,
  endpoint: Webhook.Endpoint,
  handler: Handler<E, R>
): Layer.Layer<never, never, HttpRouter.HttpRouter | Inbox | Exclude<R, Scope.Scope>> =>
  add(path, (request) => respondBy(endpoint, request, (request) => Webhook.handle(endpoint, request, handler)))

/**
 * The same over `Webhook.handleAtLeastOnce`.
 *
 * @category routes
 * @since 0.1.0
 */
export const layerAtLeastOnce = <E, R>(
  path: HttpRouter.PathInput,
  endpoint: Webhook.Endpoint,
  handler: Handler<E, R>
): Layer.Layer<never, never, HttpRouter.HttpRouter | AtLeastOnceInbox | Exclude<R, Scope.Scope>> =>
  add(
    path,
    (request) => respondBy(endpoint, request, (request) => Webhook.handleAtLeastOnce(endpoint, request, handler))
  )

type Response = HttpServerResponse.HttpServerResponse

const add = <R>(
  path: HttpRouter.PathInput,
  respond: (request: HttpServerRequest.HttpServerRequest) => Effect.Effect<Response, never, R>
): Layer.Layer<never, never, HttpRouter.HttpRouter | Exclude<R, Scope.Scope>> =>
  HttpRouter.use((router) =>
    Effect.flatMap(Effect.context<R>(), (context) =>
      router.add(
        "POST",
        path,
        // With all of R provided nothing is left, which TypeScript does not see for any R.
        (request) => Effect.provideContext(respond(request), context) as Effect.Effect<Response>
      ))
  )

/**
 * The response to the request of this fiber, for a server that routes in another way.
 *
 * @category responses
 * @since 0.1.0
 */
export const respond = <E, R>(
  endpoint: Webhook.Endpoint,
  handler: Handler<E, R>
): Effect.Effect<Response, never, R | Inbox | HttpServerRequest.HttpServerRequest> =>
  Effect.flatMap(
    HttpServerRequest.HttpServerRequest,
    (request) => respondBy(endpoint, request, (request) => Webhook.handle(endpoint, request, handler))
  )

/**
 * The same over `Webhook.handleAtLeastOnce`.
 *
 * @category responses
 * @since 0.1.0
 */
export const respondAtLeastOnce = <E, R>(
  endpoint: Webhook.Endpoint,
  handler: Handler<E, R>
): Effect.Effect<
  Response,
  never,
  R | AtLeastOnceInbox | HttpServerRequest.HttpServerRequest
> =>
  Effect.flatMap(
    HttpServerRequest.HttpServerRequest,
    (request) => respondBy(endpoint, request, (request) => Webhook.handleAtLeastOnce(endpoint, request, handler))
  )

const respondBy = <E, R>(
  endpoint: Webhook.Endpoint,
  request: HttpServerRequest.HttpServerRequest,
  handle: (request: Signature.Request) => Effect.Effect<Webhook.Outcome<unknown>, E, R>
): Effect.Effect<Response, never, R> =>
  readBody(endpoint, request).pipe(
    Effect.flatMap((body) => handle({ headers: request.headers, body })),
    Effect.matchCauseEffect({
      onSuccess: ({ _tag }) =>
        Effect.succeed(
          HttpServerResponse.jsonUnsafe(_tag === "Duplicate" ? { received: true, duplicate: true } : { received: true })
        ),
      onFailure: (cause) => refuse(endpoint, cause)
    })
  )

// --- the body

/** The body did not arrive as a whole, or something has read it before. */
class BodyUnreadable {
  readonly _tag = "BodyUnreadable"
}

const readBody = (
  { bodyLimitBytes, provider }: Webhook.Endpoint,
  request: HttpServerRequest.HttpServerRequest
): Effect.Effect<Uint8Array, Signature.SignatureError | BodyUnreadable> =>
  Effect.mapError(body.readBody(request, bodyLimitBytes), (fault) => {
    const reason = new Signature.BodyTooLarge({ limitBytes: bodyLimitBytes })
    return fault === "too large" ? new Signature.SignatureError({ scheme: provider, reason }) : new BodyUnreadable()
  })

// --- failures

interface Answer {
  readonly status: number
  readonly reason: string
  readonly detail?: string
  readonly retryAfterSeconds?: number
}

const failed: Answer = { status: 500, reason: "HandlerFailed" }

const answerOf = (error: unknown): Answer => {
  if (error instanceof Signature.SignatureError) {
    const { _tag } = error.reason
    return { status: _tag === "BodyTooLarge" ? 413 : 400, reason: _tag, detail: error.message }
  }
  if (error instanceof BodyUnreadable) return { status: 400, reason: error._tag }
  return error instanceof InboxError ? ofInbox(error) : failed
}

const ofInbox = ({ message: detail, reason }: InboxError): Answer => {
  switch (reason._tag) {
    case "InFlight":
      return {
        status: 409,
        reason: reason._tag,
        detail,
        retryAfterSeconds: Math.max(1, Math.ceil(Duration.toSeconds(reason.retryAfter)))
      }
    case "EventConflict":
      return { status: 422, reason: reason._tag, detail }
    case "HandlerTimeout":
    case "ClaimLost":
    case "StoreUnavailable":
      return { status: 503, reason: reason._tag, detail, retryAfterSeconds: 5 }
    default:
      return failed
  }
}

const refuse = <E>(
  endpoint: Webhook.Endpoint,
  cause: Cause.Cause<E>
): Effect.Effect<Response> => {
  // Nobody waits for an answer any more.
  if (Cause.hasInterruptsOnly(cause)) return Effect.interrupt
  const answer = cause.reasons.every(Cause.isFailReason) ? answerOf(Cause.squash(cause)) : failed
  return Effect.as(log(endpoint, answer, cause), responseOf(answer))
}

const log = <E>(endpoint: Webhook.Endpoint, { reason, status }: Answer, cause: Cause.Cause<E>): Effect.Effect<void> => {
  const text = status < 500 && status !== 422
    ? Effect.logWarning(`webhook refused: ${reason}`)
    : Effect.logError(`webhook not handled: ${reason}`, Redaction.scrub(Cause.pretty(cause)))
  return Effect.annotateLogs(text, { provider: endpoint.provider, endpoint: endpoint.name })
}

const responseOf = ({ detail, reason, retryAfterSeconds, status }: Answer) =>
  HttpServerResponse.jsonUnsafe(
    { type: "about:blank", status, reason, ...(detail === undefined ? {} : { detail }) },
    {
      status,
      contentType: "application/problem+json",
      headers: {
        ...(retryAfterSeconds === undefined ? {} : { "retry-after": String(retryAfterSeconds) }),
        // The rest of the body is not worth reading.
        ...(status === 413 ? { connection: "close" } : {})
      }
    }
  )
