// A process of its own over a store and the gateway simulator: `idempotentWorker.ts JSON`. Prints one word per
// line: what it has come to, and in the end its answers as JSON.
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { Clock, Duration, Effect, Exit, Layer, Random, Schema } from "effect"
import { Card, Idempotency, Money, PaymentError, PaymentGateway, Resilience } from "effect-payments"
import { FetchHttpClient } from "effect/http"
import * as SimGateway from "../../../examples/src/SimGateway.ts"
import * as stores from "../../../examples/src/soak/stores.ts"
import { StoreAt } from "../../../examples/src/soak/wire.ts"

const Job = Schema.fromJsonString(Schema.Struct({
  store: StoreAt,
  baseUrl: Schema.String,
  /**
   * `charge`: calls for all keys, `callers` at once for each. `ask`: before that, says what a call is told that does not
   * wait. `dieBefore`, `dieAfter`: says where it is and stays there for ever, before or after the charge. `hold`: says
   * that it has started, and charges when it is told to on standard input.
   */
  role: Schema.Literals(["charge", "ask", "dieBefore", "dieAfter", "hold"]),
  keys: Schema.Array(Schema.String),
  callers: Schema.Int,
  seed: Schema.Int,
  leaseMillis: Schema.Int,
  skewMillis: Schema.Int
}))
export type Job = typeof Job.Type

const job = Schema.decodeSync(Job)(process.argv[2] ?? "")
const say = (word: string) => Effect.sync(() => process.stdout.write(`${word}\n`))
const money = Money.makeUnsafe("EUR", "12.50")

// Tried again as one would: a connection can break when four processes open theirs at once.
const authorize = Effect.flatMap(
  PaymentGateway.PaymentGateway,
  (gateway) => gateway.authorize({ token: Card.CardToken.make("tok_visa"), money, capture: true })
).pipe(Resilience.retry({ attempts: 5, base: "100 millis" }))

const told = Effect.callback<void>((resume) => {
  process.stdin.once("data", () => {
    process.stdin.destroy()
    resume(Effect.void)
  })
})

const works: Record<Job["role"], typeof authorize> = {
  charge: authorize,
  ask: authorize,
  dieBefore: Effect.andThen(say("claimed"), Effect.never),
  dieAfter: Effect.andThen(authorize, Effect.andThen(say("charged"), Effect.never)),
  hold: say("started").pipe(Effect.andThen(told), Effect.andThen(authorize))
}

const call = (key: string, duplicates: "await" | "reject") =>
  works[job.role].pipe(Idempotency.idempotent({
    scope: Idempotency.Scope.make({ tenant: "acme", operation: "charge", version: 1 }),
    key: Idempotency.Key.make(key),
    payload: { money },
    payloadSchema: Schema.Struct({ money: Money.Money }),
    success: PaymentGateway.Transaction,
    error: PaymentError.PaymentError,
    resolve: Idempotency.resolveByLookup({ phases: ["authorize"] }),
    lease: Duration.millis(job.leaseMillis),
    ttl: "1 hour",
    duplicates,
    awaitAtMost: "50 seconds"
  }))

const toWord = (exit: Exit.Exit<PaymentGateway.Transaction, unknown>): string =>
  Exit.match(exit, {
    onSuccess: ({ id }) => id as string,
    onFailure: (cause) =>
      cause.reasons.map((reason) => reason._tag === "Fail" ? tagOf(reason.error) : reason._tag).join()
  })

const tagOf = (error: unknown): string =>
  error instanceof PaymentError.PaymentError || error instanceof Idempotency.IdempotencyError
    ? error.reason._tag
    : String(error)

const wordOf = <E, R>(self: Effect.Effect<PaymentGateway.Transaction, E, R>) => Effect.map(Effect.exit(self), toWord)

/** The different answers of a key. */
const answersOf = (key: string) =>
  Effect.map(
    Effect.all(Array.from({ length: job.callers }, () => wordOf(call(key, "await"))), {
      concurrency: "unbounded"
    }),
    (words) => [key, [...new Set(words)]] as const
  )

const program = Effect.gen(function*() {
  const keys = yield* Random.shuffle(job.keys)
  if (job.role === "ask") yield* Effect.forEach(keys, (key) => Effect.flatMap(wordOf(call(key, "reject")), say))
  const answers = yield* Effect.forEach(keys, answersOf, { concurrency: 8 })
  yield* say(JSON.stringify(Object.fromEntries(answers)))
}).pipe(Random.withSeed(job.seed))

/** A clock that is wrong by so much. */
const skewed = (clock: Clock.Clock): Clock.Clock => {
  const nanos = BigInt(job.skewMillis) * 1_000_000n
  const millisOf = () => clock.currentTimeMillisUnsafe() + job.skewMillis
  const nanosOf = () => clock.currentTimeNanosUnsafe() + nanos
  return {
    currentTimeMillisUnsafe: millisOf,
    currentTimeMillis: Effect.sync(millisOf),
    currentTimeNanosUnsafe: nanosOf,
    currentTimeNanos: Effect.sync(nanosOf),
    monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
    monotonicTimeNanos: clock.monotonicTimeNanos,
    sleep: (duration) => clock.sleep(duration)
  }
}

const services = Layer.mergeAll(
  Idempotency.layer({ sweepEvery: false }).pipe(
    Layer.provide(stores.layer(job.store)),
    Layer.provide(NodeCrypto.layer)
  ),
  SimGateway.layer({ baseUrl: job.baseUrl }).pipe(Layer.provide(FetchHttpClient.layer))
)

await Effect.runPromise(
  Effect.flatMap(
    Clock.Clock,
    (clock) => program.pipe(Effect.provide(services), Effect.provideService(Clock.Clock, skewed(clock)))
  )
)
