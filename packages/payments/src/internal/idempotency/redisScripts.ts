/**
 * The transitions of the machine as scripts of Redis, one for each, which may be sent twice.
 *
 * A record is one text under one key, its fields in lines: state, expires (empty: never), lease, updated, fingerprint, owner,
 * fence, attempt, unresolved, unknown since, created, and behind them the result as it is. What the end of a call changes
 * stands first, so that the rest need not be taken apart. Fingerprint and owner are JSON: no line break is in them. Three
 * sorted sets are the index: all ids, those of records without an expiry, and the others by the time at which they expire.
 * All keys share a hash tag, and every script is given the keys it touches.
 *
 * What is sent again and changes nothing is written once more as it is, so that who waits for replicas waits for it.
 *
 * @internal
 */
import { Redis } from "../effect/redis.ts"

/** @internal The clock of the server in milliseconds. */
export const serverTime =
  `(function(time) return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) end)(redis.call("TIME"))`

/** What a script answers about a text that is no record. */
const unreadable = -1

type Parameter = number | string

/** @internal */
export type Scripts = ReturnType<typeof make>

/** @internal */
export const make = (now: string) => {
  const script = (lua: string) =>
    Redis.script(
      (keys: ReadonlyArray<string>, parameters: ReadonlyArray<Parameter>): ReadonlyArray<Parameter> => [
        ...keys,
        ...parameters
      ],
      { numberOfKeys: (keys) => keys.length, lua: `local now = ${now}\n${lua}` }
    ).withReturnType<unknown>()
  return {
    claim: script(claim),
    finish: script(finish),
    giveUp: script(giveUp),
    release: script(release),
    renew: script(renew),
    resolve: script(resolve),
    read: script(read),
    evict: script(evict),
    expired: script(expired),
    drop: script(drop)
  }
}

// Numbers are written without an exponent, so that they are compared as the texts that they are. `load` answers with the
// record and its text: a text without a record is none of ours.
const machine = `
local function text(number) return string.format("%.0f", number) end

local function load(key)
  local value = redis.call("GET", key)
  if not value then return nil, nil end
  local state, expires, lease, updated, fingerprint, owner, fence, attempt, unresolved, unknown, created, at =
    string.match(value, "^(%a+)\\n(%d*)\\n(%d+)\\n(%d+)\\n([^\\n]*)\\n([^\\n]*)\\n(%d+)\\n(%d+)\\n(%d+)\\n(%d+)\\n(%d+)\\n()")
  if not state then return nil, value end
  return {
    state = state, expires = tonumber(expires), lease = tonumber(lease), fingerprint = fingerprint, owner = owner,
    fence = tonumber(fence), attempt = tonumber(attempt), unresolved = tonumber(unresolved), unknown = tonumber(unknown),
    created = tonumber(created), at = at
  }, value
end

local function save(key, r, result)
  local value = string.format("%s\\n%s\\n%.0f\\n%.0f\\n%s\\n%s\\n%.0f\\n%.0f\\n%.0f\\n%.0f\\n%.0f\\n",
    r.state, r.expires and text(r.expires) or "", r.lease, now, r.fingerprint, r.owner, r.fence, r.attempt, r.unresolved,
    r.unknown, r.created) .. (result or "")
  redis.call("SET", key, value)
  return value
end

local function isHeld(r) return r.state == "Claimed" or r.state == "Resolving" end
local function nextFence(r) return math.max(r.fence + 1, now) end`

// The front of a record, whoever owns it, and where the rest of it and its result begin.
const front = `
local value = redis.call("GET", KEYS[1])
if not value then return 0 end
local state, from, owner, fence, at =
  string.match(value, "^(%a+)\\n%d*\\n%d+\\n%d+\\n()[^\\n]*\\n([^\\n]*)\\n(%d+)\\n%d+\\n%d+\\n%d+\\n%d+\\n()")
if not state then return ${unreadable} end`

