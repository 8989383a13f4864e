/** Several processes over one store in one test: each with an engine, a clock and a faulty connection of its own. */
import { SqliteClient } from "@effect-payments/sqlite"
import { NodeCrypto } from "@effect/platform-node"
import { it } from "@effect/vitest"
import { Clock, Context, Duration, Effect, Exit, Latch, Layer, Result, Schema, Scope } from "effect"
import { Card, Idempotency, IdempotencyStore, Money, PaymentError, PaymentGateway } from "effect-payments"
import { TestGateway } from "effect-payments/testing"
import type { Digest, SecureRandom } from "effect/crypto"
import type { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { createHash } from "node:crypto"
import { recordId } from "../../src/internal/idempotency/record.ts"
import { codecOf } from "../../src/internal/stack/canonical.ts"
import { shiftTime } from "../idempotency/shiftTime.ts"
import * as FaultyStore from "../support/faultyStore.ts"

/** A store under test, and how time passes for it. */
export class Backing extends Context.Service<Backing, {
  /** Lets time pass for the store alone. */
  readonly shift: (duration: Duration.Input) => Effect.Effect<void>
  /** How far it may get ahead of the processes. */
  readonly stepMillis: number
  /** Whether a request to it has no answer yet. */
  readonly isAsked: () => boolean
}>()("test/Backing") {}

export type StoreServices =
  | IdempotencyStore.IdempotencyStore
  | Backing
  | Digest.Digest
  | SecureRandom.SecureRandom

export interface Backend<R = never> {
  readonly name: "memory" | "SQLite" | "Postgres" | "Redis"
  readonly layer: Layer.Layer<StoreServices | R, unknown>
  /** How many values a property is tried with. */
  readonly runs: number
}

/** Its clock is the TestClock, which passes for all. */
export const memory: Backend = {
  name: "memory",
  runs: 100,
  layer: Layer.mergeAll(
    IdempotencyStore.layerStoreMemory(),
    Layer.succeed(Backing, {
      shift: () => Effect.void,
      stepMillis: Number.POSITIVE_INFINITY,
      isAsked: () => false
    }),
    NodeCrypto.layer
  )
}

/**
 * A store with a clock of its own, as it is, with how to move what it has noted into the past. The clock itself runs on
 * meanwhile: that is taken off.
 */
export const overClock = <R>(
  store: Layer.Layer<IdempotencyStore.IdempotencyStore, unknown, R>,
  shift: (duration: Duration.Input) => Effect.Effect<unknown, unknown, R>
): Layer.Layer<StoreServices, unknown, R> =>
  Layer.effectContext(Effect.gen(function*() {
    const context = yield* Effect.context<R>()
    const inner = yield* IdempotencyStore.IdempotencyStore
    let asked = 0
    let last = performance.now()
    const ask = <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E> =>
      Effect.suspend(() => {
        asked++
        return Effect.ensuring(self, Effect.sync(() => void asked--))
      })
    const backing: Backing["Service"] = {
      shift: (duration) =>
        Effect.suspend(() => {
          const passed = Math.floor(performance.now() - last)
          last += passed
          const millis = Duration.toMillis(Duration.fromInputUnsafe(duration)) - passed
          return Effect.orDie(Effect.provideContext(shift(Duration.millis(millis)), context))
        }),
      stepMillis: 1000,
      isAsked: () => asked > 0
    }
    const counted: FaultyStore.Store = {
      ...inner,
      claim: (request) => ask(inner.claim(request)),
      complete: (request) => ask(inner.complete(request)),
      release: (request) => ask(inner.release(request)),
      renew: (requests) => ask(inner.renew(requests)),
      resolve: (request) => ask(inner.resolve(request)),
      inspect: (id) => ask(inner.inspect(id)),
      list: (request) => ask(inner.list(request)),
      evict: (id, options) => ask(inner.evict(id, options)),
      sweep: (options) => ask(inner.sweep(options))
    }
    return Context.make(Backing, backing).pipe(Context.add(IdempotencyStore.IdempotencyStore, counted))
  })).pipe(Layer.provide(store), Layer.merge(NodeCrypto.layer))

/** Its clock is the database's. */
export const sqlite: Backend<SqlClient.SqlClient> = {
  name: "SQLite",
  runs: 100,
  layer: overClock(IdempotencyStore.layerStoreSql(), shiftTime).pipe(
    Layer.provideMerge(SqliteClient.layer({ filename: ":memory:" }))
  )
}

/** Lets all fibers and callbacks that are ready run, and a store answer that has been asked. */
export const quiesce: Effect.Effect<void, never, Backing> = Effect.flatMap(
  Backing,
  ({ isAsked }) =>
    Effect.promise(async () => {
      do {
        for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve))
      } while (isAsked())
    })
)

