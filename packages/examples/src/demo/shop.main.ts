/**
 * The process of `ShopProcess.ts`. On SIGTERM what is under way is suspended and nothing is undone: the next one goes on.
 */
import { Duration, Effect, Logger } from "effect"
import { AuditLog, Saga } from "effect-payments"
import { checkout, GatewayPatience } from "../checkout/checkout.ts"
import { make as makeSecured } from "../checkout/secured.ts"
import { layer } from "../checkout/shop.ts"
import { runProcess } from "./runProcess.ts"
import { Answer, Task } from "./ShopProcess.ts"

const ended = <A, E, R>(execution: Effect.Effect<Saga.Execution<A, unknown>, E, R>) =>
  Effect.map(execution, ({ _tag }): typeof Answer.Type => ({ ended: _tag }))

runProcess(Task, Answer, ({ attemptMillis, authenticateMillis, leaseMillis, order, ...places }) => {
  const authenticateWithin = authenticateMillis === undefined ? undefined : Duration.millis(authenticateMillis)
  const secured = makeSecured({ deadline: authenticateWithin })
  const options = {
    ...places,
    authenticateWithin,
    lease: Duration.millis(leaseMillis),
    recoverEvery: Duration.millis(200)
  }
  const isSecured = authenticateWithin !== undefined
  const execution = typeof order === "string"
    ? isSecured ? ended(Saga.result(secured, { id: order })) : ended(Saga.result(checkout, { id: order }))
    : isSecured
    ? ended(Saga.execute(secured, order, { id: order.orderId }))
    : ended(Saga.execute(checkout, order, { id: order.orderId }))
  return execution.pipe(
    Effect.provide(layer(options)),
    AuditLog.withActor({ user: "demo", origin: "demo shop" }),
    Effect.provideService(GatewayPatience, {
      attempt: Duration.millis(attemptMillis),
      pause: Duration.millis(100),
      settle: Duration.minutes(5)
    }),
    Effect.provide(Logger.layer([]))
  )
})
