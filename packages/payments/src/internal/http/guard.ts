/**
 * A handler under idempotency keys: what is asked of a request, and what its client is told.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { unhandled } from "effect/Types"
import type { Options } from "../../http/IdempotencyKey.ts"
import * as Problem from "../../http/IdempotencyProblem.ts"
import * as Idempotency from "../../Idempotency.ts"
import { InvalidOption } from "../../Resilience.ts"
import {
  type Cookies,
  HttpEffect,
  HttpRouter,
  HttpServerRequest,
  HttpServerRespondable,
  HttpServerResponse
} from "../effect/http.ts"
import { policyOf as tunedBy } from "../idempotency/policy.ts"
import { partExpected, partPattern } from "../idempotency/record.ts"
import { reader } from "../option/option.ts"
import type { Marker } from "../stack/markers.ts"
import { ReadOnly } from "../stack/readOnly.ts"
import { readBody, withBody } from "./body.ts"
import { parseKey } from "./key.ts"
import { type Ended, ended, type Failures, outcomeOfStatus, read } from "./outcome.ts"
import { capture, replayHeader, responseOf, type StoredResponse, storedResponse } from "./stored.ts"

type Response = HttpServerResponse.HttpServerResponse

/** @internal */
export type Provides = Idempotency.Claim | Marker

/** @internal Puts a handler under keys. */
export interface Guard<R> {
  <R2>(handler: Effect.Effect<Response, unhandled, R2>, failures: Failures): Effect.Effect<
    Response,
    unhandled,
    Exclude<R2, Provides> | R | HttpRouter.Provided
  >
}

/** The options of the middleware, checked, and the services of its layer. */
interface Policy<R> {
  readonly options: Options<R, unknown>
  readonly runtime: Idempotency.Idempotency["Service"]
  readonly tenant: Effect.Effect<string, never, R>
  readonly version: number
  readonly bodyLimitBytes: number
  readonly limitBytes: number
  readonly keeps: (header: string) => boolean
  readonly success: Schema.Codec<StoredResponse, unknown>
  readonly resolve: Idempotency.Resolver<StoredResponse, Ended, never> | undefined
}

const mebibyte = 1_048_576

const policyOf = Effect.fnUntraced(function*<R, R2>(
  options: Options<R, R2>
): Effect.fn.Return<Policy<R>, never, Idempotency.Idempotency | R2> {
  const { integer, matching } = reader("IdempotencyKey")
  const tuned = tunedBy(options)
  if (tuned instanceof InvalidOption) return yield* Effect.die(tuned)
  const { documentation, tenant } = options
  if (documentation !== undefined) yield* matching("documentation", documentation, /^[!#-;=?-~]{1,2000}$/, "a URL")
  const limitBytes = yield* integer("responseLimitBytes", options.responseLimitBytes ?? mebibyte / 4, 1, 8 * mebibyte)
  const keeps = options.keepHeader ?? (() => true)
  return {
    options,
    runtime: yield* Idempotency.Idempotency,
    tenant: typeof tenant === "string"
      ? Effect.succeed(yield* matching("tenant", tenant, partPattern, partExpected))
      : tenant,
    version: yield* integer("version", options.version ?? 1, 1, 1_000_000),
    bodyLimitBytes: yield* integer("bodyLimitBytes", options.bodyLimitBytes ?? mebibyte, 1, 8 * mebibyte),
    limitBytes,
    keeps,
    success: storedResponse(limitBytes),
    resolve: options.resolve &&
      storedBy(options.resolve, yield* Effect.context<R2>(), (response) => capture(response, { limitBytes, keeps }))
  }
})

/** @internal Dies with `InvalidOption`. */
export const guard = <R, R2>(
  options: Options<R, R2>
): Effect.Effect<Guard<R>, never, Idempotency.Idempotency | R2> =>
  Effect.map(policyOf(options), (policy) => {
    // What a handler may need of a key is there where its method has one, which the types cannot know.
    const guarded = <R3>(handler: Effect.Effect<Response, unhandled, R3>, failures: Failures) => {
      const run = runner(policy, handler, failures)
      return Effect.flatMap(
        HttpServerRequest.HttpServerRequest,
        (request): Effect.Effect<Response, unhandled, R | R3 | HttpRouter.Provided> =>
          safeMethods.has(request.method)
            // Safe for the caller too: there an unknown outcome may be tried again.
            ? Effect.provideService(handler, ReadOnly, true)
            : Effect.matchCauseEffect(admit(request, policy), {
              onFailure: (cause) => refuseOrDie(cause, policy),
              onSuccess: run
            })
      )
    }
    return guarded as Guard<R>
  })

// --- a request

// Safe by RFC 9110, section 9.2.1, and by that of QUERY: they run as often as they are asked for.
const safeMethods = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "QUERY"])

