/** Histories of a store: what several callers asked for at once, what they were answered, and when. */
import { Effect, Random } from "effect"
import type { Record } from "../../src/internal/idempotency/record.ts"
import { check, type Entry, type Sequential, type Verdict } from "./linear.ts"
import { ids, makeModel, runModel, runStore, type Step, type Store } from "./model.ts"

/** What is asked of a store, or done to its clock. */
export type Op = Step | { readonly _tag: "Inspect"; readonly id: (typeof ids)[number] } | {
  readonly _tag: "SetTime"
  readonly now: number
}

export interface Event extends Entry<Op> {
  /** Which record; undefined for the clock, which is of all. */
  readonly key: string | undefined
}

const startTime = 1_700_000_000_000
const keys = ids.slice(0, 2)
const lease = 1_000
const owners = ["o0", "o1", "o2"]

/** One record and the time, as the machine leads them. */
interface State {
  readonly record: Record | undefined
  readonly now: number
}

// Undefined fields are there in one store and absent in another.
const text = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner) ?? "undefined"

const sequential = (id: string): Sequential<State, Op> => ({
  start: { record: undefined, now: startTime },
  apply: (state, op) => {
    if (op._tag === "SetTime") return { state: { ...state, now: op.now }, answer: undefined }
    if (op._tag === "Inspect") return { state, answer: state }
    const model = makeModel(state.now)
    if (state.record !== undefined) model.records.set(id, state.record)
    const answer = runModel(model, op)
    return { state: { record: model.records.get(id), now: state.now }, answer }
  },
  stateKey: text,
  answerKey: text
})

/** Judges each record of its own: a history is linearizable when each of its objects is. */
export const judge = (events: ReadonlyArray<Event>): ReadonlyArray<Verdict & { readonly key: string }> =>
  keys.map(({ id }) => ({
    key: id,
    ...check(sequential(id), events.filter(({ key }) => key === undefined || key === id))
  }))

const pick = <A>(choices: ReadonlyArray<A>): Effect.Effect<A> =>
  Effect.map(Random.nextIntBetween(0, choices.length - 1), (index) => choices[index]!)

/** What a caller knows of the records: what it was last answered. */
type Known = Map<string, Record>

const tags = ["Claim", "Claim", "Claim", "Complete", "Fail", "Release", "Renew", "Resolve", "Inspect"] as const

const draw = Effect.fnUntraced(function*(known: Known) {
  const id = yield* pick(keys)
  const record = known.get(id.id)
  const isHolder = (yield* Random.nextIntBetween(0, 3)) > 0
  const owner = isHolder && record !== undefined ? record.owner : yield* pick(owners)
  const stale = (yield* Random.nextIntBetween(0, 9)) === 0 ? 1 : 0
  const owned = { ...id, owner, fence: (record?.fence ?? 7) - stale }
  const tag = yield* pick(tags)
  const result = yield* pick(["1", "2"])
  const state = yield* pick(["Succeeded", "Refused"] as const)
  const request: { readonly [Tag in (typeof tags)[number]]: Op } = {
    Claim: {
      _tag: "Claim",
      request: {
        ...id,
        fingerprint: (yield* Random.nextIntBetween(0, 9)) === 0 ? "b" : "a",
        owner: yield* pick(owners),
        leaseMillis: lease,
        canResolve: yield* Random.nextBoolean,
        attemptsMax: 2
      }
    },
    Complete: { _tag: "Complete", request: { ...owned, completion: { _tag: state, result, ttlMillis: 2 * lease } } },
    Fail: {
      _tag: "Complete",
      request: { ...owned, completion: { _tag: "Indeterminate", ran: true, counted: true, attemptsMax: 2 } }
    },
    Release: { _tag: "Release", request: { ...owned, ttlMillis: 2 * lease } },
    Renew: { _tag: "Renew", request: { ...owned, leaseMillis: lease } },
    Resolve: {
      _tag: "Resolve",
      request: { ...id, fence: owned.fence, ttlMillis: 2 * lease, resolution: { _tag: "NeverHappened" } }
    },
    Inspect: { _tag: "Inspect", id }
  }
  return { op: request[tag], key: id.id }
})

