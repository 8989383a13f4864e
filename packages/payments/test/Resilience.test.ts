import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Context, Duration, Effect, Exit, Fiber, Layer, Metric, Random, Schedule, Schema } from "effect"
import { Idempotency, IdempotencyStore, PaymentError, Resilience } from "effect-payments"
import { CircuitBreaker, RateLimiter } from "effect/persistence"
import { TestClock } from "effect/testing"
import { GatewayCallMustBeInsideIdempotent } from "../src/internal/stack/claim.ts"
import type { Marker } from "../src/internal/stack/markers.ts"
import { ReadOnly } from "../src/internal/stack/readOnly.ts"

type Failure = PaymentError.PaymentError

/** What `idempotent` does for the types alone: the markers exist at compile time only. */
const closed = <A, E, R>(self: Effect.Effect<A, E, R>) => self as Effect.Effect<A, E, Exclude<R, Marker>>

const claim = (repeatable: boolean) =>
  GatewayCallMustBeInsideIdempotent.of({
    scope: { tenant: "t", operation: "charge", version: 1 },
    key: "k",
    fence: 1,
    attempt: 1,
    downstreamKey: () => Effect.succeed("d"),
    settleMillis: 300_000,
    phase: undefined,
    depart: () => Effect.succeed("d"),
    arrive: () => {},
    remember: () => {},
    recall: () => undefined,
    witness: () => {},
    repeatable: Effect.succeed(repeatable)
  })

const unsent = PaymentError.make(new PaymentError.NetworkError({ sent: false }))
const ambiguous = PaymentError.make(new PaymentError.NetworkError({ sent: true }))
const repeatable = PaymentError.make(new PaymentError.NetworkError({ sent: true, repeatable: true }))
const declined = PaymentError.make(
  new PaymentError.InsufficientFunds({ advice: "TryAnotherMethod", nextKey: "new" })
)
const throttled = (retryAfter?: Duration.Input, by: PaymentError.Origin = "gateway") =>
  PaymentError.make(
    new PaymentError.RateLimited({
      by,
      ...retryAfter === undefined ? {} : { retryAfter: Duration.fromInputUnsafe(retryAfter) }
    })
  )

/** Plays outcomes in turn, the last one for good, and notes when each attempt began. */
const script = (...outcomes: ReadonlyArray<"ok" | Failure | Effect.Effect<string, Failure>>) => {
  const startedAt: Array<number> = []
  const call = Effect.flatMap(Clock.currentTimeMillis, (now): Effect.Effect<string, Failure> => {
    startedAt.push(now)
    const outcome = outcomes[Math.min(startedAt.length, outcomes.length) - 1] ?? "ok"
    return outcome === "ok" ?
      Effect.succeed("ok") :
      Effect.isEffect(outcome) && !Schema.is(PaymentError.PaymentError)(outcome)
      ? outcome
      : Effect.fail(outcome as Failure)
  })
  return { call, startedAt }
}

/** Runs an effect while the test clock goes on. */
const elapse = <A, E, R>(self: Effect.Effect<A, E, R>, time: Duration.Input = "10 minutes") =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(self, { startImmediately: true })
    yield* TestClock.adjust(time)
    return yield* Fiber.join(fiber)
  })

const reasonOf = <A, R>(self: Effect.Effect<A, Failure, R>) => Effect.map(Effect.flip(self), (error) => error.reason)

const counted = (id: string) =>
  Effect.map(
    Metric.snapshot,
    (all) =>
      all.filter((x) => x.id === id).map((x) => Number((x.state as { readonly count: number }).count)).reduce(
        (a, b) => a + b,
        0
      )
  )

/** What never answers and cannot be interrupted. */
const hangs = Effect.uninterruptible(Effect.never)

const median = { nextIntUnsafe: () => 0, nextDoubleUnsafe: () => 0.5 }

