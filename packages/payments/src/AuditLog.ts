/**
 * Who did what to what, when, from where, and how it ended.
 *
 * PCI DSS 10.2.2 asks for six facts in each entry of an audit log: user, type of event, date and time, success or
 * failure, origination, and the affected data or resource. An {@link Entry} has all six by type and refuses card numbers
 * in each; {@link record} fills in the time and the {@link Actor} and scrubs the rest. The log is a port with one
 * operation, so that nothing can be changed through it.
 *
 * It guarantees that an entry that was written holds the six facts and no card data that `Redaction` finds. It does not
 * guarantee that the log outlives the process, nor that nobody tampers with it: that is for the layer, and
 * {@link layerMemory} does neither.
 *
 * Read `Observe` next, which writes one entry for each call.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Card from "./Card.ts"
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
  /** Adds an entry at the end, as a whole or not at all. Whether one that failed was written is not known. */
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
 * empty becomes `unidentified`.
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
      ...fact.durationMillis === undefined ? {} : { durationMillis: Math.max(0, fact.durationMillis) },
      ...fact.detail === undefined ? {} : { detail: Redaction.scrubUnknown(fact.detail) as Schema.JsonObject }
    })
  })

const textOf = (text: string): string => Redaction.scrub(text).slice(0, textMax) || "unidentified"

/**
 * Writes an entry.
 *
 * **Example**
 *
 * ```ts
 * import { Effect } from "effect"
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
 *   Effect.provide(AuditLog.layerMemory()),
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
 * Why an entry was not written. What the entry is about has happened all the same, so the disposition is `Unknown`.
 *
 * @category errors
 * @since 0.1.0
 */
export class AuditLogError extends Schema.TaggedError<AuditLogError>()("AuditLogError", {
  reason: Schema.Union([LogUnavailable])
}) {
  readonly disposition = "Unknown" as const
  override get message(): string {
    return this.reason.message
  }
}

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
): Layer.Layer<AuditLog | AuditTrail> =>
  Layer.effectContext(Effect.sync(() => {
    const limit = Math.max(1, Math.floor(options?.limit ?? 10_000)) || 1
    const kept: Array<Entry> = []
    let appended = 0
    return Context.make(AuditLog, {
      append: (entry) =>
        Effect.sync(() => {
          kept[appended++ % limit] = entry
        })
    }).pipe(Context.add(AuditTrail, {
      entries: Effect.sync(() => {
        const oldest = appended > limit ? appended % limit : 0
        return [...kept.slice(oldest), ...kept.slice(0, oldest)]
      }),
      dropped: Effect.sync(() => Math.max(0, appended - limit))
    }))
  }))

/**
 * Writes each entry as one line of the log, for a collector that keeps it: message `audit`, the entry as annotations.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerLog: Layer.Layer<AuditLog> = Layer.succeed(AuditLog, {
  append: (entry) => Effect.annotateLogs(Effect.logInfo("audit"), { ...encode(entry) })
})

const encode = Schema.encodeSync(Entry)
