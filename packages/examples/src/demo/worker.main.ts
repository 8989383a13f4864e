/**
 * The process of `Worker.ts`: charges what its argument says and prints the transaction.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Duration, Effect, Logger, Schema } from "effect"
import { AuditLog } from "effect-payments"
import { chargeCustomer, layer, Patience } from "../charge.ts"
import { Answer, Order } from "./Worker.ts"

const charge = Effect.gen(function*() {
  const order = yield* Schema.decodeUnknownEffect(Schema.fromJsonString(Order))(process.argv[2])
  const transaction = yield* chargeCustomer(order.request, order.key).pipe(
    AuditLog.withActor({ user: "demo", origin: "demo worker" }),
    Effect.provideService(Patience, {
      attempt: Duration.millis(order.attemptMillis),
      lease: Duration.millis(order.leaseMillis)
    }),
    Effect.provide([layer(order), Logger.layer([])])
  )
  yield* Console.log(yield* Schema.encodeEffect(Schema.fromJsonString(Answer))({ transaction }))
})

// A child outlives no parent: its standard input closes when the parent is gone.
const orphaned = Effect.callback<void>((resume) => {
  process.stdin.resume().once("close", () => resume(Effect.void))
})

charge.pipe(
  Effect.raceFirst(Effect.andThen(orphaned, Effect.interrupt)),
  // The open standard input would keep the process alive.
  Effect.ensuring(Effect.sync(() => process.stdin.destroy())),
  NodeRuntime.runMain
)
