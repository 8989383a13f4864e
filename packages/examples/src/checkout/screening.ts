/**
 * Who may pay. The rules are data of the shop; what they say is kept with the order.
 */
import { Fraud, Money } from "effect-payments"
import type { Order } from "./Order.ts"

export const rules = Fraud.makeUnsafe({
  name: "checkout",
  version: 1,
  rules: [
    Fraud.blocklist({ emails: ["mallory@example.com", "@throwaway.example"] }),
    Fraud.velocity({ name: "buyer_hourly", key: ({ email }) => email, maxCount: 5, window: "1 hour" }),
    // The payer authenticates above these; an amount in another currency is reviewed by somebody.
    Fraud.highAmount({ thresholds: [Money.makeUnsafe("EUR", "2000.00"), Money.makeUnsafe("USD", "2000.00")] })
  ]
})

/** An order counts once, however often its step runs. */
export const contextOf = ({ card, email, isAuthenticated, orderId, total }: Order): Fraud.FraudContext => ({
  attempt: orderId,
  money: total,
  email,
  cardToken: card,
  ...isAuthenticated === undefined ? {} : { isAuthenticated }
})
