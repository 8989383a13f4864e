/**
 * What a store has to do when the way to its server fails: each transition, with each of its requests struck in turn.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { IdempotencyStore, RecordId } from "../../../IdempotencyStore.ts"
import {
  type Broken,
  ContractBroken,
  equal,
  hasFields,
  isAbove,
  isTrue,
  type Kit,
  unknown
} from "../storeContract/kit.ts"
import type { Cut, Fault } from "./plan.ts"
import type { make as makeProxy } from "./proxy.ts"

type Store = IdempotencyStore["Service"]
type Proxy = Effect.Success<ReturnType<typeof makeProxy>>

/** A transition: how a record gets there, what is asked for, possibly more than once, and what has come of it. */
interface Transition {
  readonly name: string
  readonly prepare: (kit: Kit) => Effect.Effect<{
    readonly id: RecordId
    readonly ask: Effect.Effect<unknown, Broken>
    /** Of the answer that came in the end. */
    readonly check: (answer: unknown) => Effect.Effect<void, Broken>
  }, Broken>
}

const fieldsOf = (store: Store, id: RecordId, fields: Parameters<typeof hasFields>[1]) =>
  Effect.flatMap(store.inspect(id), ({ record }) => hasFields(record, fields))

const transitions: ReadonlyArray<Transition> = [
  {
    name: "a claim recognises itself",
    prepare: ({ requestOf, rival, store }) =>
      Effect.sync(() => {
        const request = requestOf()
        const mine = { state: "Claimed", owner: request.owner, attempt: 1 } as const
        return {
          id: request,
          ask: Effect.map(store.claim(request), ({ record }) => record.owner),
          check: (owner) =>
            Effect.gen(function*() {
              yield* equal(owner, request.owner)
              yield* fieldsOf(store, request, mine)
              yield* hasFields((yield* store.claim(rival(request))).record, mine)
            })
        }
      })
  },
  {
    name: "a claim that takes over recognises itself",
    prepare: ({ claimed, rival, store }) =>
      Effect.gen(function*() {
        const { mine, request } = yield* claimed()
        yield* store.complete({ ...mine, completion: unknown() })
        const next = rival(request, { canResolve: true })
        return {
          id: request,
          ask: Effect.map(store.claim(next), ({ record }) => record.owner),
          check: (owner) =>
            Effect.gen(function*() {
              yield* equal(owner, next.owner)
              yield* fieldsOf(store, request, { state: "Resolving", owner: next.owner, attempt: 2, unresolved: 1 })
            })
        }
      })
  },
  {
    name: "a completion is written once",
    prepare: ({ claimed, refused, store, succeeded }) =>
      Effect.gen(function*() {
        const { mine, request } = yield* claimed()
        return {
          id: request,
          ask: store.complete({ ...mine, completion: succeeded(`{"charge":"ch_1"}`) }),
          check: (answer) =>
            Effect.gen(function*() {
              yield* equal(answer, true)
              yield* equal(yield* store.complete({ ...mine, completion: refused() }), false)
              yield* fieldsOf(store, request, { state: "Succeeded", result: `{"charge":"ch_1"}`, fence: mine.fence })
            })
        }
      })
  },
  {
    name: "an end that nobody knows is counted once",
    prepare: ({ claimed, store }) =>
      Effect.gen(function*() {
        const { mine, request } = yield* claimed()
        return {
          id: request,
          ask: store.complete({ ...mine, completion: unknown() }),
          check: (answer) =>
            Effect.andThen(
              equal(answer, true),
              fieldsOf(store, request, { state: "Indeterminate", unresolved: 1, expiresAt: undefined })
            )
        }
      })
  },
  {
    name: "a slot is freed once",
    prepare: ({ claimed, store, ttl }) =>
      Effect.gen(function*() {
        const { mine, request } = yield* claimed()
        return {
          id: request,
          ask: store.release({ ...mine, ttlMillis: ttl }),
          check: (answer) =>
            Effect.andThen(
              equal(answer, true),
              fieldsOf(store, request, { state: "Vacant", fence: mine.fence, fingerprint: request.fingerprint })
            )
        }
      })
  },
  {
    name: "a lease is renewed",
    prepare: ({ claimed, lease, store }) =>
      Effect.gen(function*() {
        const { mine, record, request } = yield* claimed()
        return {
          id: request,
          ask: store.renew([{ ...mine, leaseMillis: lease * 2 }]),
          check: (answer) =>
            Effect.gen(function*() {
              yield* equal(answer, [true])
              yield* fieldsOf(store, request, { state: "Claimed", owner: mine.owner, fence: mine.fence })
              const after = (yield* store.inspect(request)).record
              yield* isAbove(after?.leaseUntil ?? 0, record.leaseUntil)
            })
        }
      })
  },
  {
    name: "a resolution recognises itself",
    prepare: ({ claimed, store, ttl }) =>
      Effect.gen(function*() {
        const { mine, request } = yield* claimed()
        yield* store.complete({ ...mine, completion: unknown() })
        const resolution = { _tag: "Succeeded", result: "{}" } as const
        return {
          id: request,
          ask: store.resolve({ ...mine, resolution, ttlMillis: ttl }),
          check: (answer) =>
            Effect.andThen(equal(answer, true), fieldsOf(store, request, { state: "Succeeded", result: "{}" }))
        }
      })
  },
  {
    name: "an eviction leaves nothing",
    prepare: ({ claimed, store, stored, succeeded }) =>
      Effect.gen(function*() {
        const { mine, request } = yield* claimed()
        yield* store.complete({ ...mine, completion: succeeded() })
        return {
          id: request,
          ask: store.evict(request, { force: false }),
          check: (answer) =>
            Effect.gen(function*() {
              yield* isTrue(answer === "Evicted" || answer === "Absent")
              yield* equal(yield* stored(request), undefined)
            })
        }
      })
  }
]

