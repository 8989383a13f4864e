/** Registers the published cases of the contract for a store. */
import { it as test } from "@effect/vitest"
import type { Duration, Effect, Layer } from "effect"
import type { IdempotencyStore } from "effect-payments"
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
  })
}