describe("retry", () => {
  it.effect("tries again what surely did not happen, with growing pauses", () =>
    Effect.gen(function*() {
      const { call, startedAt } = script(unsent, unsent, unsent, "ok")
      const result = yield* elapse(closed(Resilience.retry(call, { attempts: 4, jitter: "none" })))
      assert.strictEqual(result, "ok")
      assert.deepStrictEqual(startedAt, [0, 500, 1500, 3500])
    }))

  it.effect("takes the pause at random from none to all of it", () =>
    Effect.gen(function*() {
      const pauses = yield* Effect.forEach(Array.from({ length: 200 }), (_, seed) =>
        Effect.gen(function*() {
          const { call, startedAt } = script(unsent, "ok")
          yield* elapse(closed(Resilience.retry(call, { base: "1 second" })).pipe(Random.withSeed(seed)))
          return (startedAt[1] ?? 0) - (startedAt[0] ?? 0)
        }))
      assert.isTrue(pauses.every((x) => x >= 0 && x <= 1000))
      assert.isBelow(Math.min(...pauses), 100)
      assert.isAbove(Math.max(...pauses), 900)
    }))

  it.effect("does not take back that an attempt may have happened when a later one is not sent", () =>
    Effect.gen(function*() {
      const doubt = PaymentError.make(new PaymentError.GatewayTimeout({ repeatable: true }))
      const { call } = script(doubt, unsent, unsent)
      const error = yield* Effect.flip(elapse(closed(Resilience.retry(call, { jitter: "none" }))))
      assert.strictEqual(error, doubt)
    }))

  it.effect("takes an answer to a later attempt for the answer", () =>
    Effect.gen(function*() {
      const doubt = PaymentError.make(new PaymentError.GatewayTimeout({ repeatable: true }))
      const refusal = PaymentError.make(new PaymentError.InvalidRequest({ code: "no" }))
      const { call } = script(doubt, refusal)
      assert.strictEqual(yield* Effect.flip(elapse(closed(Resilience.retry(call, { jitter: "none" })))), refusal)
    }))

  it.effect("never pauses longer than the cap", () =>
    Effect.gen(function*() {
      const { call, startedAt } = script(unsent)
      const options = { attempts: 6, base: "1 second", cap: "3 seconds", jitter: "none" } as const
      yield* Effect.flip(elapse(closed(Resilience.retry(call, options))))
      assert.deepStrictEqual(startedAt, [0, 1000, 3000, 6000, 9000, 12_000])
    }))

  it.effect("makes three attempts when not told otherwise, and fails with the last failure", () =>
    Effect.gen(function*() {
      const { call, startedAt } = script(unsent, unsent, throttled())
      const reason = yield* reasonOf(elapse(closed(Resilience.retry(call))))
      assert.strictEqual(startedAt.length, 3)
      assert.strictEqual(reason._tag, "RateLimited")
    }))

  it.effect("never repeats a refusal, an ambiguous outcome, a defect or an interruption", () =>
    Effect.gen(function*() {
      const cases: ReadonlyArray<Effect.Effect<string, Failure>> = [
        Effect.fail(declined),
        Effect.fail(ambiguous),
        Effect.die("defect"),
        Effect.interrupt,
        Effect.failCause(Cause.combine(Cause.fail(unsent), Cause.die("defect"))),
        Effect.failCause(Cause.combine(Cause.fail(unsent), Cause.fail(declined)))
      ]
      for (const outcome of cases) {
        const { call, startedAt } = script(outcome)
        const exit = yield* Effect.exit(elapse(closed(Resilience.retry(call))))
        assert.strictEqual(startedAt.length, 1, String(exit))
        assert.isTrue(Exit.isFailure(exit))
      }
    }))

  it.effect("repeats an unknown outcome where the gateway recognises the request", () =>
    Effect.gen(function*() {
      const { call, startedAt } = script(repeatable, "ok")
      assert.strictEqual(yield* elapse(closed(Resilience.retry(call))), "ok")
      assert.strictEqual(startedAt.length, 2)
    }))

  it.effect("repeats an unknown outcome of a call without side effects", () =>
    Effect.gen(function*() {
      const { call, startedAt } = script(ambiguous, "ok")
      const readOnly = Effect.provideService(closed(Resilience.retry(call)), ReadOnly, true)
      assert.strictEqual(yield* elapse(readOnly), "ok")
      assert.strictEqual(startedAt.length, 2)
      const refused = script(declined)
      yield* Effect.flip(elapse(Effect.provideService(closed(Resilience.retry(refused.call)), ReadOnly, true)))
      assert.strictEqual(refused.startedAt.length, 1)
    }))

  it.effect("waits as long as the other side asks", () =>
    Effect.gen(function*() {
      const { call, startedAt } = script(throttled("7 seconds"), "ok")
      yield* elapse(closed(Resilience.retry(call, { jitter: "none" })))
      assert.deepStrictEqual(startedAt, [0, 7000])
    }))

  it.effect("gives up at once when asked to wait longer than the cap", () =>
    Effect.gen(function*() {
      const { call, startedAt } = script(throttled("11 seconds"))
      const before = yield* Clock.currentTimeMillis
      const fiber = yield* Effect.forkChild(Effect.flip(closed(Resilience.retry(call))), { startImmediately: true })
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error.reason._tag, "RateLimited")
      assert.strictEqual(startedAt.length, 1)
      assert.strictEqual(yield* Clock.currentTimeMillis, before)
    }))

  it.effect("does not sleep past the deadline", () =>
    Effect.gen(function*() {
      const { call, startedAt } = script(unsent)
      const error = yield* call.pipe(
        Resilience.retry({ attempts: 10, base: "1 second", jitter: "none" }),
        Resilience.deadline("5 seconds"),
        closed,
        reasonOf,
        elapse
      )
      assert.deepStrictEqual(startedAt, [0, 1000, 3000])
      assert.strictEqual(error._tag, "NetworkError")
    }))

  it.effect("follows a schedule of one's own", () =>
    Effect.gen(function*() {
      const { call, startedAt } = script(unsent)
      yield* Effect.flip(
        elapse(closed(Resilience.retry(call, { attempts: 3, schedule: Schedule.spaced("2 seconds") })))
      )
      assert.deepStrictEqual(startedAt, [0, 2000, 4000])
      const ended = script(unsent)
      yield* Effect.flip(elapse(closed(Resilience.retry(ended.call, { attempts: 9, schedule: Schedule.recurs(1) }))))
      assert.strictEqual(ended.startedAt.length, 2)
    }))

  it.effect("starts afresh each time it is run", () =>
    Effect.gen(function*() {
      const { call, startedAt } = script(unsent)
      const retried = closed(Resilience.retry(call, { attempts: 2, jitter: "none" }))
      yield* Effect.flip(elapse(retried))
      yield* Effect.flip(elapse(retried))
      assert.strictEqual(startedAt.length, 4)
      assert.strictEqual((startedAt[3] ?? 0) - (startedAt[2] ?? 0), 500)
    }))

  it.effect("shares a budget, which answers refill", () =>
    Effect.gen(function*() {
      const budget = yield* Resilience.makeRetryBudget({ tokens: 4, refill: 0.5 })
      const attempts = (outcome: Failure | "ok") =>
        Effect.gen(function*() {
          const { call, startedAt } = script(outcome)
          yield* Effect.exit(elapse(closed(Resilience.retry(call, { attempts: 4, budget }))))
          return startedAt.length
        })
      assert.deepStrictEqual(yield* Effect.forEach([unsent, unsent, unsent], attempts), [4, 2, 1])
      assert.strictEqual(budget.tokens, 0)
      assert.deepStrictEqual(yield* Effect.forEach(["ok", declined, unsent] as const, attempts), [1, 1, 2])
      yield* Effect.forEach(Array.from({ length: 50 }), () => attempts("ok"))
      assert.strictEqual(budget.tokens, 4)
    }))

  it.effect("keeps an outage from multiplying the load", () =>
    Effect.gen(function*() {
      const budget = yield* Resilience.makeRetryBudget()
      const { call, startedAt } = script(unsent)
      const retried = closed(Resilience.retry(call, { attempts: 3, base: "1 millis", budget }))
      yield* elapse(Effect.forEach(Array.from({ length: 1000 }), () => Effect.exit(retried)))
      assert.strictEqual(startedAt.length, 1010)
    }))

  it.effect("counts the retries", () =>
    Effect.gen(function*() {
      const { call } = script(unsent, unsent, "ok")
      yield* elapse(closed(Resilience.retry(call)))
      assert.strictEqual(yield* counted("effect_payments_retries_total"), 2)
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))

  it.effect("uses the Random service", () =>
    Effect.gen(function*() {
      const { call, startedAt } = script(unsent, "ok")
      yield* elapse(closed(Resilience.retry(call)).pipe(Effect.provideService(Random.Random, median)))
      assert.deepStrictEqual(startedAt, [0, 250])
    }))

  it.effect("dies with InvalidOption", () =>
    Effect.gen(function*() {
      for (
        const options of [
          { attempts: 0 },
          { attempts: Number.NaN },
          { attempts: 101 },
          { base: -1 },
          { base: "never" as Duration.Input },
          { factor: 0.5 },
          { cap: Duration.infinity }
        ] satisfies ReadonlyArray<Resilience.RetryOptions>
      ) {
        const { call, startedAt } = script("ok")
        const exit = yield* Effect.exit(closed(Resilience.retry(call, options)))
        assert.instanceOf(Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined, Resilience.InvalidOption)
        assert.strictEqual(startedAt.length, 0)
      }
    }))
})

