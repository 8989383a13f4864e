/**
 * What went wrong with a payment, as data that drives every other layer.
 *
 * A `PaymentError` carries a `reason`, and each reason a `disposition`: `NotExecuted` (surely nothing happened),
 * `Refused` (a final answer: no) or `Unknown` (it may have happened). Retry, idempotency, circuit breaker and saga read
 * the disposition and nothing else, so a decline is never retried and a timeout never taken for a failure. What the
 * module does not do: decide whether an `Unknown` may be sent again. Only the gateway knows, and stamps it as
 * `repeatable` (see `PaymentGateway.make`).
 *
 * Messages and fields never hold a card number, security code, token, secret or raw body.
 *
 * Read `PaymentGateway` next.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Card from "./Card.ts"
import * as Decline from "./Decline.ts"

/**
 * What is known about an effect that failed.
 *
 * - `NotExecuted`: surely nothing happened; safe to try again.
 * - `Refused`: a final answer; trying again only repeats it.
 * - `Unknown`: it may have happened; look it up before anything else.
 *
 * @category models
 * @since 0.1.0
 */
export type Disposition = "NotExecuted" | "Refused" | "Unknown"

/**
 * The bound that combinators put on the error channel: an error that states what is known about the effect.
 *
 * **Details**
 *
 * `repeatable` counts on an `Unknown` only: the receiver recognises the same request and answers it once.
 * `retryAfter` is the earliest time at which the other side wants to hear from us again.
 *
 * **Example** (an error of one's own)
 *
 * ```ts
 * import { Schema } from "effect"
 * import { PaymentError } from "effect-payments"
 *
 * class StockUnavailable extends Schema.TaggedError<StockUnavailable>()("StockUnavailable", { sku: Schema.String }) {
 *   readonly disposition = "Refused" as const
 * }
 *
 * PaymentError.dispositionOf(new StockUnavailable({ sku: "A-1" })) // => "Refused"
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export interface HasDisposition {
  readonly disposition: Disposition
  readonly repeatable?: boolean | undefined
  readonly retryAfter?: Duration.Duration | undefined
}

const RetryAfter = Schema.optionalKey(Schema.DurationFromMillis)

/**
 * Which part of the stack refused before the request left.
 *
 * @category models
 * @since 0.1.0
 */
export const Origin = Schema.Literals(["gateway", "circuitBreaker", "throttle", "rateLimit", "bulkhead", "deadline"])

/**
 * See {@link Origin}.
 *
 * @category models
 * @since 0.1.0
 */
export type Origin = typeof Origin.Type

/**
 * The transport failed. `sent: false` holds for name resolution, a refused connection and TLS failure alone; everything
 * else, also a reset of a reused socket, is `sent: true` and so `Unknown`.
 *
 * @category reasons
 * @since 0.1.0
 */
export class NetworkError extends Schema.TaggedError<NetworkError>()("NetworkError", {
  sent: Schema.Boolean,
  repeatable: Schema.optionalKey(Schema.Boolean)
}) {
  get disposition(): "NotExecuted" | "Unknown" {
    return this.sent ? "Unknown" : "NotExecuted"
  }
  override get message(): string {
    return this.sent ? "the connection broke after the request left" : "the gateway could not be reached"
  }
}

/**
 * Too many requests; nothing was processed (HTTP 429, or our own limiter).
 *
 * @category reasons
 * @since 0.1.0
 */
export class RateLimited extends Schema.TaggedError<RateLimited>()("RateLimited", {
  by: Origin,
  retryAfter: RetryAfter
}) {
  readonly disposition = "NotExecuted" as const
  override get message(): string {
    return `rate limited by ${this.by}${after(this.retryAfter)}`
  }
}

/**
 * Refused before processing: maintenance, an open circuit, a full bulkhead, a deadline that has passed.
 *
 * @category reasons
 * @since 0.1.0
 */
export class GatewayUnavailable extends Schema.TaggedError<GatewayUnavailable>()("GatewayUnavailable", {
  by: Origin,
  retryAfter: RetryAfter
}) {
  readonly disposition = "NotExecuted" as const
  override get message(): string {
    return `not sent: ${unavailable[this.by]}${after(this.retryAfter)}`
  }
}

