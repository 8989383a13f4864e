/**
 * Recovery points for an operation of several parts: rows that are written before the charge, the charge, and rows that are
 * written after it.
 *
 * The failure it prevents is the half of an operation: a process that dies between the charge and the ledger, an order that
 * is reserved and never charged, a receipt that is written twice. An operation is a list of phases. The result of an
 * atomic phase is stored in the transaction that writes its rows, so that both are there or neither; a call is an
 * idempotent operation of its own, with its downstream key, lease and look-up. Whoever runs the operation again, with the
 * same key, gets what is done and goes on with the next phase. What nobody runs again, a {@link layerCompleter} finishes.
 *
 * What has begun is finished, not undone: where later parts may fail for good and earlier ones have to be taken back, take
 * `Saga`.
 *
 * | option | default | bounds |
 * |---|---|---|
 * | phases | | 1 to 50, names of 1 to 80 characters |
 * | `lease`, `ttl`, `attemptsMax`, `duplicates`, … of {@link make} | as in `Idempotency` | as in `Idempotency` |
 * | `abandonedAfter` | 5 minutes | 1 second to 1 day |
 * | `every` of the completer | 30 seconds | 1 millisecond to 1 day |
 * | `backoff` of the completer | 1 minute | 1 millisecond to 1 hour |
 * | `limit`, `concurrency` of the completer | 100, 4 | 1 to 1000, 1 to 100 |
 * | `every`, `limit` of the reaper | 10 minutes, 1000 | 1 millisecond to 1 day, 1 to 1000 |
 * | `retention` | 3 days | 1 second to a year |
 *
 * Records and journal belong into one database: take `IdempotencyStore.layerStoreSql` and {@link layerSql} over the same
 * client. Read `Saga` next.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import type * as Idempotency from "./Idempotency.ts"
import { StoreUnavailable } from "./IdempotencyStore.ts"
import { dayMillis, reader, yearMillis } from "./internal/option/option.ts"
import * as phases from "./internal/phases/definition.ts"
import type { JournalUnavailable } from "./internal/phases/errors.ts"
import * as journal from "./internal/phases/journal.ts"
import * as running from "./internal/phases/run.ts"
import * as upkeep from "./internal/phases/upkeep.ts"
import type { Migrator, SqlClient, SqlError } from "./internal/sql/client.ts"
import type { Claim } from "./internal/stack/claim.ts"
import type { Marker } from "./internal/stack/markers.ts"
import type { HasDisposition } from "./PaymentError.ts"

/**
 * An operation of several parts, in order, as data. `Ctx` is the payload and what its phases answer, by name; `E` the
 * failures that it declares, `R` the services that it needs.
 *
 * @category models
 * @since 0.1.0
 */
export type Phases<Ctx, E, R> = phases.Phases<Ctx, E, R>

/**
 * Any operation of several phases.
 *
 * @category models
 * @since 0.1.0
 */
export type Any = phases.Any

/**
 * Which operations have begun and are not over. Only {@link layerSql} makes one.
 *
 * @category services
 * @since 0.1.0
 */
export class Journal extends Context.Service<Journal, { readonly "~effect-payments/Phases/Journal": true }>()(
  "effect-payments/Phases/Journal"
) {}

type Made = Journal["Service"] & journal.Journal

const journalOf = Effect.map(Journal, (made) => made as Made)

/** The table of {@link layerSql} unless another is named. */
const defaultTable = "effect_payments_phases"

/**
 * Keeps the journal in a table of SQLite or Postgres. The layer creates the table unless `migrate` is false.
 *
 * The payload of an operation is kept as its schema encodes it, until the operation is over and for the reaper's
 * `retention`: it holds tokens, never card data.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerSql = (options?: {
  readonly table?: string | undefined
  readonly migrate?: boolean | undefined
  /** How long nobody touches an operation until the completer takes it for abandoned. Longer than one usually lasts. */
  readonly abandonedAfter?: Duration.Input | undefined
}): Layer.Layer<Journal, StoreUnavailable | Migrator.MigrationError | SqlError.SqlError, SqlClient.SqlClient> =>
  Layer.effect(
    Journal,
    Effect.gen(function*() {
      const { millis } = reader("Phases.layerSql")
      const made = yield* journal.make({
        table: options?.table ?? defaultTable,
        migrate: options?.migrate ?? true,
        abandonedMillis: yield* millis("abandonedAfter", options?.abandonedAfter ?? "5 minutes", 1000, dayMillis)
      }).pipe(Effect.catchTag("JournalUnavailable", (error) => Effect.fail(toUnavailable(error))))
      return made as Made
    })
  )

