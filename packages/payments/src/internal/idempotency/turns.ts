/**
 * Who comes next on the one connection of SQLite. A transaction holds it, and the leases of all claims of the process are
 * renewed over it: without turns they would lapse while a long transaction is open, or while many short ones wait in line.
 *
 * One transaction at a time, and none begins while a renewal waits. One that is open goes on undisturbed until a renewal
 * waits for it; from then on it has a sixth of the shortest lease that waits, and is rolled back after that. A renewal is
 * tried for a quarter of a lease, so it gets its turn in time.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Semaphore from "effect/Semaphore"
import { StoreUnavailable } from "./unavailable.ts"

/** @internal */
export interface Turns {
  /** Renews leases, the shortest of which is so long. */
  readonly renewal: <A, E>(self: Effect.Effect<A, E>, leaseMillis: number) => Effect.Effect<A, E>
  /** Opens a transaction by `open` and runs the body in it. */
  readonly transaction: <A, E, E2, R>(
    self: Effect.Effect<A, E, R>,
    open: (body: Effect.Effect<A, E | StoreUnavailable, R>) => Effect.Effect<A, E2, R>
  ) => Effect.Effect<A, E2, R>
}

// A quarter is how long a renewal is tried.
const partOfLease = 6

const tooLong = new StoreUnavailable({ operation: "transact", detail: "TransactionTooLong" })

/** @internal */
export const make = (): Turns => {
  const turn = Semaphore.makeUnsafe(1)
  const isFree = Latch.makeUnsafe(true)
  const isPressed = Latch.makeUnsafe(false)
  const waiting = new Set<{ readonly leaseMillis: number }>()

  const come = (leaseMillis: number) =>
    Effect.sync(() => {
      const renewal = { leaseMillis }
      waiting.add(renewal)
      isFree.closeUnsafe()
      isPressed.openUnsafe()
      return renewal
    })
  const go = (renewal: { readonly leaseMillis: number }) =>
    Effect.sync(() => {
      waiting.delete(renewal)
      if (waiting.size > 0) return
      isFree.openUnsafe()
      isPressed.closeUnsafe()
    })

  const pressed = Effect.andThen(
    isPressed.await,
    Effect.suspend(() => {
      const shortest = Array.from(waiting).reduce(
        (shortest, { leaseMillis }) => Math.min(shortest, leaseMillis),
        Number.POSITIVE_INFINITY
      )
      return Effect.andThen(Effect.sleep(Math.max(1, Math.floor(shortest / partOfLease))), Effect.fail(tooLong))
    })
  )

  return {
    renewal: (self, leaseMillis) => Effect.acquireUseRelease(come(leaseMillis), () => self, go),
    transaction: (self, open) =>
      turn.withPermit(Effect.andThen(isFree.await, Effect.suspend(() => open(Effect.raceFirst(self, pressed)))))
  }
}
