/**
 * Whether a webhook comes from who says so: signatures over the bytes that came in.
 *
 * The failure it prevents is the forged event: an order paid by a request that anybody can send. How a provider signs is
 * a value, a {@link Scheme}; three are built in and others are written down. Bounds on header, body and signatures are
 * checked before anything is computed, headers are read strictly, all secrets of a rotation are tried, tags are compared
 * in constant time, and a refusal says why.
 *
 * It guarantees that a verified body is, byte by byte, one that somebody with the secret has signed, not longer ago (and
 * not farther ahead) than tolerated. It does not guarantee that the body comes for the first time: for that there is
 * `Webhook`. And it covers what the scheme signs, nothing else: GitHub, for one, signs neither a time nor its delivery id.
 *
 * | what is bounded | default |
 * |---|---|
 * | body | 1 MiB, GitHub 25 MiB |
 * | each header | 8 KiB |
 * | entries of the signature header | 32 |
 * | secrets | 1 to 16 |
 * | tolerance, both ways | 300 seconds |
 *
 * Read `Webhook` next.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type { Mac } from "./internal/effect/mac.ts"
import * as errors from "./internal/signature/errors.ts"
import * as schemes from "./internal/signature/scheme.ts"
import * as internal from "./internal/signature/verify.ts"

/**
 * How a provider signs, as data.
 *
 * **Details**
 *
 * - `name`: 1 to 64 of `a-z`, `0-9`, dot, dash and underscore. It is part of the key under which events are kept.
 * - `algorithm`: `hmacSha1`, `hmacSha256`, `hmacSha384` or `hmacSha512`.
 * - `secret`: how a secret is written. Of a `text` secret the whole text is the key, its `prefix` included; of a `base64`
 *   or `hex` one the key is what follows the prefix. `bytesMin` and `bytesMax` count what follows the prefix.
 * - `signature`: the header, the encoding (lower-case `hex` or padded `base64`) and the layout: `Single`, one signature
 *   behind a prefix; `Pairs`, `label=value` with a separator; `List`, `version,signature` separated by blanks.
 * - `timestampHeader`, `idHeader`: headers that are signed. Names of headers are in lower case.
 * - `signed`: what is signed, in order: `"id"`, `"timestamp"`, `"body"` and constant texts.
 * - `toleranceSeconds`, `bodyLimitBytes`: what {@link make} takes unless told otherwise.
 * - `retryHorizonHours`: how long the provider delivers an event again; the least time that a delivery is remembered.
 * - `eventId`: which event it is: a header, a field of the JSON body, or the digest of the body.
 * - `volatile`: fields of the body that may differ between deliveries of one event.
 * - `sendsSpacedJson`: the provider writes JSON with blanks, so a body without was probably written again.
 *
 * **Example**
 *
 * ```ts
 * import { Schema } from "effect"
 * import { Signature } from "effect-payments"
 *
 * const slack: Signature.Scheme = {
 *   name: "slack",
 *   algorithm: "hmacSha256",
 *   secret: { encoding: "text", bytesMin: 16, bytesMax: 256 },
 *   signature: { header: "x-slack-signature", encoding: "hex", layout: { _tag: "Single", prefix: "v0=" } },
 *   timestampHeader: "x-slack-request-timestamp",
 *   signed: [{ text: "v0:" }, "timestamp", { text: ":" }, "body"],
 *   toleranceSeconds: 300,
 *   bodyLimitBytes: 1_048_576,
 *   retryHorizonHours: 2,
 *   eventId: { _tag: "Digest" }
 * }
 *
 * Schema.is(Signature.Scheme)(slack) // => true
 * // A timestamp that nobody signs says nothing.
 * Schema.is(Signature.Scheme)({ ...slack, signed: ["body"] }) // => false
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export const Scheme = schemes.Scheme

/**
 * See {@link Scheme}.
 *
 * @category models
 * @since 0.1.0
 */
