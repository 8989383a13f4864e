import { NodeCrypto } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber, Layer, Metric, Random, Schema } from "effect"
import { Card, Idempotency, IdempotencyStore, Money, PaymentError, PaymentGateway, Resilience } from "effect-payments"
import { TestGateway } from "effect-payments/testing"
import { TestClock } from "effect/testing"
import { ambiguous, closed, declined, elapse, unsent } from "./support.ts"

type Attempt = Effect.Effect<string, PaymentError.PaymentError>

/** Plays attempts in turn, and notes when each began and how it ended. */
const script = (...attempts: ReadonlyArray<Attempt>) => {
  const log: Array<string> = []
  let started = 0
  const call: Attempt = Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const number = ++started
    log.push(`${number} at ${now}`)
    return Effect.onInterrupt(
      attempts[Math.min(number, attempts.length) - 1] ?? Effect.never,
      () => Effect.sync(() => log.push(`${number} interrupted`))
    )
  })
  return { call, log }
}

const after = (millis: number, attempt: Attempt): Attempt => Effect.delay(attempt, millis)
const hedged = (call: Attempt, attempts?: number) =>
  Idempotency.readOnly(Resilience.hedge(call, { after: 100, attempts }))

describe("hedge, of what is read only", () => {
  it.effect("asks once when the answer comes in time", () =>
    Effect.gen(function*() {
      const { call, log } = script(after(99, Effect.succeed("first")))
      assert.strictEqual(yield* elapse(hedged(call)), "first")
      assert.deepStrictEqual(log, ["1 at 0"])
    }))

  it.effect("takes the first answer, and waits for the loser to be gone", () =>
    Effect.gen(function*() {
      const second = script(Effect.never, after(10, Effect.succeed("second")))
      assert.strictEqual(yield* elapse(hedged(second.call)), "second")
      assert.deepStrictEqual(second.log, ["1 at 0", "2 at 100", "1 interrupted"])
      const first = script(after(150, Effect.succeed("first")), Effect.never)
      assert.strictEqual(yield* elapse(hedged(first.call)), "first")
      assert.deepStrictEqual(first.log, [`1 at 600000`, "2 at 600100", "2 interrupted"])
    }))

  it.effect("starts one after the other, and no more than it may", () =>
    Effect.gen(function*() {
      const { call, log } = script(Effect.never)
      const fiber = yield* Effect.forkChild(hedged(call, 3), { startImmediately: true })
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(log, ["1 at 0", "2 at 100", "3 at 200"])
      yield* Fiber.interrupt(fiber)
      assert.sameMembers(log.slice(3), ["1 interrupted", "2 interrupted", "3 interrupted"])
    }))

  it.effect("does not hedge a failure, which is for retry", () =>
    Effect.gen(function*() {
      const { call, log } = script(after(50, Effect.fail(unsent)))
      assert.strictEqual(yield* elapse(Effect.flip(hedged(call))), unsent)
      assert.deepStrictEqual(log, ["1 at 0"])
    }))

  it.effect("waits for the other when one fails, and tells the doubt of both", () =>
    Effect.gen(function*() {
      const saved = script(after(200, Effect.fail(unsent)), after(200, Effect.succeed("second")))
      assert.strictEqual(yield* elapse(hedged(saved.call)), "second")
      const lost = script(after(150, Effect.fail(ambiguous)), after(100, Effect.fail(unsent)))
      assert.strictEqual(yield* elapse(Effect.flip(hedged(lost.call))), ambiguous)
    }))

  it.effect("takes a no, and a mistake of the program, for an answer", () =>
    Effect.gen(function*() {
      const refused = script(Effect.never, Effect.fail(declined))
      assert.strictEqual(yield* elapse(Effect.flip(hedged(refused.call))), declined)
      assert.strictEqual(refused.log.at(-1), "1 interrupted")
      const died = script(Effect.never, Effect.die("mistake"))
      assert.isTrue(Exit.hasDies(yield* elapse(Effect.exit(hedged(died.call)))))
    }))

  it.effect("cuts the long tail to less than a third, for one call in twenty", () =>
    Effect.gen(function*() {
      let sent = 0
      const call: Attempt = Effect.flatMap(Random.next, (random) => {
        sent++
        return after(random < 0.04 ? 2000 : 20 + random * 60, Effect.succeed("ok"))
      })
      const p99 = (call: Attempt) =>
        Effect.gen(function*() {
          sent = 0
          const timed = Effect.flatMap(
            Clock.currentTimeMillis,
            (start) => Effect.andThen(call, Effect.map(Clock.currentTimeMillis, (end) => end - start))
          )
          const all = Array.from({ length: 2000 }, () => timed)
          const took = yield* elapse(Effect.all(all, { concurrency: "unbounded" }), 10_000)
          return { millis: took.sort((a, b) => a - b)[1979] ?? 0, sent }
        })
      const bare = yield* p99(call)
      const both = yield* p99(hedged(call))
      assert.isAtMost(both.millis, bare.millis / 3)
      assert.isAtMost(both.sent, 2000 * 1.05)
    }).pipe(Random.withSeed("hedge")))

  it.effect("counts the attempts that it adds", () =>
    Effect.gen(function*() {
      yield* elapse(hedged(script(Effect.never, Effect.succeed("second")).call))
      const all = yield* Metric.snapshot
      assert.include(JSON.stringify(all.find(({ id }) => id === "effect_payments_hedges_total")?.state), "1")
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))

  it.effect.each([{ after: 0 }, { after: 1, attempts: 1 }, { after: 1, attempts: 6 }])(
    "dies of %j",
    (options) =>
      Effect.gen(function*() {
        const exit = yield* Effect.exit(closed(Resilience.hedge(Effect.succeed(1), options)))
        assert.isTrue(Exit.hasDies(exit))
      })
  )
})

describe("hedge, of what takes money", () => {
  const money = Money.makeUnsafe("EUR", "12.50")
  const charge = Effect.flatMap(
    PaymentGateway.PaymentGateway,
    (gateway) => gateway.authorize({ token: Card.CardToken.make("tok_visa"), money })
  ).pipe(
    Resilience.hedge({ after: 100 }),
    Idempotency.idempotentWithReceipt({
      scope: Idempotency.Scope.make({ tenant: "acme", operation: "charge", version: 1 }),
      key: Idempotency.Key.make("8e03978e"),
      payload: { money: "12.50" },
      payloadSchema: Schema.Struct({ money: Schema.String }),
      success: PaymentGateway.Transaction,
      error: PaymentError.PaymentError
    })
  )
  const run = (plan: TestGateway.Plan, deduplicates?: false) =>
    Effect.gen(function*() {
      const exit = yield* elapse(Effect.exit(Effect.timeoutOption(charge, "1 minute")))
      const { calls, charges } = yield* TestGateway.TestGateway
      return { exit, calls: (yield* calls).length, charges: yield* charges, replay: yield* Effect.exit(charge) }
    }).pipe(
      Effect.provide(
        Layer.mergeAll(
          TestGateway.layer({ plan, ...(deduplicates === undefined ? {} : { deduplicates }) }),
          Idempotency.layer().pipe(
            Layer.provide(IdempotencyStore.layerStoreMemory()),
            Layer.provide(NodeCrypto.layer)
          )
        )
      )
    )

  it.effect("charges once where the gateway takes both for one, and knows it", () =>
    Effect.gen(function*() {
      const { calls, charges, exit, replay } = yield* run([TestGateway.hang({ happened: true })])
      assert.isTrue(Exit.isSuccess(exit) && exit.value._tag === "Some")
      assert.deepStrictEqual([calls, charges], [2, 1])
      assert.isTrue(Exit.isSuccess(replay) && replay.value.replayed)
    }))

  it.effect("waits for the first where the gateway would charge twice", () =>
    Effect.gen(function*() {
      const { calls, charges, exit } = yield* run([TestGateway.delay("1 second")], false)
      assert.isTrue(Exit.isSuccess(exit) && exit.value._tag === "Some")
      assert.deepStrictEqual([calls, charges], [1, 1])
    }))
})
