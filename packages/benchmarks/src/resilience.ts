// What each stage of Resilience adds to a call that is there at once, beside cockatiel's policy of the same kind and the
// bare call. Ours runs in one fiber; cockatiel runs over an async function, which is the only kind it takes. It has no
// throttle, no hedge, no retry budget and no deadline to compare with.
import {
  bulkhead,
  circuitBreaker,
  ConsecutiveBreaker,
  ExponentialBackoff,
  handleAll,
  retry,
  timeout,
  TimeoutStrategy,
  wrap
} from "cockatiel"
import { Effect, ManagedRuntime } from "effect"
import { Idempotency, type PaymentError, Resilience } from "effect-payments"
import { type Contender, measure } from "./measure.ts"
import { atMost, makeReport, type Report, type Row } from "./report.ts"

const operations = 1000

type Services = Resilience.CircuitBreakerStore | Resilience.RateLimiter
type Operation = Effect.Effect<number, PaymentError.PaymentError>
const instant: Operation = Effect.sync(() => 1)

const stages = Effect.gen(function*() {
  const places = yield* Resilience.makeBulkhead({ limit: 100 })
  const window = yield* Resilience.makeThrottle()
  const budget = yield* Resilience.makeRetryBudget()
  const timeout = Resilience.timeout("1 second")
  const bulkhead = Resilience.bulkhead(places)
  const throttle = Resilience.throttle(window)
  const hedge = Resilience.hedge({ after: "1 second" })
  const retry = Resilience.retry({ attempts: 3 })
  const budgeted = Resilience.retry({ attempts: 3, budget })
  const circuitBreaker = Resilience.circuitBreaker({ name: "gateway" })
  return {
    "bare Effect": instant,
    "timeout": Idempotency.readOnly(timeout(instant)),
    "bulkhead": Idempotency.readOnly(bulkhead(instant)),
    "throttle": Idempotency.readOnly(throttle(instant)),
    "hedge": Idempotency.readOnly(hedge(instant)),
    "retry": Idempotency.readOnly(retry(instant)),
    "retry, with a budget": Idempotency.readOnly(budgeted(instant)),
    "circuitBreaker": Idempotency.readOnly(circuitBreaker(instant)),
    "deadline": Resilience.deadline(instant, "1 second"),
    "four": instant.pipe(timeout, bulkhead, retry, circuitBreaker, Idempotency.readOnly),
    "all seven": instant.pipe(
      timeout,
      bulkhead,
      throttle,
      hedge,
      budgeted,
      circuitBreaker,
      Resilience.deadline("1 minute"),
      Idempotency.readOnly
    )
  }
})

const policies = () => {
  const retries = retry(handleAll, { maxAttempts: 3, backoff: new ExponentialBackoff() })
  const breaker = circuitBreaker(handleAll, { halfOpenAfter: 10_000, breaker: new ConsecutiveBreaker(5) })
  const places = bulkhead(100, 0)
  const cooperative = timeout(1000, TimeoutStrategy.Cooperative)
  return {
    "cockatiel, timeout": cooperative,
    "cockatiel, bulkhead": places,
    "cockatiel, retry": retries,
    "cockatiel, circuitBreaker": breaker,
    "cockatiel, the same four": wrap(retries, breaker, places, cooperative)
  }
}

const notes: Readonly<Record<string, string>> = {
  "bare Effect": "in one fiber; the ratio of each row is to this one",
  "plain await": "of an async function",
  "four": "timeout + bulkhead + retry + circuitBreaker",
  "all seven": "timeout + bulkhead + throttle + hedge + retry with a budget + circuitBreaker + deadline",
  "cockatiel, the same four": "wrap(retry, breaker, bulkhead, timeout), cooperative"
}

export const run = async (): Promise<Report> => {
  const runtime = ManagedRuntime.make(Resilience.layerMemory)
  try {
    const answer = async () => 1
    const loop = (call: () => Promise<unknown>): Contender => ({
      operations,
      run: async () => {
        for (let i = 0; i < operations; i++) await call()
      }
    })
    const inFiber = (operation: Effect.Effect<unknown, unknown, Services>): Contender => ({
      operations,
      run: () =>
        runtime.runPromise(Effect.gen(function*() {
          for (let i = 0; i < operations; i++) yield* operation
        }))
    })
    const all: Readonly<Record<string, Contender>> = {
      ...Object.fromEntries(
        Object.entries<Effect.Effect<unknown, unknown, Services>>(await runtime.runPromise(stages))
          .map(([name, operation]) => [name, inFiber(operation)])
      ),
      "plain await": loop(answer),
      ...Object.fromEntries(
        Object.entries(policies()).map(([name, policy]) => [name, loop(() => policy.execute(answer))])
      )
    }
    const { nanoseconds, ratio } = await measure(all)
    const rows = Object.keys(all).map((name): Row => ({
      name,
      nanoseconds: nanoseconds[name] ?? Number.NaN,
      ratio: ratio(name, "bare Effect"),
      ...notes[name] === undefined ? {} : { note: notes[name] }
    }))
    return makeReport("resilience", rows, [
      atMost("the same four, through cockatiel's", ratio("four", "cockatiel, the same four"), 0.6),
      atMost("all seven, through cockatiel's four", ratio("all seven", "cockatiel, the same four"), 1),
      atMost("timeout, through cockatiel's", ratio("timeout", "cockatiel, timeout"), 0.6)
    ])
  } finally {
    await runtime.dispose()
  }
}
