/**
 * Options are checked when something is made of them: one that is out of bounds is a mistake in the program, a defect.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { InvalidOption } from "../../Resilience.ts"

/** @internal Checks the options of what is made in `stage`. */
export const reader = (stage: string) => {
  const refuse = (option: string, expected: string) => Effect.die(new InvalidOption({ stage, option, expected }))
  return {
    integer: (option: string, value: number, min: number, max: number): Effect.Effect<number> =>
      Number.isInteger(value) && value >= min && value <= max
        ? Effect.succeed(value)
        : refuse(option, `an integer from ${min} to ${max}`),
    millis: (option: string, input: Duration.Input, min: number, max: number): Effect.Effect<number> => {
      const millis = millisIn(input, min, max)
      return millis === undefined ? refuse(option, durationFrom(min, max)) : Effect.succeed(millis)
    },
    matching: (option: string, value: string, pattern: RegExp, expected: string): Effect.Effect<string> =>
      pattern.test(value) ? Effect.succeed(value) : refuse(option, expected)
  }
}

/** @internal Milliseconds of a duration, if it is within the bounds. */
export const millisIn = (input: Duration.Input, min: number, max: number): number | undefined => {
  const duration = Duration.fromInput(input)
  const millis = duration._tag === "Some" ? Duration.toMillis(duration.value) : Number.NaN
  return millis >= min && millis <= max ? millis : undefined
}

/** @internal */
export const durationFrom = (min: number, max: number): string =>
  `a duration from ${Duration.format(Duration.millis(min))} to ${Duration.format(Duration.millis(max))}`

/** @internal The name of something in metrics, spans and tables. */
export const namePattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$/

/** @internal */
export const nameExpected = "1 to 100 of letters, digits, _, . and -, a letter or digit first"

/** @internal */
export const dayMillis = 86_400_000

/** @internal */
export const yearMillis = 366 * dayMillis
