import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Random, Schema } from "effect"
import { type PaymentError, Resilience } from "effect-payments"
import { TestClock } from "effect/testing"
import { ambiguous, closed, declined, overloaded } from "./support.ts"

type Answer = Effect.Effect<string, PaymentError.PaymentError>
const yes: Answer = Effect.succeed("ok")

const send = (window: Resilience.Throttle, answer: Answer) => {
  let sent = 0
  const call = Effect.suspend(() => (sent++, answer))
  return { call: closed(Resilience.throttle(call, window)), sent: () => sent }
}

const times = (count: number, call: Answer) =>
  Effect.forEach(Array.from({ length: count }), () => Effect.exit(call), { discard: true })

describe("throttle", () => {
  it.effect("turns nothing away while the gateway answers, yes or no", () =>
    Effect.gen(function*() {
      const window = yield* Resilience.makeThrottle()
      for (const answer of [yes, Effect.fail(declined)]) {
        const { call, sent } = send(window, answer)
        yield* times(100, call)
        assert.strictEqual(sent(), 100)
      }
      assert.deepStrictEqual([window.requests, window.accepts, window.rejection], [200, 200, 0])
    }))

  const counts = Schema.Array(Schema.Literals(["yes", "no", "overloaded", "unknown", "defect"])).check(
    Schema.isMaxLength(200)
  )
  it.effect.prop(
    "follows the formula, each request that came counted",
    [counts],
    ([answers]) =>
      Effect.gen(function*() {
        const window = yield* Resilience.makeThrottle({ k: 1.5 })
        const of: Record<string, Answer> = {
          yes,
          no: Effect.fail(declined),
          overloaded: Effect.fail(overloaded),
          unknown: Effect.fail(ambiguous),
          defect: Effect.die("defect")
        }
        let accepts = 0
        for (const answer of answers) {
          const { call, sent } = send(window, of[answer] ?? yes)
          yield* Effect.exit(call)
          if (sent() === 1 && (answer === "yes" || answer === "no")) accepts++
        }
        const requests = answers.length
        assert.deepStrictEqual([window.requests, window.accepts], [requests, accepts])
        assert.strictEqual(window.rejection, Math.max(0, (requests - 1.5 * accepts) / (requests + 1)))
      })
  )

  it.effect("sends k times what an overloaded gateway can take, and all of it once it has recovered", () =>
    Effect.gen(function*() {
      const window = yield* Resilience.makeThrottle()
      let capacity = 0
      let sent = 0
      const call: Answer = Effect.suspend(() => {
        sent++
        return capacity-- > 0 ? yes : Effect.fail(overloaded)
      })
      const throttled = closed(Resilience.throttle(call, window))
      const run = (seconds: number, perSecond: number) =>
        Effect.gen(function*() {
          sent = 0
          for (let second = 0; second < seconds; second++) {
            capacity = perSecond
            yield* times(100, throttled)
            yield* TestClock.adjust("1 second")
          }
          return sent
        })
      yield* run(125, 10)
      const steady = yield* run(120, 10)
      assert.approximately(steady / (120 * 10), 2, 0.1)
      yield* run(200, 1000)
      assert.strictEqual(yield* run(10, 1000), 1000)
    }).pipe(Random.withSeed("throttle")))

  it.effect("sends nothing of what it turns away, and says so", () =>
    Effect.gen(function*() {
      const window = yield* Resilience.makeThrottle({ name: "gateway" })
      yield* times(1000, send(window, Effect.fail(overloaded)).call)
      assert.isAbove(window.rejection, 0.99)
      const { call, sent } = send(window, yes)
      const error = yield* Effect.flip(call)
      assert.deepStrictEqual([error.disposition, error.reason._tag, sent()], ["NotExecuted", "GatewayUnavailable", 0])
      assert.strictEqual(error.reason._tag === "GatewayUnavailable" ? error.reason.by : "", "throttle")
    }).pipe(Random.withSeed("throttle")))

  it.effect("forgets after the window", () =>
    Effect.gen(function*() {
      const window = yield* Resilience.makeThrottle({ window: "1 minute" })
      yield* times(100, send(window, Effect.fail(overloaded)).call)
      yield* TestClock.adjust("57 seconds")
      yield* Effect.exit(send(window, yes).call)
      assert.strictEqual(window.requests, 101)
      yield* TestClock.adjust("61 seconds")
      const { call, sent } = send(window, yes)
      yield* call
      assert.deepStrictEqual([sent(), window.requests], [1, 1])
    }))

  it.effect("lets through all that come at once at a start, and sees a gateway that hangs", () =>
    Effect.gen(function*() {
      const window = yield* Resilience.makeThrottle()
      const { call, sent } = send(window, Effect.never)
      yield* Effect.forEach(
        Array.from({ length: 100 }),
        () => Effect.forkChild(call, { startImmediately: true })
      )
      assert.deepStrictEqual([sent(), window.requests, window.rejection], [100, 100, 0])
      yield* TestClock.adjust("11 seconds")
      yield* Effect.forkChild(call, { startImmediately: true })
      assert.isAbove(window.rejection, 0.9)
    }))

  it.effect("does not count one that a stage of ours refused or its caller gave up", () =>
    Effect.gen(function*() {
      const window = yield* Resilience.makeThrottle()
      const places = yield* Resilience.makeBulkhead({ limit: 1 })
      const hung = yield* Effect.forkChild(
        closed(Resilience.throttle(Resilience.bulkhead(Effect.never as Answer, places), window)),
        { startImmediately: true }
      )
      assert.strictEqual(window.requests, 1)
      yield* Effect.flip(closed(Resilience.throttle(Resilience.bulkhead(yes, places), window)))
      assert.strictEqual(window.requests, 1)
      yield* Fiber.interrupt(hung)
      assert.deepStrictEqual([window.requests, window.rejection], [0, 0])
    }))

  it.effect("takes nothing from a window in which a late call is forgotten", () =>
    Effect.gen(function*() {
      const window = yield* Resilience.makeThrottle({ window: "1 minute" })
      const late = yield* Effect.forkChild(send(window, Effect.never).call, { startImmediately: true })
      yield* TestClock.adjust("2 minutes")
      yield* send(window, yes).call
      yield* Fiber.interrupt(late)
      assert.deepStrictEqual([window.requests, window.accepts], [1, 1])
    }))

  it.effect.each([{ k: 0.5 }, { k: 101 }, { k: Number.NaN }, { window: 0 }])(
    "dies of %j",
    (options) =>
      Effect.gen(function*() {
        const exit = yield* Effect.exit(Resilience.makeThrottle(options))
        assert.isTrue(Exit.hasDies(exit))
      })
  )
})
