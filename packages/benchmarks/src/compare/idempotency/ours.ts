import { NodeCrypto, NodeRedis } from "@effect/platform-node"
import { Cause, Duration, Effect, Exit, Layer, Logger, ManagedRuntime, Schema } from "effect"
import { Idempotency, IdempotencyStore, PaymentError } from "effect-payments"
import { type Answer, type Call, type Charge, type Contender, Declined, NotSent, TimedOut } from "./contender.ts"

const ChargeSchema = Schema.Struct({
  id: Schema.String,
  amount: Schema.Finite,
  at: Schema.Date,
  by: Schema.String
})
const PayloadSchema = Schema.Struct({ amount: Schema.Finite, currency: Schema.String })

type Find = (operation: string, key: string) => Promise<Charge | undefined>

export const ours: Contender = {
  open: async ({ find, url }) => {
    const runtime = ManagedRuntime.make(
      Idempotency.layer({ sweepEvery: false }).pipe(
        Layer.provide(IdempotencyStore.layerStoreRedis()),
        Layer.provide(NodeRedis.layer({ url })),
        Layer.provide(NodeCrypto.layer),
        Layer.provideMerge(Logger.layer([]))
      )
    )
    await runtime.context()
    return {
      call: (call) => runtime.runPromise(Effect.map(Effect.exit(run(call, find)), toAnswer)),
      close: () => runtime.dispose()
    }
  }
}

const run = ({ key, leaseMillis, operation, payload, work }: Call, find: Find) =>
  Effect.flatMap(
    Schema.decodeUnknownEffect(Idempotency.Key)(key),
    (key) =>
      Effect.promise(() => work().then(Effect.succeed, toFailure)).pipe(
        Effect.flatten,
        Idempotency.idempotent({
          scope: Idempotency.Scope.make({ tenant: "acme", operation, version: 1 }),
          key,
          payload,
          payloadSchema: PayloadSchema,
          success: ChargeSchema,
          error: PaymentError.PaymentError,
          lease: Duration.millis(leaseMillis),
          settle: "1 second",
          resolve: ({ key }) =>
            Effect.map(
              Effect.tryPromise(() => find(operation, key)),
              (charge): Idempotency.Resolution<Charge, never> =>
                charge === undefined ? { _tag: "NeverHappened" } : { _tag: "Happened", result: charge }
            )
        })
      )
  )

/** As an adapter of a gateway does: what it knows is an error with a disposition, anything else a defect. */
const toFailure = (error: unknown): Effect.Effect<never, PaymentError.PaymentError> => {
  if (error instanceof NotSent) {
    return Effect.fail(PaymentError.make(new PaymentError.GatewayUnavailable({ by: "gateway" })))
  }
  if (error instanceof Declined) {
    return Effect.fail(PaymentError.fromDecline({ processor: "stripe:decline_code", code: "insufficient_funds" }))
  }
  if (error instanceof TimedOut) return Effect.fail(PaymentError.make(new PaymentError.GatewayTimeout({})))
  return Effect.die(error)
}

type Failure = Effect.Error<ReturnType<typeof run>>

const toAnswer = (exit: Exit.Exit<Charge, Failure>): Answer =>
  Exit.match(exit, {
    onSuccess: (charge) => ({ _tag: "Answered", charge }),
    onFailure: (cause) => {
      const error = Cause.findErrorOption(cause)
      return error._tag === "None" ? { _tag: "Defect" } : answerOf(error.value)
    }
  })

const answerOf = (error: Failure): Answer => {
  if (error._tag === "SchemaError") return { _tag: "KeyMissing" }
  switch (error.reason._tag) {
    case "KeyConflict":
      return { _tag: "OtherPayload" }
    case "InFlight":
      return { _tag: "InFlight" }
    case "InsufficientFunds":
      return { _tag: "Declined" }
    case "GatewayUnavailable":
      return { _tag: "NotSent" }
    case "GatewayTimeout":
      return { _tag: "TimedOut" }
    default:
      return { _tag: "Failed", detail: error.reason._tag }
  }
}
