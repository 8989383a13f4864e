/**
 * Finds an error with which a step may refuse, from the schema of its errors.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import { dispositionOf } from "../../../PaymentError.ts"
import { Arbitrary } from "../../effect/arbitrary.ts"
import type { Untyped } from "../../saga/step.ts"

const samples = 64

/** @internal By step; those that cannot refuse are missing. */
export const refusalsOf = (
  saga: Untyped,
  given: Readonly<Record<string, unknown>>
): Effect.Effect<ReadonlyMap<string, { readonly error: unknown }>> =>
  Effect.gen(function*() {
    const refusals = new Map<string, { readonly error: unknown }>()
    for (const { error, kind, name } of saga.steps) {
      if (Object.hasOwn(given, name)) refusals.set(name, { error: given[name] })
      else if (kind !== "retriable" && error !== undefined) {
        const found = yield* refusalOf(error)
        if (Option.isSome(found)) refusals.set(name, { error: found.value })
      }
    }
    return refusals
  })

/** A schema of which nothing can be made has to be helped by the world. */
const refusalOf = (schema: Schema.Codec<unknown, unknown>): Effect.Effect<Option.Option<unknown>> =>
  Effect.suspend(() => Arbitrary.sampleEffect(Arbitrary.schema(schema), { count: samples, size: 2, seed: "SagaTest" }))
    .pipe(
      Effect.map((found) => Option.fromNullishOr(found.find((error) => dispositionOf(error) === "Refused"))),
      Effect.catchCause(() => Effect.succeedNone)
    )