describe("timeout", () => {
  const slow = Effect.as(Effect.sleep("10 seconds"), "late") as Effect.Effect<string, Failure>

  it.effect("passes on what ends in time", () =>
    Effect.gen(function*() {
      const inTime = closed(Resilience.timeout(slow, "11 seconds"))
      assert.strictEqual(yield* elapse(inTime), "late")
      assert.strictEqual(yield* closed(Resilience.timeout(Effect.succeed(1), "1 second")), 1)
      const failed = yield* Effect.flip(closed(Resilience.timeout(Effect.fail(declined), "1 second")))
      assert.strictEqual(failed, declined)
    }))

  it.effect("interrupts what does not, and does not know what became of it", () =>
    Effect.gen(function*() {
      let interrupted = false
      const call = Effect.onInterrupt(slow, () =>
        Effect.sync(() => {
          interrupted = true
        }))
      const fiber = yield* Effect.forkChild(Effect.flip(closed(Resilience.timeout(call, "2 seconds"))), {
        startImmediately: true
      })
      yield* TestClock.adjust("1999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      const error = yield* Fiber.join(fiber)
      assert.isTrue(interrupted)
      assert.strictEqual(error.reason._tag, "GatewayTimeout")
      assert.strictEqual(error.disposition, "Unknown")
      assert.isFalse(error.repeatable)
    }))

  it.effect("is repeatable if the claim says so", () =>
    Effect.gen(function*() {
      for (const repeatable of [true, false]) {
        const error = yield* closed(Resilience.timeout(slow, "2 seconds")).pipe(
          Effect.flip,
          elapse,
          Effect.provideService(GatewayCallMustBeInsideIdempotent, claim(repeatable))
        )
        assert.strictEqual(error.repeatable, repeatable)
      }
    }))

  it.effect("waits for what cannot be interrupted", () =>
    Effect.gen(function*() {
      let ended = false
      const call = Effect.map(slow, () => {
        ended = true
      })
      const reason = yield* reasonOf(elapse(closed(Resilience.timeout(Effect.uninterruptible(call), "2 seconds"))))
      assert.strictEqual(reason._tag, "GatewayTimeout")
      assert.isTrue(ended)
    }))

  it.effect("does not hide a defect of the attempt's finalizer", () =>
    Effect.gen(function*() {
      const call = Effect.onInterrupt(slow, () => Effect.die("finalizer"))
      const exit = yield* Effect.exit(elapse(closed(Resilience.timeout(call, "2 seconds"))))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause) && Cause.hasFails(exit.cause))
    }))

  it.effect("is interrupted with its caller and waits for the attempt's finalizers", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const call = Effect.onInterrupt(slow, () => Effect.sync(() => seen.push("finalizer")))
      const fiber = yield* Effect.forkChild(closed(Resilience.timeout(call, "20 seconds")), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      seen.push("caller")
      assert.deepStrictEqual(seen, ["finalizer", "caller"])
      yield* TestClock.adjust("1 hour")
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
    }))

  it.effect("ends an attempt even where the caller cannot be interrupted", () =>
    Effect.gen(function*() {
      const error = yield* elapse(Effect.uninterruptible(Effect.flip(closed(Resilience.timeout(slow, "2 seconds")))))
      assert.strictEqual(error.reason._tag, "GatewayTimeout")
    }))

  it.effect("is limited by what is left before the deadline", () =>
    Effect.gen(function*() {
      let endedAt = -1
      const call = Effect.onExit(slow, () =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          endedAt = now
        }))
      yield* elapse(Effect.exit(closed(call.pipe(Resilience.timeout("9 seconds"), Resilience.deadline("3 seconds")))))
      assert.strictEqual(endedAt, 3000)
    }))

  it.effect("does not start without time left", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const attempt = closed(Resilience.timeout(Effect.sync(() => seen.push("started")), "1 second"))
      const late = Effect.sleep("2 seconds").pipe(
        Effect.andThen(reasonOf(Effect.andThen(attempt, Effect.fail(declined)))),
        Effect.map((reason) => seen.push(reason)),
        Effect.uninterruptible
      )
      yield* Effect.exit(elapse(Resilience.deadline(late, "1 second")))
      assert.deepInclude(seen[0], { _tag: "GatewayUnavailable", by: "deadline" })
      assert.strictEqual(seen.length, 1)
    }))

  it.effect("leaves no timer behind", () =>
    Effect.gen(function*() {
      const clock = yield* Clock.Clock
      let timers = 0
      const counting: Clock.Clock = Object.assign(Object.create(clock) as Clock.Clock, {
        sleep: (duration: Duration.Duration) =>
          Effect.acquireUseRelease(
            Effect.sync(() => timers++),
            () => clock.sleep(duration),
            () => Effect.sync(() => timers--)
          )
      })
      const places = yield* Resilience.makeBulkhead({ limit: 1, queue: 1000, maxWait: "1 hour" })
      const call = Effect.flatMap(Effect.yieldNow, () => timers > 0 ? Effect.succeed(timers) : Effect.die("no timer"))
      const attempt = call.pipe(
        Resilience.timeout("1 hour"),
        Resilience.bulkhead(places),
        Resilience.deadline("2 hours"),
        closed
      )
      yield* Effect.forEach(Array.from({ length: 1000 }), () => attempt, { concurrency: "unbounded" }).pipe(
        Effect.provideService(Clock.Clock, counting)
      )
      assert.strictEqual(timers, 0)
    }))
})

describe("deadline", () => {
  it.effect("cuts off what runs too long, with an unknown outcome", () =>
    Effect.gen(function*() {
      const reason = yield* reasonOf(elapse(Resilience.deadline(Effect.never, "3 seconds")))
      assert.strictEqual(reason._tag, "GatewayTimeout")
    }))

  it.effect("is the earliest of those it is nested in, and over after its effect", () =>
    Effect.gen(function*() {
      const seen: Array<number> = []
      const look = Effect.map(Resilience.timeLeftMillis, (left) => void seen.push(left))
      yield* look.pipe(
        Effect.andThen(look.pipe(Resilience.deadline("10 seconds"))),
        Effect.andThen(look.pipe(Resilience.deadline("1 second"))),
        Effect.andThen(look),
        Resilience.deadline("5 seconds")
      )
      yield* look
      assert.deepStrictEqual(seen, [5000, 5000, 1000, 5000, Number.POSITIVE_INFINITY])
    }))

  it.effect("has no time left once it has passed", () =>
    Effect.gen(function*() {
      let left = -1
      const slow = Effect.sleep("2 seconds").pipe(
        Effect.andThen(Resilience.timeLeftMillis),
        Effect.map((x) => {
          left = x
        }),
        Effect.uninterruptible
      )
      yield* Effect.exit(elapse(Resilience.deadline(slow, "1 second")))
      assert.strictEqual(left, 0)
    }))

  it.effect("does not start a nested effect whose time is over", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const inner = Resilience.deadline(Effect.sync(() => seen.push("started")), "5 seconds")
      const outer = Effect.sleep("2 seconds").pipe(
        Effect.andThen(reasonOf(Effect.andThen(inner, Effect.fail(declined)))),
        Effect.map((reason) => seen.push(reason)),
        Effect.uninterruptible
      )
      yield* Effect.exit(elapse(Resilience.deadline(outer, "1 second")))
      assert.deepInclude(seen[0], { _tag: "GatewayUnavailable", by: "deadline" })
      assert.strictEqual(seen.length, 1)
    }))

  it.effect("spans all attempts", () =>
    Effect.gen(function*() {
      const { call, startedAt } = script(Effect.andThen(Effect.sleep("2 seconds"), Effect.fail(unsent)))
      const exit = yield* call.pipe(
        Resilience.timeout("10 seconds"),
        Resilience.retry({ attempts: 50, schedule: Schedule.spaced("1 second") }),
        Resilience.deadline("7 seconds"),
        closed,
        Effect.exit,
        elapse
      )
      assert.deepStrictEqual(startedAt, [0, 3000, 6000])
      assert.isTrue(Exit.isFailure(exit))
      assert.strictEqual(yield* Clock.currentTimeMillis, 600_000)
    }))
})

