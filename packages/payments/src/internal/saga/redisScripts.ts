/**
 * What a saga log does as scripts of Redis, one for each transition, which may be sent twice.
 *
 * A run is three keys: a hash with the columns of the tables, a list of entries (`seq`, `epoch`, `at`, `state` and the events
 * as they are, in lines), and a hash of messages: their number, each under step and event, and those of each step in order. Five
 * sorted sets are the index: all runs and those that are stuck, by key; those under way by lease; those that ended all well
 * or all undone by time; and messages without a run by the time of the first.
 *
 * What is sent again and changes nothing is written once more as it is, so that who waits for replicas waits for it.
 *
 * @internal
 */
import * as redisScript from "../redis/script.ts"
import { signalsMax } from "./record.ts"
import { columns } from "./tables.ts"

/** @internal */
export type Scripts = ReturnType<typeof make>

/** @internal */
export const make = (now: string) => {
  const script = (lua: string) => redisScript.make(now, lua)
  return {
    claim: script(claim),
    append: script(append),
    renew: script(renew),
    release: script(release),
    cancel: script(cancel),
    pause: script(pause),
    signal: script(signal),
    inbox: script(inbox),
    lapsed: script(lapsed),
    adopt: script(adopt),
    read: script(read),
    list: script(list),
    before: script(before),
    drop: script(drop),
    dropStray: script(dropStray)
  }
}

/** What a script answers about a hash that is no run. */
const unreadable = -1

// Numbers are written without an exponent, so that they are compared as the texts that they are. `load` answers with the
// run, or with nothing and whether there is something that is none of ours. A text that may be missing has "=" before it.
const machine = `
local function text(number) return string.format("%.0f", number) end
local function optional(given) return given ~= "" and string.sub(given, 2) or nil end
local unfinished = { Running = true, Compensating = true }
local ended = { Completed = true, Compensated = true }
local stuck = { Parked = true, FailedCompensation = true }

local function load(key)
  local found = redis.call("HMGET", key, "state", "owner", "epoch", "lease_until", "length", "cancel_requested",
    "updated_at", "pause", "fingerprint", "step")
  local state = found[1]
  local r = {
    state = state, owner = found[2], epoch = tonumber(found[3] or ""), lease = tonumber(found[4] or ""),
    length = tonumber(found[5] or ""), cancel = found[6], updated = tonumber(found[7] or ""), pause = found[8],
    fingerprint = found[9], step = found[10]
  }
  local isKnown = state and (unfinished[state] or ended[state] or stuck[state])
  if isKnown and r.owner and r.fingerprint and r.epoch and r.lease and r.length and r.updated then return r, true end
  return nil, redis.call("EXISTS", key) == 1
end

local function owns(r, owner, epoch) return r.owner == owner and text(r.epoch) == epoch end
local function all(key) return redis.call("HMGET", key, ${columns.map((column) => `"${column}"`).join(", ")}) end

local function sort(r, key, open, done, attention)
  if unfinished[r.state] then redis.call("ZADD", open, text(r.lease), key) else redis.call("ZREM", open, key) end
  if ended[r.state] then redis.call("ZADD", done, text(r.updated), key) else redis.call("ZREM", done, key) end
  if stuck[r.state] then redis.call("ZADD", attention, 0, key) else redis.call("ZREM", attention, key) end
end

local function take(r, name, owner, lease)
  r.owner, r.epoch, r.lease, r.updated = owner, math.max(r.epoch + 1, now), now + lease, now
  redis.call("HSET", name, "owner", owner, "epoch", text(r.epoch), "lease_until", text(r.lease), "updated_at", text(now))
end

local function entry(seq, epoch, state, events)
  return string.format("%.0f\\n%.0f\\n%.0f\\n%s\\n", seq, epoch, now, state) .. events
end`

// KEYS: run, entries, runs, open, done, stuck, stray. ARGV: key, owner, lease, reopen, opens, saga, id, fingerprint,
// definition, payload, state, step, events.
const claim = `${machine}
local key, owner, lease, reopen, opens = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5] == "1"
local r, isThere = load(KEYS[1])
local function history(isWritten)
  return { text(now), all(KEYS[1]), redis.call("LRANGE", KEYS[2], 0, -1), isWritten }
end
if not r then
  if isThere then return ${unreadable} end
  if not opens then return 0 end
  local state, step = ARGV[11], optional(ARGV[12])
  local made = { state = state, epoch = math.max(1, now), lease = unfinished[state] and now + lease or 0, updated = now }
  redis.call("HSET", KEYS[1], "key", key, "saga", ARGV[6], "id", ARGV[7], "fingerprint", ARGV[8], "definition", ARGV[9],
    "payload", ARGV[10], "state", state, "owner", owner, "epoch", text(made.epoch), "lease_until", text(made.lease),
    "length", "1", "cancel_requested", "0", "created_at", text(now), "updated_at", text(now))
  if step then redis.call("HSET", KEYS[1], "step", step) end
  redis.call("DEL", KEYS[2])
  redis.call("RPUSH", KEYS[2], entry(1, made.epoch, state, ARGV[13]))
  redis.call("ZADD", KEYS[3], 0, key)
  redis.call("ZREM", KEYS[7], key)
  sort(made, key, KEYS[4], KEYS[5], KEYS[6])
  return history(1)
end
if opens and r.fingerprint ~= ARGV[8] then return history(0) end
if r.owner == owner and r.lease ~= 0 then
  r.lease, r.updated = math.max(r.lease, now + lease), now
  redis.call("HSET", KEYS[1], "lease_until", text(r.lease), "updated_at", text(now))
  sort(r, key, KEYS[4], KEYS[5], KEYS[6])
  return history(1)
end
local isOpen = unfinished[r.state] or (reopen >= 1 and stuck[r.state]) or (reopen == 2 and r.state == "Completed")
if not isOpen or r.lease > now then return history(0) end
take(r, KEYS[1], owner, lease)
sort(r, key, KEYS[4], KEYS[5], KEYS[6])
return history(1)`

