/**
 * The contract of what several processes do to one store: what comes at once, and what is left behind by one that is killed.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ClaimReply, ClaimRequest, IdempotencyStore, Record } from "../../../IdempotencyStore.ts"
import type { Crew, WorkerFailed } from "./crew.ts"
import {
  afterLease,
  type Broken,
  equal,
  hasFields,
  held,
  isAbove,
  isFalse,
  isTrue,
  type Kit,
  type Test,
  unknown
} from "./kit.ts"
import { races } from "./races.ts"

type Store = IdempotencyStore["Service"]

interface ProcessKit extends Kit, Pick<Crew, "start"> {
  /** The store through each process; `store` asks one after the other. */
  readonly stores: ReadonlyArray<Store>
}

/** @internal */
export interface ProcessTest {
  readonly name: string
  readonly run: (
    kit: ProcessKit
  ) => Effect.Effect<unknown, Broken | WorkerFailed, Scope.Scope>
}

const all = { concurrency: "unbounded" } as const

const test = (name: string, run: ProcessTest["run"]): ProcessTest => ({ name, run })

const ofRace = ({ name, run }: Test): ProcessTest => test(`${name}, through several processes`, run)

/** @internal */
export const processes: ReadonlyArray<ProcessTest> = [
  test("lets each of 64 keys be run by one process, whose answer each process replays", ({ requestOf, rival, stores, succeeded }) =>
    Effect.gen(function*() {
      const keys = Array.from({ length: 64 }, () => requestOf())
      const runs: Array<string> = []
      const call = Effect.fnUntraced(function*(store: Store, key: ClaimRequest) {
        const request = rival(key)
        const { record } = yield* store.claim(request)
        if (record.owner !== request.owner || record.state !== "Claimed") return record.result
        runs.push(key.id)
        yield* isTrue(yield* store.complete({ ...held(record), completion: succeeded(request.owner) }))
        return request.owner
      })
      // All processes come with the same key before the next one.
      const callAll = Effect.forEach(keys, (key) => Effect.forEach(stores, (store) => call(store, key), all), all)
      yield* callAll
      yield* equal(runs.toSorted(), keys.map(({ id }) => id).toSorted())
      const answers = yield* callAll
      yield* equal(runs.length, keys.length)
      for (const ofKey of answers) {
        yield* equal(ofKey, stores.map(() => ofKey[0]))
        yield* isTrue(ofKey[0] !== undefined)
      }
    })),
  test("shows each process what is in flight, then the same bytes", ({ requestOf, rival, stores, succeeded }) =>
    Effect.gen(function*() {
      for (const [index, owner] of stores.entries()) {
        const request = requestOf()
        const { record } = yield* owner.claim(request)
        for (const store of stores) {
          yield* equal((yield* store.claim(rival(request, { canResolve: true }))).record, record)
        }
        const result = `${JSON.stringify({ index, text: "é\u2028\\\" \u{1f4b3}\n" })}${"x".repeat(100_000)}`
        yield* isTrue(yield* owner.complete({ ...held(record), completion: succeeded(result) }))
        for (const store of stores) {
          const replay = yield* store.claim(rival(request, { canResolve: true }))
          yield* hasFields(replay.record, { state: "Succeeded", owner: request.owner, attempt: 1 })
          yield* isTrue(replay.record.result === result)
        }
      }
    })),
  test("refuses another payload in each process, in whichever state", ({ requestOf, rival, stores, succeeded, ttl }) =>
    Effect.gen(function*() {
      const [first] = stores as readonly [Store]
      const ends: ReadonlyArray<(record: Record) => Effect.Effect<unknown, Broken>> = [
        () => Effect.void,
        (record) => first.complete({ ...held(record), completion: succeeded() }),
        (record) => first.release({ ...held(record), ttlMillis: ttl }),
        (record) => first.complete({ ...held(record), completion: unknown() })
      ]
      for (const end of ends) {
        const request = requestOf()
        yield* end((yield* first.claim(request)).record)
        const before = (yield* first.inspect(request)).record
        for (const store of stores) {
          const other = rival(request, { fingerprint: "v1:b", canResolve: true })
          yield* equal((yield* store.claim(other)).record, before)
        }
      }
    })),
  test("recognises a claim that another process sends again", ({ requestOf, stores }) =>
    Effect.gen(function*() {
      const request = requestOf()
      const [first, ...others] = stores as readonly [Store, ...ReadonlyArray<Store>]
      const { record } = yield* first.claim(request)
      for (const store of others) {
        const again = yield* store.claim(request)
        yield* hasFields(again.record, { state: "Claimed", owner: request.owner, fence: record.fence, attempt: 1 })
      }
    })),
  test("gives each owner a higher fence, whichever process it is in", ({ requestOf, rival, stores, ttl }) =>
    Effect.gen(function*() {
      const request = requestOf()
      let last = 0
      for (const store of [...stores, ...stores.toReversed()]) {
        const { record } = yield* store.claim(rival(request))
        yield* isAbove(record.fence, last)
        last = record.fence
        yield* isTrue(yield* store.release({ ...held(record), ttlMillis: ttl }))
      }
    })),
  test("refuses what the former owner writes once another process has taken over", (kit) =>
    Effect.gen(function*() {
      const { advance, claimedAt, lease, rival, stores, succeeded, refused, ttl } = withOwner(kit)
      const { mine, request } = yield* claimedAt(stores[0]!)
      yield* advance(afterLease)
      const other = rival(request, { canResolve: true })
      const taken = (yield* stores[1]!.claim(other)).record
      yield* hasFields(taken, { state: "Resolving", owner: other.owner })
      yield* isAbove(taken.fence, mine.fence)
      const late = [
        stores[0]!.complete({ ...mine, completion: succeeded("late") }),
        stores[0]!.complete({ ...mine, completion: refused("late") }),
        stores[0]!.complete({ ...mine, completion: unknown() }),
        stores[0]!.release({ ...mine, ttlMillis: ttl }),
        Effect.map(stores[0]!.renew([{ ...mine, leaseMillis: lease }]), ([renewed]) => renewed === true)
      ]
      yield* equal(yield* Effect.all(late), late.map(() => false))
      yield* isTrue(yield* stores[1]!.complete({ ...held(taken), completion: succeeded("found") }))
      yield* equal(yield* Effect.all(late), late.map(() => false))
      for (const store of stores) {
        yield* hasFields((yield* store.inspect(request)).record, { state: "Succeeded", result: "found" })
      }
    })),
  test("lets one end win that comes from several processes, and no renewal undo it", (kit) =>
    Effect.gen(function*() {
      const { claimedAt, lease, refused, stores, succeeded, ttl } = withOwner(kit)
      const at = (index: number) => stores[index % stores.length]!
      yield* Effect.forEach(Array.from({ length: 16 }, (_, index) => index), (index) =>
        Effect.gen(function*() {
          const { mine, request } = yield* claimedAt(at(index))
          const renew = (store: Store) => store.renew([{ ...mine, leaseMillis: lease }])
          const [, ...ended] = yield* Effect.all([
            renew(at(index)),
            at(index + 1).complete({ ...mine, completion: succeeded("1") }),
            at(index + 2).complete({ ...mine, completion: refused("2") }),
            at(index + 3).release({ ...mine, ttlMillis: ttl })
          ], all)
          yield* equal(ended.filter(Boolean).length, 1)
          const end = (["Succeeded", "Refused", "Vacant"] as const)[ended.indexOf(true)]
          for (const store of stores) {
            yield* equal(yield* renew(store), [false])
            yield* hasFields((yield* store.inspect(request)).record, { state: end, leaseUntil: 0 })
          }
        }), all)
    })),
  test("keeps what it has answered when the process is killed right after", (kit) =>
    Effect.gen(function*() {
      const { claimedAt, start, stores, succeeded } = withOwner(kit)
      const { kill, store } = yield* start
      const owned = yield* Effect.forEach(sixteen, () => claimedAt(store), all)
      const answers = yield* Effect.forEach(owned.slice(0, 8), ({ mine }, index) =>
        store.complete({ ...mine, completion: succeeded(`${index}`) }), all)
      yield* kill
      yield* equal(
        answers,
        answers.map(() =>
          true
        )
      )
      for (const [index, { mine, request }] of owned.entries()) {
        const { record } = yield* stores[index % stores.length]!.inspect(request)
        yield* hasFields(record, {
          state: index < 8 ? "Succeeded" : "Claimed",
          result: index < 8 ? `${index}` : undefined,
          owner: mine.owner,
          fence: mine.fence
        })
      }
    })),
  test("leaves a write done or not done when the process is killed in the middle of it", (kit) =>
    Effect.gen(function*() {
      const { claimedAt, rival, start, stores } = withOwner(kit)
      const { kill, store } = yield* start
      const owned = yield* Effect.forEach(sixteen, () => claimedAt(store), all)
      const result = "x".repeat(100_000)
      const one = yield* Deferred.make<void>()
      const answered = new Set<string>()
      for (const { mine } of owned) {
        yield* store.complete({ ...mine, completion: kit.succeeded(result) }).pipe(
          Effect.flatMap(() => Effect.sync(() => answered.add(mine.id))),
          Effect.andThen(Deferred.succeed(one, undefined)),
          Effect.forkScoped
        )
      }
      yield* Deferred.await(one)
      yield* kill
      for (const [index, { mine, request }] of owned.entries()) {
        const at = stores[index % stores.length]!
        const { record } = yield* at.claim(rival(request))
        const isDone = record.state === "Succeeded"
        yield* isTrue(isDone || !answered.has(mine.id))
        yield* hasFields(record, { state: isDone ? "Succeeded" : "Claimed", owner: mine.owner, fence: mine.fence })
        yield* isTrue(record.result === (isDone ? result : undefined))
      }
    })),
  test("lets nobody run what a killed process has begun, and has what it did found by one", (kit) =>
    Effect.gen(function*() {
      const { lost, stores, succeeded } = withOwner(kit)
      const { at, mine, request } = yield* lost
      yield* isTrue(yield* at.complete({ ...mine, completion: succeeded("found") }))
      const replies = yield* Effect.forEach(
        stores,
        (store) => store.claim(kit.rival(request, { canResolve: true })),
        all
      )
      for (const { record } of replies) yield* hasFields(record, { state: "Succeeded", result: "found", attempt: 2 })
    })),
  test("lets one process run again what a killed one has surely not done", (kit) =>
    Effect.gen(function*() {
      const { lost, rival, stores, succeeded, ttl } = withOwner(kit)
      const { at, mine, request } = yield* lost
      yield* isTrue(yield* at.release({ ...mine, ttlMillis: ttl }))
      const requests = stores.map(() => rival(request))
      const replies = yield* Effect.forEach(requests, (request, index) => stores[index]!.claim(request), all)
      const winner = yield* only(winnersOf(replies, requests))
      yield* hasFields(winner, { state: "Claimed", attempt: 3 })
      yield* isAbove(winner.fence, mine.fence)
      yield* isFalse(yield* at.complete({ ...mine, completion: succeeded("late") }))
      yield* isTrue(yield* at.complete({ ...held(winner), completion: succeeded("again") }))
      for (const store of stores) yield* equal((yield* store.claim(rival(request))).record.result, "again")
    })),
  test("lets nobody run what a killed process may have done", (kit) =>
    Effect.gen(function*() {
      const { advance, lost, rival, stores } = withOwner(kit)
      const { at, mine, request } = yield* lost
      yield* isTrue(yield* at.complete({ ...mine, completion: unknown({ ran: false }) }))
      const left = { state: "Indeterminate", owner: mine.owner, fence: mine.fence } as const
      const askEach = Effect.forEach(stores, (store) =>
        Effect.flatMap(store.claim(rival(request)), ({ record }) => hasFields(record, left)))
      yield* askEach
      yield* advance(2 * afterLease)
      yield* askEach
    })),
  ...races.map(ofRace)
]