describe("bulkhead", () => {
  const hold = (open: { now: number; most: number }, time: Duration.Input = "1 second") =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        open.now++
        open.most = Math.max(open.most, open.now)
      }),
      () => Effect.sleep(time),
      () => Effect.sync(() => void open.now--)
    )

  it.effect("runs as many as it has places for, and refuses the rest", () =>
    Effect.gen(function*() {
      const open = { now: 0, most: 0 }
      const places = yield* Resilience.makeBulkhead({ limit: 3 })
      const call = closed(Resilience.bulkhead(hold(open), places))
      const exits = yield* elapse(Effect.all(Array.from({ length: 10 }, () => Effect.exit(call)), { concurrency: 10 }))
      assert.strictEqual(open.most, 3)
      assert.strictEqual(exits.filter(Exit.isSuccess).length, 3)
      const reasons = exits.flatMap((x) => Exit.isFailure(x) ? [Cause.squash(x.cause) as Failure] : [])
      assert.isTrue(reasons.every((x) => x.reason._tag === "GatewayUnavailable" && x.reason.by === "bulkhead"))
      assert.strictEqual(places.running, 0)
    }))

  it.effect("serves those that wait in the order in which they came", () =>
    Effect.gen(function*() {
      const order: Array<number> = []
      const places = yield* Resilience.makeBulkhead({ limit: 1, queue: 9, maxWait: "1 minute" })
      yield* elapse(Effect.forEach(
        Array.from({ length: 10 }),
        (_, i) =>
          Effect.sync(() => order.push(i)).pipe(
            Effect.andThen(Effect.sleep("1 second")),
            Resilience.bulkhead(places),
            closed
          ),
        { concurrency: "unbounded" }
      ))
      assert.deepStrictEqual(order, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    }))

  it.effect("lets nobody come in between a place that is given back and the one who waits for it", () =>
    Effect.gen(function*() {
      const open = { now: 0, most: 0 }
      const places = yield* Resilience.makeBulkhead({ limit: 1, queue: 1 })
      const call = closed(Resilience.bulkhead(hold(open), places))
      const first = yield* Effect.forkChild(call, { startImmediately: true })
      const second = yield* Effect.forkChild(call, { startImmediately: true })
      yield* Effect.forkChild(TestClock.adjust("1 second"), { startImmediately: true })
      yield* Fiber.join(first)
      assert.strictEqual(places.running, 1)
      const third = yield* Effect.forkChild(Effect.exit(call), { startImmediately: true })
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(second)
      yield* Fiber.join(third)
      assert.strictEqual(open.most, 1)
      assert.deepStrictEqual([places.running, places.waiting], [0, 0])
    }))

  it.effect("lets one wait for so long and no longer", () =>
    Effect.gen(function*() {
      const open = { now: 0, most: 0 }
      const places = yield* Resilience.makeBulkhead({ limit: 1, queue: 5, maxWait: "2 seconds" })
      yield* Effect.forkChild(closed(Resilience.bulkhead(hold(open, "1 hour"), places)), { startImmediately: true })
      const waiter = yield* Effect.forkChild(reasonOf(closed(Resilience.bulkhead(hold(open), places))), {
        startImmediately: true
      })
      yield* TestClock.adjust("1999 millis")
      assert.isUndefined(waiter.pollUnsafe())
      assert.strictEqual(places.waiting, 1)
      yield* TestClock.adjust("1 millis")
      assert.deepInclude(yield* Fiber.join(waiter), { _tag: "GatewayUnavailable", by: "bulkhead" })
      assert.strictEqual(places.waiting, 0)
    }))

  it.effect("tells one that cannot be served before the deadline that nothing was sent", () =>
    Effect.gen(function*() {
      const open = { now: 0, most: 0 }
      const places = yield* Resilience.makeBulkhead({ limit: 1, queue: 5, maxWait: "1 minute" })
      yield* Effect.forkChild(closed(Resilience.bulkhead(hold(open, "1 hour"), places)), { startImmediately: true })
      const waiting = Effect.sleep("1 second").pipe(
        Effect.andThen(hold(open).pipe(Resilience.bulkhead(places))),
        Resilience.deadline("2 seconds"),
        closed
      )
      const reason = yield* reasonOf(elapse(waiting))
      assert.deepInclude(reason, { _tag: "GatewayUnavailable", by: "deadline" })
      assert.strictEqual(places.waiting, 0)
    }))

  it.effect("loses no place and no turn to an interruption", () =>
    Effect.gen(function*() {
      const open = { now: 0, most: 0 }
      const places = yield* Resilience.makeBulkhead({ limit: 1, queue: 5, maxWait: "1 minute" })
      const call = closed(Resilience.bulkhead(hold(open), places))
      const running = yield* Effect.forkChild(call, { startImmediately: true })
      const first = yield* Effect.forkChild(call, { startImmediately: true })
      const second = yield* Effect.forkChild(call, { startImmediately: true })
      yield* Fiber.interrupt(first)
      assert.strictEqual(places.waiting, 1)
      yield* Fiber.interrupt(running)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(second)
      assert.deepStrictEqual([places.running, places.waiting, open.now], [0, 0, 0])
    }))

  it.effect("passes on a place whose owner was interrupted before it could start", () =>
    Effect.gen(function*() {
      const places = yield* Resilience.makeBulkhead({ limit: 1, queue: 5, maxWait: "1 minute" })
      const gate = yield* Effect.forkChild(closed(Resilience.bulkhead(Effect.never, places)), {
        startImmediately: true
      })
      const first = yield* Effect.forkChild(closed(Resilience.bulkhead(Effect.never, places)), {
        startImmediately: true
      })
      const second = yield* Effect.forkChild(closed(Resilience.bulkhead(Effect.succeed("ran"), places)), {
        startImmediately: true
      })
      // The place goes to the first when the gate ends; both interruptions are in before the scheduler resumes it.
      gate.interruptUnsafe()
      first.interruptUnsafe()
      assert.strictEqual(yield* Fiber.join(second), "ran")
      assert.deepStrictEqual([places.running, places.waiting], [0, 0])
    }))

  it.effect("gives the place back whatever becomes of the call", () =>
    Effect.gen(function*() {
      const places = yield* Resilience.makeBulkhead({ limit: 1 })
      for (const call of [Effect.fail(declined), Effect.die("defect"), Effect.interrupt, Effect.succeed(1)]) {
        yield* Effect.exit(closed(Resilience.bulkhead(call as Effect.Effect<number, Failure>, places)))
        assert.strictEqual(places.running, 0)
      }
    }))

  const Caller = Schema.Struct({
    startsAt: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 50 })),
    runsFor: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 20 })),
    givesUpAfter: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60 }))
  })
  it.effect.prop(
    "holds its bounds and loses nothing, whoever is interrupted when",
    [Schema.Array(Caller).check(Schema.isMaxLength(30))],
    ([callers]) =>
      Effect.gen(function*() {
        const open = { now: 0, most: 0 }
        const places = yield* Resilience.makeBulkhead({ limit: 2, queue: 3, maxWait: "15 millis" })
        yield* Effect.forEach(callers, ({ givesUpAfter, runsFor, startsAt }) =>
          Effect.sleep(startsAt).pipe(
            Effect.andThen(closed(Resilience.bulkhead(hold(open, runsFor), places))),
            Effect.timeoutOption(givesUpAfter),
            Effect.exit
          ), { concurrency: "unbounded" }).pipe(elapse)
        assert.isAtMost(open.most, 2)
        assert.deepStrictEqual([open.now, places.running, places.waiting], [0, 0, 0])
      })
  )

  it.effect("serves a long queue of calls that end at once", () =>
    Effect.gen(function*() {
      const places = yield* Resilience.makeBulkhead({ limit: 1, queue: 5000, maxWait: "1 minute" })
      const gate = yield* Effect.forkChild(closed(Resilience.bulkhead(Effect.never, places)), {
        startImmediately: true
      })
      const all = yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 5000 }), () => closed(Resilience.bulkhead(Effect.succeed(1), places)), {
          concurrency: "unbounded"
        }),
        { startImmediately: true }
      )
      yield* Fiber.interrupt(gate)
      assert.strictEqual((yield* Fiber.join(all)).length, 5000)
    }))

  it.effect("dies with InvalidOption", () =>
    Effect.gen(function*() {
      for (const options of [{ limit: 0 }, { limit: 1.5 }, { limit: 1, queue: -1 }, { limit: 1, maxWait: 0 }]) {
        const exit = yield* Effect.exit(Resilience.makeBulkhead(options))
        assert.instanceOf(Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined, Resilience.InvalidOption)
      }
    }))
})

