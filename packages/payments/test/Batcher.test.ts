import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Logger, Metric, Result, Schema, Scope } from "effect"
import { Batcher } from "effect-payments"
import { TestClock } from "effect/testing"

/** A batcher that notes its batches and answers each item with its double; odd items of `bad` fail. */
const make = Effect.fnUntraced(
  function*(options?: Partial<Batcher.Options> & { readonly bad?: ReadonlyArray<number> }) {
    const batches: Array<ReadonlyArray<number>> = []
    const scope = yield* Scope.make()
    const batcher = yield* Batcher.make({
      name: "test",
      size: 3,
      interval: "5 seconds",
      ...options,
      process: (items: ReadonlyArray<number>) =>
        Effect.sync(() => {
          batches.push(items)
          return items.map((n) => options?.bad?.includes(n) === true ? Result.fail(`bad ${n}`) : Result.succeed(2 * n))
        })
    }).pipe(Scope.provide(scope))
    return { batcher, batches, close: Scope.close(scope, Exit.void) }
  }
)

/** A batcher whose batches end when they are let. */
const makeHeld = Effect.fnUntraced(function*(options?: Partial<Batcher.Options>) {
  const started: Array<ReadonlyArray<number>> = []
  const gates: Array<Deferred.Deferred<void>> = []
  const scope = yield* Scope.make()
  const batcher = yield* Batcher.makeWhole({
    name: "held",
    size: 2,
    interval: "1 second",
    ...options,
    process: (items: ReadonlyArray<number>) =>
      Effect.suspend(() => {
        started.push(items)
        const gate = Deferred.makeUnsafe<void>()
        gates.push(gate)
        return Deferred.await(gate)
      })
  }).pipe(Scope.provide(scope))
  const release = (index: number) =>
    Effect.suspend(() => {
      const gate = gates[index]
      return gate === undefined ? Effect.die(`no batch ${index}`) : Effect.asVoid(Deferred.succeed(gate, undefined))
    })
  return { batcher, started, release, close: Scope.close(scope, Exit.void) }
})

const fork = <A, E>(self: Effect.Effect<A, E>) => Effect.forkChild(self, { startImmediately: true })
const settle = TestClock.adjust(0)

