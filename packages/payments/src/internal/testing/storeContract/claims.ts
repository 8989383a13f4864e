/**
 * The contract of a claim.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import {
  afterLease,
  afterTtl,
  equal,
  hasFields,
  isAbove,
  isAtLeast,
  isAtMost,
  isFalse,
  type Test,
  test,
  unknown
} from "./kit.ts"

/** @internal */
export const claims: ReadonlyArray<Test> = [
  test("grants a free slot", ({ claimed, lease }) =>
    Effect.gen(function*() {
      const { now, record, request } = yield* claimed()
      yield* equal(record, {
        id: request.id,
        scope: request.scope,
        key: request.key,
        state: "Claimed",
        fingerprint: "v1:a",
        owner: request.owner,
        fence: Math.max(now, 1),
        attempt: 1,
        unresolved: 0,
        leaseUntil: now + lease,
        unknownSince: 0,
        result: undefined,
        createdAt: now,
        updatedAt: now,
        expiresAt: undefined
      })
    })),
  test("answers a rival with the record in flight, and leaves it alone", ({ claimed, rival, store, stored }) =>
    Effect.gen(function*() {
      const { record, request } = yield* claimed()
      const reply = yield* store.claim(rival(request, { canResolve: true }))
      yield* equal(reply.record, record)
      yield* isAbove(record.leaseUntil, reply.now)
      yield* equal(yield* stored(request), record)
    })),
  test("recognises a claim that is sent again", ({ claimed, store }) =>
    Effect.gen(function*() {
      const { record, request } = yield* claimed()
      const again = yield* store.claim(request)
      yield* hasFields(again.record, { state: "Claimed", fence: record.fence, attempt: 1, owner: request.owner })
    })),
  test("prolongs a claim that is sent again late", ({ advance, claimed, lease, rival, store }) =>
    Effect.gen(function*() {
      const { request } = yield* claimed()
      yield* advance(4 / 3)
      const again = yield* store.claim(request)
      yield* hasFields(again.record, { state: "Claimed", attempt: 1, unresolved: 0 })
      yield* equal(again.record.leaseUntil, again.now + lease)
      const other = yield* store.claim(rival(request, { canResolve: true }))
      yield* equal(other.record.owner, request.owner)
    })),
  test("leaves a record of another fingerprint alone, in whichever state", ({ claimed, rival, store, stored, succeeded, ttl }) =>
    Effect.gen(function*() {
      const inFlight = yield* claimed()
      const done = yield* claimed()
      yield* store.complete({ ...done.mine, completion: succeeded() })
      const free = yield* claimed()
      yield* store.release({ ...free.mine, ttlMillis: ttl })
      const inDoubt = yield* claimed()
      yield* store.complete({ ...inDoubt.mine, completion: unknown() })
      for (const { request } of [inFlight, done, free, inDoubt]) {
        const before = yield* stored(request)
        const { record } = yield* store.claim(rival(request, { fingerprint: "v1:b", canResolve: true }))
        yield* equal(record, before)
        yield* equal(yield* stored(request), before)
      }
    })),
  test("leaves its own record of another fingerprint alone", ({ advance, claimed, store, stored }) =>
    Effect.gen(function*() {
      const { record, request } = yield* claimed()
      yield* advance(1 / 30)
      const before = yield* stored(request)
      yield* equal((yield* store.claim({ ...request, fingerprint: "v1:b" })).record.fingerprint, "v1:a")
      yield* equal(yield* stored(request), before)
      yield* equal(before?.fence, record.fence)
    })),
  test("answers a replay with the result, and writes nothing", ({ advance, claimed, rival, store, stored, succeeded }) =>
    Effect.gen(function*() {
      const { mine, request } = yield* claimed()
      yield* store.complete({ ...mine, completion: succeeded(`{"id":"ch_1"}`) })
      const before = yield* stored(request)
      yield* advance(1 / 30)
      const shifted = yield* stored(request)
      const { record } = yield* store.claim(rival(request, { canResolve: true }))
      yield* equal(record, shifted)
      yield* equal(yield* stored(request), shifted)
      yield* hasFields(record, { state: "Succeeded", result: `{"id":"ch_1"}`, fence: before?.fence, attempt: 1 })
    })),
  test("leaves a lapsed claim alone without a resolver", ({ advance, claimed, rival, store, stored }) =>
    Effect.gen(function*() {
      const { request } = yield* claimed()
      yield* advance(afterLease)
      const before = yield* stored(request)
      const reply = yield* store.claim(rival(request))
      yield* equal(reply.record, before)
      yield* isAtMost(reply.record.leaseUntil, reply.now)
    })),
  test("gives a lapsed claim to one that can resolve it", ({ advance, claimed, lease, rival, store, stored }) =>
    Effect.gen(function*() {
      const { record, request } = yield* claimed()
      yield* advance(afterLease)
      const before = yield* stored(request)
      const other = rival(request, { canResolve: true })
      const taken = yield* store.claim(other)
      yield* hasFields(taken.record, {
        state: "Resolving",
        owner: other.owner,
        attempt: 2,
        unresolved: 1,
        unknownSince: before?.leaseUntil,
        leaseUntil: taken.now + lease,
        expiresAt: undefined
      })
      yield* isAbove(taken.record.fence, record.fence)
    })),
  test("does not give a claim away before its lease has lapsed", ({ advance, claimed, rival, store }) =>
    Effect.gen(function*() {
      const { request } = yield* claimed()
      yield* advance(5 / 6)
      const { record } = yield* store.claim(rival(request, { canResolve: true }))
      yield* hasFields(record, { state: "Claimed", owner: request.owner })
    })),
  test("parks a record whose attempts all lapsed", ({ advance, claimed, rival, store, stored }) =>
    Effect.gen(function*() {
      const { request } = yield* claimed()
      for (let attempt = 1; attempt < 3; attempt++) {
        yield* advance(afterLease)
        const { record } = yield* store.claim(rival(request, { canResolve: true }))
        yield* hasFields(record, { state: "Resolving", unresolved: attempt })
      }
      yield* advance(afterLease)
      const before = yield* stored(request)
      const { record } = yield* store.claim(rival(request, { canResolve: true }))
      yield* hasFields(record, { state: "Parked", unresolved: 3, attempt: 3, owner: before?.owner })
      yield* isAbove(record.fence, before?.fence ?? 0)
    })),
  test("never grants what is parked, nor lets its last owner complete it", ({ advance, claimed, rival, store, succeeded }) =>
    Effect.gen(function*() {
      const { mine, request } = yield* claimed()
      yield* advance(afterLease)
      const parked = yield* store.claim(rival(request, { canResolve: true, attemptsMax: 1 }))
      yield* equal(parked.record.state, "Parked")
      yield* equal((yield* store.claim(rival(request, { canResolve: true }))).record.state, "Parked")
      yield* isFalse(yield* store.complete({ ...mine, completion: succeeded() }))
      yield* advance(100_000)
      yield* equal((yield* store.claim(rival(request, { canResolve: true }))).record.state, "Parked")
    })),
  test("gives what is in doubt only to one that can resolve it", ({ claimed, rival, store, stored }) =>
    Effect.gen(function*() {
      const { mine, record, request } = yield* claimed()
      yield* store.complete({ ...mine, completion: unknown() })
      const before = yield* stored(request)
      yield* equal((yield* store.claim(rival(request))).record, before)
      const other = rival(request, { canResolve: true })
      const taken = yield* store.claim(other)
      yield* hasFields(taken.record, { state: "Resolving", owner: other.owner, unresolved: 1, attempt: 2 })
      yield* equal(taken.record.unknownSince, before?.unknownSince)
      yield* isAbove(taken.record.fence, record.fence)
    })),
  test("grants a released slot with a higher fence", ({ claimed, rival, store, ttl }) =>
    Effect.gen(function*() {
      const { mine, record, request } = yield* claimed()
      yield* store.release({ ...mine, ttlMillis: ttl })
      const other = rival(request)
      const next = yield* store.claim(other)
      yield* hasFields(next.record, {
        state: "Claimed",
        owner: other.owner,
        attempt: 2,
        unresolved: 0,
        expiresAt: undefined
      })
      yield* isAbove(next.record.fence, record.fence)
    })),
  test("takes an expired record for none, but for its fence", ({ advance, claimed, rival, store, succeeded }) =>
    Effect.gen(function*() {
      const { mine, record, request } = yield* claimed()
      yield* store.complete({ ...mine, completion: succeeded() })
      yield* advance(afterTtl)
      const other = rival(request, { fingerprint: "v1:b" })
      const next = yield* store.claim(other)
      yield* hasFields(next.record, {
        state: "Claimed",
        fingerprint: "v1:b",
        owner: other.owner,
        attempt: 1,
        result: undefined,
        expiresAt: undefined,
        createdAt: next.now
      })
      yield* isAbove(next.record.fence, record.fence)
    })),
  test("keeps what is in doubt for ever", ({ advance, claimed, store, stored }) =>
    Effect.gen(function*() {
      const { mine, request } = yield* claimed()
      yield* store.complete({ ...mine, completion: unknown() })
      yield* advance(10_000_000)
      yield* store.sweep({ limit: 1000 })
      yield* equal((yield* stored(request))?.state, "Indeterminate")
    })),
  test("goes by its own clock, whatever the caller's says", ({ advance, claimed, rival, store }) =>
    Effect.gen(function*() {
      const { now, request } = yield* claimed()
      for (const skew of [day, -day]) {
        const early = yield* withSkew(store.claim(rival(request, { canResolve: true })), skew)
        yield* hasFields(early.record, { state: "Claimed", owner: request.owner })
        yield* isAtLeast(early.now, now)
        yield* isAtMost(early.now, now + day / 2)
      }
      const { record } = yield* withSkew(store.claim(rival(request, { fingerprint: "v1:b" })), day)
      yield* equal(record.owner, request.owner)
      yield* advance(afterLease)
      const late = rival(request, { canResolve: true })
      const taken = yield* withSkew(store.claim(late), -day)
      yield* hasFields(taken.record, { state: "Resolving", owner: late.owner })
    }))
]

const day = 86_400_000

/** Runs on a clock that is wrong by so many milliseconds. */
const withSkew = <A, E>(self: Effect.Effect<A, E>, skew: number): Effect.Effect<A, E> =>
  Effect.flatMap(Clock.Clock, (clock) =>
    Effect.provideService(self, Clock.Clock, {
      currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + skew,
      currentTimeMillis: Effect.map(clock.currentTimeMillis, (millis) => millis + skew),
      currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe() + BigInt(skew) * 1_000_000n,
      currentTimeNanos: Effect.map(clock.currentTimeNanos, (nanos) => nanos + BigInt(skew) * 1_000_000n),
      monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
      monotonicTimeNanos: clock.monotonicTimeNanos,
      sleep: (duration) => clock.sleep(duration)
    }))
