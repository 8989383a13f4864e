// What the stack adds to a call in process, beside cockatiel's wrap of the same four policies. Ours runs in one fiber
// over an operation that is there at once; cockatiel runs over an async function, which is the only kind it takes.
import { NodeCrypto } from "@effect/platform-node"
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
import { Effect, Layer, Logger, ManagedRuntime, Schema } from "effect"
import { AuditLog, Idempotency, IdempotencyStore, Observe, PaymentError, Resilience } from "effect-payments"
import { CircuitBreaker } from "effect/persistence"
import { charge, ours as idempotent, powertools } from "./charge.ts"
import { type Contender, measure } from "./measure.ts"
import { atMost, makeReport, type Report, type Row } from "./report.ts"

const operations = 1000

type Operation = Effect.Effect<number, PaymentError.PaymentError>
const instant: Operation = Effect.sync(() => 1)
const later: Operation = Effect.promise(() => Promise.resolve(1))

const cockatiel = () =>
  wrap(
    retry(handleAll, { maxAttempts: 3, backoff: new ExponentialBackoff() }),
    circuitBreaker(handleAll, { halfOpenAfter: 10_000, breaker: new ConsecutiveBreaker(5) }),
    bulkhead(100, 0),
    timeout(1000, TimeoutStrategy.Cooperative)
  )

const layer = Layer.mergeAll(
  Resilience.layerMemory,
  AuditLog.layerMemory({ limit: 1000 }).pipe(Layer.provide(NodeCrypto.layer)),
  Idempotency.layer().pipe(Layer.provide(IdempotencyStore.layerStoreMemory()), Layer.provide(NodeCrypto.layer)),
  Logger.layer([])
)

type Services = Layer.Success<typeof layer>

// A schema made in a function would be compiled for each call.
const options = {
  scope: Idempotency.Scope.make({ tenant: "acme", operation: "charge", version: 1 }),
  payload: { order: "A", cents: 500 },
  payloadSchema: Schema.Struct({ order: Schema.String, cents: Schema.Number }),
  success: Schema.Number,
  error: PaymentError.PaymentError
}

const stages = Effect.map(Resilience.makeBulkhead({ limit: 100 }), (places) => {
  const timeout = Resilience.timeout("1 second")
  const bulkhead = Resilience.bulkhead(places)
  const rateLimit = Resilience.rateLimit({ key: "gateway", limit: 1_000_000, window: "1 millis" })
  const retry = Resilience.retry({ attempts: 3 })
  const circuitBreaker = Resilience.circuitBreaker({ name: "gateway" })
  const logExecution = Observe.logExecution({ name: "charge", args: { cents: 500 } })
  const timer = Observe.timer("charge_duration")
  const key = (text: string) => Idempotency.idempotent({ ...options, key: Idempotency.Key.make(text) })
  const four = (operation: Operation) => operation.pipe(timeout, bulkhead, retry, circuitBreaker, Idempotency.readOnly)
  let last = 0
  const charge = instant.pipe(timeout, bulkhead, rateLimit, retry, circuitBreaker)
  return {
    "bare Effect": instant,
    "timeout": Idempotency.readOnly(timeout(instant)),
    "bulkhead": Idempotency.readOnly(bulkhead(instant)),
    "rateLimit": Idempotency.readOnly(rateLimit(instant)),
    "retry": Idempotency.readOnly(retry(instant)),
    "circuitBreaker": Idempotency.readOnly(circuitBreaker(instant)),
    "logExecution, no logger": logExecution(instant),
    "timer": timer(instant),
    "four": four(instant),
    "four, built for each call": Effect.suspend(() =>
      instant.pipe(
        Resilience.timeout("1 second"),
        Resilience.bulkhead(places),
        Resilience.retry({ attempts: 3 }),
        Resilience.circuitBreaker({ name: "gateway" }),
        Idempotency.readOnly
      )
    ),
    "four, async": four(later),
    "whole stack, first call": Effect.suspend(() =>
      instant.pipe(
        logExecution,
        timer,
        timeout,
        bulkhead,
        rateLimit,
        retry,
        circuitBreaker,
        key(`k${++last}`),
        Idempotency.operation("charge")
      )
    ),
    "without logExecution and timer, first call": Effect.suspend(() => charge.pipe(key(`k${++last}`))),
    "whole stack, replay": Effect.suspend(() => charge.pipe(key("replayed"), Idempotency.operation("charge")))
  }
})

