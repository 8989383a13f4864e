/**
 * The port behind which card numbers are exchanged for tokens, and a vault for who has to keep them.
 *
 * Most programs need none: a gateway's form takes the card in the browser and hands out a token. Where numbers do come in,
 * they come as `Card.Pan`, go through here at once, and everything else sees a `Card.CardToken`. The failure this prevents
 * is the number that lies in a table, a queue or a log because something downstream needed to tell one card from another:
 * the same card gives the same token, and the token says nothing of the card.
 *
 * The vault seals each number by AES-256-GCM, bound to its token and fingerprint, so that a record that is moved or
 * exchanged does not open. It finds a card again by a keyed fingerprint (PCI DSS 3.5.1.1) under a key of its own. A number
 * is revealed only after the audit log has taken an entry of it. It stores neither security codes nor tracks: they have no
 * encoder, and there is nowhere to put them (3.3.1). It does not keep keys safe: whoever has the keys and the table has the
 * cards.
 *
 * Read `AuditLog` next.
 *
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { AuditLog } from "./AuditLog.ts"
import type * as Card from "./Card.ts"
import type { Aead, SecureRandom } from "./internal/effect/crypto.ts"
import { SecureRandom as Random } from "./internal/effect/crypto.ts"
import type { Mac } from "./internal/effect/mac.ts"
import * as seal from "./internal/seal/seal.ts"
import { type Migrator, SqlClient, type SqlError } from "./internal/sql/client.ts"
import { isIdentifier } from "./internal/sql/statement.ts"
import * as fingerprints from "./internal/tokenizer/fingerprint.ts"
import * as keyConfig from "./internal/tokenizer/keys.ts"
import * as database from "./internal/tokenizer/sql.ts"
import * as store from "./internal/tokenizer/store.ts"
import * as vault from "./internal/tokenizer/vault.ts"
import type { Disposition } from "./PaymentError.ts"

/**
 * There is no such token here: it was never handed out, or was deleted.
 *
 * @category reasons
 * @since 0.1.0
 */
export class TokenUnknown extends Schema.TaggedError<TokenUnknown>()("TokenUnknown", {}) {
  readonly disposition = "Refused" as const
  override get message(): string {
    return "the vault holds no card under this token"
  }
}

/**
 * The record of this token does not open: its key is not in the ring, or it was tampered with. `detail` says which.
 *
 * @category reasons
 * @since 0.1.0
 */
export class RecordUnreadable extends Schema.TaggedError<RecordUnreadable>()("RecordUnreadable", {
  detail: Schema.Literals(["not sealed", "unknown key", "tampered"])
}) {
  readonly disposition = "Refused" as const
  override get message(): string {
    return `the card under this token does not open (${this.detail})`
  }
}

/**
 * The audit log did not take the entry, so nothing was revealed or deleted.
 *
 * @category reasons
 * @since 0.1.0
 */
export class NotAudited extends Schema.TaggedError<NotAudited>()("NotAudited", {
  detail: Schema.String
}) {
  readonly disposition = "NotExecuted" as const
  override get message(): string {
    return `nothing was revealed or deleted, since it could not be audited (${this.detail})`
  }
}

/**
 * The vault did not answer. To ask again does no harm: a card that was taken all the same has the same token.
 *
 * @category reasons
 * @since 0.1.0
 */
export class VaultUnavailable extends Schema.TaggedError<VaultUnavailable>()("VaultUnavailable", {
  operation: Schema.String,
  detail: Schema.String
}) {
  readonly disposition = "NotExecuted" as const
  override get message(): string {
    return `the vault failed to ${this.operation} (${this.detail})`
  }
}

/**
 * Why a vault did not do what it was asked. Nothing in it tells a card or a token.
 *
 * @category errors
 * @since 0.1.0
 */
