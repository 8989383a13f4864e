/**
 * What a processor's decline code means: for the program, for the merchant and for the payer.
 *
 * It prevents two failures: trying again what will never work or what costs a fine (each code says whether a new attempt
 * makes sense and which idempotency key it needs), and telling a thief what the issuer knows (codes for lost, stolen and
 * suspected cards look to the payer exactly like any other refusal, in code, advice and text).
 *
 * The table holds facts from public documentation of processors and schemes; the classification is ours, and schemes
 * change theirs. A code that is not in it is a generic decline, never a crash. It does not count attempts: scheme limits
 * are the caller's business.
 *
 * `PaymentError.fromDecline` turns a code into the error to raise. Read `PaymentError` next.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { classify } from "./internal/decline/classify.ts"
import { rows, sources } from "./internal/decline/table.ts"
import type { Disposition } from "./PaymentError.ts"

/**
 * What a payer may learn about a payment that did not succeed. Kinds that would tell a thief something, and those that
 * are the merchant's fault, have no code of their own.
 *
 * @category models
 * @since 0.1.0
 */
export const PublicCode = Schema.Literals([
  "CardDeclined",
  "InsufficientFunds",
  "ExpiredCard",
  "InvalidCardData",
  "PinInvalid",
  "AuthenticationRequired",
  "AuthenticationFailed",
  "TransactionNotPermitted",
  "LimitExceeded",
  "MandateRevoked",
  "UserCancelled",
  "IssuerUnavailable",
  "PaymentPending",
  "PaymentUnavailable"
])

/**
 * See {@link PublicCode}.
 *
 * @category models
 * @since 0.1.0
 */
export type PublicCode = typeof PublicCode.Type

/**
 * What the payer can do. See {@link english} for the words.
 *
 * @category models
 * @since 0.1.0
 */
export const Advice = Schema.Literals([
  "TryAnotherMethod",
  "ContactBank",
  "CheckDetails",
  "Authenticate",
  "TryLater",
  "UpdateCard",
  "NewMandate",
  "Wait",
  "ContactMerchant"
])

/**
 * See {@link Advice}.
 *
 * @category models
 * @since 0.1.0
 */
export type Advice = typeof Advice.Type

/**
 * The idempotency key that a new attempt needs: the `same` where no verdict reached us, a `new` one where the old would
 * only replay the refusal, `none` where a new attempt makes no sense.
 *
 * @category models
 * @since 0.1.0
 */
export const NextKey = Schema.Literals(["same", "new", "none"])

/**
 * See {@link NextKey}.
 *
 * @category models
 * @since 0.1.0
 */
export type NextKey = typeof NextKey.Type

/**
 * What a code means, for the merchant's eyes.
 *
 * @category models
 * @since 0.1.0
 */
export type Kind =
  | "InsufficientFunds"
  | "CardDeclined"
  | "ExpiredCard"
  | "InvalidCardData"
  | "CvvMismatch"
  | "AvsMismatch"
  | "AuthenticationRequired"
  | "AuthenticationFailed"
  | "LostOrStolenCard"
  | "FraudSuspected"
  | "RestrictedCard"
  | "TransactionNotPermitted"
  | "LimitExceeded"
  | "AccountClosed"
  | "MandateRevoked"
  | "DuplicateTransaction"
  | "IssuerUnavailable"
  | "AcquirerError"
  | "InvalidAmount"
  | "CurrencyNotSupported"
  | "PinRequiredOrInvalid"
  | "RetryProhibited"
  | "InvalidRequest"
  | "AuthError"
  | "MerchantConfig"
  | "RateLimited"
  | "UserCancelled"
  | "NewAccountInfo"
  | "PartiallyApproved"
  | "TestModeMismatch"
  | "VoiceReferral"

/**
 * What the merchant does next.
 *
 * | kind | meaning |
 * |---|---|
 * | `never` | ask for another payment method; schemes fine a further attempt with this one |
 * | `other_method` | ask for another payment method, or the payer contacts the bank |
 * | `fix_data` | let the payer enter the data again |
 * | `with_3ds` | run the challenge, then send once more |
 * | `later` | a schedule of days within scheme limits, or another method while the payer is there |
 * | `after_update` | refresh the card (account updater, network token), then once more |
 * | `technical` | no verdict reached us: the same key again, with back-off, then look it up |
 * | `transient` | a definite but passing refusal: at most one prompt attempt under a new key; counts toward scheme limits |
 * | `lookup_first` | look up the earlier payment before anything else |
 * | `merchant` | alert the operator |
 * | `cancel_schedule` | cancel the subscription; ask the payer for a new mandate |
 *
 * @category models
 * @since 0.1.0
 */
export type Reattempt =
  | "never"
  | "other_method"
  | "fix_data"
  | "with_3ds"
  | "later"
  | "after_update"
  | "technical"
  | "transient"
  | "lookup_first"
  | "merchant"
  | "cancel_schedule"

/**
 * Whose codes: a processor's field, or a scheme's. Field 39 of ISO 8583 means different things by scheme.
 *
 * @category models
 * @since 0.1.0
 */
