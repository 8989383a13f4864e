/** Writes over Postgres when a connection has lost its other end, and nobody is told: no answer comes, and no end either. */
import { NodeCrypto } from "@effect/platform-node"
import type { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Fiber, Layer, Logger, Schedule, Schema, type Scope } from "effect"
import { AuditLog, Idempotency, IdempotencyStore, PaymentError, SagaLog, Velocity } from "effect-payments"
import { StoreFaults } from "effect-payments/testing"
import { SqlClient } from "effect/sql"
import { requestOf } from "../idempotency/request.ts"
import * as saga from "../saga/logContract.ts"
import { postgres, postgresClients } from "../support/storeFaults.ts"

const Store = IdempotencyStore.IdempotencyStore
// Longer than a write takes on a machine that is busy.
const options = { writeTimeout: "2 seconds" } as const

const layers = Layer.mergeAll(
  IdempotencyStore.layerStoreSql(options),
  SagaLog.layerStoreSql(options),
  Velocity.layerStoreSql(options),
  AuditLog.layerSql(options)
).pipe(Layer.provide(NodeCrypto.layer))

/** Stores behind the proxy, and others beside it in the same place. */
const stage = (client?: Partial<PgClient.PgPoolConfig>) =>
  Effect.gen(function*() {
    const { direct, through } = yield* postgresClients
    const proxy = yield* Layer.build(postgres.proxy)
    const faults = Context.get(proxy, StoreFaults.StoreFaults)
    const near = yield* Layer.build(
      layers.pipe(Layer.provideMerge(through(client)), Layer.provide(Layer.succeedContext(proxy)))
    )
    const far = yield* Layer.build(layers.pipe(Layer.provide(direct)))
    // Before the clients close, which would wait for what is half open.
    yield* Effect.addFinalizer(() => faults.heal)
    return { faults, near, store: Context.get(near, Store), other: Context.get(far, Store), far }
  })

const on = <A, E>(
  self: (staged: Effect.Success<ReturnType<typeof stage>>) => Effect.Effect<A, E, Scope.Scope>,
  client?: Partial<PgClient.PgPoolConfig>
) => Effect.flatMap(stage(client), self).pipe(Effect.scoped, Effect.provide(Logger.layer([])))

const together = <A, E>(effects: ReadonlyArray<Effect.Effect<A, E>>) =>
  Effect.forEach(effects, Effect.exit, { concurrency: "unbounded" })

const unanswered = (operation: string) => new IdempotencyStore.StoreUnavailable({ operation, detail: "Unanswered" })
const requests = (count: number) => Array.from({ length: count }, () => requestOf())
const halfOpen = StoreFaults.dropRequest({ cut: "halfOpen" })
const silent = StoreFaults.dropReply({ cut: "halfOpen" })
const reset = StoreFaults.dropRequest({ cut: "reset" })
const succeeded = (result: string) => ({ _tag: "Succeeded", result, ttlMillis: 60_000 }) as const

