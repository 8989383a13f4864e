import { NodeRedis } from "@effect/platform-node"
import { assert, describe, inject, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { Resilience } from "effect-payments"
import { PaymentError } from "effect-payments"
import { Redis } from "effect/persistence"
import { closed } from "../resilience/support.ts"

const unsent = PaymentError.make(new PaymentError.NetworkError({ sent: false }))
type Call = Effect.Effect<string, PaymentError.PaymentError>

const layer = NodeRedis.layer({ url: inject("redis") })
const key = (name: string) => `retry-budget:${process.pid}:${name}`

const attempts = (budget: Resilience.RetryBudget, outcome: Call) => {
  let sent = 0
  const call: Call = Effect.suspend(() => (sent++, outcome))
  return Effect.map(
    Effect.exit(closed(Resilience.retry(call, { attempts: 3, base: "1 millis", budget }))),
    () => sent
  )
}

describe("a retry budget in Redis", () => {
  it.live("is shared by those who give its key, and filled by answers with the next retry", () =>
    Effect.gen(function*() {
      const options = { key: key("shared"), tokens: 3, refill: 0.5 }
      const one = yield* Resilience.makeRetryBudgetRedis(options)
      const other = yield* Resilience.makeRetryBudgetRedis(options)
      const down: Call = Effect.fail(unsent)
      assert.deepStrictEqual([yield* attempts(one, down), yield* attempts(other, down)], [3, 2])
      assert.strictEqual(yield* attempts(one, down), 1)
      yield* Effect.forEach([1, 2], () => attempts(other, Effect.succeed("ok")))
      assert.strictEqual(yield* attempts(other, down), 2)
      assert.strictEqual(yield* attempts(one, down), 1)
    }).pipe(Effect.provide(layer)))

  it.live("retries nothing while the store cannot be asked, or all of it when told to", () =>
    Effect.gen(function*() {
      const redis = yield* Redis.Redis
      // A key of another kind, which no script can read.
      yield* redis.send("LPUSH", key("broken"), "x")
      const strict = yield* Resilience.makeRetryBudgetRedis({ key: key("broken") })
      const loose = yield* Resilience.makeRetryBudgetRedis({ key: key("broken"), onStoreError: "allow" })
      assert.deepStrictEqual(
        [yield* attempts(strict, Effect.fail(unsent)), yield* attempts(loose, Effect.fail(unsent))],
        [1, 3]
      )
    }).pipe(Effect.provide(layer)))

  it.live.each([{ key: "" }, { key: "a b" }, { key: "k", tokens: 0 }, { key: "k", refill: 2 }])(
    "dies of %j",
    (options) =>
      Effect.gen(function*() {
        assert.isTrue(Exit.hasDies(yield* Effect.exit(Resilience.makeRetryBudgetRedis(options))))
      }).pipe(Effect.provide(layer))
  )
})
