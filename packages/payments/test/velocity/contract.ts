/** What every velocity store has to do, on a clock of its own. */
import { assert, it as test } from "@effect/vitest"
import { Duration, Effect, type Layer, Schema } from "effect"
import { Velocity } from "effect-payments"

type Store = Velocity.Velocity["Service"]

export interface ContractOptions<R> {
  /** Whether the layer runs on the real clock. */
  readonly live: boolean
  /** Lets time pass for the store without waiting. */
  readonly advance: (duration: Duration.Input) => Effect.Effect<unknown, unknown, R>
  /** Runs of the property tests. */
  readonly runs?: number
  /** How many of the largest amounts are added up. Default 1000. */
  readonly largest?: number
}

let counters = 0
/** A counter that nobody has used. */
const fresh = (window: Duration.Input = "1 hour"): Velocity.Counter => ({
  series: "user_hourly",
  key: `user ${process.pid}:${counters++}`,
  window
})

const record = (store: Store, observation: Velocity.Observation) =>
  Effect.map(store.record([observation]), ([measure]) => {
    assert.isDefined(measure)
    return measure
  })

const measureOf = (count: number, sum = 0n, distinct = 0, isLowerBound = false): Velocity.Measure => ({
  count,
  sum,
  distinct,
  isLowerBound
})

const Step = Schema.Struct({
  afterMillis: Schema.Literals([0, 1, 250_000, 999_999, 1_000_000, 1_700_000]),
  counter: Schema.Literals([0, 1]),
  attempt: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9 })),
  amount: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000_000 })),
  value: Schema.Literals(["", "a", "b", "c"])
})
const Steps = Schema.Array(Step).check(Schema.isMaxLength(30))
const window = 2_000_000

interface Happened {
  readonly at: number
  readonly attempt: string
  readonly amount: bigint
  readonly value: string
}

/** The log that forgets nothing, counted anew each time. */
const makeNaive = () => {
  const log: Array<Happened> = []
  const inWindow = (now: number) => log.filter(({ at }) => now - at < window)
  return {
    record: (happened: Happened): void => {
      const isAgain = ({ amount, attempt, value }: Happened) =>
        attempt === happened.attempt && amount === happened.amount && value === happened.value
      if (!inWindow(happened.at).some(isAgain)) log.push(happened)
    },
    measure: (now: number): Velocity.Measure => {
      const live = inWindow(now)
      const values = new Set(live.flatMap(({ value }) => value === "" ? [] : [value]))
      return measureOf(live.length, live.reduce((sum, { amount }) => sum + amount, 0n), values.size)
    }
  }
}

