import { SqliteClient } from "@effect-payments/sqlite"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Layer, Logger, Metric, Option, Schedule, Schema, Scope } from "effect"
import { JobQueue } from "effect-payments"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { jobQueueContract } from "./jobQueue/contract.ts"

const database = SqliteClient.layer({ filename: ":memory:" })
const sqlite = JobQueue.layerStoreSql({ pollInterval: "10 millis", lock: "1 second" }).pipe(
  Layer.provideMerge(database)
)
const memory = JobQueue.layerStoreMemory()

jobQueueContract("memory", memory)
jobQueueContract("sqlite", sqlite)

const make = (options?: Partial<JobQueue.Options<number>>) =>
  JobQueue.make({ name: "test", payload: Schema.Number, ...options })
const fork = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.forkChild(self, { startImmediately: true })

describe("JobQueue", () => {
  it.effect("waits between attempts as its schedule says", () =>
    Effect.gen(function*() {
      const queue = yield* make({ retry: Schedule.exponential("1 second"), attemptsMax: 4 })
      yield* queue.offer(1)
      let runs = 0
      yield* fork(queue.work(() => Effect.andThen(Effect.sync(() => void runs++), Effect.fail("no"))))
      const after: Array<number> = []
      for (const millis of [0, 999, 1, 1999, 1, 3999, 1]) {
        yield* TestClock.adjust(millis)
        after.push(runs)
      }
      assert.deepStrictEqual(after, [1, 1, 2, 2, 3, 3, 4])
      assert.strictEqual(yield* queue.deadLetterCount, 1)
    }).pipe(Effect.provide(memory)))

  it.effect("runs what comes while it waits for something later", () =>
    Effect.gen(function*() {
      const queue = yield* make()
      const ran: Array<number> = []
      yield* fork(queue.work((n) => Effect.sync(() => void ran.push(n)), { workers: 1 }))
      yield* queue.offer(1, { delay: "1 hour" })
      yield* TestClock.adjust("1 minute")
      yield* queue.offer(2)
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(ran, [2])
      yield* TestClock.adjust("59 minutes")
      assert.deepStrictEqual(ran, [2, 1])
    }).pipe(Effect.provide(memory)))

  it.effect("takes no more into memory than it may, dead letters among them", () =>
    Effect.gen(function*() {
      const queue = yield* make({ attemptsMax: 1 })
      yield* queue.offer(1, { id: "1" })
      yield* queue.offer(2, { id: "2" })
      const full = yield* Effect.flip(queue.offer(3, { id: "3" }))
      assert.deepStrictEqual(full.reason, new JobQueue.JobQueueFull({ capacity: 2 }))
      assert.strictEqual(full.disposition, "NotExecuted")
      // One that is there already is no more.
      assert.strictEqual(yield* queue.offer(1, { id: "1" }), "1")
      const fiber = yield* fork(queue.work((n) => n === 1 ? Effect.fail("no") : Effect.void))
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(fiber)
      yield* queue.offer(3, { id: "3" })
      assert.strictEqual((yield* Effect.flip(queue.offer(4, { id: "4" }))).reason._tag, "JobQueueFull")
      yield* queue.discard("1")
      yield* queue.offer(4, { id: "4" })
    }).pipe(Effect.provide(JobQueue.layerStoreMemory({ capacity: 2 }))))

  it.effect("forgets the oldest ids of jobs that are done when they are too many", () =>
    Effect.gen(function*() {
      const queue = yield* make()
      const ran: Array<number> = []
      yield* fork(queue.work((n) => Effect.sync(() => void ran.push(n)), { workers: 1 }))
      for (const n of [1, 2, 3, 3, 2, 1]) {
        yield* queue.offer(n, { id: `${n}` })
        yield* TestClock.adjust(0)
      }
      assert.deepStrictEqual(ran, [1, 2, 3, 1])
    }).pipe(Effect.provide(JobQueue.layerStoreMemory({ capacity: 2 }))))

  it.effect("counts runs by outcome", () =>
    Effect.gen(function*() {
      const queue = yield* make({ name: "counted", attemptsMax: 2, retry: Schedule.spaced(0) })
      const fiber = yield* fork(queue.work((n) => n === 0 ? Effect.never : n === 1 ? Effect.fail("no") : Effect.void))
      yield* Effect.forEach([0, 1, 2], (n) => queue.offer(n))
      yield* TestClock.adjust(0)
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(fiber)
      const counts = (yield* Metric.snapshot).flatMap((metric) =>
        metric.id === "effect_payments_jobs_total" && metric.type === "Counter" &&
          metric.attributes?.["queue"] === "counted"
          ? [`${metric.attributes["outcome"]} ${metric.state.count}`]
          : []
      )
      assert.deepStrictEqual(counts.sort(), ["dead 1", "done 1", "released 1", "retried 1"])
    }).pipe(Effect.provide(memory)))

  it.effect("stops a handler whose time is over, tries again, and keeps it when that was the last attempt", () =>
    Effect.gen(function*() {
      const queue = yield* make({ name: "slow", attemptsMax: 2, retry: Schedule.spaced(0), timeout: "1 minute" })
      yield* queue.offer(0, { id: "hangs" })
      yield* queue.offer(1, { id: "ends" })
      const ran: Array<string> = []
      yield* fork(queue.work((n, { attempt, id }) =>
        Effect.suspend(() => {
          ran.push(`${id} ${attempt}`)
          return n === 0 ? Effect.never : Effect.void
        }), { workers: 1 }))
      yield* TestClock.adjust("59999 millis")
      assert.deepStrictEqual(ran, ["hangs 1"])
      yield* TestClock.adjust("1 millis")
      yield* TestClock.adjust("1 minute")
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(ran.toSorted(), ["ends 1", "hangs 1", "hangs 2"])
      const [dead] = yield* queue.deadLetters()
      assert.deepStrictEqual([dead?.id, dead?.attempts], ["hangs", 2])
      assert.include(dead?.failure, "the handler was stopped after 1m")
      assert.isTrue(yield* queue.requeue("hangs"))
      yield* TestClock.adjust(0)
      assert.strictEqual(ran.at(-1), "hangs 1")
    }).pipe(Effect.provide(memory)))

  it.effect("gives a handler five minutes, and one that cannot be stopped its worker back all the same", () =>
    Effect.gen(function*() {
      const queue = yield* make({ attemptsMax: 1 })
      yield* queue.offer(0, { id: "deaf" })
      yield* queue.offer(1, { id: "next" })
      const ran: Array<number> = []
      yield* fork(queue.work((n) =>
        Effect.suspend(() => {
          ran.push(n)
          return n === 0 ? Effect.uninterruptible(Effect.never) : Effect.void
        }), { workers: 1 }))
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual(ran, [0])
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(ran, [0, 1])
      const [dead] = yield* queue.deadLetters()
      assert.include(dead?.failure, "stopped after 5m, and has not ended since")
    }).pipe(Effect.provide(memory)))

  it.effect("works as long as the layer of its workers lives", () =>
    Effect.gen(function*() {
      const store = yield* Effect.scoped(Layer.build(memory))
      const ran: Array<number> = []
      const workers = JobQueue.layerWorkers(make(), (n) => Effect.sync(() => void ran.push(n)))
      yield* Effect.gen(function*() {
        const queue = yield* make()
        const scope = yield* Scope.make()
        yield* Layer.buildWithScope(workers, scope)
        yield* queue.offer(1)
        yield* TestClock.adjust(0)
        yield* Scope.close(scope, Exit.void)
        yield* queue.offer(2)
        yield* TestClock.adjust(0)
        assert.deepStrictEqual(ran, [1])
      }).pipe(Effect.provideContext(store))
    }))

  it.effect("dies of options out of bounds", () =>
    Effect.gen(function*() {
      const dies = Effect.fnUntraced(function*(
        self: Effect.Effect<unknown, unknown, JobQueue.JobQueueStore>,
        text: string
      ) {
        const exit = yield* Effect.exit(self)
        assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause) && Cause.pretty(exit.cause).includes(text))
      })
      yield* dies(make({ name: "a:b" }), "JobQueue.make: name must be")
      yield* dies(make({ attemptsMax: 0 }), "JobQueue.make: attemptsMax must be")
      yield* dies(make({ payloadLimitBytes: 0.5 }), "JobQueue.make: payloadLimitBytes must be")
      for (const timeout of [0, "2 days", Infinity] as const) {
        yield* dies(make({ timeout }), "JobQueue.make: timeout must be")
      }
      yield* dies(
        Effect.flatMap(make(), (queue) => queue.work(() => Effect.void, { workers: 0 })),
        "JobQueue.work: workers must be"
      )
      yield* dies(Effect.scoped(Layer.build(JobQueue.layerStoreMemory({ capacity: 0 }))), "capacity must be")
    }).pipe(Effect.provide(memory)))
})

