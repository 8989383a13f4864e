/**
 * One call of an idempotent operation, and what all parts of the engine share.
 *
 * @internal
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import type { IdempotencyStore } from "../../IdempotencyStore.ts"
import type { Digest } from "../effect/crypto.ts"
import type { Codec } from "../stack/canonical.ts"
import type { Deadlines } from "../stack/deadlines.ts"
import type { Answered, Entry, How } from "./entry.ts"
import type { Leases } from "./leases.ts"
import type { Record, RecordId } from "./record.ts"

/** @internal What a look-up says: see `Idempotency.Resolution`. */
export type Resolution =
  | { readonly _tag: "Happened"; readonly result: unknown }
  | { readonly _tag: "Refused"; readonly error: unknown }
  | { readonly _tag: "NeverHappened"; readonly repeatable?: boolean }
  | { readonly _tag: "StillUnknown" }

/** @internal */
export interface ResolveContext {
  readonly scope: Record["scope"]
  readonly key: Record["key"]
  readonly attempt: number
  readonly downstreamKey: (phase: string) => Effect.Effect<string>
  /** How long ago, on the store's clock, the operation was first claimed. */
  readonly age: Duration.Duration
  /**
   * The phases under which calls have left in this run, in the order in which they left. Empty after a take-over: what
   * the owner before has sent nobody knows here.
   */
  readonly phases: ReadonlyArray<string>
}

/** @internal The options that say how, resolved to plain values: one object for all calls that leave the defaults. */
export interface Policy {
  readonly resolveTimeoutMillis: number
  readonly phase: string | undefined
  readonly leaseMillis: number
  readonly ttlMillis: number
  readonly settleMillis: number
  readonly attemptsMax: number
  readonly payloadLimitBytes: number
  readonly resultLimitBytes: number
  readonly awaits: boolean
  readonly awaitMillis: number
  readonly detaches: boolean
  readonly isTransactional: boolean
}

/** @internal The options of one call, resolved to plain values. */
export interface Call {
  readonly id: RecordId
  readonly payload: unknown
  readonly payloadCodec: Codec
  readonly successCodec: Codec
  readonly errorCodec: Codec
  readonly self: Effect.Effect<unknown, unknown, unknown>
  readonly resolve:
    | {
      (context: ResolveContext): Effect.Effect<Resolution, unknown, unknown>
      readonly phases?: ReadonlyArray<string> | undefined
    }
    | undefined
  readonly policy: Policy
  /** What the caller gets of an answer. */
  readonly project: (answered: Answered) => Exit.Exit<unknown, unknown>
}

/** @internal */
export interface Shared {
  readonly store: IdempotencyStore["Service"]
  readonly digest: Digest.Digest["Service"]
  readonly scope: Scope.Scope
  readonly leases: Leases
  readonly deadlines: Deadlines
  /** Ends an entry: its waiters get the answer and the next call starts anew. */
  readonly settle: (entry: Entry, exit: Exit.Exit<unknown, unknown>, how: How) => void
  /** Ends an entry that has come to nothing: its waiters start over. */
  readonly abandon: (entry: Entry) => void
}

/** @internal The transactions of the store, where the call asks for them and the store has them. */
export const transactionsOf = (call: Call, store: IdempotencyStore["Service"]) =>
  call.policy.isTransactional ? store.transactions : undefined
