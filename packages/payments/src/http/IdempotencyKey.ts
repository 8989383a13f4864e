/**
 * `Idempotency-Key` for an HTTP API (draft-ietf-httpapi-idempotency-key-header): a request runs at most once per key, and
 * each later one with the key gets the first response, byte for byte.
 *
 * It prevents the double charge of a client that did not get its answer: a timeout, a lost connection, a server that was
 * stopped in the middle. It is `Idempotency.idempotent` around the handler, with all that holds there: an end that nobody
 * knows is looked up and never run again on a guess, gateway calls carry a stable downstream key, and they compile in the
 * handler since the middleware provides their `Claim`.
 *
 * - The key is a string of RFC 8941 in the `Idempotency-Key` header: `Idempotency-Key: "8e03978e-40d5"`.
 * - It belongs to the tenant and to the route, method and path pattern: the same key elsewhere is another one.
 * - The request is method, path, query and the bytes of the body. The same key with another request is a 422.
 * - `GET`, `HEAD`, `OPTIONS`, `TRACE` and `QUERY` are left alone: the key is not looked at.
 * - A replay says `Idempotency-Replayed: true`.
 *
 * What a handler's response says of the operation:
 *
 * | response | outcome | later requests with the key |
 * |---|---|---|
 * | 2xx, 3xx, 4xx | final | get the same response |
 * | 425, 429, a request that does not decode | not executed | run the handler |
 * | 5xx, a defect, an interruption | unknown | are looked up by `resolve`, else 504; the handler does not run |
 *
 * An error with a `disposition` says it itself, whatever its status. A final response while a gateway call is in doubt is
 * not taken for final. `outcome` overrides the table for statuses.
 *
 * What is kept is the status, the body and the headers that the handler has set, without cookies and what belongs to a
 * connection. What others add outside of the middleware is not kept, nor what a handler adds by a pre-response handler.
 *
 * | option | default | bounds |
 * |---|---|---|
 * | `version` | 1 | 1 to 1,000,000 |
 * | `bodyLimitBytes` | 1 MiB | 1 byte to 8 MiB |
 * | `responseLimitBytes` | 256 KiB | 1 byte to 8 MiB |
 * | `onInterrupt` | `"detach"`: a client that hangs up does not stop the operation | |
 *
 * The rest are those of `Idempotency`. A key is 1 to 255 printable ASCII characters; its header at most 2,048 bytes.
 *
 * Read `IdempotencyProblem` for what a client is told.
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"
import * as Idempotency from "../Idempotency.ts"
import { HttpApiMiddleware, HttpRouter, type HttpServerResponse } from "../internal/effect/http.ts"
import { guard, type Provides as Provides_ } from "../internal/http/guard.ts"
import { parseKey } from "../internal/http/key.ts"
import { failuresOf, noFailures, type Outcome as Outcome_ } from "../internal/http/outcome.ts"
import { serializeString } from "../internal/http/structuredField.ts"
import * as Problem from "./IdempotencyProblem.ts"

type Response = HttpServerResponse.HttpServerResponse

/**
 * What a response says of its operation: see the table of this module.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome = Outcome_

/**
 * What a handler behind the middleware may need beyond its own services: the `Claim` of its gateway calls, and that a
 * retry and its like stand inside of idempotency.
 *
 * @category models
 * @since 0.1.0
 */
export type Provides = Provides_

/**
 * Options of {@link layer} and {@link middleware}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<R = never, R2 = never> extends
  Partial<
    Pick<
      Idempotency.Options<never, never, never>,
      "attemptsMax" | "awaitAtMost" | "duplicates" | "lease" | "onInterrupt" | "resolveTimeout" | "settle" | "ttl"
    >
  >
{
  /**
   * Whose keys they are: a key of one tenant never answers for another. From who has been authenticated, not from what the
   * request says. 1 to 255 printable ASCII characters.
   */
  readonly tenant: string | Effect.Effect<string, never, R>
  /** Raise it when the responses of a route change shape. */
  readonly version?: number | undefined
  /** Takes keys without quotes too, as many APIs have them: visible ASCII without `"`, `\\`, `,` and `;`. */
  readonly unquoted?: boolean | undefined
  readonly bodyLimitBytes?: number | undefined
  /** What is longer is not stored: `ResponseLost`, and the handler does not run again. */
  readonly responseLimitBytes?: number | undefined
  /** Which headers of a response are kept, by their names in lower case: by default all that this module says. */
  readonly keepHeader?: ((name: string) => boolean) | undefined
  /** What a status says of the operation, where it is not what the table of this module says. */
  readonly outcome?: ((status: number) => Outcome) | undefined
  /** Looks up a request whose end nobody knows, and answers it: see {@link respondWith}. */
  readonly resolve?: Idempotency.Resolver<Response, Response, R2> | undefined
  /** Where your API explains its keys: sent as `Link` with `rel="describedby"` beside each problem. */
  readonly documentation?: string | undefined
}

