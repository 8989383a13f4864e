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

const undoable = { ...base, undoSchedule: Schedule.recurs(2) }

const reserve = {
  ...undoable,
  run: ({ payload }: { readonly payload: Payload }) => run(payload, "reserve"),
  verify: ({ payload }: { readonly payload: Payload }) => verify(payload, "reserve"),
  compensate: (_: unknown, { payload }: { readonly payload: Payload }) => undo(payload, "reserve")
}

const authorize = {
  ...undoable,
  run: ({ payload }: { readonly payload: Payload }) => run(payload, "authorize"),
  verify: ({ payload }: { readonly payload: Payload }) => verify(payload, "authorize"),
  compensate: (_: unknown, { payload }: { readonly payload: Payload }) => undo(payload, "authorize")
}

const line = Saga.make("line", { payload: PayloadSchema }).pipe(
  Saga.step("reserve", reserve),
  Saga.step("authorize", {
    ...undoable,
    run: ({ payload }) => run(payload, "authorize"),
    verify: ({ payload }) => verify(payload, "authorize"),
    compensate: (_, { payload }) => undo(payload, "authorize")
  }),
  Saga.step("capture", {
    ...undoable,
    run: ({ payload }) => run(payload, "capture"),
    verify: ({ payload }) => verify(payload, "capture"),
    compensate: (_, { payload }) => undo(payload, "capture")
  }),
  Saga.pivot("ship", {
    ...base,
    run: ({ payload }) => run(payload, "ship"),
    verify: ({ payload }) => verify(payload, "ship")
  })
)

const group = Saga.make("group", { payload: PayloadSchema }).pipe(
  Saga.parallel({ reserve: Saga.branch(reserve), authorize: Saga.branch(authorize) }),
  Saga.step("capture", {
    ...undoable,
    run: ({ payload }) => run(payload, "capture"),
    verify: ({ payload }) => verify(payload, "capture"),
    compensate: (_, { payload }) => undo(payload, "capture")
  }),
  Saga.pivot("ship", {
    ...base,
    run: ({ payload }) => run(payload, "ship"),
    verify: ({ payload }) => verify(payload, "ship")
  })
)

// As it is by default, in less time.
const layerOf = (file: string) =>
  Saga.layerRecover([line, group], { every: "100 millis" }).pipe(
    Layer.provideMerge(Saga.layer({ lease: "1 second", awaitAtMost: 0 })),
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

export const open = async ({ file }: Place): Promise<Caller> => {
  const runtime = ManagedRuntime.make(layerOf(file))
  await runtime.runPromise(Effect.void)
  type Its = Saga.Saga<{ readonly payload: Payload }, Declined | TimedOut, never>
  const sagaOf = ({ isGroup }: Payload): Its => isGroup ? group as unknown as Its : line as unknown as Its
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
    cancel: async (payload) => {
      await runtime.runPromise(Effect.result(Saga.cancel(sagaOf(payload), { id: payload.id })))
    },
    resume: async (payload) => {
      await runtime.runPromise(Saga.resume(sagaOf(payload), { id: payload.id }))
    },
    close: () => runtime.dispose()
  }
}