describe("the Postgres store on a connection that is half open", () => {
  it.live("keeps no other write waiting for a batch, whose writes are told that nobody knows", () =>
    on(({ faults, other, store }) =>
      Effect.gen(function*() {
        yield* faults.plan({ fault: halfOpen })
        const batch = requests(10)
        const stuck = yield* Effect.forkScoped(together(batch.map(store.claim)))
        yield* faults.untilStruck(1)
        const later = yield* together(requests(10).map(store.claim))
        assert.isTrue(later.every(Exit.isSuccess))
        assert.deepStrictEqual(yield* Fiber.join(stuck), batch.map(() => Exit.fail(unanswered("claim"))))
        for (const request of batch) assert.isUndefined((yield* other.inspect(request)).record)
        for (const exit of yield* together(batch.map(store.claim))) assert.isTrue(Exit.isSuccess(exit))
      })
    ))

  it.live("recognises claims whose commit nobody has told of, when they come again", () =>
    on(({ faults, other, store }) =>
      Effect.gen(function*() {
        yield* faults.plan({ fault: silent })
        const batch = requests(10)
        const exits = yield* together(batch.map(store.claim))
        assert.deepStrictEqual(exits, batch.map(() => Exit.fail(unanswered("claim"))))
        for (const request of batch) {
          const { record } = yield* other.inspect(request)
          assert.isDefined(record)
          assert.strictEqual(record.owner, request.owner)
          const again = yield* store.claim(request)
          assert.deepInclude(again.record, { owner: request.owner, fence: record.fence, attempt: 1, state: "Claimed" })
        }
      })
    ))

  it.live("knows saves whose commit nobody has told of, when they come again", () =>
    on(({ faults, other, store }) =>
      Effect.gen(function*() {
        const claims = yield* Effect.forEach(requests(10), store.claim, { concurrency: "unbounded" })
        const saves = claims.map(({ record }) => store.complete({ ...record, completion: succeeded("1") }))
        yield* faults.plan({ fault: silent })
        assert.deepStrictEqual(yield* together(saves), claims.map(() => Exit.fail(unanswered("complete"))))
        for (const { record } of claims) assert.strictEqual((yield* other.inspect(record)).record?.state, "Succeeded")
        assert.deepStrictEqual(yield* together(saves), claims.map(() => Exit.succeed(true)))
      })
    ))

  it.live("keeps no other write waiting for one that is alone", () =>
    on(({ faults, store }) =>
      Effect.gen(function*() {
        yield* faults.plan({ fault: halfOpen })
        const stuck = yield* Effect.forkScoped(Effect.exit(store.claim(requestOf())))
        yield* faults.untilStruck(1)
        assert.isTrue((yield* together(requests(10).map(store.claim))).every(Exit.isSuccess))
        assert.deepStrictEqual(yield* Fiber.join(stuck), Exit.fail(unanswered("claim")))
        assert.isTrue(Exit.isSuccess(yield* Effect.exit(store.claim(requestOf()))))
      })
    ))

  it.live("keeps no other write waiting when the caller of one that is alone goes", () =>
    on(({ faults, store }) =>
      Effect.gen(function*() {
        yield* faults.plan({ fault: halfOpen })
        const stuck = yield* Effect.forkScoped(store.claim(requestOf()))
        yield* faults.untilStruck(1)
        yield* Fiber.interrupt(stuck)
        assert.isTrue((yield* together(requests(10).map(store.claim))).every(Exit.isSuccess))
      })
    ))

  it.live("keeps nobody waiting for writes that are tried alone after a batch was rolled back", () =>
    on(({ far, faults, near, store }) =>
      Effect.gen(function*() {
        yield* Context.get(near, SqlClient.SqlClient).unsafe(
          "ALTER TABLE effect_payments_idempotency ADD CONSTRAINT poison CHECK (result <> 'poison')"
        )
        const claims = yield* Effect.forEach(requests(10), store.claim, { concurrency: "unbounded" })
        const saves = claims.map(({ record }, i) =>
          store.complete({ ...record, completion: succeeded(i === 5 ? "poison" : "1") })
        )
        // The first is the batch, which is refused; then each of its writes.
        yield* faults.plan({ nth: 4, fault: halfOpen })
        const stuck = yield* Effect.forkScoped(together(saves))
        yield* faults.untilStruck(1)
        assert.isTrue((yield* together(requests(10).map(store.claim))).every(Exit.isSuccess))
        const exits = yield* Fiber.join(stuck)
        assert.deepStrictEqual(exits.slice(0, 2), [Exit.succeed(true), Exit.succeed(true)])
        assert.deepStrictEqual(exits.slice(2), Array.from({ length: 8 }, () => Exit.fail(unanswered("complete"))))
        const states = yield* Effect.forEach(claims, ({ record }) => Context.get(far, Store).inspect(record))
        assert.deepStrictEqual(states.map(({ record }) => record?.state === "Succeeded"), exits.map(Exit.isSuccess))
        yield* faults.plan()
        const again = yield* together(saves)
        assert.deepStrictEqual(again.map(Exit.isSuccess), claims.map((_, i) => i !== 5))
      })
    ))

  it.live("keeps nobody waiting for the second try of a batch whose connection was reset", () =>
    on(({ faults, store }) =>
      Effect.gen(function*() {
        yield* faults.plan({ fault: reset }, { nth: 2, fault: halfOpen })
        const batch = requests(10)
        const stuck = yield* Effect.forkScoped(together(batch.map(store.claim)))
        yield* faults.untilStruck(2)
        assert.isTrue((yield* together(requests(10).map(store.claim))).every(Exit.isSuccess))
        assert.deepStrictEqual(yield* Fiber.join(stuck), batch.map(() => Exit.fail(unanswered("claim"))))
      })
    ))

  it.live("does not use the connection again", () =>
    on(({ faults, store }) =>
      Effect.gen(function*() {
        yield* faults.plan({ fault: halfOpen })
        assert.isTrue((yield* together(requests(10).map(store.claim))).every(Exit.isFailure))
        const struck = (yield* faults.requests).at(-1)
        for (let i = 0; i < 10; i++) {
          const exits = yield* together(
            requests(4).map((request) => Effect.andThen(store.claim(request), store.claim(request)))
          )
          assert.isTrue(exits.every(Exit.isSuccess))
        }
        const later = (yield* faults.requests).filter(({ number }) => number > (struck?.number ?? Infinity))
        assert.isNotEmpty(later)
        assert.isFalse(later.some(({ connection }) => connection === struck?.connection))
      })
    ))
})

