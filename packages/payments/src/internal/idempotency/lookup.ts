/**
 * The resolver that asks the gateway for each call of an operation.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Resolution, ResolveContext, Resolver } from "../../Idempotency.ts"
import type { PaymentError } from "../../PaymentError.ts"
import * as PaymentGateway from "../../PaymentGateway.ts"

type Accepts = (transaction: PaymentGateway.Transaction) => boolean

/** @internal See `Idempotency.resolveByLookup`. Calls under other phases do not leave: the claim reads `phases`. */
export const byPhases = (
  phases: ReadonlyArray<string>,
  accepts: Accepts = () => true
): Resolver<PaymentGateway.Transaction, PaymentError, PaymentGateway.PaymentGateway> =>
  Object.assign(
    Effect.fnUntraced(function*(context: ResolveContext) {
      const gateway = yield* PaymentGateway.PaymentGateway
      const lookups = yield* Effect.forEach(
        phases,
        (phase) => Effect.flatMap(context.downstreamKey(phase), (key) => gateway.lookup(key))
      )
      const { deduplicates } = gateway.capabilities
      const repeatable = deduplicates !== false &&
        Duration.isLessThan(context.age, Duration.fromInputUnsafe(deduplicates))
      const agreed = agree(lookups, repeatable)
      if (agreed._tag !== "Happened" || accepts(agreed.result)) return agreed
      yield* Effect.annotateLogs(
        Effect.logError("the gateway has done something else than was asked for: the outcome stays unknown"),
        { operation: context.scope.operation, transaction: agreed.result.id }
      )
      return PaymentGateway.stillUnknown
    }),
    { phases }
  )

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