const cuts: ReadonlyArray<readonly [Cut, string]> = [
  ["close", "closed"],
  ["reset", "reset"],
  ["halfOpen", "left half-open"]
]

const faults = cuts.flatMap(([cut, how]): ReadonlyArray<readonly [string, Fault]> => [
  [`its request is lost and the connection ${how}`, { _tag: "DropRequest", cut }],
  [`its reply is lost and the connection ${how}`, { _tag: "DropReply", cut }]
])

// Requests of one transition, and how often it is asked for.
const requestsMax = 20
const triesMax = 100
const pauseMillis = 20

/** @internal */
export const cases: ReadonlyArray<{
  readonly name: string
  readonly run: (kit: Kit, proxy: Proxy, patience: Duration.Duration) => Effect.Effect<void, Broken>
}> = transitions.flatMap((transition) =>
  faults.map(([when, fault]) => ({
    name: `${transition.name} when ${when}`,
    run: (kit, proxy, patience) => strikeEach(transition, fault, kit, proxy, patience)
  }))
)

const strikeEach = Effect.fnUntraced(function*(
  { prepare }: Transition,
  fault: Fault,
  kit: Kit,
  proxy: Proxy,
  patience: Duration.Duration
) {
  for (let nth = 1; nth <= requestsMax; nth++) {
    const { ask, check } = yield* prepare(kit)
    yield* proxy.plan({ nth, fault })
    const answer = yield* askUntilAnswered(ask, proxy, patience, triesMax)
    const struck = yield* proxy.struck
    yield* proxy.heal
    yield* check(answer)
    if (struck > 0) continue
    // Its requests have all been struck, unless none has come by.
    if (nth > 1) return
    return yield* new ContractBroken({ expected: "a request through the proxy", actual: "none" })
  }
})

/** As an owner does: nothing is known when an answer fails or does not come, so the same is sent again. */
const askUntilAnswered = (
  ask: Effect.Effect<unknown, Broken>,
  proxy: Proxy,
  patience: Duration.Duration,
  tries: number
): Effect.Effect<unknown, Broken> =>
  Effect.catchTag(Effect.raceFirst(ask, wait(proxy, patience)), "StoreUnavailable", (error) =>
    tries === 0
      ? Effect.fail(error)
      : Effect.andThen(
        Effect.sleep(Duration.millis(pauseMillis)),
        Effect.suspend(() => askUntilAnswered(ask, proxy, patience, tries - 1))
      ))

/** Who waits for nothing finds out in the end, as by a keep-alive, and then has to answer. */
const wait = Effect.fnUntraced(function*(proxy: Proxy, patience: Duration.Duration) {
  yield* Effect.sleep(patience)
  yield* proxy.cutOff
  yield* Effect.sleep(Duration.times(patience, 20))
  return yield* new ContractBroken({ expected: "an answer", actual: "none" })
})
