/**
 * Who did what to what, when, from where, and how it ended.
 *
 * PCI DSS 10.2.2 asks for six facts in each entry of an audit log: user, type of event, date and time, success or
 * failure, origination, and the affected data or resource. An {@link Entry} has all six by type and refuses card numbers
 * in each; {@link record} fills in the time and the {@link Actor} and scrubs the rest. The log is a port with one
 * operation, so that nothing can be changed through it.
 *
 * It guarantees that an entry that was written holds the six facts and no card data that `Redaction` finds. Entries are
 * chained by hashes, so that {@link verify} names the first that was changed, moved, taken out or brought in (10.3.4). What
 * a chain cannot show by itself is that its end was cut off together with what says where it ended; for that there are
 * keys, and {@link Checkpoint}s kept where whoever writes to the log cannot write. It does not guarantee that an entry was
 * true.
 *
 * Read `Observe` next, which writes one entry for each call.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Card from "./Card.ts"
import * as canonical from "./internal/auditLog/canonical.ts"
import * as chain from "./internal/auditLog/chain.ts"
import * as headSeal from "./internal/auditLog/headSeal.ts"
import * as database from "./internal/auditLog/sql.ts"
import * as store from "./internal/auditLog/store.ts"
import * as tables from "./internal/auditLog/tables.ts"
import { Digest } from "./internal/effect/crypto.ts"
import type { Mac } from "./internal/effect/mac.ts"
import { type Migrator, SqlClient, type SqlError } from "./internal/sql/client.ts"
import { writeTimeoutFault, writeTimeoutMillis } from "./internal/sql/silence.ts"
import { isIdentifier } from "./internal/sql/statement.ts"
import * as Redaction from "./Redaction.ts"

/**
 * The type of event: a payment, or one of those that PCI DSS 10.2.1.1 to 10.2.1.7 asks to be logged.
 *
 * | event | PCI DSS |
 * |---|---|
 * | `payment` | what this toolkit does: calls to a gateway |
 * | `cardDataAccess` | 10.2.1.1 access of a person to card data |
 * | `administration` | 10.2.1.2 an action with administrative rights |
 * | `auditLogAccess` | 10.2.1.3 access to an audit log |
 * | `invalidAccess` | 10.2.1.4 an attempt that was not allowed |
 * | `credentialChange` | 10.2.1.5 change of identities and credentials |
 * | `auditLogControl` | 10.2.1.6 start, stop or pause of an audit log |
 * | `objectChange` | 10.2.1.7 creation or deletion of system objects |
 *
 * @category models
 * @since 0.1.0
 */
export const Event = Schema.Literals([
  "payment",
  "cardDataAccess",
  "administration",
  "auditLogAccess",
  "invalidAccess",
  "credentialChange",
  "auditLogControl",
  "objectChange"
])

/**
 * See {@link Event}.
 *
 * @category models
 * @since 0.1.0
 */
export type Event = typeof Event.Type

/**
 * How it ended. `succeeded` is a success, everything else none: `refused` (a final no), `notExecuted` (surely nothing
 * happened), `unknown` (it may have happened; defects count here), `interrupted` (it was stopped from outside and may have
 * happened).
 *
 * @category models
 * @since 0.1.0
 */
export const Outcome = Schema.Literals(["succeeded", "refused", "notExecuted", "unknown", "interrupted"])

/**
 * See {@link Outcome}.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome = typeof Outcome.Type

const textMax = 255

const Text = Schema.String.check(
  Schema.isBetweenLength(1, textMax),
  Schema.makeFilter((text) => !Card.containsPan(text), { expected: "a text without a card number" })
)

/**
 * One entry. Texts have 1 to 255 characters and hold no card number.
 *
 * | field | PCI DSS 10.2.2 |
 * |---|---|
 * | `user` | user identification |
 * | `event`, `action` | type of event; what exactly was done, the name of the operation |
 * | `at` | date and time |
 * | `outcome` | success or failure |
 * | `origin` | origination of event: host, address, component |
 * | `resource` | identity or name of affected data, component, resource or service |
 *
 * `durationMillis` and `detail` (scrubbed arguments, result, kind of failure) are ours.
 *
 * @category models
 * @since 0.1.0
 */
