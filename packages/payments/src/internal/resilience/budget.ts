/**
 * A retry budget: a bucket that retries empty and answers fill.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Redis } from "../effect/redis.ts"
import { ask } from "../stack/ask.ts"
import { silenceMillis } from "./deadline.ts"
import {
  durationExpected,
  InvalidOption,
  isIntegerIn,
  positiveMillis,
  storeFailed,
  storeTimeoutDefault
} from "./stage.ts"

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
  readonly tokens: number
  /** Takes the token of one retry; false when there is none. */
  readonly take: Effect.Effect<boolean>
  /** A call came to an answer. */
  readonly put: () => void
}

/**
 * @internal The budgets of the calls around. Of retries in retries that share one budget only the outermost fills it, so
 * that an answer counts once.
 */
export const Around = Context.Reference<ReadonlyArray<Bucket>>("effect-payments/RetryBudget/Around", {
  defaultValue: () => []
})

const check = (stage: string, { refill = 0.1, tokens = 10 }: Options) => {
  if (!isIntegerIn(tokens, 1, 1_000_000)) {
    return new InvalidOption({ stage, option: "tokens", expected: "an integer from 1 to 1000000" })
  }
  if (!(refill > 0 && refill <= 1)) {
    return new InvalidOption({ stage, option: "refill", expected: "above 0 and at most 1" })
  }
  return { refill, tokens }
}

/** @internal */
export const make = (options: Options): Bucket | InvalidOption => {
  const checked = check("makeRetryBudget", options)
  return checked instanceof InvalidOption ? checked : new LocalBucket(checked.tokens, checked.refill)
}

class LocalBucket implements Bucket {
  readonly "~effect-payments/RetryBudget" = true as const
  readonly size: number
  readonly refill: number
  readonly take: Effect.Effect<boolean>
  tokens: number

  constructor(size: number, refill: number) {
    this.size = size
    this.refill = refill
    this.tokens = size
    this.take = Effect.sync(() => {
      if (this.tokens < 1) return false
      this.tokens -= 1
      return true
    })
  }

  put(): void {
    this.tokens = Math.min(this.size, this.tokens + this.refill)
  }
}

// --- shared by processes

/** @internal */
export interface RedisOptions extends Options {
  readonly key: string
  readonly onStoreError?: "allow" | "refuse" | undefined
  readonly storeTimeout?: Duration.Input | undefined
}

/** @internal */
export const makeRedis = (options: RedisOptions): Effect.Effect<Bucket, never, Redis.Redis> => {
  const stage = "makeRetryBudgetRedis"
  const checked = check(stage, options)
  const storeMillis = positiveMillis(options.storeTimeout ?? storeTimeoutDefault)
  const invalid = (option: string, expected: string) => Effect.die(new InvalidOption({ stage, option, expected }))
  if (checked instanceof InvalidOption) return Effect.die(checked)
  if (!/^[\x21-\x7e]{1,255}$/.test(options.key)) return invalid("key", "1 to 255 printable ASCII characters")
  if (storeMillis === undefined) return invalid("storeTimeout", durationExpected)
  const { key, onStoreError = "refuse" } = options
  return Effect.map(
    Redis.Redis,
    (redis) => new SharedBucket(checked, { redis, key, storeMillis, allows: onStoreError === "allow" })
  )
}

// A bucket that nobody asked for an hour is full again.
const takeScript = Redis.script(
  (key: string, size: number, pending: number) => [key, size, pending],
  {
    numberOfKeys: 1,
    lua: `
local size = tonumber(ARGV[1])
local tokens = math.min(size, tonumber(redis.call("GET", KEYS[1]) or size) + tonumber(ARGV[2]))
local taken = 0
if tokens >= 1 then
  tokens = tokens - 1
  taken = 1
end
redis.call("SET", KEYS[1], string.format("%.6f", tokens), "PX", 3600000)
return { taken, string.format("%.6f", tokens) }
`
  }
).withReturnType<readonly [taken: number, tokens: string]>()

/**
 * What answers have put back since the last retry of this process goes with the next one, so that a call that goes well
 * costs no round trip. What went with a question that was not answered is not sent again: rather too little.
 */
class SharedBucket implements Bucket {
  readonly "~effect-payments/RetryBudget" = true as const
  readonly size: number
  readonly refill: number
  readonly take: Effect.Effect<boolean>
  tokens: number
  private pending = 0

  constructor(
    { refill, tokens }: { readonly tokens: number; readonly refill: number },
    { allows, key, redis, storeMillis }: {
      readonly redis: Redis.Redis["Service"]
      readonly key: string
      readonly storeMillis: number
      readonly allows: boolean
    }
  ) {
    this.size = tokens
    this.refill = refill
    this.tokens = tokens
    const evaluate = redis.eval(takeScript)
    this.take = Effect.withFiber((fiber) => {
      const { pending } = this
      this.pending = 0
      return Effect.matchCauseEffect(ask(evaluate(key, this.size, pending), silenceMillis(fiber, storeMillis)), {
        onFailure: (cause) =>
          Cause.hasFails(cause)
            ? Effect.as(storeFailed(key, "takeRetry"), allows)
            : Effect.failCause(cause as Cause.Cause<never>),
        onSuccess: ([taken, left]) => {
          this.tokens = Number(left)
          return Effect.succeed(Number(taken) === 1)
        }
      })
    })
  }

  put(): void {
    this.pending = Math.min(this.size, this.pending + this.refill)
  }
}