const toUnavailable = ({ detail, operation }: JournalUnavailable) => new StoreUnavailable({ operation, detail })

/**
 * The migrations of {@link layerSql} by number and name, for a project that runs them with its own migrator and sets
 * `migrate: false`. They have to run exactly once.
 *
 * @category layers
 * @since 0.1.0
 */
export const migrations = (options?: { readonly table?: string | undefined }): {
  readonly [name: string]: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient>
} => journal.migrations(options?.table ?? defaultTable)

/**
 * What {@link make} needs to know. The options of `Idempotency.Options` with the same names hold for the operation, and
 * `lease`, `attemptsMax` and the limits for each of its phases too.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<P, E extends HasDisposition> extends phases.Policy {
  /** Raise it when payload, phases or their results change. Operations of the version before are finished by it. */
  readonly version: number
  readonly payload: Schema.Codec<P, unknown>
  /** What its phases fail with. */
  readonly error: Schema.Codec<E, unknown>
}

/**
 * An operation without phases: pipe {@link atomic} and {@link call} after it. `operation` is 1 to 80 of letters, digits,
 * space, `_`, `.` and `-`.
 *
 * **Example**
 *
 * ```ts
 * import { SqliteClient } from "@effect-payments/sqlite"
 * import { NodeCrypto } from "@effect/platform-node"
 * import { Effect, Layer, Schema } from "effect"
 * import { Card, Idempotency, IdempotencyStore, Money, PaymentError, PaymentGateway, Phases } from "effect-payments"
 * import { TestGateway } from "effect-payments/testing"
 * import { SqlClient } from "effect/sql"
 *
 * const Order = Schema.Struct({ orderId: Schema.String, money: Money.Money })
 *
 * const write = (table: string, row: Record<string, string>) =>
 *   SqlClient.SqlClient.use((sql) => Effect.orDie(sql`INSERT INTO ${sql(table)} ${sql.insert(row)}`))
 *
 * const checkout = Phases.make("checkout", { version: 1, payload: Order, error: PaymentError.PaymentError }).pipe(
 *   Phases.atomic("reserve", {
 *     success: Schema.String,
 *     run: ({ payload: { orderId } }) => Effect.as(write("reservations", { orderId }), `reservation-${orderId}`)
 *   }),
 *   Phases.call("charge", {
 *     success: PaymentGateway.Transaction,
 *     run: ({ payload: { money } }) =>
 *       PaymentGateway.PaymentGateway.use((gateway) =>
 *         gateway.authorize({ token: Card.CardToken.make("tok_visa"), money, capture: true })
 *       ),
 *     resolve: Idempotency.resolveByLookup({ phases: ["authorize"] })
 *   }),
 *   Phases.atomic("receipt", {
 *     success: Schema.String,
 *     run: ({ charge, payload: { orderId } }) =>
 *       Effect.as(write("receipts", { orderId, transactionId: charge.id }), `receipt-${orderId}`)
 *   })
 * )
 *
 * const layer = Layer.mergeAll(
 *   Idempotency.layer().pipe(Layer.provide(IdempotencyStore.layerStoreSql())),
 *   Phases.layerSql(),
 *   TestGateway.layer()
 * ).pipe(
 *   Layer.provide(NodeCrypto.layer),
 *   Layer.provideMerge(SqliteClient.layer({ filename: ":memory:" }))
 * )
 *
 * const program = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   yield* sql`CREATE TABLE reservations ("orderId" text)`
 *   yield* sql`CREATE TABLE receipts ("orderId" text, "transactionId" text)`
 *   const order = { orderId: "4711", money: Money.makeUnsafe("EUR", "49.90") }
 *   const key = Idempotency.Key.make("order-4711")
 *   const run = Phases.run(checkout, order, { tenant: "acme", key })
 *   const [first, second] = [yield* run, yield* run]
 *   const rows = yield* sql`SELECT * FROM receipts`
 *   return [first.receipt, second.charge.id === first.charge.id, rows.length]
 * })
 *
 * await Effect.runPromise(Effect.provide(program, layer)) // => ["receipt-4711", true, 1]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <P, E extends HasDisposition>(
  operation: string,
  { error, payload, version, ...policy }: Options<P, E>
): Phases<{ readonly payload: P }, E, never> =>
  phases.makeUntyped({
    operation,
    version,
    payload: payload as Schema.Codec<unknown, unknown>,
    error: error as Schema.Codec<unknown, unknown>,
    policy,
    phases: []
  }) as never

/**
 * Adds a phase that writes rows: it runs in a transaction of the store's database, and what it answers is stored in that
 * transaction. A gateway call inside does not compile. See `Idempotency.TransactionalOptions`.
 *
 * @category phases
 * @since 0.1.0
 */
