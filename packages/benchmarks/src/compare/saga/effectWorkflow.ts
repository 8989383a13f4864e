// effect's own workflows: `Workflow.withCompensation` behind each step, each step and each undo an `Activity`, a wait of an
// undo a `DurableClock`. An undo has no error there; one that fails dies.
import { SqliteClient } from "@effect-payments/sqlite"
import { NodeCrypto } from "@effect/platform-node"
import { Cause, Effect, Exit, Layer, Logger, ManagedRuntime, Option, Schema } from "effect"
import { ClusterWorkflowEngine, SingleRunner } from "effect/cluster"
import { Activity, DurableClock, Workflow, WorkflowEngine } from "effect/workflow"
import { setTimeout as sleep } from "node:timers/promises"
import { type Caller, type End, end, type Place } from "./contender.ts"
import { Declined as DeclinedByWorld, type Name, type Payload, send } from "./world.ts"

const Id = Schema.Struct({ id: Schema.String })

class Declined extends Schema.TaggedError<Declined>()("Declined", {}) {}
class TimedOut extends Schema.TaggedError<TimedOut>()("TimedOut", {}) {}
const StepError = Schema.Union([Declined, TimedOut])

const Checkout = Workflow.make("Checkout", {
  payload: {
    id: Schema.String,
    ledger: Schema.String,
    amount: Schema.Number,
    isGroup: Schema.Boolean,
    plan: Schema.Record(Schema.String, Schema.String)
  },
  success: Id,
  error: StepError,
  idempotencyKey: ({ id }) => id
})

const step = (payload: Payload, name: Name) =>
  Activity.make({
    name,
    success: Id,
    error: StepError,
    execute: Effect.tryPromise({
      try: () => send(payload, name),
      catch: (error) => error instanceof DeclinedByWorld ? new Declined({}) : new TimedOut({})
    })
  })

const undo = (payload: Payload, name: Name) => {
  const call = `undo ${name}`
  const sent = Effect.asVoid(
    Activity.make({ name: call, success: Id, execute: Effect.promise(() => send(payload, call)) })
  )
  return payload.plan[call] === "sleeps"
    ? Effect.andThen(DurableClock.sleep({ name: `before ${call}`, duration: 300, inMemoryThreshold: 0 }), sent)
    : sent
}

const undoable = (payload: Payload, name: Name) =>
  step(payload, name).pipe(Checkout.withCompensation(() => undo(payload, name)))

const checkoutLayer = ({ isExtended }: Place) =>
  Checkout.toLayer(Effect.fnUntraced(function*(payload) {
    const first = [undoable(payload, "reserve"), undoable(payload, "authorize")]
    yield* Effect.all(first, { concurrency: payload.isGroup ? "unbounded" : 1, discard: true })
    yield* undoable(payload, "capture")
    const shipped = yield* step(payload, "ship")
    if (isExtended) yield* step(payload, "notify")
    return shipped
  }))

const inMemory = (place: Place) =>
  checkoutLayer(place).pipe(
    Layer.provideMerge(WorkflowEngine.layerMemory),
    Layer.provide(NodeCrypto.layer),
    Layer.provideMerge(Logger.layer([]))
  )

const onCluster = (place: Place) =>
  checkoutLayer(place).pipe(
    Layer.provideMerge(ClusterWorkflowEngine.layer),
    Layer.provide(SingleRunner.layer({ runnerStorage: "memory" })),
    Layer.provide([SqliteClient.layer({ filename: place.file }), NodeCrypto.layer]),
    Layer.provideMerge(Logger.layer([]))
  )

const toEnd = (result: Workflow.Result<typeof Id.Type, typeof StepError.Type>): End | undefined => {
  if (result._tag !== "Complete") return undefined
  if (Exit.isSuccess(result.exit)) return end("Completed")
  const error = Cause.squash(result.exit.cause)
  return end("Failed", error instanceof Declined || error instanceof TimedOut ? error._tag : "another error")
}

const openOver = (
  layerOf: (place: Place) => Layer.Layer<WorkflowEngine.WorkflowEngine, unknown>,
  { isInMemory }: { readonly isInMemory: boolean }
) =>
async (place: Place): Promise<Caller> => {
  const runtime = ManagedRuntime.make(layerOf(place))
  await runtime.runPromise(Effect.void)
  const withId = <A, E>(payload: Payload, f: (id: string) => Effect.Effect<A, E, WorkflowEngine.WorkflowEngine>) =>
    runtime.runPromise(Effect.flatMap(Checkout.executionId(payload), f))
  return {
    start: async (payload) => {
      await runtime.runPromise(Checkout.execute(payload, { discard: true }))
      return "Started"
    },
    ended: async (payload, millis) => {
      for (const until = Date.now() + millis;;) {
        const exit = await withId(payload, (id) => Effect.exit(Checkout.poll(id)))
        if (Exit.isFailure(exit)) {
          // The engine in memory answers so for one whose undo waits.
          if (isInMemory) return end("Failed", "interrupted")
          throw Cause.squash(exit.cause)
        }
        const found = Option.isSome(exit.value) ? toEnd(exit.value.value) : undefined
        if (found !== undefined) return found
        if (Date.now() > until) return end(Option.isSome(exit.value) ? "Open" : "Missing")
        await sleep(20)
      }
    },
    cancel: (payload) => {
      const answered = withId(payload, (id) => Checkout.interrupt(id))
      return { taken: answered, answered }
    },
    resume: (payload) => withId(payload, (id) => Checkout.resume(id)),
    close: () => runtime.dispose()
  }
}

export const openInMemory = openOver(inMemory, { isInMemory: true })

export const openOnCluster = openOver(onCluster, { isInMemory: false })
