/**
 * Takes webhooks in: verified first, each event handled once.
 *
 * {@link handle} verifies the signature over the bytes that came in, finds out whether this is the first delivery of the
 * event, and runs the handler, in this order. It prevents three losses of money: the forged event, which never reaches
 * the store; the event that is delivered twice, which providers do as a matter of course; and the event that is
 * acknowledged and then lost, because a process died between the mark and the work. Mark and the handler's own writes are
 * one SQL transaction; {@link handleAtLeastOnce} is for the rest, and says so in its name and in its type.
 *
 * It guarantees that a handler's writes are there once for each event, however often and to however many processes it is
 * delivered, for as long as the provider delivers it again (`retryHorizonHours` of the scheme, and a day more). It does
 * not guarantee an order: an update may come before what it updates.
 *
 * A delivery is acknowledged when {@link handle} succeeds, for duplicates too. On every failure it must not be: the
 * provider delivers the event again, and that is what the retries of a handler are.
 *
 * | option | default |
 * |---|---|
 * | `window` | retry horizon of the scheme + 1 day |
 * | `tolerance`, `bodyLimitBytes` | those of the scheme |
 *
 * Read `effect-payments/http` next for a route, `Inbox` for the stores.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { AtLeastOnceInbox, Inbox, type InboxError, type Take, type Taken } from "./Inbox.ts"
import { Digest } from "./internal/effect/crypto.ts"
import type { Mac } from "./internal/effect/mac.ts"
import { identify, parse } from "./internal/webhook/event.ts"
import { counted } from "./internal/webhook/observe.ts"
import * as Redaction from "./Redaction.ts"
import * as Signature from "./Signature.ts"

/**
 * Where webhooks of one provider and one account come in. Made by {@link endpoint}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Endpoint {
  readonly name: string
  readonly provider: string
  readonly bodyLimitBytes: number
  readonly window: Duration.Duration
  /** Verifies a request and says which event it is. Handles nothing and remembers nothing. */
  readonly verify: (request: Signature.Request) => Effect.Effect<Event, Signature.SignatureError>
}

/**
 * A verified event.
 *
 * - `id`: where the scheme says. Only a signed id is beyond doubt.
 * - `fingerprint`: the digest of the content, without what may differ between deliveries.
 * - `timestampSeconds`: the signed time of this delivery, in seconds since 1970. A second delivery has another one.
 * - `secretIndex`: which of the secrets fits.
 * - `body`: the bytes; {@link payload} decodes them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Event {
  readonly provider: string
  readonly endpoint: string
  readonly id: string
  readonly fingerprint: string
  readonly timestampSeconds: number | undefined
  readonly secretIndex: number
  readonly body: Uint8Array
}

/**
 * An event with the number of the attempt to handle it, from 1.
 *
 * @category models
 * @since 0.1.0
 */
export interface Attempt extends Event {
  readonly attempt: number
}

/**
 * What became of a delivery.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome<A> = Taken<A>

/**
 * Options of {@link endpoint}.
 *
 * - `name`: 1 to 64 letters, digits, dots, dashes and underscores; which account or endpoint it is. The same id at another
 *   endpoint is another event, so a name must not change.
 * - `window`: at least the retry horizon of the scheme, and finite.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends Signature.Options {
  readonly name: string
  readonly window?: Duration.Input | undefined
}

const isName = (name: string): boolean => /^[A-Za-z0-9._-]{1,64}$/.test(name)

/**
 * Makes an endpoint; scheme, secrets, name and window are checked here and not with the first request.
 *
 * @category constructors
 * @since 0.1.0
 */
