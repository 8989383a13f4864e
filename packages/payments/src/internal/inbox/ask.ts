/**
 * Asks a store that may hang, for a while and no longer.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { StoreUnavailable } from "../../IdempotencyStore.ts"
import * as bounded from "../stack/ask.ts"

// How long a store may be silent.
const silentMillis = 5_000

/** @internal */
export const ask = <A>(
  operation: string,
  self: Effect.Effect<A, StoreUnavailable>
): Effect.Effect<A, StoreUnavailable> =>
  Effect.mapError(
    bounded.ask(self, silentMillis),
    (error) => error._tag === "NoAnswer" ? new StoreUnavailable({ operation, detail: "NoAnswer" }) : error
  )

/** @internal Twice: every transition may be sent again, and a reply that was lost comes with the second. */
export const askTwice = <A>(
  operation: string,
  self: Effect.Effect<A, StoreUnavailable>
): Effect.Effect<A, StoreUnavailable> => Effect.catch(ask(operation, self), () => ask(operation, self))
