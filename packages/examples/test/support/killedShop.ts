/**
 * A process of the shop that ends at a point it is told: at the n-th time that it is about to touch, or has just touched,
 * something that lasts. The end is a SIGKILL: no handler, no finalizer.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Duration, Effect, Layer, Logger, Schedule, Schema } from "effect"
import { PaymentGateway, Saga, SagaLog } from "effect-payments"
import { checkout, GatewayPatience } from "../../src/checkout/checkout.ts"
import { Fulfilment } from "../../src/checkout/Fulfilment.ts"
import type { Order } from "../../src/checkout/Order.ts"
import { layerServices } from "../../src/checkout/shop.ts"
import * as stores from "../../src/checkout/stores.ts"
import { Answer, lease, Task } from "./killTask.ts"

const task = Schema.decodeUnknownSync(Schema.fromJsonString(Task))(process.argv[2])

// --- points

let points = 0
const point = Effect.sync(() => {
  if (++points !== task.endAt) return
  process.kill(process.pid, "SIGKILL")
  // Until the signal is there nothing goes on.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
})

const around = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.andThen(point, Effect.tap(self, point))

const watched =
  <Args extends ReadonlyArray<unknown>, A, E, R>(f: (...args: Args) => Effect.Effect<A, E, R>) => (...args: Args) =>
    around(f(...args))

const layerLog = Layer.effect(
  SagaLog.SagaLog,
  Effect.map(SagaLog.SagaLog, (log) => ({
    ...log,
    claim: watched(log.claim),
    append: watched(log.append),
    release: watched(log.release),
    orphans: watched(log.orphans),
    cancel: watched(log.cancel)
  }))
).pipe(Layer.provideMerge(stores.layer(task)))

const layerWatched = Layer.merge(
  Layer.effect(
    PaymentGateway.PaymentGateway,
    Effect.map(PaymentGateway.PaymentGateway, (gateway) => ({
      ...gateway,
      authorize: watched(gateway.authorize),
      capture: watched(gateway.capture),
      void: watched(gateway.void),
      refund: watched(gateway.refund),
      lookup: watched(gateway.lookup)
    }))
  ),
  Layer.effect(
    Fulfilment,
    Effect.map(Fulfilment, (fulfilment) => ({
      ...fulfilment,
      reserve: watched(fulfilment.reserve),
      release: watched(fulfilment.release),
      ship: watched(fulfilment.ship),
      sendReceipt: watched(fulfilment.sendReceipt)
    }))
  )
).pipe(Layer.provideMerge(layerServices({ ...task, lease: Duration.millis(lease) }, layerLog)))

const layer = Saga.layerRecover([checkout], { every: "100 millis" }).pipe(Layer.provideMerge(layerWatched))

// --- what it does

/** As a client does: asks again until there is an end. What waits for somebody is resumed, as an operator does. */
const placed = (order: Order) =>
  Saga.execute(checkout, order, { id: order.orderId }).pipe(
    Effect.flatMap((execution) =>
      isOpen(execution) ? Saga.resume(checkout, { id: order.orderId }) : Effect.succeed(execution)
    ),
    Effect.filterOrFail((execution) => !isOpen(execution)),
    Effect.retry({ schedule: Schedule.spaced("200 millis"), times: 200 })
  )

const isOpen = ({ _tag }: Saga.Execution<unknown, unknown>): boolean =>
  _tag === "FailedCompensation" || _tag === "Parked"

const program = Effect.gen(function*() {
  yield* Console.log("up")
  const cancels = Effect.forEach(task.cancel, ({ afterMillis, orderId }) =>
    Saga.cancel(checkout, { id: orderId }).pipe(
      Effect.delay(Duration.millis(afterMillis)),
      Effect.ignore
    ), { concurrency: "unbounded" })
  yield* Effect.forkChild(cancels)
  const ends = yield* Effect.forEach(
    task.orders,
    (order) => Effect.map(placed(order), ({ _tag }) => ({ orderId: order.orderId, ended: _tag })),
    { concurrency: 16 }
  )
  if (!task.isLast) return yield* Effect.never
  yield* Console.log(Schema.encodeSync(Schema.fromJsonString(Answer))({ ends, points }))
})

// It outlives no parent.
process.stdin.resume().once("end", () => process.exit(1))

program.pipe(
  Effect.provide(layer),
  Effect.provideService(GatewayPatience, {
    attempt: Duration.seconds(2),
    pause: Duration.millis(20),
    settle: Duration.seconds(3)
  }),
  Effect.provide(Logger.layer([])),
  Effect.ensuring(Effect.sync(() => process.stdin.destroy())),
  NodeRuntime.runMain
)