export class Entry extends Schema.Class<Entry>("effect-payments/AuditLog/Entry")({
  at: Schema.DateTimeUtcFromString,
  event: Event,
  action: Text,
  user: Text,
  origin: Text,
  resource: Text,
  outcome: Outcome,
  durationMillis: Schema.optionalKey(Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))),
  detail: Schema.optionalKey(Schema.JsonObject)
}) {
  /** Success or failure, as PCI DSS has it. */
  get success(): boolean {
    return this.outcome === "succeeded"
  }
}

/**
 * Who acts, and from where. Taken from the context, so that it is stated once, where a request comes in.
 *
 * **Gotchas**
 *
 * Without {@link withActor} both read `unidentified`, which no auditor will accept.
 *
 * @category actors
 * @since 0.1.0
 */
export const Actor = Context.Reference<{ readonly user: string; readonly origin: string }>(
  "effect-payments/AuditLog/Actor",
  { defaultValue: () => ({ user: "unidentified", origin: "unidentified" }) }
)

/**
 * States who acts in the effect, and from where.
 *
 * @category actors
 * @since 0.1.0
 */
export const withActor: {
  (actor: { readonly user: string; readonly origin: string }): <A, E, R>(
    self: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E, R>
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    actor: { readonly user: string; readonly origin: string }
  ): Effect.Effect<A, E, R>
} = dual(
  2,
  <A, E, R>(self: Effect.Effect<A, E, R>, actor: { readonly user: string; readonly origin: string }) =>
    Effect.provideService(self, Actor, actor)
)

/**
 * The port.
 *
 * @category services
 * @since 0.1.0
 */
export class AuditLog extends Context.Service<AuditLog, {
  /**
   * Adds an entry at the end, as a whole or not at all, card data in its detail scrubbed. Whether one that failed was
   * written is not known.
   */
  readonly append: (entry: Entry) => Effect.Effect<void, AuditLogError>
}>()("effect-payments/AuditLog") {}

/**
 * What {@link record} is told; the rest it finds out.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fact {
  readonly event: Event
  readonly action: string
  readonly resource: string
  readonly outcome: Outcome
  readonly durationMillis?: number | undefined
  /** Scrubbed by `Redaction.scrubUnknown`. */
  readonly detail?: { readonly [key: string]: unknown } | undefined
}

/**
 * Makes the entry of a fact: now, by the {@link Actor}, with all texts scrubbed and cut to 255 characters. A text that is
 * empty becomes `unidentified`, and a duration that is no finite number is left out.
 *
 * @category constructors
 * @since 0.1.0
 */
export const entryOf = (fact: Fact): Effect.Effect<Entry> =>
  Effect.withFiberSucceed((fiber) => {
    const { origin, user } = fiber.getRef(Actor)
    return new Entry({
      at: DateTime.makeUnsafe(fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()),
      event: fact.event,
      action: textOf(fact.action),
      user: textOf(user),
      origin: textOf(origin),
      resource: textOf(fact.resource),
      outcome: fact.outcome,
      ...Number.isFinite(fact.durationMillis) ? { durationMillis: Math.max(0, fact.durationMillis ?? 0) } : {},
      ...fact.detail === undefined ? {} : { detail: Redaction.scrubUnknown(fact.detail) as Schema.JsonObject }
    })
  })

const textOf = (text: string): string => {
  let cut = Redaction.scrub(text).slice(0, textMax)
  // What is left of a longer number that was cut may be a card number.
  for (let tries = 0; Card.containsPan(cut); tries++) cut = tries < 4 ? Redaction.scrub(cut).slice(0, textMax) : ""
  return cut || "unidentified"
}

/**
 * Writes an entry.
 *
 * **Example**
 *
 * ```ts
 * import { NodeCrypto } from "@effect/platform-node"
 * import { Effect, Layer } from "effect"
 * import { AuditLog } from "effect-payments"
 *
 * const program = Effect.gen(function*() {
 *   const trail = yield* AuditLog.AuditTrail
 *   yield* AuditLog.record({ event: "administration", action: "resolve", resource: "order 4711", outcome: "succeeded" })
 *   return yield* trail.entries
 * })
 *
 * const [entry] = await program.pipe(
 *   AuditLog.withActor({ user: "ada", origin: "backoffice" }),
 *   Effect.provide(AuditLog.layerMemory().pipe(Layer.provide(NodeCrypto.layer))),
 *   Effect.runPromise
 * )
 * entry?.user // => "ada"
 * ```
 *
 * @category recording
 * @since 0.1.0
 */
