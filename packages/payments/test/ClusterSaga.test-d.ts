import { Context, Effect, type Layer, Schema } from "effect"
import { Saga } from "effect-payments"
import { ClusterSaga } from "effect-payments/cluster"
import type { Digest, SecureRandom } from "effect/crypto"
import type { WorkflowEngine } from "effect/workflow"
import { describe, expectTypeOf, it } from "vitest"

class No extends Schema.TaggedError<No>()("No", {}) {
  readonly disposition = "Refused" as const
}
class Stock extends Context.Service<Stock, { readonly take: Effect.Effect<string, No> }>()("Stock") {}

const hook = Saga.makeSignal("hook", Schema.Finite)
const saga = Saga.make("order", { payload: Schema.String }).pipe(
  Saga.awaitSignal(hook),
  Saga.pivot("ship", {
    success: Schema.String,
    error: No,
    verify: "rerun",
    run: () => Effect.flatMap(Stock, ({ take }) => take)
  })
)
interface Results {
  readonly payload: string
  readonly hook: number
  readonly ship: string
}

describe("ClusterSaga", () => {
  it("asks of callers for nothing that the steps need, and of runners for all of it", () => {
    const execution = ClusterSaga.execute(saga, "x", { id: "o1" })
    expectTypeOf<Effect.Services<typeof execution>>().toEqualTypeOf<ClusterSaga.ClusterSagas>()
    expectTypeOf<Effect.Error<typeof execution>>().toEqualTypeOf<Saga.SagaError>()
    const runner = ClusterSaga.layerRunner([saga])
    expectTypeOf<Layer.Services<typeof runner>>().toEqualTypeOf<Stock | ClusterSaga.ClusterSagas>()
    expectTypeOf<Layer.Error<typeof runner>>().toEqualTypeOf<Saga.SagaError>()
    expectTypeOf<Layer.Services<ReturnType<typeof ClusterSaga.layer>>>().toEqualTypeOf<
      WorkflowEngine.WorkflowEngine | Digest.Digest | SecureRandom.SecureRandom
    >()
  })

  it("answers with the results and errors of the saga", () => {
    const results = Saga.assertSucceeded(ClusterSaga.result(saga, { id: "o1" }))
    expectTypeOf<Effect.Success<typeof results>["ship"]>().toEqualTypeOf<Results["ship"]>()
    expectTypeOf<Effect.Success<typeof results>["hook"]>().toEqualTypeOf<Results["hook"]>()
    expectTypeOf<Effect.Error<typeof results>>().toEqualTypeOf<Saga.SagaError | Saga.SagaFailed<No>>()
  })

  it("takes the payload and the messages that the saga takes", () => {
    // @ts-expect-error the payload is a string
    void ClusterSaga.execute(saga, 1, { id: "o1" })
    // @ts-expect-error the message is a number
    void ClusterSaga.signal(saga, hook, { id: "o1", event: "e", value: "x" })
  })
})
