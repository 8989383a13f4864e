/**
 * Effect's HTTP modules, which are unstable: imported here and nowhere else.
 *
 * @internal
 */
export * as ByteSize from "effect/ByteSize"
export * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
export * as HttpRouter from "effect/http/HttpRouter"
export * as HttpServerRequest from "effect/http/HttpServerRequest"
export * as HttpServerResponse from "effect/http/HttpServerResponse"
