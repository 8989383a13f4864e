/**
 * What is ordered, and what a shop can say no to.
 */
import { Schema } from "effect"
import { Card, Money } from "effect-payments"

const Text = Schema.String.check(Schema.isBetweenLength(1, 64))

/** The id is made by whoever places the order, before it is sent: the same order is placed once, however often it comes. */
export const OrderId = Text.check(
  Schema.isPattern(/^[A-Za-z0-9._-]+$/, { expected: "letters, digits, dots, dashes and underscores" })
)

export const Order = Schema.Struct({
  orderId: OrderId,
  email: Schema.String.check(Schema.isBetweenLength(3, 320)),
  sku: Text,
  quantity: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100 })),
  total: Money.Money,
  /** A token, never a number: the schema refuses everything in which it finds a card. */
  card: Card.CardToken,
  /** ISO 3166-1 alpha-2. */
  shipTo: Schema.String.check(Schema.isPattern(/^[A-Z]{2}$/, { expected: "a country code" })),
  /** The payer has passed the challenge that an earlier attempt asked for. */
  isAuthenticated: Schema.optionalKey(Schema.Boolean)
})
export type Order = typeof Order.Type

/** Each error says what is known of what it failed: `Refused` is a final no, `Unknown` may have happened. */
export class OutOfStock extends Schema.TaggedError<OutOfStock>()("OutOfStock", { sku: Schema.String }) {
  readonly disposition = "Refused" as const
  override get message(): string {
    return `not enough of ${this.sku} is in stock`
  }
}

/** The order was given up before its reservation arrived. */
export class ReservationClosed
  extends Schema.TaggedError<ReservationClosed>()("ReservationClosed", { orderId: Schema.String })
{
  readonly disposition = "Refused" as const
  override get message(): string {
    return `the reservation of ${this.orderId} was given back`
  }
}

export class DeliveryRefused
  extends Schema.TaggedError<DeliveryRefused>()("DeliveryRefused", { shipTo: Schema.String })
{
  readonly disposition = "Refused" as const
  override get message(): string {
    return `nobody delivers to ${this.shipTo}`
  }
}

/** Nobody answered, or with something that cannot be read: it may have happened. */
export class NoAnswer extends Schema.TaggedError<NoAnswer>()("NoAnswer", { operation: Schema.String }) {
  readonly disposition = "Unknown" as const
  override get message(): string {
    return `${this.operation}: no answer`
  }
}

/** It surely did not happen: no connection was made, or the other side says so. */
export class Unavailable extends Schema.TaggedError<Unavailable>()("Unavailable", { operation: Schema.String }) {
  readonly disposition = "NotExecuted" as const
  override get message(): string {
    return `${this.operation}: not available, nothing was done`
  }
}

/** The sale was given up before its entry arrived. */
export class SaleReversed extends Schema.TaggedError<SaleReversed>()("SaleReversed", { orderId: Schema.String }) {
  readonly disposition = "Refused" as const
  override get message(): string {
    return `the sale of ${this.orderId} was reversed`
  }
}

/** The payer has failed the challenge, or not answered it in time. */
export class NotAuthenticated
  extends Schema.TaggedError<NotAuthenticated>()("NotAuthenticated", { orderId: Schema.String })
{
  readonly disposition = "Refused" as const
  override get message(): string {
    return `the payer of ${this.orderId} has not authenticated`
  }
}

/** The gateway confirms another capture than the one of this order. */
export class NotConfirmed extends Schema.TaggedError<NotConfirmed>()("NotConfirmed", { orderId: Schema.String }) {
  readonly disposition = "Refused" as const
  override get message(): string {
    return `another capture than that of ${this.orderId} is confirmed`
  }
}

/** What has to be on record could not be kept, so nothing was sent. */
export class NotKept extends Schema.TaggedError<NotKept>()("NotKept", {}) {
  readonly disposition = "NotExecuted" as const
  override get message(): string {
    return "the audit entry could not be kept; nothing was sent"
  }
}