const repeat = <E>(operation: Effect.Effect<unknown, E, Services>): Effect.Effect<void, E, Services> =>
  Effect.gen(function*() {
    for (let i = 0; i < operations; i++) yield* operation
  })

const notes: Readonly<Record<string, string>> = {
  "bare Effect": "in one fiber; the ratio of each row is to this one",
  "plain await": "of an async function",
  "four": "retry + breaker + bulkhead + timeout",
  "cockatiel, the same four": "wrap(retry, breaker, bulkhead, timeout), cooperative",
  "four, async": "over a promise, as cockatiel",
  "Effect's CircuitBreaker.execute": "see docs/adr/0002-circuit-breaker.md",
  "idempotent, first call": "alone, in memory; aims in the benchmark idempotency-memory",
  "Powertools, first call": "with a map for a store",
  "whole stack, first call": "with idempotency in memory, audit entry, metric and two spans"
}

const contenders = (
  runtime: ManagedRuntime.ManagedRuntime<Services, unknown>,
  ours: Effect.Success<typeof stages>,
  theirs: CircuitBreaker.CircuitBreaker
): Readonly<Record<string, Contender>> => {
  const policy = cockatiel()
  const peer = powertools({})
  let last = 0
  const answer = async () => 1
  const loop = (call: () => Promise<unknown>): Contender => ({
    operations,
    run: async () => {
      for (let i = 0; i < operations; i++) await call()
    }
  })
  const inFiber = (operation: Effect.Effect<unknown, unknown, Services>): Contender => ({
    operations,
    run: () => runtime.runPromise(repeat(operation))
  })
  return {
    "plain await": loop(answer),
    ...Object.fromEntries(
      Object.entries<Effect.Effect<unknown, unknown, Services>>(ours).map(([name, x]) => [name, inFiber(x)])
    ),
    "Effect's CircuitBreaker.execute": inFiber(theirs.execute(instant, { key: "gateway" })),
    "cockatiel, the same four": loop(() => policy.execute(answer)),
    "idempotent, first call": inFiber(Effect.suspend(() => idempotent(`alone-${++last}`))),
    "idempotent, replay": inFiber(Effect.suspend(() => idempotent("alone"))),
    "Powertools, first call": loop(() => peer({ key: `first-${++last}`, payload: charge })),
    "Powertools, replay": loop(() => peer({ key: "replayed", payload: charge }))
  }
}

export const run = async (): Promise<Report> => {
  const runtime = ManagedRuntime.make(layer)
  try {
    const ours = await runtime.runPromise(stages)
    const theirs = await runtime.runPromise(
      CircuitBreaker.make({ tripPolicy: CircuitBreaker.consecutive(5), openDuration: "30 seconds" }).pipe(
        Effect.scoped,
        Effect.provide(CircuitBreaker.layerStoreMemory())
      )
    )
    const all = contenders(runtime, ours, theirs)
    // Those that leave records behind run apart, each group with the bare Effect: what they keep makes collecting garbage
    // slower for all.
    const keeps = (name: string) => name.includes("first call") || name.includes("replay") || name.startsWith("log")
    const group = (isIn: (name: string) => boolean) =>
      measure(Object.fromEntries(Object.entries(all).filter(([name]) => name === "bare Effect" || isIn(name))))
    const measured = await group((name) => !keeps(name))
    const kept = await group(keeps)
    const rows = Object.keys(all).map((name): Row => {
      const { nanoseconds, ratio } = keeps(name) ? kept : measured
      return {
        name,
        nanoseconds: nanoseconds[name] ?? Number.NaN,
        ratio: ratio(name, "bare Effect"),
        ...notes[name] === undefined ? {} : { note: notes[name] }
      }
    })
    const { ratio } = measured
    return makeReport("stack", rows, [
      atMost(
        "retry + breaker + bulkhead + timeout, through cockatiel's same four",
        ratio("four", "cockatiel, the same four"),
        0.6
      ),
      atMost("the same over a promise", ratio("four, async", "cockatiel, the same four"), 0.6)
    ])
  } finally {
    await runtime.dispose()
  }
}
