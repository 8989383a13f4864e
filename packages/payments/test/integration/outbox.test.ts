import { PgClient } from "@effect/sql-pg"
import { assert, describe, inject, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Redacted, Schema } from "effect"
import { EventBus, JobQueue, UnitOfWork } from "effect-payments"
import { SqlClient } from "effect/sql"

const client = (schema: string) =>
  PgClient.layer({
    url: Redacted.make(inject("postgres")),
    maxConnections: 6,
    startupParameters: { search_path: schema }
  })

let schemas = 0
/** A schema of its own, gone with the scope. */
const schema = Effect.gen(function*() {
  const schema = `outbox_${process.pid}_${schemas++}`
  const run = (text: string) =>
    Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(text)).pipe(Effect.provide(client("public")), Effect.orDie)
  yield* Effect.acquireRelease(run(`CREATE SCHEMA ${schema}`), () => run(`DROP SCHEMA ${schema} CASCADE`))
  return schema
})

const Changed = Schema.TaggedStruct("Changed", { order: Schema.Int, version: Schema.Int })
const store = JobQueue.layerStoreSql({ pollInterval: "5 millis", lock: "2 seconds" })
const makeOutbox = EventBus.makeOutbox({ name: "orders", event: Changed })

const until = (isTrue: () => boolean) =>
  Effect.sleep("5 millis").pipe(Effect.repeat({ until: isTrue }), Effect.timeout("30 seconds"), Effect.orDie)

describe("an outbox on Postgres", () => {
  const test = <E>(
    title: string,
    self: (schema: string) => Effect.Effect<void, E, SqlClient.SqlClient | JobQueue.SqlJobQueueStore>
  ) =>
    it.live(title, () =>
      Effect.gen(function*() {
        const name = yield* schema
        yield* Effect.provide(self(name), store.pipe(Layer.provideMerge(client(name))))
      }), 60_000)

  const change = Effect.fnUntraced(function*(order: number) {
    const sql = yield* SqlClient.SqlClient
    const [row] = yield* sql<{ readonly version: number }>`
      UPDATE orders SET version = version + 1 WHERE id = ${order} RETURNING version`
    const outbox = yield* makeOutbox
    yield* outbox.publish({ _tag: "Changed", order, version: row?.version ?? 0 })
  })

  test("keeps the order of what waited for each other, whichever began first", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE orders (id INT PRIMARY KEY, version INT NOT NULL)`
      yield* sql`INSERT INTO orders VALUES (1, 0)`
      const [began, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      // It begins first, and comes second.
      const late = yield* Effect.forkChild(UnitOfWork.atomic(
        sql`SELECT now()`.pipe(
          Effect.andThen(Deferred.succeed(began, undefined)),
          Effect.andThen(Deferred.await(go)),
          Effect.andThen(change(1))
        )
      ))
      yield* Deferred.await(began)
      yield* UnitOfWork.atomic(change(1))
      yield* Deferred.succeed(go, undefined)
      yield* Fiber.join(late)
      const heard: Array<number> = []
      const outbox = yield* makeOutbox
      const relay = yield* Effect.forkChild(outbox.relay(({ version }) => Effect.sync(() => void heard.push(version))))
      yield* until(() => heard.length === 2)
      yield* Fiber.interrupt(relay)
      assert.deepStrictEqual(heard, [1, 2])
    }))

  test("keeps the order of each row under load, with several relays, one of which always ends", (schema) =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const [orders, versions] = [4, 50]
      yield* sql`CREATE TABLE orders (id INT PRIMARY KEY, version INT NOT NULL)`
      yield* sql`INSERT INTO orders SELECT n, 0 FROM generate_series(1, ${orders}) AS n`
      const heard: Array<readonly [number, number]> = []
      const relaying = Effect.flatMap(
        makeOutbox,
        (outbox) => outbox.relay(({ order, version }) => Effect.sync(() => void heard.push([order, version])))
      ).pipe(
        Effect.provide(Layer.fresh(store.pipe(Layer.provideMerge(client(schema)))))
      )
      const relays = yield* Effect.forEach([1, 2], () => Effect.forkChild(relaying))
      const publishing = yield* Effect.forkChild(Effect.forEach(
        Array.from({ length: orders * versions }, (_, n) => 1 + n % orders),
        (order) => UnitOfWork.atomic(change(order)),
        { concurrency: 5, discard: true }
      ))
      for (let n = 0; n < 4; n++) {
        yield* until(() => heard.length > 30 * n + 5)
        const relay = relays.shift()
        if (relay !== undefined) yield* Fiber.interrupt(relay)
        relays.push(yield* Effect.forkChild(relaying))
      }
      yield* Fiber.join(publishing)
      yield* until(() => new Set(heard.map(String)).size === orders * versions)
      yield* Fiber.interruptAll(relays)
      for (let order = 1; order <= orders; order++) {
        const ofOrder = heard.flatMap(([id, version]) => id === order ? [version] : [])
        assert.deepStrictEqual([...new Set(ofOrder)], Array.from({ length: versions }, (_, n) => n + 1), `${order}`)
      }
    }))
})