/**
 * Declares the middleware for an `HttpApi`: its errors are the problems of `IdempotencyProblem`, which typed clients
 * decode, and handlers behind it may make gateway calls. `requires` is what a middleware outside provides that `tenant`
 * reads.
 *
 * **Example**
 *
 * ```ts
 * import { NodeCrypto } from "@effect/platform-node"
 * import { Effect, Layer, Schema } from "effect"
 * import { Idempotency, IdempotencyStore } from "effect-payments"
 * import { IdempotencyKey } from "effect-payments/http"
 * import { HttpRouter, HttpServer } from "effect/http"
 * import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
 *
 * class ChargeKey extends IdempotencyKey.Service<ChargeKey>()("shop/ChargeKey") {}
 *
 * const Charge = Schema.Struct({ id: Schema.String })
 * const Api = HttpApi.make("shop").add(
 *   HttpApiGroup.make("charges").add(
 *     HttpApiEndpoint.post("create", "/charges", {
 *       headers: { "idempotency-key": IdempotencyKey.KeyFromHeader },
 *       payload: Schema.Struct({ order: Schema.String }),
 *       success: Charge
 *     }).middleware(ChargeKey)
 *   )
 * )
 *
 * let charges = 0
 * const handlers = HttpApiBuilder.group(Api, "charges", (handlers) =>
 *   handlers.handle("create", ({ payload }) => Effect.sync(() => ({ id: `${payload.order}-${++charges}` })))
 * )
 *
 * const { dispose, handler } = HttpRouter.toWebHandler(
 *   HttpApiBuilder.layer(Api).pipe(
 *     Layer.provide(handlers),
 *     Layer.provide(IdempotencyKey.layer(ChargeKey, { tenant: "acme" })),
 *     Layer.provide(Idempotency.layer()),
 *     Layer.provide([IdempotencyStore.layerStoreMemory(), NodeCrypto.layer]),
 *     Layer.provide(HttpServer.layerServices)
 *   ),
 *   { disableLogger: true }
 * )
 * const post = () =>
 *   handler(
 *     new Request("http://localhost/charges", {
 *       method: "POST",
 *       headers: { "content-type": "application/json", "idempotency-key": `"8e03978e"` },
 *       body: `{"order":"A"}`
 *     })
 *   )
 * const first = await post()
 * const second = await post()
 * const bodies = [await first.text(), await second.text()]
 * const replayed = second.headers.get("idempotency-replayed")
 * await dispose()
 * bodies // => [`{"id":"A-1"}`, `{"id":"A-1"}`]
 * replayed // => "true"
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export const Service =
  <Self, Config extends { readonly requires?: unknown } = { readonly requires: never }>() =>
  <const Id extends string>(id: Id) =>
    HttpApiMiddleware.Service<Self, {
      requires: Config extends { readonly requires: infer R } ? R : never
      provides: Provides
    }>()(id, { error: Problem.all })

type Problems = typeof Problem.all

/**
 * The implementation of a middleware that {@link Service} has declared. Dies with `Resilience.InvalidOption` when it
 * is built.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <Self, Requires, R extends Requires | HttpRouter.Provided = never, R2 = never>(
  service: Context.Service<Self, HttpApiMiddleware.HttpApiMiddleware<Provides, Problems, Requires>>,
  options: Options<R, R2>
): Layer.Layer<Self, never, Idempotency.Idempotency | R2> =>
  Layer.effect(
    service,
    Effect.map(
      guard(options),
      (apply) => (httpEffect, { endpoint }) => apply(httpEffect, failuresOf(endpoint))
    )
  )

/**
 * The same for routes of an `HttpRouter`: provide its `layer` to them, or `combine` it with the middleware that provides
 * what `tenant` reads. Dies with `Resilience.InvalidOption` when it is built.
 *
 * **Example**
 *
 * ```ts
 * import { NodeCrypto } from "@effect/platform-node"
 * import { Layer } from "effect"
 * import { Idempotency, IdempotencyStore } from "effect-payments"
 * import { IdempotencyKey } from "effect-payments/http"
 * import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
 *
 * const routes = HttpRouter.add("POST", "/charges", HttpServerResponse.text("charged", { status: 201 })).pipe(
 *   Layer.provide(IdempotencyKey.middleware({ tenant: "acme" }).layer),
 *   Layer.provide(Idempotency.layer()),
 *   Layer.provide([IdempotencyStore.layerStoreMemory(), NodeCrypto.layer]),
 *   Layer.provideMerge(HttpServer.layerServices)
 * )
 * const { dispose, handler } = HttpRouter.toWebHandler(routes, { disableLogger: true })
 *
 * const { status } = await handler(new Request("http://localhost/charges", { method: "POST" }))
 * await dispose()
 * status // => 400
 * ```
 *
 * @category middleware
 * @since 0.1.0
 */
