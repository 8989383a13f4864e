/** What every idempotency store has to do, on a clock of its own. */
import { assert, it as test } from "@effect/vitest"
import { type Duration, Effect, type Layer } from "effect"
import { IdempotencyStore } from "effect-payments"
import type { ClaimRequest, Record } from "../../src/internal/idempotency/record.ts"
import { fresh, lease, requestOf, rival } from "./request.ts"

type Store = IdempotencyStore.IdempotencyStore["Service"]

export interface ContractOptions<R> {
  /** Whether the layer runs on the real clock. */
  readonly live: boolean
  /** Lets time pass for the store without waiting. */
  readonly advance: (duration: Duration.Input) => Effect.Effect<unknown, unknown, R>
}

const ttl = 60_000
const succeeded = (result = "{}", ttlMillis = ttl) => ({ _tag: "Succeeded", result, ttlMillis }) as const
const refused = (result = "{}", ttlMillis = ttl) => ({ _tag: "Refused", result, ttlMillis }) as const
const unknown = (options?: { readonly ran?: boolean; readonly counted?: boolean; readonly attemptsMax?: number }) =>
  ({ _tag: "Indeterminate", ran: true, counted: true, attemptsMax: 3, ...options }) as const

const held = (record: Record) => ({
  id: record.id,
  scope: record.scope,
  key: record.key,
  owner: record.owner,
  fence: record.fence
})

/** A record that is not there. */
const recordIdOf = () => {
  const { id, key, scope } = requestOf()
  return { id, key, scope }
}

const assertRecord = (
  record: Record | undefined,
  expected: { readonly [Key in keyof Record]?: Record[Key] | undefined }
): void => {
  assert.isDefined(record)
  const actual = Object.fromEntries(Object.entries(record).filter(([key]) => key in expected))
  assert.deepStrictEqual<object>(actual, expected)
}

const storeEffect = IdempotencyStore.IdempotencyStore

/** A record that is claimed, and the store. */
const claimed = (options?: Parameters<typeof requestOf>[0]) =>
  Effect.gen(function*() {
    const store = yield* storeEffect
    const request = requestOf(options)
    const { record, now } = yield* store.claim(request)
    return { store, request, record, now, mine: held(record) }
  })

const stored = (store: Store, request: ClaimRequest) => Effect.map(store.inspect(request), ({ record }) => record)

