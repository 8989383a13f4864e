/**
 * The card tokens that the simulator knows. A real vault hands out tokens for cards; here each stands for an outcome. The
 * codes are those of Stripe's `decline_code`.
 *
 * | token | outcome |
 * |---|---|
 * | `tok_visa`, `tok_mastercard` | approved |
 * | `tok_3ds_hold` | approved, with a challenge: its capture is refused, 400 `authentication_pending`, until that is passed |
 * | `tok_hold_lapses` | approved; its capture is refused, 400 `authorization_expired` |
 * | `tok_declined` | 402 `generic_decline` |
 * | `tok_insufficient` | 402 `insufficient_funds` |
 * | `tok_stolen`, `tok_lost`, `tok_fraud` | 402 `stolen_card`, `lost_card`, `fraudulent`: codes a payer must not see |
 * | `tok_expired` | 402 `expired_card` |
 * | `tok_cvc` | 402 `incorrect_cvc` |
 * | `tok_try_again` | 402 `try_again_later` |
 * | `tok_3ds` | 402 `authentication_required` with a challenge |
 * | `tok_rate_limited` | 429 with `retry-after: 1`, never processed |
 * | `tok_unavailable` | 503 `processed: false`, never processed |
 * | anything else | 400 `unknown_token` |
 */
export type Verdict =
  | { readonly _tag: "Approved" | "Challenge" | "RateLimited" | "Unavailable" }
  | { readonly _tag: "Declined"; readonly code: string }

const declined = (code: string): Verdict => ({ _tag: "Declined", code })

const verdicts: ReadonlyMap<string, Verdict> = new Map([
  ["tok_visa", { _tag: "Approved" }],
  ["tok_mastercard", { _tag: "Approved" }],
  ["tok_3ds_hold", { _tag: "Approved" }],
  ["tok_hold_lapses", { _tag: "Approved" }],
  ["tok_declined", declined("generic_decline")],
  ["tok_insufficient", declined("insufficient_funds")],
  ["tok_stolen", declined("stolen_card")],
  ["tok_lost", declined("lost_card")],
  ["tok_fraud", declined("fraudulent")],
  ["tok_expired", declined("expired_card")],
  ["tok_cvc", declined("incorrect_cvc")],
  ["tok_try_again", declined("try_again_later")],
  ["tok_3ds", { _tag: "Challenge" }],
  ["tok_rate_limited", { _tag: "RateLimited" }],
  ["tok_unavailable", { _tag: "Unavailable" }]
])

/** Whether the issuer lets go of what was held before it is captured. */
export const lapses = (token: string): boolean => token === "tok_hold_lapses"

/** Whether the payer has to authenticate before what is held is captured. */
export const isChallenged = (token: string): boolean => token === "tok_3ds_hold"

/** What the issuer says to a token; undefined for one that nobody issued. */
export const verdictOf = (token: string): Verdict | undefined => verdicts.get(token)
