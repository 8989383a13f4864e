/**
 * The state machine of an idempotent operation, pure: every store does what these functions say, and the memory store
 * is these functions over a map.
 *
 * ```text
 * Vacant → Claimed → Succeeded | Refused | Indeterminate → Resolving → … → Parked
 * ```
 *
 * @internal
 */
import type {
  ClaimRequest,
  CompleteRequest,
  Completion,
  Eviction,
  ListRequest,
  Ownership,
  Record,
  ReleaseRequest,
  RenewRequest,
  ResolveRequest
} from "./record.ts"

/** @internal What a claim means for the one who made it. */
export type Answer =
  | { readonly _tag: "Granted" | "Resolve"; readonly record: Record; readonly now: number }
  | { readonly _tag: "Replay"; readonly record: Record }
  | { readonly _tag: "Conflict" | "OutcomeUnknown" | "Parked"; readonly record: Record }
  | { readonly _tag: "InFlight"; readonly record: Record; readonly retryAfterMillis: number }

/** @internal */
export const isExpired = (record: Record, now: number): boolean =>
  record.expiresAt !== undefined && record.expiresAt <= now

const isHeld = (record: Record): boolean => record.state === "Claimed" || record.state === "Resolving"

// A claim whose lease has lapsed: its owner crashed, froze or lost the store.
const isLapsed = (record: Record, now: number): boolean => isHeld(record) && record.leaseUntil <= now

/** @internal The record after a claim: the same object when the claim changes nothing. */
export const claim = (record: Record | undefined, request: ClaimRequest, now: number): Record => {
  if (record === undefined || isExpired(record, now)) {
    return grant("Claimed", record, { attempt: 0, unresolved: 0, unknownSince: 0, createdAt: now }, request, now)
  }
  if (record.fingerprint !== request.fingerprint) return record
  if (record.owner === request.owner) return isHeld(record) ? prolong(record, request.leaseMillis, now) : record
  if (record.state === "Vacant") return grant("Claimed", record, record, request, now)
  if (!request.canResolve) return record
  if (record.state === "Indeterminate") return grant("Resolving", record, record, request, now)
  if (!isLapsed(record, now)) return record
  const unresolved = record.unresolved + 1
  return unresolved >= request.attemptsMax
    ? {
      ...record,
      state: "Parked",
      fence: nextFence(record, now),
      unresolved,
      unknownSince: record.leaseUntil,
      updatedAt: now
    }
    : grant("Resolving", record, { ...record, unresolved, unknownSince: record.leaseUntil }, request, now)
}

/** @internal Reads what a claim came back with. The fingerprint is compared always and first. */
export const answer = (record: Record, request: ClaimRequest, now: number): Answer => {
  if (record.fingerprint !== request.fingerprint) return { _tag: "Conflict", record }
  switch (record.state) {
    case "Succeeded":
    case "Refused":
      return { _tag: "Replay", record }
    case "Parked":
      return { _tag: "Parked", record }
    case "Claimed":
    case "Resolving":
      if (record.owner === request.owner) {
        return { _tag: record.state === "Claimed" ? "Granted" : "Resolve", record, now }
      }
      return record.leaseUntil <= now
        ? { _tag: "OutcomeUnknown", record }
        : { _tag: "InFlight", record, retryAfterMillis: record.leaseUntil - now }
    default:
      return { _tag: "OutcomeUnknown", record }
  }
}

const owns = (record: Record, request: Ownership): boolean =>
  record.owner === request.owner && record.fence === request.fence

/** @internal The record after a completion; undefined when the caller no longer owns it. */
export const complete = (record: Record | undefined, request: CompleteRequest, now: number): Record | undefined => {
  if (record === undefined || !owns(record, request)) return undefined
  const { completion } = request
  if (completion._tag === "Indeterminate") {
    if (isHeld(record)) return giveUp(record, completion, now)
    // A reply was lost and the caller asks again.
    return record.state === "Indeterminate" || record.state === "Parked" ? record : undefined
  }
  if (isHeld(record) || record.state === "Indeterminate") {
    return finish(record, completion._tag, completion.result, now, now + completion.ttlMillis)
  }
  return record.state === completion._tag && record.result === completion.result ? record : undefined
}

// Written out, field by field in the order of a grant: the shape stays one, and this is on the path of every call.
const finish = (
  record: Record,
  state: "Refused" | "Succeeded",
  result: string,
  now: number,
  expiresAt: number
): Record => ({
  id: record.id,
  scope: record.scope,
  key: record.key,
  state,
  fingerprint: record.fingerprint,
  owner: record.owner,
  fence: record.fence,
  attempt: record.attempt,
  unresolved: record.unresolved,
  leaseUntil: 0,
  unknownSince: record.unknownSince,
  result,
  createdAt: record.createdAt,
  updatedAt: now,
  expiresAt
})

