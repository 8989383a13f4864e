/**
 * The state machine over a map.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { IdempotencyStore } from "../../IdempotencyStore.ts"
import * as machine from "./machine.ts"
import {
  type ClaimReply,
  type ClaimRequest,
  type CompleteRequest,
  isLimit,
  listLimitMax,
  type Record,
  type RecordId,
  sweepLimitMax
} from "./record.ts"
import { limitExceeded, StoreUnavailable } from "./unavailable.ts"

/** @internal */
export interface Options {
  readonly capacity: number
}

// How many records a new one looks at for expired ones: more than one, so that they go faster than they come.
const stepsPerClaim = 2

/** @internal */
export const make = (options: Options): Effect.Effect<IdempotencyStore["Service"], StoreUnavailable> =>
  Number.isSafeInteger(options.capacity) && options.capacity >= 1
    ? Effect.map(Clock.Clock, (clock) => fromClock(options.capacity, () => clock.currentTimeMillisUnsafe()))
    : Effect.fail(new StoreUnavailable({ operation: "start", detail: "capacity must be a whole number from 1" }))

const fromClock = (capacity: number, clock: () => number): IdempotencyStore["Service"] => {
  const records = new Map<string, Record>()
  const expired = makeSweeper(records)

  /** Whether there is room for one record more: what has expired makes way, nothing else does. */
  const makeRoom = (now: number): boolean => {
    expired.step(stepsPerClaim, now)
    return records.size < capacity || expired.untilOne(now)
  }

  const update = (
    id: RecordId,
    transition: (record: Record | undefined, now: number) => Record | undefined
  ): boolean => {
    const record = records.get(id.id)
    const next = transition(record, clock())
    if (next === undefined) return false
    if (next !== record) {
      records.set(id.id, next)
      expired.expect(next.expiresAt)
    }
    return true
  }

  const claim = (request: ClaimRequest): ClaimReply | StoreUnavailable => {
    const now = clock()
    const record = records.get(request.id)
    if (record === undefined && !makeRoom(now)) return new StoreUnavailable({ operation: "claim", detail: "Full" })
    const next = machine.claim(record, request, now)
    if (next !== record) {
      flatten(next.id, next.owner, next.fingerprint)
      records.set(next.id, next)
    }
    return { record: next, now }
  }

  const complete = (request: CompleteRequest): boolean =>
    update(request, (record, now) => machine.complete(record, request, now))

  return {
    local: { claim, complete },
    claim: (request) =>
      Effect.suspend(() => {
        const reply = claim(request)
        return reply instanceof StoreUnavailable ? Effect.fail(reply) : Effect.succeed(reply)
      }),
    complete: (request) => Effect.sync(() => complete(request)),
    release: (request) => Effect.sync(() => update(request, (record, now) => machine.release(record, request, now))),
    renew: (requests) =>
      Effect.sync(() =>
        requests.map((request) => update(request, (record, now) => machine.renew(record, request, now)))
      ),
    resolve: (request) => Effect.sync(() => update(request, (record, now) => machine.resolve(record, request, now))),
    ...operating(records, expired, clock)
  }
}

// A text that was put together is kept as its parts, each an object of its own, until it is read from end to end. Kept for a
// day by the thousand, they are what the garbage collector is busy with.
const flatten = (...texts: ReadonlyArray<string>): void => {
  for (const text of texts) /^$/.test(text)
}

const operating = (
  records: Map<string, Record>,
  expired: Sweeper,
  clock: () => number
): Pick<IdempotencyStore["Service"], "evict" | "inspect" | "list" | "sweep"> => ({
  inspect: (id) => Effect.sync(() => ({ record: records.get(id.id), now: clock() })),
  list: (request) =>
    isLimit(request.limit, listLimitMax)
      ? Effect.sync(() => {
        const now = clock()
        const page = Array.from(records.values()).filter((record) => machine.isListed(record, request, now))
        return page.sort((a, b) => (a.id < b.id ? -1 : 1)).slice(0, request.limit)
      })
      : limitExceeded("list", listLimitMax),
  evict: (id, { force }) =>
    Effect.sync(() => {
      const eviction = machine.evict(records.get(id.id), force)
      if (eviction === "Evicted") records.delete(id.id)
      return eviction
    }),
  sweep: ({ limit }) =>
    isLimit(limit, sweepLimitMax)
      ? Effect.sync(() => expired.upTo(limit, clock()))
      : limitExceeded("sweep", sweepLimitMax)
})

type Sweeper = ReturnType<typeof makeSweeper>

/** A hand that goes round the map, a few records at a time, and drops what has expired. */
const makeSweeper = (records: Map<string, Record>) => {
  let hand = records.values()
  // No record expires before: a full store looks at nothing until then.
  let earliest = Number.POSITIVE_INFINITY

  const next = (): Record | undefined => {
    const { value } = hand.next()
    if (value !== undefined) return value
    hand = records.values()
    return hand.next().value
  }

  const upTo = (limit: number, now: number): number => {
    let dropped = 0
    let later = Number.POSITIVE_INFINITY
    for (let unseen = records.size; unseen > 0 && dropped < limit; unseen--) {
      const record = next()
      if (record?.expiresAt === undefined) continue
      if (record.expiresAt > now) later = Math.min(later, record.expiresAt)
      else if (records.delete(record.id)) dropped++
    }
    if (dropped < limit) earliest = later
    return dropped
  }

  return {
    upTo,
    untilOne: (now: number): boolean => earliest <= now && upTo(1, now) === 1,
    step: (steps: number, now: number): void => {
      if (now < earliest) return
      for (let step = 0; step < steps; step++) {
        const record = next()
        if (record !== undefined && machine.isExpired(record, now)) records.delete(record.id)
      }
    },
    expect: (expiresAt: number | undefined): void => {
      if (expiresAt !== undefined && expiresAt < earliest) earliest = expiresAt
    }
  }
}