describe("Batcher", () => {
  it.effect("passes on a batch when it is full, each with its own answer", () =>
    Effect.gen(function*() {
      const { batcher, batches } = yield* make({ bad: [2] })
      const answers = yield* Effect.forEach([1, 2, 3], (n) => Effect.result(batcher.submit(n)), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(answers, [Result.succeed(2), Result.fail("bad 2"), Result.succeed(6)])
      assert.deepStrictEqual(batches, [[1, 2, 3]])
    }))

  it.effect("passes on fewer when the first has waited long enough, and not before", () =>
    Effect.gen(function*() {
      const { batcher, batches } = yield* make()
      const first = yield* fork(batcher.submit(1))
      yield* TestClock.adjust("3 seconds")
      const second = yield* fork(batcher.submit(2))
      yield* TestClock.adjust("1999 millis")
      assert.deepStrictEqual(batches, [])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(second)], [2, 4])
      assert.deepStrictEqual(batches, [[1, 2]])
      // Nothing waits: nothing is passed on.
      yield* TestClock.adjust("1 hour")
      assert.lengthOf(batches, 1)
    }))

  it.effect("counts the interval of what is left over from when that came", () =>
    Effect.gen(function*() {
      const { batcher, batches } = yield* make({ size: 2 })
      yield* Effect.forEach([1], (n) => batcher.add(n))
      yield* TestClock.adjust("2 seconds")
      yield* Effect.forEach([2, 3], (n) => batcher.add(n))
      yield* settle
      assert.deepStrictEqual(batches, [[1, 2]])
      yield* TestClock.adjust("4999 millis")
      assert.lengthOf(batches, 1)
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(batches, [[1, 2], [3]])
    }))

  it.effect("passes on what waits when it closes, and takes nothing more", () =>
    Effect.gen(function*() {
      const { batcher, batches, close } = yield* make()
      const fibers = yield* Effect.forEach([1, 2, 3, 4, 5], (n) => fork(batcher.submit(n)))
      yield* close
      assert.deepStrictEqual(batches, [[1, 2, 3], [4, 5]])
      assert.deepStrictEqual(yield* Effect.forEach(fibers, (fiber) => Fiber.join(fiber)), [2, 4, 6, 8, 10])
      for (const late of [batcher.submit(6), batcher.add(6)]) {
        const error = yield* Effect.flip(late)
        assert.deepStrictEqual(typeof error !== "string" && error.reason, new Batcher.BatcherClosed())
      }
      assert.lengthOf(batches, 2)
    }))

  it.effect("keeps an item whose caller is gone", () =>
    Effect.gen(function*() {
      const { batcher, batches, close } = yield* make()
      const fiber = yield* fork(batcher.submit(1))
      yield* Fiber.interrupt(fiber)
      yield* close
      assert.deepStrictEqual(batches, [[1]])
    }))

  it.effect("passes on at once what is asked for", () =>
    Effect.gen(function*() {
      const { batcher, batches } = yield* make()
      const answer = yield* fork(batcher.submit(1))
      assert.strictEqual(yield* batcher.waiting, 1)
      yield* batcher.flush
      assert.deepStrictEqual(batches, [[1]])
      assert.strictEqual(yield* batcher.waiting, 0)
      assert.strictEqual(yield* Fiber.join(answer), 2)
      yield* batcher.flush
      // The next one waits for its interval again.
      yield* batcher.add(2)
      yield* TestClock.adjust("4 seconds")
      assert.lengthOf(batches, 1)
    }))

  it.effect("has callers wait for a place, in their order, and tells them when there is none for too long", () =>
    Effect.gen(function*() {
      const { batcher, close, release, started } = yield* makeHeld({ capacity: 2, waitAtMost: "10 seconds" })
      yield* Effect.forEach([1, 2, 3, 4], (n) => batcher.add(n).pipe(Effect.tap(settle)))
      assert.deepStrictEqual(started, [[1, 2]])
      const fifth = yield* fork(batcher.add(5))
      const sixth = yield* fork(batcher.add(6))
      // As many as may wait for a place do.
      const seventh = yield* Effect.flip(batcher.add(7))
      assert.deepStrictEqual(seventh.reason, new Batcher.BatcherFull({ capacity: 2 }))
      assert.strictEqual(seventh.disposition, "NotExecuted")
      yield* TestClock.adjust("9 seconds")
      yield* release(0)
      yield* settle
      assert.deepStrictEqual(started, [[1, 2], [3, 4]])
      yield* Fiber.join(fifth)
      yield* Fiber.join(sixth)
      const eighth = yield* fork(Effect.flip(batcher.add(8)))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(eighth)).reason._tag, "BatcherFull")
      yield* release(1)
      yield* settle
      yield* release(2)
      yield* close
      assert.deepStrictEqual(started, [[1, 2], [3, 4], [5, 6]])
    }))

  it.effect("gives up a place that nobody waits for any more", () =>
    Effect.gen(function*() {
      const { batcher, release, started } = yield* makeHeld({ capacity: 1, size: 1 })
      yield* Effect.andThen(batcher.add(1), settle)
      yield* batcher.add(2)
      yield* Fiber.interrupt(yield* fork(batcher.add(3)))
      const fourth = yield* fork(batcher.add(4))
      for (const index of [0, 1, 2]) yield* Effect.andThen(release(index), settle)
      yield* Fiber.join(fourth)
      assert.deepStrictEqual(started, [[1], [2], [4]])
    }))

  it.effect("runs as many batches at a time as it may", () =>
    Effect.gen(function*() {
      const { batcher, release, started } = yield* makeHeld({ concurrency: 2 })
      yield* Effect.forEach([1, 2, 3, 4, 5, 6], (n) => batcher.add(n))
      yield* settle
      assert.deepStrictEqual(started, [[1, 2], [3, 4]])
      yield* release(1)
      yield* settle
      assert.deepStrictEqual(started, [[1, 2], [3, 4], [5, 6]])
    }))

  it.effect("fails all of a batch with the failure or the defect of its function, and goes on", () =>
    Effect.gen(function*() {
      const outcomes: Array<Effect.Effect<string, "down">> = [
        Effect.fail("down"),
        Effect.die("bug"),
        Effect.succeed("saved")
      ]
      const batcher = yield* Batcher.makeWhole({
        name: "whole",
        size: 2,
        process: (items: ReadonlyArray<number>) => outcomes.shift() ?? Effect.succeed(`more ${items.length}`)
      })
      const both = Effect.forEach([1, 2], (n) => Effect.exit(batcher.submit(n)), { concurrency: "unbounded" })
      assert.isTrue((yield* both).every((exit) => Exit.isFailure(exit) && Cause.squash(exit.cause) === "down"))
      for (const exit of yield* both) assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      assert.isTrue((yield* both).every((exit) => Exit.isSuccess(exit) && exit.value === "saved"))
    }))

  it.effect("does not guess whose answer it is when there are too few", () =>
    Effect.gen(function*() {
      const batcher = yield* Batcher.make({
        name: "few",
        size: 2,
        process: (items: ReadonlyArray<number>) => Effect.succeed(items.slice(1).map((n) => Result.succeed(n)))
      })
      const errors = yield* Effect.forEach([1, 2], (n) => Effect.flip(batcher.submit(n)), { concurrency: "unbounded" })
      for (const error of errors) {
        assert.deepStrictEqual(error.reason, new Batcher.AnswersMismatched({ items: 2, answers: 1 }))
        assert.strictEqual(error.disposition, "Unknown")
      }
    }))

  it.effect("leaves no caller without an answer, whatever its function answers with", () =>
    Effect.gen(function*() {
      const throwing = new Proxy([Result.succeed(1), Result.succeed(2)], {
        get: (target, key) => {
          if (key === "1") throw new Error("bug")
          return Reflect.get(target, key)
        }
      })
      const answers: ReadonlyArray<readonly [unknown, number]> = [
        [undefined, 0],
        [null, 0],
        [7, 0],
        ["ab", 0],
        [{ length: 2 }, 0],
        [new Map([[0, 1]]), 0],
        [[], 0],
        [[Result.succeed(1), Result.succeed(2), Result.succeed(3)], 3],
        [[1, 2], 0],
        [[undefined, undefined], 0],
        [Object.assign([], { length: 2 }), 0]
      ]
      let answer: unknown
      const batcher = yield* Batcher.make({
        name: "odd",
        size: 2,
        process: () => Effect.sync(() => answer as ReadonlyArray<Result.Result<number>>)
      })
      const both = Effect.forEach([1, 2], (n) => Effect.exit(batcher.submit(n)), { concurrency: "unbounded" })
      for (const [value, count] of answers) {
        answer = value
        for (const exit of yield* both) {
          const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
          assert.instanceOf(error, Batcher.BatcherError)
          assert.deepStrictEqual(error.reason, new Batcher.AnswersMismatched({ items: 2, answers: count }))
        }
      }
      answer = throwing
      for (const exit of yield* both) assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      answer = [Result.succeed(5), 6]
      const [first, second] = yield* both
      assert.deepStrictEqual(first, Exit.succeed(5))
      assert.isTrue(second !== undefined && Exit.isFailure(second))
      answer = [Result.succeed(5), Result.succeed(6)]
      assert.deepStrictEqual(yield* both, [Exit.succeed(5), Exit.succeed(6)])
      yield* batcher.flush
    }))

  it.effect("answers its callers also when the log fails", () =>
    Effect.gen(function*() {
      const batcher = yield* Batcher.makeWhole({
        name: "unlogged",
        size: 2,
        process: () => Effect.fail("no")
      })
      yield* batcher.add(1)
      assert.strictEqual(yield* Effect.flip(batcher.submit(2)), "no")
      yield* batcher.flush
    }).pipe(
      Effect.scoped,
      Effect.provide(Logger.layer([Logger.make(() => {
        throw new Error("disk full")
      })]))
    ))

  it.live("takes no longer to tell of failures, and to go through what waits, than there are items", () =>
    Effect.gen(function*() {
      const many = Effect.fnUntraced(function*(n: number, size: number) {
        const batcher = yield* Batcher.make({
          name: "many",
          size,
          capacity: n,
          process: (items: ReadonlyArray<number>) => Effect.succeed(items.map((i) => Result.fail(i)))
        })
        yield* Effect.forEach(Array.from({ length: n }, (_, i) => i), (i) => batcher.add(i), { discard: true })
        yield* batcher.flush
      })
      const begin = performance.now()
      yield* many(100_000, 100_000)
      yield* many(300_000, 30)
      assert.isBelow(performance.now() - begin, 15_000)
    }).pipe(Effect.scoped, Effect.provide(Logger.layer([]))))

  it.effect("is cut off when closing takes too long, and says so to each caller", () =>
    Effect.gen(function*() {
      const { batcher, close, started } = yield* makeHeld({ closeAtMost: "7 seconds" })
      const answers = yield* Effect.forEach([1, 2, 3], (n) => fork(Effect.flip(batcher.submit(n))))
      yield* settle
      const closing = yield* fork(close)
      yield* TestClock.adjust("6999 millis")
      assert.isUndefined(closing.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(closing)
      const errors = yield* Effect.forEach(answers, (answer) => Fiber.join(answer))
      assert.deepStrictEqual(
        errors.map(({ disposition, reason }) => [reason._tag, disposition]),
        [["BatcherCut", "Unknown"], ["BatcherCut", "Unknown"], ["BatcherCut", "NotExecuted"]]
      )
      assert.deepStrictEqual(started, [[1, 2]])
    }))

  it.effect("tells those that wait for a place that it closes", () =>
    Effect.gen(function*() {
      const { batcher, close, release } = yield* makeHeld({ capacity: 1, size: 1 })
      yield* Effect.andThen(batcher.add(1), settle)
      yield* batcher.add(2)
      const third = yield* fork(Effect.flip(batcher.add(3)))
      const closing = yield* fork(close)
      assert.strictEqual((yield* Fiber.join(third)).reason._tag, "BatcherClosed")
      yield* release(0)
      yield* settle
      yield* release(1)
      yield* Fiber.join(closing)
    }))

  it.effect("logs failures that no caller hears, without card data", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const logger = Logger.make(({ message }) => void lines.push(String(message)))
      yield* Effect.gen(function*() {
        const batcher = yield* Batcher.makeWhole({
          name: "told",
          size: 2,
          process: (items: ReadonlyArray<string>) => Effect.fail(`no ${items[0]}`)
        })
        yield* batcher.add("4111 1111 1111 1111")
        yield* Effect.ignore(batcher.submit("b"))
      }).pipe(Effect.provide(Logger.layer([logger])))
      assert.lengthOf(lines, 1)
      assert.include(lines[0], "batcher told: 1 items failed, the first with")
      assert.notInclude(lines[0], "4111 1111 1111 1111")
    }))

  it.effect("counts items by outcome", () =>
    Effect.gen(function*() {
      const { batcher } = yield* make({ bad: [2], name: "counted" })
      yield* Effect.forEach([1, 2, 3], (n) => Effect.result(batcher.submit(n)), { concurrency: "unbounded" })
      const counts = (yield* Metric.snapshot).flatMap((metric) =>
        metric.id === "effect_payments_batcher_items_total" && metric.type === "Counter" &&
          metric.attributes?.["batcher"] === "counted"
          ? [`${metric.attributes["outcome"]} ${metric.state.count}`]
          : []
      )
      assert.deepStrictEqual(counts.sort(), ["failed 1", "succeeded 2"])
    }))

  it.effect("dies of options out of bounds", () =>
    Effect.gen(function*() {
      const wrong: ReadonlyArray<Partial<Batcher.Options>> = [
        { size: 0 },
        { size: 1.5 },
        { name: "a b" },
        { interval: 0 },
        { capacity: Number.POSITIVE_INFINITY },
        { concurrency: -1 },
        { waitAtMost: "2 days" },
        { closeAtMost: Number.NaN }
      ]
      for (const options of wrong) {
        const exit = yield* Effect.exit(make(options))
        const [option] = Object.keys(options)
        assert.isTrue(Exit.isFailure(exit))
        if (Exit.isFailure(exit)) assert.include(Cause.pretty(exit.cause), `Batcher.make: ${option} must be`)
      }
    }))

  const Step = Schema.Union([
    Schema.TaggedStruct("Add", { count: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 9 })) }),
    Schema.TaggedStruct("Wait", { millis: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 7000 })) }),
    Schema.TaggedStruct("Flush", {})
  ])
  it.effect.prop(
    "passes on each item once and in order, whatever comes when",
    [Schema.Array(Step).check(Schema.isMaxLength(20)), Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 5 }))],
    ([steps, size]) =>
      Effect.gen(function*() {
        const { batcher, batches, close } = yield* make({ size, capacity: 1000 })
        let added = 0
        const fibers: Array<Fiber.Fiber<number, unknown>> = []
        for (const step of steps) {
          if (step._tag === "Wait") yield* TestClock.adjust(step.millis)
          else if (step._tag === "Flush") yield* batcher.flush
          else for (let i = 0; i < step.count; i++) fibers.push(yield* fork(batcher.submit(added++)))
        }
        yield* close
        assert.deepStrictEqual(batches.flat(), Array.from({ length: added }, (_, i) => i))
        assert.isTrue(batches.every((batch) => batch.length >= 1 && batch.length <= size))
        assert.deepStrictEqual(
          yield* Effect.forEach(fibers, (fiber) => Fiber.join(fiber)),
          Array.from({ length: added }, (_, i) => 2 * i)
        )
      })
  )
})