export const endpoint = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<Endpoint, Signature.SignatureError | WebhookError, Mac.Mac | Digest.Digest> {
  const digest = yield* Digest.Digest
  const verifier = yield* Signature.make(options)
  const { scheme } = verifier
  if (!isName(options.name)) return yield* fail(new NameMalformed({}))
  const horizon = Duration.hours(scheme.retryHorizonHours)
  const window = options.window === undefined
    ? Duration.sum(horizon, Duration.days(1))
    : Duration.fromInputUnsafe(options.window)
  if (!Duration.isFinite(window)) return yield* fail(new WindowUnbounded({}))
  if (Duration.isLessThan(window, horizon)) return yield* fail(new WindowTooShort({ horizon }))
  const verify = Effect.fnUntraced(function*(request: Signature.Request) {
    const { secretIndex, timestampSeconds } = yield* verifier.verify(request)
    const { fingerprint, id } = yield* identify(digest, scheme, request)
    const { body } = request
    return { provider: scheme.name, endpoint: options.name, id, fingerprint, timestampSeconds, secretIndex, body }
  })
  return { name: options.name, provider: scheme.name, bodyLimitBytes: verifier.bodyLimitBytes, window, verify }
})

/**
 * Verifies, asks whether it is the first delivery, and runs the handler with the mark in one SQL transaction.
 *
 * **Details**
 *
 * Adds `SignatureError` and `InboxError`, and needs an `Inbox`, which only a store over SQL provides. What the handler
 * writes through the same `SqlClient` commits with the mark. When it fails, dies, is interrupted or takes too long,
 * nothing is written and the event is free for its next delivery. A forged request leaves no trace in the store.
 *
 * **Gotchas**
 *
 * In a transaction no gateway may be called, and `idempotent` refuses to run in it: let the handler write down what is to
 * be done, or use {@link handleAtLeastOnce}.
 *
 * **Example**
 *
 * ```ts
 * import { SqliteClient } from "@effect-payments/sqlite"
 * import { NodeCrypto } from "@effect/platform-node"
 * import { Effect, Layer, Redacted, Schema } from "effect"
 * import { Inbox, Signature, Webhook } from "effect-payments"
 * import { SqlClient } from "effect/sql"
 *
 * const Paid = Schema.Struct({ id: Schema.String, order: Schema.String })
 *
 * const program = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   yield* sql`CREATE TABLE paid (order_id TEXT PRIMARY KEY)`
 *   const secrets = [Redacted.make("whsec_test_secret")]
 *   const stripe = yield* Webhook.endpoint({ name: "shop", scheme: Signature.stripe, secrets })
 *   const body = new TextEncoder().encode(`{"id": "evt_1", "order": "4711"}`)
 *   const headers = yield* Signature.sign({ scheme: Signature.stripe, secrets, body })
 *
 *   const deliver = Webhook.handle(stripe, { headers, body }, (event) =>
 *     Effect.gen(function*() {
 *       const { order } = yield* Webhook.payload(event, Paid)
 *       yield* sql`INSERT INTO paid VALUES (${order})`
 *     }))
 *   const first = yield* deliver
 *   const second = yield* deliver
 *   return [first._tag, second._tag]
 * })
 *
 * const layer = Layer.mergeAll(Inbox.layerStoreSql(), NodeCrypto.layer).pipe(
 *   Layer.provideMerge(SqliteClient.layer({ filename: ":memory:" }))
 * )
 * await Effect.runPromise(Effect.provide(program, layer)) // => ["Handled", "Duplicate"]
 * ```
 *
 * @category handling
 * @since 0.1.0
 */
export const handle = <A, E, R>(
  endpoint: Endpoint,
  request: Signature.Request,
  handler: (event: Attempt) => Effect.Effect<A, E, R>
): Effect.Effect<Outcome<A>, E | Signature.SignatureError | InboxError, R | Inbox> =>
  through(Effect.map(Inbox, ({ take }) => take), endpoint, request, handler)

/**
 * The same with the mark set after the handler: for stores that are not the database of the handler, and for handlers
 * whose effect is elsewhere.
 *
 * **Gotchas**
 *
 * The handler may run more than once for one event. Let it call others under a key made of provider, endpoint and id.
 *
 * @category handling
 * @since 0.1.0
 */
