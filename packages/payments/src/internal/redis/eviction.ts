/**
 * Whether a Redis may be trusted with what must not be lost: one that drops keys when memory is short would charge again.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Redis } from "../effect/redis.ts"
import { Refused } from "./refused.ts"

/** @internal What to do about a server that drops keys, or does not say whether it does. */
export type Eviction = "refuse" | "refuseKnown" | "accept"

/** @internal */
export const check = (redis: Redis.Redis["Service"], eviction: Eviction): Effect.Effect<void, Refused> =>
  eviction === "accept" ? Effect.void : Effect.flatMap(policyOf(redis), (policy) => {
    if (policy === "noeviction") return Effect.void
    if (policy !== undefined) {
      return refused(`maxmemory-policy is ${policy}, which drops records when memory is short: set it to noeviction`)
    }
    return eviction === "refuseKnown"
      ? Effect.void
      : refused("the server does not say its maxmemory-policy: allow CONFIG or INFO, or set eviction to refuseKnown")
  })

const refused = (detail: string) => Effect.fail(new Refused(detail))

/** Where CONFIG is forbidden, as at many providers, INFO mostly is not. A server that answers PING is there. */
const policyOf = Effect.fnUntraced(function*(redis: Redis.Redis["Service"]) {
  const configured = yield* optional(redis.send<unknown>("CONFIG", "GET", "maxmemory-policy"))
  const [, policy] = Array.isArray(configured) ? configured as ReadonlyArray<unknown> : []
  if (typeof policy === "string") return policy
  if (isPolicies(configured)) return configured["maxmemory-policy"]
  const info = yield* optional(redis.send<unknown>("INFO", "memory"))
  const told = typeof info === "string" ? /^maxmemory_policy:(\S+)/m.exec(info)?.[1] : undefined
  if (told === undefined) yield* Effect.catch(redis.send("PING"), () => refused("RedisError"))
  return told
})

const optional = (self: Effect.Effect<unknown, Redis.RedisError>) => Effect.catch(self, () => Effect.undefined)

// The answer of a client that speaks RESP3.
const isPolicies = Schema.is(Schema.Struct({ "maxmemory-policy": Schema.String }))
