/**
 * What this process knows of a run that it works on: one entry per run, shared by all local callers.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type { Held } from "../stack/leases.ts"
import type { SagaError } from "./errors.ts"
import type { Execution } from "./execution.ts"
import type { RunId } from "./record.ts"

/** @internal */
export type End = Exit.Exit<Execution<unknown, unknown>, SagaError>

/** @internal */
export class RunEntry implements Held {
  readonly id: RunId
  readonly owner: string
  /** Undefined where nobody said what the run is about: it was found in the log. */
  readonly fingerprint: string | undefined
  readonly leaseMillis: number
  epoch = 0
  confirmedAt = 0
  renewAt = Number.POSITIVE_INFINITY
  isRenewing = false
  isLost = false
  isDenied = false
  /** It is ours: the log says so. */
  isRunning = false
  /** It goes on also when nobody waits for it. */
  isDetached = false
  waiting = 0
  fiber: Fiber.Fiber<unknown, unknown> | undefined = undefined
  isSettled = false
  readonly running = Deferred.makeUnsafe<void>()
  readonly end = Deferred.makeUnsafe<Execution<unknown, unknown>, SagaError>()

  constructor(id: RunId, owner: string, fingerprint: string | undefined, leaseMillis: number) {
    this.id = id
    this.owner = owner
    this.fingerprint = fingerprint
    this.leaseMillis = leaseMillis
  }

  begin(): void {
    this.isRunning = true
    Deferred.doneUnsafe(this.running, Exit.void)
  }

  settle(end: End): void {
    if (this.isSettled) return
    this.isSettled = true
    Deferred.doneUnsafe(this.end, end)
    Deferred.doneUnsafe(this.running, Exit.void)
  }

  lose(): void {
    if (this.isLost) return
    this.isLost = true
    this.fiber?.interruptUnsafe()
  }
}
