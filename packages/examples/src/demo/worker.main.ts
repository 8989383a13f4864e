/**
 * The process of `Worker.ts`: charges what its argument says and answers with the transaction.
 */
import { Duration, Effect, Logger } from "effect"
import { AuditLog } from "effect-payments"
import { chargeCustomer, layer, Patience } from "../charge.ts"
import { layerDatabase } from "../checkout/stores.ts"
import { runProcess } from "./runProcess.ts"
import { Answer, Order } from "./Worker.ts"

runProcess(
  Order,
  Answer,
  (order) =>
    Effect.map(chargeCustomer(order.request, order.key), (transaction) => ({ transaction })).pipe(
      AuditLog.withActor({ user: "demo", origin: "demo worker" }),
      Effect.provideService(Patience, {
        attempt: Duration.millis(order.attemptMillis),
        lease: Duration.millis(order.leaseMillis)
      }),
      Effect.provide([layer({ gatewayUrl: order.gatewayUrl, database: layerDatabase(order) }), Logger.layer([])])
    )
)
