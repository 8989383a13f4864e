import { SqliteClient } from "@effect-payments/sqlite"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Scope } from "effect"
import { SqlClient, SqlError } from "effect/sql"
import { TestClock } from "effect/testing"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { promptly, timed, Unanswered, writeTimeoutMillis } from "../../src/internal/sql/silence.ts"
import * as Writer from "../../src/internal/sql/writer.ts"

const put = (id: string, note: string | null = id): Writer.Write => ({
  key: id,
  text: "INSERT INTO item (id, note) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET note = excluded.note RETURNING id",
  parameters: [id, note]
})
/** Breaks a constraint. */
const bad = (id: string): Writer.Write => put(id, null)

const ids = (count: number) => Array.from({ length: count }, (_, index) => `i${String(index).padStart(3, "0")}`)

/** A client that counts what goes through it. */
const counting = (sql: SqlClient.SqlClient) => {
  const counts = { transactions: 0, statements: 0 }
  const client = new Proxy(sql, {
    get: (target, key) => {
      if (key === "withTransaction") counts.transactions++
      if (key === "reserve") counts.statements++
      return Reflect.get(target, key)
    }
  })
  return { client, counts }
}

const make = (options?: Partial<Writer.Options>) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE TABLE IF NOT EXISTS item (id TEXT PRIMARY KEY, note TEXT NOT NULL)`
    const { client, counts } = counting(sql)
    const scope = yield* Scope.make()
    const writer = yield* Writer.make(client, {
      strategy: Writer.inTransaction(client),
      timeoutMillis: 5000,
      batchMax: 100,
      queueMax: 1000,
      ...options
    }).pipe(Scope.provide(scope))
    const stored = Effect.map(
      sql<{ readonly id: string }>`SELECT id FROM item ORDER BY id`,
      (rows) => rows.map(({ id }) => id)
    )
    return { sql, scope, writer, counts, stored, strategy: Writer.inTransaction(client) }
  })

const together = <A, E>(effects: ReadonlyArray<Effect.Effect<A, E>>) =>
  Effect.forEach(effects, Effect.exit, { concurrency: "unbounded" })

/** Forks, and has it submit before anything else runs. */
const started = <A, E>(self: Effect.Effect<A, E>) => Effect.forkChild(self, { startImmediately: true })

const memory = Effect.provide(SqliteClient.layer({ filename: ":memory:" }))

describe("the writer", () => {
  it.effect("runs a lone write as it is", () =>
    Effect.gen(function*() {
      const { counts, stored, writer } = yield* make()
      assert.deepStrictEqual(yield* writer.submit(put("a")), [["a"]])
      assert.deepStrictEqual(yield* writer.submit(put("b")), [["b"]])
      assert.deepStrictEqual(counts, { transactions: 0, statements: 2 })
      assert.deepStrictEqual(yield* stored, ["a", "b"])
    }).pipe(memory))

  it.effect("writes what comes in one tick in one transaction, and answers each", () =>
    Effect.gen(function*() {
      const { counts, stored, writer } = yield* make()
      const exits = yield* together(ids(64).map((id) => writer.submit(put(id))))
      assert.deepStrictEqual(exits, ids(64).map((id) => Exit.succeed([[id]])))
      assert.deepStrictEqual(counts, { transactions: 1, statements: 0 })
      assert.deepStrictEqual(yield* stored, ids(64))
    }).pipe(memory))

  it.effect("sees a crowd after a few writes that were alone, and then at once", () =>
    Effect.gen(function*() {
      const { counts, stored, writer } = yield* make()
      for (const id of ids(30)) yield* writer.submit(put(id))
      assert.deepStrictEqual(counts, { transactions: 0, statements: 30 })
      yield* together(ids(64).map((id) => writer.submit(put(id))))
      assert.strictEqual(counts.transactions, 1)
      const { statements } = counts
      assert.isAtMost(statements, 30 + 8)
      yield* Effect.yieldNow
      yield* together(ids(64).map((id) => writer.submit(put(id))))
      assert.deepStrictEqual(counts, { transactions: 2, statements })
      assert.deepStrictEqual(yield* stored, ids(64))
    }).pipe(memory))

  it.effect("bounds a batch", () =>
    Effect.gen(function*() {
      const { counts, stored, writer } = yield* make({ batchMax: 10 })
      yield* together(ids(25).map((id) => writer.submit(put(id))))
      assert.deepStrictEqual(counts, { transactions: 3, statements: 0 })
      assert.deepStrictEqual(yield* stored, ids(25))
    }).pipe(memory))

  it.effect("lets every write run as it is when a batch holds one", () =>
    Effect.gen(function*() {
      const { counts, stored, writer } = yield* make({ batchMax: 1 })
      yield* together(ids(9).map((id) => writer.submit(put(id))))
      assert.deepStrictEqual(counts, { transactions: 0, statements: 9 })
      assert.deepStrictEqual(yield* stored, ids(9))
    }).pipe(memory))

  it.effect("puts together what comes while another batch is written", () =>
    Effect.gen(function*() {
      const sizes: Array<number> = []
      const sql = yield* SqlClient.SqlClient
      const inner = Writer.inTransaction(sql)
      const { stored, writer } = yield* make({
        strategy: {
          ...inner,
          commit: (batch, begun) => {
            sizes.push(batch.length)
            return Effect.andThen(Effect.yieldNow, inner.commit(batch, begun))
          }
        }
      })
      const twice = (id: string) => Effect.andThen(writer.submit(put(`${id}a`)), writer.submit(put(`${id}b`)))
      yield* together(ids(20).map(twice))
      assert.deepStrictEqual(sizes, [20, 20])
      assert.strictEqual((yield* stored).length, 40)
    }).pipe(memory))

  it.effect("works on the answers of one commit while another is under way, where the database has connections", () =>
    Effect.gen(function*() {
      const sizes: Array<number> = []
      const gates: Array<() => void> = []
      const inner = Writer.inTransaction(yield* SqlClient.SqlClient)
      const { stored, writer } = yield* make({
        strategy: {
          ...inner,
          flightsMax: 2,
          commit: (batch, begun) => {
            sizes.push(batch.length)
            const gate = Effect.callback<void>((resume) => void gates.push(() => resume(Effect.void)))
            return Effect.andThen(gate, inner.commit(batch, begun))
          }
        }
      })
      const go = (names: ReadonlyArray<string>) => started(together(names.map((id) => writer.submit(put(id)))))
      const crowd = yield* go(ids(64))
      yield* Effect.yieldNow
      assert.deepStrictEqual(sizes, [32, 32])
      const few = yield* go(["a", "b", "c"])
      yield* Effect.yieldNow
      assert.deepStrictEqual(sizes, [32, 32])
      gates[1]?.()
      while (sizes.length < 3) yield* Effect.yieldNow
      assert.deepStrictEqual(sizes, [32, 32, 3])
      gates[2]?.()
      assert.isTrue((yield* Fiber.join(few)).every(Exit.isSuccess))
      gates[0]?.()
      assert.isTrue((yield* Fiber.join(crowd)).every(Exit.isSuccess))
      assert.deepStrictEqual(yield* stored, ["a", "b", "c", ...ids(64)].toSorted())
    }).pipe(memory))

  it.effect("lets one bad write fail alone", () =>
    Effect.gen(function*() {
      const { stored, writer } = yield* make()
      const exits = yield* together(ids(20).map((id, index) => writer.submit(index === 7 ? bad(id) : put(id))))
      assert.deepStrictEqual(exits.map(Exit.isSuccess), ids(20).map((_, index) => index !== 7))
      assert.deepStrictEqual(yield* stored, ids(20).filter((_, index) => index !== 7))
      yield* writer.submit(put("after"))
    }).pipe(memory))

  it.effect("lets a write alone fail that breaks the commit", () =>
    Effect.gen(function*() {
      const { counts, sql, writer } = yield* make()
      yield* sql`CREATE TABLE child (id TEXT PRIMARY KEY REFERENCES item (id) DEFERRABLE INITIALLY DEFERRED)`
      const orphan = {
        key: "nobody",
        text: "INSERT INTO child (id) VALUES (?) ON CONFLICT DO NOTHING RETURNING id",
        parameters: ["nobody"]
      }
      const exits = yield* together([put("a"), orphan, put("b")].map(writer.submit))
      assert.deepStrictEqual(exits.map(Exit.isSuccess), [true, false, true])
      assert.strictEqual(counts.transactions, 2)
      assert.strictEqual((yield* sql`SELECT id FROM child`).length, 0)
      assert.strictEqual((yield* sql`SELECT id FROM item`).length, 2)
    }).pipe(memory))

  it.effect("submits again when it does not know whether the commit went through", () =>
    Effect.gen(function*() {
      let commits = 0
      const inner = Writer.inTransaction(yield* SqlClient.SqlClient)
      const { stored, writer } = yield* make({
        strategy: {
          ...inner,
          // The first did, and its reply was lost.
          commit: (batch, begun) =>
            Effect.map(inner.commit(batch, begun), (outcome): Writer.Outcome =>
              ++commits === 1 ? { _tag: "CommitUnknown" } : outcome)
        }
      })
      const exits = yield* together(
        ids(5).map((id) =>
          writer.submit(put(id))
        )
      )
      assert.deepStrictEqual(exits, ids(5).map((id) => Exit.succeed([[id]])))
      assert.strictEqual(commits, 2)
      assert.deepStrictEqual(yield* stored, ids(5))
    }).pipe(memory))

  it.effect("answers all alike when the transaction cannot begin, and writes nothing", () =>
    Effect.gen(function*() {
      const directory = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "writer-"))),
        (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
      )
      const filename = join(directory, "w.db")
      yield* Effect.gen(function*() {
        const { counts, stored, writer } = yield* make()
        const other = new DatabaseSync(filename)
        other.exec("BEGIN IMMEDIATE")
        const blocked = yield* together(ids(9).map((id) => Effect.flip(writer.submit(put(id)))))
        other.close()
        assert.deepStrictEqual(counts, { transactions: 1, statements: 0 })
        assert.isTrue(blocked.every((exit) =>
          Exit.isSuccess(exit) && exit.value._tag === "SqlError" && exit.value.reason._tag === "LockTimeoutError"
        ))
        assert.deepStrictEqual(yield* stored, [])
        yield* together(
          ids(9).map((id) =>
            writer.submit(put(id))
          )
        )
        assert.deepStrictEqual(yield* stored, ids(9))
      }).pipe(Effect.provide(SqliteClient.layer({ filename, busyTimeout: 0 })))
    }))

  it.effect("asks a database that is gone once and not for each write", () =>
    Effect.gen(function*() {
      let asked = 0
      const gone = new SqlError.SqlError({ reason: new SqlError.ConnectionError({ cause: "gone" }) })
      const { writer } = yield* make({
        strategy: {
          flightsMax: 1,
          partition: (entries) => [entries],
          commit: () => Effect.succeed({ _tag: "CommitUnknown" }),
          alone: () => Effect.andThen(Effect.sync(() => asked++), Effect.fail(gone))
        }
      })
      const exits = yield* together(ids(5).map((id) => writer.submit(put(id))))
      assert.deepStrictEqual(exits, ids(5).map(() => Exit.fail(gone)))
      assert.strictEqual(asked, 1)
    }).pipe(memory))

  it.effect("answers when the strategy dies", () =>
    Effect.gen(function*() {
      const inner = Writer.inTransaction(yield* SqlClient.SqlClient)
      const { writer } = yield* make({ strategy: { ...inner, commit: () => Effect.die("broken") } })
      const exits = yield* together(ids(3).map((id) => writer.submit(put(id))))
      assert.isTrue(exits.every(Exit.isFailure))
      assert.deepStrictEqual(yield* writer.submit(put("a")), [["a"]])
    }).pipe(memory))

  it.effect("runs inside a transaction of the caller, past the queue", () =>
    Effect.gen(function*() {
      const { sql, stored, writer } = yield* make()
      yield* sql.withTransaction(Effect.andThen(writer.submit(put("kept")), writer.submit(put("kept too"))))
      // The others wait for the connection that the transaction holds: whoever waited with them would wait for ever.
      const inside = Effect.gen(function*() {
        const others = Effect.updateContext(
          together(ids(3).map((id) => writer.submit(put(id)))),
          (context: Context.Context<never>) => Context.omit(sql.transactionService)(context)
        )
        yield* Effect.forkDetach(others, { startImmediately: true })
        yield* writer.submit(put("dropped"))
        return yield* Effect.fail("rolled back")
      })
      yield* Effect.exit(sql.withTransaction(inside))
      yield* writer.submit(put("last"))
      assert.deepStrictEqual(yield* stored, [...ids(3), "kept", "kept too", "last"])
    }).pipe(memory))

  it.effect("forgets a write whose caller went before it was sent", () =>
    Effect.gen(function*() {
      const { stored, writer } = yield* make()
      const fibers = yield* Effect.forEach(ids(3), (id) => started(writer.submit(put(id))))
      fibers[1]?.interruptUnsafe()
      yield* Fiber.awaitAll(fibers)
      assert.deepStrictEqual(yield* stored, ["i000", "i002"])
    }).pipe(memory))

  it.effect("finishes a write whose caller goes while it is written", () =>
    Effect.gen(function*() {
      const inner = Writer.inTransaction(yield* SqlClient.SqlClient)
      let begun = () => {}
      const { stored, writer } = yield* make({
        strategy: {
          ...inner,
          commit: (batch, started) => Effect.andThen(Effect.sync(() => begun()), inner.commit(batch, started))
        }
      })
      const fibers = yield* Effect.forEach(ids(3), (id) => started(writer.submit(put(id))))
      begun = () => fibers[1]?.interruptUnsafe()
      const exits = yield* Fiber.awaitAll(fibers)
      assert.deepStrictEqual(exits.map(Exit.isSuccess), [true, false, true])
      assert.deepStrictEqual(yield* stored, ids(3))
      yield* writer.submit(put("next"))
    }).pipe(memory))

  it.effect("writes what waits when its layer closes, and refuses what comes later", () =>
    Effect.gen(function*() {
      const { scope, stored, writer } = yield* make({ batchMax: 10 })
      const fibers = yield* Effect.forEach(ids(35), (id) => started(writer.submit(put(id))))
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* stored, ids(35))
      assert.isTrue((yield* Fiber.awaitAll(fibers)).every(Exit.isSuccess))
      assert.deepStrictEqual(
        yield* Effect.flip(writer.submit(put("late"))),
        new Writer.WriterRefused({ reason: "Closed" })
      )
    }).pipe(memory))

  it.effect("refuses what its queue cannot hold", () =>
    Effect.gen(function*() {
      const { stored, writer } = yield* make({ queueMax: 4 })
      const exits = yield* together(ids(6).map((id) => writer.submit(put(id))))
      assert.deepStrictEqual(exits.map(Exit.isSuccess), [true, true, true, true, false, false])
      assert.deepStrictEqual(exits[5], Exit.fail(new Writer.WriterRefused({ reason: "Full" })))
      assert.deepStrictEqual(yield* stored, ids(4))
    }).pipe(memory))

  it.effect("sends the writes of a kind together, and of a key only one at a time", () =>
    Effect.gen(function*() {
      const { partition } = Writer.inStatements(yield* SqlClient.SqlClient, 5000)
      const entry = (text: string, shared: string, key: string) => ({
        name: `${text}${shared}${key}`,
        write: {
          key,
          text,
          parameters: [],
          member: { text: `many ${text}`, shared, values: {}, parametersOf: () => [] }
        }
      })
      const parts = partition([
        entry("a", "1", "x"),
        entry("a", "1", "y"),
        entry("b", "1", "x"),
        entry("a", "2", "z"),
        entry("a", "1", "x"),
        entry("a", "1", "z")
      ])
      assert.deepStrictEqual(parts.map((part) => part.map(({ name }) => name)), [
        ["a1x", "a1y"],
        ["b1x"],
        ["a2z"],
        ["a1x", "a1z"]
      ])
    }).pipe(memory))
})

/** Says nothing, and cannot be interrupted. */
const silence = Effect.uninterruptible(Effect.never)

describe("the writer over a database that falls silent", () => {
  const unanswered = Exit.fail(new Unanswered())

  /** A writer whose first commits do what these say; the others go through. */
  const falling = (...first: ReadonlyArray<(begun: () => void) => Effect.Effect<Writer.Outcome>>) =>
    Effect.gen(function*() {
      const inner = Writer.inTransaction(yield* SqlClient.SqlClient)
      let commits = 0
      const strategy: Writer.Strategy = {
        ...inner,
        commit: (batch, begun) => first[commits++]?.(begun) ?? inner.commit(batch, begun)
      }
      return yield* make({ strategy })
    })

  const silent = (begun: () => void) => Effect.andThen(Effect.sync(begun), silence)

  it.effect("says that nobody knows, and goes on with the others", () =>
    Effect.gen(function*() {
      const { stored, writer } = yield* falling(silent)
      const stuck = yield* started(together(ids(3).map((id) => writer.submit(put(id)))))
      yield* Effect.yieldNow
      const later = yield* started(together(["a", "b"].map((id) => writer.submit(put(id)))))
      yield* TestClock.adjust(4999)
      assert.isUndefined(stuck.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(yield* Fiber.join(stuck), ids(3).map(() => unanswered))
      assert.deepStrictEqual(yield* Fiber.join(later), ["a", "b"].map((id) => Exit.succeed([[id]])))
      assert.deepStrictEqual(yield* stored, ["a", "b"])
    }).pipe(memory))

  it.effect("counts from when nothing else is waited for", () =>
    Effect.gen(function*() {
      const { writer } = yield* falling((begun) => Effect.andThen(Effect.sleep("1 hour"), silent(begun)))
      const stuck = yield* started(together(ids(3).map((id) => writer.submit(put(id)))))
      yield* TestClock.adjust("1 hour")
      yield* TestClock.adjust(4999)
      assert.isUndefined(stuck.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(yield* Fiber.join(stuck), ids(3).map(() => unanswered))
    }).pipe(memory))

  it.effect("says so too when it is silent at the second try", () =>
    Effect.gen(function*() {
      const { stored, writer } = yield* falling(() => Effect.succeed({ _tag: "CommitUnknown" }), silent)
      const stuck = yield* started(together(ids(3).map((id) => writer.submit(put(id)))))
      yield* TestClock.adjust(5000)
      assert.deepStrictEqual(yield* Fiber.join(stuck), ids(3).map(() => unanswered))
      assert.deepStrictEqual(yield* stored, [])
    }).pipe(memory))

  it.effect("does not take the wait for the lock of SQLite for silence", () =>
    Effect.gen(function*() {
      const directory = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "writer-"))),
        (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
      )
      const filename = join(directory, "w.db")
      yield* Effect.gen(function*() {
        const { writer } = yield* make()
        const other = new DatabaseSync(filename)
        other.exec("BEGIN IMMEDIATE")
        const waiting = yield* started(together(ids(3).map((id) => writer.submit(put(id)))))
        yield* TestClock.adjust("1 hour")
        assert.isUndefined(waiting.pollUnsafe())
        other.close()
        assert.deepStrictEqual(yield* Fiber.join(waiting), ids(3).map((id) => Exit.succeed([[id]])))
      }).pipe(Effect.provide(SqliteClient.layer({ filename, busyTimeout: "1 minute" })))
    }))

  /** A client that takes statements of a pool, and answers none. */
  const pool = Effect.map(SqlClient.SqlClient, (sql) =>
    new Proxy(sql, {
      get: (target, key) => key === "unsafe" ? () => ({ values: silence }) : Reflect.get(target, key)
    }))

  it.effect("bounds one that is alone, and those alone after a batch", () =>
    Effect.gen(function*() {
      const { writer } = yield* make({ strategy: Writer.inStatements(yield* pool, 5000) })
      // Without a form for many it is as if the batch had been refused.
      const stuck = yield* started(together(ids(3).map((id) => writer.submit(put(id)))))
      yield* TestClock.adjust(5000)
      assert.deepStrictEqual(yield* Fiber.join(stuck), ids(3).map(() => unanswered))
      const alone = yield* started(Effect.exit(writer.submit(put("a"))))
      const gone = yield* started(writer.submit(put("b")))
      yield* Fiber.interrupt(gone)
      yield* TestClock.adjust(5000)
      assert.deepStrictEqual(yield* Fiber.join(alone), unanswered)
    }).pipe(memory))

  it.effect("leaves a write in a transaction of the caller to him", () =>
    Effect.gen(function*() {
      const { sql, writer } = yield* make({ strategy: Writer.inStatements(yield* pool, 5000) })
      const inside = Effect.provideServiceEffect(
        writer.submit(put("a")),
        sql.transactionService,
        Effect.map(Effect.scoped(sql.reserve), (connection) => [connection, 0] as const)
      )
      const fiber = yield* Effect.forkDetach(inside, { startImmediately: true })
      yield* TestClock.adjust("1 hour")
      assert.isUndefined(fiber.pollUnsafe())
    }).pipe(memory))

  it.effect("keeps nobody who goes", () =>
    Effect.gen(function*() {
      for (const waiting of [promptly(silence), timed(5000, silent), timed(5000, () => silence)]) {
        yield* Fiber.interrupt(yield* started(waiting))
      }
    }))

  it("has a bound that has bounds", () => {
    assert.deepStrictEqual(
      [undefined, "100 millis", "1 minute", "99 millis", "61 seconds", "Infinity"].map((input) =>
        writeTimeoutMillis(input as undefined)
      ),
      [5000, 100, 60_000, undefined, undefined, undefined]
    )
  })
})
