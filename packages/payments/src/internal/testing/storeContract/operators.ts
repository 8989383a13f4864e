/**
 * The contract of what an operator does, and of names.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { Record, StoreUnavailable } from "../../../IdempotencyStore.ts"
import {
  afterLease,
  equal,
  hasFields,
  isAbove,
  isAtLeast,
  isAtMost,
  isFalse,
  isTrue,
  isUndefined,
  type Kit,
  type Test,
  test,
  unknown
} from "./kit.ts"

/** @internal */
export const operators: ReadonlyArray<Test> = [
  test("resolves what is in doubt, parked or lapsed", ({ advance, claimed, store, stored, succeeded, ttl }) =>
    Effect.gen(function*() {
      const inDoubt = yield* claimed()
      yield* store.complete({ ...inDoubt.mine, completion: unknown() })
      const parked = yield* claimed()
      yield* store.complete({ ...parked.mine, completion: unknown({ attemptsMax: 1 }) })
      const lapsed = yield* claimed()
      yield* advance(afterLease)
      for (const { mine, request } of [inDoubt, parked, lapsed]) {
        const resolution = { _tag: "Succeeded", result: "found" } as const
        yield* isTrue(yield* store.resolve({ ...request, fence: mine.fence, ttlMillis: ttl, resolution }))
        const record = yield* stored(request)
        yield* hasFields(record, { state: "Succeeded", result: "found", leaseUntil: 0 })
        yield* isAbove(record?.fence ?? 0, mine.fence)
        yield* equal(record?.expiresAt, (record?.updatedAt ?? 0) + ttl)
        yield* isFalse(yield* store.complete({ ...mine, completion: succeeded("late") }))
      }
    })),
  test("resolves as a refusal", ({ claimed, store, stored, ttl }) =>
    Effect.gen(function*() {
      const { mine, request } = yield* claimed()
      yield* store.complete({ ...mine, completion: unknown() })
      const resolution = { _tag: "Refused", result: "no" } as const
      yield* isTrue(yield* store.resolve({ ...request, fence: mine.fence, ttlMillis: ttl, resolution }))
      yield* hasFields(yield* stored(request), { state: "Refused", result: "no" })
    })),
  test("frees what never happened, its count begun anew", ({ claimed, rival, store, stored, ttl }) =>
    Effect.gen(function*() {
      const { mine, request } = yield* claimed()
      yield* store.complete({ ...mine, completion: unknown({ attemptsMax: 1 }) })
      const resolve = {
        ...request,
        fence: mine.fence,
        ttlMillis: ttl,
        resolution: { _tag: "NeverHappened" }
      } as const
      yield* isTrue(yield* store.resolve(resolve))
      yield* hasFields(yield* stored(request), { state: "Vacant", unresolved: 0, fingerprint: "v1:a" })
      const next = yield* store.claim(rival(request))
      yield* hasFields(next.record, { state: "Claimed", attempt: 2 })
      yield* isFalse(yield* store.resolve(resolve))
    })),
  test("does not resolve what is in flight, finished, free, absent or of another fence", ({ claimed, refused, requestOf, store, stored, ttl }) =>
    Effect.gen(function*() {
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
          const before = yield* stored(request)
          yield* isFalse(yield* store.resolve({ ...request, fence, ttlMillis: ttl, resolution }))
          yield* equal(yield* stored(request), before)
        }
      }
    })),
  test("answers a resolution that is sent again alike, and changes nothing", ({ advance, claimed, store, stored, ttl }) =>
    Effect.gen(function*() {
      for (const resolution of [{ _tag: "Succeeded", result: "x" }, { _tag: "NeverHappened" }] as const) {
        const { mine, request } = yield* claimed()
        yield* store.complete({ ...mine, completion: unknown() })
        const resolve = { ...request, fence: mine.fence, ttlMillis: ttl, resolution }
        yield* isTrue(yield* store.resolve(resolve))
        yield* advance(1 / 30)
        const before = yield* stored(request)
        yield* isTrue(yield* store.resolve({ ...resolve, resolution: { ...resolution } }))
        yield* isFalse(yield* store.resolve({ ...resolve, resolution: { _tag: "Succeeded", result: "y" } }))
        yield* equal(yield* stored(request), before)
      }
    })),
  test("answers the time with a record that is not there", ({ claimed, requestOf, store }) =>
    Effect.gen(function*() {
      const { now } = yield* claimed()
      const answer = yield* store.inspect(requestOf())
      yield* isUndefined(answer.record)
      yield* isAtLeast(answer.now, now)
    })),
  test("lists by tenant and operation, and takes no name for the beginning of another", ({ fresh, requestOf, store }) =>
    Effect.gen(function*() {
      const tenant = fresh("tenant")
      for (const name of [tenant, `${tenant}x`, `x${tenant}`]) {
        for (const operation of ["charge", "chargeback", "refund"]) {
          yield* store.claim(requestOf({ tenant: name, operation }))
          yield* store.claim(requestOf({ tenant: name, operation, version: 2 }))
        }
      }
      const page = yield* store.list({ tenant, limit: 1000 })
      yield* equal(page.length, 6)
      yield* isTrue(page.every((record) => record.scope.tenant === tenant))
      const one = yield* store.list({ tenant, operation: "charge", limit: 1000 })
      yield* equal(one.map(({ scope }) => scope.version), [1, 2])
      yield* isTrue(one.every(({ scope }) => scope.operation === "charge"))
      const all = yield* store.list({ operation: "chargeback", limit: 1000 })
      yield* isAtLeast(all.length, 6)
      yield* isTrue(all.every(({ scope }) => scope.operation === "chargeback"))
      yield* equal(yield* store.list({ tenant: fresh("nobody"), limit: 10 }), [])
    })),
  test("lists page by page in the order of the ids", ({ fresh, requestOf, store }) =>
    Effect.gen(function*() {
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
      yield* equal(seen, ids.sort())
    })),
  test("lists by state, and what is stuck", ({ advance, claimed, fresh, store, stored, succeeded }) =>
    Effect.gen(function*() {
      const tenant = fresh("tenant")
      const lapsed = yield* claimed({ tenant })
      yield* advance(afterLease)
      yield* claimed({ tenant })
      const done = yield* claimed({ tenant })
      yield* store.complete({ ...done.mine, completion: succeeded() })
      const inDoubt = yield* claimed({ tenant })
      yield* store.complete({ ...inDoubt.mine, completion: unknown() })
      const parked = yield* claimed({ tenant })
      yield* store.complete({ ...parked.mine, completion: unknown({ attemptsMax: 1 }) })
      const keysOf = (records: ReadonlyArray<Record>) => records.map(({ key }) => key).sort()
      const stuck = yield* store.list({ tenant, stuck: true, limit: 10 })
      yield* equal(keysOf(stuck), [lapsed, inDoubt, parked].map(({ request }) => request.key).sort())
      const byState = yield* store.list({ tenant, state: "Succeeded", limit: 10 })
      yield* equal(keysOf(byState), [done.request.key])
      yield* equal(byState[0], yield* stored(done.request))
      const stuckAndParked = yield* store.list({ tenant, stuck: true, state: "Parked", limit: 10 })
      yield* equal(keysOf(stuckAndParked), [parked.request.key])
    })),
  test("refuses pages and sweeps without a bound", ({ store }) =>
    Effect.gen(function*() {
      for (const limit of [0, -1, 1.5, Number.NaN, 100_000]) {
        yield* isTrue(yield* isRefused(store.list({ limit })))
        yield* isTrue(yield* isRefused(store.sweep({ limit })))
      }
    })),
  test("evicts what is finished or free, and the rest only with force", ({ claimed, store, stored, succeeded, ttl }) =>
    Effect.gen(function*() {
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
        yield* equal(yield* store.evict(request, { force: false }), "Evicted")
        yield* isUndefined(yield* stored(request))
        yield* equal(yield* store.evict(request, { force: false }), "Absent")
      }
      for (const { request } of [inFlight, inDoubt, parked]) {
        const before = yield* stored(request)
        yield* equal(yield* store.evict(request, { force: false }), "Held")
        yield* equal(yield* stored(request), before)
        yield* equal(yield* store.evict(request, { force: true }), "Evicted")
        yield* isUndefined(yield* stored(request))
      }
    })),
  test("does not begin the fence anew after an eviction", ({ claimed, rival, store, succeeded }) =>
    Effect.gen(function*() {
      const { mine, record, request } = yield* claimed()
      yield* store.evict(request, { force: true })
      const next = yield* store.claim(rival(request, { fingerprint: "v1:b" }))
      yield* hasFields(next.record, { state: "Claimed", attempt: 1, fingerprint: "v1:b" })
      yield* isAtLeast(next.record.fence, record.fence)
      yield* isFalse(yield* store.complete({ ...mine, completion: succeeded() }))
    })),
  test("sweeps what has expired, no more than asked and nothing else", ({ advance, claimed, store, stored, succeeded, ttl }) =>
    Effect.gen(function*() {
      const expired = yield* Effect.forEach([1, 2, 3], () => claimed())
      for (const { mine } of expired) yield* store.complete({ ...mine, completion: succeeded("{}", ttl / 6) })
      const kept = yield* claimed()
      yield* store.complete({ ...kept.mine, completion: succeeded("{}", ttl * 10) })
      const lapsed = yield* claimed()
      yield* advance(4 / 3)
      // The store may have other records that have expired: they go first or last.
      yield* equal(yield* store.sweep({ limit: 2 }), 2)
      const left = yield* Effect.forEach(expired, ({ request }) => stored(request))
      yield* isTrue(left.some((record) => record !== undefined))
      yield* sweepAll(store)
      for (const { request } of expired) yield* isUndefined(yield* stored(request))
      yield* equal((yield* stored(kept.request))?.state, "Succeeded")
      yield* equal((yield* stored(lapsed.request))?.state, "Claimed")
    })),
  test("keeps tenants, operations and versions apart", ({ fresh, requestOf, store }) =>
    Effect.gen(function*() {
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
        yield* hasFields(record, { state: "Claimed", owner: request.owner, fingerprint: request.fingerprint })
      }
    })),
  test("takes keys of any printable character and full length, and tells all of them apart", ({ fresh, requestOf, store }) =>
    Effect.gen(function*() {
      const tenant = fresh("t")
      const long = "x".repeat(254)
      const names = [`'"\\%_?$1:x;--`, `${long}x`, `${long}y`, long, "A a", "a A", "a a"]
      for (const scope of [{ tenant }, { tenant: tenant.padEnd(255, "~"), operation: "~".repeat(255) }]) {
        for (const name of names) {
          const request = requestOf({ ...scope, name })
          const { record } = yield* store.claim(request)
          yield* hasFields(record, { key: request.key, owner: request.owner })
        }
      }
    }))
]

const isRefused = (self: Effect.Effect<unknown, StoreUnavailable>): Effect.Effect<boolean> =>
  Effect.match(self, { onFailure: () => true, onSuccess: () => false })

/** A store that has no end of it is broken. */
const sweepAll = Effect.fnUntraced(function*(store: Kit["store"]) {
  for (let sweeps = 0; (yield* store.sweep({ limit: 1_000 })) > 0; sweeps++) yield* isAtMost(sweeps, 1_000)
})
