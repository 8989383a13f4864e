/**
 * What is counted, checked and brought into the form that all stores share.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import { invalid, type VelocityError } from "./errors.ts"

/** @internal One counter: a series of one key over a sliding window. */
export interface Counter {
  readonly series: string
  readonly key: string
  readonly window: Duration.Input
}

/** @internal */
export interface Observation extends Counter {
  readonly attempt: string
  readonly amount?: bigint | undefined
  readonly value?: string | undefined
  readonly eventsMax?: number | undefined
}

/** @internal */
export interface Measure {
  readonly count: number
  readonly sum: bigint
  readonly distinct: number
  readonly isLowerBound: boolean
}

/** @internal A counter as it is stored. */
export interface CounterId {
  readonly id: string
  readonly windowMillis: number
}

/** @internal An observation as it is stored. An empty value is none. */
export interface Event extends CounterId {
  readonly attempt: string
  readonly amount: bigint
  readonly value: string
  readonly eventsMax: number
}

const observationsMax = 100

const eventsMaxDefault = 100

const eventsMaxLimit = 1_000

// So that the sum of as many as are kept is exact also in the doubles of Redis: 1000 times this is below 2^53.
const amountMax = 9_000_000_000_000n

const windowExpected = "a duration from 1 second to 366 days"

// Undefined for anything that is no window.
const windowMillisOf = (input: Duration.Input): number | undefined => {
  const duration = Duration.fromInput(input)
  if (duration._tag === "None") return undefined
  const millis = Math.ceil(Duration.toMillis(duration.value))
  return millis >= 1_000 && millis <= 366 * 24 * 60 * 60 * 1_000 ? millis : undefined
}

const isSeries = (text: string): boolean => /^[\x21-\x7e](?:[\x20-\x7e]{0,98}[\x21-\x7e])?$/.test(text)

const seriesExpected = "1 to 100 printable ASCII characters, no space at either end"

const textExpected = "1 to 255 characters, none of them a control character"

const isText = (text: string): boolean => /^[^\p{Cc}\p{Cs}]{1,255}$/u.test(text)

/** @internal */
export const toCounterId = ({ key, series, window }: Counter): Result.Result<CounterId, VelocityError> => {
  const windowMillis = windowMillisOf(window)
  if (windowMillis === undefined) return Result.fail(invalid("window", windowExpected))
  if (!isSeries(series)) return Result.fail(invalid("series", seriesExpected))
  if (!isText(key)) return Result.fail(invalid("key", textExpected))
  return Result.succeed({ id: `${series.length}:${series}${windowMillis}:${key}`, windowMillis })
}

/** @internal */
export const toEvent = (observation: Observation): Result.Result<Event, VelocityError> =>
  Result.flatMap(toCounterId(observation), (counter) => {
    const { amount = 0n, attempt, eventsMax = eventsMaxDefault, value = "" } = observation
    if (!isText(attempt)) return Result.fail(invalid("attempt", textExpected))
    if (value !== "" && !isText(value)) return Result.fail(invalid("value", textExpected))
    if (amount < 0n || amount > amountMax) return Result.fail(invalid("amount", `from 0 to ${amountMax}`))
    if (!Number.isInteger(eventsMax) || eventsMax < 1 || eventsMax > eventsMaxLimit) {
      return Result.fail(invalid("eventsMax", `an integer from 1 to ${eventsMaxLimit}`))
    }
    return Result.succeed({ ...counter, attempt, amount, value, eventsMax })
  })

/** @internal */
export const toEvents = (
  observations: ReadonlyArray<Observation>
): Result.Result<ReadonlyArray<Event>, VelocityError> =>
  observations.length > observationsMax
    ? Result.fail(invalid("observations", `at most ${observationsMax}`))
    : Result.all(observations.map(toEvent))
