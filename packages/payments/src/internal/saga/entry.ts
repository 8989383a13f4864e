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
  /** What the run is about, as far as it is known here. */
  fingerprint: string | undefined
  readonly leaseMillis: number
  epoch = 0
  confirmedAt = 0
  renewAt = Number.POSITIVE_INFINITY
  isRenewing = false
  isLost = false
  isDenied = false
  /** The log has it, with this fingerprint. */
  isKnown = false
  /** It is being suspended: whoever comes now waits for that, and begins anew. */
  isStopping = false
  /** It goes on also when nobody waits for it. */
  isDetached = false
  /** It stands at a step that waits, and costs next to nothing. */
  isWaiting = false
  waiting = 0
  fiber: Fiber.Fiber<unknown, unknown> | undefined = undefined
  isSettled = false
  readonly known = Deferred.makeUnsafe<void>()
  readonly end = Deferred.makeUnsafe<Execution<unknown, unknown>, SagaError>()

  constructor(id: RunId, owner: string, fingerprint: string | undefined, leaseMillis: number) {
    this.id = id
    this.owner = owner
    this.fingerprint = fingerprint
    this.leaseMillis = leaseMillis
  }

  know(fingerprint: string): void {
    this.fingerprint = fingerprint
    this.isKnown = true
    Deferred.doneUnsafe(this.known, Exit.void)
  }

  stop(): void {
    this.isStopping = true
    this.fiber?.interruptUnsafe()
  }

  settle(end: End): void {
    if (this.isSettled) return
    this.isSettled = true
    Deferred.doneUnsafe(this.end, end)
    Deferred.doneUnsafe(this.known, Exit.void)
  }

  lose(): void {
    if (this.isLost) return
    this.isLost = true
    this.stop()
  }
}