export const storeContract = <R>(
  name: string,
  layer: Layer.Layer<IdempotencyStore.IdempotencyStore | R, unknown>,
  { advance, live }: ContractOptions<R>
): void => {
  test.layer(layer, { excludeTestServices: live })(name, (it) => {
    // --- claim

    it.effect("grants a free slot", () =>
      Effect.gen(function*() {
        const { now, record, request } = yield* claimed()
        assert.deepStrictEqual(record, {
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
      }))

    it.effect("answers a rival with the record in flight, and leaves it alone", () =>
      Effect.gen(function*() {
        const { record, request, store } = yield* claimed()
        const reply = yield* store.claim(rival(request, { canResolve: true }))
        assert.deepStrictEqual(reply.record, record)
        assert.isAbove(record.leaseUntil, reply.now)
        assert.deepStrictEqual(yield* stored(store, request), record)
      }))

    it.effect("recognises a claim that is sent again", () =>
      Effect.gen(function*() {
        const { record, request, store } = yield* claimed()
        const again = yield* store.claim(request)
        assertRecord(again.record, { state: "Claimed", fence: record.fence, attempt: 1, owner: request.owner })
      }))

    it.effect("prolongs a claim that is sent again late", () =>
      Effect.gen(function*() {
        const { request, store } = yield* claimed()
        yield* advance("40 seconds")
        const again = yield* store.claim(request)
        assertRecord(again.record, { state: "Claimed", attempt: 1, unresolved: 0 })
        assert.strictEqual(again.record.leaseUntil, again.now + lease)
        const other = yield* store.claim(rival(request, { canResolve: true }))
        assert.strictEqual(other.record.owner, request.owner)
      }))

    it.effect("leaves a record of another fingerprint alone, in whichever state", () =>
      Effect.gen(function*() {
        const store = yield* storeEffect
        const inFlight = yield* claimed()
        const done = yield* claimed()
        yield* store.complete({ ...done.mine, completion: succeeded() })
        const free = yield* claimed()
        yield* store.release({ ...free.mine, ttlMillis: ttl })
        const inDoubt = yield* claimed()
        yield* store.complete({ ...inDoubt.mine, completion: unknown() })
        for (const { request } of [inFlight, done, free, inDoubt]) {
          const before = yield* stored(store, request)
          const { record } = yield* store.claim(rival(request, { fingerprint: "v1:b", canResolve: true }))
          assert.deepStrictEqual(record, before)
          assert.deepStrictEqual(yield* stored(store, request), before)
        }
      }))

    it.effect("leaves its own record of another fingerprint alone", () =>
      Effect.gen(function*() {
        const { record, request, store } = yield* claimed()
        yield* advance("1 second")
        const before = yield* stored(store, request)
        assert.strictEqual((yield* store.claim({ ...request, fingerprint: "v1:b" })).record.fingerprint, "v1:a")
        assert.deepStrictEqual(yield* stored(store, request), before)
        assert.strictEqual(before?.fence, record.fence)
      }))

    it.effect("answers a replay with the result, and writes nothing", () =>
      Effect.gen(function*() {
        const { mine, request, store } = yield* claimed()
        yield* store.complete({ ...mine, completion: succeeded(`{"id":"ch_1"}`) })
        const before = yield* stored(store, request)
        yield* advance("1 second")
        const shifted = yield* stored(store, request)
        const { record } = yield* store.claim(rival(request, { canResolve: true }))
        assert.deepStrictEqual(record, shifted)
        assert.deepStrictEqual(yield* stored(store, request), shifted)
        assertRecord(record, { state: "Succeeded", result: `{"id":"ch_1"}`, fence: before?.fence, attempt: 1 })
      }))

    it.effect("leaves a lapsed claim alone without a resolver", () =>
      Effect.gen(function*() {
        const { request, store } = yield* claimed()
        yield* advance("31 seconds")
        const before = yield* stored(store, request)
        const reply = yield* store.claim(rival(request))
        assert.deepStrictEqual(reply.record, before)
        assert.isAtMost(reply.record.leaseUntil, reply.now)
      }))

    it.effect("gives a lapsed claim to one that can resolve it", () =>
      Effect.gen(function*() {
        const { record, request, store } = yield* claimed()
        yield* advance("31 seconds")
        const before = yield* stored(store, request)
        const other = rival(request, { canResolve: true })
        const taken = yield* store.claim(other)
        assertRecord(taken.record, {
          state: "Resolving",
          owner: other.owner,
          attempt: 2,
          unresolved: 1,
          unknownSince: before?.leaseUntil,
          leaseUntil: taken.now + lease,
          expiresAt: undefined
        })
        assert.isAbove(taken.record.fence, record.fence)
      }))

    it.effect("does not give a claim away before its lease has lapsed", () =>
      Effect.gen(function*() {
        const { request, store } = yield* claimed()
        yield* advance("25 seconds")
        const { record } = yield* store.claim(rival(request, { canResolve: true }))
        assertRecord(record, { state: "Claimed", owner: request.owner })
      }))

    it.effect("parks a record whose attempts all lapsed", () =>
      Effect.gen(function*() {
        const { request, store } = yield* claimed()
        for (let attempt = 1; attempt < 3; attempt++) {
          yield* advance("31 seconds")
          const { record } = yield* store.claim(rival(request, { canResolve: true }))
          assertRecord(record, { state: "Resolving", unresolved: attempt })
        }
        yield* advance("31 seconds")
        const before = yield* stored(store, request)
        const { record } = yield* store.claim(rival(request, { canResolve: true }))
        assertRecord(record, { state: "Parked", unresolved: 3, attempt: 3, owner: before?.owner })
        assert.isAbove(record.fence, before?.fence ?? 0)
      }))

    it.effect("never grants what is parked, nor lets its last owner complete it", () =>
      Effect.gen(function*() {
        const { mine, request, store } = yield* claimed()
        yield* advance("31 seconds")
        const parked = yield* store.claim(rival(request, { canResolve: true, attemptsMax: 1 }))
        assert.strictEqual(parked.record.state, "Parked")
        assert.strictEqual((yield* store.claim(rival(request, { canResolve: true }))).record.state, "Parked")
        assert.isFalse(yield* store.complete({ ...mine, completion: succeeded() }))
        yield* advance("30 days")
        assert.strictEqual((yield* store.claim(rival(request, { canResolve: true }))).record.state, "Parked")
      }))

    it.effect("gives what is in doubt only to one that can resolve it", () =>
      Effect.gen(function*() {
        const { mine, record, request, store } = yield* claimed()
        yield* store.complete({ ...mine, completion: unknown() })
        const before = yield* stored(store, request)
        assert.deepStrictEqual((yield* store.claim(rival(request))).record, before)
        const other = rival(request, { canResolve: true })
        const taken = yield* store.claim(other)
        assertRecord(taken.record, { state: "Resolving", owner: other.owner, unresolved: 1, attempt: 2 })
        assert.strictEqual(taken.record.unknownSince, before?.unknownSince)
        assert.isAbove(taken.record.fence, record.fence)
      }))

    it.effect("grants a released slot with a higher fence", () =>
      Effect.gen(function*() {
        const { mine, record, request, store } = yield* claimed()
        yield* store.release({ ...mine, ttlMillis: ttl })
        const other = rival(request)
        const next = yield* store.claim(other)
        assertRecord(next.record, {
          state: "Claimed",
          owner: other.owner,
          attempt: 2,
          unresolved: 0,
          expiresAt: undefined
        })
        assert.isAbove(next.record.fence, record.fence)
      }))

    it.effect("takes an expired record for none, but for its fence", () =>
      Effect.gen(function*() {
        const { mine, record, request, store } = yield* claimed()
        yield* store.complete({ ...mine, completion: succeeded() })
        yield* advance("61 seconds")
        const other = rival(request, { fingerprint: "v1:b" })
        const next = yield* store.claim(other)
        assertRecord(next.record, {
          state: "Claimed",
          fingerprint: "v1:b",
          owner: other.owner,
          attempt: 1,
          result: undefined,
          expiresAt: undefined,
          createdAt: next.now
        })
        assert.isAbove(next.record.fence, record.fence)
      }))

    it.effect("keeps what is in doubt for ever", () =>
      Effect.gen(function*() {
        const { mine, request, store } = yield* claimed()
        yield* store.complete({ ...mine, completion: unknown() })
        yield* advance("3650 days")
        yield* store.sweep({ limit: 1000 })
        assert.strictEqual((yield* stored(store, request))?.state, "Indeterminate")
      }))

    // --- complete

    it.effect("keeps a success, its time counted from the completion", () =>
      Effect.gen(function*() {
        const { mine, request, store } = yield* claimed()
        yield* advance("20 seconds")
        assert.isTrue(yield* store.complete({ ...mine, completion: succeeded(`{"a":1}`) }))
        const { now, record } = yield* store.inspect(request)
        assertRecord(record, { state: "Succeeded", result: `{"a":1}`, leaseUntil: 0, fence: mine.fence })
        assert.strictEqual(record?.expiresAt, (record?.updatedAt ?? 0) + ttl)
        assert.isAbove(record?.expiresAt ?? 0, now + ttl - 10_000)
      }))

    it.effect("keeps a refusal", () =>
      Effect.gen(function*() {
        const { mine, request, store } = yield* claimed()
        assert.isTrue(yield* store.complete({ ...mine, completion: refused(`{"code":"declined"}`) }))
        assertRecord(yield* stored(store, request), { state: "Refused", result: `{"code":"declined"}` })
      }))

    it.effect("keeps any text and a large result as it is", () =>
      Effect.gen(function*() {
        const { mine, request, store } = yield* claimed()
        const result = `{"text":"'\\"\\\\ %s $1 ? :id é € 💳 \\n"}${"x".repeat(262_144)}`
        assert.isTrue(yield* store.complete({ ...mine, completion: succeeded(result) }))
        assert.strictEqual((yield* stored(store, request))?.result, result)
      }))

    it.effect("answers a completion that is sent again alike, and changes nothing", () =>
      Effect.gen(function*() {
        const { mine, request, store } = yield* claimed()
        for (const completion of [unknown(), succeeded("1")]) {
          assert.isTrue(yield* store.complete({ ...mine, completion }))
          yield* advance("1 second")
          const before = yield* stored(store, request)
          assert.isTrue(yield* store.complete({ ...mine, completion: { ...completion } }))
          assert.deepStrictEqual(yield* stored(store, request), before)
        }
      }))

    it.effect("never changes what is completed", () =>
      Effect.gen(function*() {
        const { mine, request, store } = yield* claimed()
        yield* store.complete({ ...mine, completion: succeeded("1") })
        const before = yield* stored(store, request)
        assert.isFalse(yield* store.complete({ ...mine, completion: succeeded("2") }))
        assert.isFalse(yield* store.complete({ ...mine, completion: refused("1") }))
        assert.isFalse(yield* store.complete({ ...mine, completion: unknown() }))
        assert.isFalse(yield* store.release({ ...mine, ttlMillis: ttl }))
        assert.deepStrictEqual(yield* stored(store, request), before)
      }))

    it.effect("refuses another owner, another fence and an absent record", () =>
      Effect.gen(function*() {
        const { mine, record, request, store } = yield* claimed()
        for (const completion of [succeeded(), unknown()]) {
          assert.isFalse(yield* store.complete({ ...mine, owner: "nobody", completion }))
          assert.isFalse(yield* store.complete({ ...mine, fence: mine.fence - 1, completion }))
          assert.isFalse(yield* store.complete({ ...mine, fence: mine.fence + 1, completion }))
          assert.isFalse(yield* store.complete({ ...mine, ...recordIdOf(), completion }))
        }
        assert.deepStrictEqual(yield* stored(store, request), record)
      }))

    it.effect("refuses an owner whose record was taken over", () =>
      Effect.gen(function*() {
        const { mine, request, store } = yield* claimed()
        yield* advance("31 seconds")
        const taken = yield* store.claim(rival(request, { canResolve: true }))
        assert.isFalse(yield* store.complete({ ...mine, completion: succeeded("late") }))
        assert.isFalse(yield* store.complete({ ...mine, completion: unknown() }))
        assert.isFalse(yield* store.release({ ...mine, ttlMillis: ttl }))
        assert.deepStrictEqual(yield* store.renew([{ ...mine, leaseMillis: lease }]), [false])
        assert.deepStrictEqual(yield* stored(store, request), taken.record)
        assert.isTrue(yield* store.complete({ ...held(taken.record), completion: succeeded("found") }))
        assert.strictEqual((yield* stored(store, request))?.result, "found")
      }))

    it.effect("takes a completion after the lease when nobody else came", () =>
      Effect.gen(function*() {
        const { mine, request, store } = yield* claimed()
        yield* advance("10 minutes")
        assert.isTrue(yield* store.complete({ ...mine, completion: succeeded() }))
        assert.strictEqual((yield* stored(store, request))?.state, "Succeeded")
      }))

    it.effect("counts an unresolved end and notes when the request can last have left", () =>
      Effect.gen(function*() {
        const { mine, request, store } = yield* claimed()
        assert.isTrue(yield* store.complete({ ...mine, completion: unknown() }))
        const { record } = yield* store.inspect(request)
        assertRecord(record, { state: "Indeterminate", unresolved: 1, leaseUntil: 0, expiresAt: undefined })
        assert.strictEqual(record?.unknownSince, record?.updatedAt)
      }))

    it.effect("neither counts nor notes what only looked", () =>
      Effect.gen(function*() {
        const { mine, request, store } = yield* claimed()
        yield* store.complete({ ...mine, completion: unknown() })
        const looking = yield* store.claim(rival(request, { canResolve: true }))
        yield* advance("2 seconds")
        const before = yield* stored(store, request)
        const completion = unknown({ ran: false, counted: false })
        assert.isTrue(yield* store.complete({ ...held(looking.record), completion }))
        const after = yield* stored(store, request)
        assertRecord(after, { state: "Indeterminate", unresolved: 1, unknownSince: before?.unknownSince })
      }))

    it.effect("parks at the last unresolved end, for good", () =>
      Effect.gen(function*() {
        const { mine, request, store } = yield* claimed()
        const completion = unknown({ attemptsMax: 1 })
        assert.isTrue(yield* store.complete({ ...mine, completion }))
        assertRecord(yield* stored(store, request), { state: "Parked", unresolved: 1 })
        assert.isTrue(yield* store.complete({ ...mine, completion }))
        assert.isFalse(yield* store.complete({ ...mine, completion: succeeded() }))
        assertRecord(yield* stored(store, request), { state: "Parked", unresolved: 1 })
      }))

    it.effect("takes the result of an owner that had given up", () =>
      Effect.gen(function*() {
        const { mine, request, store } = yield* claimed()
        yield* store.complete({ ...mine, completion: unknown() })
        assert.isTrue(yield* store.complete({ ...mine, completion: succeeded("late") }))
        assertRecord(yield* stored(store, request), { state: "Succeeded", result: "late" })
      }))

    // --- release

    it.effect("frees a slot and keeps its fingerprint and fence", () =>
      Effect.gen(function*() {
        const { mine, request, store } = yield* claimed()
        assert.isTrue(yield* store.release({ ...mine, ttlMillis: ttl }))
        const record = yield* stored(store, request)
        assertRecord(record, { state: "Vacant", fingerprint: "v1:a", fence: mine.fence, leaseUntil: 0 })
        assert.strictEqual(record?.expiresAt, (record?.updatedAt ?? 0) + ttl)
      }))

    it.effect("answers a release that is sent again alike, and changes nothing", () =>
      Effect.gen(function*() {
        const { mine, request, store } = yield* claimed()
        yield* store.release({ ...mine, ttlMillis: ttl })
        yield* advance("1 second")
        const before = yield* stored(store, request)
        assert.isTrue(yield* store.release({ ...mine, ttlMillis: ttl }))
        assert.deepStrictEqual(yield* stored(store, request), before)
      }))

    it.effect("does not release what is in doubt, nor for another owner", () =>
      Effect.gen(function*() {
        const { mine, request, store } = yield* claimed()
        assert.isFalse(yield* store.release({ ...mine, owner: "nobody", ttlMillis: ttl }))
        assert.isFalse(yield* store.release({ ...mine, fence: mine.fence - 1, ttlMillis: ttl }))
        yield* store.complete({ ...mine, completion: unknown() })
        assert.isFalse(yield* store.release({ ...mine, ttlMillis: ttl }))
        assert.strictEqual((yield* stored(store, request))?.state, "Indeterminate")
      }))

    it.effect("forgets a released record after its time", () =>
      Effect.gen(function*() {
        const { mine, request, store } = yield* claimed()
        yield* store.release({ ...mine, ttlMillis: ttl })
        yield* advance("61 seconds")
        const next = yield* store.claim(rival(request, { fingerprint: "v1:b" }))
        assertRecord(next.record, { state: "Claimed", fingerprint: "v1:b", attempt: 1 })
      }))

    // --- renew

    it.effect("keeps a claim alive for as long as it is renewed", () =>
      Effect.gen(function*() {
        const { mine, request, store } = yield* claimed()
        for (let beat = 0; beat < 5; beat++) {
          yield* advance("20 seconds")
          assert.deepStrictEqual(yield* store.renew([{ ...mine, leaseMillis: lease }]), [true])
          const { record } = yield* store.claim(rival(request, { canResolve: true }))
          assertRecord(record, { state: "Claimed", owner: request.owner, fence: mine.fence, attempt: 1 })
          assert.strictEqual(record.leaseUntil, record.updatedAt + lease)
        }
      }))

    it.effect("never shortens a lease", () =>
      Effect.gen(function*() {
        const { mine, record, request, store } = yield* claimed()
        assert.deepStrictEqual(yield* store.renew([{ ...mine, leaseMillis: 1 }]), [true])
        assert.strictEqual((yield* stored(store, request))?.leaseUntil, record.leaseUntil)
      }))

    it.effect("answers many renewals in their order, each on its own", () =>
      Effect.gen(function*() {
        const { mine, store } = yield* claimed()
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
        assert.deepStrictEqual(answers, [false, false, true, false, false, true, true])
        assert.deepStrictEqual(yield* store.renew([]), [])
      }))

    it.effect("renews hundreds at once", () =>
      Effect.gen(function*() {
        const store = yield* storeEffect
        const all = yield* Effect.forEach(Array.from({ length: 300 }, () => requestOf()), (request) =>
          Effect.map(store.claim(request), ({ record }) => ({ ...held(record), leaseMillis: lease })), {
          concurrency: "unbounded"
        })
        yield* advance("20 seconds")
        assert.deepStrictEqual(
          yield* store.renew(all),
          all.map(() =>
            true
          )
        )
        yield* advance("20 seconds")
        assert.deepStrictEqual(yield* store.renew(all), all.map(() => true))
      }))

    // --- resolve

    it.effect("resolves what is in doubt, parked or lapsed", () =>
      Effect.gen(function*() {
        const store = yield* storeEffect
        const inDoubt = yield* claimed()
        yield* store.complete({ ...inDoubt.mine, completion: unknown() })
        const parked = yield* claimed()
        yield* store.complete({ ...parked.mine, completion: unknown({ attemptsMax: 1 }) })
        const lapsed = yield* claimed()
        yield* advance("31 seconds")
        for (const { mine, request } of [inDoubt, parked, lapsed]) {
          const resolution = { _tag: "Succeeded", result: "found" } as const
          assert.isTrue(yield* store.resolve({ ...request, fence: mine.fence, ttlMillis: ttl, resolution }))
          const record = yield* stored(store, request)
          assertRecord(record, { state: "Succeeded", result: "found", leaseUntil: 0 })
          assert.isAbove(record?.fence ?? 0, mine.fence)
          assert.strictEqual(record?.expiresAt, (record?.updatedAt ?? 0) + ttl)
          assert.isFalse(yield* store.complete({ ...mine, completion: succeeded("late") }))
        }
      }))

    it.effect("resolves as a refusal", () =>
      Effect.gen(function*() {
        const { mine, request, store } = yield* claimed()
        yield* store.complete({ ...mine, completion: unknown() })
        const resolution = { _tag: "Refused", result: "no" } as const
        assert.isTrue(yield* store.resolve({ ...request, fence: mine.fence, ttlMillis: ttl, resolution }))
        assertRecord(yield* stored(store, request), { state: "Refused", result: "no" })
      }))

    it.effect("frees what never happened, its count begun anew", () =>
      Effect.gen(function*() {
        const { mine, request, store } = yield* claimed()
        yield* store.complete({ ...mine, completion: unknown({ attemptsMax: 1 }) })
        const resolve = {
          ...request,
          fence: mine.fence,
          ttlMillis: ttl,
          resolution: { _tag: "NeverHappened" }
        } as const
        assert.isTrue(yield* store.resolve(resolve))
        assertRecord(yield* stored(store, request), { state: "Vacant", unresolved: 0, fingerprint: "v1:a" })
        const next = yield* store.claim(rival(request))
        assertRecord(next.record, { state: "Claimed", attempt: 2 })
        assert.isFalse(yield* store.resolve(resolve))
      }))

    it.effect("does not resolve what is in flight, finished, free, absent or of another fence", () =>
      Effect.gen(function*() {
        const store = yield* storeEffect
        const inFlight = yield* claimed()
        const done = yield* claimed()
        yield* store.complete({ ...done.mine, completion: refused() })
        const free = yield* claimed()
        yield* store.release({ ...free.mine, ttlMillis: ttl })
        const inDoubt = yield* claimed()
        yield* store.complete({ ...inDoubt.mine, completion: unknown() })
        const cases = [
          { request: inFlight.request, fence: inFlight.mine.fence },
          { request: done.request, fence: done.mine.fence },
          { request: free.request, fence: free.mine.fence },
          { request: requestOf(), fence: 1 },
          { request: inDoubt.request, fence: inDoubt.mine.fence - 1 },
          { request: inDoubt.request, fence: inDoubt.mine.fence + 1 }
        ]
        for (const resolution of [{ _tag: "Succeeded", result: "x" }, { _tag: "NeverHappened" }] as const) {
          for (const { fence, request } of cases) {
            const before = yield* stored(store, request)
            assert.isFalse(yield* store.resolve({ ...request, fence, ttlMillis: ttl, resolution }))
            assert.deepStrictEqual(yield* stored(store, request), before)
          }
        }
      }))

    it.effect("answers a resolution that is sent again alike, and changes nothing", () =>
      Effect.gen(function*() {
        const store = yield* storeEffect
        for (const resolution of [{ _tag: "Succeeded", result: "x" }, { _tag: "NeverHappened" }] as const) {
          const { mine, request } = yield* claimed()
          yield* store.complete({ ...mine, completion: unknown() })
          const resolve = { ...request, fence: mine.fence, ttlMillis: ttl, resolution }
          assert.isTrue(yield* store.resolve(resolve))
          yield* advance("1 second")
          const before = yield* stored(store, request)
          assert.isTrue(yield* store.resolve({ ...resolve, resolution: { ...resolution } }))
          assert.isFalse(yield* store.resolve({ ...resolve, resolution: { _tag: "Succeeded", result: "y" } }))
          assert.deepStrictEqual(yield* stored(store, request), before)
        }
      }))

    // --- inspect, list, evict, sweep

    it.effect("answers the time with a record that is not there", () =>
      Effect.gen(function*() {
        const store = yield* storeEffect
        const { now } = yield* claimed()
        const answer = yield* store.inspect(requestOf())
        assert.isUndefined(answer.record)
        assert.isAtLeast(answer.now, now)
      }))

    it.effect("lists by tenant and operation, and takes no name for the beginning of another", () =>
      Effect.gen(function*() {
        const store = yield* storeEffect
        const tenant = fresh("tenant")
        for (const name of [tenant, `${tenant}x`, `x${tenant}`]) {
          for (const operation of ["charge", "chargeback", "refund"]) {
            yield* store.claim(requestOf({ tenant: name, operation }))
            yield* store.claim(requestOf({ tenant: name, operation, version: 2 }))
          }
        }
        const page = yield* store.list({ tenant, limit: 1000 })
        assert.strictEqual(page.length, 6)
        assert.isTrue(page.every((record) => record.scope.tenant === tenant))
        const one = yield* store.list({ tenant, operation: "charge", limit: 1000 })
        assert.deepStrictEqual(one.map(({ scope }) => scope.version), [1, 2])
        assert.isTrue(one.every(({ scope }) => scope.operation === "charge"))
        const all = yield* store.list({ operation: "chargeback", limit: 1000 })
        assert.isAtLeast(all.length, 6)
        assert.isTrue(all.every(({ scope }) => scope.operation === "chargeback"))
        assert.deepStrictEqual(yield* store.list({ tenant: fresh("nobody"), limit: 10 }), [])
      }))

    it.effect("lists page by page in the order of the ids", () =>
      Effect.gen(function*() {
        const store = yield* storeEffect
        const tenant = fresh("tenant")
        const names = ["b", "a", "Z", "_", "10", "9", "~", "B"]
        const ids = yield* Effect.forEach(names, (name) =>
          Effect.map(store.claim(requestOf({ tenant, name })), ({ record }) => record.id))
        const seen: Array<string> = []
        let after: string | undefined
        for (let pages = 0; pages < 10; pages++) {
          const page = yield* store.list({ tenant, limit: 3, after })
          if (page.length === 0) {
            break
          }
          seen.push(...page.map(({ id }) =>
            id
          ))
          after = seen.at(-1)
        }
        assert.deepStrictEqual(seen, ids.sort())
      }))

    it.effect("lists by state, and what is stuck", () =>
      Effect.gen(function*() {
        const store = yield* storeEffect
        const tenant = fresh("tenant")
        const lapsed = yield* claimed({ tenant })
        yield* advance("31 seconds")
        yield* claimed({ tenant })
        const done = yield* claimed({ tenant })
        yield* store.complete({ ...done.mine, completion: succeeded() })
        const inDoubt = yield* claimed({ tenant })
        yield* store.complete({ ...inDoubt.mine, completion: unknown() })
        const parked = yield* claimed({ tenant })
        yield* store.complete({ ...parked.mine, completion: unknown({ attemptsMax: 1 }) })
        const keysOf = (records: ReadonlyArray<Record>) => records.map(({ key }) => key).sort()
        const stuck = yield* store.list({ tenant, stuck: true, limit: 10 })
        assert.deepStrictEqual(keysOf(stuck), [lapsed, inDoubt, parked].map(({ request }) => request.key).sort())
        const byState = yield* store.list({ tenant, state: "Succeeded", limit: 10 })
        assert.deepStrictEqual(keysOf(byState), [done.request.key])
        assert.deepStrictEqual(byState[0], yield* stored(store, done.request))
        const stuckAndParked = yield* store.list({ tenant, stuck: true, state: "Parked", limit: 10 })
        assert.deepStrictEqual(keysOf(stuckAndParked), [parked.request.key])
      }))

    it.effect("refuses pages and sweeps without a bound", () =>
      Effect.gen(function*() {
        const store = yield* storeEffect
        for (const limit of [0, -1, 1.5, Number.NaN, 100_000]) {
          assert.strictEqual((yield* Effect.flip(store.list({ limit })))._tag, "StoreUnavailable")
          assert.strictEqual((yield* Effect.flip(store.sweep({ limit })))._tag, "StoreUnavailable")
        }
      }))

    it.effect("evicts what is finished or free, and the rest only with force", () =>
      Effect.gen(function*() {
        const store = yield* storeEffect
        const done = yield* claimed()
        yield* store.complete({ ...done.mine, completion: succeeded() })
        const free = yield* claimed()
        yield* store.release({ ...free.mine, ttlMillis: ttl })
        const inFlight = yield* claimed()
        const inDoubt = yield* claimed()
        yield* store.complete({ ...inDoubt.mine, completion: unknown() })
        const parked = yield* claimed()
        yield* store.complete({ ...parked.mine, completion: unknown({ attemptsMax: 1 }) })
        for (const { request } of [done, free]) {
          assert.strictEqual(yield* store.evict(request, { force: false }), "Evicted")
          assert.isUndefined(yield* stored(store, request))
          assert.strictEqual(yield* store.evict(request, { force: false }), "Absent")
        }
        for (const { request } of [inFlight, inDoubt, parked]) {
          const before = yield* stored(store, request)
          assert.strictEqual(yield* store.evict(request, { force: false }), "Held")
          assert.deepStrictEqual(yield* stored(store, request), before)
          assert.strictEqual(yield* store.evict(request, { force: true }), "Evicted")
          assert.isUndefined(yield* stored(store, request))
        }
      }))

    it.effect("does not begin the fence anew after an eviction", () =>
      Effect.gen(function*() {
        const { mine, record, request, store } = yield* claimed()
        yield* store.evict(request, { force: true })
        const next = yield* store.claim(rival(request, { fingerprint: "v1:b" }))
        assertRecord(next.record, { state: "Claimed", attempt: 1, fingerprint: "v1:b" })
        assert.isAtLeast(next.record.fence, record.fence)
        assert.isFalse(yield* store.complete({ ...mine, completion: succeeded() }))
      }))

    it.effect("sweeps what has expired, no more than asked and nothing else", () =>
      Effect.gen(function*() {
        const store = yield* storeEffect
        yield* advance("1 day")
        while ((yield* store.sweep({ limit: 1000 })) > 0) yield* Effect.yieldNow
        const expired = yield* Effect.forEach([1, 2, 3], () => claimed())
        for (const { mine } of expired) yield* store.complete({ ...mine, completion: succeeded("{}", 10_000) })
        const kept = yield* claimed()
        yield* store.complete({ ...kept.mine, completion: succeeded("{}", 600_000) })
        const lapsed = yield* claimed()
        yield* advance("40 seconds")
        assert.strictEqual(yield* store.sweep({ limit: 2 }), 2)
        assert.strictEqual(yield* store.sweep({ limit: 1000 }), 1)
        assert.strictEqual(yield* store.sweep({ limit: 1000 }), 0)
        for (const { request } of expired) assert.isUndefined(yield* stored(store, request))
        assert.strictEqual((yield* stored(store, kept.request))?.state, "Succeeded")
        assert.strictEqual((yield* stored(store, lapsed.request))?.state, "Claimed")
      }))

    // --- scope

    it.effect("keeps tenants, operations and versions apart", () =>
      Effect.gen(function*() {
        const store = yield* storeEffect
        const name = fresh("key-")
        const scopes = [
          { tenant: "a", operation: "b" },
          { tenant: "a", operation: "b", version: 2 },
          { tenant: "a", operation: "c" },
          { tenant: "b", operation: "b" },
          { tenant: "a1", operation: "b" },
          { tenant: "a", operation: "1b" },
          { tenant: "a1:b", operation: "b" }
        ]
        for (const scope of scopes) {
          const request = requestOf({ ...scope, name, fingerprint: JSON.stringify(scope) })
          const { record } = yield* store.claim(request)
          assertRecord(record, { state: "Claimed", owner: request.owner, fingerprint: request.fingerprint })
        }
      }))

    it.effect("takes keys of any printable character and full length", () =>
      Effect.gen(function*() {
        const store = yield* storeEffect
        for (const name of [`'"\\%_?$1:x;--`, "x".repeat(255), "A a", "a A"]) {
          const { record } = yield* store.claim(requestOf({ tenant: fresh("t"), name }))
          assert.strictEqual(record.key, name)
        }
      }))

    // --- races

    it.effect("grants one of 64 that come at once", () =>
      Effect.gen(function*() {
        const store = yield* storeEffect
        const first = requestOf()
        const requests = Array.from({ length: 64 }, () => rival(first, { canResolve: true }))
        const replies = yield* Effect.forEach(requests, store.claim, { concurrency: "unbounded" })
        const winners = replies.filter(({ record }, index) => record.owner === requests[index]?.owner)
        assert.strictEqual(winners.length, 1)
        assert.strictEqual(new Set(replies.map(({ record }) => `${record.owner} ${record.fence}`)).size, 1)
        assert.strictEqual((yield* stored(store, first))?.attempt, 1)
      }))

    it.effect("gives a lapsed claim to one of 64 that come at once", () =>
      Effect.gen(function*() {
        const { mine, request, store } = yield* claimed()
        yield* advance("31 seconds")
        const requests = Array.from({ length: 64 }, () => rival(request, { canResolve: true }))
        const replies = yield* Effect.forEach(requests, store.claim, { concurrency: "unbounded" })
        const winners = replies.filter(({ record }, index) => record.owner === requests[index]?.owner)
        assert.strictEqual(winners.length, 1)
        assertRecord(winners[0]?.record, { state: "Resolving", unresolved: 1, attempt: 2 })
        assert.isFalse(yield* store.complete({ ...mine, completion: succeeded() }))
      }))

    it.effect("lets each of 16 keys be run once by 64 that claim and complete at once", () =>
      Effect.gen(function*() {
        const store = yield* storeEffect
        const keys = Array.from({ length: 16 }, () => requestOf())
        let runs = 0
        const call = (key: ClaimRequest) =>
          Effect.gen(function*() {
            const request = rival(key)
            const { record } = yield* store.claim(request)
            if (record.owner !== request.owner) return record.result
            runs++
            yield* Effect.yieldNow
            assert.isTrue(yield* store.complete({ ...held(record), completion: succeeded(request.owner) }))
            return request.owner
          })
        const calls = keys.flatMap((key) => [key, key, key, key])
        yield* Effect.forEach(calls, call, { concurrency: "unbounded" })
        assert.strictEqual(runs, 16)
        const answers = yield* Effect.forEach(calls, call, { concurrency: "unbounded" })
        assert.isTrue(answers.every((answer) => answer !== undefined))
        assert.strictEqual(new Set(answers).size, 16)
      }))

    it.effect("keeps each of 64 records apart when all are written at once", () =>
      Effect.gen(function*() {
        const store = yield* storeEffect
        const ends = yield* Effect.forEach(Array.from({ length: 64 }, () => requestOf()), (request, index) =>
          Effect.gen(function*() {
            const { record } = yield* store.claim(request)
            const mine = held(record)
            if (index % 4 === 0) {
              yield* store.renew([{ ...mine, leaseMillis: lease }])
            }
            if (index % 4 === 1) {
              yield* store.release({ ...mine, ttlMillis: ttl })
            } else if (index % 4 === 2) {
              yield* store.complete({ ...mine, completion: unknown() })
            } else yield* store.complete({ ...mine, completion: succeeded(`${index}`) })
            return yield* stored(store, request)
          }), { concurrency: "unbounded" })
        ends.forEach((record, index) => {
          const state = (["Succeeded", "Vacant", "Indeterminate", "Succeeded"] as const)[index % 4]
          assertRecord(record, { state, result: state === "Succeeded" ? `${index}` : undefined })
        })
      }))
  })
}