const giveUp = (record: Record, completion: Completion & { readonly _tag: "Indeterminate" }, now: number): Record => {
  const unresolved = record.unresolved + (completion.counted ? 1 : 0)
  return {
    ...record,
    state: unresolved >= completion.attemptsMax ? "Parked" : "Indeterminate",
    unresolved,
    leaseUntil: 0,
    unknownSince: completion.ran ? now : record.unknownSince,
    updatedAt: now
  }
}

/** @internal Frees the slot of an effect that surely did not happen. Fingerprint and fence stay for the TTL. */
export const release = (record: Record | undefined, request: ReleaseRequest, now: number): Record | undefined => {
  if (record === undefined || !owns(record, request)) return undefined
  if (record.state === "Vacant") return record
  return isHeld(record)
    ? { ...record, state: "Vacant", leaseUntil: 0, updatedAt: now, expiresAt: now + request.ttlMillis }
    : undefined
}

/** @internal */
export const renew = (record: Record | undefined, request: RenewRequest, now: number): Record | undefined =>
  record !== undefined && owns(record, request) && isHeld(record)
    ? prolong(record, request.leaseMillis, now)
    : undefined

// Never shortens. A claim sent again prolongs too: its sender counts the lease from the last time it asked.
const prolong = (record: Record, leaseMillis: number, now: number): Record => ({
  ...record,
  leaseUntil: Math.max(record.leaseUntil, now + leaseMillis),
  updatedAt: now
})

/**
 * @internal Settles a record that nobody works on: a new fence, so that an owner that wakes up writes nothing. The
 * owner it leaves names the fence that was resolved, so that a resolution whose reply was lost recognises itself.
 */
export const resolve = (record: Record | undefined, request: ResolveRequest, now: number): Record | undefined => {
  if (record === undefined) return undefined
  if (isResolvedBy(record, request)) return record
  if (record.fence !== request.fence || !isStuck(record, now)) return undefined
  const settled = {
    ...record,
    owner: resolver(request),
    fence: nextFence(record, now),
    leaseUntil: 0,
    updatedAt: now,
    expiresAt: now + request.ttlMillis
  }
  return request.resolution._tag === "NeverHappened"
    ? { ...settled, state: "Vacant", unresolved: 0 }
    : { ...settled, state: request.resolution._tag, result: request.resolution.result }
}

const isResolvedBy = (record: Record, request: ResolveRequest): boolean => {
  if (record.owner !== resolver(request)) return false
  return request.resolution._tag === "NeverHappened"
    ? record.state === "Vacant"
    : record.state === request.resolution._tag && record.result === request.resolution.result
}

/** @internal The owner of a record that was resolved from outside. */
export const resolver = (request: ResolveRequest): string => `resolved:${request.fence}`

/** @internal What never expires. */
export const isUnfinished = (state: Record["state"]): boolean =>
  state !== "Vacant" && state !== "Succeeded" && state !== "Refused"

// What nobody works on and nobody knows.
const isStuck = (record: Record, now: number): boolean =>
  record.state === "Indeterminate" || record.state === "Parked" || isLapsed(record, now)

/** @internal Whether a page asked for may hold this record. */
export const isListed = (record: Record, request: ListRequest, now: number): boolean =>
  (request.after === undefined || record.id > request.after) &&
  (request.tenant === undefined || record.scope.tenant === request.tenant) &&
  (request.operation === undefined || record.scope.operation === request.operation) &&
  (request.state === undefined || record.state === request.state) &&
  (request.stuck !== true || isStuck(record, now))

/** @internal Only what is finished or free goes without force. */
export const evict = (record: Record | undefined, force: boolean): Eviction =>
  record === undefined
    ? "Absent"
    : force || !isUnfinished(record.state)
    ? "Evicted"
    : "Held"

const grant = (
  state: "Claimed" | "Resolving",
  previous: Record | undefined,
  base: Pick<Record, "attempt" | "createdAt" | "unknownSince" | "unresolved">,
  request: ClaimRequest,
  now: number
): Record => ({
  id: request.id,
  scope: request.scope,
  key: request.key,
  state,
  fingerprint: request.fingerprint,
  owner: request.owner,
  fence: nextFence(previous, now),
  attempt: base.attempt + 1,
  unresolved: base.unresolved,
  leaseUntil: now + request.leaseMillis,
  unknownSince: base.unknownSince,
  result: undefined,
  createdAt: base.createdAt,
  updatedAt: now,
  expiresAt: undefined
})

// Eviction drops the previous fence: the clock keeps the next one above it.
const nextFence = (previous: Record | undefined, now: number): number => Math.max((previous?.fence ?? 0) + 1, now)
