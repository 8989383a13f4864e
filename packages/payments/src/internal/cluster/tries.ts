/**
 * What the tries of one step, or of its undo, leave behind for the next one, on whichever runner that is.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import { triesMax } from "../saga/compile.ts"

/** @internal */
export interface Line {
  count: number
  /** When it was asked for a pause before the next try. */
  asked: ReadonlyArray<number>
  /** An earlier try may still arrive, or has arrived. */
  isDoubtful: boolean
  endedAt: number
  /** The phases of its calls that may have left; undefined when nobody knows which. */
  sent: ReadonlyArray<string> | undefined
  decisive: ReadonlyArray<string>
}

/** @internal Nothing has left yet. */
export const fresh = (now: number): Line => ({
  count: 0,
  asked: [],
  isDoubtful: false,
  endedAt: now,
  sent: [],
  decisive: []
})

/** @internal Anything may have left, until then. */
export const inherited = (until: number): Line => ({ ...fresh(until), isDoubtful: true, sent: undefined })

const pauseMax = 366 * 24 * 60 * 60 * 1000

/** @internal Milliseconds until the next try; undefined when there is to be none. A schedule that dies has no more. */
export const pauseOf = (
  schedule: Schedule.Schedule<unknown>,
  { asked, count }: Line,
  now: number
): Effect.Effect<number | undefined> => {
  if (count >= triesMax) return Effect.undefined
  const driven = Effect.gen(function*() {
    const step = yield* Schedule.toStep(schedule)
    for (const at of asked) yield* step(at, undefined)
    return Duration.toMillis((yield* step(now, undefined))[1])
  })
  return Effect.map(
    Effect.exit(driven),
    (exit) => Exit.isSuccess(exit) && exit.value <= pauseMax ? exit.value : undefined
  )
}
