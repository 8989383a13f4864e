/** The webhook vectors, and the schemes of those that are no built-in ones: custom schemes are values too. */
import { Redacted } from "effect"
import { Signature } from "effect-payments"
import { readFileSync } from "node:fs"
import { join } from "node:path"

export interface Vector {
  readonly id: string
  readonly provider: string
  readonly nowSec: number
  readonly toleranceSec: number
  readonly secrets: ReadonlyArray<string>
  readonly headers: { readonly [name: string]: string }
  readonly bodyBase64: string
  readonly expect: "accept" | "reject"
  readonly reason: string | null
}

const file = join(import.meta.dirname, "../data/webhook-vectors.json")

export const vectors = (JSON.parse(readFileSync(file, "utf8")) as { readonly vectors: ReadonlyArray<Vector> }).vectors

export const bodyOf = ({ bodyBase64 }: Vector): Uint8Array => new Uint8Array(Buffer.from(bodyBase64, "base64"))

export const secretsOf = ({ secrets }: Vector): ReadonlyArray<Redacted.Redacted<string>> =>
  secrets.map((secret) => Redacted.make(secret))

const plain = (name: string, header: string, encoding: "base64" | "hex"): Signature.Scheme => ({
  name,
  algorithm: "hmacSha256",
  secret: { encoding: "text", bytesMin: 8, bytesMax: 256 },
  signature: { header, encoding, layout: { _tag: "Single" } },
  signed: ["body"],
  toleranceSeconds: 0,
  bodyLimitBytes: 1_048_576,
  retryHorizonHours: 48,
  eventId: { _tag: "Digest" }
})

const adyen = (name: string, header: string): Signature.Scheme => ({
  ...plain(name, header, "base64"),
  secret: { encoding: "hex", bytesMin: 32, bytesMax: 32 }
})

export const schemes: { readonly [provider: string]: Signature.Scheme } = {
  stripe: Signature.stripe,
  "standard-webhooks": Signature.standardWebhooks,
  github: Signature.github,
  shopify: plain("shopify", "x-shopify-hmac-sha256", "base64"),
  "checkout.com": plain("checkout.com", "cko-signature", "hex"),
  lemonsqueezy: plain("lemonsqueezy", "x-signature", "hex"),
  "coinbase-commerce": plain("coinbase-commerce", "x-cc-webhook-signature", "hex"),
  "adyen-header": adyen("adyen-header", "hmacsignature"),
  "adyen-hpp-string": adyen("adyen-hpp-string", "signature"),
  slack: {
    ...plain("slack", "x-slack-signature", "hex"),
    signature: { header: "x-slack-signature", encoding: "hex", layout: { _tag: "Single", prefix: "v0=" } },
    timestampHeader: "x-slack-request-timestamp",
    signed: [{ text: "v0:" }, "timestamp", { text: ":" }, "body"]
  },
  paddle: {
    ...plain("paddle", "paddle-signature", "hex"),
    signature: {
      header: "paddle-signature",
      encoding: "hex",
      layout: { _tag: "Pairs", separator: ";", signature: "h1", timestamp: "ts" }
    },
    signed: ["timestamp", { text: ":" }, "body"]
  }
}
