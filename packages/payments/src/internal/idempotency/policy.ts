/**
 * The options that say how an idempotent operation is run, within their bounds.
 *
 * @internal
 */
import type * as Duration from "effect/Duration"
import type { Options } from "../../Idempotency.ts"
import { InvalidOption } from "../../Resilience.ts"
import { dayMillis, durationFrom, millisIn, yearMillis } from "../option/option.ts"
import type { Policy } from "./call.ts"

/** @internal What may be left out. */
export interface Tunable extends
  Partial<
    Pick<
      Options<never, unknown, unknown>,
      | "awaitAtMost"
      | "attemptsMax"
      | "duplicates"
      | "lease"
      | "onInterrupt"
      | "payloadLimitBytes"
      | "phase"
      | "resolveTimeout"
      | "resultLimitBytes"
      | "settle"
      | "ttl"
    >
  >
{
  readonly transactional?: boolean | undefined
}

const refuse = (option: string, expected: string) => new InvalidOption({ stage: "idempotent", option, expected })

const ttlMax = 10 * yearMillis
const limitMax = 16_777_216

/** @internal How long an answer is kept. */
export const ttlOf = (ttl: Duration.Input | undefined): number | InvalidOption =>
  ttl === undefined ? dayMillis : millisIn(ttl, 1000, ttlMax) ?? refuse("ttl", durationFrom(1000, ttlMax))

/** @internal The options with their defaults, or the first that is out of bounds. */
export const policyOf = (options: Tunable): Policy | InvalidOption => {
  let wrong: InvalidOption | undefined
  const millis = (option: string, input: Duration.Input | undefined, fallback: number, min: number, max: number) => {
    if (input === undefined) return fallback
    const millis = millisIn(input, min, max)
    if (millis === undefined) wrong ??= refuse(option, durationFrom(min, max))
    return millis ?? fallback
  }
  const integer = (option: string, value: number | undefined, fallback: number, max: number) => {
    if (value === undefined) return fallback
    if (!Number.isInteger(value) || value < 1 || value > max) wrong ??= refuse(option, `an integer from 1 to ${max}`)
    return value
  }
  const ttlMillis = ttlOf(options.ttl)
  if (ttlMillis instanceof InvalidOption) return ttlMillis
  const policy: Policy = {
    resolveTimeoutMillis: millis("resolveTimeout", options.resolveTimeout, 10_000, 1, 3_600_000),
    phase: options.phase,
    leaseMillis: millis("lease", options.lease, 30_000, 10, dayMillis),
    ttlMillis,
    settleMillis: millis("settle", options.settle, 300_000, 1000, yearMillis),
    attemptsMax: integer("attemptsMax", options.attemptsMax, 10, 1000),
    payloadLimitBytes: integer("payloadLimitBytes", options.payloadLimitBytes, 262_144, limitMax),
    resultLimitBytes: integer("resultLimitBytes", options.resultLimitBytes, 262_144, limitMax),
    awaits: options.duplicates === "await",
    awaitMillis: millis("awaitAtMost", options.awaitAtMost, 30_000, 1, dayMillis),
    detaches: options.onInterrupt === "detach",
    isTransactional: options.transactional === true
  }
  return wrong ?? policy
}

/** @internal */
export const defaults = policyOf({})

/** @internal Read on each call: mostly nothing of it is given. */
export const isDefault = (options: Tunable): boolean =>
  options.lease === undefined && options.ttl === undefined && options.duplicates === undefined &&
  options.resolveTimeout === undefined && options.phase === undefined && options.settle === undefined &&
  options.attemptsMax === undefined && options.payloadLimitBytes === undefined &&
  options.resultLimitBytes === undefined && options.awaitAtMost === undefined && options.onInterrupt === undefined &&
  options.transactional === undefined
