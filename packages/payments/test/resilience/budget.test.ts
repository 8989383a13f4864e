import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Random } from "effect"
import { type PaymentError, Resilience } from "effect-payments"
import { closed, elapse, unsent } from "./support.ts"

type Call = Effect.Effect<string, PaymentError.PaymentError>

/**
 * Three layers that each try three times, over a dependency of which this part of the requests fails: how many requests
 * arrive for each call.
 */
const amplification = (failing: number, budgets: ReadonlyArray<Resilience.RetryBudget | undefined>, calls = 5000) =>
  Effect.gen(function*() {
    let arrived = 0
    const dependency: Call = Effect.flatMap(Random.next, (random) => {
      arrived++
      return random < failing ? Effect.fail(unsent) : Effect.succeed("ok")
    })
    const layers = budgets.reduce(
      (call: Call, budget) => closed(Resilience.retry(call, { attempts: 3, base: "1 millis", jitter: "none", budget })),
      dependency
    )
    yield* elapse(Effect.forEach(Array.from({ length: calls }), () => Effect.exit(layers), { discard: true }))
    return arrived / calls
  }).pipe(Random.withSeed("budget"))

describe("three layers of three attempts", () => {
  it.effect("send 27 times as much without a budget", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* amplification(1, [undefined, undefined, undefined], 100), 27)
    }))

  for (const failing of [1, 0.99, 0.9, 0.75, 0.5, 0.25, 0.1]) {
    it.effect(`send at most 1.1 times as much under one budget, when ${failing * 100} % fail`, () =>
      Effect.gen(function*() {
        const budget = yield* Resilience.makeRetryBudget()
        // The tokens that are there at first come on top.
        assert.isAtMost(yield* amplification(failing, [budget, budget, budget]), 1.1 + 10 / 5000)
      }))
  }

  it.effect("send at most 1.1 times as much in an outage, with a budget for each", () =>
    Effect.gen(function*() {
      const budgets = yield* Effect.all([1, 2, 3].map(() => Resilience.makeRetryBudget()))
      assert.isAtMost(yield* amplification(1, budgets), 1.1)
    }))
})

describe("a budget of retries in retries", () => {
  it.effect("is filled once by an answer", () =>
    Effect.gen(function*() {
      const budget = yield* Resilience.makeRetryBudget({ tokens: 4, refill: 0.5 })
      const inner = (call: Call) => closed(Resilience.retry(call, { attempts: 2, base: "1 millis", budget }))
      yield* elapse(Effect.exit(inner(inner(Effect.fail(unsent)))))
      const left = budget.tokens
      assert.isBelow(left, 4)
      yield* inner(inner(Effect.succeed("ok")))
      assert.strictEqual(budget.tokens, left + 0.5)
    }))
})

describe("the floor of a timeout", () => {
  const call = (left: number, floor: number) => {
    let started = 0
    const attempt: Call = Effect.suspend(() => (started++, Effect.succeed("ok")))
    const stack = attempt.pipe(
      Resilience.timeout("5 seconds", { floor }),
      (self) => Effect.delay(self, 1000 - left),
      Resilience.deadline("1 second"),
      (self) => closed(self)
    )
    return Effect.map(elapse(Effect.exit(stack), 2000), (exit) => ({ exit, started }))
  }

  it.effect("lets an attempt start with as much left, and none with less", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* call(200, 200)).started, 1)
      const { exit, started } = yield* call(199, 200)
      assert.strictEqual(started, 0)
      const error = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
      assert.isTrue(error?._tag === "Fail" && error.error.disposition === "NotExecuted")
    }))

  it.effect.each([0, 5001])("is a millisecond to the timeout, not %d", (floor) =>
    Effect.gen(function*() {
      assert.isTrue(Exit.hasDies((yield* call(900, floor)).exit))
    }))
})
