/**
 * What a handler's end says of the operation, and in which form it enters the record.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import { type Disposition, dispositionOf } from "../../PaymentError.ts"
import {
  type Cookies,
  HttpApiError,
  type HttpApiMiddleware,
  HttpServerError,
  HttpServerResponse
} from "../effect/http.ts"
import { capture, type StoredResponse } from "./stored.ts"

type Response = HttpServerResponse.HttpServerResponse

/** @internal */
export type Outcome = "Final" | "NotExecuted" | "Unknown"

/** @internal What a handler ended with that is no success: a response, or an error that its API turns into one. */
export type Ended =
  | { readonly _tag: "Response"; readonly disposition: Disposition; readonly response: StoredResponse }
  | { readonly _tag: "Failure"; readonly disposition: Disposition; readonly error: unknown }

/** @internal How to tell the outcome of an error that a handler fails with, and how to keep it. */
export interface Failures {
  /** Errors that are kept as they are, since the API encodes them again for each request. */
  readonly error: Schema.Codec<unknown, unknown>
  /** The status of one that the API knows. */
  readonly statusOf: (error: unknown) => number | undefined
}

/** @internal Of a plain route: every error becomes a response here. */
export const noFailures: Failures = { error: Schema.Never, statusOf: () => undefined }

type Endpoint = Parameters<HttpApiMiddleware.HttpApiMiddleware<never, never, never>>[1]["endpoint"]

/** @internal Of an endpoint: those that it and its middlewares declare. */
export const failuresOf = (endpoint: Endpoint): Failures => {
  const declared = [
    ...endpoint.error,
    ...[...endpoint.middlewares].flatMap((key) => [...(key as unknown as HttpApiMiddleware.AnyService).error])
  ].map((schema) => {
    const type = Schema.toType(schema as Schema.Codec<unknown, unknown>)
    return { type, is: Schema.is(type), status: statusOfSchema(schema) }
  })
  return {
    error: Schema.Union(declared.map(({ type }) => type)),
    statusOf: (error) => declared.find(({ is }) => is(error))?.status
  }
}

// An error without a status is a 500, as it is for the API.
const statusOfSchema = (schema: Schema.Top): number =>
  statusAt(schema.ast) ??
    (Predicate.hasProperty(schema, "schema") && Schema.isSchema(schema.schema)
      ? statusAt(schema.schema.ast)
      : undefined) ??
    500

const statusAt = SchemaAST.resolveAt<number>("httpApiStatus")

/** @internal */
export const ended = (
  response: Schema.Codec<StoredResponse, unknown>,
  failures: Failures
): Schema.Codec<Ended, unknown> => {
  const disposition = Schema.Literals(["NotExecuted", "Refused", "Unknown"])
  return Schema.Union([
    Schema.Struct({ _tag: Schema.tag("Response"), disposition, response }),
    Schema.Struct({ _tag: Schema.tag("Failure"), disposition, error: failures.error })
  ])
}

/**
 * @internal What a status says by itself. Not processed are 425 (Too Early) and 429 (Too Many Requests) by their
 * definition; of any 5xx nobody can say, since a handler that fails after the charge answers one too.
 */
export const outcomeOfStatus = (status: number): Outcome =>
  status === 425 || status === 429 ? "NotExecuted" : status >= 500 ? "Unknown" : "Final"

/** @internal */
export interface Reading {
  readonly limitBytes: number
  readonly keeps: (header: string) => boolean
  readonly outcomeOf: (status: number) => Outcome
  readonly failures: Failures
  readonly onResponse: (cookies: Cookies.Cookies) => void
}

/** @internal The end of a handler as the engine takes it: a success that is kept, or how it ended otherwise. */
export const read = <R>(
  handler: Effect.Effect<Response, unknown, R>,
  reading: Reading
): Effect.Effect<StoredResponse, Ended, R> =>
  Effect.matchCauseEffect(handler, {
    onSuccess: (response) => ofResponse(response, reading),
    onFailure: (cause) => ofCause(cause, reading)
  })

const ofResponse = (
  response: Response,
  reading: Reading,
  said?: Disposition
): Effect.Effect<StoredResponse, Ended> =>
  Effect.flatMap(capture(response, reading), (stored) => {
    reading.onResponse(response.cookies)
    const disposition = said ?? dispositionOfStatus(stored.status, reading)
    return disposition === "Refused" && said === undefined && stored.status < 400
      ? Effect.succeed(stored)
      : Effect.fail({ _tag: "Response", disposition, response: stored } as const)
  })

const dispositionOfStatus = (status: number, { outcomeOf }: Reading): Disposition => {
  const outcome = outcomeOf(status)
  return outcome === "Final" ? "Refused" : outcome
}

const ofCause = (cause: Cause.Cause<unknown>, reading: Reading): Effect.Effect<StoredResponse, Ended> => {
  const reason = cause.reasons.length === 1 ? cause.reasons[0] : undefined
  if (reason === undefined || reason._tag === "Interrupt") return Effect.failCause(cause as Cause.Cause<never>)
  if (reason._tag === "Fail") return ofError(reason.error, reading)
  // A response that was thrown is one.
  return HttpServerResponse.isHttpServerResponse(reason.defect)
    ? ofResponse(reason.defect, reading)
    : Effect.failCause(cause as Cause.Cause<never>)
}

const ofError = (error: unknown, reading: Reading): Effect.Effect<StoredResponse, Ended> => {
  const failure = (disposition: Disposition) => Effect.fail({ _tag: "Failure", disposition, error } as const)
  if (HttpApiError.HttpApiSchemaError.is(error)) {
    // The handler's response does not encode: it has run. Anything else was found before it did.
    return failure(error.kind === "Body" || error.kind === "ResponseHeaders" ? "Unknown" : "NotExecuted")
  }
  const status = reading.failures.statusOf(error)
  const said = Predicate.hasProperty(error, "disposition") ? dispositionOf(error) : undefined
  if (status !== undefined) return failure(said ?? dispositionOfStatus(status, reading))
  return Effect.flatMap(HttpServerError.causeResponse(Cause.fail(error)), ([response]) => {
    const disposition = said ?? dispositionOfStatus(response.status, reading)
    // What is not kept stays an error, for those outside to see.
    return disposition === "Refused" ? ofResponse(response, reading, disposition) : failure(disposition)
  })
}
