/** A hand-made claim, for tests of gateways without the idempotency engine. */
import { Clock, Effect } from "effect"
import { GatewayCallMustBeInsideIdempotent } from "../../src/internal/stack/claim.ts"

interface Departed {
  readonly request: string
  /** The window of the first departure: the gateway counts from there. */
  repeatableUntil: number
  certain: boolean | undefined
}

export interface TestClaim {
  readonly service: GatewayCallMustBeInsideIdempotent["Service"]
  /** What the claim has been told, by phase: undefined while a call is out or after one that surely did nothing. */
  readonly certain: (phase: string) => boolean | undefined
  readonly departures: () => number
}

/** A claim as `idempotent` would make it: stable keys per phase, the same phase with another request dies. */
export const makeClaim = (
  key: string,
  options?: { readonly phase?: string; readonly fence?: number; readonly attempt?: number }
): TestClaim => {
  const phases = new Map<string, Departed>()
  let departures = 0
  const downstreamKey = (phase: string) => `down:${key}:${phase}`
  return {
    certain: (phase) => phases.get(phase)?.certain,
    departures: () => departures,
    service: GatewayCallMustBeInsideIdempotent.of({
      scope: { tenant: "test", operation: "charge", version: 1 },
      key,
      fence: options?.fence ?? 1,
      attempt: options?.attempt ?? 1,
      settleMillis: 300_000,
      phase: options?.phase,
      downstreamKey: (phase) => Effect.succeed(downstreamKey(phase)),
      depart: ({ deduplicatesMillis, phase, request }) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          const seen = phases.get(phase)
          if (seen !== undefined && seen.request !== request) {
            return Effect.die(new Error(`DownstreamKeyReused: ${phase}`))
          }
          departures++
          const until = now + deduplicatesMillis
          if (seen === undefined) phases.set(phase, { request, repeatableUntil: until, certain: undefined })
          else seen.repeatableUntil = Math.min(seen.repeatableUntil, until)
          return Effect.succeed(downstreamKey(phase))
        }),
      arrive: (phase, certain) => {
        const departed = phases.get(phase)
        if (departed !== undefined && certain !== undefined) departed.certain = certain
      },
      remember: () => {},
      recall: () => undefined,
      witness: () => {},
      repeatable: Effect.map(
        Clock.currentTimeMillis,
        (now) => phases.size > 0 && [...phases.values()].every(({ repeatableUntil }) => now < repeatableUntil)
      )
    })
  }
}

/** Runs gateway calls under one hand-made claim. */
export const withClaim =
  (key: string, options?: { readonly phase?: string; readonly fence?: number }) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, Exclude<R, GatewayCallMustBeInsideIdempotent>> =>
    Effect.provideService(self, GatewayCallMustBeInsideIdempotent, makeClaim(key, options).service)

/** Runs gateway calls under this claim: for several effects that share one. */
export const underClaim =
  (claim: TestClaim) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, Exclude<R, GatewayCallMustBeInsideIdempotent>> =>
    Effect.provideService(self, GatewayCallMustBeInsideIdempotent, claim.service)