// Ends a claim under KEYS record, open, done as a state that expires, or answers what was so already.
const end = (state: string, result: string, ttl: string, isOpen: string) =>
  `${front}
if owner ~= ARGV[2] or fence ~= ARGV[3] then return 0 end
if ${isOpen} then
  local expires = string.format("%.0f", now + tonumber(${ttl}))
  redis.call("SET", KEYS[1],
    ${state} .. "\\n" .. expires .. "\\n0\\n" .. string.format("%.0f\\n", now) .. string.sub(value, from, at - 1) .. ${result})
  redis.call("ZREM", KEYS[2], ARGV[1])
  redis.call("ZADD", KEYS[3], expires, ARGV[1])
  return 1
end
if state ~= ${state} or string.sub(value, at) ~= ${result} then return 0 end
redis.call("SET", KEYS[1], value)
return 1`

// KEYS: record, ids, open, done. ARGV: id, fingerprint, owner, lease, can resolve, attempts at the most.
// First what is there most often: nothing, and a result that is replayed.
const claim = `
local id, fingerprint, owner, lease = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local found = redis.call("GET", KEYS[1])
if not found then
  local value = string.format("Claimed\\n\\n%.0f\\n%.0f\\n%s\\n%s\\n%.0f\\n1\\n0\\n0\\n%.0f\\n",
    now + lease, now, fingerprint, owner, now, now)
  redis.call("SET", KEYS[1], value)
  redis.call("ZADD", KEYS[2], 0, id)
  redis.call("ZADD", KEYS[3], 0, id)
  return {value, string.format("%.0f", now), 1}
end
local state, expires = string.match(found, "^(%a+)\\n(%d*)\\n")
if (state == "Succeeded" or state == "Refused") and expires ~= "" and tonumber(expires) > now then
  return {found, string.format("%.0f", now), 0}
end
${machine}
local before, value = load(KEYS[1])
if not before then return {value, text(now), 0} end

local function grant(state, base)
  if before.expires then
    redis.call("ZREM", KEYS[4], id)
    redis.call("ZADD", KEYS[3], 0, id)
  end
  local value = save(KEYS[1], {
    state = state, fingerprint = fingerprint, owner = owner, fence = nextFence(before), attempt = base.attempt + 1,
    unresolved = base.unresolved, lease = now + lease, unknown = base.unknown, created = base.created
  })
  return {value, text(now), 1}
end

if before.expires and before.expires <= now then
  return grant("Claimed", {attempt = 0, unresolved = 0, unknown = 0, created = now})
end
if before.fingerprint == fingerprint then
  if before.owner == owner then
    if isHeld(before) then
      before.lease = math.max(before.lease, now + lease)
      return {save(KEYS[1], before), text(now), 1}
    end
  elseif before.state == "Vacant" then
    return grant("Claimed", before)
  elseif ARGV[5] == "1" then
    if before.state == "Indeterminate" then return grant("Resolving", before) end
    if isHeld(before) and before.lease <= now then
      before.unresolved = before.unresolved + 1
      before.unknown = before.lease
      if before.unresolved < tonumber(ARGV[6]) then return grant("Resolving", before) end
      before.state, before.fence = "Parked", nextFence(before)
      return {save(KEYS[1], before), text(now), 1}
    end
  end
end
return {value, text(now), 0}`

const held = `(state == "Claimed" or state == "Resolving")`

// KEYS: record, open, done. ARGV: id, owner, fence, state, result, ttl.
const finish = end("ARGV[4]", "ARGV[5]", "ARGV[6]", `(${held} or state == "Indeterminate")`)

// KEYS: record, open, done. ARGV: id, owner, fence, ttl.
const release = end(`"Vacant"`, `""`, "ARGV[4]", held)

