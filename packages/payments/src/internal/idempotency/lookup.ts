/**
 * The resolver that asks the gateway for each call of an operation.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Resolution, ResolveContext } from "../../Idempotency.ts"
import type { PaymentError } from "../../PaymentError.ts"
import * as PaymentGateway from "../../PaymentGateway.ts"

/** @internal See `Idempotency.resolveByLookup`. */
export const byPhases = (phases: ReadonlyArray<string>) =>
  Effect.fnUntraced(function*(context: ResolveContext) {
    const strangers = context.phases.filter((phase) => !phases.includes(phase))
    if (strangers.length > 0) {
      yield* Effect.annotateLogs(
        Effect.logError("calls have left under phases that resolveByLookup was not told of: the outcome stays unknown"),
        { operation: context.scope.operation, phases: strangers.join(", ") }
      )
      return PaymentGateway.stillUnknown
    }
    const gateway = yield* PaymentGateway.PaymentGateway
    const lookups = yield* Effect.forEach(
      phases,
      (phase) => Effect.flatMap(context.downstreamKey(phase), (key) => gateway.lookup(key))
    )
    const { deduplicates } = gateway.capabilities
    const repeatable = deduplicates !== false &&
      Duration.isLessThan(context.age, Duration.fromInputUnsafe(deduplicates))
    return agree(lookups, repeatable)
  })

const agree = (
  lookups: ReadonlyArray<PaymentGateway.Lookup>,
  repeatable: boolean
): Resolution<PaymentGateway.Transaction, PaymentError> => {
  const last = lookups.at(-1)
  const all = (tag: PaymentGateway.Lookup["_tag"]): boolean => lookups.every(({ _tag }) => _tag === tag)
  if (last === undefined || lookups.some(({ _tag }) => _tag === "StillUnknown")) return PaymentGateway.stillUnknown
  if (last._tag === "Happened" || all("Refused")) return last
  return repeatable || all("NeverHappened") ? { _tag: "NeverHappened", repeatable } : PaymentGateway.stillUnknown
}
