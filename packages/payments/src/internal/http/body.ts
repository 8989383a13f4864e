/**
 * The raw body of a request: read once, within a limit, and handed on to whoever reads it next.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { ByteSize, HttpIncomingMessage, type HttpServerRequest, Multipart } from "../effect/http.ts"

type Request = HttpServerRequest.HttpServerRequest

/** @internal `unreadable`: it did not arrive as a whole, or something has read it before. */
export type BodyFault = "too large" | "unreadable"

/** @internal */
export const readBody = (request: Request, limitBytes: number): Effect.Effect<Uint8Array, BodyFault> => {
  // What announces itself as too large is not read.
  const announced = request.headers["content-length"]
  if (announced !== undefined && Number(announced) > limitBytes) return Effect.fail("too large")
  return Effect.provideService(
    request.arrayBuffer,
    HttpIncomingMessage.MaxBodySize,
    ByteSize.bytes(limitBytes)
  ).pipe(
    Effect.map((buffer) => new Uint8Array(buffer)),
    Effect.mapError(({ reason }) =>
      reason._tag === "RequestParseError" && reason.reason === "BodyTooLarge" ? "too large" : "unreadable"
    )
  )
}

/**
 * @internal The request as if nobody had read it: what was read is what every way of reading gives, streams and multipart
 * too, which a server gives only once.
 */
export const withBody = (request: Request, body: Uint8Array): Request => {
  const stream: Request["stream"] = Stream.suspend(() => Stream.make(body.slice()))
  const multipartStream: Request["multipartStream"] = Stream.suspend(() =>
    Stream.pipeThroughChannel(Stream.make(body.slice()), Multipart.makeChannel(request.headers))
  )
  const define = <A>(value: A) => ({ value, enumerable: true })
  // Text, JSON and forms are read from the buffer.
  return Object.create(request, {
    arrayBuffer: define(Effect.sync(() => body.slice().buffer)),
    stream: define(stream),
    multipartStream: define(multipartStream),
    multipart: define(Effect.runSync(Effect.cached(Multipart.toPersisted(multipartStream)))),
    modify: define((options: Parameters<Request["modify"]>[0]) => withBody(request.modify(options), body))
  })
}