interface Payload {
  readonly method: string
  readonly path: string
  readonly query: string
  readonly body: Uint8Array
}

const Payload = Schema.Struct({
  method: Schema.String,
  path: Schema.String,
  query: Schema.String,
  body: Schema.Uint8ArrayFromBase64
})

interface Admitted {
  readonly request: HttpServerRequest.HttpServerRequest
  readonly key: Idempotency.Key
  readonly scope: Idempotency.Scope
  readonly body: Uint8Array
}

const admit = Effect.fnUntraced(function*<R>(
  request: HttpServerRequest.HttpServerRequest,
  policy: Policy<R>
): Effect.fn.Return<Admitted, Problem.IdempotencyProblem, R | HttpRouter.RouteContext> {
  const { bodyLimitBytes, options, tenant, version } = policy
  const field = request.headers["idempotency-key"]
  if (field === undefined) return yield* new Problem.KeyMissing({})
  const key = parseKey(field, options.unquoted === true)
  if (Result.isFailure(key)) return yield* new Problem.KeyMalformed({ detail: key.failure })
  const body = yield* Effect.mapError(
    readBody(request, bodyLimitBytes),
    (fault) =>
      fault === "too large" ? new Problem.BodyTooLarge({ limitBytes: bodyLimitBytes }) : new Problem.BodyUnreadable({})
  )
  const { route } = yield* HttpRouter.RouteContext
  const operation = `${request.method} ${route.path}`
  const scope = yield* Effect.orDie(decodeScope({ tenant: yield* tenant, operation, version }))
  return { request, key: key.success, scope, body }
})

const decodeScope = Schema.decodeUnknownEffect(Idempotency.Scope)

const payloadOf = ({ body, request: { method, url } }: Admitted): Payload => {
  const [path = "", query = ""] = (url.split("#", 1)[0] ?? "").split(/\?(.*)/s)
  return { method, path, query, body }
}

// --- the handler

/** What this request has seen of the handler: nothing, if another one has run it. */
class Own {
  hasRun = false
  cookies: Cookies.Cookies | undefined = undefined
}

const runner = <R, R2>(policy: Policy<R>, handler: Effect.Effect<Response, unhandled, R2>, failures: Failures) => {
  const { bodyLimitBytes, keeps, limitBytes, options, resolve, runtime, success } = policy
  const { outcome: outcomeOf = outcomeOfStatus } = options
  const how = {
    attemptsMax: options.attemptsMax,
    awaitAtMost: options.awaitAtMost,
    duplicates: options.duplicates,
    lease: options.lease,
    onInterrupt: options.onInterrupt ?? "detach",
    resolveTimeout: options.resolveTimeout,
    settle: options.settle,
    ttl: options.ttl,
    payloadLimitBytes: base64Length(bodyLimitBytes) + headLimitBytes,
    resultLimitBytes: base64Length(limitBytes) + headLimitBytes,
    payloadSchema: Payload,
    success,
    error: ended(success, failures),
    resolve
  } as const
  return (admitted: Admitted) => {
    const own = new Own()
    const handled = Effect.suspend(() => {
      own.hasRun = true
      const onResponse = (cookies: Cookies.Cookies) => void (own.cookies = cookies)
      return read(handler, { limitBytes, keeps, outcomeOf, failures, onResponse })
    })
    return handled.pipe(
      Effect.provideService(HttpServerRequest.HttpServerRequest, withBody(admitted.request, admitted.body)),
      Idempotency.idempotent({ ...how, scope: admitted.scope, key: admitted.key, payload: payloadOf(admitted) }),
      Effect.provideService(Idempotency.Idempotency, runtime),
      Effect.matchCauseEffect({
        onSuccess: (stored) => Effect.succeed(respond(stored, own)),
        onFailure: (cause) => respondTo(cause, own, policy)
      })
    )
  }
}

// Beside the body, with the path, the query and the headers.
const headLimitBytes = 131_072

const base64Length = (bytes: number): number => Math.ceil(bytes / 3) * 4