export class TokenizerError extends Schema.TaggedError<TokenizerError>()("TokenizerError", {
  reason: Schema.Union([TokenUnknown, RecordUnreadable, NotAudited, VaultUnavailable])
}) {
  get disposition(): Disposition {
    return this.reason.disposition
  }
  override get message(): string {
    return this.reason.message
  }
}

/**
 * The port.
 *
 * @category services
 * @since 0.1.0
 */
export class Tokenizer extends Context.Service<Tokenizer, {
  /** Takes a card number in and answers its token, the same each time. */
  readonly tokenize: (pan: Card.Pan) => Effect.Effect<Card.CardToken, TokenizerError>
  /** Reveals the number behind a token, once the audit log knows who asked. */
  readonly detokenize: (token: Card.CardToken) => Effect.Effect<Card.Pan, TokenizerError>
  /** Forgets the card. False: there was none. The same card gets another token afterwards. */
  readonly delete: (token: Card.CardToken) => Effect.Effect<boolean, TokenizerError>
}>()("effect-payments/Tokenizer") {}

/**
 * Exchanges a card number for its token.
 *
 * **Example**
 *
 * ```ts
 * import { NodeCrypto } from "@effect/platform-node"
 * import { Effect, Layer, Redacted, Schema } from "effect"
 * import { AuditLog, Card, Tokenizer } from "effect-payments"
 *
 * const program = Effect.gen(function*() {
 *   const pan = yield* Schema.decodeUnknownEffect(Card.Pan)("4111 1111 1111 1111")
 *   const token = yield* Tokenizer.tokenize(pan)
 *   const again = yield* Tokenizer.tokenize(pan)
 *   const revealed = yield* Tokenizer.detokenize(token)
 *   return [token === again, Redacted.value(revealed)]
 * })
 *
 * const layer = Tokenizer.layerEphemeral().pipe(
 *   Layer.provide(AuditLog.layerMemory()),
 *   Layer.provide(NodeCrypto.layer)
 * )
 * await Effect.runPromise(Effect.provide(program, layer)) // => [true, "4111111111111111"]
 * ```
 *
 * @category operations
 * @since 0.1.0
 */
export const tokenize = (pan: Card.Pan): Effect.Effect<Card.CardToken, TokenizerError, Tokenizer> =>
  Effect.flatMap(Tokenizer, (tokenizer) => tokenizer.tokenize(pan))

/**
 * Reveals the number behind a token. State who asks by `AuditLog.withActor`.
 *
 * @category operations
 * @since 0.1.0
 */
export const detokenize = (token: Card.CardToken): Effect.Effect<Card.Pan, TokenizerError, Tokenizer> =>
  Effect.flatMap(Tokenizer, (tokenizer) => tokenizer.detokenize(token))

const deleteToken = (token: Card.CardToken): Effect.Effect<boolean, TokenizerError, Tokenizer> =>
  Effect.flatMap(Tokenizer, (tokenizer) => tokenizer.delete(token))

export {
  /**
   * Forgets the card behind a token.
   *
   * @category operations
   * @since 0.1.0
   */
  deleteToken as delete
}

/**
 * Keys by their ids, which are 1 to 32 of `A-Z`, `a-z`, `0-9`, `-` and `_`. `current` names the one that is used for what
 * comes in; by the others, what came in before is read and found.
 *
 * @category models
 * @since 0.1.0
 */
export type KeyRing = seal.KeyRing