describe("a transaction with the effect inside on a connection that is half open", () => {
  const options = {
    scope: Idempotency.Scope.make({ tenant: "acme", operation: "book", version: 1 }),
    payload: { order: 1 },
    payloadSchema: Schema.Struct({ order: Schema.Int }),
    success: Schema.Int,
    error: PaymentError.PaymentError,
    transactional: true
  } as const

  // Of a call's requests: the claim, BEGIN, the effect's own, the record's end, COMMIT.
  const [begin, commit] = [2, 5]

  /** An effect whose row is written with its record, and how often it ran. */
  const booking = Effect.fnUntraced(function*(near: Effect.Success<ReturnType<typeof stage>>["near"]) {
    const sql = Context.get(near, SqlClient.SqlClient)
    yield* sql.unsafe("CREATE TABLE booked (at timestamptz)")
    let runs = 0
    const book = Effect.suspend(() => {
      runs++
      return Effect.as(Effect.orDie(sql.unsafe("INSERT INTO booked VALUES (now())")), 1)
    })
    const engine = Layer.provide(Idempotency.layer(), Layer.merge(Layer.succeedContext(near), NodeCrypto.layer))
    const context = Context.merge(near, yield* Layer.build(engine))
    return {
      book: Effect.exit(
        Effect.provideContext(Idempotency.idempotent(book, { ...options, key: Idempotency.Key.make("a") }), context)
      ),
      runs: () => runs,
      rows: Effect.map(sql.unsafe("SELECT 1 FROM booked"), ({ length }) => length)
    }
  })

  const tagOf = (exit: Exit.Exit<unknown, unknown>) => {
    const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
    return error instanceof Idempotency.IdempotencyError ? error.reason._tag : exit._tag
  }

  it.live("keeps nobody waiting for a BEGIN, and nothing of it runs", () =>
    on(({ faults, near }) =>
      Effect.gen(function*() {
        const { book, rows, runs } = yield* booking(near)
        yield* faults.plan({ nth: begin, fault: halfOpen })
        assert.strictEqual(tagOf(yield* book), "StoreUnavailable")
        assert.strictEqual(runs(), 0)
        assert.deepStrictEqual(yield* book, Exit.succeed(1))
        assert.strictEqual(yield* rows, 1)
      })
    ))

  it.live("finds out what became of a COMMIT that was done and not answered", () =>
    on(({ faults, near }) =>
      Effect.gen(function*() {
        const { book, rows, runs } = yield* booking(near)
        yield* faults.plan({ nth: commit, fault: silent })
        assert.deepStrictEqual(yield* book, Exit.succeed(1))
        assert.deepStrictEqual(yield* book, Exit.succeed(1))
        assert.deepStrictEqual([runs(), yield* rows], [1, 1])
      })
    ))

  it.live("runs again where the COMMIT did not arrive, and its server knows of the end", () =>
    on(({ faults, near }) =>
      Effect.gen(function*() {
        const { book, rows, runs } = yield* booking(near)
        yield* faults.plan({ nth: commit, fault: halfOpen })
        assert.strictEqual(tagOf(yield* book), "StoreUnavailable")
        assert.strictEqual(yield* rows, 0)
        assert.deepStrictEqual(yield* book, Exit.succeed(1))
        assert.deepStrictEqual([runs(), yield* rows], [2, 1])
      })
    ))

  it.live("tells that nobody knows where the COMMIT may still arrive, and runs nothing again", () =>
    on(({ faults, near }) =>
      Effect.gen(function*() {
        const { book, rows, runs } = yield* booking(near)
        const arrives = yield* Deferred.make<void>()
        yield* faults.plan({ nth: commit, fault: StoreFaults.delayRequest(Deferred.await(arrives)) })
        assert.strictEqual(tagOf(yield* book), "OutcomeUnknown")
        assert.strictEqual(yield* rows, 0)
        yield* Deferred.succeed(arrives, undefined)
        const end = yield* Effect.repeat(book, { until: Exit.isSuccess, schedule: Schedule.spaced("100 millis") })
        assert.deepStrictEqual(end, Exit.succeed(1))
        assert.deepStrictEqual([runs(), yield* rows], [1, 1])
      })
    ))
})

