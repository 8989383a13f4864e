/**
 * What goes over the wire. Amounts are strings of minor units: a JSON number is a double, and a double is no money.
 */
import * as Schema from "effect/Schema"

const Key = Schema.String.check(Schema.isPattern(/^[\x21-\x7e]{1,255}$/))
export const isKey = Schema.is(Key)

const AmountMinor = Schema.String.check(Schema.isPattern(/^[1-9][0-9]{0,17}$/))
const Currency = Schema.String.check(Schema.isPattern(/^[A-Z]{3}$/))
const Short = Schema.String.check(Schema.isBetweenLength(1, 255))

export const Authorization = Schema.Struct({
  token: Short,
  amountMinor: AmountMinor,
  currency: Currency,
  capture: Schema.optionalKey(Schema.Boolean),
  merchantReference: Schema.optionalKey(Short)
})
export const Capture = Schema.Struct({
  amountMinor: Schema.optionalKey(AmountMinor),
  currency: Schema.optionalKey(Currency)
})
export const Void = Schema.Struct({})
export const Refund = Schema.Struct({
  amountMinor: Schema.optionalKey(AmountMinor),
  currency: Schema.optionalKey(Currency),
  reason: Schema.optionalKey(Short)
})

const loopback = /^http:\/\/127\.0\.0\.1:[0-9]{1,5}(?:\/[\x21-\x7e]*)?$/

/** Where events go: to this machine only. `deliveries` above one sends each event so often, as providers do at times. */
export const Endpoint = Schema.Struct({
  url: Schema.String.check(Schema.isMaxLength(2048), Schema.isPattern(loopback)),
  secret: Schema.String.check(Schema.isBetweenLength(16, 255)),
  deliveries: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 5 })))
})
/** What the payer makes of a challenge. */
export const ChallengeAnswer = Schema.Struct({ id: Short, answer: Schema.Literals(["passed", "failed"]) })

export const Redelivery = Schema.Struct({ id: Short })

/** A plan for the next requests: those under a key, those with a card token, or any. */
export const Planned = Schema.Struct({
  key: Schema.optionalKey(Short),
  token: Schema.optionalKey(Short),
  plan: Schema.String.check(Schema.isBetweenLength(1, 512)),
  times: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10_000 })))
})

export const Operation = Schema.Struct({
  key: Schema.String,
  kind: Schema.Literals(["authorize", "capture", "void", "refund"]),
  status: Schema.Literals(["authorized", "captured", "voided", "refunded", "refused"]),
  amountMinor: Schema.optional(Schema.String),
  currency: Schema.optional(Schema.String),
  transactionId: Schema.optional(Schema.String),
  code: Schema.optional(Schema.String),
  /** Of an authorization whose payer has to pass it first. */
  challengeId: Schema.optional(Schema.String),
  merchantReference: Schema.optional(Schema.String)
})
export type Operation = typeof Operation.Type

const Challenged = Schema.Struct({
  kind: Schema.Literal("challenge"),
  status: Schema.Literals(["passed", "failed"]),
  transactionId: Schema.String,
  merchantReference: Schema.optional(Schema.String)
})

/** An event: an operation, or how a challenge was answered, which moves no money and is in no ledger. */
export const Event = Schema.Struct({
  id: Schema.String,
  type: Schema.String,
  created: Schema.Int,
  data: Schema.Union([Operation, Challenged])
})
export type Event = typeof Event.Type

/** An operation, when it was done, and how many requests and look-ups have come under its key. */
const LedgerRow = Schema.Struct({ ...Operation.fields, at: Schema.Int, requests: Schema.Int, lookups: Schema.Int })

/** `charges` counts approved authorizations: each holds or takes a payer's money. Sums are minor units. */
export const Ledger = Schema.Struct({
  charges: Schema.Int,
  operations: Schema.Array(LedgerRow),
  totals: Schema.Record(
    Schema.String,
    Schema.Struct({
      charged: Schema.String,
      captured: Schema.String,
      voided: Schema.String,
      refunded: Schema.String,
      net: Schema.String
    })
  )
})
export type Ledger = typeof Ledger.Type

/** `pending`: deliveries that have neither arrived nor been given up. */
export const WebhookStats = Schema.Struct({
  pending: Schema.Int,
  delivered: Schema.Int,
  failedAttempts: Schema.Int,
  givenUp: Schema.Int,
  dropped: Schema.Int
})

export interface Transaction {
  readonly id: string
  readonly kind: "authorize" | "capture" | "void" | "refund"
  readonly status: "authorized" | "captured" | "voided" | "refunded"
  readonly amountMinor: string
  readonly currency: string
  readonly parent?: string
  readonly merchantReference?: string
  /** The payer has to pass it before the gateway captures. Until it is captured or voided the amount is held. */
  readonly challenge?: { readonly id: string; readonly url: string }
  readonly avs?: { readonly street: string; readonly postal: string }
  readonly cvv?: string
}

/** Every answer that is not a success has this body. `processed: false` is a promise: nothing was done. */
export interface Failure {
  readonly error: {
    readonly type: string
    readonly code: string
    readonly field?: string
    readonly processed?: boolean
    readonly challenge?: { readonly id: string; readonly url: string }
  }
}

export interface Answer {
  readonly status: number
  readonly body: object
  readonly headers?: Readonly<Record<string, string>>
}

export interface Reply extends Answer {
  readonly body: Transaction | Failure
}

export const failure = (
  status: number,
  type: string,
  code: string,
  extra: Omit<Failure["error"], "type" | "code"> = {},
  headers: Readonly<Record<string, string>> = {}
): Reply => ({ status, body: { error: { type, code, ...extra } }, headers })
