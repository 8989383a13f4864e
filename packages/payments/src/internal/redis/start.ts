/**
 * What every store over Redis checks before it starts.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { Redis } from "../effect/redis.ts"
import * as eviction from "./eviction.ts"
import type { Refused } from "./refused.ts"
import { checkPrefix, type Replicas, type Write, writer } from "./script.ts"

/** @internal */
export interface Options {
  readonly prefix: string
  readonly eviction: eviction.Eviction
  readonly replicas: Replicas | undefined
  /** The clock of the store as a Lua expression in milliseconds, for tests. */
  readonly now?: string | undefined
}

/** @internal How it writes: with replicas, a write counts once they have it. */
export const start = Effect.fnUntraced(function*(
  redis: Redis.Redis["Service"],
  options: Options
): Effect.fn.Return<Write, Refused> {
  yield* checkPrefix(options.prefix)
  const write = yield* writer(redis, options.replicas)
  yield* eviction.check(redis, options.eviction)
  return write
})
