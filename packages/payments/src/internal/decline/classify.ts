import type { Advice, Decline, Kind, PublicCode, ReasonTag, Reattempt } from "../../Decline.ts"

type Classified = Pick<Decline, "reason" | "publicCode" | "advice">

/** Which error a row becomes, and what of it the payer may learn. */
export const classify = (kind: Kind, reattempt: Reattempt, masked: boolean): Classified => {
  if (masked) return generic
  switch (kind) {
    case "InsufficientFunds":
      return { reason: "InsufficientFunds", publicCode: "InsufficientFunds", advice: "TryAnotherMethod" }
    case "AuthenticationRequired":
      return { reason: "AuthenticationRequired", publicCode: "AuthenticationRequired", advice: "Authenticate" }
    case "RateLimited":
      return { reason: "RateLimited", publicCode: "PaymentUnavailable", advice: "TryLater" }
    case "AcquirerError":
      return reattempt === "technical" ? unknown : declined("PaymentUnavailable", "TryLater")
    // The earlier payment may have happened, and a partial approval has reserved money: neither is a plain no.
    case "DuplicateTransaction":
    case "PartiallyApproved":
      return unknown
    case "InvalidRequest":
    case "InvalidAmount":
    case "AuthError":
    case "TestModeMismatch":
      return merchant
    case "MerchantConfig":
      return reattempt === "merchant" ? merchant : generic
    default:
      return declinedBy(kind, reattempt)
  }
}

/** Refusals by the issuer: a kind has a public code only where the payer can act on it. */
const declinedBy = (kind: Kind, reattempt: Reattempt): Classified => {
  switch (kind) {
    case "IssuerUnavailable":
      return declined("IssuerUnavailable", "TryLater")
    case "ExpiredCard":
      return declined("ExpiredCard", "UpdateCard")
    case "NewAccountInfo":
      return declined("InvalidCardData", "UpdateCard")
    // Which of number, code and address is wrong would help to guess the rest.
    case "InvalidCardData":
    case "CvvMismatch":
    case "AvsMismatch":
      return declined("InvalidCardData", reattempt === "fix_data" ? "CheckDetails" : "TryAnotherMethod")
    case "PinRequiredOrInvalid":
      return declined("PinInvalid", reattempt === "fix_data" ? "CheckDetails" : "TryAnotherMethod")
    case "AuthenticationFailed":
      return declined("AuthenticationFailed", reattempt === "with_3ds" ? "Authenticate" : "TryAnotherMethod")
    case "UserCancelled":
      return declined("UserCancelled", reattempt === "with_3ds" ? "Authenticate" : "TryAnotherMethod")
    case "TransactionNotPermitted":
    case "CurrencyNotSupported":
      return declined("TransactionNotPermitted", "TryAnotherMethod")
    case "LimitExceeded":
      return declined("LimitExceeded", "TryAnotherMethod")
    case "MandateRevoked":
      return declined("MandateRevoked", "NewMandate")
    case "VoiceReferral":
      return declined("CardDeclined", "ContactBank")
    default:
      return generic
  }
}

const make = (reason: ReasonTag, publicCode: PublicCode, advice: Advice): Classified => ({ reason, publicCode, advice })

const declined = (publicCode: PublicCode, advice: Advice): Classified => make("CardDeclined", publicCode, advice)

const generic = make("CardDeclined", "CardDeclined", "TryAnotherMethod")
const unknown = make("GatewayFault", "PaymentPending", "Wait")
const merchant = make("InvalidRequest", "PaymentUnavailable", "ContactMerchant")