describe("what else is written over a connection that is half open", () => {
  const fact = { event: "payment", action: "charge", resource: "order 1", outcome: "succeeded" } as const
  const observation = (i: number) =>
    ({ series: "s", key: `k${i}`, window: "1 day", attempt: `p_${i}`, value: "v" }) as const

  const writers: {
    readonly [name: string]: (context: Effect.Success<ReturnType<typeof stage>>["near"]) => {
      readonly write: (i: number) => Effect.Effect<unknown, { readonly message: string }>
    }
  } = {
    "a saga log": (context) => ({
      write: () => Context.get(context, SagaLog.SagaLog).claim(saga.requestOf())
    }),
    "a velocity store": (context) => ({
      write: (i) => Context.get(context, Velocity.Velocity).record([observation(i)])
    }),
    "an audit log": (context) => ({
      write: () => Effect.provideContext(AuditLog.record(fact), context)
    })
  }

  for (const [name, make] of Object.entries(writers)) {
    for (const count of [1, 10]) {
      it.live(`${name}: ${count === 1 ? "one alone" : "a batch"} keeps nobody waiting, and is told that nobody knows`, () =>
        on(({ faults, near }) =>
          Effect.gen(function*() {
            const { write } = make(near)
            const all = (from: number, count: number) =>
              together(Array.from({ length: count }, (_, i) => write(from + i)))
            yield* faults.plan({ fault: silent })
            const stuck = yield* Effect.forkScoped(all(0, count))
            yield* faults.untilStruck(1)
            assert.isTrue((yield* all(100, 10)).every(Exit.isSuccess))
            for (const exit of yield* Fiber.join(stuck)) {
              assert.include(Exit.isFailure(exit) ? `${exit.cause}` : "none", "Unanswered")
            }
          })
        ))
    }
  }
})

describe("a multiplexed client with a connection that is half open", () => {
  const multiplexed = { multiplex: true, maxConnections: 3 }

  it.live("keeps no other write waiting, and sends none after the one that is lost", () =>
    on(({ faults, store }) =>
      Effect.gen(function*() {
        yield* faults.plan({ fault: halfOpen })
        const stuck = yield* Effect.forkScoped(together(requests(10).map(store.claim)))
        yield* faults.untilStruck(1)
        for (let i = 0; i < 5; i++) {
          assert.isTrue((yield* together(requests(10).map(store.claim))).every(Exit.isSuccess))
        }
        assert.isTrue((yield* Fiber.join(stuck)).every(Exit.isFailure))
      }), multiplexed))

  it.live("goes round the one on which a statement of somebody else is lost", () =>
    on(({ faults, near, store }) =>
      Effect.gen(function*() {
        yield* faults.plan({ fault: halfOpen })
        yield* Effect.forkScoped(Context.get(near, SqlClient.SqlClient).unsafe("SELECT 1"))
        yield* faults.untilStruck(1)
        // The first may come upon it, and waits in vain.
        yield* Effect.exit(store.claim(requestOf()))
        for (let i = 0; i < 5; i++) {
          assert.isTrue((yield* together(requests(10).map(store.claim))).every(Exit.isSuccess))
        }
        const { record } = yield* store.claim(requestOf())
        assert.deepStrictEqual(yield* store.renew([{ ...record, leaseMillis: 30_000 }]), [true])
      }), multiplexed))
})
