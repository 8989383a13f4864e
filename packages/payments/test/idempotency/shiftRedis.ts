import { Duration, Effect } from "effect"
import { Redis } from "effect/persistence"

const shift = Redis.script((prefix: string, millis: number) => [prefix, millis], {
  numberOfKeys: 0,
  lua: `
local function moved(text) return text == "0" and text or string.format("%.0f", tonumber(text) - tonumber(ARGV[2])) end
for _, key in ipairs(redis.call("KEYS", "{" .. ARGV[1] .. "}:record:*")) do
  local value = redis.call("GET", key)
  local state, expires, lease, updated, middle, unknown, created, rest = string.match(value,
    "^(%a+)\\n(%d*)\\n(%d+)\\n(%d+)\\n([^\\n]*\\n[^\\n]*\\n%d+\\n%d+\\n%d+)\\n(%d+)\\n(%d+)\\n(.*)$")
  redis.call("SET", key, table.concat({ state, expires == "" and "" or moved(expires), moved(lease), moved(updated), middle,
    moved(unknown), moved(created), rest }, "\\n"))
end
local done = "{" .. ARGV[1] .. "}:done"
local entries = redis.call("ZRANGE", done, 0, -1, "WITHSCORES")
for i = 1, #entries, 2 do redis.call("ZINCRBY", done, -tonumber(ARGV[2]), entries[i]) end`
})

/** Lets time pass for a store in Redis: every time that it has noted moves into the past. */
export const shiftRedis = (prefix: string) => (duration: Duration.Input) =>
  Effect.flatMap(
    Redis.Redis,
    (redis) => redis.eval(shift)(prefix, Duration.toMillis(Duration.fromInputUnsafe(duration)))
  )
