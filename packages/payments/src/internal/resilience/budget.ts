/**
 * A retry budget: a bucket that retries empty and successes fill.
 *
 * @internal
 */
import { InvalidOption, isIntegerIn } from "./stage.ts"

/** @internal */
export interface Options {
  readonly tokens?: number | undefined
  readonly refill?: number | undefined
}

/** @internal */
export interface Bucket {
  readonly "~effect-payments/RetryBudget": true
  readonly size: number
  readonly refill: number
  tokens: number
}

/** @internal */
export const make = ({ refill = 0.1, tokens = 10 }: Options): Bucket | InvalidOption => {
  if (!isIntegerIn(tokens, 1, 1_000_000)) {
    return new InvalidOption({ stage: "makeRetryBudget", option: "tokens", expected: "an integer from 1 to 1000000" })
  }
  if (!(refill > 0 && refill <= 1)) {
    return new InvalidOption({ stage: "makeRetryBudget", option: "refill", expected: "above 0 and at most 1" })
  }
  return { "~effect-payments/RetryBudget": true, size: tokens, refill, tokens }
}

/** @internal Takes the token of one retry; false when there is none. */
export const take = (bucket: Bucket): boolean => {
  if (bucket.tokens < 1) return false
  bucket.tokens -= 1
  return true
}

/** @internal A call came to an answer. */
export const refill = (bucket: Bucket): void => {
  bucket.tokens = Math.min(bucket.size, bucket.tokens + bucket.refill)
}
