/**
 * The orders of the demo.
 */
import { Card, Money, Saga } from "effect-payments"
import { checkout } from "../checkout/checkout.ts"
import type { Order } from "../checkout/Order.ts"

export const sku = "lamp"

export const order = (orderId: string, total: string, rest: Partial<Order> = {}): Order => ({
  orderId,
  email: `${orderId}@example.com`,
  sku,
  quantity: 1,
  total: Money.makeUnsafe("EUR", total),
  card: Card.CardToken.make("tok_visa"),
  shipTo: "DE",
  ...rest
})

export const place = (order: Order) => Saga.execute(checkout, order, { id: order.orderId })
