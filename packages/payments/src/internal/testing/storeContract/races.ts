/**
 * The contract of what comes at once.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { ClaimRequest } from "../../../IdempotencyStore.ts"
import { afterLease, equal, hasFields, held, isFalse, isTrue, type Test, test, unknown } from "./kit.ts"

/** @internal */
export const races: ReadonlyArray<Test> = [
  test("grants one of 64 that come at once", ({ requestOf, rival, store, stored }) =>
    Effect.gen(function*() {
      const first = requestOf()
      const requests = Array.from({ length: 64 }, () => rival(first, { canResolve: true }))
      const replies = yield* Effect.forEach(requests, store.claim, { concurrency: "unbounded" })
      const winners = replies.filter(({ record }, index) => record.owner === requests[index]?.owner)
      yield* equal(winners.length, 1)
      yield* equal(new Set(replies.map(({ record }) => `${record.owner} ${record.fence}`)).size, 1)
      yield* equal((yield* stored(first))?.attempt, 1)
    })),
  test("gives a lapsed claim to one of 64 that come at once", ({ advance, claimed, rival, store, succeeded }) =>
    Effect.gen(function*() {
      const { mine, request } = yield* claimed()
      yield* advance(afterLease)
      const requests = Array.from({ length: 64 }, () => rival(request, { canResolve: true }))
      const replies = yield* Effect.forEach(requests, store.claim, { concurrency: "unbounded" })
      const winners = replies.filter(({ record }, index) => record.owner === requests[index]?.owner)
      yield* equal(winners.length, 1)
      yield* hasFields(winners[0]?.record, { state: "Resolving", unresolved: 1, attempt: 2 })
      yield* isFalse(yield* store.complete({ ...mine, completion: succeeded() }))
    })),
  test("lets each of 16 keys be run once by 64 that claim and complete at once", ({ requestOf, rival, store, succeeded }) =>
    Effect.gen(function*() {
      const keys = Array.from({ length: 16 }, () => requestOf())
      let runs = 0
      const call = (key: ClaimRequest) =>
        Effect.gen(function*() {
          const request = rival(key)
          const { record } = yield* store.claim(request)
          if (record.owner !== request.owner) return record.result
          runs++
          yield* Effect.yieldNow
          yield* isTrue(yield* store.complete({ ...held(record), completion: succeeded(request.owner) }))
          return request.owner
        })
      const calls = keys.flatMap((key) => [key, key, key, key])
      yield* Effect.forEach(calls, call, { concurrency: "unbounded" })
      yield* equal(runs, 16)
      const answers = yield* Effect.forEach(calls, call, { concurrency: "unbounded" })
      yield* isTrue(answers.every((answer) => answer !== undefined))
      yield* equal(new Set(answers).size, 16)
    })),
  test("keeps each of 64 records apart when all are written at once", ({ lease, requestOf, store, stored, succeeded, ttl }) =>
    Effect.gen(function*() {
      const ends = yield* Effect.forEach(
        Array.from({ length: 64 }, () => requestOf()),
        (request, index) =>
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
            return yield* stored(request)
          }),
        { concurrency: "unbounded" }
      )
      for (const [index, record] of ends.entries()) {
        const state = (["Succeeded", "Vacant", "Indeterminate", "Succeeded"] as const)[index % 4]
        yield* hasFields(record, { state, result: state === "Succeeded" ? `${index}` : undefined })
      }
    })),
  test("lets one of two ends win that come at once", ({ claimed, refused, store, stored, succeeded, ttl }) =>
    Effect.forEach(sixteen, (index) =>
      Effect.gen(function*() {
        const { mine, request } = yield* claimed()
        const ends = [
          store.complete({ ...mine, completion: succeeded("1") }),
          store.complete({ ...mine, completion: refused("2") }),
          store.release({ ...mine, ttlMillis: ttl })
        ]
        const given = [...ends.slice(index % 3), ...ends.slice(0, index % 3)]
        const answers = yield* Effect.all(given, { concurrency: "unbounded" })
        yield* equal(answers.filter(Boolean).length, 1)
        const winner = (answers.indexOf(true) + index) % 3
        yield* equal((yield* stored(request))?.state, (["Succeeded", "Refused", "Vacant"] as const)[winner])
      }), { concurrency: "unbounded" })),
  test("gives a lapsed claim to its owner's end or to the one that takes over, never to both", ({ advance, claimed, lease, rival, store, stored, succeeded }) =>
    Effect.gen(function*() {
      const lapsed = yield* Effect.forEach(sixteen, () => claimed())
      yield* advance(afterLease)
      yield* Effect.forEach(lapsed, ({ mine, request }, index) =>
        Effect.gen(function*() {
          const other = rival(request, { canResolve: true })
          const takeOver = Effect.map(store.claim(other), ({ record }) => record.owner === other.owner)
          const end = index % 2 === 0
            ? store.complete({ ...mine, completion: succeeded("late") })
            : Effect.map(store.renew([{ ...mine, leaseMillis: lease }]), ([renewed]) => renewed === true)
          const [isEnded, isTaken] = index % 4 < 2
            ? yield* Effect.all([end, takeOver], { concurrency: "unbounded" })
            : (yield* Effect.all([takeOver, end], { concurrency: "unbounded" })).toReversed()
          yield* equal([isEnded, isTaken].filter(Boolean).length, 1)
          const state = isTaken ? "Resolving" : index % 2 === 0 ? "Succeeded" : "Claimed"
          yield* equal((yield* stored(request))?.state, state)
        }), { concurrency: "unbounded" })
    })),
  test("lets a resolution or a take-over have what is in doubt, never both", ({ claimed, rival, store, stored, ttl }) =>
    Effect.forEach(sixteen, (index) =>
      Effect.gen(function*() {
        const { mine, request } = yield* claimed()
        yield* store.complete({ ...mine, completion: unknown() })
        const other = rival(request, { canResolve: true })
        const takeOver = Effect.map(store.claim(other), ({ record }) => record.owner === other.owner)
        const resolution = { _tag: "Succeeded", result: "found" } as const
        const resolve = store.resolve({ ...request, fence: mine.fence, ttlMillis: ttl, resolution })
        const [isResolved, isTaken] = index % 2 === 0
          ? yield* Effect.all([resolve, takeOver], { concurrency: "unbounded" })
          : (yield* Effect.all([takeOver, resolve], { concurrency: "unbounded" })).toReversed()
        yield* equal([isResolved, isTaken].filter(Boolean).length, 1)
        yield* equal((yield* stored(request))?.state, isTaken ? "Resolving" : "Succeeded")
      }), { concurrency: "unbounded" })),
  test("grants a released slot to one of 64 that come at once", ({ claimed, rival, store, stored, ttl }) =>
    Effect.gen(function*() {
      const { mine, request } = yield* claimed()
      yield* store.release({ ...mine, ttlMillis: ttl })
      const requests = Array.from({ length: 64 }, () => rival(request))
      const replies = yield* Effect.forEach(requests, store.claim, { concurrency: "unbounded" })
      yield* equal(replies.filter(({ record }, index) => record.owner === requests[index]?.owner).length, 1)
      yield* equal((yield* stored(request))?.attempt, 2)
    }))
]

const sixteen = Array.from({ length: 16 }, (_, index) => index)
