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
// then fingerprint and owner of each, as they stand in a record. Answers the time when there was nothing, and all are claimed.
// Else the time, and of each 1 (there was nothing, it is claimed), the record as it was, the record as it became within a
// list, or -1 (it is no record).
// First what is there most often: nothing, and a result that is replayed. What the others need is not even made for these.
const claim = `
local call, pcall, sub, match = redis.call, redis.pcall, string.sub, string.match
local at, n = ARGV[1], #KEYS
local time = string.format("%.0f", now)
local head, tail, answers, slow
local fresh, f = {}, 0
for i = 4, n do
  local key = KEYS[i]
  local found = pcall("GET", key)
  if not found then
    if not head then
      head = "Claimed\\n\\n" .. string.format("%.0f", now + ARGV[2]) .. "\\n" .. time .. "\\n"
      tail = "\\n" .. time .. "\\n1\\n0\\n0\\n" .. time .. "\\n"
    end
    call("SET", key, head .. ARGV[i + 1] .. tail)
    fresh[f + 1], fresh[f + 2], f = 0, sub(key, at), f + 2
    if answers then answers[i - 2] = 1 end
  else
    if not answers then
      answers = {now}
      for j = 4, i - 1 do answers[j - 2] = 1 end
    end
    if type(found) == "table" then
      answers[i - 2] = ${unreadable}
    else
      answers[i - 2] = found
      local state, expires = match(found, "^(%a+)\\n(%d*)\\n")
      if (state ~= "Succeeded" and state ~= "Refused") or expires == "" or tonumber(expires) <= now then
        slow = slow or {}
        slow[#slow + 1] = i
      end
    end
  end
end
if f > 0 then
  call("ZADD", KEYS[1], unpack(fresh))
  call("ZADD", KEYS[2], unpack(fresh))
end
if not answers then return now end
if not slow then return answers end

${machine}
local lease, canResolve, attemptsMax = tonumber(ARGV[2]), ARGV[3] == "1", tonumber(ARGV[4])

local function again(key, fingerprint, owner)
  local before, value = load(key)
  if not before then return value end

  local function grant(state, base)
    if before.expires then
      local id = sub(key, at)
      call("ZREM", KEYS[3], id)
      call("ZADD", KEYS[2], 0, id)
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

for _, i in ipairs(slow) do answers[i - 2] = again(KEYS[i], match(ARGV[i + 1], "^([^\\n]*)\\n([^\\n]*)$")) end
return answers`

const held = `(was == "Claimed" or was == "Resolving")`

// Ends claims as a state that expires, or answers what was so already.
// KEYS: open, done, records. ARGV: where the id begins in the key of a record, ttl, state, then owner and fence, as they stand
// in a record, and the result of each. Answers 1 when all have ended; else of each 1, 0 (it is not owned) or -1 (it is no
// record).
const finish = `
local call, pcall, sub, match = redis.call, redis.pcall, string.sub, string.match
local at, state = ARGV[1], ARGV[3]
local expires, head
local answers, gone, done, g, areAll = {}, {}, {}, 0, true
for i = 3, #KEYS do
  local key, result = KEYS[i], ARGV[i * 2 - 1]
  local value, answer = pcall("GET", key), 0
  if value then
    local was, from, owner, rest
    if type(value) == "string" then
      was, from, owner, rest =
        match(value, "^(%a+)\\n%d*\\n%d+\\n%d+\\n()[^\\n]*\\n([^\\n]*\\n%d+)\\n%d+\\n%d+\\n%d+\\n%d+\\n()")
    end
    if not was then
      answer = ${unreadable}
    elseif owner == ARGV[i * 2 - 2] then
      if ${held} or (was == "Indeterminate" and state ~= "Vacant") then
        if not head then
          expires = string.format("%.0f", now + ARGV[2])
          head = state .. "\\n" .. expires .. "\\n0\\n" .. string.format("%.0f", now) .. "\\n"
        end
        call("SET", key, head .. sub(value, from, rest - 1) .. result)
        local id = sub(key, at)
        g = g + 1
        gone[g], done[g * 2 - 1], done[g * 2] = id, expires, id
        answer = 1
      elseif was == state and sub(value, rest) == result then
        call("SET", key, value)
        answer = 1
      end
    end
  end
  answers[i - 2] = answer
  areAll = areAll and answer == 1
end
if g > 0 then
  call("ZREM", KEYS[1], unpack(gone))
  call("ZADD", KEYS[2], unpack(done))
end
if areAll then return 1 end
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
