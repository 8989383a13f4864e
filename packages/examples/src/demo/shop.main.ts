/**
 * The process of `ShopProcess.ts`. On SIGTERM what is under way is suspended and nothing is undone: the next one goes on.
 */
import { Duration, Effect, Logger } from "effect"
import { AuditLog, Saga } from "effect-payments"
import { checkout, GatewayPatience } from "../checkout/checkout.ts"
import { layer } from "../checkout/shop.ts"
import { runProcess } from "./runProcess.ts"
import { Answer, Task } from "./ShopProcess.ts"

runProcess(Task, Answer, ({ attemptMillis, leaseMillis, order, ...places }) => {
  const execution = typeof order === "string"
    ? Saga.result(checkout, { id: order })
    : Saga.execute(checkout, order, { id: order.orderId })
  return Effect.map(execution, ({ _tag }) => ({ ended: _tag })).pipe(
    Effect.provide(layer({ ...places, lease: Duration.millis(leaseMillis), recoverEvery: "200 millis" })),
    AuditLog.withActor({ user: "demo", origin: "demo shop" }),
    Effect.provideService(GatewayPatience, {
      attempt: Duration.millis(attemptMillis),
      pause: Duration.millis(100),
      settle: Duration.minutes(5)
    }),
    Effect.provide(Logger.layer([]))
  )
})