const storedBy = <R>(
  resolve: Idempotency.Resolver<Response, Response, R>,
  services: Context.Context<R>,
  store: (response: Response) => Effect.Effect<StoredResponse>
): Idempotency.Resolver<StoredResponse, Ended, never> =>
  Object.assign(
    (context: Idempotency.ResolveContext) =>
      resolve(context).pipe(
        Effect.flatMap((resolution): Effect.Effect<Idempotency.Resolution<StoredResponse, Ended>> => {
          switch (resolution._tag) {
            case "Happened":
              return Effect.map(store(resolution.result), (result) => ({ _tag: "Happened", result }))
            case "Refused":
              return Effect.map(store(resolution.error), (response) => ({
                _tag: "Refused",
                error: { _tag: "Response", disposition: "Refused", response }
              }))
            default:
              return Effect.succeed(resolution)
          }
        }),
        Effect.provideContext(services)
      ),
    { phases: resolve.phases }
  )

// --- a response

const respond = (stored: StoredResponse, { cookies, hasRun }: Own): Response =>
  responseOf(stored, { replayed: !hasRun, cookies })

const respondTo = <R>(
  cause: Cause.Cause<Ended | Idempotency.IdempotencyError>,
  own: Own,
  policy: Policy<R>
): Effect.Effect<Response, unhandled, HttpServerRequest.HttpServerRequest> => {
  const reason = cause.reasons.length === 1 ? cause.reasons[0] : undefined
  if (reason?._tag !== "Fail") return Effect.failCause(cause as Cause.Cause<never>)
  const { error } = reason
  if (error instanceof Idempotency.IdempotencyError) {
    const problem = problemOf(error)
    // Without one it is a mistake in the program: nothing to tell a client.
    return problem === undefined ? Effect.die(error) : refuse(problem, policy)
  }
  return error._tag === "Response" ? Effect.succeed(respond(error.response, own)) : failAgain(error.error, own)
}

// The API makes the same response of the same error; what it makes is marked when it is sent.
const failAgain = (
  error: unknown,
  { hasRun }: Own
): Effect.Effect<never, unhandled, HttpServerRequest.HttpServerRequest> => {
  const failed = Effect.fail(error as unhandled)
  return hasRun ? failed : HttpEffect.withPreResponseHandler(
    failed,
    (_, response) => Effect.succeed(HttpServerResponse.setHeader(response, replayHeader, "true"))
  )
}

const inFlightSeconds = 5
const storeSeconds = 5
const unknownSeconds = 30

const problemOf = ({ reason }: Idempotency.IdempotencyError): Problem.IdempotencyProblem | undefined => {
  switch (reason._tag) {
    case "KeyConflict":
      return new Problem.KeyReused({})
    case "InFlight": {
      // Most end long before their lease does.
      const seconds = Math.ceil(Duration.toSeconds(reason.retryAfter))
      return new Problem.RequestInFlight({ retryAfterSeconds: Math.max(1, Math.min(seconds, inFlightSeconds)) })
    }
    case "StoreUnavailable":
      return new Problem.StoreUnavailable({ retryAfterSeconds: storeSeconds })
    case "OutcomeUnknown":
      return new Problem.OutcomeUnknown({ retryAfterSeconds: unknownSeconds })
    case "Parked":
      return new Problem.OperationParked({})
    case "RecordUnreadable":
    case "ResultInvalid":
      return new Problem.ResponseLost({})
    default:
      return undefined
  }
}

const refuseOrDie = <R>(
  cause: Cause.Cause<Problem.IdempotencyProblem>,
  policy: Policy<R>
): Effect.Effect<Response> => {
  const problem = Cause.findErrorOption(cause)
  return problem._tag === "Some" ? refuse(problem.value, policy) : Effect.failCause(cause as Cause.Cause<never>)
}

const refuse = <R>(
  problem: Problem.IdempotencyProblem,
  { options: { documentation } }: Policy<R>
): Effect.Effect<Response> =>
  Effect.map(HttpServerRespondable.toResponse(problem), (response) =>
    HttpServerResponse.setHeaders(response, {
      ...("retryAfterSeconds" in problem ? { "retry-after": String(problem.retryAfterSeconds) } : {}),
      ...(documentation === undefined ? {} : { link: `<${documentation}>; rel="describedby"` }),
      // The rest of the body is not worth reading.
      ...(problem.status === 413 ? { connection: "close" } : {})
    }))