export const atomic = <const Name extends string, Ctx, A, E extends HasDisposition, R>(
  name: Name,
  options: {
    readonly success: Schema.Codec<A, unknown>
    readonly run: (ctx: Ctx) => Effect.Effect<A, E, R> & phases.NoGatewayCall<R>
  }
) =>
<E0, R0>(
  self: Phases<Ctx, E0, R0> & phases.Fresh<Name, Ctx> & phases.Declared<E, E0>
): Phases<phases.Extend<Ctx, Name, A>, E0, R0 | Exclude<R, Marker>> => phases.add(self, "atomic", name, options)

/**
 * Adds a phase that calls somebody else. It gets the `Claim` that gateway calls need; stages of `Resilience` may stand
 * inside. `resolve`, `resolveTimeout`, `settle` and `phase` are those of `Idempotency.Options`: without `resolve` a call
 * in doubt stays in doubt until an operator resolves it.
 *
 * @category phases
 * @since 0.1.0
 */
export const call = <const Name extends string, Ctx, A, E extends HasDisposition, R, R2 = never>(
  name: Name,
  options: {
    readonly success: Schema.Codec<A, unknown>
    readonly run: (ctx: Ctx) => Effect.Effect<A, E, R>
  } & phases.LookUp<NoInfer<A>, NoInfer<E>, R2>
) =>
<E0, R0>(
  self: Phases<Ctx, E0, R0> & phases.Fresh<Name, Ctx> & phases.Declared<E, E0>
): Phases<phases.Extend<Ctx, Name, A>, E0, R0 | Exclude<R, Claim | Marker> | R2> =>
  phases.add(self, "call", name, options)

/**
 * Runs the operation, or goes on with it, and answers what its phases have answered, by name. Later calls with the key get
 * the same answer.
 *
 * **Details**
 *
 * - A phase that is `Refused` is the answer of the operation; the phases before it stay.
 * - `NotExecuted` of the first phase is `NotExecuted` of the operation, and nobody finishes it later. Of a later phase it is
 *   `OutcomeUnknown`: something has happened, and the operation will be finished.
 * - Everything else leaves the operation unfinished, and each call, or the completer, goes on with it.
 *
 * @category combinators
 * @since 0.1.0
 */
export const run = <Ctx extends { readonly payload: unknown }, E, R>(
  self: Phases<Ctx, E, R>,
  payload: Ctx["payload"],
  whose: { readonly tenant: string; readonly key: Idempotency.Key }
): Effect.Effect<
  { readonly [K in Exclude<keyof Ctx, "payload">]: Ctx[K] },
  E | Idempotency.IdempotencyError,
  R | Idempotency.Idempotency | Journal
> =>
  Effect.flatMap(
    Effect.zip(journalOf, running.compile(self as unknown as phases.Untyped)),
    ([journal, compiled]) => running.run(journal, compiled, payload, whose)
  ) as never

/**
 * How many abandoned operations were taken, and what became of them: answered for good, or left for the next time.
 *
 * @category models
 * @since 0.1.0
 */
export type Completed = upkeep.Completed

type Services<D> = D extends Phases<infer _Ctx, infer _E, infer R> ? R : never

/**
 * Goes on once with up to `limit` operations that nobody has touched for `abandonedAfter`, several workers at a time: each
 * gets others (`FOR UPDATE SKIP LOCKED`). List each version of which operations may be left.
 *
 * An operation that cannot be finished yet is taken again after `backoff`, then after twice that and so on up to an hour, for
 * as long as it is not over: it is logged as a warning with its tenant, operation and number of tries, and counted in
 * `effect_payments_phases_completed_total`. One that is `Parked` goes on once an operator has resolved its record.
 *
 * @category upkeep
 * @since 0.1.0
 */