export type Processor = keyof typeof sources

/**
 * Which reason of a `PaymentError` a code becomes.
 *
 * @category models
 * @since 0.1.0
 */
export type ReasonTag =
  | "CardDeclined"
  | "InsufficientFunds"
  | "AuthenticationRequired"
  | "RateLimited"
  | "GatewayFault"
  | "InvalidRequest"

/**
 * One row of the table. `publicCode` and `advice` are what the payer may learn; all else is for the merchant. `delay` is
 * the least time to wait where the scheme states it; `source` names the public documentation.
 *
 * @category models
 * @since 0.1.0
 */
export interface Decline {
  readonly processor: Processor
  readonly code: string
  readonly kind: Kind
  readonly reason: ReasonTag
  readonly disposition: Disposition
  readonly publicCode: PublicCode
  readonly advice: Advice
  readonly nextKey: NextKey
  readonly reattempt: Reattempt
  readonly masked: boolean
  readonly delay?: Duration.Duration
  readonly source: string
}

/**
 * The refusal without a reason: what an unknown code becomes, and what a masked one looks like.
 *
 * @category models
 * @since 0.1.0
 */
export const generic = {
  publicCode: "CardDeclined",
  advice: "TryAnotherMethod",
  nextKey: "new"
} as const satisfies Pick<
  Decline,
  "publicCode" | "advice" | "nextKey"
>

const disposition: Readonly<Record<ReasonTag, Disposition>> = {
  CardDeclined: "Refused",
  InsufficientFunds: "Refused",
  AuthenticationRequired: "Refused",
  InvalidRequest: "Refused",
  RateLimited: "NotExecuted",
  GatewayFault: "Unknown"
}

const build = (processor: Processor): ReadonlyArray<Decline> =>
  rows[processor].map(([code, kind, reattempt, nextKey, more]) => {
    const masked = more === "masked"
    const classified = classify(kind, reattempt, masked)
    return {
      processor,
      code,
      kind,
      ...classified,
      disposition: disposition[classified.reason],
      nextKey,
      reattempt,
      masked,
      ...(typeof more === "number" ? { delay: Duration.hours(more) } : {}),
      source: sources[processor]
    }
  })

/**
 * All processors of the table.
 *
 * @category table
 * @since 0.1.0
 */
export const processors: ReadonlyArray<Processor> = Object.keys(rows) as Array<Processor>

/**
 * All rows, grouped by processor.
 *
 * @category table
 * @since 0.1.0
 */
export const all: ReadonlyArray<Decline> = processors.flatMap(build)

const byCode: ReadonlyMap<string, ReadonlyMap<string, Decline>> = new Map(
  processors.map((processor) => [
    processor,
    new Map(all.filter((row) => row.processor === processor).map((row) => [row.code, row]))
  ])
)

/**
 * What the table says about a code, in constant time.
 *
 * **Example**
 *
 * ```ts
 * import { Option } from "effect"
 * import { Decline } from "effect-payments"
 *
 * const stolen = Option.getOrThrow(Decline.lookup("stripe:decline_code", "stolen_card"))
 *
 * stolen.kind // => "LostOrStolenCard"
 * stolen.reattempt // => "never"
 * stolen.publicCode // => "CardDeclined"
 *
 * Decline.lookup("stripe:decline_code", "no_such_code") // => Option.none()
 * ```
 *
 * @category table
 * @since 0.1.0
 */
export const lookup = (processor: Processor | (string & {}), code: string): Option.Option<Decline> =>
  Option.fromUndefinedOr(byCode.get(processor)?.get(code))

/**
 * The words for the payer, one per advice, in a language of one's own.
 *
 * @category payer
 * @since 0.1.0
 */
export type Texts = Readonly<Record<Advice, string>>

/**
 * Neutral English words: none blames the payer or says what the issuer knows.
 *
 * @category payer
 * @since 0.1.0
 */
export const english: Texts = {
  TryAnotherMethod: "Your payment could not be completed. Please use another payment method.",
  ContactBank: "Your payment could not be completed. Please contact your bank, or use another payment method.",
  CheckDetails: "Your payment could not be completed. Please check your payment details and try again.",
  Authenticate: "Your bank asks you to confirm this payment. Please complete the confirmation.",
  TryLater: "Your payment could not be completed right now. Please try again in a few minutes.",
  UpdateCard: "Your payment could not be completed. Please update your card, or use another payment method.",
  NewMandate: "This recurring payment is no longer authorized. Please set it up again.",
  Wait: "Your payment is being processed. Please do not pay again; we will confirm the result.",
  ContactMerchant: "Your payment could not be completed. You have not been charged. Please contact us."
}

/**
 * The words for the payer.
 *
 * **Example**
 *
 * ```ts
 * import { Decline } from "effect-payments"
 *
 * Decline.payerText("TryAnotherMethod") // => "Your payment could not be completed. Please use another payment method."
 * ```
 *
 * @category payer
 * @since 0.1.0
 */
export const payerText = (advice: Advice, texts: Texts = english): string => texts[advice]