export const middleware = <R = never, R2 = never>(
  options: Options<R, R2>
): HttpRouter.Middleware<{
  provides: Provides
  handles: never
  error: never
  requires: Exclude<R, HttpRouter.Provided>
  layerError: never
  layerRequires: Idempotency.Idempotency | R2
}> =>
  HttpRouter.middleware<{ provides: Provides }>()(
    Effect.map(guard(options), (apply) => (httpEffect) => apply(httpEffect, noFailures))
  ) as never

/**
 * A resolver of responses out of one of the operation, such as `Idempotency.resolveByLookup`: what has happened and what
 * was refused become the response that the handler would have given.
 *
 * **Example**
 *
 * ```ts
 * import { Idempotency } from "effect-payments"
 * import { IdempotencyKey } from "effect-payments/http"
 * import { HttpServerResponse } from "effect/http"
 *
 * const resolve = IdempotencyKey.respondWith(Idempotency.resolveByLookup({ phases: ["authorize"] }), {
 *   happened: ({ id }) => HttpServerResponse.jsonUnsafe({ id }, { status: 201 }),
 *   refused: ({ reason }) => HttpServerResponse.jsonUnsafe({ reason: reason._tag }, { status: 402 })
 * })
 *
 * resolve.phases // => ["authorize"]
 * ```
 *
 * @category resolvers
 * @since 0.1.0
 */
export const respondWith = <A, E, R>(
  resolver: Idempotency.Resolver<A, E, R>,
  responses: { readonly happened: (result: A) => Response; readonly refused: (error: E) => Response }
): Idempotency.Resolver<Response, Response, R> =>
  Object.assign(
    (context: Idempotency.ResolveContext) =>
      Effect.map(resolver(context), (resolution): Idempotency.Resolution<Response, Response> => {
        switch (resolution._tag) {
          case "Happened":
            return { _tag: "Happened", result: responses.happened(resolution.result) }
          case "Refused":
            return { _tag: "Refused", error: responses.refused(resolution.error) }
          default:
            return resolution
        }
      }),
    { phases: resolver.phases }
  )

// --- the key

/**
 * Reads the key of a header: its value, or what is wrong with it. Nothing of it is repeated there.
 *
 * **Example**
 *
 * ```ts
 * import { Result } from "effect"
 * import { IdempotencyKey } from "effect-payments/http"
 *
 * IdempotencyKey.fromHeader(`"8e03978e"`) // => Result.succeed("8e03978e")
 * IdempotencyKey.fromHeader("8e03978e") // => Result.fail("it is not in double quotes")
 * IdempotencyKey.fromHeader("8e03978e", { unquoted: true }) // => Result.succeed("8e03978e")
 * ```
 *
 * @category keys
 * @since 0.1.0
 */
export const fromHeader = (
  field: string,
  options?: { readonly unquoted?: boolean | undefined }
): Result.Result<Idempotency.Key, string> => parseKey(field, options?.unquoted === true)

/**
 * Writes a key as its header.
 *
 * @category keys
 * @since 0.1.0
 */
export const toHeader = (key: Idempotency.Key): string => serializeString(key)

/**
 * A key and its header: for the `headers` of an endpoint, so that a typed client asks for the key.
 *
 * @category keys
 * @since 0.1.0
 */
export const KeyFromHeader: Schema.Codec<Idempotency.Key, string> = Schema.String.pipe(
  Schema.decodeTo(
    Idempotency.Key,
    SchemaTransformation.transformEffect({
      decode: (field, options) =>
        Result.match(parseKey(field, false), {
          onFailure: (expected) => Effect.fail(new SchemaIssue.InvalidValue({ expected }, field, options)),
          onSuccess: (key) => Effect.succeed(key as string)
        }),
      encode: (key) => Effect.succeed(serializeString(key))
    })
  )
)
