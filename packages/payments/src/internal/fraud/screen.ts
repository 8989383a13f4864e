/**
 * What becomes of a payment that was assessed.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { Assessment, ScreenOptions } from "../../Fraud.ts"
import { AuthenticationRequired, FraudBlocked, make as makeError, type PaymentError } from "../../PaymentError.ts"

/** @internal */
export const Screened = Context.Reference<Assessment | undefined>("effect-payments/Fraud/Screened", {
  defaultValue: () => undefined
})

/** @internal */
export const act = <A, E, R0, R, E1, R1, E2, R2>(
  self: Effect.Effect<A, E, R0>,
  assessment: Assessment,
  options: ScreenOptions<R, E1, R1, E2, R2>
): Effect.Effect<A, E | PaymentError | E1 | E2, R0 | R1 | R2> => {
  const attributes = attributesOf(assessment)
  const told = options.onAssessment === undefined ? Effect.void : options.onAssessment(assessment)
  return Effect.andThen(Effect.annotateCurrentSpan(attributes), told).pipe(
    Effect.andThen(decided(self, assessment, options)),
    Effect.provideService(Screened, assessment),
    Effect.annotateLogs(attributes)
  )
}

const decided = <A, E, R0, R, E1, R1, E2, R2>(
  self: Effect.Effect<A, E, R0>,
  assessment: Assessment,
  { challenge, context }: ScreenOptions<R, E1, R1, E2, R2>
): Effect.Effect<A, E | PaymentError | E1, R0 | R1> => {
  switch (assessment.decision) {
    case "Approve":
      return self
    case "Review":
      return Effect.andThen(Effect.logInfo("a payment passes for review"), self)
    case "Challenge":
      return Effect.flatMap(
        challenge(assessment, context),
        (challenge) => Effect.fail(makeError(new AuthenticationRequired({ challenge })))
      )
    case "Block":
      return Effect.fail(makeError(new FraudBlocked({ rule: assessment.blockedBy ?? assessment.ruleSet })))
  }
}

const attributesOf = ({ blockedBy, decision, ruleSet, score, version }: Assessment): Record<string, unknown> => ({
  "fraud.decision": decision,
  "fraud.score": score,
  "fraud.rule_set": `${ruleSet}@${version}`,
  ...blockedBy === undefined ? {} : { "fraud.blocked_by": blockedBy }
})
