// The contract of a store, put to the Redis of this package and to Powertools', as it is put to any store of a user: nothing moves
// the clock, each case waits for its leases and its lifetimes.
import { NodeRedis } from "@effect/platform-node"
import { Effect, Exit, Layer } from "effect"
import { IdempotencyStore } from "effect-payments"
import { StoreContract } from "effect-payments/testing"
import { createClient } from "redis"
import type { Contract } from "../table.ts"
import { type Contending, titles } from "./contenders.ts"
import { layerPowertools } from "./powertoolsStore.ts"

const leaseSeconds = 5

// Powertools counts in whole seconds, rounded: a result has gone when the contract asks whether it has.
const expiresAfterSeconds = 2 * leaseSeconds - 1

type StoreOf = (name: string) => Layer.Layer<IdempotencyStore.IdempotencyStore, unknown>

const open = Effect.fnUntraced(function*(url: string) {
  const client = yield* Effect.acquireRelease(
    Effect.promise(() => createClient({ url }).connect()),
    (client) => Effect.sync(() => client.destroy())
  )
  const redis = yield* Layer.build(NodeRedis.layer({ url }))
  const powertools = (isValidating: boolean): StoreOf => () =>
    layerPowertools({ client: client as never, expiresAfterSeconds, isValidating })
  const stores: Record<Contending, StoreOf> = {
    powertools: powertools(false),
    powertoolsValidating: powertools(true),
    ours: (prefix) => IdempotencyStore.layerStoreRedis({ prefix }).pipe(Layer.provide(Layer.succeedContext(redis)))
  }
  return stores
})

/** Some cases at once, each on a store of its own: they wait for most of the time. */
export const run = (url: string): Promise<Contract> =>
  Effect.runPromise(Effect.scoped(Effect.gen(function*() {
    const stores = yield* open(url)
    const names = Object.keys(titles) as Array<Contending>
    const cases = yield* Effect.forEach(
      StoreContract.idempotencyStore({ lease: `${leaseSeconds} seconds` }),
      ({ name, run }, index) =>
        Effect.forEach(
          names,
          (contender) => Effect.exit(Effect.provide(run, stores[contender](`contract-${index}`), { local: true })),
          { concurrency: "unbounded" }
        ).pipe(Effect.map((exits) => ({ name, passes: exits.map(Exit.isSuccess) }))),
      { concurrency: 8 }
    )
    return { contenders: Object.values(titles), cases }
  })))
