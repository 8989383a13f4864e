/**
 * The leases of the claims of a process, renewed in one statement.
 *
 * @internal
 */
import type * as Clock from "effect/Clock"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { IdempotencyStore } from "../../IdempotencyStore.ts"
import * as leases from "../stack/leases.ts"
import type { Entry } from "./entry.ts"

/** @internal */
export type Leases = leases.Leases<Entry>

/** @internal */
export const make = (
  store: IdempotencyStore["Service"],
  clock: Clock.Clock,
  scope: Scope.Scope
): Effect.Effect<Leases> =>
  leases.make<Entry>(
    (entries) =>
      store.renew(entries.map(({ fence, id, leaseMillis, owner }) => ({ ...id, owner, fence, leaseMillis }))),
    clock,
    scope
  )
