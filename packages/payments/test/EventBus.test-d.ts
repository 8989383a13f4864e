import { Effect, pipe, Schema, type Scope } from "effect"
import { EventBus, type JobQueue, type UnitOfWork } from "effect-payments"
import { describe, expectTypeOf, it } from "vitest"

type OrderEvent =
  | { readonly _tag: "Created"; readonly n: number }
  | { readonly _tag: "Shipped"; readonly parcel: string }
interface Mailer {
  readonly _: "Mailer"
}
declare const bus: EventBus.EventBus<OrderEvent>
declare const send: (parcel: string) => Effect.Effect<void, "no", Mailer>
const Created = Schema.TaggedStruct("Created", { n: Schema.Number })

describe("EventBus", () => {
  it("gives a handler what it listens to, and takes its services", () => {
    const subscribed = bus.subscribe({
      name: "x",
      on: ["Shipped"],
      handler: (event) => {
        expectTypeOf(event).toEqualTypeOf<Extract<OrderEvent, { readonly _tag: "Shipped" }>>()
        return send(event.parcel)
      }
    })
    expectTypeOf(subscribed).toEqualTypeOf<Effect.Effect<void, never, Mailer | Scope.Scope>>()
    const all = bus.subscribe({
      name: "x",
      handler: (event) => {
        expectTypeOf(event).toEqualTypeOf<OrderEvent>()
        return Effect.void
      }
    })
    expectTypeOf(all).toEqualTypeOf<Effect.Effect<void, never, Scope.Scope>>()
  })

  it("publishes after the commit from inside of a unit of work alone", () => {
    const event = { _tag: "Created", n: 1 } as const
    expectTypeOf(EventBus.publishAfterCommit(bus, event)).toEqualTypeOf<
      Effect.Effect<void, never, UnitOfWork.UnitOfWork>
    >()
    expectTypeOf(pipe(bus, EventBus.publishAfterCommit<OrderEvent>(event))).toEqualTypeOf<
      Effect.Effect<void, never, UnitOfWork.UnitOfWork>
    >()
  })

  it("writes to an outbox inside of a unit of work, over a store in a database", () => {
    const made = EventBus.makeOutbox({ name: "x", event: Created })
    expectTypeOf(made).toEqualTypeOf<
      Effect.Effect<EventBus.Outbox<typeof Created.Type>, never, JobQueue.SqlJobQueueStore>
    >()
    const published = Effect.flatMap(made, (outbox) => outbox.publish({ _tag: "Created", n: 1 }))
    expectTypeOf(published).toEqualTypeOf<
      Effect.Effect<string, JobQueue.JobQueueError, JobQueue.SqlJobQueueStore | UnitOfWork.UnitOfWork>
    >()
  })
})
