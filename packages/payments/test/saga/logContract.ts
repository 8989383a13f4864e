/** What every saga log has to do, on a clock of its own. */
import { assert, it as test } from "@effect/vitest"
import { type Duration, Effect, type Layer } from "effect"
import { SagaLog } from "effect-payments"
import { runId } from "../../src/internal/saga/record.ts"

type Log = SagaLog.SagaLog["Service"]

export interface LogContractOptions<R> {
  /** Whether the layer runs on the real clock. */
  readonly live: boolean
  /** Lets time pass for the log without waiting. */
  readonly advance: (duration: Duration.Input) => Effect.Effect<unknown, unknown, R>
}

const lease = 30_000
let counter = 0
const fresh = (prefix: string) => `${prefix}${(counter++).toString(36)}`

export const openingOf = (options?: Partial<SagaLog.ClaimRequest["opening"] & object>) => ({
  fingerprint: "v1:a",
  definition: `["reserve|compensatable|1"]`,
  payload: `{"orderId":"o-1"}`,
  state: "Running" as const,
  events: [{ _tag: "Intended", step: "reserve" }] as ReadonlyArray<SagaLog.Event>,
  ...options
})

export const requestOf = (
  options?: { readonly saga?: string; readonly id?: string } & Partial<Omit<SagaLog.ClaimRequest, "opening">>
) => {
  const { id, saga, ...rest } = options ?? {}
  return {
    ...runId(saga ?? "checkout", id ?? fresh("run-")),
    owner: fresh("owner-"),
    leaseMillis: lease,
    opening: openingOf(),
    ...rest
  }
}

export const rival = (
  request: SagaLog.ClaimRequest,
  options?: Partial<SagaLog.ClaimRequest>
): SagaLog.ClaimRequest => ({
  ...request,
  owner: fresh("owner-"),
  ...options
})

/** Claims and says what the run is. */
export const claim = (log: Log, request: SagaLog.ClaimRequest) =>
  Effect.map(log.claim(request), (history) => {
    assert.isDefined(history)
    return history
  })

const begun = (options?: Parameters<typeof requestOf>[0]) =>
  Effect.gen(function*() {
    const log = yield* SagaLog.SagaLog
    const request = requestOf(options)
    const { entries, now, run } = yield* claim(log, request)
    return { log, request, run, entries, now, mine: run }
  })

const done = (step: string, result = "1"): SagaLog.Event => ({ _tag: "Succeeded", step, result })
const more = (run: SagaLog.Run, events: ReadonlyArray<SagaLog.Event>, state: SagaLog.State = "Running") => ({
  ...run,
  seq: run.length + 1,
  state,
  events
})
const appended = { appended: true, cancelRequested: false, pauseRequested: undefined }
const fenced = { appended: false, cancelRequested: false, pauseRequested: undefined }

