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
import type * as Scope from "effect/Scope"

/** @internal What is held under a lease. */
export interface Held {
  readonly leaseMillis: number
  /** Monotonic time before the last confirmed claim or renewal left. */
  confirmedAt: number
  renewAt: number
  isRenewing: boolean
  /** The lease is gone: the store says so, or has been silent for a lease. */
  readonly isLost: boolean
  /** The store has denied a renewal: the lease is gone, or what it was for is finished. */
  isDenied: boolean
  readonly lose: () => void
}

/** @internal Renews many in one round trip; answers in order whether each is still owned. */
export type Renew<Entry> = (entries: ReadonlyArray<Entry>) => Effect.Effect<ReadonlyArray<boolean>, unknown>

/** @internal */
export interface Leases<Entry extends Held> {
  readonly nowMillis: () => number
  /** From now on the lease of this claim is renewed; `confirmedAt` is when the claim left. */
  readonly hold: (entry: Entry, confirmedAt: number) => void
  readonly drop: (entry: Entry) => void
  /** Whether the lease can still be counted on. */
  readonly isLive: (entry: Entry) => boolean
}

/** @internal */
export const make = <Entry extends Held>(
  renew: Renew<Entry>,
  clock: Clock.Clock,
  scope: Scope.Scope
): Effect.Effect<Leases<Entry>> => {
  const leases = new LeasesImpl(renew, clock)
  return Effect.as(Effect.forkIn(leases.keep, scope), leases)
}

class LeasesImpl<Entry extends Held> implements Leases<Entry> {
  private readonly renewAll: Renew<Entry>
  private readonly clock: Clock.Clock
  private readonly held = new Set<Entry>()
  private readonly woken = Latch.makeUnsafe(false)
  private wakeAt = Number.POSITIVE_INFINITY

  constructor(renew: Renew<Entry>, clock: Clock.Clock) {
    this.renewAll = renew
    this.clock = clock
  }

  nowMillis(): number {
    return Number(this.clock.monotonicTimeNanosUnsafe()) / 1e6
  }

  hold(entry: Entry, confirmedAt: number): void {
    entry.confirmedAt = confirmedAt
    entry.renewAt = confirmedAt + entry.leaseMillis / 3
    this.held.add(entry)
    this.wakeBy(entry.renewAt)
  }

  drop(entry: Entry): void {
    this.held.delete(entry)
  }

  isLive(entry: Entry): boolean {
    return !entry.isLost && this.nowMillis() < entry.confirmedAt + entry.leaseMillis
  }

  get keep(): Effect.Effect<never> {
    return Effect.forever(
      Effect.flatMap(this.sleepUntilDue, () => this.nowMillis() >= this.wakeAt ? this.tick : Effect.void)
    )
  }

  private wakeBy(at: number): void {
    if (at >= this.wakeAt) return
    this.wakeAt = at
    this.woken.openUnsafe()
  }

  private readonly sleepUntilDue: Effect.Effect<void> = Effect.suspend(() => {
    this.woken.closeUnsafe()
    if (this.wakeAt === Number.POSITIVE_INFINITY) return this.woken.await
    const left = this.wakeAt - this.nowMillis()
    // Whole milliseconds: a clock may not tell less from nothing.
    return left <= 0 ? Effect.void : Effect.raceFirst(Effect.sleep(Duration.millis(Math.ceil(left))), this.woken.await)
  })

  private readonly tick: Effect.Effect<void> = Effect.suspend(() => {
    const now = this.nowMillis()
    const due: Array<Entry> = []
    this.wakeAt = Number.POSITIVE_INFINITY
    for (const entry of this.held) {
      const end = entry.confirmedAt + entry.leaseMillis
      if (now >= end) {
        this.lose(entry)
        continue
      }
      if (!entry.isRenewing && now >= entry.renewAt) {
        entry.isRenewing = true
        due.push(entry)
      }
      this.wakeBy(entry.isRenewing ? end : Math.min(end, entry.renewAt))
    }
    // Not in the scope: what is still ending while the layer closes keeps its lease.
    return due.length === 0 ? Effect.void : Effect.asVoid(Effect.forkDetach(this.renew(due, now)))
  })

  // Runs apart from the loop, so that a store that hangs does not keep the loop from fencing.
  private renew(due: ReadonlyArray<Entry>, sentAt: number): Effect.Effect<void> {
    // Short enough for another try within the lease.
    const shortest = due.reduce(
      (shortest, { confirmedAt, leaseMillis }) =>
        Math.min(shortest, confirmedAt + leaseMillis - sentAt, leaseMillis / 4),
      Number.POSITIVE_INFINITY
    )
    return this.renewAll(due).pipe(
      Effect.timeout(Duration.millis(Math.max(1, shortest))),
      Effect.exit,
      Effect.map((exit) => {
        due.forEach((entry, i) =>
          this.renewed(entry, sentAt, Exit.isSuccess(exit) ? exit.value[i] === true : undefined)
        )
      })
    )
  }

  /** `isOurs` is undefined when the store gave no answer: it is asked again soon, a lease lasts for several tries. */
  private renewed(entry: Entry, sentAt: number, isOurs: boolean | undefined): void {
    entry.isRenewing = false
    if (!this.held.has(entry)) return
    if (isOurs === false) {
      entry.isDenied = true
      return this.lose(entry)
    }
    if (isOurs === true) entry.confirmedAt = sentAt
    entry.renewAt = isOurs === true ? sentAt + entry.leaseMillis / 3 : this.nowMillis() + entry.leaseMillis / 12
    this.wakeBy(entry.renewAt)
  }

  private lose(entry: Entry): void {
    this.held.delete(entry)
    entry.lose()
  }
}