const sixteen = Array.from({ length: 16 }, (_, index) => index)

const winnersOf = (replies: ReadonlyArray<ClaimReply>, requests: ReadonlyArray<ClaimRequest>): ReadonlyArray<Record> =>
  replies.map(({ record }) => record).filter(({ owner }, index) => owner === requests[index]?.owner)

const only = (records: ReadonlyArray<Record>): Effect.Effect<Record, Broken> =>
  Effect.as(equal(records.length, 1), records[0]!)

const withOwner = (kit: ProcessKit) => {
  const { advance, requestOf, rival, start, stores } = kit
  const claimedAt = (store: Store) =>
    Effect.gen(function*() {
      const request = requestOf()
      const { record } = yield* store.claim(request)
      yield* hasFields(record, { state: "Claimed", owner: request.owner })
      return { request, record, mine: held(record) }
    })

  /** What a killed process held, and the one that has taken it over to look up what became of it. */
  const lost = Effect.gen(function*() {
    const { kill, store } = yield* start
    const { record, request } = yield* claimedAt(store)
    yield* kill
    const left = { state: "Claimed", owner: record.owner, fence: record.fence } as const
    const ask = (canResolve: boolean) => {
      const requests = stores.map(() => rival(request, { canResolve }))
      return Effect.map(
        Effect.forEach(requests, (request, index) => stores[index]!.claim(request), all),
        (replies) => ({ replies, requests })
      )
    }
    for (const leases of [1 / 3, afterLease - 1 / 3]) {
      const early = yield* ask(true)
      for (const { record } of early.replies) yield* hasFields(record, left)
      yield* advance(leases)
    }
    const late = yield* ask(false)
    for (const { record } of late.replies) yield* hasFields(record, left)
    const { replies, requests } = yield* ask(true)
    const winner = yield* only(winnersOf(replies, requests))
    yield* hasFields(winner, { state: "Resolving", unresolved: 1, attempt: 2 })
    yield* isAbove(winner.fence, record.fence)
    return { request, mine: held(winner), at: stores[replies.findIndex(({ record }) => record === winner)]! }
  })
  return { ...kit, claimedAt, lost }
}
