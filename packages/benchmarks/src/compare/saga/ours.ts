import { SqliteClient } from "@effect-payments/sqlite"
import { NodeCrypto } from "@effect/platform-node"
import { Effect, Layer, Logger, ManagedRuntime, Result, Schedule, Schema } from "effect"
import { Saga, SagaLog } from "effect-payments"
import { setTimeout as sleep } from "node:timers/promises"
import { type Caller, type End, end, type Place } from "./contender.ts"
import { Declined as DeclinedByWorld, happened, type Name, type Payload, send } from "./world.ts"

const Id = Schema.Struct({ id: Schema.String })

class Declined extends Schema.TaggedError<Declined>()("Declined", {}) {
  readonly disposition = "Refused" as const
}

class TimedOut extends Schema.TaggedError<TimedOut>()("TimedOut", {}) {
  readonly disposition = "Unknown" as const
}

const PayloadSchema = Schema.Struct({
  id: Schema.String,
  ledger: Schema.String,
  amount: Schema.Number,
  isGroup: Schema.Boolean,
  plan: Schema.Record(Schema.String, Schema.String)
})

const base = { success: Id, error: Schema.Union([Declined, TimedOut]) }

const run = (payload: Payload, name: Name) =>
  Effect.tryPromise({
    try: () => send(payload, name),
    catch: (error) => error instanceof DeclinedByWorld ? new Declined({}) : new TimedOut({})
  })

const verify = (payload: Payload, name: Name) =>
  Effect.sync(() =>
    happened(payload, name)
      ? { _tag: "Happened" as const, result: { id: name } }
      : { _tag: "NeverHappened" as const }
  )

const undo = (payload: Payload, name: Name) => {
  const sent = Effect.promise(() => send(payload, `undo ${name}`))
  return payload.plan[`undo ${name}`] === "sleeps" ? Effect.delay(sent, "300 millis") : sent
}

/** A step that can be undone; whatever is before it. */
const undoable = <Ctx extends { readonly payload: Payload }>(name: Name) => ({
  ...base,
  undoSchedule: Schedule.recurs(2),
  run: ({ payload }: Ctx) => run(payload, name),
  verify: ({ payload }: Ctx) => verify(payload, name),
  compensate: (_: unknown, { payload }: Ctx) => undo(payload, name)
})

const line = Saga.make("line", { payload: PayloadSchema }).pipe(
  Saga.step("reserve", undoable("reserve")),
  Saga.step("authorize", undoable("authorize")),
  Saga.step("capture", undoable("capture")),
  Saga.pivot("ship", {
    ...base,
    run: ({ payload }) => run(payload, "ship"),
    verify: ({ payload }) => verify(payload, "ship")
  })
)

/** `line`, as a later version has it: runs that have not come to the new step go on. */
const extended = line.pipe(
  Saga.retriable("notify", {
    success: Id,
    run: ({ payload }) => Effect.catchTag(run(payload, "notify"), "Declined", () => Effect.fail(new TimedOut({}))),
    verify: ({ payload }) => verify(payload, "notify")
  })
)

const group = Saga.make("group", { payload: PayloadSchema }).pipe(
  Saga.parallel({ reserve: Saga.branch(undoable("reserve")), authorize: Saga.branch(undoable("authorize")) }),
  Saga.step("capture", undoable("capture")),
  Saga.pivot("ship", {
    ...base,
    run: ({ payload }) => run(payload, "ship"),
    verify: ({ payload }) => verify(payload, "ship")
  })
)

/** Tells when a cancellation has come to the log: `Saga.cancel` itself answers when all is undone. */
const cancellations = (heard: (id: string) => void) =>
  Layer.effect(
    SagaLog.SagaLog,
    Effect.map(SagaLog.SagaLog, (log) => ({
      ...log,
      cancel: (id: SagaLog.RunId) => Effect.tap(log.cancel(id), () => Effect.sync(() => heard(id.id)))
    }))
  )

// As it is by default, in less time.
const layerOf = ({ file, isExtended }: Place, heard: (id: string) => void) =>
  Saga.layerRecover(isExtended ? [extended, group] : [line, group], { every: "100 millis" }).pipe(
    Layer.provideMerge(Saga.layer({ lease: "1 second", awaitAtMost: 0 })),
    Layer.provide(cancellations(heard)),
    Layer.provide(SagaLog.layerStoreSql()),
    Layer.provide([SqliteClient.layer({ filename: file }), NodeCrypto.layer]),
    Layer.provideMerge(Logger.layer([]))
  )

const toEnd = (execution: Saga.Execution<unknown, Declined | TimedOut>): End => {
  switch (execution._tag) {
    case "Completed":
      return end("Completed")
    case "Parked":
      return end("Open", execution.reason)
    default: {
      const { cause, undos } = execution
      const error = cause._tag === "Failed" ? cause.error?._tag : cause._tag
      return end("Failed", error, undos.flatMap((undo) => undo._tag === "Failed" ? [undo.step] : []))
    }
  }
}

export const open = async (place: Place): Promise<Caller> => {
  const hearing = new Map<string, () => void>()
  const runtime = ManagedRuntime.make(layerOf(place, (id) => hearing.get(id)?.()))
  await runtime.runPromise(Effect.void)
  type Its = Saga.Saga<{ readonly payload: Payload }, Declined | TimedOut, never>
  const sagaOf = ({ isGroup }: Payload): Its =>
    isGroup ? group as unknown as Its : place.isExtended ? extended as unknown as Its : line as unknown as Its
  return {
    start: async (payload) => {
      const started = Saga.start(sagaOf(payload), payload, { id: payload.id })
      const result = await runtime.runPromise(Effect.result(started))
      if (Result.isSuccess(result)) return "Started"
      if (result.failure.reason._tag === "IdConflict") return "Refused"
      throw result.failure
    },
    ended: async (payload, millis) => {
      const asked = Effect.result(Saga.result(sagaOf(payload), { id: payload.id }))
      for (const until = Date.now() + millis;;) {
        const result = await runtime.runPromise(asked)
        if (Result.isSuccess(result)) return toEnd(result.success)
        if (result.failure.reason._tag === "NotFound") return end("Missing")
        if (Date.now() > until) return end("Open")
        await sleep(20)
      }
    },
    cancel: (payload) => {
      const { promise: taken, resolve } = Promise.withResolvers<void>()
      hearing.set(payload.id, resolve)
      const answered = runtime.runPromise(Effect.result(Saga.cancel(sagaOf(payload), { id: payload.id })))
      return { taken, answered }
    },
    resume: async (payload) => {
      await runtime.runPromise(Saga.resume(sagaOf(payload), { id: payload.id }))
    },
    close: () => runtime.dispose()
  }
}
