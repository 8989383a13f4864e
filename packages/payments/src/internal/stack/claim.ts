/**
 * The evidence that a call belongs to an idempotent operation.
 *
 * @internal
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"

/** @internal The scope of a key: see `Idempotency.Scope`. */
export interface ScopeParts {
  readonly tenant: string
  readonly operation: string
  readonly version: number
}

/** @internal A gateway call that is about to leave. */
export interface Departure {
  /** The phase of the call; the gateway method by default. */
  readonly phase: string
  /** The encoded request: the same phase with another one is refused. */
  readonly request: string
  /** For how long the gateway recognises the key, in milliseconds; 0 when it does not. */
  readonly deduplicatesMillis: number
  /** Its end does not decide the operation's. */
  readonly isBestEffort?: boolean | undefined
}

/** @internal */
export class GatewayCallMustBeInsideIdempotent extends Context.Service<GatewayCallMustBeInsideIdempotent, {
  readonly scope: ScopeParts
  readonly key: string
  readonly fence: number
  readonly attempt: number
  /** The key to send downstream: stable over retries, take-overs and processes, and never the client's key. */
  readonly downstreamKey: (phase: string) => Effect.Effect<string>
  /** For how long a request may be under way at the most, in milliseconds: what `settle` says. */
  readonly settleMillis: number
  /** The prefix that `Idempotency.phase` has put on the default phase, if any. */
  readonly phase: string | undefined
  /**
   * Notes that a call leaves and answers its downstream key. Dies with `DownstreamKeyReused` when the phase already
   * carried another request.
   */
  readonly depart: (departure: Departure) => Effect.Effect<string>
  /**
   * Notes what came of a call that left: certain (an answer, yes or no), not certain (a timeout, a fault, an
   * interruption), or undefined when it surely was not executed, which says nothing about an earlier call of the phase.
   * An operation that ends while a phase is uncertain, or a call of it is under way, is not taken for refused or not
   * executed.
   */
  readonly arrive: (phase: string, certain: boolean | undefined) => void
  /**
   * What the gateway did under this phase, noted before `arrive`. From then on the phase has this answer, as at a gateway
   * that de-duplicates, and the operation is not taken for one that was not executed.
   */
  readonly remember: (phase: string, answer: unknown) => void
  /** What was remembered of this request under this phase, if anything. */
  readonly recall: (phase: string, request: string) => unknown
  /** Notes that an operation inside this one, with a key of its own, has happened. */
  readonly witness: () => void
  /**
   * Whether everything that has left under this claim may be sent again: at least one call has, each to a gateway that
   * de-duplicates, and each window is still open.
   */
  readonly repeatable: Effect.Effect<boolean>
}>()("effect-payments/Claim") {}

/** @internal */
export type Claim = GatewayCallMustBeInsideIdempotent