export const record = (fact: Fact): Effect.Effect<void, AuditLogError, AuditLog> =>
  Effect.flatMap(AuditLog, (log) => Effect.flatMap(entryOf(fact), log.append))

/**
 * The log did not take the entry, or did not say so in time. `detail` is a short word on the cause that holds no data of
 * the entry.
 *
 * @category reasons
 * @since 0.1.0
 */
export class LogUnavailable extends Schema.TaggedError<LogUnavailable>()("LogUnavailable", {
  detail: Schema.String.check(Schema.isMaxLength(textMax))
}) {
  override get message(): string {
    return `the audit log did not take an entry (${this.detail})`
  }
}

/**
 * The log could not be read. `detail` is a short word on the cause.
 *
 * @category reasons
 * @since 0.1.0
 */
export class LogUnreadable extends Schema.TaggedError<LogUnreadable>()("LogUnreadable", {
  detail: Schema.String.check(Schema.isMaxLength(textMax))
}) {
  override get message(): string {
    return `the audit log could not be read (${this.detail})`
  }
}

/**
 * The log was to be verified from behind one checkpoint and to meet an older one, which lies in the part that is not read.
 * Leave `after` out, or verify with the older one as `after`.
 *
 * @category reasons
 * @since 0.1.0
 */
export class CheckpointTooEarly extends Schema.TaggedError<CheckpointTooEarly>()("CheckpointTooEarly", {
  checkpoint: Schema.Int,
  after: Schema.Int
}) {
  override get message(): string {
    return `the checkpoint at ${this.checkpoint} lies before ${this.after}, where the verification begins: it is not met`
  }
}

/**
 * Why an entry was not written, or the log not read. What an entry is about has happened all the same, so the disposition
 * is `Unknown`.
 *
 * @category errors
 * @since 0.1.0
 */
export class AuditLogError extends Schema.TaggedError<AuditLogError>()("AuditLogError", {
  reason: Schema.Union([LogUnavailable, LogUnreadable, CheckpointTooEarly])
}) {
  readonly disposition = "Unknown" as const
  override get message(): string {
    return this.reason.message
  }
}

const unavailable = (detail: string) => new AuditLogError({ reason: new LogUnavailable({ detail }) })
const unreadable = (detail: string) => new AuditLogError({ reason: new LogUnreadable({ detail }) })

/**
 * Reads what {@link layerMemory} keeps.
 *
 * @category services
 * @since 0.1.0
 */
export class AuditTrail extends Context.Service<AuditTrail, {
  /** The entries that are still kept, oldest first. */
  readonly entries: Effect.Effect<ReadonlyArray<Entry>>
  /** How many older ones were dropped. */
  readonly dropped: Effect.Effect<number>
}>()("effect-payments/AuditTrail") {}

/**
 * An entry and its place in the chain: its number, from 1, its hash, and that of the one before.
 *
 * @category models
 * @since 0.1.0
 */
export interface Chained {
  readonly seq: number
  readonly previous: string
  readonly hash: string
  readonly entry: Entry
}

/**
 * How far the chain went: the number and the hash of an entry, sealed by the log's key if it has one. Keep them where
 * whoever can write to the log cannot, such as with another account, or printed: with one, {@link verify} notices a log
 * that was cut short or written anew.
 *
 * @category models
 * @since 0.1.0
 */
export class Checkpoint extends Schema.Class<Checkpoint>("effect-payments/AuditLog/Checkpoint")({
  seq: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)),
  hash: Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/)),
  seal: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(textMax)))
}) {}

/**
 * What {@link verify} found: that all is as it was written, with the numbers of the first and the last entry that were
 * read (0 and 0 when there are none) and whether the end is sealed by a key, which an empty log is not; or the first
 * entry that is not.
 *
 * | fault | what happened |
 * |---|---|
 * | `EntryChanged` | the entry, its hash or its place was changed, or it was brought in from elsewhere |
 * | `EntryMissing` | it was taken out |
 * | `EntryAdded` | it was put behind the end by other means than the log |
 * | `TailCut` | it and all after it are gone |
 * | `HeadChanged` | its hash is not what the end of the log, or a checkpoint, says: the chain was written anew |
 * | `HeadForged` | the end is not sealed by a key of the log |
 * | `CheckpointForged` | the checkpoint that was given is not |
 *
 * @category models
 * @since 0.1.0
 */