export const handleAtLeastOnce = <A, E, R>(
  endpoint: Endpoint,
  request: Signature.Request,
  handler: (event: Attempt) => Effect.Effect<A, E, R>
): Effect.Effect<Outcome<A>, E | Signature.SignatureError | InboxError, R | AtLeastOnceInbox> =>
  through(Effect.map(AtLeastOnceInbox, ({ take }) => take), endpoint, request, handler)

const through = <A, E, R, S>(
  inbox: Effect.Effect<Take, never, S>,
  endpoint: Endpoint,
  request: Signature.Request,
  handler: (event: Attempt) => Effect.Effect<A, E, R>
): Effect.Effect<Outcome<A>, E | Signature.SignatureError | InboxError, R | S> => {
  const { name, provider, verify, window } = endpoint
  const taken = Effect.gen(function*() {
    const event = yield* verify(request)
    const take = yield* inbox
    const { fingerprint, id } = event
    return yield* take(
      { provider, endpoint: name, id, fingerprint, window },
      ({ attempt }) => handler({ ...event, attempt })
    )
  })
  return counted(taken, endpoint).pipe(
    Effect.withSpan("webhook.handle", { attributes: { "webhook.provider": provider, "webhook.endpoint": name } })
  )
}

/**
 * Decodes the body of an event as JSON by a schema. A failure names the field that is wrong, scrubbed, and holds no value of
 * the body.
 *
 * @category decoding
 * @since 0.1.0
 */
export const payload = <A, I, RD, RE>(
  event: Event,
  schema: Schema.Codec<A, I, RD, RE>
): Effect.Effect<A, WebhookError, RD> =>
  Effect.mapError(
    Schema.decodeUnknownEffect(Schema.toCodecJson(schema))(parse(event.body)),
    (error) =>
      new WebhookError({ reason: new PayloadMalformed({ detail: Redaction.scrub(error.message).slice(0, 500) }) })
  )

const fail = (reason: WebhookError["reason"]) => Effect.fail(new WebhookError({ reason }))

/**
 * The name of an endpoint is none.
 *
 * @category reasons
 * @since 0.1.0
 */
export class NameMalformed extends Schema.TaggedError<NameMalformed>()("NameMalformed", {}) {
  override get message(): string {
    return "the name of an endpoint is 1 to 64 letters, digits, dots, dashes and underscores"
  }
}

/**
 * A window shorter than the provider delivers an event again: its last deliveries would be handled a second time.
 *
 * @category reasons
 * @since 0.1.0
 */
export class WindowTooShort extends Schema.TaggedError<WindowTooShort>()("WindowTooShort", {
  horizon: Schema.DurationFromMillis
}) {
  override get message(): string {
    return `the provider delivers an event again for ${Duration.format(this.horizon)}: remember it for as long`
  }
}

/**
 * A window without an end: marks would be kept for ever.
 *
 * @category reasons
 * @since 0.1.0
 */
export class WindowUnbounded extends Schema.TaggedError<WindowUnbounded>()("WindowUnbounded", {}) {
  override get message(): string {
    return "a window is a finite time: what is remembered for ever fills the store"
  }
}

/**
 * The body is no JSON in UTF-8, or the schema refuses it.
 *
 * @category reasons
 * @since 0.1.0
 */
export class PayloadMalformed extends Schema.TaggedError<PayloadMalformed>()("PayloadMalformed", {
  detail: Schema.String
}) {
  override get message(): string {
    return `the body of the event does not fit: ${this.detail}`
  }
}

/**
 * What is wrong with an endpoint or with a payload. A request is refused with a `SignatureError`, a delivery with an
 * `InboxError`.
 *
 * @category errors
 * @since 0.1.0
 */
export class WebhookError extends Schema.TaggedError<WebhookError>()("WebhookError", {
  reason: Schema.Union([NameMalformed, WindowTooShort, WindowUnbounded, PayloadMalformed])
}) {
  readonly disposition = "Refused" as const
  override get message(): string {
    return this.reason.message
  }
}
