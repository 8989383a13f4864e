/**
 * The claim that an operation hands to the calls inside it.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { Digest } from "../effect/crypto.ts"
import type { Departure, GatewayCallMustBeInsideIdempotent, ScopeParts } from "./claim.ts"
import { DownstreamKeyReused } from "./reused.ts"

type Claim = GatewayCallMustBeInsideIdempotent["Service"]

const encoder = new TextEncoder()

/** @internal What a claim is for. `id` tells it from every other, and the downstream keys are derived from it. */
export interface ClaimId {
  readonly id: string
  readonly scope: ScopeParts
  readonly key: string
}

/**
 * @internal The key that is sent downstream: 44 characters, stable over retries, take-overs and processes, and no hint
 * of the client's key. The prefix versions the derivation.
 */
export const downstreamKey = (
  digest: Digest.Digest["Service"],
  id: Pick<ClaimId, "id">,
  phase: string
): Effect.Effect<string> =>
  Effect.map(
    digest.digestHex(Digest.sha256, encoder.encode(`${id.id}${phase.length}:${phase}`)),
    (hex) => `ep1_${hex.slice(0, 40)}`
  )

interface Departed {
  readonly request: string
  isBestEffort: boolean
  deduplicatesMillis: number
  isCertain: boolean
  /** Calls that have left and not come back. */
  underWay: number
  /** What the gateway did. */
  answer: unknown
  isRefused: boolean
}

/** @internal */
export class OperationClaim implements Claim {
  readonly scope: Claim["scope"]
  readonly key: string
  readonly fence: number
  readonly attempt: number
  readonly phase: string | undefined = undefined
  private readonly id: ClaimId
  private readonly digest: Digest.Digest["Service"]
  /** How long ago the operation was first claimed. */
  readonly ageMillis: () => number
  readonly settleMillis: number
  private departures: Map<string, Departed> | undefined = undefined
  /** An operation inside this one, with a key of its own, has happened. */
  hasWitnessed = false

  constructor(
    id: ClaimId,
    grant: { readonly fence: number; readonly attempt: number },
    digest: Digest.Digest["Service"],
    ageMillis: () => number,
    settleMillis: number
  ) {
    this.scope = id.scope
    this.key = id.key
    this.fence = grant.fence
    this.attempt = grant.attempt
    this.id = id
    this.digest = digest
    this.ageMillis = ageMillis
    this.settleMillis = settleMillis
  }

  downstreamKey(phase: string): Effect.Effect<string> {
    return downstreamKey(this.digest, this.id, phase)
  }

  depart(departure: Departure): Effect.Effect<string> {
    return Effect.suspend(() => {
      const departures = this.departures ??= new Map()
      const known = departures.get(departure.phase)
      if (known === undefined) {
        const { deduplicatesMillis, isBestEffort = false, phase, request } = departure
        departures.set(phase, {
          request,
          isBestEffort,
          deduplicatesMillis,
          isCertain: true,
          underWay: 1,
          answer: undefined,
          isRefused: false
        })
      } else if (known.request !== departure.request) {
        return Effect.die(new DownstreamKeyReused({ phase: departure.phase }))
      } else {
        // The same request to another gateway too: it may be sent again only while both recognise it.
        known.deduplicatesMillis = Math.min(known.deduplicatesMillis, departure.deduplicatesMillis)
        known.isBestEffort &&= departure.isBestEffort ?? false
        known.underWay++
      }
      return this.downstreamKey(departure.phase)
    })
  }

  arrive(phase: string, isCertain: boolean | undefined): void {
    const known = this.departures?.get(phase)
    if (known === undefined) return
    known.underWay--
    if (isCertain === true && known.answer === undefined) known.isRefused = true
    if (isCertain === undefined) return
    // An answer speaks for another call in doubt, before or after it, only where the gateway took both for one.
    const isOne = this.ageMillis() < known.deduplicatesMillis
    const isAnswered = known.answer !== undefined || known.isRefused
    if (isCertain ? isOne : !(isOne && isAnswered)) known.isCertain = isCertain
  }

  remember(phase: string, answer: unknown): void {
    const known = this.departures?.get(phase)
    if (known !== undefined) known.answer = answer
  }

  recall(phase: string, request: string): unknown {
    const known = this.departures?.get(phase)
    return known?.request === request ? known.answer : undefined
  }

  witness(): void {
    this.hasWitnessed = true
  }

  get repeatable(): Effect.Effect<boolean> {
    return Effect.sync(() => {
      if (this.departures === undefined) return false
      const age = this.ageMillis()
      return [...this.departures.values()].every(({ deduplicatesMillis }) => age < deduplicatesMillis)
    })
  }

  /** The phases under which calls have left, in the order in which they did; those that are best effort apart. */
  get phases(): ReadonlyArray<string> {
    if (this.departures === undefined) return []
    return [...this.departures].filter(([, { isBestEffort }]) => !isBestEffort).map(([phase]) => phase)
  }

  /** Whether any call has left. */
  get hasDeparted(): boolean {
    return this.departures !== undefined
  }

  /** Whether a call left of which nobody knows what became, or has not come back yet. */
  get isUncertain(): boolean {
    return this.some(({ isCertain, underWay }) => !isCertain || underWay > 0)
  }

  /** Whether the gateway did what a call of this run asked for. */
  get hasHappened(): boolean {
    return this.some(({ answer }) => answer !== undefined)
  }

  /** Whether the gateway took or held money in this run, and gave nothing back. */
  get hasStanding(): boolean {
    const has = (...methods: ReadonlyArray<string>) =>
      this.some(({ answer, request }) =>
        answer !== undefined && methods.some((method) => request.startsWith(`${method}:`))
      )
    return has("authorize", "capture") && !has("void", "refund")
  }

  /** Whether the gateway refused a call of this run. */
  get isRefused(): boolean {
    return this.some(({ isRefused }) => isRefused)
  }

  private some(isTrue: (departed: Departed) => boolean): boolean {
    if (this.departures === undefined) return false
    for (const departed of this.departures.values()) {
      if (!departed.isBestEffort && isTrue(departed)) return true
    }
    return false
  }
}