export type Scheme = schemes.Scheme

/**
 * Stripe: `stripe-signature: t=SECONDS,v1=HEX` over `SECONDS.BODY`. A secret begins with `whsec_`, which belongs to the
 * key. Events are sent again for three days.
 *
 * @category schemes
 * @since 0.1.0
 */
export const stripe: Scheme = schemes.stripe

/**
 * Standard Webhooks, version `v1` (HMAC): `webhook-signature: v1,BASE64` over `ID.SECONDS.BODY`. A secret is Base64 of 24
 * to 64 bytes, with or without `whsec_`. An id holds no dot. The retry schedule of the specification lasts 75 hours and 35
 * minutes.
 *
 * **Gotchas**
 *
 * Signatures of other versions are left out; asymmetric ones (`v1a`, keys with `whpk_`) are not verified.
 *
 * @category schemes
 * @since 0.1.0
 */
export const standardWebhooks: Scheme = schemes.standardWebhooks

/**
 * GitHub: `x-hub-signature-256: sha256=HEX` over the body.
 *
 * **Gotchas**
 *
 * Neither a time nor the delivery id is signed: who has a delivery can send it again under another id. Where that matters
 * more than an event whose bytes equal an earlier one's, use `{ ...Signature.github, eventId: { _tag: "Digest" } }`.
 *
 * @category schemes
 * @since 0.1.0
 */
export const github: Scheme = schemes.github

/**
 * What came in. The body is the bytes of the request, before anything has decoded or parsed them. Headers are found by
 * name whatever its case; one that is needed and there twice is refused.
 *
 * @category models
 * @since 0.1.0
 */
export type Request = internal.Request

/**
 * What a verified request is known to say: the signed id, the signed time in seconds since 1970, and which of the secrets
 * fits, counted from 0, so that one can tell when a rotation is over.
 *
 * @category models
 * @since 0.1.0
 */
export type Verified = internal.Verified

/**
 * Verifies requests of one scheme under one set of secrets.
 *
 * @category models
 * @since 0.1.0
 */
export type Verifier = internal.Verifier

/**
 * Options of {@link make}.
 *
 * - `secrets`: 1 to 16, in any order. Each is tried; a malformed one is refused here and not with the first request.
 * - `tolerance`: how old a timestamp may be, and how far ahead. Zero tolerates nothing; `"Infinity"` switches the check
 *   off.
 * - `bodyLimitBytes`: at least 1.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly scheme: Scheme
  readonly secrets: ReadonlyArray<Redacted.Redacted<string>>
  readonly tolerance?: Duration.Input | undefined
  readonly bodyLimitBytes?: number | undefined
}

/**
 * Makes a verifier. Secrets become keys here, once; scheme and secrets are checked.
 *
 * **Details**
 *
 * A request costs one HMAC for each secret until one fits, however many signatures it has.
 *
 * **Example**
 *
 * ```ts
 * import { NodeCrypto } from "@effect/platform-node"
 * import { Effect, Redacted } from "effect"
 * import { Signature } from "effect-payments"
 *
 * const secrets = [Redacted.make("whsec_test_secret")]
 * const body = new TextEncoder().encode(`{"id": "evt_1"}`)
 *
 * const program = Effect.gen(function*() {
 *   const verifier = yield* Signature.make({ scheme: Signature.stripe, secrets })
 *   const headers = yield* Signature.sign({ scheme: Signature.stripe, secrets, body })
 *   const verified = yield* verifier.verify({ headers, body })
 *   const forged = new TextEncoder().encode(`{"id": "evt_2"}`)
 *   const refused = yield* Effect.flip(verifier.verify({ headers, body: forged }))
 *   return [verified.secretIndex, refused.reason._tag]
 * })
 *
 * await Effect.runPromise(Effect.provide(program, NodeCrypto.layer)) // => [0, "SignatureMismatch"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: (options: Options) => Effect.Effect<Verifier, SignatureError, Mac.Mac> = internal.make

/**
 * Options of {@link sign}. With several `secrets` there is a signature by each. `timestampSeconds` is now by the clock
 * unless it is given.
 *
 * @category models
 * @since 0.1.0
 */
