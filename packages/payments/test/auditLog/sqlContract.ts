/** What an audit log in a database has to do besides: nobody changes it unnoticed. */
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, type Scope } from "effect"
import { AuditLog } from "effect-payments"
import { SqlClient, type SqlError } from "effect/sql"
import { recordAll } from "./contract.ts"

type Client = () => Layer.Layer<SqlClient.SqlClient, unknown>

export const keys = (id = "a", byte = 1): AuditLog.KeyRing => ({
  current: id,
  keys: { [id]: Redacted.make(new Uint8Array(32).fill(byte)) }
})

const table = "effect_payments_audit"
const zeros = "0".repeat(64)

export const auditSqlContract = (name: string, options: {
  readonly database: Effect.Effect<Client, never, Scope.Scope>
  /** Takes away what keeps the table from being changed. */
  readonly unguard: ReadonlyArray<string>
  /** Whether an entry is kept when the transaction of its writer is rolled back. */
  readonly writesBesideTransaction: boolean
}): void => {
  const layerOf = (client: Client, given: Parameters<typeof AuditLog.layerSql>[0] = {}) =>
    AuditLog.layerSql(given).pipe(Layer.provideMerge(client()), Layer.provide(NodeCrypto.layer))

  /** A log of six entries that somebody laid hands on, as who opens it next sees it. */
  const after = (
    tamper: (sql: SqlClient.SqlClient, first: AuditLog.Checkpoint) => Effect.Effect<unknown, SqlError.SqlError>,
    given: Parameters<typeof AuditLog.layerSql>[0] = {},
    verify: (before: AuditLog.Checkpoint) => AuditLog.VerifyOptions = () => ({})
  ) =>
    Effect.gen(function*() {
      const client = yield* options.database
      const before = yield* Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const chain = yield* AuditLog.AuditChain
        yield* recordAll(3)
        const first = yield* chain.checkpoint
        yield* recordAll(3)
        const last = yield* chain.checkpoint
        for (const statement of options.unguard) yield* sql.unsafe(statement).unprepared
        yield* tamper(sql, first)
        return last
      }).pipe(Effect.provide(layerOf(client, given)))
      return yield* Effect.flatMap(AuditLog.AuditChain, (chain) => chain.verify(verify(before))).pipe(
        Effect.provide(layerOf(client, given))
      )
    })

  const run = (...statements: ReadonlyArray<string>) => (sql: SqlClient.SqlClient) =>
    Effect.forEach(statements, (statement) => sql.unsafe(statement).unprepared)

  const swap = [
    `UPDATE ${table} SET seq = 1000 WHERE seq = 3`,
    `UPDATE ${table} SET seq = 3 WHERE seq = 4`,
    `UPDATE ${table} SET seq = 4 WHERE seq = 1000`
  ]

  describe(`${name}, tampered with`, () => {
    it.live.each<readonly [string, ReadonlyArray<string>, number, string]>([
      [
        "a field",
        [`UPDATE ${table} SET entry = replace(entry, 'charge 1', 'charge 9') WHERE seq = 4`],
        4,
        "EntryChanged"
      ],
      ["a hash", [`UPDATE ${table} SET hash = '${zeros}' WHERE seq = 4`], 4, "EntryChanged"],
      ["a link", [`UPDATE ${table} SET previous = '${zeros}' WHERE seq = 4`], 4, "EntryChanged"],
      [
        "white space",
        [`UPDATE ${table} SET entry = replace(entry, '{"action"', '{ "action"') WHERE seq = 2`],
        2,
        "EntryChanged"
      ],
      ["the order", swap, 3, "EntryChanged"],
      ["the first", [`DELETE FROM ${table} WHERE seq = 1`], 1, "EntryMissing"],
      ["one in the middle", [`DELETE FROM ${table} WHERE seq = 3`], 3, "EntryMissing"],
      ["the last", [`DELETE FROM ${table} WHERE seq = 6`], 6, "TailCut"],
      ["the tail", [`DELETE FROM ${table} WHERE seq > 2`], 3, "TailCut"],
      ["all", [`DELETE FROM ${table}`], 1, "TailCut"],
      [
        "one that was added",
        [`INSERT INTO ${table} SELECT 7, hash, hash, entry FROM ${table} WHERE seq = 6`],
        7,
        "EntryAdded"
      ],
      [
        "one that was copied into a gap",
        [
          `DELETE FROM ${table} WHERE seq = 3`,
          `INSERT INTO ${table} SELECT 3, previous, hash, entry FROM ${table} WHERE seq = 2`
        ],
        3,
        "EntryChanged"
      ],
      ["the head's hash", [`UPDATE ${table}_head SET hash = '${zeros}'`], 6, "HeadChanged"]
    ])("names %s", ([, statements, seq, fault]) =>
      Effect.gen(function*() {
        assert.deepStrictEqual<unknown>(yield* after(run(...statements)), { _tag: "Broken", seq, fault })
      }))

    const cutBoth = (sql: SqlClient.SqlClient, first: AuditLog.Checkpoint) =>
      run(
        `DELETE FROM ${table} WHERE seq > ${first.seq}`,
        `UPDATE ${table}_head SET seq = ${first.seq}, hash = '${first.hash}'`
      )(sql)

    it.live("names a cut tail whose head was set back, when there is a key", () =>
      Effect.gen(function*() {
        const verdict = yield* after(cutBoth, { keys: keys() })
        assert.deepStrictEqual<unknown>(verdict, { _tag: "Broken", seq: 3, fault: "HeadForged" })
      }))

    it.live("names a cut tail whose head was set back to one that was sealed, when there is a checkpoint", () =>
      Effect.gen(function*() {
        const restore = (sql: SqlClient.SqlClient, first: AuditLog.Checkpoint) =>
          Effect.andThen(cutBoth(sql, first), sql`UPDATE effect_payments_audit_head SET seal = ${first.seal ?? null}`)
        assert.deepInclude(yield* after(restore, { keys: keys() }), { _tag: "Intact", last: 3 })
        for (const name of ["checkpoint", "after"] as const) {
          const verdict = yield* after(restore, { keys: keys() }, (checkpoint) => ({ [name]: checkpoint }))
          assert.deepStrictEqual<unknown>(verdict, { _tag: "Broken", seq: 4, fault: "TailCut" })
        }
      }))

    it.live("names a log that is gone altogether, when there is a checkpoint", () =>
      Effect.gen(function*() {
        const wipe = run(`DELETE FROM ${table}`, `UPDATE ${table}_head SET seq = 0, hash = '${zeros}', seal = NULL`)
        const verdict = yield* after(wipe, { keys: keys() }, (checkpoint) => ({ checkpoint }))
        assert.deepStrictEqual<unknown>(verdict, { _tag: "Broken", seq: 1, fault: "TailCut" })
        // Without one it is a log that has just begun, and no key vouches for it.
        assert.deepStrictEqual<unknown>(yield* after(wipe, { keys: keys() }), {
          _tag: "Intact",
          first: 0,
          last: 0,
          sealed: false
        })
      }))

    it.live("names a seal of another key, and none", () =>
      Effect.gen(function*() {
        for (const seal of ["NULL", "''", "'a.00'", `'a.${"0".repeat(64)}'`, "'b.00'", "'a'"]) {
          const verdict = yield* after(run(`UPDATE ${table}_head SET seal = ${seal}`), { keys: keys() })
          assert.deepStrictEqual<unknown>(verdict, { _tag: "Broken", seq: 6, fault: "HeadForged" })
        }
      }))
  })

  describe(`${name}, besides`, () => {
    it.live("refuses to have entries changed or removed", () =>
      Effect.gen(function*() {
        const client = yield* options.database
        yield* Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          yield* recordAll(2)
          for (const statement of [`UPDATE ${table} SET entry = '{}'`, `DELETE FROM ${table}`]) {
            assert.strictEqual((yield* Effect.flip(sql.unsafe(statement)))._tag, "SqlError")
          }
          const chain = yield* AuditLog.AuditChain
          assert.deepInclude(yield* chain.verify(), { _tag: "Intact", last: 2 })
        }).pipe(Effect.provide(layerOf(client)))
      }))

    it.live("is one chain for many logs that write at once, and survives them", () =>
      Effect.gen(function*() {
        const client = yield* options.database
        yield* Effect.forEach(
          Array.from({ length: 4 }),
          () => recordAll(50, { concurrency: 5 }).pipe(Effect.provide(Layer.fresh(layerOf(client, { keys: keys() })))),
          { concurrency: "unbounded", discard: true }
        )
        const verdict = yield* Effect.flatMap(AuditLog.AuditChain, (chain) => chain.verify()).pipe(
          Effect.provide(layerOf(client, { keys: keys() }))
        )
        assert.deepStrictEqual<unknown>(verdict, { _tag: "Intact", first: 1, last: 200, sealed: true })
      }))

    it.live("verifies what an older key sealed, and seals by the current one", () =>
      Effect.gen(function*() {
        const client = yield* options.database
        yield* recordAll(1).pipe(Effect.provide(layerOf(client, { keys: keys("a", 1) })))
        const both = { current: "b", keys: { ...keys("a", 1).keys, ...keys("b", 2).keys } }
        yield* Effect.gen(function*() {
          const chain = yield* AuditLog.AuditChain
          assert.deepInclude(yield* chain.verify(), { _tag: "Intact", last: 1 })
          yield* recordAll(1)
          assert.match((yield* chain.checkpoint).seal ?? "", /^b\.[0-9a-f]{64}$/)
        }).pipe(Effect.provide(layerOf(client, { keys: both })))
      }))

    it.live("does not take the entries of a log of another name", () =>
      Effect.gen(function*() {
        const client = yield* options.database
        yield* recordAll(1).pipe(Effect.provide(layerOf(client, { name: "one" })))
        const verdict = yield* Effect.flatMap(AuditLog.AuditChain, (chain) => chain.verify()).pipe(
          Effect.provide(layerOf(client, { name: "two" }))
        )
        assert.deepStrictEqual<unknown>(verdict, { _tag: "Broken", seq: 1, fault: "EntryChanged" })
      }))

    it.live("writes in a transaction that succeeds, and as it says in one that is rolled back", () =>
      Effect.gen(function*() {
        const client = yield* options.database
        yield* Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          const chain = yield* AuditLog.AuditChain
          yield* sql.withTransaction(recordAll(1))
          yield* Effect.exit(sql.withTransaction(Effect.andThen(recordAll(1), Effect.fail("no" as const))))
          assert.deepInclude(yield* chain.verify(), { _tag: "Intact", last: options.writesBesideTransaction ? 2 : 1 })
        }).pipe(Effect.provide(layerOf(client)))
      }))

    it.live("says in a word what failed, and nothing of the entry", () =>
      Effect.gen(function*() {
        const client = yield* options.database
        yield* Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          const chain = yield* AuditLog.AuditChain
          yield* sql`DELETE FROM ${sql(`${table}_head`)}`
          const missing = yield* Effect.flip(recordAll(1))
          assert.deepStrictEqual(missing.reason, new AuditLog.LogUnavailable({ detail: "HeadMissing" }))
          assert.deepStrictEqual(
            (yield* Effect.flip(chain.verify())).reason,
            new AuditLog.LogUnreadable({ detail: "HeadMissing" })
          )
          yield* sql`DROP TABLE ${sql(`${table}_head`)}`
          const gone = yield* Effect.flip(recordAll(1))
          assert.match(gone.reason.message, /\([A-Z][A-Za-z]+\)$/)
        }).pipe(Effect.provide(layerOf(client)))
      }))

    it.live("refuses options that are none", () =>
      Effect.gen(function*() {
        const client = yield* options.database
        const short = { current: "a", keys: { a: Redacted.make(new Uint8Array(15)) } }
        for (
          const given of [
            { table: "a b" },
            { name: "" },
            { name: "a\nb" },
            { keys: short },
            { keys: { current: "b", keys: keys().keys } },
            { keys: { current: "a.b", keys: { "a.b": Redacted.make(new Uint8Array(32)) } } }
          ]
        ) {
          const error = yield* Effect.flip(Effect.scoped(Layer.build(layerOf(client, given))))
          assert.deepInclude(error, { _tag: "AuditLogError" })
        }
      }))
  })
}