// KEYS: run, entries, open, done, stuck. ARGV: key, owner, epoch, seq, state, step, events.
const append = `${machine}
local key, seq, state, step, events = ARGV[1], tonumber(ARGV[4]), ARGV[5], optional(ARGV[6]), ARGV[7]
local r, isThere = load(KEYS[1])
if not r then return isThere and ${unreadable} or 0 end
if not owns(r, ARGV[2], ARGV[3]) then return 0 end
if seq == r.length then
  local last = redis.call("LINDEX", KEYS[2], -1)
  local epoch, at = string.match(last or "", "^%d+\\n(%d+)\\n%-?%d+\\n%a+\\n()")
  if epoch ~= ARGV[3] or string.sub(last, at) ~= events then return 0 end
  redis.call("HSET", KEYS[1], "length", text(seq))
  return { 1, r.cancel, r.pause }
end
if seq ~= r.length + 1 then return 0 end
local before = r.state
r.state, r.updated = state, now
redis.call("RPUSH", KEYS[2], entry(seq, r.epoch, state, events))
redis.call("HSET", KEYS[1], "state", state, "length", text(seq), "updated_at", text(now))
if step then redis.call("HSET", KEYS[1], "step", step) end
if not unfinished[state] then
  r.lease, r.pause = 0, false
  redis.call("HSET", KEYS[1], "lease_until", "0")
  redis.call("HDEL", KEYS[1], "pause")
end
if before ~= state or ended[state] then sort(r, key, KEYS[3], KEYS[4], KEYS[5]) end
return { 1, r.cancel, r.pause }`

// KEYS: open, runs. ARGV: key, owner, epoch, lease of each.
const renew = `${machine}
local answers = {}
for i = 2, #KEYS do
  local at = (i - 2) * 4
  local r = load(KEYS[i])
  if r and owns(r, ARGV[at + 2], ARGV[at + 3]) and r.lease ~= 0 then
    local renewed = text(math.max(r.lease, now + tonumber(ARGV[at + 4])))
    redis.call("HSET", KEYS[i], "lease_until", renewed)
    if unfinished[r.state] then redis.call("ZADD", KEYS[1], renewed, ARGV[at + 1]) end
    answers[i - 1] = 1
  else
    answers[i - 1] = 0
  end
end
return answers`

// KEYS: run, open. ARGV: key, owner, epoch.
const release = `${machine}
local r, isThere = load(KEYS[1])
if not r then return isThere and ${unreadable} or 0 end
if not owns(r, ARGV[2], ARGV[3]) then return 0 end
redis.call("HSET", KEYS[1], "lease_until", "0")
if unfinished[r.state] then redis.call("ZADD", KEYS[2], 0, ARGV[1]) end
return 1`

/** Leaves a wish with the run, and answers with it as it stands. */
const wish = (isHeard: string, field: string, value: string) =>
  `${machine}
local r, isThere = load(KEYS[1])
if not r then return isThere and ${unreadable} or 0 end
local isHeard = ${isHeard}
if isHeard then redis.call("HSET", KEYS[1], "${field}", ${value}) end
return { all(KEYS[1]), isHeard and 1 or 0 }`

// KEYS: run.
const cancel = wish(`r.state == "Running" or r.state == "Parked"`, "cancel_requested", `"1"`)

// KEYS: run. ARGV: note.
const pause = wish("unfinished[r.state]", "pause", "ARGV[1]")

// KEYS: run, messages, stray. ARGV: key, step, event, value.
const signal = `
local step = ARGV[2]
local name = "message:" .. #step .. ":" .. step .. ARGV[3]
local known = redis.call("HGET", KEYS[2], name)
if known then
  redis.call("HSET", KEYS[2], name, known)
  return "Known"
end
if tonumber(redis.call("HGET", KEYS[2], "count") or "0") >= ${signalsMax} then return "Full" end
redis.call("HSET", KEYS[2], name, ARGV[4])
local place = redis.call("HINCRBY", KEYS[2], "places:" .. step, 1)
redis.call("HSET", KEYS[2], "place:" .. string.format("%.0f", place) .. ":" .. step, ARGV[3])
redis.call("HSET", KEYS[2], "at:" .. #step .. ":" .. step .. ARGV[3], string.format("%.0f", now))
redis.call("HINCRBY", KEYS[2], "count", 1)
if redis.call("EXISTS", KEYS[1]) == 0 then
  redis.call("ZADD", KEYS[3], "NX", string.format("%.0f", now), ARGV[1])
end
return "Kept"`

