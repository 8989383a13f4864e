import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Deadlines from "../../src/internal/stack/deadlines.ts"

/** A clock that counts the sleeps that are under way. */
const counted = Effect.map(Clock.Clock, (clock) => {
  const sleeps = { now: 0, ever: 0 }
  const counting: Clock.Clock = {
    currentTimeMillis: clock.currentTimeMillis,
    currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe(),
    currentTimeNanos: clock.currentTimeNanos,
    currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe(),
    monotonicTimeNanos: clock.monotonicTimeNanos,
    monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
    sleep: (duration) =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          sleeps.now++
          sleeps.ever++
        }),
        () => clock.sleep(duration),
        () => Effect.sync(() => void sleeps.now--)
      )
  }
  return { clock: counting, sleeps }
})

const made = Effect.gen(function*() {
  const { clock, sleeps } = yield* counted
  const scope = yield* Scope.make()
  const deadlines = yield* Deadlines.make(clock, scope)
  const over: Array<string> = []
  const set = (name: string, millis: number) => deadlines.set(millis, () => void over.push(name))
  return { close: Scope.close(scope, Exit.void), deadlines, over, set, sleeps }
})

describe("deadlines", () => {
  it.effect("are over each at its time, whatever their order, and only once", () =>
    Effect.gen(function*() {
      const { over, set } = yield* made
      set("late", 300)
      set("early", 100)
      set("middle", 200.5)
      yield* TestClock.adjust(99)
      assert.deepStrictEqual(over, [])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(over, ["early"])
      yield* TestClock.adjust(101)
      assert.deepStrictEqual(over, ["early", "middle"])
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(over, ["early", "middle", "late"])
    }))

  it.effect("are not over once they are called off", () =>
    Effect.gen(function*() {
      const { deadlines, over, set } = yield* made
      const first = set("first", 100)
      set("second", 100)
      deadlines.callOff(first)
      deadlines.callOff(first)
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(over, ["second"])
    }))

  it.effect("may be set where another is over", () =>
    Effect.gen(function*() {
      const { deadlines, over, set } = yield* made
      deadlines.set(100, () => set("next", 50))
      set("other", 1000)
      yield* TestClock.adjust(149)
      assert.deepStrictEqual(over, [])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(over, ["next"])
    }))

  it.effect("share a timer, which goes on from one to the next", () =>
    Effect.gen(function*() {
      const { deadlines, set, sleeps } = yield* made
      for (let i = 0; i < 100; i++) deadlines.callOff(set("answered", 1000))
      for (let i = 0; i < 100; i++) set("pending", 1000 + i)
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(sleeps, { now: 1, ever: 1 })
    }))

  it.effect("leave no timer behind when their scope is closed, but for what is still waited for", () =>
    Effect.gen(function*() {
      const { close, deadlines, over, set, sleeps } = yield* made
      const ending = set("ending", 100)
      set("hanging", 200)
      yield* close
      assert.strictEqual(sleeps.now, 1)
      deadlines.callOff(ending)
      yield* TestClock.adjust(200)
      assert.deepStrictEqual(over, ["hanging"])
      assert.strictEqual(sleeps.now, 0)
      const late = set("late", 1000)
      assert.strictEqual(sleeps.now, 1)
      deadlines.callOff(late)
      assert.strictEqual(sleeps.now, 0)
    }))
})