/**
 * Reads a key ring from the configuration: `ID:BASE64,ID:BASE64`, the current key first. It stays redacted, and an error
 * holds nothing of it.
 *
 * **Example**
 *
 * ```ts
 * import { ConfigProvider, Effect } from "effect"
 * import { Tokenizer } from "effect-payments"
 *
 * const env = ConfigProvider.fromUnknown({ VAULT_KEYS: "2026-11:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" })
 * const ring = Effect.runSync(Tokenizer.keyRing("VAULT_KEYS").parse(env))
 *
 * ring.current // => "2026-11"
 * String(ring.keys["2026-11"]) // => "<redacted>"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const keyRing: (name: string) => Config.Config<KeyRing> = keyConfig.config

/**
 * Keeps cards in the memory of this process, under keys that are made when the layer is built and go with it.
 *
 * **When to use**
 *
 * For tests. Reveals are audited and records sealed as in {@link layerSql}; after a restart no token means anything.
 *
 * **Details**
 *
 * At most `capacity` cards (default 100,000); when it is full, a new one fails with `VaultUnavailable`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerEphemeral = (
  options?: { readonly capacity?: number | undefined }
): Layer.Layer<Tokenizer, never, AuditLog | Aead.Aead | Mac.Mac | SecureRandom.SecureRandom> =>
  Layer.effect(
    Tokenizer,
    Effect.gen(function*() {
      const random = yield* Random.SecureRandom
      const ring = Effect.map(random.randomBytes(32), (bytes): KeyRing => ({
        current: "ephemeral",
        keys: { ephemeral: Redacted.make(bytes) }
      }))
      const capacity = Math.max(1, Math.floor(options?.capacity ?? 100_000)) || 1
      return yield* make(store.makeMemory(capacity), { keys: yield* ring, fingerprintKeys: yield* ring }, defaultName)
    })
  )

/** The table of {@link layerSql} unless another is named, and the name of the vault unless another is given. */
const defaultTable = "effect_payments_vault"
const defaultName = "cards"

/**
 * Options of {@link layerSql}.
 *
 * - `keys`: seal card numbers; 32 bytes each.
 * - `fingerprintKeys`: find cards again; 16 bytes or more each, none of them among `keys`.
 * - `table`: 1 to 40 of `a-z`, `0-9` and `_`.
 * - `migrate`: whether the layer creates the table and brings it up to date; it does unless this is false.
 * - `name`: bound into every record, so that one vault does not open those of another; 1 to 64 printable ASCII characters.
 *
 * @category models
 * @since 0.1.0
 */
export interface SqlOptions {
  readonly keys: KeyRing
  readonly fingerprintKeys: KeyRing
  readonly table?: string | undefined
  readonly migrate?: boolean | undefined
  readonly name?: string | undefined
}

type SqlLayer<E> = Layer.Layer<
  Tokenizer,
  E | TokenizerError | Migrator.MigrationError | SqlError.SqlError,
  SqlClient.SqlClient | AuditLog | Aead.Aead | Mac.Mac | SecureRandom.SecureRandom
>