// KEYS: run and messages of each. ARGV: step of each, and what is passed over of it.
const inbox = `
local answers = {}
for i = 1, #ARGV / 2 do
  local step, messages = ARGV[i * 2 - 1], KEYS[i * 2]
  local wishes = redis.call("HMGET", KEYS[i * 2 - 1], "cancel_requested", "pause")
  local isPassed = {}
  for _, event in ipairs(cjson.decode(ARGV[i * 2])) do isPassed[event] = true end
  local place, event = 0
  repeat
    place = place + 1
    event = redis.call("HGET", messages, "place:" .. string.format("%.0f", place) .. ":" .. step)
  until not event or not isPassed[event]
  local value = event and redis.call("HGET", messages, "message:" .. #step .. ":" .. step .. event) or false
  local at = event and redis.call("HGET", messages, "at:" .. #step .. ":" .. step .. event) or false
  answers[i] = { event, value, wishes[1], wishes[2], at }
end
return answers`

// KEYS: open. ARGV: offset, limit. The longest abandoned first.
const lapsed = `
return redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", string.format("%.0f", now), "LIMIT", ARGV[1], ARGV[2])`

// KEYS: open, done, stuck, run and entries of each. ARGV: owner, lease, the keys of these runs. What is not there any more,
// or not under way, leaves the index.
const adopt = `${machine}
local histories = {}
for i = 3, #ARGV do
  local name = KEYS[i * 2 - 2]
  local r, isThere = load(name)
  if r and unfinished[r.state] and r.lease <= now then
    take(r, name, ARGV[1], tonumber(ARGV[2]))
    sort(r, ARGV[i], KEYS[1], KEYS[2], KEYS[3])
    histories[#histories + 1] = { all(name), redis.call("LRANGE", KEYS[i * 2 - 1], 0, -1) }
  elseif not r and not isThere then
    redis.call("ZREM", KEYS[1], ARGV[i])
  end
end
return { text(now), histories }`

// KEYS: run, entries.
const read = `${machine}
if redis.call("EXISTS", KEYS[1]) == 0 then return 0 end
return { text(now), all(KEYS[1]), redis.call("LRANGE", KEYS[2], 0, -1) }`

// KEYS: runs. ARGV: limit, saga, state, step, age.
const list = `${machine}
local limit, saga, state, step, age = tonumber(ARGV[1]), optional(ARGV[2]), optional(ARGV[3]), optional(ARGV[4]), optional(ARGV[5])
local page = {}
for i, name in ipairs(KEYS) do
  if #page == limit then break end
  local found = redis.pcall("HMGET", name, "saga", "state", "step", "updated_at")
  local isOld = not age or (tonumber(found[4] or "") or now) + tonumber(age) <= now
  if (not saga or found[1] == saga) and (not state or found[2] == state) and (not step or found[3] == step) and isOld
    and redis.call("EXISTS", name) == 1 then page[#page + 1] = { i, found.err and {} or all(name) } end
end
return page`

// KEYS: an index by time. ARGV: age, limit.
const before = `
return redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", string.format("%.0f", now - tonumber(ARGV[1])), "LIMIT", 0, ARGV[2])`

// KEYS: runs, open, done, stuck, run and entries and messages of each. ARGV: age, the keys of these runs. What is not there
// any more leaves the index.
const drop = `${machine}
local dropped, gone = 0, 0
for i = 2, #ARGV do
  local at = 4 + (i - 2) * 3
  local r, isThere = load(KEYS[at + 1])
  if r and ended[r.state] and r.updated + tonumber(ARGV[1]) <= now then
    for j = 1, 3 do redis.call("DEL", KEYS[at + j]) end
    for j = 1, 4 do redis.call("ZREM", KEYS[j], ARGV[i]) end
    dropped = dropped + 1
  elseif not r and not isThere then
    for j = 1, 4 do redis.call("ZREM", KEYS[j], ARGV[i]) end
    gone = gone + 1
  end
end
return { dropped, gone }`

// KEYS: stray, run and messages of each. ARGV: age, the keys of these runs.
const dropStray = `
for i = 2, #ARGV do
  local at = redis.call("ZSCORE", KEYS[1], ARGV[i])
  if at and tonumber(at) + tonumber(ARGV[1]) <= now then
    if redis.call("EXISTS", KEYS[i * 2 - 2]) == 0 then redis.call("DEL", KEYS[i * 2 - 1]) end
    redis.call("ZREM", KEYS[1], ARGV[i])
  end
end
return 1`
