/**
 * Where the gateway tells what it did. Forged requests are refused and leave no trace; an event is booked once, however
 * often it comes, and moves a checkout that waits for it once.
 */
import { Effect, Layer, type Redacted } from "effect"
import { type Signature, Webhook } from "effect-payments"
import { WebhookRoute } from "effect-payments/http"
import { Ledger } from "./Ledger.ts"
import { onEvent } from "./secured.ts"

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

/** One for the book, one for the checkouts that wait: each is sent every event, and remembers its own. */
export const paths = { book: "/webhooks/gateway", sagas: "/webhooks/gateway/sagas" } as const

type Secrets = ReadonlyArray<Redacted.Redacted<string>>

/** The route takes the raw bytes. The mark of the event and its row commit together, or neither does. */
const booked = (secrets: Secrets) =>
  Layer.unwrap(
    Effect.map(
      Webhook.endpoint({ name: "shop", scheme, secrets }),
      (endpoint) =>
        WebhookRoute.layer(paths.book, endpoint, (event) => Effect.flatMap(Ledger, ({ book }) => book(event)))
    )
  )

/**
 * The mark is set after the signal is kept, since the log of sagas commits alone. A process that dies in between has it sent
 * again, which the saga knows by the event's id.
 */
const moved = (secrets: Secrets) =>
  Layer.unwrap(
    Effect.map(
      Webhook.endpoint({ name: "shop-sagas", scheme, secrets }),
      (endpoint) => WebhookRoute.layerAtLeastOnce(paths.sagas, endpoint, onEvent)
    )
  )

export const routes = (secrets: Secrets) => Layer.merge(booked(secrets), moved(secrets))
