/**
 * The contract of what an owner does with its claim.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import {
  afterLease,
  afterTtl,
  equal,
  hasFields,
  held,
  isAbove,
  isFalse,
  isTrue,
  type Test,
  test,
  unknown
} from "./kit.ts"

/** @internal */
export const ends: ReadonlyArray<Test> = [
  test("keeps a success, its time counted from the completion", ({ advance, claimed, store, succeeded, ttl }) =>
    Effect.gen(function*() {
      const { mine, request } = yield* claimed()
      yield* advance(2 / 3)
      yield* isTrue(yield* store.complete({ ...mine, completion: succeeded(`{"a":1}`) }))
      const { now, record } = yield* store.inspect(request)
      yield* hasFields(record, { state: "Succeeded", result: `{"a":1}`, leaseUntil: 0, fence: mine.fence })
      yield* equal(record?.expiresAt, (record?.updatedAt ?? 0) + ttl)
      yield* isAbove(record?.expiresAt ?? 0, now + ttl - ttl / 6)
    })),
  test("keeps a refusal", ({ claimed, refused, store, stored }) =>
    Effect.gen(function*() {
      const { mine, request } = yield* claimed()
      yield* isTrue(yield* store.complete({ ...mine, completion: refused(`{"code":"declined"}`) }))
      yield* hasFields(yield* stored(request), { state: "Refused", result: `{"code":"declined"}` })
    })),
  test("keeps any text and a large result as it is", ({ claimed, store, stored, succeeded }) =>
    Effect.gen(function*() {
      const { mine, request } = yield* claimed()
      const result = `{"text":"'\\"\\\\ %s $1 ? :id é € 💳 \\n"}${"x".repeat(262_144)}`
      yield* isTrue(yield* store.complete({ ...mine, completion: succeeded(result) }))
      yield* equal((yield* stored(request))?.result, result)
    })),
  test("answers a completion that is sent again alike, and changes nothing", ({ advance, claimed, store, stored, succeeded }) =>
    Effect.gen(function*() {
      const { mine, request } = yield* claimed()
      for (const completion of [unknown(), succeeded("1")]) {
        yield* isTrue(yield* store.complete({ ...mine, completion }))
        yield* advance(1 / 30)
        const before = yield* stored(request)
        yield* isTrue(yield* store.complete({ ...mine, completion: { ...completion } }))
        yield* equal(yield* stored(request), before)
      }
    })),
  test("never changes what is completed", ({ claimed, refused, store, stored, succeeded, ttl }) =>
    Effect.gen(function*() {
      const { mine, request } = yield* claimed()
      yield* store.complete({ ...mine, completion: succeeded("1") })
      const before = yield* stored(request)
      yield* isFalse(yield* store.complete({ ...mine, completion: succeeded("2") }))
      yield* isFalse(yield* store.complete({ ...mine, completion: refused("1") }))
      yield* isFalse(yield* store.complete({ ...mine, completion: unknown() }))
      yield* isFalse(yield* store.release({ ...mine, ttlMillis: ttl }))
      yield* equal(yield* stored(request), before)
    })),
  test("refuses another owner, another fence and an absent record", ({ claimed, recordIdOf, store, stored, succeeded }) =>
    Effect.gen(function*() {
      const { mine, record, request } = yield* claimed()
      for (const completion of [succeeded(), unknown()]) {
        yield* isFalse(yield* store.complete({ ...mine, owner: "nobody", completion }))
        yield* isFalse(yield* store.complete({ ...mine, fence: mine.fence - 1, completion }))
        yield* isFalse(yield* store.complete({ ...mine, fence: mine.fence + 1, completion }))
        yield* isFalse(yield* store.complete({ ...mine, ...recordIdOf(), completion }))
      }
      yield* equal(yield* stored(request), record)
    })),
  test("refuses an owner whose record was taken over", ({ advance, claimed, lease, rival, store, stored, succeeded, ttl }) =>
    Effect.gen(function*() {
      const { mine, request } = yield* claimed()
      yield* advance(afterLease)
      const taken = yield* store.claim(rival(request, { canResolve: true }))
      yield* isFalse(yield* store.complete({ ...mine, completion: succeeded("late") }))
      yield* isFalse(yield* store.complete({ ...mine, completion: unknown() }))
      yield* isFalse(yield* store.release({ ...mine, ttlMillis: ttl }))
      yield* equal(yield* store.renew([{ ...mine, leaseMillis: lease }]), [false])
      yield* equal(yield* stored(request), taken.record)
      yield* isTrue(yield* store.complete({ ...held(taken.record), completion: succeeded("found") }))
      yield* equal((yield* stored(request))?.result, "found")
    })),
  test("takes a completion after the lease when nobody else came", ({ advance, claimed, store, stored, succeeded }) =>
    Effect.gen(function*() {
      const { mine, request } = yield* claimed()
      yield* advance(20)
      yield* isTrue(yield* store.complete({ ...mine, completion: succeeded() }))
      yield* equal((yield* stored(request))?.state, "Succeeded")
    })),
  test("counts an unresolved end and notes when the request can last have left", ({ claimed, store }) =>
    Effect.gen(function*() {
      const { mine, request } = yield* claimed()
      yield* isTrue(yield* store.complete({ ...mine, completion: unknown() }))
      const { record } = yield* store.inspect(request)
      yield* hasFields(record, { state: "Indeterminate", unresolved: 1, leaseUntil: 0, expiresAt: undefined })
      yield* equal(record?.unknownSince, record?.updatedAt)
    })),
  test("neither counts nor notes what only looked", ({ advance, claimed, rival, store, stored }) =>
    Effect.gen(function*() {
      const { mine, request } = yield* claimed()
      yield* store.complete({ ...mine, completion: unknown() })
      const looking = yield* store.claim(rival(request, { canResolve: true }))
      yield* advance(1 / 15)
      const before = yield* stored(request)
      const completion = unknown({ ran: false, counted: false })
      yield* isTrue(yield* store.complete({ ...held(looking.record), completion }))
      const after = yield* stored(request)
      yield* hasFields(after, { state: "Indeterminate", unresolved: 1, unknownSince: before?.unknownSince })
    })),
  test("parks at the last unresolved end, for good", ({ claimed, store, stored, succeeded }) =>
    Effect.gen(function*() {
      const { mine, request } = yield* claimed()
      const completion = unknown({ attemptsMax: 1 })
      yield* isTrue(yield* store.complete({ ...mine, completion }))
      yield* hasFields(yield* stored(request), { state: "Parked", unresolved: 1 })
      yield* isTrue(yield* store.complete({ ...mine, completion }))
      yield* isFalse(yield* store.complete({ ...mine, completion: succeeded() }))
      yield* hasFields(yield* stored(request), { state: "Parked", unresolved: 1 })
    })),
  test("takes the result of an owner that had given up", ({ claimed, store, stored, succeeded }) =>
    Effect.gen(function*() {
      const { mine, request } = yield* claimed()
      yield* store.complete({ ...mine, completion: unknown() })
      yield* isTrue(yield* store.complete({ ...mine, completion: succeeded("late") }))
      yield* hasFields(yield* stored(request), { state: "Succeeded", result: "late" })
    })),
  test("frees a slot and keeps its fingerprint and fence", ({ claimed, store, stored, ttl }) =>
    Effect.gen(function*() {
      const { mine, request } = yield* claimed()
      yield* isTrue(yield* store.release({ ...mine, ttlMillis: ttl }))
      const record = yield* stored(request)
      yield* hasFields(record, { state: "Vacant", fingerprint: "v1:a", fence: mine.fence, leaseUntil: 0 })
      yield* equal(record?.expiresAt, (record?.updatedAt ?? 0) + ttl)
    })),
  test("answers a release that is sent again alike, and changes nothing", ({ advance, claimed, store, stored, ttl }) =>
    Effect.gen(function*() {
      const { mine, request } = yield* claimed()
      yield* store.release({ ...mine, ttlMillis: ttl })
      yield* advance(1 / 30)
      const before = yield* stored(request)
      yield* isTrue(yield* store.release({ ...mine, ttlMillis: ttl }))
      yield* equal(yield* stored(request), before)
    })),
  test("does not release what is in doubt, nor for another owner", ({ claimed, store, stored, ttl }) =>
    Effect.gen(function*() {
      const { mine, request } = yield* claimed()
      yield* isFalse(yield* store.release({ ...mine, owner: "nobody", ttlMillis: ttl }))
      yield* isFalse(yield* store.release({ ...mine, fence: mine.fence - 1, ttlMillis: ttl }))
      yield* store.complete({ ...mine, completion: unknown() })
      yield* isFalse(yield* store.release({ ...mine, ttlMillis: ttl }))
      yield* equal((yield* stored(request))?.state, "Indeterminate")
    })),
  test("forgets a released record after its time", ({ advance, claimed, rival, store, ttl }) =>
    Effect.gen(function*() {
      const { mine, request } = yield* claimed()
      yield* store.release({ ...mine, ttlMillis: ttl })
      yield* advance(afterTtl)
      const next = yield* store.claim(rival(request, { fingerprint: "v1:b" }))
      yield* hasFields(next.record, { state: "Claimed", fingerprint: "v1:b", attempt: 1 })
    })),
  test("keeps a claim alive for as long as it is renewed", ({ advance, claimed, lease, rival, store }) =>
    Effect.gen(function*() {
      const { mine, request } = yield* claimed()
      for (let beat = 0; beat < 5; beat++) {
        yield* advance(2 / 3)
        yield* equal(yield* store.renew([{ ...mine, leaseMillis: lease }]), [true])
        const { record } = yield* store.claim(rival(request, { canResolve: true }))
        yield* hasFields(record, { state: "Claimed", owner: request.owner, fence: mine.fence, attempt: 1 })
        yield* equal(record.leaseUntil, record.updatedAt + lease)
      }
    })),
  test("never shortens a lease", ({ claimed, store, stored }) =>
    Effect.gen(function*() {
      const { mine, record, request } = yield* claimed()
      yield* equal(yield* store.renew([{ ...mine, leaseMillis: 1 }]), [true])
      yield* equal((yield* stored(request))?.leaseUntil, record.leaseUntil)
    })),
  test("answers many renewals in their order, each on its own", ({ recordIdOf, claimed, lease, store, succeeded }) =>
    Effect.gen(function*() {
      const { mine } = yield* claimed()
      const done = yield* claimed()
      yield* store.complete({ ...done.mine, completion: succeeded() })
      const other = yield* claimed()
      const leaseMillis = lease
      const answers = yield* store.renew([
        { ...mine, fence: mine.fence - 1, leaseMillis },
        { ...done.mine, leaseMillis },
        { ...other.mine, leaseMillis },
        { ...mine, ...recordIdOf(), leaseMillis },
        { ...mine, owner: "nobody", leaseMillis },
        { ...mine, leaseMillis },
        { ...mine, leaseMillis }
      ])
      yield* equal(answers, [false, false, true, false, false, true, true])
      yield* equal(yield* store.renew([]), [])
    })),
  test("renews hundreds at once", ({ advance, lease, requestOf, store }) =>
    Effect.gen(function*() {
      const all = yield* Effect.forEach(Array.from({ length: 300 }, () => requestOf()), (request) =>
        Effect.map(store.claim(request), ({ record }) => ({ ...held(record), leaseMillis: lease })), {
        concurrency: "unbounded"
      })
      yield* advance(2 / 3)
      yield* equal(
        yield* store.renew(all),
        all.map(() =>
          true
        )
      )
      yield* advance(2 / 3)
      yield* equal(yield* store.renew(all), all.map(() => true))
    }))
]
