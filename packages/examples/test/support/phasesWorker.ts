/**
 * A process that charges orders in phases, finishes what others have left, and ends at a point it is told: at the n-th time
 * that it is about to touch, or has just touched, something that lasts. The end is a SIGKILL.
 */
import { NodeCrypto } from "@effect/platform-node"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer, Logger, Schedule, Schema } from "effect"
import { Idempotency, IdempotencyStore, PaymentError, PaymentGateway, Phases } from "effect-payments"
import { FetchHttpClient } from "effect/http"
import { layerDatabase } from "../../src/checkout/stores.ts"
import * as SimGateway from "../../src/SimGateway.ts"
import { Answer, charge, type Order, tables, Task } from "./phasesTask.ts"

const task = Schema.decodeUnknownSync(Schema.fromJsonString(Task))(process.argv[2])

let points = 0
const point = Effect.sync(() => {
  if (++points !== task.endAt) return
  process.kill(process.pid, "SIGKILL")
  // Until the signal is there nothing goes on.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
})

const watched =
  <Args extends ReadonlyArray<unknown>, A, E, R>(f: (...args: Args) => Effect.Effect<A, E, R>) => (...args: Args) =>
    Effect.andThen(point, Effect.tap(f(...args), point))

const layerStore = Layer.effect(
  IdempotencyStore.IdempotencyStore,
  Effect.map(IdempotencyStore.IdempotencyStore, (store) => ({
    ...store,
    claim: watched(store.claim),
    complete: watched(store.complete),
    release: watched(store.release),
    renew: watched(store.renew)
  }))
).pipe(Layer.provide(IdempotencyStore.layerStoreSql()))

const layerGateway = Layer.effect(
  PaymentGateway.PaymentGateway,
  Effect.map(PaymentGateway.PaymentGateway, (gateway) => ({
    ...gateway,
    authorize: watched(gateway.authorize),
    lookup: watched(gateway.lookup)
  }))
).pipe(
  Layer.provide(SimGateway.layer({ baseUrl: task.gatewayUrl })),
  Layer.provide(FetchHttpClient.layer)
)

const layerRuntime = Layer.mergeAll(
  Idempotency.layer({ sweepEvery: false }).pipe(Layer.provide(layerStore)),
  Phases.layerSql({ abandonedAfter: "1 second" }),
  layerGateway,
  Layer.effectDiscard(tables)
).pipe(Layer.provide(NodeCrypto.layer), Layer.provideMerge(layerDatabase(task)))

const charging = charge(point)
const layer = Phases.layerCompleter([charging], { every: "100 millis", limit: 20, backoff: "500 millis" }).pipe(
  Layer.provideMerge(layerRuntime)
)

const place = (order: Order) =>
  Phases.run(charging, order, { tenant: "acme", key: Idempotency.Key.make(order.id) }).pipe(
    Effect.map(({ receipt }) => receipt)
  )

/** As a client does: asks again until there is an answer. */
const answered = (order: Order) =>
  place(order).pipe(
    Effect.catchIf(
      (error) => error instanceof PaymentError.PaymentError && error.disposition === "Refused",
      (error) => Effect.succeed(error._tag === "PaymentError" ? error.reason._tag : error._tag)
    ),
    Effect.retry({ schedule: Schedule.spaced("200 millis"), times: 200 }),
    Effect.map((answer) => [order.id, answer] as const)
  )

const program = Effect.gen(function*() {
  yield* Console.log("up")
  if (!task.isLast) {
    yield* Effect.forEach(task.orders, (order) => Effect.exit(place(order)), { concurrency: 8 })
    return yield* Effect.never
  }
  // Nobody asks again: the completer has to finish what was begun.
  yield* Effect.retry(Effect.filterOrFail(Phases.countUnfinished, (count) => count === 0), {
    schedule: Schedule.spaced("200 millis")
  })
  const answers = yield* Effect.forEach(task.orders, answered, { concurrency: 8 })
  yield* Console.log(
    Schema.encodeSync(Schema.fromJsonString(Answer))({ answers: Object.fromEntries(answers), points })
  )
})

// It outlives no parent.
process.stdin.resume().once("end", () => process.exit(1))

program.pipe(
  Effect.provide(Layer.merge(layer, Logger.layer([]))),
  Effect.ensuring(Effect.sync(() => process.stdin.destroy())),
  NodeRuntime.runMain
)
