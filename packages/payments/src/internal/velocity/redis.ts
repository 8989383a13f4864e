/**
 * Counters in sorted sets of Redis, scored by time, on the clock of the server.
 *
 * A member is `LENGTH:ATTEMPT AMOUNT:VALUE` without the space, the length that of the attempt in bytes. The member
 * `dropped` stands for what had to go, at the time of the newest of it, and leaves the window like any other.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { Velocity } from "../../Velocity.ts"
import { Redis } from "../effect/redis.ts"
import { failUnavailable, unavailable, type VelocityError } from "./errors.ts"
import type { CounterId, Event, Measure } from "./event.ts"
import * as store from "./store.ts"

/** @internal */
export interface Options {
  readonly prefix: string
  /** The clock of the store as a Lua expression in milliseconds, for tests. */
  readonly now?: string | undefined
}

/** @internal */
export const make = ({ now, prefix }: Options): Effect.Effect<Velocity["Service"], VelocityError, Redis.Redis> =>
  /^[\x21-\x7e]{0,100}$/.test(prefix)
    ? Effect.map(Redis.Redis, (redis) => store.make(backend(redis, prefix, makeScript(now ?? serverTime))))
    : failUnavailable("start", "prefix must be at most 100 printable ASCII characters without spaces")

const backend = (
  redis: Redis.Redis["Service"],
  prefix: string,
  script: ReturnType<typeof makeScript>
): store.Backend => {
  const run = (operation: string, counts: ReadonlyArray<Count>) =>
    Effect.flatMap(
      Effect.mapError(redis.eval(script)(prefix, counts), () => unavailable(operation, "RedisError")),
      (answer) => toMeasures(operation, counts.length, answer)
    )
  return {
    record: (events) => run("record", events.map(toCount)),
    measure: ({ id, windowMillis }) =>
      Effect.flatMap(
        run("measure", [{ id, windowMillis, eventsMax: 0, member: "" }]),
        ([measure]) => measure === undefined ? failUnavailable("measure", "AnswerUnreadable") : Effect.succeed(measure)
      ),
    forget: ({ id }) =>
      Effect.mapBoth(redis.send<unknown>("DEL", prefix + id), {
        onFailure: () => unavailable("forget", "RedisError"),
        onSuccess: (deleted) => Number(deleted) === 1
      })
  }
}

/** With an empty member nothing is recorded. */
interface Count extends CounterId {
  readonly eventsMax: number
  readonly member: string
}

const encoder = new TextEncoder()

const toCount = ({ amount, attempt, eventsMax, id, value, windowMillis }: Event): Count => {
  return { id, windowMillis, eventsMax, member: `${encoder.encode(attempt).length}:${attempt}${amount}:${value}` }
}

const toMeasures = (
  operation: string,
  length: number,
  answer: unknown
): Effect.Effect<ReadonlyArray<Measure>, VelocityError> => {
  const measures = Array.isArray(answer) ? answer.flatMap((each) => toMeasure(each) ?? []) : []
  return measures.length === length ? Effect.succeed(measures) : failUnavailable(operation, "AnswerUnreadable")
}

const toMeasure = (answer: unknown): Measure | undefined => {
  if (!Array.isArray(answer)) return undefined
  const [count, sum, distinct, dropped] = answer.map(String)
  if (![count, sum, distinct, dropped].every((text) => text !== undefined && /^\d{1,16}$/.test(text))) return undefined
  return { count: Number(count), sum: BigInt(sum ?? ""), distinct: Number(distinct), isLowerBound: dropped === "1" }
}

const serverTime =
  `(function(time) return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) end)(redis.call("TIME"))`

const makeScript = (now: string) =>
  Redis.script(
    (prefix: string, counts: ReadonlyArray<Count>): ReadonlyArray<string | number> => [
      ...counts.map(({ id }) => prefix + id),
      ...counts.flatMap(({ eventsMax, member, windowMillis }) => [windowMillis, eventsMax, member])
    ],
    { numberOfKeys: (_, counts) => counts.length, lua: `local now = ${now}\n${lua}` }
  ).withReturnType<unknown>()

const lua = `
local function live(key)
  local found = redis.call("ZRANGE", key, 0, -1, "WITHSCORES")
  local entries, dropped = {}, nil
  for i = 1, #found, 2 do
    if found[i] == "dropped" then dropped = tonumber(found[i + 1])
    else entries[#entries + 1] = { found[i], tonumber(found[i + 1]) } end
  end
  return entries, dropped
end

local function measure(entries, dropped)
  local sum, distinct, values = 0, 0, {}
  for _, entry in ipairs(entries) do
    local colon = string.find(entry[1], ":", 1, true)
    local rest = string.sub(entry[1], colon + tonumber(string.sub(entry[1], 1, colon - 1)) + 1)
    local split = string.find(rest, ":", 1, true)
    local value = string.sub(rest, split + 1)
    sum = sum + tonumber(string.sub(rest, 1, split - 1))
    if value ~= "" and not values[value] then
      values[value] = true
      distinct = distinct + 1
    end
  end
  return { #entries, string.format("%.0f", sum), distinct, dropped and 1 or 0 }
end

local answers = {}
for i, key in ipairs(KEYS) do
  local window, max, member = tonumber(ARGV[i * 3 - 2]), tonumber(ARGV[i * 3 - 1]), ARGV[i * 3]
  redis.call("ZREMRANGEBYSCORE", key, "-inf", now - window)
  local entries, dropped = live(key)
  if member ~= "" then
    if redis.call("ZADD", key, "NX", now, member) == 1 then
      entries[#entries + 1] = { member, now }
    end
    while #entries > max do
      local oldest = table.remove(entries, 1)
      redis.call("ZREM", key, oldest[1])
      dropped = math.max(dropped or 0, oldest[2])
      redis.call("ZADD", key, dropped, "dropped")
    end
    redis.call("PEXPIRE", key, window)
  end
  answers[i] = measure(entries, dropped)
end
return answers`
