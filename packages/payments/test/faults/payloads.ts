/** Rows of the fault matrix about what an operation is called with. */
import { assert, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Idempotency, PaymentError } from "effect-payments"
import { type Backend, makeProcess, type Process, scope, tester, word } from "./harness.ts"

const Receipt = Schema.Struct({ id: Schema.String })

/** An operation that answers how often it has run under its key. */
const makeOperation = <P>(payloadSchema: Schema.Codec<P, unknown>) => {
  const runs = new Map<string, number>()
  const call = (payload: P, name = "key-1") =>
    Effect.sync(() => {
      const run = (runs.get(name) ?? 0) + 1
      runs.set(name, run)
      return { id: `run ${run}` }
    }).pipe(
      Idempotency.idempotent({
        scope,
        key: Idempotency.Key.make(name),
        payload,
        payloadSchema,
        success: Receipt,
        error: PaymentError.PaymentError
      })
    )
  return { call, total: () => [...runs.values()].reduce((sum, run) => sum + run, 0) }
}

/** What a second call of the same key gets, for each pair of a first and a second payload. */
const second = Effect.fnUntraced(function*<P>(
  process: Process,
  schema: Schema.Codec<P, unknown>,
  pairs: ReadonlyArray<readonly [P, P]>
) {
  const { call } = makeOperation(schema)
  return yield* Effect.forEach(
    pairs,
    ([first, second], index) =>
      Effect.andThen(word(process.run(call(first, `k${index}`))), word(process.run(call(second, `k${index}`))))
  )
})

const replays = (count: number) => Array.from({ length: count }, () => "run 1")
const conflicts = (count: number) => Array.from({ length: count }, () => "KeyConflict")
const refusals = (count: number) => Array.from({ length: count }, () => "PayloadInvalid")

const Anything = Schema.Struct({
  order: Schema.String,
  count: Schema.Finite,
  exact: Schema.optional(Schema.BigInt),
  at: Schema.optional(Schema.Date),
  tags: Schema.Array(Schema.NullOr(Schema.Boolean)),
  more: Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Finite]))
})

/** The same value, made anew, with its members the other way round. */
const remade = (value: typeof Anything.Type): typeof Anything.Type => {
  const more = Object.fromEntries(Object.entries(value.more).toReversed())
  return Object.fromEntries(
    Object.entries({ ...value, more, tags: [...value.tags] }).toReversed()
  ) as unknown as typeof value
}

const isWellFormed = (value: typeof Anything.Type): boolean =>
  [value.order, ...Object.keys(value.more), ...Object.values(value.more)].every((text) =>
    typeof text !== "string" || text.isWellFormed()
  )