/**
 * The issuer or the processor said no. `code` is the masked code of the decline table, `advice` what to tell the payer;
 * neither says that a card is lost, stolen or suspected of fraud. `processorCode` is for the merchant's eyes: it is
 * redacted in logs, but the encoded error holds it. To a payer send {@link forPayer}.
 *
 * @category reasons
 * @since 0.1.0
 */
export class CardDeclined extends Schema.TaggedError<CardDeclined>()("CardDeclined", {
  code: Decline.PublicCode,
  advice: Decline.Advice,
  nextKey: Decline.NextKey,
  processorCode: Schema.optionalKey(Schema.RedactedFromValue(Schema.String.check(Schema.isMaxLength(64))))
}) {
  readonly disposition = "Refused" as const
  override get message(): string {
    return `the card was declined (${this.code}); advice for the payer: ${this.advice}`
  }
}

/**
 * The account does not hold enough now.
 *
 * @category reasons
 * @since 0.1.0
 */
export class InsufficientFunds extends Schema.TaggedError<InsufficientFunds>()("InsufficientFunds", {
  advice: Decline.Advice,
  nextKey: Decline.NextKey
}) {
  readonly disposition = "Refused" as const
  override get message(): string {
    return `insufficient funds; advice for the payer: ${this.advice}`
  }
}

/**
 * What the payer has to go through before the payment can be tried again: a page to visit, or the data that an
 * issuer's challenge needs.
 *
 * @category models
 * @since 0.1.0
 */
export const Challenge = Schema.Struct({
  id: Schema.String.check(Schema.isMaxLength(255)),
  url: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(2048)))
})

/**
 * See {@link Challenge}.
 *
 * @category models
 * @since 0.1.0
 */
export type Challenge = typeof Challenge.Type

/**
 * Strong customer authentication is needed (3-D Secure step-up). Replays under its key; after the challenge the attempt
 * is a new phase or a new key.
 *
 * @category reasons
 * @since 0.1.0
 */
export class AuthenticationRequired extends Schema.TaggedError<AuthenticationRequired>()("AuthenticationRequired", {
  challenge: Challenge
}) {
  readonly disposition = "Refused" as const
  override get message(): string {
    return "the payer has to authenticate: present the challenge, then try with a new key or phase"
  }
}

/**
 * A fraud rule of ours blocked the payment before it left. The rule's name is for the merchant, never for the payer.
 *
 * @category reasons
 * @since 0.1.0
 */
export class FraudBlocked extends Schema.TaggedError<FraudBlocked>()("FraudBlocked", {
  rule: Schema.String.check(Schema.isMaxLength(255))
}) {
  readonly disposition = "Refused" as const
  override get message(): string {
    return "the payment was blocked"
  }
}

/**
 * The request itself is wrong (malformed, unknown transaction, void after capture, more refunded than captured). `code`
 * is a short identifier, `field` the field it is about.
 *
 * @category reasons
 * @since 0.1.0
 */
export class InvalidRequest extends Schema.TaggedError<InvalidRequest>()("InvalidRequest", {
  code: Schema.String.check(Schema.isMaxLength(64)),
  field: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(64)))
}) {
  readonly disposition = "Refused" as const
  override get message(): string {
    return `invalid request: ${this.code}${this.field === undefined ? "" : ` (${this.field})`}`
  }
}

/**
 * No answer in time: the payment may have happened.
 *
 * @category reasons
 * @since 0.1.0
 */
export class GatewayTimeout extends Schema.TaggedError<GatewayTimeout>()("GatewayTimeout", {
  repeatable: Schema.optionalKey(Schema.Boolean)
}) {
  readonly disposition = "Unknown" as const
  override get message(): string {
    return "no answer in time: the payment may have happened"
  }
}

/**
 * The gateway answered with a fault of its own (5xx) or with something that cannot be read: the payment may have
 * happened. `status` is the HTTP status where there is one.
 *
 * @category reasons
 * @since 0.1.0
 */
export class GatewayFault extends Schema.TaggedError<GatewayFault>()("GatewayFault", {
  status: Schema.optionalKey(Schema.Int),
  repeatable: Schema.optionalKey(Schema.Boolean)
}) {
  readonly disposition = "Unknown" as const
  override get message(): string {
    return `the gateway failed${
      this.status === undefined ? "" : ` with status ${this.status}`
    }: the payment may have happened`
  }
}

