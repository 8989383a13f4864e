/** What a vault in a database has to do besides. */
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer, Redacted, Result, type Scope } from "effect"
import { AuditLog, Tokenizer } from "effect-payments"
import { SqlClient } from "effect/sql"
import { audited, panOf, pans } from "./contract.ts"

type Client = () => Layer.Layer<SqlClient.SqlClient, unknown>

const ring = (id: string, byte: number): Tokenizer.KeyRing => ({
  current: id,
  keys: { [id]: Redacted.make(new Uint8Array(32).fill(byte)) }
})

const both = (current: Tokenizer.KeyRing, older: Tokenizer.KeyRing): Tokenizer.KeyRing => ({
  current: current.current,
  keys: { ...older.keys, ...current.keys }
})

export const keys: Tokenizer.SqlOptions = { keys: ring("s1", 1), fingerprintKeys: ring("f1", 2) }

const visa = panOf("4111111111111111")
const amex = panOf("378282246310005")
const table = "effect_payments_vault"

export const tokenizerSqlContract = (
  name: string,
  database: Effect.Effect<Client, never, Scope.Scope>
): void => {
  const layerOf = (client: Client, options: Partial<Tokenizer.SqlOptions> = {}) =>
    Tokenizer.layerSql({ ...keys, ...options }).pipe(
      Layer.provideMerge(audited),
      Layer.provideMerge(client()),
      Layer.provide(NodeCrypto.layer)
    )

  const withVault = <A, E>(
    body: Effect.Effect<A, E, Tokenizer.Tokenizer | SqlClient.SqlClient | AuditLog.AuditTrail>
  ) => Effect.flatMap(database, (client) => Effect.provide(body, layerOf(client)))

  describe(`${name}, besides`, () => {
    it.live("stores nothing of a number in the clear, not even its hash", () =>
      withVault(Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* Effect.forEach(pans(20), (pan) => Tokenizer.tokenize(pan))
        const rows = yield* sql.unsafe<Record<string, unknown>>(`SELECT token, fingerprint, sealed FROM ${table}`)
        assert.lengthOf(rows, 20)
        for (const { fingerprint, sealed } of rows) {
          assert.match(String(fingerprint), /^f1\.[0-9a-f]{64}$/)
          assert.match(String(sealed), /^s1\.s1\.[A-Za-z0-9_-]+$/)
        }
        const stored = JSON.stringify(rows)
        for (const pan of pans(20)) assert.notInclude(stored, Redacted.value(pan).slice(6))
      })))

    it.live("does not open a number that was moved to another record", () =>
      withVault(Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const token = yield* Tokenizer.tokenize(visa)
        const other = yield* Tokenizer.tokenize(amex)
        const sealedOf = (token: string) => `(SELECT sealed FROM ${table} WHERE token = '${token}')`
        yield* sql.unsafe(`UPDATE ${table} SET sealed = ${sealedOf(other)} WHERE token = '${token}'`)
        const error = yield* Effect.flip(Tokenizer.detokenize(token))
        assert.deepStrictEqual(error.reason, new Tokenizer.RecordUnreadable({ detail: "tampered" }))
        const { entries } = yield* AuditLog.AuditTrail
        assert.deepInclude((yield* entries)[0], { action: "detokenize", outcome: "notExecuted" })
      })))

    it.live("does not open a number under another token, or beside another fingerprint", () =>
      withVault(Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const token = yield* Tokenizer.tokenize(visa)
        yield* sql.unsafe(`UPDATE ${table} SET fingerprint = 'f1.${"0".repeat(64)}'`)
        assert.strictEqual((yield* Effect.flip(Tokenizer.detokenize(token))).reason._tag, "RecordUnreadable")
        const again = yield* Tokenizer.tokenize(visa)
        yield* sql.unsafe(`DELETE FROM ${table} WHERE token = '${token}'`)
        yield* sql.unsafe(`UPDATE ${table} SET token = '${token}' WHERE token = '${again}'`)
        assert.strictEqual((yield* Effect.flip(Tokenizer.detokenize(token))).reason._tag, "RecordUnreadable")
      })))

    it.live("does not open what was stored in the clear", () =>
      withVault(Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const token = yield* Tokenizer.tokenize(visa)
        yield* sql.unsafe(`UPDATE ${table} SET sealed = '4111111111111111'`)
        assert.deepStrictEqual(
          (yield* Effect.flip(Tokenizer.detokenize(token))).reason,
          new Tokenizer.RecordUnreadable({ detail: "not sealed" })
        )
      })))

    const tokenOf = (client: Client, options: Partial<Tokenizer.SqlOptions> = {}) =>
      Tokenizer.tokenize(visa).pipe(Effect.provide(layerOf(client, options)))

    it.live("opens by an older key what it sealed, and seals by the current one", () =>
      Effect.gen(function*() {
        const client = yield* database
        const token = yield* tokenOf(client)
        const rotated = { keys: both(ring("s2", 3), keys.keys) }
        yield* Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          assert.strictEqual(Redacted.value(yield* Tokenizer.detokenize(token)), "4111111111111111")
          yield* Tokenizer.tokenize(amex)
          const rows = yield* sql.unsafe<{ readonly sealed: string }>(`SELECT sealed FROM ${table}`)
          assert.deepStrictEqual(rows.map(({ sealed }) => sealed.split(".")[1]).sort(), ["s1", "s2"])
        }).pipe(Effect.provide(layerOf(client, rotated)))
        const gone = yield* Effect.flip(Tokenizer.detokenize(token)).pipe(
          Effect.provide(layerOf(client, { keys: ring("s2", 3) }))
        )
        assert.deepInclude(gone, { reason: new Tokenizer.RecordUnreadable({ detail: "unknown key" }) })
      }))

    it.live("finds a card by the fingerprint of an older key", () =>
      Effect.gen(function*() {
        const client = yield* database
        const token = yield* tokenOf(client)
        const rotated = { fingerprintKeys: both(ring("f2", 4), keys.fingerprintKeys) }
        assert.strictEqual(yield* tokenOf(client, rotated), token)
        assert.notStrictEqual(yield* tokenOf(client, { fingerprintKeys: ring("f2", 4) }), token)
      }))

    it.live("opens nothing of a vault of another name", () =>
      Effect.gen(function*() {
        const client = yield* database
        const token = yield* tokenOf(client)
        const error = yield* Effect.flip(Tokenizer.detokenize(token)).pipe(
          Effect.provide(layerOf(client, { name: "other" }))
        )
        assert.deepInclude(error, { reason: new Tokenizer.RecordUnreadable({ detail: "tampered" }) })
        assert.notStrictEqual(yield* tokenOf(client, { name: "other" }), token)
      }))

    it.live("gives one token to a card that comes in at several vaults at once", () =>
      Effect.gen(function*() {
        const client = yield* database
        const tokens = yield* Effect.forEach(
          Array.from({ length: 4 }),
          () =>
            Effect.forEach(pans(10), (pan) => Tokenizer.tokenize(pan), { concurrency: 5 }).pipe(
              Effect.provide(Layer.fresh(layerOf(client)))
            ),
          { concurrency: "unbounded" }
        )
        for (const one of tokens) assert.deepStrictEqual(one, tokens[0])
      }))

    it.live("says what failed and nothing of a card or a token", () =>
      withVault(Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const token = yield* Tokenizer.tokenize(visa)
        yield* sql.unsafe(`DROP TABLE ${table}`)
        for (const operation of ["tokenize", "detokenize", "delete"] as const) {
          const self: Effect.Effect<unknown, Tokenizer.TokenizerError, Tokenizer.Tokenizer> = operation === "tokenize"
            ? Tokenizer.tokenize(visa)
            : Tokenizer[operation](token)
          const error = yield* Effect.flip(self)
          assert.deepInclude(error.reason, { _tag: "VaultUnavailable", operation })
          assert.notMatch(`${error.message} ${JSON.stringify(error)}`, /tok_|4111/)
        }
      })))

    it.live("refuses options that are none", () =>
      Effect.gen(function*() {
        const client = yield* database
        const refused: ReadonlyArray<Partial<Tokenizer.SqlOptions>> = [
          { table: "a-b" },
          { name: "" },
          { name: "a\nb" },
          { keys: { current: "s1", keys: { s1: Redacted.make(new Uint8Array(16)) } } },
          { keys: { current: "gone", keys: keys.keys.keys } },
          { fingerprintKeys: { current: "f1", keys: { f1: Redacted.make(new Uint8Array(15)) } } },
          { fingerprintKeys: { current: "gone", keys: keys.fingerprintKeys.keys } },
          { fingerprintKeys: { current: "f.1", keys: { "f.1": Redacted.make(new Uint8Array(32).fill(9)) } } },
          // The key that seals.
          { fingerprintKeys: ring("f1", 1) }
        ]
        for (const options of refused) {
          const error = yield* Effect.flip(Effect.scoped(Layer.build(layerOf(client, options))))
          assert.deepInclude(error, { _tag: "TokenizerError" })
        }
      }))

    it.live("takes its keys from the configuration, and shows nothing of those that are wrong", () =>
      Effect.gen(function*() {
        const client = yield* database
        const key = (byte: number, size = 32) => btoa(String.fromCharCode(...new Uint8Array(size).fill(byte)))
        const layerFrom = (env: { readonly [name: string]: string }) =>
          Tokenizer.layerSqlConfig({ keys: Tokenizer.keyRing("SEAL"), fingerprintKeys: Tokenizer.keyRing("FIND") })
            .pipe(
              Layer.provide([audited, client(), NodeCrypto.layer]),
              Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(env)))
            )
        const token = yield* Tokenizer.tokenize(visa).pipe(
          Effect.provide(layerFrom({ SEAL: `s2:${key(3)}, s1:${key(1)}`, FIND: `f1:${key(2)}` }))
        )
        assert.strictEqual(yield* tokenOf(client), token)
        const wrong = ["", "s1", `s1:${key(1)},s1:${key(3)}`, `s 1:${key(1)}`, "s1:!", `${key(1)}`, `s1:${key(1)},`]
        for (const SEAL of wrong) {
          const env = { SEAL, FIND: `f1:${key(2)}` }
          const result = yield* Effect.result(Effect.scoped(Layer.build(layerFrom(env))))
          assert.isTrue(Result.isFailure(result))
          if (Result.isFailure(result)) assert.notInclude(`${result.failure}`, key(1).slice(0, 12))
        }
      }))
  })
}