export const complete = <const Definitions extends ReadonlyArray<Any>>(
  definitions: Definitions,
  options?: {
    readonly limit?: number | undefined
    readonly concurrency?: number | undefined
    readonly backoff?: Duration.Input | undefined
  }
): Effect.Effect<
  Completed,
  StoreUnavailable,
  Services<Definitions[number]> | Idempotency.Idempotency | Journal
> =>
  Effect.gen(function*() {
    const { integer, millis } = reader("Phases.complete")
    const journal = yield* journalOf
    const limit = yield* integer("limit", options?.limit ?? 100, 1, limitMax)
    const concurrency = yield* integer("concurrency", options?.concurrency ?? 4, 1, 100)
    const backoffMillis = yield* millis("backoff", options?.backoff ?? "1 minute", 1, hourMillis)
    const compiled = yield* Effect.forEach(definitions, (definition) =>
      running.compile(definition as unknown as phases.Untyped))
    return yield* Effect.mapError(
      upkeep.complete(journal, compiled, { limit, concurrency, backoffMillis }),
      toUnavailable
    )
  }) as never

const limitMax = 1000
const hourMillis = 3_600_000

/**
 * Drops once up to `limit` operations that have been over for `retention`, with the records of their phases. Answers how
 * many. The record of the operation itself goes with its `ttl`.
 *
 * @category upkeep
 * @since 0.1.0
 */
export const reap = (
  options?: { readonly limit?: number | undefined; readonly retention?: Duration.Input | undefined }
): Effect.Effect<number, StoreUnavailable | Idempotency.IdempotencyError, Idempotency.Idempotency | Journal> =>
  Effect.gen(function*() {
    const { integer, millis } = reader("Phases.reap")
    const journal = yield* journalOf
    const limit = yield* integer("limit", options?.limit ?? 1000, 1, limitMax)
    const retentionMillis = yield* millis("retention", options?.retention ?? "3 days", 1000, yearMillis)
    return yield* upkeep.reap(journal, { limit, retentionMillis }).pipe(
      Effect.catchTag("JournalUnavailable", (error) => Effect.fail(toUnavailable(error)))
    )
  })

/**
 * How many operations have begun and are not over: a number to watch.
 *
 * @category upkeep
 * @since 0.1.0
 */
export const countUnfinished: Effect.Effect<number, StoreUnavailable, Journal> = Effect.flatMap(
  journalOf,
  (journal) => Effect.mapError(journal.countUnfinished, toUnavailable)
)

/**
 * Finishes what is abandoned, for as long as the layer lives: {@link complete} every 30 seconds, and at once again while
 * there is more than it takes at a time.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerCompleter = <const Definitions extends ReadonlyArray<Any>>(
  definitions: Definitions,
  options?: {
    readonly every?: Duration.Input | undefined
    readonly limit?: number | undefined
    readonly concurrency?: number | undefined
    readonly backoff?: Duration.Input | undefined
  }
): Layer.Layer<never, never, Services<Definitions[number]> | Idempotency.Idempotency | Journal> =>
  repeating("Phases.layerCompleter", options?.every ?? "30 seconds", {
    run: Effect.map(complete(definitions, options), ({ taken }) => taken),
    limit: options?.limit ?? 100,
    failed: "abandoned operations could not be finished: they are tried again later"
  })

/**
 * Drops what is over, for as long as the layer lives: {@link reap} every 10 minutes.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerReaper = (options?: {
  readonly every?: Duration.Input | undefined
  readonly limit?: number | undefined
  readonly retention?: Duration.Input | undefined
}): Layer.Layer<never, never, Idempotency.Idempotency | Journal> =>
  repeating("Phases.layerReaper", options?.every ?? "10 minutes", {
    run: reap(options),
    limit: options?.limit ?? 1000,
    failed: "operations that are over could not be dropped: they stay until the next time"
  })

const repeating = <E, R>(
  stage: string,
  every: Duration.Input,
  { failed, limit, run }: {
    readonly run: Effect.Effect<number, E, R>
    readonly limit: number
    readonly failed: string
  }
): Layer.Layer<never, never, R> =>
  Layer.effectDiscard(
    Effect.gen(function*() {
      const millis = yield* reader(stage).millis("every", every, 1, dayMillis)
      const once = Effect.catchCause(run, () => Effect.as(Effect.logWarning(failed), 0))
      const round = Effect.flatMap(
        once,
        (count) => count >= limit ? Effect.void : Effect.sleep(Duration.millis(millis))
      )
      yield* Effect.forkScoped(Effect.forever(round))
    })
  )