/** Waits for the next millisecond of the real clock, which is a database's. */
export const nextMillisecond: Effect.Effect<void> = Effect.promise(async () => {
  for (const now = Date.now(); Date.now() === now;) await new Promise((resolve) => setImmediate(resolve))
})

/** Lets time pass for store and processes alike, in steps, so that leases are renewed on the way. */
export const advance = (duration: Duration.Input): Effect.Effect<void, never, Backing> =>
  Effect.gen(function*() {
    const { shift, stepMillis } = yield* Backing
    yield* quiesce
    for (let left = Duration.toMillis(Duration.fromInputUnsafe(duration)); left > 0; left -= stepMillis) {
      const step = Duration.millis(Math.min(left, stepMillis))
      yield* shift(step)
      yield* TestClock.adjust(step)
      yield* quiesce
    }
  })

/** The same in one leap, for when nothing runs. */
export const leap = (duration: Duration.Input): Effect.Effect<void, never, Backing> =>
  Effect.gen(function*() {
    const { shift } = yield* Backing
    yield* quiesce
    yield* shift(duration)
    yield* TestClock.adjust(duration)
    yield* quiesce
  })

export interface Process extends Omit<FaultyStore.FaultyStore, "store"> {
  /** Runs an effect in this process. */
  readonly run: <A, E, R>(
    self: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E, Exclude<R, Idempotency.Idempotency>>
  /** What the engine still works on: records, and leases that it renews. */
  readonly left: () => { readonly live: number; readonly held: number }
  /** Ends at once: nothing is saved, nothing is said. */
  readonly crash: Effect.Effect<void>
  /** Ends in an orderly way: the layer closes. */
  readonly close: Effect.Effect<void>
}

export interface ProcessOptions {
  /** A store in memory is asked for without a wait, and meets no faults then. */
  readonly local?: boolean
  /** How wrong the clock of this process is. */
  readonly skew?: Duration.Input
}

const skewed = (clock: Clock.Clock, skewMillis: number, gate: Latch.Latch): Clock.Clock => ({
  currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + skewMillis,
  currentTimeMillis: Effect.sync(() => clock.currentTimeMillisUnsafe() + skewMillis),
  currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe() + BigInt(skewMillis) * 1_000_000n,
  currentTimeNanos: Effect.sync(() => clock.currentTimeNanosUnsafe() + BigInt(skewMillis) * 1_000_000n),
  monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe() + BigInt(skewMillis) * 1_000_000n,
  monotonicTimeNanos: Effect.sync(() => clock.monotonicTimeNanosUnsafe() + BigInt(skewMillis) * 1_000_000n),
  sleep: (duration) => Effect.andThen(clock.sleep(duration), gate.await)
})

/** What goes on around the process that a fiber belongs to: time, also while the process stands still. */
const Around = Context.Reference<{ readonly clock: Clock.Clock; readonly gate: Latch.Latch } | undefined>(
  "test/Around",
  {
    defaultValue: () => undefined
  }
)

/** What a process waits for outside of itself: it takes its time there, and its answer is seen when the process is awake. */
const outside = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(
    Around,
    (around) =>
      around === undefined ? self : Effect.exit(Effect.provideService(self, Clock.Clock, around.clock)).pipe(
        Effect.tap(around.gate.await),
        Effect.flatten
      )
  )

/** A process over the store of the test; it ends with the scope. */
export const makeProcess = Effect.fnUntraced(function*(options: ProcessOptions = {}) {
  const faulty = FaultyStore.make(yield* IdempotencyStore.IdempotencyStore, options)
  const gate = Latch.makeUnsafe(true)
  const around = { clock: yield* Clock.Clock, gate }
  const clock = skewed(
    around.clock,
    options.skew === undefined ? 0 : Duration.toMillis(Duration.fromInputUnsafe(options.skew)),
    gate
  )
  const scope = yield* Scope.make()
  const close = Effect.suspend(() => {
    faulty.thaw()
    gate.openUnsafe()
    return Scope.close(scope, Exit.void)
  })
  yield* Effect.addFinalizer(() => close)
  const context = yield* Layer.buildWithScope(Idempotency.layer({ sweepEvery: false }), scope).pipe(
    Effect.provideService(IdempotencyStore.IdempotencyStore, faulty.store),
    Effect.provideService(Clock.Clock, clock)
  )
  const engine = Context.get(context, Idempotency.Idempotency)
  const process: Process = {
    ...faulty,
    // The parts of the engine that a leak would show in.
    left: () => {
      const { leases, live } = engine as unknown as {
        readonly live: Map<unknown, unknown>
        readonly leases: { readonly held: Set<unknown> }
      }
      return { live: live.size, held: leases.held.size }
    },
    run: (self) =>
      self.pipe(
        Effect.provideService(Idempotency.Idempotency, engine),
        Effect.provideService(Clock.Clock, clock),
        Effect.provideService(Around, around)
      ) as never,
    freeze: () => {
      faulty.freeze()
      gate.closeUnsafe()
    },
    thaw: () => {
      faulty.thaw()
      gate.openUnsafe()
    },
    crash: Effect.suspend(() => {
      faulty.cut()
      return close
    }),
    close
  }
  return process
})

export type Services = StoreServices | TestGateway.TestGateway | PaymentGateway.PaymentGateway | Scope.Scope

/** A test over a store that is new, with a gateway that counts. */
export const tester =
  <R = never>(backend: Backend<R>) =>
  (name: string, self: Effect.Effect<unknown, unknown, Services | R>, options?: TestGateway.Options): void => {
    // The processes end before their store does.
    it.effect(
      name,
      () => Effect.scoped(self).pipe(Effect.provide(Layer.merge(backend.layer, TestGateway.layer(options))))
    )
  }

/** Starts an effect and goes on when all that is ready has run. */
export const begin = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.tap(Effect.forkScoped(self), quiesce)

// --- what runs

export const scope = Idempotency.Scope.make({ tenant: "acme", operation: "charge", version: 1 })
export const key = Idempotency.Key.make("key-1")
export const usd = (amount: string) => Money.makeUnsafe("USD", amount)
export const Payload = Schema.Struct({ order: Schema.String, money: Money.Money })
export const payload = { order: "A", money: usd("10.00") }
const token = Card.CardToken.make("tok_visa")

type Overrides = Partial<
  Omit<
    Idempotency.Options<
      typeof Payload.Type,
      PaymentGateway.Transaction,
      PaymentError.PaymentError,
      PaymentGateway.PaymentGateway
    >,
    "error" | "payloadSchema" | "success" | "transactional"
  >
>

export const options = {
  scope,
  key,
  payload,
  payloadSchema: Payload,
  success: PaymentGateway.Transaction,
  error: PaymentError.PaymentError
} as const

export const authorize = (money: Money.Money = payload.money) =>
  Effect.flatMap(
    PaymentGateway.PaymentGateway,
    (gateway) => outside(gateway.authorize({ token, money, capture: true }))
  )

/** Authorizes, then captures: two calls. */
export const sell = (money: Money.Money = payload.money) =>
  Effect.gen(function*() {
    const gateway = yield* PaymentGateway.PaymentGateway
    const { id } = yield* outside(gateway.authorize({ token, money }))
    return yield* outside(gateway.capture({ transactionId: id }))
  })

/** A charge, looked up at the gateway when its end is not known. */
export const charge = (overrides: Overrides = {}) =>
  authorize(overrides.payload?.money).pipe(
    Idempotency.idempotent({
      ...options,
      resolve: Idempotency.resolveByLookup({ phases: ["authorize"] }),
      ...overrides
    })
  )

/** The word for an answer: the id of the transaction, or the tag of the reason. */
export const wordOf = (exit: Exit.Exit<{ readonly id: string }, unknown>): string =>
  Exit.match(exit, {
    onSuccess: ({ id }) => id,
    onFailure: (cause) =>
      cause.reasons.map((reason) => reason._tag === "Fail" ? tagOf(reason.error) : reason._tag).join()
  })

export const tagOf = (error: unknown): string =>
  error instanceof PaymentError.PaymentError || error instanceof Idempotency.IdempotencyError
    ? error.reason._tag
    : String(error)

/** How an effect ended, in a word. */
export const word = <E, R>(self: Effect.Effect<{ readonly id: string }, E, R>) => Effect.map(Effect.exit(self), wordOf)

export const inspect = Effect.fnUntraced(function*(name: Idempotency.Key = key, at: Idempotency.Scope = scope) {
  const store = yield* IdempotencyStore.IdempotencyStore
  const { record } = yield* store.inspect(recordId(at, name))
  return record
})

export const stateOf = (name: Idempotency.Key = key, at: Idempotency.Scope = scope) =>
  Effect.map(inspect(name, at), (record) => record?.state)

/** The fingerprint of a payload. */
export const fingerprintOf = (given: typeof Payload.Type) =>
  Effect.sync(() => {
    const text = Result.getOrThrow(codecOf(Payload).canonical(given, 262_144))
    return `v1:${createHash("sha256").update(text).digest("hex")}`
  })