/**
 * All reasons of a {@link PaymentError}.
 *
 * @category reasons
 * @since 0.1.0
 */
export const Reason = Schema.Union([
  NetworkError,
  RateLimited,
  GatewayUnavailable,
  CardDeclined,
  InsufficientFunds,
  AuthenticationRequired,
  FraudBlocked,
  InvalidRequest,
  GatewayTimeout,
  GatewayFault
])

/**
 * See {@link Reason}.
 *
 * @category reasons
 * @since 0.1.0
 */
export type Reason = typeof Reason.Type

/**
 * A payment that did not succeed, with the reason.
 *
 * **When to use**
 *
 * As the one error type of everything that talks to a gateway. Handle a reason with
 * `Effect.catchReason("PaymentError", "CardDeclined", …)`, or take all of them into the error channel with
 * `Effect.unwrapReason("PaymentError")`.
 *
 * **Example**
 *
 * ```ts
 * import { Effect } from "effect"
 * import { PaymentError } from "effect-payments"
 *
 * const declined = Effect.fail(PaymentError.make(new PaymentError.GatewayTimeout({})))
 *
 * Effect.runSync(Effect.flip(declined)).disposition // => "Unknown"
 * ```
 *
 * @category errors
 * @since 0.1.0
 */
export class PaymentError extends Schema.TaggedError<PaymentError>()("PaymentError", { reason: Reason }) {
  get disposition(): Disposition {
    return this.reason.disposition
  }
  get repeatable(): boolean {
    return this.reason.disposition === "Unknown" && this.reason.repeatable === true
  }
  get retryAfter(): Duration.Duration | undefined {
    return "retryAfter" in this.reason ? this.reason.retryAfter : undefined
  }
  override get message(): string {
    return this.reason.message
  }
}

/**
 * Wraps a reason.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (reason: Reason): PaymentError => new PaymentError({ reason })

/**
 * The disposition of any failure. What states none counts as `Unknown`: a guess would cost money.
 *
 * @category accessors
 * @since 0.1.0
 */
export const dispositionOf = (error: unknown): Disposition => {
  if (!Predicate.hasProperty(error, "disposition")) return "Unknown"
  const { disposition } = error
  return disposition === "NotExecuted" || disposition === "Refused" ? disposition : "Unknown"
}

/**
 * Whether an attempt that failed like this may be sent again under the same downstream key: surely not executed, or
 * unknown at a gateway that de-duplicates.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isRetriable = (error: HasDisposition): boolean =>
  error.disposition === "NotExecuted" || (error.disposition === "Unknown" && error.repeatable === true)

/**
 * What {@link fromDecline} needs: whose code, the code, and where they apply the challenge that the payer has to pass, how
 * long the processor wants us to wait, and the HTTP status.
 *
 * @category models
 * @since 0.1.0
 */
export interface DeclineOptions {
  readonly processor: Decline.Processor | (string & {})
  readonly code: string
  readonly challenge?: Challenge | undefined
  readonly retryAfter?: Duration.Duration | undefined
  readonly status?: number | undefined
}