export type Verdict =
  | { readonly _tag: "Intact"; readonly first: number; readonly last: number; readonly sealed: boolean }
  | { readonly _tag: "Broken"; readonly seq: number; readonly fault: chain.Fault }

/**
 * Options of {@link verify}.
 *
 * - `checkpoint`: one that was taken earlier, which the log has to reach; not before `after`.
 * - `after`: one to begin behind, when older entries were archived or were verified before.
 *
 * @category models
 * @since 0.1.0
 */
export interface VerifyOptions {
  readonly checkpoint?: Checkpoint | undefined
  readonly after?: Checkpoint | undefined
}

/**
 * Reads a log that is chained. Every access to an audit log is itself to be logged (PCI DSS 10.2.1.3): {@link read} and
 * {@link verify} do.
 *
 * @category services
 * @since 0.1.0
 */
export class AuditChain extends Context.Service<AuditChain, {
  /** At most `limit` entries, 1 to 1000, after the number `after`, 0 by default; in order. */
  readonly page: (
    options: { readonly after?: number | undefined; readonly limit: number }
  ) => Effect.Effect<ReadonlyArray<Chained>, AuditLogError>
  /** The end of the log now. */
  readonly checkpoint: Effect.Effect<Checkpoint, AuditLogError>
  /** Reads the log up to where it ends now, in bounded memory. */
  readonly verify: (options?: VerifyOptions) => Effect.Effect<Verdict, AuditLogError>
}>()("effect-payments/AuditChain") {}

/**
 * Reads a page of the log, and records that it was read.
 *
 * @category reading
 * @since 0.1.0
 */
export const read = (
  options: { readonly after?: number | undefined; readonly limit: number }
): Effect.Effect<ReadonlyArray<Chained>, AuditLogError, AuditLog | AuditChain> =>
  accessed("read", Effect.flatMap(AuditChain, ({ page }) => page(options)))

/**
 * Verifies the log, and records that it was verified.
 *
 * **Example**
 *
 * ```ts
 * import { NodeCrypto } from "@effect/platform-node"
 * import { Effect, Layer } from "effect"
 * import { AuditLog } from "effect-payments"
 *
 * const program = Effect.gen(function*() {
 *   yield* AuditLog.record({ event: "payment", action: "charge", resource: "order 4711", outcome: "succeeded" })
 *   return yield* AuditLog.verify()
 * })
 *
 * const layer = AuditLog.layerMemory().pipe(Layer.provide(NodeCrypto.layer))
 * await Effect.runPromise(Effect.provide(program, layer)) // => { _tag: "Intact", first: 1, last: 1, sealed: false }
 * ```
 *
 * @category reading
 * @since 0.1.0
 */
export const verify = (options?: VerifyOptions): Effect.Effect<Verdict, AuditLogError, AuditLog | AuditChain> =>
  accessed("verify", Effect.flatMap(AuditChain, ({ verify }) => verify(options)))

const accessed = <A, R>(action: string, self: Effect.Effect<A, AuditLogError, R>) =>
  Effect.onExit(self, (exit) =>
    record({
      event: "auditLogAccess",
      action,
      resource: "audit log",
      outcome: exit._tag === "Success" ? "succeeded" : "notExecuted"
    }))

/**
 * Keys that seal the end of a log, 16 bytes or more each. `current` names the one that seals, the others only verify what
 * was sealed before. Ids are 1 to 32 of `A-Z`, `a-z`, `0-9`, `-` and `_`.
 *
 * @category models
 * @since 0.1.0
 */
export interface KeyRing {
  readonly current: string
  readonly keys: { readonly [id: string]: Redacted.Redacted<Uint8Array> }
}

/**
 * Keeps the newest `limit` entries (10,000 by default, at least 1) in the memory of this process.
 *
 * **When to use**
 *
 * For tests and trials. It ends with the process and drops what is older, so it is no evidence of anything.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory = (
  options?: { readonly limit?: number | undefined }
): Layer.Layer<AuditLog | AuditTrail | AuditChain, never, Digest.Digest> =>
  Layer.effectContext(Effect.gen(function*() {
    const limit = Math.max(1, Math.floor(options?.limit ?? 10_000)) || 1
    const hash = chain.makeHash(yield* Digest.Digest, defaultName)
    const kept = store.makeMemory(limit, hash)
    return servicesOf(kept, hash, undefined, (never) => never).pipe(Context.add(AuditTrail, {
      // They were decoded before they were kept.
      entries: Effect.map(kept.links, (links) => links.map(({ text }) => decodeText(text))),
      dropped: Effect.map(kept.base, ({ seq }) => seq)
    }))
  }))

/** The table of {@link layerSql} unless another is named, and the name of the chain unless another is given. */
const defaultTable = "effect_payments_audit"
const defaultName = "audit"

