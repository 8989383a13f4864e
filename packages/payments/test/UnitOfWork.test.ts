import { SqliteClient } from "@effect-payments/sqlite"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Latch } from "effect"
import { UnitOfWork } from "effect-payments"
import { SqlClient, SqlError } from "effect/sql"

const database = SqliteClient.layer({ filename: ":memory:" })

const insert = (id: string) => Effect.flatMap(SqlClient.SqlClient, (sql) => sql`INSERT INTO item VALUES (${id})`)

/** A table, what it holds, and what has been said after commits. */
const make = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE item (id TEXT PRIMARY KEY NOT NULL)`
  const said: Array<string> = []
  const stored = Effect.map(
    sql<{ readonly id: string }>`SELECT id FROM item ORDER BY id`,
    (rows) => rows.map(({ id }) => id)
  )
  const put = (id: string) => Effect.andThen(insert(id), UnitOfWork.afterCommit(Effect.sync(() => void said.push(id))))
  return { sql, said, stored, put }
})

/** A client whose commit, or begin, ends with the reason. */
const broken = (sql: SqlClient.SqlClient, stage: "begin" | "commit", reason: SqlError.SqlError["reason"]) =>
  new Proxy(sql, {
    get: (target, key) =>
      key !== "withTransaction"
        ? Reflect.get(target, key)
        : (self: Effect.Effect<unknown, unknown>) => {
          const failure = Effect.fail(new SqlError.SqlError({ reason }))
          return stage === "begin" ? failure : target.withTransaction(Effect.andThen(self, failure))
        }
  })

const lost = new SqlError.ConnectionError({ cause: new Error("reset"), message: "reset" })
const refused = new SqlError.SerializationError({ cause: new Error("conflict"), message: "conflict" })

describe("UnitOfWork", () => {
  it.effect("commits a success, then says what was to be said", () =>
    Effect.gen(function*() {
      const { put, said, stored } = yield* make
      const answer = yield* UnitOfWork.atomic(Effect.gen(function*() {
        yield* put("a")
        yield* put("b")
        assert.deepStrictEqual(said, [])
        return 1
      }))
      assert.strictEqual(answer, 1)
      assert.deepStrictEqual(yield* stored, ["a", "b"])
      assert.deepStrictEqual(said, ["a", "b"])
    }).pipe(Effect.provide(database)))

  it.effect("rolls back a failure and a defect, and says nothing", () =>
    Effect.gen(function*() {
      const { put, said, stored } = yield* make
      const failure = yield* Effect.flip(UnitOfWork.atomic(Effect.andThen(put("a"), Effect.fail("no stock" as const))))
      assert.strictEqual(failure, "no stock")
      const exit = yield* Effect.exit(UnitOfWork.atomic(Effect.andThen(put("a"), Effect.die("bug"))))
      assert.isTrue(Exit.isFailure(exit))
      assert.deepStrictEqual(yield* stored, [])
      assert.deepStrictEqual(said, [])
    }).pipe(Effect.provide(database)))

  it.effect("rolls back when it is interrupted", () =>
    Effect.gen(function*() {
      const { put, said, stored } = yield* make
      const latch = yield* Latch.make()
      const fiber = yield* Effect.forkChild(
        UnitOfWork.atomic(Effect.andThen(Effect.andThen(put("a"), latch.open), Effect.never))
      )
      yield* latch.await
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* stored, [])
      assert.deepStrictEqual(said, [])
    }).pipe(Effect.provide(database)))

  it.effect("undoes only the inner one when its failure is handled", () =>
    Effect.gen(function*() {
      const { put, said, stored } = yield* make
      const depths: Array<number> = []
      const note = Effect.map(UnitOfWork.UnitOfWork, ({ depth }) => void depths.push(depth))
      yield* UnitOfWork.atomic(Effect.gen(function*() {
        yield* note
        yield* put("a")
        const inner = Effect.andThen(put("b"), Effect.andThen(note, Effect.fail("no")))
        assert.strictEqual(yield* Effect.flip(UnitOfWork.atomic(inner)), "no")
        yield* UnitOfWork.atomic(put("c"))
        assert.deepStrictEqual(said, [])
      }))
      assert.deepStrictEqual(yield* stored, ["a", "c"])
      assert.deepStrictEqual(said, ["a", "c"])
      assert.deepStrictEqual(depths, [0, 1])
    }).pipe(Effect.provide(database)))

  it.effect("undoes the inner one with the outer one", () =>
    Effect.gen(function*() {
      const { put, said, stored } = yield* make
      const outer = Effect.andThen(UnitOfWork.atomic(put("a")), Effect.fail("no"))
      assert.strictEqual(yield* Effect.flip(UnitOfWork.atomic(outer)), "no")
      assert.deepStrictEqual(yield* stored, [])
      assert.deepStrictEqual(said, [])
    }).pipe(Effect.provide(database)))

  it.effect("keeps the errors of its own statements as they are", () =>
    Effect.gen(function*() {
      const { put, stored } = yield* make
      const error = yield* Effect.flip(UnitOfWork.atomic(Effect.andThen(put("a"), put("a"))))
      assert.strictEqual(error._tag, "SqlError")
      assert.deepStrictEqual(yield* stored, [])
    }).pipe(Effect.provide(database)))

  it.effect("has what comes after the commit run in no transaction, and a defect in it spoils nothing", () =>
    Effect.gen(function*() {
      const { put, said, sql, stored } = yield* make
      let inside: boolean | undefined
      yield* UnitOfWork.atomic(Effect.gen(function*() {
        yield* put("a")
        yield* UnitOfWork.afterCommit(Effect.die("bug"))
        yield* UnitOfWork.afterCommit(Effect.gen(function*() {
          inside = (yield* Effect.serviceOption(sql.transactionService))._tag === "Some" ||
            (yield* Effect.serviceOption(UnitOfWork.UnitOfWork))._tag === "Some"
          yield* Effect.ignore(UnitOfWork.atomic(insert("after")))
        }))
        yield* put("b")
      }))
      assert.strictEqual(inside, false)
      assert.deepStrictEqual(yield* stored, ["a", "after", "b"])
      assert.deepStrictEqual(said, ["a", "b"])
    }).pipe(Effect.provide(database)))

  it.effect("says whether a failed commit may have happened", () =>
    Effect.gen(function*() {
      const { sql } = yield* make
      const error = (stage: "begin" | "commit", reason: SqlError.SqlError["reason"]) =>
        Effect.flip(
          UnitOfWork.atomic(Effect.void).pipe(
            Effect.provideService(SqlClient.SqlClient, broken(sql, stage, reason))
          )
        )
      const unknown = yield* error("commit", lost)
      assert.deepStrictEqual(unknown.reason, new UnitOfWork.CommitUnknown({ detail: "ConnectionError" }))
      assert.strictEqual(unknown.disposition, "Unknown")
      const conflict = yield* error("commit", refused)
      assert.deepStrictEqual(conflict.reason, new UnitOfWork.NotCommitted({ detail: "SerializationError" }))
      assert.strictEqual(conflict.disposition, "NotExecuted")
      const begin = yield* error("begin", lost)
      assert.deepStrictEqual(begin.reason, new UnitOfWork.NotCommitted({ detail: "ConnectionError" }))
      assert.include(unknown.message, "nobody knows which (ConnectionError)")
      assert.include(conflict.message, "may be run again")
    }).pipe(Effect.provide(database)))

  it.effect("marks what needs a unit of work around it", () =>
    Effect.gen(function*() {
      const { stored } = yield* make
      yield* UnitOfWork.atomic(UnitOfWork.inside(insert("a")))
      assert.deepStrictEqual(yield* stored, ["a"])
    }).pipe(Effect.provide(database)))
})