export const payloads = (backend: Backend): void => {
  const test = tester(backend)

  test(
    "row 7: an operation that changes its own payload completes under the payload that it was called with",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const given = { order: "A", lines: ["1"] }
      const schema = Schema.Struct({ order: Schema.String, lines: Schema.mutable(Schema.Array(Schema.String)) })
      const call = (payload: { order: string; lines: Array<string> }) =>
        Effect.gen(function*() {
          yield* Effect.sleep(0)
          given.order = "changed"
          given.lines.push("2")
          return { id: "charged" }
        }).pipe(Idempotency.idempotent({
          scope,
          key: Idempotency.Key.make("key-1"),
          payload,
          payloadSchema: schema,
          success: Receipt,
          error: PaymentError.PaymentError
        }))
      assert.strictEqual(yield* word(process.run(call(given))), "charged")
      assert.strictEqual(yield* word(process.run(call({ order: "A", lines: ["1"] }))), "charged")
      assert.strictEqual(yield* word(process.run(call(given))), "KeyConflict")
    })
  )

  it.effect.prop(
    "row 8: an identical retry is a replay, whatever the payload and however it was put together",
    [Anything],
    ([payload]) =>
      Effect.gen(function*() {
        const process = yield* makeProcess()
        const { call, total } = makeOperation(Anything)
        const words = [yield* word(process.run(call(payload))), yield* word(process.run(call(remade(payload))))]
        assert.deepStrictEqual(words, isWellFormed(payload) ? replays(2) : refusals(2))
        assert.strictEqual(total(), isWellFormed(payload) ? 1 : 0)
      }).pipe(Effect.scoped, Effect.provide(backend.layer)),
    { arbitrary: { runs: backend.runs }, timeout: 60_000 }
  )

  test(
    "row 12: the order of members does not count, and the case of their names does",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const schema = Schema.Record(Schema.String, Schema.Unknown)
      assert.deepStrictEqual(
        yield* second(process, schema, [
          [{ a: 1, A: 2 }, { A: 2, a: 1 }],
          [{ b: { d: [1], c: null }, a: 1 }, { a: 1, b: { c: null, d: [1] } }],
          [{ "10": 1, "9": 2 }, { "9": 2, "10": 1 }]
        ]),
        replays(3)
      )
      assert.deepStrictEqual(
        yield* second(process, schema, [[{ a: 1, A: 2 }, { a: 2, A: 1 }], [{ a: [1, 2] }, { a: [2, 1] }]]),
        conflicts(2)
      )
    })
  )

  test(
    "row 13: a Map and a Set count by what they hold, and what has no schema is refused",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const map = Schema.ReadonlyMap(Schema.String, Schema.Number)
      const set = Schema.ReadonlySet(Schema.Number)
      assert.deepStrictEqual(
        yield* second(process, Schema.Union([map, set]), [
          [new Map([["a", 1]]), new Map([["a", 1]])],
          [new Set([1, 2]), new Set([1, 2])]
        ]),
        replays(2)
      )
      const another = yield* makeProcess()
      const { call } = makeOperation(map)
      assert.strictEqual(yield* word(another.run(call(new Map([["a", 1]]), "m"))), "run 1")
      assert.strictEqual(yield* word(another.run(call(new Map([["a", 2]]), "m"))), "KeyConflict")
      assert.strictEqual(yield* word(another.run(call(new Map([["b", 1]]), "m"))), "KeyConflict")
      const loose = makeOperation(Schema.Unknown)
      for (const value of [new Map([["a", 1]]), new Set([1]), new Error("a"), () => 1, Symbol("a")]) {
        assert.strictEqual(yield* word(another.run(loose.call(value, "u"))), "PayloadInvalid")
      }
      assert.strictEqual(loose.total(), 0)
    })
  )

  test(
    "row 14: NaN and the infinities are refused, null is itself, and minus zero is zero",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const schema = Schema.NullOr(Schema.Number)
      const { call, total } = makeOperation(schema)
      for (const payload of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
        assert.strictEqual(yield* word(process.run(call(payload))), "PayloadInvalid")
      }
      assert.strictEqual(total(), 0)
      assert.deepStrictEqual(yield* second(process, schema, [[-0, 0], [null, null]]), replays(2))
      assert.strictEqual(yield* word(process.run(call(null, "n"))), "run 1")
      assert.strictEqual(yield* word(process.run(call(0, "n"))), "KeyConflict")
    })
  )

  test(
    "row 15: a bigint is exact, and a cycle is refused",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const big = 2n ** 64n
      assert.deepStrictEqual(
        yield* second(process, Schema.Union([Schema.BigInt, Schema.String, Schema.Number]), [
          [big, big + 1n],
          [1n, "1"],
          [1n, 1]
        ]),
        conflicts(3)
      )
      const cycle: { self?: unknown } = {}
      cycle.self = cycle
      const { call, total } = makeOperation(Schema.Unknown)
      assert.strictEqual(yield* word(process.run(call(cycle, "c"))), "PayloadInvalid")
      assert.strictEqual(total(), 0)
      const exact = makeOperation(Schema.BigInt)
      assert.strictEqual(yield* word(process.run(exact.call(big, "b"))), "run 1")
      assert.strictEqual(yield* word(process.run(exact.call(big, "b"))), "run 1")
    })
  )

  test(
    "row 16: composed and decomposed letters are different, and a lone surrogate is refused",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      assert.deepStrictEqual(yield* second(process, Schema.String, [["\u00e9", "e\u0301"]]), conflicts(1))
      const { call, total } = makeOperation(Schema.String)
      for (const payload of ["a\ud800", "\udc00a"]) {
        assert.strictEqual(yield* word(process.run(call(payload, "s"))), "PayloadInvalid")
      }
      assert.strictEqual(total(), 0)
    })
  )

  test(
    "row 17: a member that is undefined is one that is absent, also beside what JSON has no word for",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const note = Schema.optional(Schema.NullOr(Schema.String))
      const plain = Schema.Struct({ note, count: Schema.Number })
      const exact = Schema.Struct({ note, count: Schema.BigInt })
      assert.deepStrictEqual(yield* second(process, plain, [[{ note: undefined, count: 1 }, { count: 1 }]]), replays(1))
      const another = makeOperation(exact)
      assert.strictEqual(yield* word(process.run(another.call({ note: undefined, count: 1n }, "e"))), "run 1")
      assert.strictEqual(yield* word(process.run(another.call({ count: 1n }, "e"))), "run 1")
      assert.strictEqual(yield* word(process.run(another.call({ note: null, count: 1n }, "e"))), "KeyConflict")
    })
  )

  test(
    "row 18: a Date is its instant, through its schema",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const { call } = makeOperation(Schema.Date)
      assert.strictEqual(yield* word(process.run(call(new Date("2026-01-01T01:00:00+01:00"), "d"))), "run 1")
      assert.strictEqual(yield* word(process.run(call(new Date("2026-01-01T00:00:00Z"), "d"))), "run 1")
      assert.strictEqual(yield* word(process.run(call(new Date("2026-01-01T00:00:00.001Z"), "d"))), "KeyConflict")
      assert.strictEqual(yield* word(process.run(call(new Date(Number.NaN), "x"))), "PayloadInvalid")
    })
  )
}
