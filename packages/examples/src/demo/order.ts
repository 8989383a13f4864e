/**
 * The orders of the demo.
 */
import { Card, Money, Saga } from "effect-payments"
import { checkout } from "../checkout/checkout.ts"
import type { Order } from "../checkout/Order.ts"

export const sku = "lamp"

/** What the warehouse has when the demo begins. */
export const delivered = 20

const order = (orderId: string, total: string, rest: Partial<Order> = {}): Order => ({
  orderId,
  email: `${orderId}@example.com`,
  sku,
  quantity: 1,
  total: Money.makeUnsafe("EUR", total),
  card: Card.CardToken.make("tok_visa"),
  shipTo: "DE",
  ...rest
})

/** Those that the scenarios place. */
export const orders = {
  lamp: order("order-2001", "79.00"),
  undeliverable: order("order-2002", "45.00", { shipTo: "AQ" }),
  captureRefused: order("order-2003", "33.00"),
  blocked: order("order-2004", "60.00", { email: "Mallory@Example.com" }),
  announced: order("order-2005", "21.00"),
  killed: order("order-2006", "88.00"),
  suspended: order("order-2007", "99.00"),
  stuck: order("order-2008", "52.00", { shipTo: "AQ" }),
  interrupted: order("order-2009", "37.00"),
  challenged: order("order-2010", "64.00", { card: Card.CardToken.make("tok_3ds_hold") }),
  early: order("order-2011", "58.00", { card: Card.CardToken.make("tok_3ds_hold") }),
  unanswered: order("order-2012", "71.00", { card: Card.CardToken.make("tok_3ds_hold") }),
  adopted: order("order-2013", "26.00", { card: Card.CardToken.make("tok_3ds_hold") })
} satisfies { readonly [name: string]: Order }

export const place = (order: Order) => Saga.execute(checkout, order, { id: order.orderId })
