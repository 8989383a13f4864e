/**
 * Claims on Redis: one script for each transition, on the clock of Redis.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { type ClaimReply, type ClaimRequest, StoreUnavailable } from "../../IdempotencyStore.ts"
import { Redis } from "../effect/redis.ts"
import { type Ownership, State } from "../idempotency/record.ts"
import { integer } from "../sql/integer.ts"
import type { Dedup } from "./dedup.ts"

// Numbers are written without an exponent, so that they are compared as the texts that they are.
const claimLua = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function text(number) return string.format('%.0f', number) end
local row = redis.call('HMGET', KEYS[1], 'state', 'fingerprint', 'owner', 'fence', 'attempt', 'lease', 'result')
local state, fingerprint, owner = row[1], row[2], row[3]
local fence, attempt, lease = tonumber(row[4] or 0), tonumber(row[5] or 0), tonumber(row[6] or 0)
local isSame = fingerprint == ARGV[1]
local isMine = state == 'Claimed' and owner == ARGV[2]
if not state or (isSame and (isMine or state == 'Vacant' or (state == 'Claimed' and lease <= now))) then
  if not isMine then
    fence = math.max(fence + 1, now)
    attempt = attempt + 1
    lease = 0
  end
  state, fingerprint, owner = 'Claimed', ARGV[1], ARGV[2]
  lease = math.max(lease, now + ARGV[3])
  redis.call('HSET', KEYS[1], 'state', state, 'fingerprint', fingerprint, 'owner', owner, 'fence', text(fence),
    'attempt', text(attempt), 'lease', text(lease))
  redis.call('PEXPIRE', KEYS[1], text(ARGV[3] + ARGV[4]))
end
return {state, fingerprint, owner, text(fence), text(attempt), text(lease), text(now), row[7] or ''}
`

const endLua = `
local row = redis.call('HMGET', KEYS[1], 'state', 'owner', 'fence')
if row[2] ~= ARGV[1] or row[3] ~= ARGV[2] then return 0 end
if row[1] == ARGV[3] then return 1 end
if row[1] ~= 'Claimed' then return 0 end
redis.call('HSET', KEYS[1], 'state', ARGV[3], 'lease', '0', 'result', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
`

const claimScript = Redis.script(
  (key: string, request: ClaimRequest, keepMillis: number) => [
    key,
    request.fingerprint,
    request.owner,
    Math.ceil(request.leaseMillis),
    Math.ceil(keepMillis)
  ],
  { lua: claimLua, numberOfKeys: 1 }
).withReturnType<unknown>()

const endScript = Redis.script(
  (key: string, owned: Ownership, state: string, result: string, ttlMillis: number) => [
    key,
    owned.owner,
    owned.fence,
    state,
    Math.ceil(ttlMillis),
    result
  ],
  { lua: endLua, numberOfKeys: 1 }
).withReturnType<unknown>()

// How long a claim whose owner died is remembered: longer than any provider retries.
const keepMillis = 60 * 86_400_000

/** @internal */
export const make = (redis: Redis.Redis["Service"], prefix: string): Dedup => {
  const claim = redis.eval(claimScript)
  const end = redis.eval(endScript)
  const ends = (
    operation: "complete" | "release",
    owned: Ownership,
    state: "Succeeded" | "Vacant",
    result: string,
    ttlMillis: number
  ): Effect.Effect<boolean, StoreUnavailable> =>
    Effect.map(
      unavailable(operation, end(`${prefix}${owned.id}`, owned, state, result, ttlMillis)),
      (reply) => reply === 1
    )
  return {
    claim: (request) =>
      Effect.flatMap(unavailable("claim", claim(`${prefix}${request.id}`, request, keepMillis)), (reply) => {
        const read = readReply(request, reply)
        return read === undefined
          ? Effect.fail(new StoreUnavailable({ operation: "claim", detail: "ReplyUnreadable" }))
          : Effect.succeed(read)
      }),
    complete: (owned, content, ttlMillis) => ends("complete", owned, "Succeeded", content, ttlMillis),
    release: (owned, ttlMillis) => ends("release", owned, "Vacant", "", ttlMillis)
  }
}

const unavailable = <A>(operation: string, self: Effect.Effect<A, Redis.RedisError>) =>
  Effect.mapError(self, () => new StoreUnavailable({ operation, detail: "RedisError" }))

const states: ReadonlySet<unknown> = new Set(State.literals)
const isState = (value: unknown): value is typeof State.Type => states.has(value)

const readReply = (request: ClaimRequest, reply: unknown): ClaimReply | undefined => {
  if (!Array.isArray(reply)) return undefined
  const [state, fingerprint, owner, ...rest] = reply as ReadonlyArray<unknown>
  const result = rest.at(-1)
  const numbers = rest.slice(0, -1)
  const [fence = Number.NaN, attempt = Number.NaN, leaseUntil = Number.NaN, now = Number.NaN] = numbers.map(integer)
  if (!isState(state) || typeof fingerprint !== "string" || typeof owner !== "string" || typeof result !== "string") {
    return undefined
  }
  if (Number.isNaN(fence + attempt + leaseUntil + now)) return undefined
  const { id, key, scope } = request
  return {
    now,
    record: {
      id,
      scope,
      key,
      state,
      fingerprint,
      owner,
      fence,
      attempt,
      unresolved: 0,
      leaseUntil,
      unknownSince: 0,
      result: state === "Succeeded" ? result : undefined,
      createdAt: 0,
      updatedAt: now,
      expiresAt: undefined
    }
  }
}