export const logContract = <R>(
  name: string,
  layer: Layer.Layer<SagaLog.SagaLog | R, unknown>,
  { advance, live }: LogContractOptions<R>
): void => {
  test.layer(layer, { excludeTestServices: live })(`saga log: ${name}`, (it) => {
    // --- claim

    it.effect("makes a run with its first entry", () =>
      Effect.gen(function*() {
        const { entries, log, now, request, run } = yield* begun()
        assert.deepStrictEqual(run, {
          key: request.key,
          saga: "checkout",
          id: request.id,
          fingerprint: "v1:a",
          definition: request.opening.definition,
          payload: request.opening.payload,
          state: "Running",
          owner: request.owner,
          epoch: Math.max(now, 1),
          leaseUntil: now + lease,
          length: 1,
          cancelRequested: false,
          pauseRequested: undefined,
          step: "reserve",
          createdAt: now,
          updatedAt: now
        })
        assert.deepStrictEqual(entries, [
          { seq: 1, epoch: run.epoch, at: now, state: "Running", events: request.opening.events }
        ])
        const read = yield* log.read(request)
        assert.deepStrictEqual({ run: read?.run, entries: read?.entries }, { run, entries })
      }))

    it.effect("makes nothing without an opening", () =>
      Effect.gen(function*() {
        const log = yield* SagaLog.SagaLog
        const request = requestOf()
        assert.isUndefined(yield* log.claim({ ...request, opening: undefined }))
        assert.isUndefined(yield* log.read(request))
        assert.isUndefined(yield* log.cancel(request))
      }))

    it.effect("answers a rival with the run in flight, and leaves it alone", () =>
      Effect.gen(function*() {
        const { log, request, run } = yield* begun()
        for (const opening of [request.opening, undefined]) {
          const seen = yield* claim(log, rival(request, { opening }))
          assert.deepStrictEqual(seen.run, run)
        }
        assert.deepStrictEqual((yield* log.read(request))?.run, run)
      }))

    it.effect("recognises a claim that is sent again, and prolongs it", () =>
      Effect.gen(function*() {
        const { log, request, run } = yield* begun()
        yield* advance("40 seconds")
        const again = yield* claim(log, request)
        assert.strictEqual(again.run.epoch, run.epoch)
        assert.strictEqual(again.run.owner, request.owner)
        assert.isAtLeast(again.run.leaseUntil, again.now + lease)
        assert.strictEqual((yield* claim(log, rival(request))).run.owner, request.owner)
      }))

    it.effect("gives a lapsed run to the next with a higher epoch and all its entries", () =>
      Effect.gen(function*() {
        const { log, mine, request, run } = yield* begun()
        yield* log.append(more(mine, [done("reserve"), { _tag: "Intended", step: "ship" }]))
        yield* advance("31 seconds")
        const other = rival(request)
        const taken = yield* claim(log, other)
        assert.strictEqual(taken.run.owner, other.owner)
        assert.isAbove(taken.run.epoch, run.epoch)
        assert.isAbove(taken.run.leaseUntil, taken.now)
        assert.deepStrictEqual(taken.entries.map(({ events, seq }) => ({ events, seq })), [
          { seq: 1, events: request.opening.events },
          { seq: 2, events: [done("reserve"), { _tag: "Intended", step: "ship" }] }
        ])
        assert.deepStrictEqual(taken.entries.map(({ epoch }) => epoch), [run.epoch, run.epoch])
      }))

    it.effect("shows who wrote the first entry, so that a run taken over is not taken for a new one", () =>
      Effect.gen(function*() {
        const { entries, log, mine, request, run } = yield* begun()
        yield* log.release(mine)
        const taken = yield* claim(log, rival(request))
        assert.isAbove(taken.run.epoch, run.epoch)
        assert.deepStrictEqual(taken.entries, entries)
        assert.deepStrictEqual((yield* log.read(request))?.entries, entries)
      }))

    it.effect("leaves a lapsed run with another fingerprint alone", () =>
      Effect.gen(function*() {
        const { log, request, run } = yield* begun()
        yield* advance("31 seconds")
        const seen = yield* claim(log, rival(request, { opening: openingOf({ fingerprint: "v1:b" }) }))
        assert.strictEqual(seen.run.owner, request.owner)
        assert.strictEqual(seen.run.epoch, run.epoch)
        assert.strictEqual(seen.run.fingerprint, "v1:a")
      }))

    it.effect("gives away what was released at once", () =>
      Effect.gen(function*() {
        const { log, mine, request, run } = yield* begun()
        assert.isTrue(yield* log.release(mine))
        assert.isTrue(yield* log.release(mine))
        const other = rival(request)
        const taken = yield* claim(log, other)
        assert.strictEqual(taken.run.owner, other.owner)
        assert.isAbove(taken.run.epoch, run.epoch)
        assert.isFalse(yield* log.release(mine))
        assert.strictEqual((yield* log.read(request))?.run.leaseUntil, taken.run.leaseUntil)
      }))

    it.effect("never gives away what has ended, and what is stuck only to one that reopens it", () =>
      Effect.gen(function*() {
        for (const state of ["Completed", "Compensated", "FailedCompensation", "Parked"] as const) {
          const { log, mine, request } = yield* begun()
          assert.deepStrictEqual(yield* log.append(more(mine, [done("reserve")], state)), appended)
          yield* advance("30 days")
          const seen = yield* claim(log, rival(request))
          assert.strictEqual(seen.run.owner, request.owner)
          assert.strictEqual(seen.run.leaseUntil, 0)
          assert.strictEqual(seen.entries.length, 2)
          const operator = rival(request, { reopen: true })
          const reopened = yield* claim(log, operator)
          const isStuck = state === "FailedCompensation" || state === "Parked"
          assert.strictEqual(reopened.run.owner === operator.owner, isStuck)
          assert.strictEqual(reopened.run.state, state)
        }
      }))

    // --- append

    it.effect("adds entries at the end, with the state", () =>
      Effect.gen(function*() {
        const { log, mine, request, run } = yield* begun()
        const events = [done("reserve", `{"text":"'\\"\\\\ %s $1 ? :id é € 💳 \\n"}${"x".repeat(262_144)}`)]
        assert.deepStrictEqual(yield* log.append(more(mine, events)), appended)
        assert.deepStrictEqual(
          yield* log.append({ ...more(mine, [{ _tag: "Cancelled" }], "Compensating"), seq: 3 }),
          appended
        )
        const read = yield* log.read(request)
        assert.strictEqual(read?.run.state, "Compensating")
        assert.strictEqual(read?.run.length, 3)
        assert.strictEqual(read?.run.leaseUntil, run.leaseUntil)
        assert.deepStrictEqual(read?.entries.map((entry) => entry.events), [
          request.opening.events,
          events,
          [{ _tag: "Cancelled" }]
        ])
        assert.deepStrictEqual(read?.entries.map(({ seq, state }) => `${seq} ${state}`), [
          "1 Running",
          "2 Running",
          "3 Compensating"
        ])
      }))

    it.effect("answers an append that is sent again alike, and changes nothing", () =>
      Effect.gen(function*() {
        const { log, mine, request } = yield* begun()
        const entry = more(mine, [done("reserve")])
        assert.deepStrictEqual(yield* log.append(entry), appended)
        const before = yield* log.read(request)
        yield* advance("1 second")
        assert.deepStrictEqual(yield* log.append(entry), appended)
        const after = yield* log.read(request)
        assert.strictEqual(after?.entries.length, 2)
        assert.deepStrictEqual(after?.entries.map(({ events }) => events), before?.entries.map(({ events }) => events))
      }))

    it.effect("refuses another owner, another epoch, another place and an absent run", () =>
      Effect.gen(function*() {
        const { log, mine, request, run } = yield* begun()
        const entry = more(mine, [done("reserve")])
        assert.deepStrictEqual(yield* log.append({ ...entry, owner: "nobody" }), fenced)
        assert.deepStrictEqual(yield* log.append({ ...entry, epoch: run.epoch - 1 }), fenced)
        assert.deepStrictEqual(yield* log.append({ ...entry, epoch: run.epoch + 1 }), fenced)
        assert.deepStrictEqual(yield* log.append({ ...entry, seq: 1 }), fenced)
        assert.deepStrictEqual(yield* log.append({ ...entry, seq: 3 }), fenced)
        assert.deepStrictEqual(yield* log.append({ ...entry, ...runId("checkout", fresh("none-")) }), fenced)
        assert.strictEqual((yield* log.read(request))?.run.length, 1)
      }))

    it.effect("refuses an owner that came late, at any place", () =>
      Effect.gen(function*() {
        const { log, mine, request } = yield* begun()
        yield* advance("31 seconds")
        const taken = yield* claim(log, rival(request))
        assert.deepStrictEqual(yield* log.append(more(mine, [done("reserve")])), fenced)
        assert.deepStrictEqual(yield* log.append(more(taken.run, [done("reserve", "2")])), appended)
        for (const seq of [2, 3]) {
          assert.deepStrictEqual(yield* log.append({ ...more(mine, [done("reserve")]), seq }), fenced)
        }
        assert.deepStrictEqual(yield* log.renew([{ ...mine, leaseMillis: lease }]), [false])
        const read = yield* log.read(request)
        assert.deepStrictEqual(read?.entries.at(-1)?.events, [done("reserve", "2")])
      }))

    it.effect("gives one place to one of many that append at once", () =>
      Effect.gen(function*() {
        const { log, mine, request } = yield* begun()
        const replies = yield* Effect.forEach(
          Array.from({ length: 10 }, (_, i) => i),
          (i) => log.append(more(mine, [done("reserve", `${i}`)])),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(replies.filter((reply) => reply.appended).length, 1)
        assert.strictEqual((yield* log.read(request))?.entries.length, 2)
      }))

    it.effect("keeps many runs apart that append at once", () =>
      Effect.gen(function*() {
        const all = yield* Effect.forEach(Array.from({ length: 40 }), () => begun(), { concurrency: "unbounded" })
        yield* Effect.forEach(all, ({ log, mine }, i) => log.append(more(mine, [done("reserve", `${i}`)])), {
          concurrency: "unbounded"
        })
        const read = yield* Effect.forEach(all, ({ log, request }) => log.read(request))
        assert.deepStrictEqual(
          read.map((history) => history?.entries.at(-1)?.events),
          all.map((_, i) => [done("reserve", `${i}`)])
        )
      }))

    // --- renew, cancel

    it.effect("prolongs many leases, and never shortens one", () =>
      Effect.gen(function*() {
        const first = yield* begun()
        const second = yield* begun()
        yield* first.log.release(second.mine)
        yield* advance("20 seconds")
        const renewals = [first.mine, { ...first.mine, epoch: 1 }, second.mine]
        assert.deepStrictEqual(
          yield* first.log.renew(renewals.map((run) => ({ ...run, leaseMillis: lease }))),
          [true, false, false]
        )
        yield* advance("20 seconds")
        const held = (yield* first.log.read(first.request))?.run.leaseUntil ?? 0
        assert.deepStrictEqual(yield* first.log.renew([{ ...first.mine, leaseMillis: 1 }]), [true])
        assert.strictEqual((yield* first.log.read(first.request))?.run.leaseUntil, held)
        assert.strictEqual((yield* claim(first.log, rival(first.request))).run.owner, first.request.owner)
      }))

    it.effect("tells the owner that someone wants it undone", () =>
      Effect.gen(function*() {
        const { log, mine, request } = yield* begun()
        const asked = yield* log.cancel(request)
        assert.deepInclude(asked, { cancelRequested: true, state: "Running", length: 1 })
        assert.deepStrictEqual(yield* log.append(more(mine, [done("reserve")])), {
          appended: true,
          cancelRequested: true,
          pauseRequested: undefined
        })
        yield* advance("31 seconds")
        assert.isTrue((yield* claim(log, rival(request))).run.cancelRequested)
      }))

    it.effect("leaves alone what does not run forward any more", () =>
      Effect.gen(function*() {
        for (const state of ["Compensating", "Completed", "Compensated", "FailedCompensation"] as const) {
          const { log, mine, request } = yield* begun()
          yield* log.append(more(mine, [done("reserve")], state))
          assert.deepInclude(yield* log.cancel(request), { cancelRequested: false, state })
        }
      }))

    it.effect("keeps the wish that a parked run be undone for whoever goes on with it", () =>
      Effect.gen(function*() {
        const { log, mine, request } = yield* begun()
        yield* log.append(more(mine, [], "Parked"))
        assert.deepInclude(yield* log.cancel(request), { cancelRequested: true, state: "Parked" })
        const taken = yield* log.claim({ ...rival(request), opening: undefined, reopen: true })
        assert.deepInclude(taken?.run, { cancelRequested: true, state: "Parked" })
      }))

    // --- pause, signals

    it.effect("tells the owner who wants it parked, until it is", () =>
      Effect.gen(function*() {
        const { log, mine, request } = yield* begun()
        const asked = yield* log.pause({ ...mine, note: "ann: looks odd" })
        assert.deepInclude(asked, { pauseRequested: "ann: looks odd", state: "Running", length: 1 })
        assert.deepStrictEqual(yield* log.append(more(mine, [done("reserve")])), {
          ...appended,
          pauseRequested: "ann: looks odd"
        })
        const parked = more({ ...mine, length: 2 }, [{ _tag: "Parked", reason: "paused" }], "Parked")
        assert.deepStrictEqual(yield* log.append(parked), appended)
        assert.deepInclude((yield* log.read(request))?.run, { pauseRequested: undefined, state: "Parked" })
        assert.deepInclude(yield* log.pause({ ...mine, note: "again" }), { pauseRequested: undefined, state: "Parked" })
        assert.isUndefined(yield* log.pause({ ...requestOf(), note: "none" }))
      }))

    it.effect("keeps messages in the order in which they came, each once, before and after the run is there", () =>
      Effect.gen(function*() {
        const log = yield* SagaLog.SagaLog
        const request = requestOf()
        const send = (step: string, event: string, value: string) => log.signal({ ...request, step, event, value })
        const look = (steps: ReadonlyArray<string>) =>
          Effect.map(
            log.inbox(steps.map((step) => ({ ...request, step }))),
            (all) => all.map(({ at, ...found }) => ({ ...found, isTimed: at !== undefined }))
          )
        const nothing = {
          event: undefined,
          value: undefined,
          cancelRequested: false,
          pauseRequested: undefined,
          isTimed: false
        }
        assert.deepStrictEqual(yield* look(["a"]), [nothing])
        assert.strictEqual(yield* send("a", "z", "1"), "Kept")
        yield* advance("1 second")
        assert.strictEqual(yield* send("a", "b", "2"), "Kept")
        assert.strictEqual(yield* send("a", "z", "3"), "Known")
        assert.strictEqual(yield* send("b", "z", `{"deep":"'"}`), "Kept")
        yield* claim(log, request)
        yield* log.cancel(request)
        yield* log.pause({ ...request, note: "ann" })
        const asked = { cancelRequested: true, pauseRequested: "ann" }
        assert.deepStrictEqual(yield* look(["b", "none", "a", "b"]), [
          { event: "z", value: `{"deep":"'"}`, ...asked, isTimed: true },
          { event: undefined, value: undefined, ...asked, isTimed: false },
          { event: "z", value: "1", ...asked, isTimed: true },
          { event: "z", value: `{"deep":"'"}`, ...asked, isTimed: true }
        ])
        const times = yield* log.inbox([{ ...request, step: "a" }, { ...request, step: "a", except: ["z"] }])
        const [first = 0, second = 0] = times.map(({ at }) => at)
        const { now = 0 } = (yield* log.read(request)) ?? {}
        assert.isTrue(first < second && second <= now)
        const past = (...except: ReadonlyArray<string>) => ({ ...request, step: "a", except })
        assert.deepStrictEqual(
          (yield* log.inbox([past("z"), past("b"), past("b", "z", "'"), past(), { ...past("z"), step: "b" }])).map(
            ({ event, value }) => [event, value]
          ),
          [["b", "2"], ["z", "1"], [undefined, undefined], ["z", "1"], [undefined, undefined]]
        )
        assert.deepStrictEqual(yield* log.inbox([]), [])
      }))

    it.effect("keeps one of many messages of the same name that come at once, and no more than its bound", () =>
      Effect.gen(function*() {
        const log = yield* SagaLog.SagaLog
        const request = requestOf()
        const send = (event: string) => log.signal({ ...request, step: "a", event, value: "1" })
        const same = yield* Effect.forEach(Array.from({ length: 20 }), () => send("e"), { concurrency: "unbounded" })
        assert.strictEqual(same.filter((reply) => reply === "Kept").length, 1)
        assert.strictEqual(same.filter((reply) => reply === "Known").length, 19)
        const rest = yield* Effect.forEach(Array.from({ length: 1000 }, (_, i) => `e${i}`), send)
        assert.deepStrictEqual(rest.map((reply) => reply === "Kept").lastIndexOf(true), 998)
        assert.strictEqual(rest.at(-1), "Full")
        assert.strictEqual(yield* send("e0"), "Known")
      }))

    it.effect("drops messages with their run, and those of runs that never came", () =>
      Effect.gen(function*() {
        const { log, mine, request } = yield* begun()
        const stray = requestOf()
        const young = requestOf()
        const other = yield* begun()
        const message = { step: "a", event: "e", value: "1" }
        for (const id of [request, stray, other.request]) yield* log.signal({ ...id, ...message })
        yield* log.append(more(mine, [done("reserve")], "Completed"))
        yield* advance("2 days")
        yield* log.signal({ ...young, ...message })
        yield* log.sweep({ olderThanMillis: 86_400_000, limit: 1000 })
        const left = yield* log.inbox([request, stray, other.request, young].map((id) => ({ ...id, step: "a" })))
        assert.deepStrictEqual(left.map(({ value }) => value), [undefined, undefined, "1", "1"])
      }))

    it.effect("reopens what has ended well when it is asked for that", () =>
      Effect.gen(function*() {
        const { log, mine, request } = yield* begun()
        yield* log.append(more(mine, [done("reserve")], "Completed"))
        const ask = (reopen: boolean | "Completed") => claim(log, { ...rival(request), opening: undefined, reopen })
        assert.strictEqual((yield* ask(true)).run.owner, mine.owner)
        const taken = yield* ask("Completed")
        assert.notStrictEqual(taken.run.owner, mine.owner)
        assert.isAbove(taken.run.leaseUntil, taken.now)
        const undone = yield* begun()
        yield* log.append(more(undone.mine, [done("reserve")], "Compensated"))
        const seen = yield* claim(log, { ...rival(undone.request), opening: undefined, reopen: "Completed" })
        assert.strictEqual(seen.run.owner, undone.mine.owner)
      }))

    // --- orphans, list, sweep

    it.effect("adopts what nobody holds, of the sagas it is asked for, in batches", () =>
      Effect.gen(function*() {
        const saga = fresh("saga-")
        const owner = fresh("owner-")
        const lapsed = yield* begun({ saga })
        yield* advance("31 seconds")
        const released = yield* begun({ saga })
        yield* released.log.release(released.mine)
        const held = yield* begun({ saga })
        const ended = yield* begun({ saga })
        yield* ended.log.append(more(ended.mine, [done("reserve")], "Completed"))
        const parked = yield* begun({ saga })
        yield* parked.log.append(more(parked.mine, [], "Parked"))
        const other = yield* begun({ saga: fresh("saga-") })
        yield* other.log.release(other.mine)
        const adopt = (limit: number) =>
          held.log.orphans({ sagas: ["unknown", saga], owner, leaseMillis: lease, limit })
        const first = yield* adopt(1)
        const rest = yield* adopt(10)
        assert.deepStrictEqual([first.length, rest.length], [1, 1])
        assert.sameMembers([...first, ...rest].map(({ run }) => run.id), [lapsed.run.id, released.run.id])
        for (const { entries, now, run } of [...first, ...rest]) {
          assert.strictEqual(run.owner, owner)
          assert.isAbove(run.leaseUntil, now)
          assert.isAbove(run.epoch, run.createdAt - 1)
          assert.strictEqual(entries.length, 1)
        }
        assert.deepStrictEqual(yield* adopt(10), [])
        yield* lapsed.log.release({
          ...lapsed.mine,
          owner,
          epoch: [...first, ...rest].find(({ run }) => run.id === lapsed.run.id)?.run.epoch ?? 0
        })
        const excepted = { sagas: [saga], owner, leaseMillis: lease, limit: 10, except: [lapsed.run.key] }
        assert.deepStrictEqual(yield* lapsed.log.orphans(excepted), [])
        assert.lengthOf(yield* lapsed.log.orphans({ ...excepted, except: [] }), 1)
        assert.deepStrictEqual(yield* lapsed.log.append(more(lapsed.mine, [done("reserve")])), fenced)
      }))

    it.effect("lists in pages, by saga and state", () =>
      Effect.gen(function*() {
        const saga = fresh("saga-")
        const all = yield* Effect.forEach([1, 2, 3], () => begun({ saga }))
        const [first] = all
        assert.isDefined(first)
        yield* first.log.append(more(first.mine, [], "Parked"))
        const page = yield* first.log.list({ saga, limit: 2 })
        const rest = yield* first.log.list({ saga, limit: 2, after: page.at(-1)?.key })
        assert.deepStrictEqual([...page, ...rest].map(({ id }) => id), all.map(({ run }) => run.id))
        assert.deepStrictEqual((yield* first.log.list({ saga, state: "Parked", limit: 9 })).map(({ id }) => id), [
          first.run.id
        ])
        assert.isAtLeast((yield* first.log.list({ state: "Parked", limit: 1000 })).length, 1)
      }))

    it.effect("lists by the step at which a run stands, and for how long nobody has written to it", () =>
      Effect.gen(function*() {
        const saga = fresh("saga-")
        const first = yield* begun({ saga })
        const second = yield* begun({ saga })
        yield* first.log.append(more(first.mine, [done("reserve"), { _tag: "Intended", step: "ship" }]))
        yield* second.log.append(more(second.mine, []))
        const { list } = first.log
        assert.deepStrictEqual((yield* list({ saga, step: "ship", limit: 9 })).map(({ id }) => id), [first.run.id])
        assert.deepStrictEqual((yield* list({ saga, step: "reserve", limit: 9 })).map(({ id }) => id), [second.run.id])
        yield* advance("2 hours")
        yield* first.log.release(first.mine)
        yield* claim(first.log, rival(first.request))
        const stuck = yield* list({ saga, untouchedMillis: 3_600_000, limit: 9 })
        assert.deepStrictEqual(stuck.map(({ id }) => id), [second.run.id])
      }))

    it.effect("refuses a page without a bound", () =>
      Effect.gen(function*() {
        const log = yield* SagaLog.SagaLog
        for (const limit of [0, -1, 1.5, Number.NaN, 10_001]) {
          const failing: ReadonlyArray<Effect.Effect<unknown, SagaLog.LogUnavailable>> = [
            log.list({ limit }),
            log.orphans({ sagas: [], owner: "o", leaseMillis: 1, limit }),
            log.sweep({ limit, olderThanMillis: 0 })
          ]
          for (const self of failing) assert.strictEqual((yield* Effect.flip(self))._tag, "LogUnavailable")
        }
      }))

    it.effect("drops what has ended long ago, and nothing that may still matter", () =>
      Effect.gen(function*() {
        const states = ["Completed", "Compensated", "FailedCompensation", "Parked", "Compensating"] as const
        const all = yield* Effect.forEach(states, (state) =>
          Effect.tap(begun(), ({ log, mine }) => log.append(more(mine, [done("reserve")], state))))
        const running = yield* begun()
        yield* advance("2 days")
        const recent = yield* begun()
        yield* recent.log.append(more(recent.mine, [done("reserve")], "Completed"))
        assert.isAtLeast(yield* running.log.sweep({ olderThanMillis: 86_400_000, limit: 1000 }), 2)
        const left = yield* Effect.forEach([...all, running, recent], ({ log, request }) =>
          log.read(request))
        assert.deepStrictEqual(left.map((history) => history?.run.state), [
          undefined,
          undefined,
          "FailedCompensation",
          "Parked",
          "Compensating",
          "Running",
          "Completed"
        ])
        const [swept] = all
        assert.isDefined(swept)
        const anew = yield* claim(swept.log, rival(swept.request))
        assert.strictEqual(anew.entries.length, 1)
        assert.isAbove(anew.run.epoch, swept.run.epoch - 1)
      }))
  })
}
