/**
 * Where the gateway tells what it did. Forged requests are refused and leave no trace; an event is booked once, however
 * often it comes.
 */
import { Effect, Layer, type Redacted } from "effect"
import { type Signature, Webhook } from "effect-payments"
import { WebhookRoute } from "effect-payments/http"
import { Ledger } from "./Ledger.ts"

/** How the simulator signs. A scheme that is not built in is written down like this, and checked when it is used. */
export const scheme: Signature.Scheme = {
  name: "gateway-sim",
  algorithm: "hmacSha256",
  secret: { encoding: "text", bytesMin: 16, bytesMax: 255 },
  signature: {
    header: "sim-signature",
    encoding: "hex",
    layout: { _tag: "Pairs", separator: ",", signature: "v1", timestamp: "t" }
  },
  signed: ["timestamp", { text: "." }, "body"],
  toleranceSeconds: 300,
  bodyLimitBytes: 64 * 1024,
  retryHorizonHours: 1,
  eventId: { _tag: "Body", field: "id" }
}

export const path = "/webhooks/gateway"

/** The route takes the raw bytes. The mark of the event and its row commit together, or neither does. */
export const route = (secrets: ReadonlyArray<Redacted.Redacted<string>>) =>
  Layer.unwrap(
    Effect.map(
      Webhook.endpoint({ name: "shop", scheme, secrets }),
      (endpoint) => WebhookRoute.layer(path, endpoint, (event) => Effect.flatMap(Ledger, ({ book }) => book(event)))
    )
  )