/**
 * Keeps entries in a table of SQLite or Postgres that refuses to have them changed or removed.
 *
 * **Details**
 *
 * The layer creates its two tables, or brings them up to date, unless `migrate` is false; processes that start at once
 * wait for one another. `table` is 1 to 40 of `a-z`, `0-9` and `_`. Writers of all processes go one after the other, which
 * keeps the chain one; entries of the same tick share a commit. On Postgres an entry is written beside a transaction of
 * the caller and stays when that is rolled back; on SQLite, whose transaction holds the one connection, it is written in
 * it.
 *
 * `keys` seal the end of the log by HMAC-SHA256 with each commit, so that only who has a key can cut or rewrite it
 * unnoticed; give them from the first entry on. Of two states of the log that were both sealed, the older can be put back
 * by who can write to the database, and so can the empty one: {@link Checkpoint}s kept elsewhere tell. `name` is bound into each hash, so that
 * entries of one log do not fit into another; a log keeps its name for life.
 *
 * `writeTimeout` (default 5 seconds, 100 milliseconds to 1 minute) is for how long the database may be silent about an
 * entry, as it is for ever on a connection whose other end is gone. Then recording fails with detail `Unanswered`: the entry
 * may be in the log or not, and is not sent again. On SQLite it counts from when the lock is held, on Postgres also while
 * other writers are waited for.
 *
 * **Gotchas**
 *
 * The table refuses UPDATE and DELETE by a trigger, which keeps out mistakes, not an administrator. Give the program a
 * role that may only insert into it and update the table of the head.
 *
 * **Example**
 *
 * ```ts
 * import { NodeCrypto } from "@effect/platform-node"
 * import { SqliteClient } from "@effect-payments/sqlite"
 * import { Effect, Layer, Redacted } from "effect"
 * import { AuditLog } from "effect-payments"
 *
 * const key = Redacted.make(crypto.getRandomValues(new Uint8Array(32)))
 * const layer = AuditLog.layerSql({ keys: { current: "2026-11", keys: { "2026-11": key } } }).pipe(
 *   Layer.provide([SqliteClient.layer({ filename: ":memory:" }), NodeCrypto.layer])
 * )
 *
 * const program = AuditLog.record({ event: "payment", action: "charge", resource: "order 1", outcome: "refused" }).pipe(
 *   Effect.andThen(AuditLog.verify())
 * )
 *
 * await Effect.runPromise(Effect.provide(program, layer)) // => { _tag: "Intact", first: 1, last: 1, sealed: true }
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerSql = (
  options?: {
    readonly table?: string | undefined
    readonly migrate?: boolean | undefined
    readonly name?: string | undefined
    readonly keys?: KeyRing | undefined
    readonly writeTimeout?: Duration.Input | undefined
  }
): Layer.Layer<
  AuditLog | AuditChain,
  AuditLogError | Migrator.MigrationError | SqlError.SqlError,
  SqlClient.SqlClient | Digest.Digest | Mac.Mac
> => Layer.effectContext(makeSql(options ?? {}))

const makeSql = Effect.fnUntraced(function*(
  { keys, migrate = true, name = defaultName, table = defaultTable, writeTimeout }: Exclude<
    Parameters<typeof layerSql>[0],
    undefined
  >
): Effect.fn.Return<
  Context.Context<AuditLog | AuditChain>,
  AuditLogError | Migrator.MigrationError | SqlError.SqlError,
  SqlClient.SqlClient | Digest.Digest | Mac.Mac | Scope.Scope
> {
  const dialect = database.dialectOf(yield* SqlClient.SqlClient)
  if (dialect === undefined) return yield* Effect.fail(unavailable("the log speaks sqlite and pg"))
  if (!isIdentifier(table)) {
    return yield* Effect.fail(unavailable("table must be 1 to 40 of a-z, 0-9 and _, no digit first"))
  }
  if (!/^[\x20-\x7e]{1,64}$/.test(name)) {
    return yield* Effect.fail(unavailable("name must be 1 to 64 printable ASCII characters"))
  }
  const timeoutMillis = writeTimeoutMillis(writeTimeout)
  if (timeoutMillis === undefined) return yield* Effect.fail(unavailable(writeTimeoutFault))
  const fault = keys === undefined ? undefined : headSeal.faultOf(keys)
  if (fault !== undefined) return yield* Effect.fail(unavailable(fault))
  if (migrate) yield* tables.migrate(table)
  const hash = chain.makeHash(yield* Digest.Digest, name)
  const sealer = keys === undefined ? undefined : yield* headSeal.make(keys, name)
  return servicesOf(yield* database.make(dialect, table, hash, sealer, timeoutMillis), hash, sealer, database.detailOf)
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
  tables.migrations(options?.table ?? defaultTable)

// Beyond what scrubbed details can take; entries made by hand may be longer.
const entryMax = 1_000_000
const pageMax = 1000

const servicesOf = <E>(
  kept: store.Store<E>,
  hash: chain.Hash,
  sealer: headSeal.Sealer | undefined,
  detailOf: (error: E) => string
): Context.Context<AuditLog | AuditChain> =>
  Context.make(AuditLog, {
    append: (entry) => {
      const line = written(entry)
      return line === undefined
        ? Effect.fail(unavailable("EntryTooLarge"))
        : Effect.mapError(kept.append(line.text), (error) => unavailable(detailOf(error)))
    }
  }).pipe(Context.add(AuditChain, {
    page: ({ after = 0, limit }) =>
      Number.isInteger(limit) && limit >= 1 && limit <= pageMax && Number.isSafeInteger(after) && after >= 0
        ? Effect.flatMap(Effect.mapError(kept.page(after, limit), (error) => unreadable(detailOf(error))), readAll)
        : Effect.fail(unreadable(`limit must be a whole number from 1 to ${pageMax}, after one from 0`)),
    checkpoint: Effect.map(
      Effect.mapError(kept.head, (error) => unreadable(detailOf(error))),
      ({ hash, seal, seq }) => new Checkpoint({ seq, hash, ...seal === undefined ? {} : { seal } })
    ),
    verify: ({ after, checkpoint } = {}) =>
      after !== undefined && checkpoint !== undefined && checkpoint.seq < after.seq
        ? Effect.fail(
          new AuditLogError({ reason: new CheckpointTooEarly({ checkpoint: checkpoint.seq, after: after.seq }) })
        )
        : Effect.mapError(
          chain.verify(kept, hash, sealer, { after, checkpoint }),
          (error) => unreadable(detailOf(error))
        )
  }))

/** An entry in the text of the log, and without what one that was made by hand may hold. Undefined: it is too large. */
const written = (entry: Entry): { readonly text: string; readonly entry: Entry } | undefined => {
  const text = canonical.write(encode(entry), entryMax)
  // What `entryOf` made is scrubbed.
  if (text === undefined || entry.detail === undefined || Redaction.scrub(text) === text) return textAnd(entry, text)
  const clean = new Entry({ ...entry, detail: Redaction.scrubUnknown(entry.detail) as Schema.JsonObject })
  return textAnd(clean, canonical.write(encode(clean), entryMax))
}

const textAnd = (entry: Entry, text: string | undefined) => text === undefined ? undefined : { entry, text }

const decodeEntry = Schema.decodeUnknownResult(Schema.fromJsonString(Entry))
const decodeText = Schema.decodeUnknownSync(Schema.fromJsonString(Entry))

const readAll = (links: ReadonlyArray<chain.Link>): Effect.Effect<ReadonlyArray<Chained>, AuditLogError> =>
  Effect.forEach(links, ({ hash, previous, seq, text }) => {
    const entry = decodeEntry(text)
    return Result.isSuccess(entry)
      ? Effect.succeed({ seq, previous, hash, entry: entry.success })
      : Effect.fail(unreadable(`EntryUnreadable ${seq}`))
  })

/**
 * Writes each entry as one line of the log, for a collector that keeps it: message `audit`, the entry as annotations.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerLog: Layer.Layer<AuditLog> = Layer.succeed(AuditLog, {
  append: (entry) => {
    const line = written(entry)
    return line === undefined
      ? Effect.fail(unavailable("EntryTooLarge"))
      : Effect.annotateLogs(Effect.logInfo("audit"), { ...encode(line.entry) })
  }
})

const encode = Schema.encodeSync(Entry)
