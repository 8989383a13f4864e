/**
 * Effect's HTTP modules, which are unstable: imported here and nowhere else.
 *
 * @internal
 */
export * as ByteSize from "effect/ByteSize"
export * as HttpApiError from "effect/http-api/HttpApiError"
export * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
export * as Cookies from "effect/http/Cookies"
export * as HttpEffect from "effect/http/HttpEffect"
export * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
export * as HttpRouter from "effect/http/HttpRouter"
export * as HttpServerError from "effect/http/HttpServerError"
export * as HttpServerRequest from "effect/http/HttpServerRequest"
export * as HttpServerRespondable from "effect/http/HttpServerRespondable"
export * as HttpServerResponse from "effect/http/HttpServerResponse"
export * as Multipart from "effect/http/Multipart"
