/**
 * Marks that have expired take room until somebody drops them.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { IdempotencyStore } from "../../IdempotencyStore.ts"

const limit = 1_000

/** A page at a time, so that no statement takes long. */
const sweep = (store: IdempotencyStore["Service"]): Effect.Effect<void> =>
  Effect.matchEffect(store.sweep({ limit }), {
    // The next round tries again.
    onFailure: () => Effect.void,
    onSuccess: (dropped) => dropped < limit ? Effect.void : sweep(store)
  })

/** @internal */
export const sweepForever = (store: IdempotencyStore["Service"]): Effect.Effect<void, never, Scope.Scope> =>
  sweep(store).pipe(Effect.repeat(Schedule.spaced("10 minutes")), Effect.forkScoped, Effect.asVoid)