describe("rateLimit", () => {
  const options = { key: "gateway", limit: 2, window: "10 seconds" } as const

  it.effect("refuses what is over the limit and says when to come back", () =>
    Effect.gen(function*() {
      const { call, startedAt } = script("ok")
      const limited = closed(Resilience.rateLimit(call, options))
      yield* limited
      yield* limited
      const reason = yield* reasonOf(limited)
      assert.deepInclude(reason, { _tag: "RateLimited", by: "rateLimit" })
      assert.deepStrictEqual(reason._tag === "RateLimited" ? reason.retryAfter : undefined, Duration.seconds(5))
      assert.strictEqual(startedAt.length, 2)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* limited, "ok")
    }).pipe(Effect.provide(Resilience.layerMemory)))

  it.effect("counts by key", () =>
    Effect.gen(function*() {
      const { call } = script("ok")
      const call2 = (key: string) => closed(Resilience.rateLimit(call, { ...options, limit: 1, key }))
      yield* call2("a")
      yield* call2("b")
      assert.isTrue(Exit.isFailure(yield* Effect.exit(call2("a"))))
    }).pipe(Effect.provide(Resilience.layerMemory)))

  it.effect("lets a whole window through at once with fixed-window", () =>
    Effect.gen(function*() {
      const { call, startedAt } = script("ok")
      const limited = closed(Resilience.rateLimit(call, { ...options, algorithm: "fixed-window" }))
      for (let i = 0; i < 21; i++) {
        yield* Effect.exit(limited)
        yield* TestClock.adjust("1 second")
      }
      assert.deepStrictEqual(startedAt, [0, 1000, 10_000, 11_000, 20_000])
    }).pipe(Effect.provide(Resilience.layerMemory)))

  it.effect("is waited for by a retry outside", () =>
    Effect.gen(function*() {
      const { call, startedAt } = script("ok")
      const stack = call.pipe(Resilience.rateLimit(options), Resilience.retry({ jitter: "none" }), closed)
      yield* elapse(Effect.all([stack, stack, stack]))
      assert.deepStrictEqual(startedAt, [0, 0, 5000])
    }).pipe(Effect.provide(Resilience.layerMemory)))

  it.effect("waits here if told to, within bounds", () =>
    Effect.gen(function*() {
      const { call, startedAt } = script("ok")
      const delayed = (maxWait: Duration.Input) =>
        closed(Resilience.rateLimit(call, { ...options, onExceeded: "delay", maxWait }))
      yield* elapse(Effect.all([delayed("20 seconds"), delayed("20 seconds"), delayed("20 seconds")]), "5 seconds")
      assert.deepStrictEqual(startedAt, [0, 0, 5000])
      const reason = yield* reasonOf(delayed("4999 millis"))
      assert.deepInclude(reason, { _tag: "RateLimited", by: "rateLimit" })
    }).pipe(Effect.provide(Resilience.layerMemory)))

  it.effect("waits for so long in all, however often others are served first", () =>
    Effect.gen(function*() {
      const { call, startedAt } = script("ok")
      const delayed = closed(Resilience.rateLimit(call, {
        key: "gateway",
        limit: 1,
        window: "1 second",
        onExceeded: "delay",
        maxWait: "1500 millis"
      }))
      const exits = yield* elapse(Effect.all([1, 2, 3].map(() => Effect.exit(delayed)), { concurrency: "unbounded" }))
      assert.deepStrictEqual(startedAt, [0, 1000])
      assert.strictEqual(exits.filter(Exit.isSuccess).length, 2)
    }).pipe(Effect.provide(Resilience.layerMemory)))

  it.effect("does not wait past the deadline", () =>
    Effect.gen(function*() {
      const { call, startedAt } = script("ok")
      const delayed = closed(call.pipe(
        Resilience.rateLimit({ ...options, limit: 1, onExceeded: "delay", maxWait: "1 minute" }),
        Resilience.deadline("9 seconds")
      ))
      yield* delayed
      assert.strictEqual((yield* reasonOf(delayed))._tag, "RateLimited")
      assert.strictEqual(startedAt.length, 1)
    }).pipe(Effect.provide(Resilience.layerMemory)))

  it.effect("takes no token for one who is interrupted while it waits", () =>
    Effect.gen(function*() {
      const { call } = script("ok")
      const delayed = closed(Resilience.rateLimit(call, { ...options, onExceeded: "delay", maxWait: "1 minute" }))
      yield* Effect.all([delayed, delayed])
      for (let i = 0; i < 10; i++) {
        const fiber = yield* Effect.forkChild(delayed, { startImmediately: true })
        yield* Fiber.interrupt(fiber)
      }
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* closed(Resilience.rateLimit(call, options)), "ok")
    }).pipe(Effect.provide(Resilience.layerMemory)))

  it.effect("does as told when the store fails", () =>
    Effect.gen(function*() {
      const { call, startedAt } = script("ok")
      assert.strictEqual(yield* closed(Resilience.rateLimit(call, options)), "ok")
      const reason = yield* reasonOf(closed(Resilience.rateLimit(call, { ...options, onStoreError: "fail" })))
      assert.deepInclude(reason, { _tag: "GatewayUnavailable", by: "rateLimit" })
      assert.strictEqual(startedAt.length, 1)
    }).pipe(Effect.provideService(RateLimiter.RateLimiter, {
      consume: () =>
        Effect.fail(
          new RateLimiter.RateLimiterError({ reason: new RateLimiter.RateLimitStoreError({ message: "down" }) })
        )
    } as never)))

  it.effect("does as told when the store hangs, where nothing can be interrupted", () =>
    Effect.gen(function*() {
      const { call, startedAt } = script("ok")
      const limited = (more?: Partial<Resilience.RateLimitOptions>) =>
        Effect.uninterruptible(closed(Resilience.rateLimit(call, { ...options, ...more })))
      assert.strictEqual(yield* elapse(limited()), "ok")
      assert.deepStrictEqual(startedAt, [1000])
      const reason = yield* reasonOf(elapse(limited({ onStoreError: "fail", storeTimeout: "5 seconds" }), "5 seconds"))
      assert.deepInclude(reason, { _tag: "GatewayUnavailable", by: "rateLimit" })
      assert.strictEqual(startedAt.length, 1)
      assert.strictEqual(yield* counted("effect_payments_store_errors_total"), 2)
    }).pipe(
      Effect.provideService(Metric.MetricRegistry, new Map()),
      Effect.provideService(RateLimiter.RateLimiter, { consume: () => hangs } as never)
    ))

  it.effect("does not wait for the store past the deadline", () =>
    Effect.gen(function*() {
      const { call, startedAt } = script("ok")
      const limited = closed(Resilience.rateLimit(call, { ...options, storeTimeout: "1 minute" }))
      const reason = yield* reasonOf(elapse(Resilience.deadline(limited, "2 seconds"), "2 seconds"))
      assert.deepInclude(reason, { _tag: "GatewayUnavailable", by: "deadline" })
      assert.deepStrictEqual(startedAt, [])
    }).pipe(Effect.provideService(RateLimiter.RateLimiter, { consume: () => hangs } as never)))

  it.effect("dies with InvalidOption", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(closed(Resilience.rateLimit(hangs, { ...options, storeTimeout: 0 })))
      assert.instanceOf(Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined, Resilience.InvalidOption)
    }).pipe(Effect.provide(Resilience.layerMemory)))
})

