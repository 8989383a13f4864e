// Powertools over Redis, set up as its documentation has it for a key apart from the payload: one persistence layer for a
// process, a prefix for each operation, and a call without a key is an error.
import { IdempotencyConfig, makeIdempotent } from "@aws-lambda-powertools/idempotency"
import { CachePersistenceLayer } from "@aws-lambda-powertools/idempotency/cache"
import { createClient } from "redis"
import { type Answer, type Call, type Charge, type Contender, Declined, NotSent, TimedOut } from "./contender.ts"

type Config = ConstructorParameters<typeof IdempotencyConfig>[0]

const make = (config: Config): Contender => ({
  open: async ({ url }) => {
    const client = createClient({ url })
    // It connects again by itself.
    client.on("error", () => undefined)
    await client.connect()
    const persistenceStore = new CachePersistenceLayer({ client: client as never })
    return {
      call: ({ key, leaseMillis, operation, payload, work }: Call) => {
        // A claim holds for as long as the function is said to have left.
        const lambdaContext = { getRemainingTimeInMillis: () => leaseMillis } as NonNullable<Config["lambdaContext"]>
        const run = makeIdempotent((_event: { readonly key: unknown; readonly payload: unknown }) => work(), {
          persistenceStore,
          keyPrefix: operation,
          config: new IdempotencyConfig({
            eventKeyJmesPath: "key",
            throwOnNoIdempotencyKey: true,
            ...config,
            lambdaContext
          })
        })
        return run({ key, payload }).then((charge: Charge): Answer => ({ _tag: "Answered", charge }), toAnswer)
      },
      close: async () => client.destroy()
    }
  }
})

const toAnswer = (error: unknown): Answer => {
  if (error instanceof NotSent) return { _tag: "NotSent" }
  if (error instanceof Declined) return { _tag: "Declined" }
  if (error instanceof TimedOut) return { _tag: "TimedOut" }
  switch (error instanceof Error ? error.name : "") {
    case "IdempotencyAlreadyInProgressError":
      return { _tag: "InFlight" }
    case "IdempotencyValidationError":
      return { _tag: "OtherPayload" }
    case "IdempotencyPersistenceLayerError":
    case "IdempotencyInconsistentStateError":
      return isKeyMissing(error) ? { _tag: "KeyMissing" } : { _tag: "Failed", detail: String(error) }
    default:
      return { _tag: "Defect" }
  }
}

const isKeyMissing = (error: unknown): boolean =>
  error instanceof Error && error.cause instanceof Error && error.cause.name === "IdempotencyKeyError"

export const powertools = make({})

/** And it compares payloads. */
export const powertoolsValidating = make({ payloadValidationJmesPath: "payload" })
