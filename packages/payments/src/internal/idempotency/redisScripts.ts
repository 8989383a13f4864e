/**
 * The transitions of the machine as scripts of Redis, one for each, which may be sent twice. Those of every call take many
 * records at once: what they share is worked out once, and the index is written once.
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
import * as redisScript from "../redis/script.ts"

/** What a script answers about a text that is no record. */
const unreadable = -1

/** @internal */
export type Scripts = ReturnType<typeof make>

/** @internal */
export const make = (now: string) => {
  const script = (lua: string) => redisScript.make(now, lua)
  return {
    claim: script(claim),
    finish: script(finish),
    giveUp: script(giveUp),
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

// KEYS: ids, open, done, records. ARGV: where the id begins in the key of a record, lease, can resolve, attempts at the most,
// then fingerprint and owner of each. Answers the time, and of each 1 (there was nothing, it is claimed), the record as it
// was, the record as it became within a list, or -1 (it is no record).
// First what is there most often: nothing, and a result that is replayed.
const claim = `${machine}
local at, lease, canResolve, attemptsMax = ARGV[1], tonumber(ARGV[2]), ARGV[3] == "1", tonumber(ARGV[4])
local head = string.format("Claimed\\n\\n%.0f\\n%.0f\\n", now + lease, now)
local tail = string.format("\\n%.0f\\n1\\n0\\n0\\n%.0f\\n", now, now)

local function again(key, fingerprint, owner)
  local before, value = load(key)
  if not before then return value end

  local function grant(state, base)
    if before.expires then
      local id = string.sub(key, at)
      redis.call("ZREM", KEYS[3], id)
      redis.call("ZADD", KEYS[2], 0, id)
    end
    return {save(key, {
      state = state, fingerprint = fingerprint, owner = owner, fence = nextFence(before), attempt = base.attempt + 1,
      unresolved = base.unresolved, lease = now + lease, unknown = base.unknown, created = base.created
    })}
  end

  if before.expires and before.expires <= now then
    return grant("Claimed", {attempt = 0, unresolved = 0, unknown = 0, created = now})
  end
  if before.fingerprint == fingerprint then
    if before.owner == owner then
      if isHeld(before) then
        before.lease = math.max(before.lease, now + lease)
        return {save(key, before)}
      end
    elseif before.state == "Vacant" then
      return grant("Claimed", before)
    elseif canResolve then
      if before.state == "Indeterminate" then return grant("Resolving", before) end
      if isHeld(before) and before.lease <= now then
        before.unresolved = before.unresolved + 1
        before.unknown = before.lease
        if before.unresolved < attemptsMax then return grant("Resolving", before) end
        before.state, before.fence = "Parked", nextFence(before)
        return {save(key, before)}
      end
    end
  end
  return value
end

local answers, fresh = {now}, {}
for i = 4, #KEYS do
  local key, fingerprint, owner = KEYS[i], ARGV[i * 2 - 3], ARGV[i * 2 - 2]
  local found = redis.pcall("GET", key)
  if not found then
    redis.call("SET", key, head .. fingerprint .. "\\n" .. owner .. tail)
    fresh[#fresh + 1] = 0
    fresh[#fresh + 1] = string.sub(key, at)
    answers[i - 2] = 1
  elseif type(found) == "table" then
    answers[i - 2] = ${unreadable}
  else
    local state, expires = string.match(found, "^(%a+)\\n(%d*)\\n")
    if (state == "Succeeded" or state == "Refused") and expires ~= "" and tonumber(expires) > now then
      answers[i - 2] = found
    else
      answers[i - 2] = again(key, fingerprint, owner)
    end
  end
end
if #fresh > 0 then
  redis.call("ZADD", KEYS[1], unpack(fresh))
  redis.call("ZADD", KEYS[2], unpack(fresh))
end
return answers`

const held = `(was == "Claimed" or was == "Resolving")`

// Ends claims as a state that expires, or answers what was so already.
// KEYS: open, done, records. ARGV: where the id begins in the key of a record, ttl, state, then owner, fence and result of
// each. Answers of each 1, 0 (it is not owned) or -1 (it is no record).
const finish = `
local at, state = ARGV[1], ARGV[3]
local expires = string.format("%.0f", now + tonumber(ARGV[2]))
local head = string.format("%s\\n%s\\n0\\n%.0f\\n", state, expires, now)
local answers, gone, done = {}, {}, {}
for i = 3, #KEYS do
  local key, result = KEYS[i], ARGV[i * 3 - 3]
  local value, answer = redis.pcall("GET", key), 0
  if value then
    local was, from, owner, fence, rest
    if type(value) == "string" then
      was, from, owner, fence, rest =
        string.match(value, "^(%a+)\\n%d*\\n%d+\\n%d+\\n()[^\\n]*\\n([^\\n]*)\\n(%d+)\\n%d+\\n%d+\\n%d+\\n%d+\\n()")
    end
    if not was then
      answer = ${unreadable}
    elseif owner == ARGV[i * 3 - 5] and fence == ARGV[i * 3 - 4] then
      if ${held} or (was == "Indeterminate" and state ~= "Vacant") then
        redis.call("SET", key, head .. string.sub(value, from, rest - 1) .. result)
        local id = string.sub(key, at)
        gone[#gone + 1] = id
        done[#done + 1] = expires
        done[#done + 1] = id
        answer = 1
      elseif was == state and string.sub(value, rest) == result then
        redis.call("SET", key, value)
        answer = 1
      end
    end
  end
  answers[i - 2] = answer
end
if #gone > 0 then
  redis.call("ZREM", KEYS[1], unpack(gone))
  redis.call("ZADD", KEYS[2], unpack(done))
end
return answers`

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
  local was, lease, from, owner, fence
  if value then
    was, lease, from, owner, fence =
      string.match(value, "^(%a+)\\n\\n(%d+)\\n%d+\\n()[^\\n]*\\n([^\\n]*)\\n(%d+)\\n%d+\\n%d+\\n%d+\\n%d+\\n")
  end
  if was and ${held} and owner == ARGV[i * 3 - 2] and fence == ARGV[i * 3 - 1] then
    local renewed = math.max(tonumber(lease), now + tonumber(ARGV[i * 3]))
    redis.call("SET", key, string.format("%s\\n\\n%.0f\\n%.0f\\n", was, renewed, now) .. string.sub(value, from))
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
