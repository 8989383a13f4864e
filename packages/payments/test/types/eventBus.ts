import { Effect, Schema } from "effect"
import { EventBus, JobQueue } from "effect-payments"

type OrderEvent = { readonly _tag: "Created"; readonly n: number } | { readonly _tag: "Shipped" }
declare const bus: EventBus.EventBus<OrderEvent>
const Created = Schema.TaggedStruct("Created", { n: Schema.Number })

// @refuse Type '"Lost"' is not assignable to type
bus.publish({ _tag: "Lost" })

// @refuse Type '"Lost"' is not assignable to type
bus.subscribe({ name: "x", on: ["Lost"], handler: () => Effect.void })

// An outbox in memory would be gone with the process.
const outbox = EventBus.makeOutbox({ name: "orders", event: Created })
// @refuse Type 'SqlJobQueueStore' is not assignable to type 'never'
Effect.runSync(outbox.pipe(Effect.provide(JobQueue.layerStoreMemory())))

// An event outside of the unit of work that it tells of.
const published = (outbox: EventBus.Outbox<typeof Created.Type>) => outbox.publish({ _tag: "Created", n: 1 })
// @refuse Type 'UnitOfWork' is not assignable to type 'never'
Effect.runSync(published({} as EventBus.Outbox<typeof Created.Type>))
