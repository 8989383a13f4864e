import { Effect, Exit, Layer, Scope } from "effect"
import { type Saga, SagaLog } from "effect-payments"
import { sagas, type Shop } from "./checkout.ts"

/** A process over the log and the shop that are there, with an engine of its own and this recovery. */
export const processWith = (recovery: Layer.Layer<never, never, Saga.Sagas | Shop>) =>
  Effect.gen(function*() {
    const scope = yield* Scope.fork(yield* Effect.scope)
    const log = Layer.succeed(SagaLog.SagaLog, yield* SagaLog.SagaLog)
    const layer = recovery.pipe(Layer.provideMerge(Layer.fresh(sagas())), Layer.provide(log))
    const context = yield* Layer.buildWithScope(layer, scope)
    return {
      run: <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, Exclude<R, Saga.Sagas>> =>
        Effect.provide(self, context),
      close: Scope.close(scope, Exit.void)
    }
  })