// KEYS: record. ARGV: owner, fence, ran, counted, attempts at the most.
const giveUp = `${machine}
local r, value = load(KEYS[1])
if not r then return value and ${unreadable} or 0 end
if r.owner ~= ARGV[1] or text(r.fence) ~= ARGV[2] then return 0 end
if isHeld(r) then
  r.unresolved = r.unresolved + tonumber(ARGV[4])
  r.state = r.unresolved >= tonumber(ARGV[5]) and "Parked" or "Indeterminate"
  r.lease = 0
  if ARGV[3] == "1" then r.unknown = now end
  save(KEYS[1], r)
  return 1
end
if r.state ~= "Indeterminate" and r.state ~= "Parked" then return 0 end
redis.call("SET", KEYS[1], value)
return 1`

// KEYS: records. ARGV: owner, fence, lease of each.
const renew = `
local answers = {}
for i, key in ipairs(KEYS) do
  local value = redis.call("GET", key)
  local state, lease, from, owner, fence
  if value then
    state, lease, from, owner, fence =
      string.match(value, "^(%a+)\\n\\n(%d+)\\n%d+\\n()[^\\n]*\\n([^\\n]*)\\n(%d+)\\n%d+\\n%d+\\n%d+\\n%d+\\n")
  end
  if state and ${held} and owner == ARGV[i * 3 - 2] and fence == ARGV[i * 3 - 1] then
    local renewed = math.max(tonumber(lease), now + tonumber(ARGV[i * 3]))
    redis.call("SET", key, string.format("%s\\n\\n%.0f\\n%.0f\\n", state, renewed, now) .. string.sub(value, from))
    answers[i] = 1
  else
    answers[i] = 0
  end
end
return answers`

// KEYS: record, open, done. ARGV: id, fence, resolver, state, result, ttl.
const resolve = `${machine}
local r, value = load(KEYS[1])
if not r then return value and ${unreadable} or 0 end
if r.owner == ARGV[3] then
  if r.state ~= ARGV[4] or string.sub(value, r.at) ~= ARGV[5] then return 0 end
  redis.call("SET", KEYS[1], value)
  return 1
end
local isStuck = r.state == "Indeterminate" or r.state == "Parked" or (isHeld(r) and r.lease <= now)
if text(r.fence) ~= ARGV[2] or not isStuck then return 0 end
r.state, r.owner, r.fence, r.lease, r.expires = ARGV[4], ARGV[3], nextFence(r), 0, now + tonumber(ARGV[6])
if r.state == "Vacant" then r.unresolved = 0 end
save(KEYS[1], r, ARGV[5])
redis.call("ZREM", KEYS[2], ARGV[1])
redis.call("ZADD", KEYS[3], text(r.expires), ARGV[1])
return 1`

// KEYS: records.
const read = `return {string.format("%.0f", now), redis.call("MGET", unpack(KEYS))}`

// KEYS: record, ids, open, done. ARGV: id, force. What is unfinished, or none of ours, goes with force only.
const evict = `
local value = redis.call("GET", KEYS[1])
if value and ARGV[2] ~= "1" and not string.find(value, "^%a+\\n%d+\\n") then return "Held" end
redis.call("DEL", KEYS[1])
for i = 2, 4 do redis.call("ZREM", KEYS[i], ARGV[1]) end
return value and "Evicted" or "Absent"`

// KEYS: done. ARGV: limit.
const expired = `
return redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", string.format("%.0f", now), "LIMIT", 0, ARGV[1])`

// KEYS: ids, done, records. ARGV: the ids of these records. What is not there any more leaves the index.
const drop = `
local dropped = 0
for i = 3, #KEYS do
  local id = ARGV[i - 2]
  local value = redis.call("GET", KEYS[i])
  local expires = value and tonumber(string.match(value, "^%a+\\n(%d+)\\n"))
  if not value or (expires and expires <= now) then
    redis.call("DEL", KEYS[i])
    redis.call("ZREM", KEYS[1], id)
    redis.call("ZREM", KEYS[2], id)
    dropped = dropped + 1
  end
end
return dropped`
