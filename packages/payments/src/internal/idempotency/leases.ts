/**
 * Keeps the leases of all live claims of a process: one fiber, one statement for all that are due. An owner measures on
 * its own monotonic clock, from before each renewal left; after one lease without a confirmed renewal it is interrupted,
 * whether the store says no or says nothing.
 *
 * @internal
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Scope from "effect/Scope"
import type { IdempotencyStore } from "../../IdempotencyStore.ts"
import type { Entry } from "./entry.ts"

/** @internal */
export interface Leases {
  readonly nowMillis: () => number
  /** From now on the lease of this claim is renewed; `confirmedAt` is when the claim left. */
  readonly hold: (entry: Entry, confirmedAt: number) => void
  readonly drop: (entry: Entry) => void
  /** Whether the lease can still be counted on. */
  readonly isLive: (entry: Entry) => boolean
}

/** @internal */
export const make = Effect.fnUntraced(function*(
  store: IdempotencyStore["Service"],
  clock: Clock.Clock,
  scope: Scope.Scope
) {
  const held = new Set<Entry>()
  const woken = Latch.makeUnsafe(false)
  let wakeAt = Number.POSITIVE_INFINITY
  const nowMillis = (): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

  const wakeBy = (at: number): void => {
    if (at >= wakeAt) return
    wakeAt = at
    woken.openUnsafe()
  }

  const lose = (entry: Entry): void => {
    held.delete(entry)
    entry.lose()
  }

  // Runs apart from the loop, so that a store that hangs does not keep the loop from fencing.
  const renew = (due: ReadonlyArray<Entry>, sentAt: number) => {
    const shortest = Math.min(...due.map((entry) => entry.confirmedAt + entry.leaseMillis - sentAt))
    return store.renew(due.map((entry) => ({
      ...entry.id,
      owner: entry.owner,
      fence: entry.fence,
      leaseMillis: entry.leaseMillis
    }))).pipe(
      Effect.timeout(Duration.millis(Math.max(1, shortest))),
      Effect.exit,
      Effect.map((exit) => {
        due.forEach((entry, i) => {
          entry.isRenewing = false
          if (!held.has(entry)) return
          if (Exit.isSuccess(exit) && exit.value[i] !== true) return lose(entry)
          if (Exit.isSuccess(exit)) entry.confirmedAt = sentAt
          // A store that failed is asked again soon: a lease lasts for several tries.
          entry.renewAt = Exit.isSuccess(exit) ? sentAt + entry.leaseMillis / 3 : nowMillis() + entry.leaseMillis / 12
          wakeBy(entry.renewAt)
        })
      })
    )
  }

  const tick = Effect.suspend(() => {
    const now = nowMillis()
    const due: Array<Entry> = []
    wakeAt = Number.POSITIVE_INFINITY
    for (const entry of held) {
      const end = entry.confirmedAt + entry.leaseMillis
      if (now >= end) {
        lose(entry)
        continue
      }
      if (!entry.isRenewing && now >= entry.renewAt) {
        entry.isRenewing = true
        due.push(entry)
      }
      wakeBy(entry.isRenewing ? end : Math.min(end, entry.renewAt))
    }
    return due.length === 0 ? Effect.void : Effect.asVoid(Effect.forkIn(renew(due, now), scope))
  })

  const sleepUntilDue = Effect.suspend(() => {
    woken.closeUnsafe()
    const left = wakeAt - nowMillis()
    if (left === Number.POSITIVE_INFINITY) return woken.await
    return left <= 0 ? Effect.void : Effect.raceFirst(Effect.sleep(Duration.millis(left)), woken.await)
  })

  yield* Effect.forkIn(
    Effect.forever(Effect.flatMap(sleepUntilDue, () => nowMillis() >= wakeAt ? tick : Effect.void)),
    scope
  )

  const leases: Leases = {
    nowMillis,
    hold: (entry, confirmedAt) => {
      entry.confirmedAt = confirmedAt
      entry.renewAt = confirmedAt + entry.leaseMillis / 3
      held.add(entry)
      wakeBy(entry.renewAt)
    },
    drop: (entry) => {
      held.delete(entry)
    },
    isLive: (entry) => !entry.isLost && nowMillis() < entry.confirmedAt + entry.leaseMillis
  }
  return leases
})