export type SignOptions = internal.SignOptions

/**
 * The headers that the provider would send with the body, for tests and for sending webhooks oneself. A layout `Single`
 * takes the first secret alone.
 *
 * @category signing
 * @since 0.1.0
 */
export const sign: (
  options: SignOptions
) => Effect.Effect<{ readonly [header: string]: string }, SignatureError, Mac.Mac> = internal.sign

/**
 * A header that the scheme needs is not there, or empty.
 *
 * @category reasons
 * @since 0.1.0
 */
export const MissingHeader = errors.MissingHeader

/**
 * A header is larger than the limit. Its content was not looked at.
 *
 * @category reasons
 * @since 0.1.0
 */
export const HeaderTooLarge = errors.HeaderTooLarge

/**
 * The signature header does not follow the layout of the scheme, or a header is there twice.
 *
 * @category reasons
 * @since 0.1.0
 */
export const HeaderMalformed = errors.HeaderMalformed

/**
 * More entries in the signature header than anybody needs.
 *
 * @category reasons
 * @since 0.1.0
 */
export const TooManySignatures = errors.TooManySignatures

/**
 * Signatures, but none of the version that the scheme verifies.
 *
 * @category reasons
 * @since 0.1.0
 */
export const NoSupportedScheme = errors.NoSupportedScheme

/**
 * None of the signatures has the length and the strict encoding of one.
 *
 * @category reasons
 * @since 0.1.0
 */
export const SignatureMalformed = errors.SignatureMalformed

/**
 * No signature fits under any secret. `hint` says what the body looks like: `BodyReserialized` (parsed and written again),
 * `BodyDecoded` (made text, with replacement characters), `BodyEmpty` (read before), `BodyNotBytes`.
 *
 * @category reasons
 * @since 0.1.0
 */
export const SignatureMismatch = errors.SignatureMismatch

/**
 * The timestamp is not a plain whole number of seconds.
 *
 * @category reasons
 * @since 0.1.0
 */
export const TimestampMalformed = errors.TimestampMalformed

/**
 * Signed longer ago than tolerated: late, or replayed.
 *
 * @category reasons
 * @since 0.1.0
 */
export const TimestampTooOld = errors.TimestampTooOld

/**
 * Signed farther ahead than tolerated.
 *
 * @category reasons
 * @since 0.1.0
 */
export const TimestampInFuture = errors.TimestampInFuture

/**
 * The id could be mistaken for a part of what is signed behind it, or is none.
 *
 * @category reasons
 * @since 0.1.0
 */
export const IdMalformed = errors.IdMalformed

/**
 * The body is larger than the limit. Nothing was computed.
 *
 * @category reasons
 * @since 0.1.0
 */
export const BodyTooLarge = errors.BodyTooLarge

/**
 * A secret is not one of the scheme: refused when the verifier is made.
 *
 * @category reasons
 * @since 0.1.0
 */
export const SecretMalformed = errors.SecretMalformed

/**
 * A scheme contradicts itself or leaves the bounds: refused when the verifier is made.
 *
 * @category reasons
 * @since 0.1.0
 */
export const SchemeMalformed = errors.SchemeMalformed

/**
 * Why, as a union of tagged reasons.
 *
 * @category reasons
 * @since 0.1.0
 */
export type Reason = errors.Reason

/**
 * The one error of this module. `scheme` is the scheme's name; no field holds a secret, a signature or a part of the body.
 *
 * @category errors
 * @since 0.1.0
 */
export const SignatureError = errors.SignatureError

/**
 * See {@link SignatureError}.
 *
 * @category errors
 * @since 0.1.0
 */
export type SignatureError = errors.SignatureError