describe("circuitBreaker", () => {
  const state = (name = "gateway") =>
    Effect.flatMap(CircuitBreaker.CircuitBreakerStore, (store) => Effect.map(store.state(name), (x) => x._tag))
  const breaker = (call: Effect.Effect<string, Failure>, options?: Partial<Resilience.CircuitBreakerOptions>) =>
    closed(
      Resilience.circuitBreaker(call, { name: "gateway", failures: 2, ...options } as Resilience.CircuitBreakerOptions)
    )
  const fault = PaymentError.make(new PaymentError.GatewayFault({ status: 500 }))

  it.effect("opens after failures in a row, refuses, lets one through and closes", () =>
    Effect.gen(function*() {
      const { call, startedAt } = script(fault, "ok", fault, fault, "ok")
      const guarded = breaker(call)
      for (let i = 0; i < 4; i++) yield* Effect.exit(guarded)
      assert.strictEqual(yield* state(), "Open")
      const reason = yield* reasonOf(guarded)
      assert.deepInclude(reason, { _tag: "GatewayUnavailable", by: "circuitBreaker" })
      assert.deepStrictEqual("retryAfter" in reason ? reason.retryAfter : undefined, Duration.seconds(30))
      assert.strictEqual(startedAt.length, 4)
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(yield* guarded, "ok")
      assert.strictEqual(yield* state(), "Closed")
    }).pipe(Effect.provide(Resilience.layerMemory)))

  it.effect("counts what the failure says about the gateway", () =>
    Effect.gen(function*() {
      const at = (by: PaymentError.Origin) => PaymentError.make(new PaymentError.GatewayUnavailable({ by }))
      const counted: ReadonlyArray<readonly [Effect.Effect<string, Failure>, "Open" | "Closed"]> = [
        [Effect.fail(unsent), "Open"],
        [Effect.fail(ambiguous), "Open"],
        [Effect.fail(fault), "Open"],
        [Effect.fail(PaymentError.make(new PaymentError.GatewayTimeout({}))), "Open"],
        [Effect.fail(at("gateway")), "Open"],
        [Effect.fail(throttled("1 second")), "Open"],
        [Effect.die("defect"), "Open"],
        [Effect.failCause(Cause.combine(Cause.fail(declined), Cause.fail(fault))), "Open"],
        [Effect.fail(declined), "Closed"],
        [Effect.fail(throttled("1 second", "rateLimit")), "Closed"],
        [Effect.fail(at("bulkhead")), "Closed"],
        [Effect.fail(at("deadline")), "Closed"],
        [Effect.fail(at("circuitBreaker")), "Closed"],
        [Effect.interrupt, "Closed"]
      ]
      for (const [i, [outcome, expected]] of counted.entries()) {
        const guarded = breaker(outcome, { name: `case ${i}`, failures: 1 })
        yield* Effect.exit(guarded)
        assert.strictEqual(yield* state(`case ${i}`), expected, `case ${i}`)
      }
    }).pipe(Effect.provide(Resilience.layerMemory)))

  it.effect("takes a decline for the answer of a gateway that works", () =>
    Effect.gen(function*() {
      const { call } = script(fault, declined, fault, declined, fault, fault)
      const guarded = breaker(call)
      for (let i = 0; i < 5; i++) yield* Effect.exit(guarded)
      assert.strictEqual(yield* state(), "Closed")
      yield* Effect.exit(guarded)
      assert.strictEqual(yield* state(), "Open")
    }).pipe(Effect.provide(Resilience.layerMemory)))

  it.effect("does not blame the gateway for the deadline of the caller", () =>
    Effect.gen(function*() {
      const call = Effect.as(Effect.sleep("10 seconds"), "late") as Effect.Effect<string, Failure>
      // The work goes on in a fiber of its own, as behind `idempotent`, so the deadline ends it by way of `timeout`.
      const guarded = closed(call.pipe(
        Resilience.timeout("30 seconds"),
        Resilience.circuitBreaker({ name: "gateway", failures: 1 }),
        Effect.uninterruptible,
        Resilience.deadline("2 seconds")
      ))
      const reason = yield* reasonOf(elapse(guarded))
      assert.strictEqual(reason._tag, "GatewayTimeout")
      assert.strictEqual(yield* state(), "Closed")
      const own = closed(call.pipe(
        Resilience.timeout("2 seconds"),
        Resilience.circuitBreaker({ name: "gateway", failures: 1 }),
        Resilience.deadline("5 seconds")
      ))
      yield* Effect.exit(elapse(own))
      assert.strictEqual(yield* state(), "Open")
    }).pipe(Effect.provide(Resilience.layerMemory)))

  it.effect("stays open at least as long as the gateway asks, up to the cap", () =>
    Effect.gen(function*() {
      const openFor = (retryAfter: Duration.Input, name: string) =>
        Effect.gen(function*() {
          const guarded = breaker(script(throttled(retryAfter)).call, { name, failures: 1, cap: "2 minutes" })
          yield* Effect.exit(guarded)
          const reason = yield* reasonOf(guarded)
          return "retryAfter" in reason ? reason.retryAfter : undefined
        })
      assert.deepStrictEqual(yield* openFor("1 minute", "a"), Duration.minutes(1))
      assert.deepStrictEqual(yield* openFor("1 hour", "b"), Duration.minutes(2))
      assert.deepStrictEqual(yield* openFor("1 second", "c"), Duration.seconds(30))
    }).pipe(Effect.provide(Resilience.layerMemory)))

  it.effect("stays open longer each time it opens again", () =>
    Effect.gen(function*() {
      const guarded = breaker(script(fault).call, { failures: 1, openFor: "10 seconds", cap: "1 minute" })
      const seen: Array<number> = []
      for (let i = 0; i < 5; i++) {
        yield* Effect.exit(guarded)
        const reason = yield* reasonOf(guarded)
        const retryAfter = "retryAfter" in reason ? reason.retryAfter : undefined
        seen.push(Duration.toSeconds(retryAfter ?? 0))
        yield* TestClock.adjust(retryAfter ?? 0)
      }
      assert.deepStrictEqual(seen, [10, 20, 40, 60, 60])
    }).pipe(Effect.provide(Resilience.layerMemory)))

  it.effect("lets one probe through and refuses the others while it runs", () =>
    Effect.gen(function*() {
      yield* Effect.exit(breaker(Effect.fail(fault), { failures: 1 }))
      yield* TestClock.adjust("30 seconds")
      const { call, startedAt } = script(Effect.as(Effect.sleep("1 second"), "ok"))
      const exits = yield* elapse(
        Effect.all(Array.from({ length: 50 }, () => Effect.exit(breaker(call))), { concurrency: "unbounded" })
      )
      assert.strictEqual(startedAt.length, 1)
      assert.strictEqual(exits.filter(Exit.isSuccess).length, 1)
      assert.strictEqual(yield* state(), "Closed")
    }).pipe(Effect.provide(Resilience.layerMemory)))

  it.effect("frees the place of a probe that is interrupted or says nothing", () =>
    Effect.gen(function*() {
      yield* Effect.exit(breaker(Effect.fail(fault), { failures: 1 }))
      yield* TestClock.adjust("30 seconds")
      const probe = yield* Effect.forkChild(breaker(Effect.never), { startImmediately: true })
      assert.isTrue(Exit.isFailure(yield* Effect.exit(breaker(Effect.succeed("refused")))))
      yield* Fiber.interrupt(probe)
      yield* Effect.exit(breaker(Effect.fail(throttled("1 second", "rateLimit"))))
      assert.strictEqual(yield* state(), "HalfOpen")
      assert.strictEqual(yield* breaker(Effect.succeed("ok")), "ok")
      assert.strictEqual(yield* state(), "Closed")
    }).pipe(Effect.provide(Resilience.layerMemory)))

  it.effect("ignores the outcome of a call from before the last change", () =>
    Effect.gen(function*() {
      const late = yield* Effect.forkChild(
        breaker(Effect.andThen(Effect.sleep("1 minute"), Effect.fail(fault)), { failures: 1 }).pipe(Effect.exit),
        { startImmediately: true }
      )
      yield* Effect.exit(breaker(Effect.fail(fault), { failures: 1 }))
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(yield* breaker(Effect.succeed("ok"), { failures: 1 }), "ok")
      yield* TestClock.adjust("30 seconds")
      yield* Fiber.join(late)
      assert.strictEqual(yield* state(), "Closed")
    }).pipe(Effect.provide(Resilience.layerMemory)))

  it.effect("opens by rate", () =>
    Effect.gen(function*() {
      const rate = { name: "rate", rate: { threshold: 0.5, size: 4 } } as const
      const guard = (outcome: Effect.Effect<string, Failure>) =>
        Effect.exit(closed(Resilience.circuitBreaker(outcome, rate)))
      yield* guard(Effect.fail(fault))
      yield* guard(Effect.succeed("ok"))
      yield* guard(Effect.succeed("ok"))
      assert.strictEqual(yield* state("rate"), "Closed")
      yield* guard(Effect.fail(fault))
      assert.strictEqual(yield* state("rate"), "Open")
    }).pipe(Effect.provide(Resilience.layerMemory)))

  it.effect("opens for as long by a success that completes the minimum of calls", () =>
    Effect.gen(function*() {
      const rate = { name: "rate", rate: { threshold: 0.5, size: 4, minimumCalls: 3 } } as const
      const guard = (outcome: Effect.Effect<string, Failure>) => closed(Resilience.circuitBreaker(outcome, rate))
      yield* Effect.exit(guard(Effect.fail(fault)))
      yield* Effect.exit(guard(Effect.fail(fault)))
      yield* guard(Effect.succeed("ok"))
      const reason = yield* reasonOf(guard(Effect.succeed("ok")))
      assert.deepStrictEqual("retryAfter" in reason ? reason.retryAfter : undefined, Duration.seconds(30))
    }).pipe(Effect.provide(Resilience.layerMemory)))

  it.effect("keeps circuits apart by name", () =>
    Effect.gen(function*() {
      yield* Effect.exit(breaker(Effect.fail(fault), { failures: 1, name: "a" }))
      assert.strictEqual(yield* breaker(Effect.succeed("ok"), { name: "b" }), "ok")
      assert.deepStrictEqual([yield* state("a"), yield* state("b")], ["Open", "Closed"])
    }).pipe(Effect.provide(Resilience.layerMemory)))

  it.effect("counts one call, not each of its attempts", () =>
    Effect.gen(function*() {
      const { call, startedAt } = script(unsent)
      const stack = call.pipe(Resilience.retry(), Resilience.circuitBreaker({ name: "gateway", failures: 2 }), closed)
      yield* Effect.exit(elapse(stack))
      assert.strictEqual(startedAt.length, 3)
      assert.strictEqual(yield* state(), "Closed")
      yield* Effect.exit(elapse(stack))
      assert.strictEqual(yield* state(), "Open")
    }).pipe(Effect.provide(Resilience.layerMemory)))

  const broken = new CircuitBreaker.CircuitBreakerError({
    reason: new CircuitBreaker.CircuitBreakerStoreError({ message: "down" })
  })

  it.effect("does as told when the store fails", () =>
    Effect.gen(function*() {
      const { call, startedAt } = script("ok")
      assert.strictEqual(yield* breaker(call), "ok")
      const reason = yield* reasonOf(breaker(call, { onStoreError: "fail" }))
      assert.deepInclude(reason, { _tag: "GatewayUnavailable", by: "circuitBreaker" })
      assert.strictEqual(startedAt.length, 1)
    }).pipe(Effect.provideService(CircuitBreaker.CircuitBreakerStore, {
      admit: () => Effect.fail(broken),
      record: () => Effect.fail(broken),
      state: () => Effect.fail(broken)
    })))

  it.effect("keeps the call's outcome when it cannot be recorded, and counts that", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* breaker(Effect.succeed("ok")), "ok")
      assert.strictEqual(yield* Effect.flip(breaker(Effect.fail(declined))), declined)
      assert.strictEqual(yield* counted("effect_payments_store_errors_total"), 2)
    }).pipe(
      Effect.provideService(Metric.MetricRegistry, new Map()),
      Effect.provideService(CircuitBreaker.CircuitBreakerStore, {
        admit: () => Effect.succeed({ generation: 1, probe: false, consecutiveOpenings: 0, transition: undefined }),
        record: () => Effect.fail(broken),
        state: () => Effect.fail(broken)
      })
    ))

  const permit = { generation: 1, probe: true, consecutiveOpenings: 0, transition: undefined }

  it.effect("does as told when the store hangs, where nothing can be interrupted", () =>
    Effect.gen(function*() {
      const { call, startedAt } = script("ok")
      const guarded = (options?: Partial<Resilience.CircuitBreakerOptions>) =>
        Effect.uninterruptible(breaker(call, options))
      assert.strictEqual(yield* elapse(guarded()), "ok")
      assert.deepStrictEqual(startedAt, [1000])
      const refused = guarded({ onStoreError: "fail", storeTimeout: "5 seconds" })
      const reason = yield* reasonOf(elapse(refused, "5 seconds"))
      assert.deepInclude(reason, { _tag: "GatewayUnavailable", by: "circuitBreaker" })
      assert.strictEqual(startedAt.length, 1)
      assert.strictEqual(yield* counted("effect_payments_store_errors_total"), 2)
    }).pipe(
      Effect.provideService(Metric.MetricRegistry, new Map()),
      Effect.provideService(CircuitBreaker.CircuitBreakerStore, {
        admit: () => hangs,
        record: () => hangs,
        state: () => hangs
      })
    ))

  it.effect("does not wait for the store past the deadline", () =>
    Effect.gen(function*() {
      const { call, startedAt } = script("ok")
      const guarded = Resilience.deadline(breaker(call, { storeTimeout: "1 minute" }), "2 seconds")
      const reason = yield* reasonOf(elapse(guarded, "2 seconds"))
      assert.deepInclude(reason, { _tag: "GatewayUnavailable", by: "deadline" })
      assert.deepStrictEqual(startedAt, [])
    }).pipe(Effect.provideService(CircuitBreaker.CircuitBreakerStore, {
      admit: () => hangs,
      record: () => hangs,
      state: () => hangs
    })))

  it.effect("keeps the call's outcome when its record and the end of its permit hang, and counts that", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* elapse(breaker(Effect.succeed("ok")), "2 seconds"), "ok")
      assert.strictEqual(yield* Effect.flip(elapse(breaker(Effect.fail(declined)), "2 seconds")), declined)
      assert.strictEqual(yield* counted("effect_payments_store_errors_total"), 2)
    }).pipe(
      Effect.provideService(Metric.MetricRegistry, new Map()),
      Effect.provideService(CircuitBreaker.CircuitBreakerStore, {
        admit: () => Effect.acquireRelease(Effect.succeed(permit), () => hangs),
        record: () => hangs,
        state: () => hangs
      })
    ))

  it.effect("releases what comes with a permit when nobody waits for it any more", () => {
    const seen: Array<string> = []
    return Effect.gen(function*() {
      assert.strictEqual(yield* elapse(breaker(Effect.succeed("ok")), "1 second"), "ok")
      assert.deepStrictEqual(seen, [])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(seen, ["acquire", "release"])
    }).pipe(Effect.provideService(CircuitBreaker.CircuitBreakerStore, {
      admit: () =>
        Effect.as(
          Effect.acquireRelease(
            Effect.andThen(Effect.sleep("1 minute"), Effect.sync(() => seen.push("acquire"))),
            () => Effect.sync(() => seen.push("release"))
          ),
          permit
        ),
      record: () => hangs,
      state: () => hangs
    }))
  })

  it.effect("lets a charge be saved although its store hangs", () =>
    Effect.gen(function*() {
      let runs = 0
      const charge = Effect.sync(() => `charged ${++runs}`).pipe(
        Effect.mapError((): Failure => fault),
        Resilience.circuitBreaker({ name: "gateway" }),
        Idempotency.idempotent({
          scope: Idempotency.Scope.make({ tenant: "acme", operation: "charge", version: 1 }),
          key: Idempotency.Key.make("8e03978e"),
          payload: "order-1",
          payloadSchema: Schema.String,
          success: Schema.String,
          error: PaymentError.PaymentError
        })
      )
      assert.strictEqual(yield* elapse(charge, "2 seconds"), "charged 1")
      assert.strictEqual(yield* charge, "charged 1")
    }).pipe(
      Effect.provide(Idempotency.layer({ sweepEvery: false })),
      Effect.provide([IdempotencyStore.layerStoreMemory(), NodeCrypto.layer]),
      Effect.provideService(CircuitBreaker.CircuitBreakerStore, {
        admit: () => Effect.succeed(permit),
        record: () => hangs,
        state: () => hangs
      })
    ))

  it.effect("dies with InvalidOption", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(breaker(hangs, { storeTimeout: "0 millis" }))
      assert.instanceOf(Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined, Resilience.InvalidOption)
    }).pipe(Effect.provide(Resilience.layerMemory)))

  it.effect("holds what the store acquires with a permit while the call runs, and no longer", () => {
    const seen: Array<string> = []
    return Effect.gen(function*() {
      const call = Effect.sync(() => {
        seen.push("call")
        return "ok"
      })
      yield* breaker(call)
      const fiber = yield* Effect.forkChild(breaker(Effect.never), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(seen, ["acquire", "call", "record", "release", "acquire", "record", "release"])
    }).pipe(Effect.provideService(CircuitBreaker.CircuitBreakerStore, {
      admit: () =>
        Effect.as(
          Effect.acquireRelease(
            Effect.sync(() => seen.push("acquire")),
            () => Effect.sync(() => seen.push("release"))
          ),
          { generation: 1, probe: true, consecutiveOpenings: 0, transition: undefined }
        ),
      record: () =>
        Effect.sync(() => {
          seen.push("record")
          return undefined
        }),
      state: () => Effect.fail(broken)
    }))
  })

  it.effect("does what Effect's own breaker does with the same calls", () =>
    Effect.gen(function*() {
      const theirs = yield* CircuitBreaker.make({
        tripPolicy: CircuitBreaker.consecutive(2),
        openDuration: "30 seconds"
      })
      const steps: Array<readonly [string, string, string]> = []
      // A fixed random walk over outcomes and pauses, played to both.
      yield* Effect.gen(function*() {
        for (let i = 0; i < 400; i++) {
          const outcome: Effect.Effect<string, Failure> = (yield* Random.next) < 0.5
            ? Effect.fail(fault)
            : Effect.succeed("ok")
          const a = yield* Effect.exit(breaker(outcome, { name: "ours", factor: 1 }))
          const b = yield* Effect.exit(theirs.execute(outcome, { key: "theirs" }))
          assert.strictEqual(Exit.isSuccess(a), Exit.isSuccess(b))
          steps.push([yield* state("ours"), yield* state("theirs"), String(i)])
          yield* TestClock.adjust(Duration.seconds(Math.floor((yield* Random.next) * 20)))
        }
      }).pipe(Random.withSeed("circuits"))
      for (const [a, b, i] of steps) assert.strictEqual(a, b, i)
      assert.strictEqual(new Set(steps.map(([a]) => a)).size, 2)
    }).pipe(Effect.provide(Resilience.layerMemory)))
})

