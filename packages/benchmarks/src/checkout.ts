// One saga of four steps that do nothing, as this toolkit writes it and as effect/workflow does: what the benchmarks of
// sagas compare.
import { NodeCrypto } from "@effect/platform-node"
import { Effect, Layer, Logger, type ManagedRuntime, Schema } from "effect"
import { PaymentError, Saga, type SagaLog } from "effect-payments"
import { Activity, Workflow, WorkflowEngine } from "effect/workflow"

const Id = Schema.Struct({ id: Schema.String })

export const payload = { orderId: "order-2041", amount: 1999 }
export const answer = { id: "ch_3PLxq2eZvKYlo2C1" }
export const steps = ["reserve", "authorize", "capture", "ship"] as const

let last = 0
export const nextId = (): string => `run-${process.pid}-${(last++).toString(36)}`

/** Runs it over and over, by so many fibers at once. */
export const fibers = <R>(
  runtime: ManagedRuntime.ManagedRuntime<R, unknown>,
  self: Effect.Effect<unknown, unknown, R>,
  operations: number,
  concurrency: number
) => {
  const caller = Effect.gen(function*() {
    for (let i = 0; i < operations / concurrency; i++) yield* self
  })
  const all = Effect.forEach(Array.from({ length: concurrency }), () => caller, { concurrency, discard: true })
  return { operations, run: () => runtime.runPromise(all) }
}

// --- effect-payments

const step = {
  success: Id,
  error: PaymentError.PaymentError,
  verify: "rerun",
  run: () => Effect.succeed(answer)
} as const
const undoable = { ...step, compensate: () => Effect.void } as const

const saga = Saga.make("checkout", { payload: Schema.Struct({ orderId: Schema.String, amount: Schema.Number }) }).pipe(
  Saga.step("reserve", undoable),
  Saga.step("authorize", undoable),
  Saga.step("capture", undoable),
  Saga.pivot("ship", step)
)

export const execute = Effect.suspend(() => Saga.execute(saga, payload, { id: nextId() }))

export const layerOf = <E, R>(log: Layer.Layer<SagaLog.SagaLog, E, R>) =>
  Saga.layer({ sweepEvery: false }).pipe(
    Layer.provide(log),
    Layer.provide(NodeCrypto.layer),
    Layer.merge(Logger.layer([]))
  )

// --- effect/workflow

const Checkout = Workflow.make("Checkout", {
  payload: { id: Schema.String, orderId: Schema.String, amount: Schema.Number },
  success: Id,
  idempotencyKey: ({ id }) => id
})

const activity = (name: (typeof steps)[number]) => Activity.make({ name, success: Id, execute: Effect.succeed(answer) })

export const checkoutLayer = Checkout.toLayer(Effect.fnUntraced(function*() {
  yield* activity("reserve").pipe(Checkout.withCompensation(() => Effect.void))
  yield* activity("authorize").pipe(Checkout.withCompensation(() => Effect.void))
  yield* activity("capture").pipe(Checkout.withCompensation(() => Effect.void))
  return yield* activity("ship")
}))

export const workflow = Effect.suspend(() => Checkout.execute({ id: nextId(), ...payload }))

/** Its engine in memory, which keeps nothing. */
export const workflowsInMemory = checkoutLayer.pipe(
  Layer.provideMerge(WorkflowEngine.layerMemory),
  Layer.provide(NodeCrypto.layer),
  Layer.merge(Logger.layer([]))
)
