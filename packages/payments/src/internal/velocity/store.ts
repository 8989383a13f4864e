/**
 * What is common to all stores: observations are checked before any of them is asked.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { Velocity } from "../../Velocity.ts"
import type { VelocityError } from "./errors.ts"
import { type CounterId, type Event, type Measure, toCounterId, toEvents } from "./event.ts"

/** @internal */
export interface Backend {
  readonly record: (events: ReadonlyArray<Event>) => Effect.Effect<ReadonlyArray<Measure>, VelocityError>
  readonly measure: (counter: CounterId) => Effect.Effect<Measure, VelocityError>
  readonly forget: (counter: CounterId) => Effect.Effect<boolean, VelocityError>
}

/** @internal */
export const make = (backend: Backend): Velocity["Service"] => ({
  record: (observations) =>
    Effect.flatMap(
      Effect.suspend(() => Effect.fromResult(toEvents(observations))),
      (events) => events.length === 0 ? Effect.succeed([]) : backend.record(events)
    ),
  measure: (counter) => Effect.flatMap(Effect.suspend(() => Effect.fromResult(toCounterId(counter))), backend.measure),
  forget: (counter) => Effect.flatMap(Effect.suspend(() => Effect.fromResult(toCounterId(counter))), backend.forget)
})
