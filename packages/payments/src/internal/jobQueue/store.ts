/**
 * What a store of jobs is: the store of Effect's `PersistedQueue`, and what that keeps of jobs that failed for good.
 *
 * @internal
 */
import type * as Effect from "effect/Effect"
import type { PersistedQueue } from "../effect/persistedQueue.ts"
import type { JobQueueError } from "./errors.ts"
import type { Lease } from "./lease.ts"
import type { Line } from "./line.ts"

/** @internal */
export interface Dead {
  readonly id: string
  /** What it encodes to. */
  readonly element: unknown
  readonly attempts: number
  readonly failure: string
  readonly failedAtMillis: number
  /** Where the next page begins. */
  readonly cursor: string
}

/** @internal */
export interface Store {
  readonly elements: PersistedQueue.PersistedQueueStore["Service"]
  /** Undefined where no other process can take a job. */
  readonly lease: Lease | undefined
  /** Oldest first, after the cursor. */
  readonly dead: (
    queue: string,
    page: { readonly after: string | undefined; readonly limit: number }
  ) => Effect.Effect<ReadonlyArray<Dead>, JobQueueError>
  readonly countDead: (queue: string) => Effect.Effect<number, JobQueueError>
  /** Back to the end of the queue, with all tries before it. False: there is no such job among the dead. */
  readonly requeue: (queue: string, id: string) => Effect.Effect<boolean, JobQueueError>
  /** As if it were done: its id stays taken. False: there is no such job among the dead. */
  readonly discard: (queue: string, id: string) => Effect.Effect<boolean, JobQueueError>
}

/** @internal */
export interface SqlStore extends Store {
  readonly line: Line
}