export const velocityContract = <R>(
  name: string,
  layer: Layer.Layer<Velocity.Velocity | R, unknown>,
  { advance, largest = 1_000, live, runs = 100 }: ContractOptions<R>
): void => {
  test.layer(layer, { excludeTestServices: live })(name, (it) => {
    it.effect("records and counts in one step", () =>
      Effect.gen(function*() {
        const store = yield* Velocity.Velocity
        const counter = fresh()
        assert.deepStrictEqual(
          yield* record(store, { ...counter, attempt: "1", amount: 500n, value: "tok_a" }),
          measureOf(1, 500n, 1)
        )
        assert.deepStrictEqual(
          yield* record(store, { ...counter, attempt: "2", amount: 250n, value: "tok_a" }),
          measureOf(2, 750n, 1)
        )
        assert.deepStrictEqual(
          yield* record(store, { ...counter, attempt: "3", value: "tok_b" }),
          measureOf(3, 750n, 2)
        )
        assert.deepStrictEqual(yield* record(store, { ...counter, attempt: "4" }), measureOf(4, 750n, 2))
      }))

    it.effect("does not count a retry twice", () =>
      Effect.gen(function*() {
        const store = yield* Velocity.Velocity
        const counter = fresh()
        yield* record(store, { ...counter, attempt: "1", amount: 500n, value: "a" })
        yield* record(store, { ...counter, attempt: "2", amount: 1n, value: "a" })
        const again = yield* record(store, { ...counter, attempt: "1", amount: 500n, value: "a" })
        assert.deepStrictEqual(again, measureOf(2, 501n, 1))
      }))

    it.effect("is not evaded by other cards and amounts under one attempt", () =>
      Effect.gen(function*() {
        const store = yield* Velocity.Velocity
        const counter = fresh()
        yield* record(store, { ...counter, attempt: "1", amount: 5n, value: "tok_a" })
        const card = yield* record(store, { ...counter, attempt: "1", amount: 5n, value: "tok_b" })
        assert.deepStrictEqual(card, measureOf(2, 10n, 2))
        const amount = yield* record(store, { ...counter, attempt: "1", amount: 900n, value: "tok_b" })
        assert.deepStrictEqual(amount, measureOf(3, 910n, 2))
        for (const value of ["tok_a", "tok_b"]) {
          assert.deepStrictEqual(yield* record(store, { ...counter, attempt: "1", amount: 5n, value }), amount)
        }
      }))

    it.effect("leaves an attempt where it was when it is retried", () =>
      Effect.gen(function*() {
        const store = yield* Velocity.Velocity
        const counter = fresh()
        yield* record(store, { ...counter, attempt: "1" })
        yield* advance("59 minutes")
        assert.strictEqual((yield* record(store, { ...counter, attempt: "1" })).count, 1)
        yield* advance("2 minutes")
        assert.strictEqual((yield* store.measure(counter)).count, 0)
        assert.strictEqual((yield* record(store, { ...counter, attempt: "1" })).count, 1)
      }))

    it.effect("tells attempts apart that begin alike", () =>
      Effect.gen(function*() {
        const store = yield* Velocity.Velocity
        const counter = fresh()
        const attempts = ["1", "11", "1:1", "11:1", "é", "é1", "'\"\\[]{}", "dropped"]
        for (const [i, attempt] of attempts.entries()) {
          const measure = yield* record(store, { ...counter, attempt, amount: 1n, value: attempt })
          assert.deepStrictEqual(measure, measureOf(i + 1, BigInt(i + 1), i + 1))
        }
        for (const attempt of attempts) {
          const again = yield* record(store, { ...counter, attempt, amount: 1n, value: attempt })
          assert.strictEqual(again.count, attempts.length)
        }
      }))

    it.effect("keeps series, keys and windows apart", () =>
      Effect.gen(function*() {
        const store = yield* Velocity.Velocity
        const counter = fresh()
        const all: ReadonlyArray<Velocity.Counter> = [
          counter,
          { ...counter, series: "device_hourly" },
          { ...counter, key: `${counter.key}1` },
          { ...counter, window: "2 hours" }
        ]
        const measures = yield* store.record(all.map((counter) => ({ ...counter, attempt: "1" })))
        assert.deepStrictEqual(measures, all.map(() => measureOf(1)))
      }))

    it.effect("answers many observations in their order, also of one counter", () =>
      Effect.gen(function*() {
        const store = yield* Velocity.Velocity
        const [first, second] = [fresh(), fresh()]
        yield* record(store, { ...second, attempt: "0" })
        const measures = yield* store.record([
          { ...first, attempt: "1", amount: 5n },
          { ...second, attempt: "1", amount: 7n },
          { ...first, attempt: "1", amount: 5n }
        ])
        assert.deepStrictEqual(measures, [measureOf(1, 5n), measureOf(2, 7n), measureOf(1, 5n)])
        assert.deepStrictEqual(yield* store.record([]), [])
      }))

    it.effect("lets the window slide", () =>
      Effect.gen(function*() {
        const store = yield* Velocity.Velocity
        const counter = fresh()
        yield* record(store, { ...counter, attempt: "1", amount: 1n, value: "a" })
        yield* advance("40 minutes")
        yield* record(store, { ...counter, attempt: "2", amount: 2n, value: "b" })
        yield* advance("21 minutes")
        assert.deepStrictEqual(yield* store.measure(counter), measureOf(1, 2n, 1))
        assert.deepStrictEqual(yield* record(store, { ...counter, attempt: "3", amount: 4n }), measureOf(2, 6n, 1))
        yield* advance("2 hours")
        assert.deepStrictEqual(yield* store.measure(counter), measureOf(0))
      }))

    it.effect("gives each of many at once a count of its own", () =>
      Effect.gen(function*() {
        const store = yield* Velocity.Velocity
        const counter = fresh()
        const attempts = Array.from({ length: 40 }, (_, i) => `${i}`)
        const counts = yield* Effect.forEach(
          attempts,
          (attempt) => Effect.map(record(store, { ...counter, attempt }), ({ count }) => count),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(counts.toSorted((a, b) => a - b), attempts.map((_, i) => i + 1))
      }))

    it.effect("keeps the newest eventsMax attempts, and says that there were more", () =>
      Effect.gen(function*() {
        const store = yield* Velocity.Velocity
        const counter = fresh()
        for (let i = 1; i <= 3; i++) {
          const measure = yield* record(store, { ...counter, attempt: `${i}`, amount: BigInt(i), eventsMax: 3 })
          assert.isFalse(measure.isLowerBound)
          yield* advance("1 second")
        }
        const fourth = yield* record(store, { ...counter, attempt: "4", amount: 4n, eventsMax: 3 })
        assert.deepStrictEqual(fourth, measureOf(3, 9n, 0, true))
        assert.deepStrictEqual(yield* record(store, { ...counter, attempt: "4", amount: 4n, eventsMax: 3 }), fourth)
        assert.deepStrictEqual(yield* store.measure(counter), fourth)
        yield* advance("50 minutes")
        assert.deepStrictEqual(yield* record(store, { ...counter, attempt: "5", amount: 5n, eventsMax: 100 }), {
          ...measureOf(4, 14n, 0, true)
        })
        yield* advance("11 minutes")
        // What had to go has left the window by now.
        assert.deepStrictEqual(yield* store.measure(counter), measureOf(1, 5n))
      }))

    it.effect("drops more at once when fewer are to be kept than before", () =>
      Effect.gen(function*() {
        const store = yield* Velocity.Velocity
        const counter = fresh()
        for (let i = 1; i <= 5; i++) yield* record(store, { ...counter, attempt: `${i}`, amount: BigInt(10 ** i) })
        const measure = yield* record(store, { ...counter, attempt: "6", amount: 7n, eventsMax: 1 })
        assert.deepStrictEqual(measure, measureOf(1, 7n, 0, true))
      }))

    it.effect("forgets one counter and no other", () =>
      Effect.gen(function*() {
        const store = yield* Velocity.Velocity
        const [first, second] = [fresh(), fresh()]
        yield* store.record([{ ...first, attempt: "1" }, { ...second, attempt: "1" }])
        assert.isTrue(yield* store.forget(first))
        assert.isFalse(yield* store.forget(first))
        assert.strictEqual((yield* store.measure(first)).count, 0)
        assert.strictEqual((yield* store.measure(second)).count, 1)
        yield* advance("2 hours")
        assert.isFalse(yield* store.forget(second))
      }))

    it.effect("measures without recording", () =>
      Effect.gen(function*() {
        const store = yield* Velocity.Velocity
        const counter = fresh()
        assert.deepStrictEqual(yield* store.measure(counter), measureOf(0))
        assert.deepStrictEqual(yield* store.measure(counter), measureOf(0))
        assert.isFalse(yield* store.forget(counter))
      }))

    it.effect("adds up the largest amounts exactly", () =>
      Effect.gen(function*() {
        const store = yield* Velocity.Velocity
        const counter = fresh()
        const amount = 9_000_000_000_000n
        for (let batch = 0; batch < largest / 100; batch++) {
          yield* store.record(Array.from({ length: 100 }, (_, i) => ({
            ...counter,
            attempt: `${batch}-${i}`,
            amount: amount - 1n,
            eventsMax: 1_000
          })))
        }
        assert.deepStrictEqual(yield* store.measure(counter), measureOf(largest, BigInt(largest) * (amount - 1n)))
      }))

    it.effect("refuses what is out of bounds before it records anything", () =>
      Effect.gen(function*() {
        const store = yield* Velocity.Velocity
        const good = { ...fresh(), attempt: "1" }
        const bad: ReadonlyArray<readonly [string, Partial<Velocity.Observation>]> = [
          ["series", { series: "" }],
          ["series", { series: " x" }],
          ["series", { series: "é" }],
          ["series", { series: "s".repeat(101) }],
          ["key", { key: "" }],
          ["key", { key: "a\u0000b" }],
          ["key", { key: "\ud800" }],
          ["key", { key: "k".repeat(256) }],
          ["attempt", { attempt: "" }],
          ["attempt", { attempt: "a\nb" }],
          ["value", { value: "a\tb" }],
          ["amount", { amount: -1n }],
          ["amount", { amount: 9_000_000_000_001n }],
          ["window", { window: "999 millis" }],
          ["window", { window: "367 days" }],
          ["window", { window: Duration.infinity }],
          ["eventsMax", { eventsMax: 0 }],
          ["eventsMax", { eventsMax: 1.5 }],
          ["eventsMax", { eventsMax: 1_001 }]
        ]
        for (const [field, part] of bad) {
          const { reason } = yield* Effect.flip(store.record([good, { ...good, ...part }]))
          assert.strictEqual(reason._tag, "ObservationInvalid")
          assert.strictEqual(reason._tag === "ObservationInvalid" ? reason.field : "", field)
        }
        const many = Array.from({ length: 101 }, () => good)
        assert.strictEqual((yield* Effect.flip(store.record(many))).reason._tag, "ObservationInvalid")
        assert.strictEqual((yield* Effect.flip(store.measure({ ...good, key: "" }))).reason._tag, "ObservationInvalid")
        assert.strictEqual((yield* Effect.flip(store.forget({ ...good, key: "" }))).reason._tag, "ObservationInvalid")
        assert.strictEqual((yield* store.measure(good)).count, 0)
      }))

    it.effect.prop(
      "counts like a log that forgets nothing, retries and all",
      [Steps],
      ([steps]) =>
        Effect.gen(function*() {
          const store = yield* Velocity.Velocity
          const counters = [fresh(window), fresh(window)] as const
          const naive = [makeNaive(), makeNaive()] as const
          let now = 0
          for (const { afterMillis, amount, attempt, counter, value } of steps) {
            if (afterMillis > 0) yield* advance(afterMillis)
            now += afterMillis
            const happened = { attempt: `${attempt}`, amount: BigInt(amount), value }
            naive[counter].record({ ...happened, at: now })
            const measure = yield* record(store, { ...counters[counter], ...happened })
            assert.deepStrictEqual(measure, naive[counter].measure(now))
            const other = counter === 0 ? 1 : 0
            assert.deepStrictEqual(yield* store.measure(counters[other]), naive[other].measure(now))
          }
        }),
      { arbitrary: { runs }, timeout: 120_000 }
    )

    it.effect.prop(
      "is never above a log that forgets nothing, and below only when it says so",
      [Steps],
      ([steps]) =>
        Effect.gen(function*() {
          const store = yield* Velocity.Velocity
          const counter = fresh(window)
          const naive = makeNaive()
          let now = 0
          for (const [i, { afterMillis, amount, value }] of steps.entries()) {
            if (afterMillis > 0) yield* advance(afterMillis)
            now += afterMillis
            const happened = { attempt: `${i}`, amount: BigInt(amount), value }
            naive.record({ ...happened, at: now })
            const { isLowerBound, ...measure } = yield* record(store, { ...counter, ...happened, eventsMax: 4 })
            const { isLowerBound: _, ...exact } = naive.measure(now)
            assert.strictEqual(isLowerBound, exact.count > 4)
            assert.isAtMost(measure.distinct, exact.distinct)
            assert.isTrue(measure.sum <= exact.sum)
            assert.strictEqual(measure.count, Math.min(4, exact.count))
            if (!isLowerBound) assert.deepStrictEqual(measure, exact)
          }
        }),
      { arbitrary: { runs }, timeout: 120_000 }
    )
  })
}