const ask = (store: Store, op: Op): Effect.Effect<unknown, unknown> =>
  op._tag === "SetTime" ? Effect.void : op._tag === "Inspect" ? store.inspect(op.id) : runStore(store, op)

const learn = (known: Known, answer: unknown): void => {
  if (typeof answer !== "object" || answer === null || !("record" in answer) || answer.record === undefined) return
  const record = answer.record as Record
  known.set(record.id, record)
}

/** The moment, in an order that holds for all processes of the machine. */
const moment = (): number => Number(process.hrtime.bigint() % 10_000_000_000_000_000n)

/** Several callers at once, each with some operations one after the other. A failed one is one without an answer. */
export const round = (
  store: Store,
  options: { readonly seed: string; readonly callers: number; readonly each: number; readonly known: Known }
): Effect.Effect<ReadonlyArray<Event>> =>
  Effect.gen(function*() {
    const { callers, each, known, seed } = options
    const events: Array<Event> = []
    const caller = (name: number) =>
      Effect.gen(function*() {
        for (let i = 0; i < each; i++) {
          const { key, op } = yield* draw(known)
          const invoked = moment()
          // So that others come in between also where a store answers at once.
          const answer = yield* Effect.match(
            Effect.andThen(Effect.yieldNow, Effect.tap(ask(store, op), Effect.yieldNow)),
            {
              onSuccess: (value) => ({ value }),
              onFailure: () => undefined
            }
          )
          const responded = answer === undefined ? Number.MAX_SAFE_INTEGER : moment()
          learn(known, answer?.value)
          events.push({ key, op, answer, invoked, responded })
        }
      }).pipe(Random.withSeed(`${seed}-${name}`))
    yield* Effect.forEach(Array.from({ length: callers }, (_, name) => name), caller, { concurrency: "unbounded" })
    return events
  })

/** How far the clock goes between rounds: within a lease, behind it, behind a lifetime. */
const leaps = [0, 1, lease / 2, lease, 3 * lease]

/** Rounds, with the clock set forward in between, when nobody asks. */
export const record = Effect.fnUntraced(function*(
  seed: string,
  setTime: (now: number) => Effect.Effect<unknown>,
  rounds: number,
  run: (seed: string) => Effect.Effect<ReadonlyArray<Event>>
) {
  const all: Array<Event> = []
  let now = startTime
  for (let i = 0; i < rounds; i++) {
    const invoked = moment()
    yield* setTime(now)
    all.push({
      key: undefined,
      op: { _tag: "SetTime", now },
      answer: { value: undefined },
      invoked,
      responded: moment()
    })
    all.push(...(yield* run(`${seed}-${i}`)))
    now += yield* Random.withSeed(pick(leaps), `${seed}-${i}`)
  }
  return all
})

/** Histories of one process, and what is wrong with them: the seeds of those that are not linearizable. */
export const judgeStore = Effect.fnUntraced(function*(options: {
  readonly store: Store
  readonly reset: Effect.Effect<unknown>
  readonly setTime: (now: number) => Effect.Effect<unknown>
  readonly histories: number
  /** Of the first history, from which on they count. */
  readonly seed?: number
}) {
  const wrong: Array<string> = []
  let operations = 0
  let steps = 0
  const first = options.seed ?? 0
  for (let seed = first; seed < first + options.histories; seed++) {
    yield* options.reset
    const known: Known = new Map()
    const events = yield* record(
      `${seed}`,
      options.setTime,
      10,
      (seed) => round(options.store, { seed, callers: 6, each: 3, known })
    )
    operations += events.length
    for (const { key, linearizable, longest, steps: tried } of judge(events)) {
      steps += tried
      if (!linearizable) wrong.push(`history ${seed} of ${key}: no order of more than ${longest}`)
    }
  }
  return { wrong, operations, steps }
})
