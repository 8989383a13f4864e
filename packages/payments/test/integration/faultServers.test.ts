/** Rows of the fault matrix about one kind of server. */
import { NodeCrypto, NodeRedis } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, inject, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, Redacted, Schedule, type Scope } from "effect"
import { Idempotency, IdempotencyStore, type PaymentGateway } from "effect-payments"
import { TestGateway } from "effect-payments/testing"
import { authorize, charge, options, word } from "../faults/harness.ts"
import { checkTable } from "../support/faultTable.ts"
import { makeSchema } from "../support/postgres.ts"
import * as redisServers from "../support/redisServers.ts"

/** An engine of its own, as a process has one. */
const engineOver = (store: Layer.Layer<IdempotencyStore.IdempotencyStore, unknown>) =>
  Effect.map(
    Layer.build(
      Layer.fresh(Idempotency.layer({ sweepEvery: false }).pipe(Layer.provide(store), Layer.provide(NodeCrypto.layer)))
    ),
    (context) => {
      const engine = Context.get(context, Idempotency.Idempotency)
      return <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.provideService(self, Idempotency.Idempotency, engine)
    }
  )

const overRedis = (
  url: string,
  options?: Parameters<typeof IdempotencyStore.layerStoreRedis>[0]
) => IdempotencyStore.layerStoreRedis(options).pipe(Layer.provide(NodeRedis.layer({ url })))

/** As good as gone. It is back before the clients of the test are closed, since they wait for all answers. */
const frozen = ({ pid }: redisServers.Server) =>
  Effect.acquireRelease(
    Effect.sync(() => process.kill(pid, "SIGSTOP")),
    () => Effect.sync(() => process.kill(pid, "SIGCONT"))
  )

type Services = TestGateway.TestGateway | PaymentGateway.PaymentGateway | Scope.Scope

const test = (name: string, self: Effect.Effect<void, unknown, Services>) =>
  it.live(name, () => self.pipe(Effect.scoped, Effect.provide(TestGateway.layer())), 60_000)

describe("fault matrix, one kind of server", () => {
  test(
    "row 35: a claim that a failover loses is made again, and the gateway takes both charges for one",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const primary = yield* redisServers.start()
      const replica = yield* redisServers.startReplica(primary)
      // Cut off before the claim: what the primary writes from now on nobody else has.
      yield* replica.command("REPLICAOF", "NO", "ONE")
      const before = yield* engineOver(overRedis(primary.url))
      const first = yield* before(charge())
      const after = yield* engineOver(overRedis(replica.url))
      const again = yield* after(charge())
      assert.strictEqual(again.id, first.id)
      assert.lengthOf(yield* gateway.calls, 2)
      assert.strictEqual(yield* gateway.charges, 1)
    })
  )

  test(
    "row 35: with `replicas`, a claim that no replica has does not run",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const primary = yield* redisServers.start()
      const replica = yield* redisServers.startReplica(primary)
      const run = yield* engineOver(overRedis(primary.url, { replicas: { count: 1, timeout: "250 millis" } }))
      yield* replica.command("REPLICAOF", "NO", "ONE")
      assert.strictEqual(yield* word(run(charge())), "StoreUnavailable")
      assert.lengthOf(yield* gateway.calls, 0)
    })
  )

  test(
    "row 35: with `replicas`, a claim survives the primary, and its charge is looked up and not made again",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const primary = yield* redisServers.start()
      const replica = yield* redisServers.startReplica(primary)
      const replicas = { count: 1, timeout: "10 seconds" } as const
      const charged = yield* Deferred.make<void>()
      const lease = "2 seconds"
      const before = yield* engineOver(overRedis(primary.url, { replicas }))
      const slow = Effect.tap(authorize(), Effect.andThen(Deferred.succeed(charged, undefined), Effect.never))
      const resolve = Idempotency.resolveByLookup({ phases: ["authorize"] })
      const fiber = yield* Effect.forkScoped(before(word(Idempotency.idempotent(slow, { ...options, lease, resolve }))))
      yield* Deferred.await(charged)
      yield* frozen(primary)
      yield* replica.command("REPLICAOF", "NO", "ONE")
      const after = yield* engineOver(overRedis(replica.url))
      const asked = Effect.repeat(after(word(charge({ lease }))), {
        while: (word) => word === "InFlight",
        schedule: Schedule.spaced("100 millis")
      })
      assert.strictEqual(yield* asked, "test_auth_1")
      assert.strictEqual(yield* Fiber.join(fiber), "OutcomeUnknown")
      assert.lengthOf(yield* gateway.calls, 1)
      assert.strictEqual(yield* gateway.charges, 1)
    })
  )

  test(
    "row 36: over a server that drops keys nothing starts",
    Effect.gen(function*() {
      const server = yield* redisServers.start()
      yield* server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
      const exit = yield* Effect.exit(engineOver(overRedis(server.url)))
      assert.include(`${exit}`, "allkeys-lru")
    })
  )

  test(
    "row 36: a server that is full drops nothing: a claim is refused and nothing runs, a result that finds no room is not run again",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const server = yield* redisServers.start()
      const run = yield* engineOver(overRedis(server.url))
      const fill = server.command("CONFIG", "SET", "maxmemory", "1")
      const drain = server.command("CONFIG", "SET", "maxmemory", "0")
      const kept = yield* run(charge())
      yield* fill
      assert.strictEqual(yield* word(run(charge({ key: Idempotency.Key.make("new") }))), "StoreUnavailable")
      assert.lengthOf(yield* gateway.calls, 1)
      assert.strictEqual((yield* run(charge())).id, kept.id)
      yield* drain
      const late = { key: Idempotency.Key.make("late"), lease: "2 seconds" } as const
      const resolve = Idempotency.resolveByLookup({ phases: ["authorize"] })
      const filling = Effect.tap(authorize(), fill)
      const unsaved = Idempotency.idempotent(filling, { ...options, ...late, resolve })
      assert.strictEqual(yield* word(run(unsaved)), "OutcomeUnknown")
      yield* drain
      const asked = Effect.repeat(word(run(charge(late))), {
        while: (word) => word === "InFlight",
        schedule: Schedule.spaced("100 millis")
      })
      assert.strictEqual(yield* asked, "test_auth_2")
      assert.lengthOf(yield* gateway.calls, 2)
      assert.strictEqual(yield* gateway.charges, 2)
    })
  )

  for (const isolation of ["read committed", "read uncommitted"]) {
    test(
      `row 37: nobody sees a serialization failure where the database's own isolation is ${isolation}`,
      Effect.gen(function*() {
        const gateway = yield* TestGateway.TestGateway
        const client = PgClient.layer({
          url: Redacted.make(inject("postgres")),
          maxConnections: 2,
          startupParameters: { search_path: yield* makeSchema("isolation"), default_transaction_isolation: isolation }
        })
        const store = IdempotencyStore.layerStoreSql().pipe(Layer.provide(client))
        const processes = yield* Effect.forEach([1, 2, 3, 4], () => engineOver(store))
        const words = new Set<string>()
        for (let round = 0; round < 50; round++) {
          const at = { key: Idempotency.Key.make(`key-${round}`) }
          const answers = Effect.forEach(processes, (run) => word(run(charge(at))), {
            concurrency: "unbounded"
          })
          for (const answer of yield* answers) words.add(answer.startsWith("test_auth_") ? "an answer" : answer)
        }
        assert.deepStrictEqual([...words].filter((word) => word !== "InFlight"), ["an answer"])
        assert.strictEqual(yield* gateway.charges, 50)
      })
    )
  }
})

checkTable(({ where }) => where === "../integration/faultServers.test.ts")
