/**
 * What a provider's way of signing consists of, as data, and the ways that are built in.
 *
 * @internal
 */
import * as Schema from "effect/Schema"

const Name = Schema.String.check(
  Schema.isPattern(/^[a-z0-9][a-z0-9._-]{0,63}$/, { expected: "1 to 64 of a-z, 0-9, dot, dash and underscore" })
)

const Header = Schema.String.check(
  Schema.isPattern(/^[a-z0-9][a-z0-9-]{0,63}$/, { expected: "the name of a header in lower case" })
)

const Label = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9_]{1,16}$/, { expected: "1 to 16 letters, digits and underscores" })
)

const Text = Schema.String.check(Schema.isPattern(/^[\x21-\x7e]{1,32}$/, { expected: "1 to 32 visible characters" }))

const Count = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const Secret = Schema.Struct({
  encoding: Schema.Literals(["text", "base64", "hex"]),
  prefix: Schema.optionalKey(Text),
  isPrefixOptional: Schema.optionalKey(Schema.Boolean),
  bytesMin: Count(1, 1024),
  bytesMax: Count(1, 1024)
})

const Layout = Schema.Union([
  Schema.TaggedStruct("Single", { prefix: Schema.optionalKey(Text) }),
  Schema.TaggedStruct("Pairs", {
    separator: Schema.Literals([",", ";"]),
    signature: Label,
    timestamp: Schema.optionalKey(Label)
  }),
  Schema.TaggedStruct("List", { version: Label })
])

const Part = Schema.Union([Schema.Literals(["id", "timestamp", "body"]), Schema.Struct({ text: Text })])

const EventId = Schema.Union([
  Schema.TaggedStruct("Header", { header: Header }),
  Schema.TaggedStruct("Body", { field: Schema.NonEmptyString.check(Schema.isMaxLength(64)) }),
  Schema.TaggedStruct("Digest", {})
])

const Fields = Schema.Struct({
  name: Name,
  algorithm: Schema.Literals(["hmacSha1", "hmacSha256", "hmacSha384", "hmacSha512"]),
  secret: Secret,
  signature: Schema.Struct({ header: Header, encoding: Schema.Literals(["hex", "base64"]), layout: Layout }),
  timestampHeader: Schema.optionalKey(Header),
  idHeader: Schema.optionalKey(Header),
  signed: Schema.Array(Part).check(Schema.isBetweenLength(1, 16)),
  toleranceSeconds: Count(0, 86_400),
  bodyLimitBytes: Count(1, 64 * 1024 * 1024),
  retryHorizonHours: Count(1, 24 * 60),
  eventId: EventId,
  volatile: Schema.optionalKey(Schema.Array(Schema.String).check(Schema.isMaxLength(16))),
  sendsSpacedJson: Schema.optionalKey(Schema.Boolean)
})

/** @internal What each part of a scheme says about the others. */
const flawOf = (scheme: typeof Fields.Type): string | undefined => {
  const { layout } = scheme.signature
  const times = (part: string) => scheme.signed.filter((x) => x === part).length
  const sources = (layout._tag === "Pairs" && layout.timestamp !== undefined ? 1 : 0) +
    (scheme.timestampHeader === undefined ? 0 : 1)
  if (times("body") !== 1) return "signed holds the body exactly once"
  if (sources > 1) return "the timestamp comes from one place"
  if (times("timestamp") !== sources) return "a timestamp that is sent is signed, once, and no other"
  if (times("id") !== (scheme.idHeader === undefined ? 0 : 1)) return "an id that is sent is signed, once, and no other"
  if (layout._tag === "Pairs" && layout.timestamp === layout.signature) return "timestamp and signature have two labels"
  if (scheme.secret.bytesMin > scheme.secret.bytesMax) return "bytesMin is at most bytesMax"
  return isUndelimited(scheme)
    ? "an id is followed by a text: otherwise it could be read as a part of what follows"
    : undefined
}

const isUndelimited = ({ signed }: typeof Fields.Type): boolean => {
  const id = signed.indexOf("id")
  return id !== -1 && typeof signed[id + 1] !== "object"
}

/** @internal */
export const Scheme = Fields.check(Schema.makeFilter((scheme) => flawOf(scheme)))

/** @internal */
export type Scheme = typeof Scheme.Type

const mebibyte = 1024 * 1024

/** @internal */
export const stripe: Scheme = {
  name: "stripe",
  algorithm: "hmacSha256",
  secret: { encoding: "text", prefix: "whsec_", bytesMin: 1, bytesMax: 256 },
  signature: {
    header: "stripe-signature",
    encoding: "hex",
    layout: { _tag: "Pairs", separator: ",", signature: "v1", timestamp: "t" }
  },
  signed: ["timestamp", { text: "." }, "body"],
  toleranceSeconds: 300,
  bodyLimitBytes: mebibyte,
  retryHorizonHours: 72,
  eventId: { _tag: "Body", field: "id" },
  // How many endpoints still wait: another number in a later delivery of the same event.
  volatile: ["pending_webhooks"],
  sendsSpacedJson: true
}

/** @internal */
export const standardWebhooks: Scheme = {
  name: "standard-webhooks",
  algorithm: "hmacSha256",
  secret: { encoding: "base64", prefix: "whsec_", isPrefixOptional: true, bytesMin: 24, bytesMax: 64 },
  signature: { header: "webhook-signature", encoding: "base64", layout: { _tag: "List", version: "v1" } },
  timestampHeader: "webhook-timestamp",
  idHeader: "webhook-id",
  signed: ["id", { text: "." }, "timestamp", { text: "." }, "body"],
  toleranceSeconds: 300,
  bodyLimitBytes: mebibyte,
  // The schedule of the specification ends after 75 hours and 35 minutes.
  retryHorizonHours: 76,
  eventId: { _tag: "Header", header: "webhook-id" }
}

/** @internal */
export const github: Scheme = {
  name: "github",
  algorithm: "hmacSha256",
  secret: { encoding: "text", bytesMin: 1, bytesMax: 1024 },
  signature: { header: "x-hub-signature-256", encoding: "hex", layout: { _tag: "Single", prefix: "sha256=" } },
  signed: ["body"],
  toleranceSeconds: 0,
  // The limit of GitHub.
  bodyLimitBytes: 25 * mebibyte,
  // It does not retry by itself; for three days a delivery can be asked for again.
  retryHorizonHours: 72,
  eventId: { _tag: "Header", header: "x-github-delivery" }
}