/**
 * The error to raise for a processor's decline code.
 *
 * **Details**
 *
 * - a refusal becomes `CardDeclined` or `InsufficientFunds`, with the advice and the key of the table;
 * - a code for lost, stolen, restricted or suspected cards becomes the same `CardDeclined` as a refusal without a reason;
 * - "authenticate first" becomes `AuthenticationRequired` where a challenge is given, else `CardDeclined` with that advice;
 * - a rate limit becomes `RateLimited`, a fault of the merchant `InvalidRequest`;
 * - where no verdict reached us, or an earlier payment may have happened, or a part was approved: `GatewayFault`, whose
 *   outcome is unknown and has to be looked up;
 * - an unknown code or processor is a refusal without a reason.
 *
 * The code itself travels redacted, at most 64 characters of it, and not at all where it holds a card number.
 *
 * **Gotchas**
 *
 * `nextKey` of the error speaks of the payer's next attempt. Whether the merchant may try the same card again says
 * `Decline.lookup`, whose `nextKey` and `reattempt` are not masked.
 *
 * **Example**
 *
 * ```ts
 * import { PaymentError } from "effect-payments"
 *
 * const error = PaymentError.fromDecline({ processor: "stripe:decline_code", code: "expired_card" })
 *
 * error.message // => "the card was declined (ExpiredCard); advice for the payer: UpdateCard"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromDecline = (options: DeclineOptions): PaymentError => make(reasonOf(options))

const reasonOf = (options: DeclineOptions): Reason => {
  const row = Option.getOrUndefined(Decline.lookup(options.processor, options.code))
  switch (row?.reason) {
    case "InsufficientFunds":
      return new InsufficientFunds({ advice: row.advice, nextKey: row.nextKey })
    case "AuthenticationRequired":
      return options.challenge === undefined
        ? declined(row, options.code)
        : new AuthenticationRequired({ challenge: options.challenge })
    case "RateLimited":
      return new RateLimited({
        by: "gateway",
        ...options.retryAfter === undefined ? {} : { retryAfter: options.retryAfter }
      })
    case "GatewayFault":
      return new GatewayFault(options.status === undefined ? {} : { status: options.status })
    case "InvalidRequest":
      return new InvalidRequest({ code: row.kind.replace(/(?!^)[A-Z]/g, (letter) => `_${letter}`).toLowerCase() })
    default:
      return declined(row, options.code)
  }
}

const declined = (row: Decline.Decline | undefined, processorCode: string): CardDeclined => {
  const shown = row === undefined || row.masked ? Decline.generic : row
  return new CardDeclined({
    code: shown.publicCode,
    advice: shown.advice,
    nextKey: shown.nextKey,
    ...Card.containsPan(processorCode) ? {} : { processorCode: Redacted.make(processorCode.slice(0, 64)) }
  })
}

/**
 * What a payer may be shown.
 *
 * @category payer
 * @since 0.1.0
 */
export interface PayerMessage {
  readonly code: Decline.PublicCode
  readonly advice: Decline.Advice
  readonly text: string
}

/**
 * What to tell the payer about an error: a code, an advice and its text, and nothing else of it. Safe to send as it is.
 *
 * **Details**
 *
 * A payment that was blocked by a fraud rule looks like a refusal without a reason. An unknown outcome is "being
 * processed": the payer must not pay again.
 *
 * **Example**
 *
 * ```ts
 * import { PaymentError } from "effect-payments"
 *
 * const stolen = PaymentError.fromDecline({ processor: "stripe:decline_code", code: "stolen_card" })
 *
 * const { advice, code, text } = PaymentError.forPayer(stolen)
 *
 * code // => "CardDeclined"
 * advice // => "TryAnotherMethod"
 * text // => "Your payment could not be completed. Please use another payment method."
 * ```
 *
 * @category payer
 * @since 0.1.0
 */
export const forPayer = (error: PaymentError, texts: Decline.Texts = Decline.english): PayerMessage => {
  const { advice, code } = publicOf(error.reason)
  return { code, advice, text: Decline.payerText(advice, texts) }
}

const publicOf = (reason: Reason): Pick<PayerMessage, "code" | "advice"> => {
  switch (reason._tag) {
    case "CardDeclined":
      return reason
    case "InsufficientFunds":
      return { code: "InsufficientFunds", advice: reason.advice }
    case "AuthenticationRequired":
      return { code: "AuthenticationRequired", advice: "Authenticate" }
    case "FraudBlocked":
      return { code: Decline.generic.publicCode, advice: Decline.generic.advice }
    case "InvalidRequest":
      return { code: "PaymentUnavailable", advice: "ContactMerchant" }
    default:
      return reason.disposition === "NotExecuted"
        ? { code: "PaymentUnavailable", advice: "TryLater" }
        : { code: "PaymentPending", advice: "Wait" }
  }
}

const unavailable: Record<Origin, string> = {
  gateway: "the gateway is unavailable",
  circuitBreaker: "the circuit is open",
  throttle: "the gateway turns most calls away",
  rateLimit: "the rate limit is reached",
  bulkhead: "too many calls are waiting",
  deadline: "no time is left before the deadline"
}

const after = (duration: Duration.Duration | undefined): string =>
  duration === undefined ? "" : `; try again in ${Duration.format(duration)}`
