/**
 * Claims that are those around them, but for one thing.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { GatewayCallMustBeInsideIdempotent } from "./claim.ts"

type Claim = GatewayCallMustBeInsideIdempotent["Service"]

/** @internal What is changed of a claim. */
export type Narrowing = { readonly phase: string } | Pick<Claim, "depart">

// The claim is an object of the engine's: what is not changed is asked there.
/** @internal Runs an effect under its claim, with something of it changed. */
export const narrow = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  change: (claim: Claim) => Narrowing
): Effect.Effect<A, E, R | GatewayCallMustBeInsideIdempotent> =>
  Effect.flatMap(
    GatewayCallMustBeInsideIdempotent,
    (claim) =>
      Effect.provideService(self, GatewayCallMustBeInsideIdempotent, {
        scope: claim.scope,
        key: claim.key,
        fence: claim.fence,
        attempt: claim.attempt,
        settleMillis: claim.settleMillis,
        phase: claim.phase,
        downstreamKey: (name) => claim.downstreamKey(name),
        depart: (departure) => claim.depart(departure),
        arrive: (name, isCertain) => claim.arrive(name, isCertain),
        remember: (name, answer) => claim.remember(name, answer),
        recall: (name, request) => claim.recall(name, request),
        witness: () => claim.witness(),
        repeatable: claim.repeatable,
        ...change(claim)
      })
  )