/**
 * Keeps cards in a table of SQLite or Postgres: token, fingerprint and the sealed number.
 *
 * **Details**
 *
 * To rotate, add a key, make it `current`, and keep the old one for what it sealed. All processes have to have a key in
 * their ring before one uses it. While fingerprint keys are exchanged, a card that comes in for the first time in two
 * processes with different current keys gets two tokens; both work.
 *
 * A token has `tok_` and 26 letters, 130 bits of chance: no digit, so nothing takes it for a card.
 *
 * **Gotchas**
 *
 * Fingerprints and numbers cut to their first and last digits must not lie side by side (PCI FAQ 1308): keep the last four
 * with the order, not in this database.
 *
 * **Example**
 *
 * ```ts
 * import { SqliteClient } from "@effect-payments/sqlite"
 * import { NodeCrypto } from "@effect/platform-node"
 * import { Effect, Exit, Layer, Redacted, Schema } from "effect"
 * import { AuditLog, Card, Tokenizer } from "effect-payments"
 *
 * const ring = (id: string): Tokenizer.KeyRing => ({
 *   current: id,
 *   keys: { [id]: Redacted.make(crypto.getRandomValues(new Uint8Array(32))) }
 * })
 *
 * const layer = Tokenizer.layerSql({ keys: ring("seal-1"), fingerprintKeys: ring("find-1") }).pipe(
 *   Layer.provide(AuditLog.layerSql()),
 *   Layer.provide([SqliteClient.layer({ filename: ":memory:" }), NodeCrypto.layer])
 * )
 *
 * const program = Effect.gen(function*() {
 *   const token = yield* Tokenizer.tokenize(yield* Schema.decodeUnknownEffect(Card.Pan)("5555 5555 5555 4444"))
 *   yield* Tokenizer.delete(token)
 *   return yield* Effect.exit(Tokenizer.detokenize(token))
 * })
 *
 * Exit.isFailure(await Effect.runPromise(Effect.provide(program, layer))) // => true
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerSql = (options: SqlOptions): SqlLayer<never> => Layer.effect(Tokenizer, makeSql(options))

/**
 * {@link layerSql} with keys from the configuration, read by {@link keyRing}.
 *
 * **Example**
 *
 * ```ts
 * import { Layer } from "effect"
 * import { Tokenizer } from "effect-payments"
 *
 * const layer = Tokenizer.layerSqlConfig({
 *   keys: Tokenizer.keyRing("VAULT_KEYS"),
 *   fingerprintKeys: Tokenizer.keyRing("VAULT_FINGERPRINT_KEYS")
 * })
 *
 * Layer.isLayer(layer) // => true
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerSqlConfig = (
  options: Omit<SqlOptions, "keys" | "fingerprintKeys"> & {
    readonly keys: Config.Config<KeyRing>
    readonly fingerprintKeys: Config.Config<KeyRing>
  }
): SqlLayer<Config.ConfigError> =>
  Layer.unwrap(Effect.gen(function*() {
    return layerSql({ ...options, keys: yield* options.keys, fingerprintKeys: yield* options.fingerprintKeys })
  }))

const makeSql = Effect.fnUntraced(function*(options: SqlOptions) {
  const { migrate = true, name = defaultName, table = defaultTable } = options
  const sql = yield* SqlClient.SqlClient
  const dialect = database.dialectOf(sql)
  if (dialect === undefined) return yield* refused("the vault speaks sqlite and pg")
  if (!isIdentifier(table)) return yield* refused("table must be 1 to 40 of a-z, 0-9 and _, no digit first")
  if (!/^[\x20-\x7e]{1,64}$/.test(name)) return yield* refused("name must be 1 to 64 printable ASCII characters")
  const fault = vault.faultOf(options)
  if (fault !== undefined) return yield* refused(fault)
  if (migrate) yield* database.migrate(table)
  return yield* make(database.make(sql, dialect, table), options, name)
})

const refused = (detail: string) =>
  Effect.fail(new TokenizerError({ reason: new VaultUnavailable({ operation: "start", detail }) }))

const make = Effect.fnUntraced(function*(kept: store.Store, keys: vault.Keys, name: string) {
  const fingerprint = yield* fingerprints.make(keys.fingerprintKeys, name)
  const sealer = yield* seal.make(keys.keys)
  const { randomBytes } = yield* Random.SecureRandom
  const { append } = yield* AuditLog
  return vault.make({ store: kept, fingerprint, sealer, randomBytes, append, name }, {
    tokenUnknown: () => new TokenizerError({ reason: new TokenUnknown({}) }),
    recordUnreadable: (detail) => new TokenizerError({ reason: new RecordUnreadable({ detail }) }),
    notAudited: (detail) => new TokenizerError({ reason: new NotAudited({ detail }) }),
    vaultUnavailable: (operation, detail) => new TokenizerError({ reason: new VaultUnavailable({ operation, detail }) })
  })
})

/**
 * The migrations of {@link layerSql} by number and name, for a project that runs them with its own migrator and sets
 * `migrate: false`. They have to run exactly once.
 *
 * @category layers
 * @since 0.1.0
 */
export const migrations = (
  options?: { readonly table?: string | undefined }
): { readonly [name: string]: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> } =>
  database.migrations(options?.table ?? defaultTable)