describe("JobQueue on a database", () => {
  const lostOf = (queue: string) =>
    Effect.map(
      Metric.snapshot,
      (all) =>
        all.flatMap((metric) =>
          metric.id === "effect_payments_jobs_total" && metric.type === "Counter" &&
            metric.attributes?.["queue"] === queue && metric.attributes["outcome"] === "lost"
            ? [Number(metric.state.count)]
            : []
        ).reduce((sum, count) => sum + count, 0)
    )

  it.live("records nothing of a worker that was frozen past its lock, and says so", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const queue = yield* make({ name: "frozen" })
      yield* queue.offer(1, { id: "job" })
      const logs: Array<string> = []
      let others = ""
      const fiber = yield* fork(
        queue.work(() =>
          Effect.gen(function*() {
            // Another process takes the job, and this one is frozen meanwhile.
            yield* sql`UPDATE effect_payments_jobs
              SET attempts = attempts + 1, acquired_by = 'another', acquired_at = CURRENT_TIMESTAMP`
            others = JSON.stringify(yield* sql`SELECT * FROM effect_payments_jobs`)
            Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1100)
          }), { workers: 1 }).pipe(
            Effect.provide(Logger.layer([Logger.make(({ message }) => void logs.push(String(message)))]))
          )
      )
      yield* Effect.sleep("5 millis").pipe(
        Effect.andThen(lostOf("frozen")),
        Effect.repeat({ until: (count) => count === 1 })
      )
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(logs, [
        "queue frozen: job job was taken by another worker while attempt 1 ran, of which nothing is recorded"
      ])
      assert.strictEqual(JSON.stringify(yield* sql`SELECT * FROM effect_payments_jobs`), others)
      assert.strictEqual(yield* queue.deadLetterCount, 0)
    }).pipe(Effect.provide(sqlite)))

  it.live("stops a handler whose job was taken by another worker", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const queue = yield* make({ name: "stolen" })
      yield* queue.offer(1)
      let stopped = false
      const fiber = yield* fork(queue.work(() =>
        sql`UPDATE effect_payments_jobs SET attempts = attempts + 1, acquired_by = 'another'`.pipe(
          Effect.andThen(Effect.never),
          Effect.onInterrupt(() => Effect.sync(() => void (stopped = true)))
        ), { workers: 1 }))
      yield* Effect.sleep("5 millis").pipe(
        Effect.andThen(lostOf("stolen")),
        Effect.repeat({
          until: (count) =>
            count === 1
        })
      )
      assert.isTrue(stopped)
      yield* Fiber.interrupt(fiber)
    }).pipe(Effect.provide([sqlite, Logger.layer([])])))

  it.live("stops a handler when nobody renews its lock for as long as that holds, and tries again", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const queue = yield* make({ name: "silent", attemptsMax: 1 })
      yield* queue.offer(1)
      let stopped = false
      const fiber = yield* fork(queue.work(() =>
        sql`ALTER TABLE effect_payments_jobs RENAME TO elsewhere`.pipe(
          Effect.andThen(Effect.never),
          Effect.onInterrupt(() =>
            Effect.sync(() => void (stopped = true)).pipe(
              Effect.andThen(sql`ALTER TABLE elsewhere RENAME TO effect_payments_jobs`),
              Effect.orDie
            )
          )
        ), { workers: 1 }))
      yield* Effect.sleep("5 millis").pipe(
        Effect.andThen(Effect.orElseSucceed(queue.deadLetterCount, () => 0)),
        Effect.repeat({ until: (count) => count === 1 })
      )
      assert.isTrue(stopped)
      yield* Fiber.interrupt(fiber)
      const [dead] = yield* queue.deadLetters()
      assert.include(dead?.failure, "the store did not renew the lock of its job")
    }).pipe(Effect.provide([sqlite, Logger.layer([])])))

  it.live("takes a job in with the commit, or not at all", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const queue = yield* make()
      yield* Effect.flip(sql.withTransaction(Effect.andThen(queue.offer(1), Effect.fail("no"))))
      yield* sql.withTransaction(queue.offer(2))
      const ran: Array<number> = []
      const fiber = yield* fork(queue.work((n) => Effect.sync(() => void ran.push(n))))
      yield* Effect.sleep("5 millis").pipe(Effect.repeat({ until: () => ran.length > 0 }))
      yield* Effect.sleep("50 millis")
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(ran, [2])
    }).pipe(Effect.provide(sqlite)))

  it.live("finds a job whose worker died in its last attempt among the dead", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const queue = yield* make({ attemptsMax: 1 })
      yield* queue.offer(7, { id: "lost" })
      // As a process leaves it that was killed an hour ago.
      yield* sql`UPDATE effect_payments_jobs SET attempts = 1, acquired_by = 'gone', acquired_at = datetime('now', '-1 hour')`
      const fiber = yield* fork(queue.work(() => Effect.void))
      yield* Effect.sleep("5 millis").pipe(
        Effect.andThen(queue.deadLetterCount),
        Effect.repeat({ until: (count) => count === 1 })
      )
      yield* Fiber.interrupt(fiber)
      const [dead] = yield* queue.deadLetters()
      assert.deepStrictEqual([dead?.id, dead?.payload, dead?.failure], [
        "lost",
        Option.some(7),
        "Lock expired after final attempt"
      ])
    }).pipe(Effect.provide(sqlite)))

  it.live("reads dead letters by an index, and starts twice on one database", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* Effect.scoped(Layer.build(Layer.fresh(JobQueue.layerStoreSql())))
      const plan = yield* sql<{ readonly detail: string }>`EXPLAIN QUERY PLAN SELECT id FROM effect_payments_jobs
        WHERE queue_name = 'x' AND state = 'failed' AND sequence > 0 ORDER BY sequence LIMIT 100`
      assert.include(plan.map(({ detail }) => detail).join(), "USING INDEX effect_payments_jobs_dead")
    }).pipe(Effect.provide(sqlite)))

  it.live("says that the table is gone, and goes on when it is back", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const queue = yield* make()
      yield* sql`ALTER TABLE effect_payments_jobs RENAME TO elsewhere`
      for (
        const [operation, self] of [
          ["offer", queue.offer(1)],
          ["list", queue.deadLetters()],
          ["count", queue.deadLetterCount],
          ["requeue", queue.requeue("1")],
          ["discard", queue.discard("1")]
        ] as const
      ) {
        const { disposition, reason } = yield* Effect.flip(Effect.asVoid<unknown, JobQueue.JobQueueError, never>(self))
        assert.strictEqual(reason._tag === "JobStoreUnavailable" && reason.operation, operation)
        assert.strictEqual(disposition, "Unknown")
      }
    }).pipe(Effect.provide(sqlite)))

  it.live("refuses a table that is none, and deletes old ids", () =>
    Effect.gen(function*() {
      const refused = JobQueue.layerStoreSql({ table: "a\"b" })
      const error = yield* Effect.flip(Effect.scoped(Layer.build(refused)))
      assert.include(error.message, "table must be 1 to 40 of a-z, 0-9 and _")
      const sql = yield* SqlClient.SqlClient
      const queue = yield* make()
      yield* queue.offer(1, { id: "old" })
      yield* queue.offer(2, { id: "young" })
      yield* sql`UPDATE effect_payments_jobs SET state = 'completed'`
      yield* sql`UPDATE effect_payments_jobs SET updated_at = datetime('now', '-31 days') WHERE id = 'old'`
      yield* Effect.scoped(Effect.gen(function*() {
        yield* Layer.build(Layer.fresh(JobQueue.layerStoreSql()))
        yield* sql`SELECT id FROM effect_payments_jobs`.values.pipe(
          Effect.repeat({ until: (rows) => rows.length === 1, schedule: Schedule.spaced("5 millis") })
        )
      }))
      assert.deepStrictEqual(yield* sql`SELECT id FROM effect_payments_jobs`.values, [["young"]])
    }).pipe(Effect.provide(sqlite)))
})
