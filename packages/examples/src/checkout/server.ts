/**
 * The shop on the network: an HTTP server on 127.0.0.1 that takes the gateway's webhooks.
 */
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Context, Effect, Layer, type Redacted } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { createServer } from "node:http"
import { paths, routes } from "./webhooks.ts"

/** Where the gateway is to send its events, and the secret that it signs them with. */
export class WebhookTarget extends Context.Service<WebhookTarget, {
  /** For the book of the shop. */
  readonly url: string
  /** For checkouts that wait. */
  readonly sagasUrl: string
  readonly secret: Redacted.Redacted<string>
}>()("@effect-payments/examples/WebhookTarget") {}

/** Port 0 takes a free one. Give several secrets to rotate them: the first is the new one. */
export const layer = (options: {
  readonly port: number
  readonly secrets: readonly [Redacted.Redacted<string>, ...ReadonlyArray<Redacted.Redacted<string>>]
}) => {
  const target = Layer.effect(
    WebhookTarget,
    Effect.map(HttpServer.HttpServer, ({ address }) => {
      const origin = `http://127.0.0.1:${"port" in address ? address.port : options.port}`
      return {
        url: `${origin}${paths.book}`,
        sagasUrl: `${origin}${paths.sagas}`,
        secret: options.secrets[0]
      }
    })
  )
  const served = HttpRouter.serve(routes(options.secrets), { disableLogger: true, disableListenLog: true }).pipe(
    Layer.provide(NodeCrypto.layer)
  )
  const server = NodeHttpServer.layer(() => createServer(), {
    port: options.port,
    host: "127.0.0.1",
    gracefulShutdownTimeout: "100 millis"
  })
  return Layer.merge(target, served).pipe(Layer.provide(server))
}