describe("the stages together", () => {
  it.effect("survive other combinators in between and work data-first", () =>
    Effect.gen(function*() {
      const places = yield* Resilience.makeBulkhead({ limit: 5 })
      const { call, startedAt } = script(unsent, unsent, "ok")
      const timed = Effect.map(Resilience.timeout(call, "1 second"), (x) => x.length)
      const bounded = Effect.tap(Resilience.bulkhead(timed, places), () => Effect.void)
      const limited = Effect.map(
        Resilience.rateLimit(bounded, { key: "k", limit: 10, window: "1 second" }),
        (n) => n + 1
      )
      const retried = Effect.map(Resilience.retry(limited, { attempts: 3 }), (n) => n + 1)
      const guarded = Resilience.circuitBreaker(retried, { name: "all" })
      assert.strictEqual(yield* elapse(closed(guarded)), 4)
      assert.strictEqual(startedAt.length, 3)
    }).pipe(Effect.provide(Resilience.layerMemory)))

  it.effect("can be built once and used by many at the same time", () =>
    Effect.gen(function*() {
      const places = yield* Resilience.makeBulkhead({ limit: 100 })
      const stack = <A>(self: Effect.Effect<A, Failure>) =>
        self.pipe(
          Resilience.timeout("1 second"),
          Resilience.bulkhead(places),
          Resilience.retry(),
          Resilience.circuitBreaker({ name: "many" }),
          closed
        )
      const results = yield* elapse(
        Effect.forEach(Array.from({ length: 100 }), (_, i) => stack(Effect.as(Effect.sleep("10 millis"), i)), {
          concurrency: "unbounded"
        })
      )
      assert.deepStrictEqual(results, Array.from({ length: 100 }, (_, i) => i))
    }).pipe(Effect.provide(Resilience.layerMemory)))

  it.effect("read nothing of the context but what they need", () =>
    Effect.gen(function*() {
      const Tag = Context.Reference<string>("test/Tag", { defaultValue: () => "default" })
      const read = Tag as Effect.Effect<string>
      const stack = read.pipe(
        Resilience.timeout("1 second"),
        Resilience.retry(),
        Resilience.deadline("1 minute"),
        closed
      )
      assert.strictEqual(yield* Effect.provideService(stack, Tag, "mine"), "mine")
    }).pipe(Effect.provide(Layer.empty)))
})
