import { PgClient } from "@effect/sql-pg"
import { assert, describe, inject, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { UnitOfWork } from "effect-payments"
import { SqlClient } from "effect/sql"

const client = PgClient.layer({ url: Redacted.make(inject("postgres")), maxConnections: 2 })

describe("UnitOfWork on Postgres", () => {
  it.live("tells no success where a statement whose failure was handled has spoilt the transaction", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const table = sql(`unit_of_work_${process.pid}`)
      yield* sql`CREATE TABLE ${table} (id TEXT PRIMARY KEY)`
      yield* Effect.gen(function*() {
        const insert = (id: string) => sql`INSERT INTO ${table} VALUES (${id})`
        const said: Array<string> = []
        const say = UnitOfWork.afterCommit(Effect.sync(() => void said.push("said")))
        const spoilt = UnitOfWork.atomic(
          insert("a").pipe(Effect.andThen(Effect.ignore(insert("a"))), Effect.andThen(say))
        )
        const error = yield* Effect.flip(spoilt)
        assert.strictEqual(error._tag, "UnitOfWorkError")
        assert.strictEqual(error.reason._tag, "NotCommitted")
        assert.deepStrictEqual(yield* sql`SELECT id FROM ${table}`.values, [])
        assert.deepStrictEqual(said, [])
        // Undone by itself, it spoils nothing.
        yield* UnitOfWork.atomic(
          insert("a").pipe(Effect.andThen(Effect.ignore(UnitOfWork.atomic(insert("a")))), Effect.andThen(say))
        )
        assert.deepStrictEqual(yield* sql`SELECT id FROM ${table}`.values, [["a"]])
        assert.deepStrictEqual(said, ["said"])
      }).pipe(Effect.ensuring(Effect.orDie(sql`DROP TABLE ${table}`)))
    }).pipe(Effect.provide(client)))
})
