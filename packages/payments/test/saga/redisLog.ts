/** A saga log in Redis whose time the test sets or shifts. */
import { Duration, Effect, Layer } from "effect"
import { Redis } from "effect/persistence"
import { make } from "../../src/internal/saga/redis.ts"
import { ClockLog } from "./logModel.ts"

const shift = Redis.script((prefix: string, millis: number) => [prefix, millis], {
  numberOfKeys: 0,
  lua: `
local root, millis = "{" .. ARGV[1] .. "}:", tonumber(ARGV[2])
for _, key in ipairs(redis.call("KEYS", root .. "run:*")) do
  for _, field in ipairs({ "lease_until", "created_at", "updated_at" }) do
    if redis.call("HGET", key, field) ~= "0" then redis.call("HINCRBY", key, field, -millis) end
  end
end
for _, key in ipairs(redis.call("KEYS", root .. "entries:*")) do
  for i, text in ipairs(redis.call("LRANGE", key, 0, -1)) do
    local head, at, rest = string.match(text, "^(%d+\\n%d+\\n)(%d+)(\\n.*)$")
    redis.call("LSET", key, i - 1, head .. string.format("%.0f", tonumber(at) - millis) .. rest)
  end
end
for _, index in ipairs({ "open", "done", "stray" }) do
  local members = redis.call("ZRANGE", root .. index, 0, -1, "WITHSCORES")
  for i = 1, #members, 2 do
    if members[i + 1] ~= "0" then redis.call("ZINCRBY", root .. index, -millis, members[i]) end
  end
end`
})

/** Lets time pass for a log in Redis: every time that it has noted moves into the past. */
export const shiftRedisLog = (prefix: string) => (duration: Duration.Input) =>
  Effect.flatMap(
    Redis.Redis,
    (redis) => redis.eval(shift)(prefix, Duration.toMillis(Duration.fromInputUnsafe(duration)))
  )

/** Its clock is a key. */
export const redisClockLog = (prefix: string) =>
  Layer.effect(
    ClockLog,
    Effect.gen(function*() {
      const redis = yield* Redis.Redis
      const clock = `{${prefix}}:clock`
      const drop = Redis.script(() => [`{${prefix}}:*`], {
        numberOfKeys: 0,
        lua: `for _, key in ipairs(redis.call("KEYS", ARGV[1])) do redis.call("DEL", key) end`
      })
      return {
        log: yield* make({
          prefix,
          eviction: "refuse",
          replicas: undefined,
          now: `tonumber(redis.call("GET", "${clock}"))`
        }),
        reset: Effect.orDie(redis.eval(drop)()),
        setTime: (now) => Effect.orDie(redis.send("SET", clock, `${now}`))
      }
    })
  )
