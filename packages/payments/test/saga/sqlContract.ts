/** What the log does besides when it is in a database. */
import { NodeCrypto } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Logger, type Scope } from "effect"
import { Saga, SagaLog } from "effect-payments"
import { TestGateway } from "effect-payments/testing"
import { SqlClient, type SqlError } from "effect/sql"
import { checkout, Refusal, Shop, shopLayer } from "./checkout.ts"
import { claim, requestOf, rival } from "./logContract.ts"

export type Database = Layer.Layer<SqlClient.SqlClient, SqlError.SqlError>

export interface SqlContractOptions {
  /** A database without our tables, for the duration of the scope: each layer is a client of its own. */
  readonly database: Effect.Effect<() => Database, never, Scope.Scope>
  /** Whether the log can commit beside an open transaction of the same client. */
  readonly commitsBesideTransaction: boolean
}

const Log = SagaLog.SagaLog
const logLayer = SagaLog.layerStoreSql()

export const sqlContract = (name: string, { commitsBesideTransaction, database }: SqlContractOptions): void => {
  const onLog = <A, E>(self: Effect.Effect<A, E, SagaLog.SagaLog | SqlClient.SqlClient>) =>
    Effect.flatMap(database, (client) => Effect.provide(self, logLayer.pipe(Layer.provideMerge(client()))))

  describe(`saga log: ${name}, the tables`, () => {
    it.live("are made once when many start at the same moment, and keep their runs", () =>
      Effect.gen(function*() {
        const client = yield* database
        const request = requestOf()
        const start = () =>
          Effect.provide(
            Effect.flatMap(Log, (log) => claim(log, rival(request))),
            Layer.fresh(logLayer.pipe(Layer.provide(client())))
          )
        const histories = yield* Effect.forEach([1, 2, 3, 4], start, { concurrency: "unbounded" })
        assert.strictEqual(new Set(histories.map(({ run }) => run.owner)).size, 1)
        assert.strictEqual((yield* start()).run.owner, histories[0]?.run.owner)
      }))

    it.live("refuse a name that is none", () =>
      Effect.gen(function*() {
        const client = yield* database
        for (const table of ["", "1a", "A", "a b", "a\"b", "a;b", "a.b", "x".repeat(41)]) {
          const layer = SagaLog.layerStoreSql({ table }).pipe(Layer.provide(client()))
          const error = yield* Effect.flip(Effect.scoped(Layer.build(layer)))
          assert.strictEqual(error._tag, "LogUnavailable", table)
        }
      }))

    it.live("keep what was written, whatever becomes of a transaction around it", () =>
      onLog(Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const log = yield* Log
        const request = requestOf()
        const exit = yield* Effect.exit(sql.withTransaction(Effect.flatMap(log.claim(request), Effect.fail)))
        assert.isTrue(Exit.isFailure(exit))
        const read = yield* log.read(request)
        if (commitsBesideTransaction) assert.strictEqual(read?.run.owner, request.owner)
        else {
          assert.deepStrictEqual(
            exit,
            Exit.fail(new SagaLog.LogUnavailable({ operation: "claim", detail: "InsideTransaction" }))
          )
          assert.isUndefined(read)
        }
      })))

    it.live("read integers as whatever the client reads them", () =>
      onLog(
        Effect.gen(function*() {
          const log = yield* Log
          const { run } = yield* claim(log, requestOf())
          assert.deepStrictEqual((yield* log.read(run))?.run, run)
          assert.deepStrictEqual(yield* log.renew([{ ...run, leaseMillis: 30_000 }]), [true])
        }).pipe(Effect.provideService(SqlClient.SafeIntegers, true))
      ))

    it.live("fail with a word that holds nothing of the run", () =>
      onLog(Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const log = yield* Log
        const request = requestOf({ id: "the-id" })
        const { run } = yield* claim(log, request)
        yield* sql`UPDATE ${sql("effect_payments_saga_entries")} SET events = 'the-events'`
        yield* sql`UPDATE ${sql("effect_payments_saga")} SET tail = 'the-tail', state = 'Elsewhere'`
        const unreadable = yield* Effect.flip(log.read(request))
        assert.strictEqual(unreadable.detail, "RowUnreadable")
        yield* sql`DROP TABLE ${sql("effect_payments_saga")}`
        const failing: ReadonlyArray<Effect.Effect<unknown, SagaLog.LogUnavailable>> = [
          log.claim(request),
          log.append({ ...run, seq: 2, events: [] }),
          log.renew([{ ...run, leaseMillis: 1 }]),
          log.release(run),
          log.cancel(run),
          log.orphans({ sagas: ["the-saga"], owner: "o", leaseMillis: 1, limit: 1 }),
          log.read(run),
          log.list({ limit: 1 }),
          log.sweep({ olderThanMillis: 0, limit: 1 })
        ]
        for (const self of failing) {
          const error = yield* Effect.flip(self)
          assert.match(error.detail, /^[A-Z][A-Za-z]+$/)
          assert.notMatch(`${error.message} ${JSON.stringify(error)}`, /the-/)
        }
      })))

    it.live("list a run that cannot be read by what does not fit, and the others beside it", () =>
      onLog(Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const log = yield* Log
        const [first, second, third] = yield* Effect.forEach(
          ["o-1", "o-2", "o-3"],
          (id) => Effect.map(claim(log, requestOf({ saga: "listed", id })), ({ run }) => run)
        )
        assert.isTrue(first !== undefined && second !== undefined && third !== undefined)
        if (first === undefined || second === undefined || third === undefined) return
        yield* sql`UPDATE ${sql("effect_payments_saga")} SET state = 'Elsewhere' WHERE key = ${second.key}`
        const { id, key, saga } = second
        const odd: SagaLog.UnreadableRun = { key, saga, id, state: "Unreadable", detail: "its state" }
        assert.deepStrictEqual(yield* log.list({ saga: "listed", limit: 9 }), [first, odd, third])
        const page = yield* log.list({ saga: "listed", limit: 2 })
        assert.deepStrictEqual(yield* log.list({ saga: "listed", limit: 2, after: page.at(-1)?.key }), [third])
        assert.deepStrictEqual(yield* log.list({ saga: "listed", state: "Running", limit: 9 }), [first, third])
      })))

    it.live("hold many sagas at once, of two processes, and each is done once", () =>
      Effect.gen(function*() {
        const client = yield* database
        const engine = () =>
          Layer.build(Layer.fresh(
            Saga.layer({ sweepEvery: false }).pipe(
              Layer.provideMerge(logLayer),
              Layer.provide([client(), NodeCrypto.layer]),
              Layer.provideMerge(Logger.layer([]))
            )
          ))
        const [first, second] = [yield* engine(), yield* engine()]
        const shop = yield* Shop
        const ids = Array.from({ length: 40 }, (_, i) => `o${i}`)
        const refused = new Set(ids.filter((_, i) => i % 4 === 0))
        const run = (id: string, context: typeof first) =>
          Effect.provide(
            Saga.execute(checkout, { orderId: id }, { id }).pipe(
              Effect.provideService(Shop, {
                ...shop,
                happened: (name) => shop.happened(`${id} ${name}`, ""),
                call: (name) =>
                  refused.has(id) && name === "ship"
                    ? Effect.fail(new Refusal({ why: "no" }))
                    : shop.call(`${id} ${name}`)
              })
            ),
            context
          )
        const calls = ids.flatMap((id) => [run(id, first), run(id, second)])
        const ends = yield* Effect.all(calls, { concurrency: "unbounded" })
        assert.deepStrictEqual(
          ends.map(({ _tag }) => _tag),
          ids.flatMap((id) => refused.has(id) ? ["Compensated", "Compensated"] : ["Completed", "Completed"])
        )
        const { charges, totals } = yield* Effect.flatMap(TestGateway.TestGateway, ({ ledger }) => ledger)
        assert.strictEqual(charges, 40)
        assert.strictEqual(Number(totals["EUR"]?.net.amount.value), 30 * 4990)
        assert.strictEqual(Number(totals["EUR"]?.held.amount.value), 0)
        assert.strictEqual(new Set(shop.calls).size, shop.calls.length)
      }).pipe(Effect.provide([shopLayer, TestGateway.layer()])), 60_000)
  })
}
