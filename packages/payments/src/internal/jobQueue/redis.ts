/**
 * The lists of Effect's persisted queue in Redis, and what they keep of jobs that failed for good: the list `:failed`,
 * oldest first.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { PersistedQueue } from "../effect/persistedQueue.ts"
import { Redis } from "../effect/redis.ts"
import { integer } from "../sql/integer.ts"
import { type JobQueueError, unavailable } from "./errors.ts"
import { type Claim, keyOf, type Lease } from "./lease.ts"
import type { Dead, Store } from "./store.ts"

/** @internal */
export interface Options {
  readonly prefix: string
  readonly pollMillis: number
  readonly lockMillis: number
}

/** @internal */
export const make = Effect.fnUntraced(function*(
  { lockMillis, pollMillis, prefix }: Options
): Effect.fn.Return<Store, JobQueueError, Redis.Redis | Scope.Scope> {
  if (!/^[\x21-\x7e]{0,100}$/.test(prefix)) {
    return yield* Effect.fail(
      unavailable("start", "prefix must be at most 100 printable ASCII characters without spaces")
    )
  }
  const redis = yield* Redis.Redis
  const elements = yield* PersistedQueue.makeStoreRedis({
    prefix,
    pollInterval: pollMillis,
    lockExpiration: lockMillis,
    lockRefreshInterval: lockMillis / 3
  })
  return { elements, lease: { lockMillis, renew: renew(redis, prefix, lockMillis) }, ...deadLetters(redis, prefix) }
})

/** As Effect renews what it has taken, with an answer. Each taking counts an attempt, so that says whose a job is. */
const renew = (redis: Redis.Redis["Service"], prefix: string, lockMillis: number): Lease["renew"] => {
  const run = redis.eval(renewScript)
  return (queue, claims) =>
    failing(
      "renew",
      Effect.map(
        run(`${prefix}${queue}:owners`, `${prefix}${queue}:attempts`, lockMillis, claims),
        (held) => new Set(claims.filter((_, index) => held[index] === 1).map(keyOf))
      )
    )
}

const renewScript = Redis.script(
  (owners: string, attempts: string, lockMillis: number, claims: ReadonlyArray<Claim>) => [
    owners,
    attempts,
    lockMillis,
    ...claims.flatMap(({ attempt, id }) => [id, attempt])
  ],
  {
    numberOfKeys: 2,
    lua: `
local held = {}
for i = 2, #ARGV, 2 do
  local lock = redis.call("HGET", KEYS[1], ARGV[i])
  if lock and redis.call("HGET", KEYS[2], ARGV[i]) == ARGV[i + 1] then
    redis.call("SET", lock, 1, "PX", ARGV[1])
    held[#held + 1] = 1
  else
    held[#held + 1] = 0
  end
end
return held`
  }
).withReturnType<ReadonlyArray<number>>()

const decode = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({
  id: Schema.String,
  element: Schema.optional(Schema.Unknown),
  attempts: Schema.Int,
  lastFailure: Schema.String,
  failedAt: Schema.Number
})))

const deadLetters = (redis: Redis.Redis["Service"], prefix: string): Omit<Store, "elements" | "lease"> => {
  const failedOf = (queue: string) => `${prefix}${queue}:failed`
  const find = finder(redis)
  const [requeue, discard] = [redis.eval(requeueScript), redis.eval(discardScript)]
  return {
    dead: (queue, { after, limit }) =>
      failing("list", list(redis, failedOf(queue), after === undefined ? 0 : integer(after) || 0, limit)),
    countDead: (queue) => failing("count", Effect.map(redis.send<unknown>("LLEN", failedOf(queue)), Number)),
    requeue: (queue, id) =>
      failing(
        "requeue",
        Effect.gen(function*() {
          const found = yield* find(failedOf(queue), id)
          if (found === undefined) return false
          // As Effect writes what is offered.
          const payload = JSON.stringify({ id, element: found.record.element })
          return (yield* requeue(failedOf(queue), `${prefix}${queue}`, found.text, payload)) === 1
        })
      ),
    discard: (queue, id) =>
      failing(
        "discard",
        Effect.gen(function*() {
          const found = yield* find(failedOf(queue), id)
          if (found === undefined) return false
          const now = yield* Clock.currentTimeMillis
          return (yield* discard(failedOf(queue), `${prefix}${queue}:ids`, found.text, now, id)) === 1
        })
      )
  }
}

const failing = <A>(operation: string, self: Effect.Effect<A, Redis.RedisError>): Effect.Effect<A, JobQueueError> =>
  Effect.mapError(self, () => unavailable(operation, "RedisError"))

const range = (redis: Redis.Redis["Service"], key: string, from: number, count: number) =>
  redis.send<ReadonlyArray<string>>("LRANGE", key, `${from}`, `${from + count - 1}`)

const list = (redis: Redis.Redis["Service"], key: string, from: number, limit: number) =>
  Effect.map(range(redis, key, from, limit), (texts) =>
    texts.flatMap((text, index): ReadonlyArray<Dead> => {
      const record = Option.getOrUndefined(decode(text))
      return record === undefined ? [] : [{
        id: record.id,
        element: record.element,
        attempts: record.attempts,
        failure: record.lastFailure,
        failedAtMillis: record.failedAt,
        cursor: `${from + index + 1}`
      }]
    }))

const finder = (redis: Redis.Redis["Service"]) =>
  Effect.fnUntraced(function*(key: string, id: string) {
    for (let from = 0;; from += chunk) {
      const texts = yield* range(redis, key, from, chunk)
      for (const text of texts) {
        const record = Option.getOrUndefined(decode(text))
        if (record?.id === id) return { text, record }
      }
      if (texts.length < chunk) return undefined
    }
  })

// Records that are read at a time in search of one.
const chunk = 200

const requeueScript = Redis.script(
  (failed: string, queue: string, record: string, payload: string) => [failed, queue, record, payload],
  {
    numberOfKeys: 2,
    lua: `
if redis.call("LREM", KEYS[1], 1, ARGV[1]) == 0 then return 0 end
redis.call("RPUSH", KEYS[2], ARGV[2])
return 1`
  }
).withReturnType<number>()

const discardScript = Redis.script(
  (failed: string, ids: string, record: string, now: number, id: string) => [failed, ids, record, now, id],
  {
    numberOfKeys: 2,
    lua: `
if redis.call("LREM", KEYS[1], 1, ARGV[1]) == 0 then return 0 end
redis.call("ZADD", KEYS[2], "XX", ARGV[2], ARGV[3])
return 1`
  }
).withReturnType<number>()
