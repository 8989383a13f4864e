/** Registers the published cases of the contract for a store, and what the engine asks of it. */
import { NodeCrypto } from "@effect/platform-node"
import { assert, it as test } from "@effect/vitest"
import { Deferred, type Duration, Effect, Layer, Schema } from "effect"
import { Idempotency, IdempotencyStore } from "effect-payments"
import { StoreContract } from "effect-payments/testing"

export interface ContractOptions<R> {
  /** Whether the layer runs on the real clock. */
  readonly live: boolean
  /** Lets time pass for the store without waiting. */
  readonly advance: (duration: Duration.Duration) => Effect.Effect<unknown, unknown, R>
}

export const storeContract = <R>(
  name: string,
  layer: Layer.Layer<IdempotencyStore.IdempotencyStore | R, unknown>,
  { advance, live }: ContractOptions<R>
): void => {
  test.layer(layer, { excludeTestServices: live })(name, (it) => {
    for (const { name, run } of StoreContract.idempotencyStore({ advance })) it.effect(name, () => run)

    it.effect("is asked three times at the most for a thousand duplicates, which run once", () => duplicates)
  })
}

type Store = IdempotencyStore.IdempotencyStore["Service"]

/** The store, and what it is asked, in order; where it stands is one request each. */
const asked = Effect.map(IdempotencyStore.IdempotencyStore, (store) => {
  const requests: Array<string> = []
  const counted = new Proxy(store, {
    get: (target, operation: keyof Store) => {
      // A store in this process is asked by plain functions as well; here it is asked like any other.
      const value: unknown = operation === "local" ? undefined : target[operation]
      if (typeof value !== "function") return value
      return (...parameters: ReadonlyArray<unknown>) =>
        Effect.suspend(() => {
          requests.push(operation)
          return Reflect.apply(value, target, parameters) as Effect.Effect<unknown>
        })
    }
  })
  return { counted, requests }
})

let keys = 0

const duplicates = Effect.gen(function*() {
  const { counted, requests } = yield* asked
  const layer = Idempotency.layer({ sweepEvery: false }).pipe(
    Layer.provide([Layer.succeed(IdempotencyStore.IdempotencyStore, counted), NodeCrypto.layer])
  )
  const context = yield* Layer.build(layer)
  const options = {
    scope: Idempotency.Scope.make({ tenant: "acme", operation: "charge", version: 1 }),
    key: Idempotency.Key.make(`duplicates-${keys++}-${yield* Effect.sync(() => process.pid)}`),
    payload: "p",
    payloadSchema: Schema.String,
    success: Schema.Int,
    error: Schema.Never,
    duplicates: "await"
  } as const
  let runs = 0
  // It ends when all have called: none of them finds the answer in the store.
  const all = yield* Deferred.make<void>()
  let calls = 0
  const work = Effect.andThen(Deferred.await(all), Effect.sync(() => ++runs))
  const call = Effect.suspend(() => {
    if (++calls === 1000) Deferred.doneUnsafe(all, Effect.void)
    return Idempotency.idempotent(work, options)
  })
  const answers = yield* Effect.forEach(Array.from({ length: 1000 }), () => call, { concurrency: "unbounded" }).pipe(
    Effect.provideContext(context)
  )
  assert.deepStrictEqual([...new Set(answers)], [1])
  // The last one may come when the run has just ended.
  assert.deepStrictEqual(requests.slice(0, 2), ["claim", "complete"])
  assert.isAtMost(requests.length, 3)
})
