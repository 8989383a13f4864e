/**
 * What this process knows of an operation that it works on: one entry per record, shared by all local callers.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type { EngineClaim } from "./claim.ts"
import type { Record, RecordId } from "./record.ts"

/** @internal How an answer came about. */
export type How = "executed" | "replayed" | "resolved"

/** @internal */
export interface Answered {
  readonly exit: Exit.Exit<unknown, unknown>
  readonly how: How
  readonly fence: number
  readonly attempt: number
}

/** @internal */
export class Entry {
  readonly id: RecordId
  readonly fingerprint: string
  readonly owner: string
  readonly leaseMillis: number
  /** `polling`: another process works on it and the first local caller asks now and then. */
  phase: "claiming" | "polling" | "running" = "claiming"
  /** Whether other callers of this process can find it. */
  isEntered = false
  fence = 0
  attempt = 0
  /** Ends so far that nobody could resolve. */
  unresolved = 0
  /** Monotonic time before the last confirmed claim or renewal left. */
  confirmedAt = 0
  renewAt = Number.POSITIVE_INFINITY
  isRenewing = false
  /** The lease is gone: the store says so, or has been silent for a lease. */
  isLost = false
  /** The store has denied a renewal: the lease is gone, or the operation is finished. */
  isDenied = false
  /** The last waiter has left and the work was interrupted. */
  isCancelled = false
  /** One of the waiters wants the work to end also when all have left. */
  isDetached = false
  /** Its slot is being freed: from now on another process may take it, and what it ends with is no answer to a new call. */
  isFreeing = false
  /** Of the work, once it runs. */
  claim: EngineClaim | undefined = undefined
  fiber: Fiber.Fiber<unknown, unknown> | undefined = undefined
  waiting = 0
  /** `abandoned`: the first caller was interrupted before it held the claim; the next one starts over. */
  settled: Answered | "abandoned" | undefined = undefined
  private observers: Set<() => void> | undefined = undefined
  private losers: Array<() => void> | undefined = undefined

  constructor(id: RecordId, fingerprint: string, owner: string, leaseMillis: number) {
    this.id = id
    this.fingerprint = fingerprint
    this.owner = owner
    this.leaseMillis = leaseMillis
  }

  granted({ attempt, fence, unresolved }: Record): void {
    this.fence = fence
    this.attempt = attempt
    this.unresolved = unresolved
  }

  observe(observer: () => void): () => void {
    const observers = this.observers ??= new Set()
    observers.add(observer)
    return () => observers.delete(observer)
  }

  onLost(observer: () => void): void {
    if (this.isLost) observer()
    else (this.losers ??= []).push(observer)
  }

  lose(): void {
    if (this.isLost) return
    this.isLost = true
    this.fiber?.interruptUnsafe()
    for (const observer of this.losers ?? []) observer()
  }

  notify(): void {
    const observers = this.observers
    if (observers === undefined) return
    this.observers = undefined
    for (const observer of observers) observer()
  }

  enter(phase: "polling" | "running"): void {
    if (this.phase === phase) return
    this.phase = phase
    this.notify()
  }

  settle(settled: Answered | "abandoned"): void {
    if (this.settled !== undefined) return
    this.settled = settled
    this.notify()
  }
}

/** @internal Waits until it is true of an entry, which is looked at whenever the entry changes. */
export const untilTrue = (entry: Entry, isTrue: () => boolean): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    let stop: (() => void) | undefined
    const check = (): void => {
      if (isTrue()) resume(Effect.void)
      else stop = entry.observe(check)
    }
    check()
    return Effect.sync(() => stop?.())
  })

/** @internal */
export const untilSettled = (entry: Entry): Effect.Effect<void> => untilTrue(entry, () => entry.settled !== undefined)
