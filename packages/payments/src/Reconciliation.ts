/**
 * The daily comparison of what the ledger believes with what the gateway reports.
 *
 * It prevents that a gap between the two stays unseen until an auditor finds it: a webhook that was acknowledged and never
 * stored, a refund issued by hand in the gateway's dashboard, an amount in another currency, a charge that was recorded
 * and never happened. {@link reconcile} is pure and says of every record that came in whether it was matched or reported,
 * and why.
 *
 * It guarantees that no record is used twice, that matched and reported add up to what was read for each side and currency
 * ({@link isConserved}), and that the report is the same whatever the order of the records. It holds both sides in memory,
 * about 0.7 kB for a pair, and at most 16,777,216 ids. It matches by id alone: a payout that is the sum of many charges
 * is not taken apart.
 *
 * Run it on the day before: settlement and webhooks lag behind. Read `Money` next.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import type * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as accounts from "./internal/reconciliation/accounts.ts"
import * as internal from "./internal/reconciliation/handle.ts"
import * as match from "./internal/reconciliation/match.ts"
import * as text from "./internal/reconciliation/text.ts"
import * as Money from "./Money.ts"

const Id = Schema.String.check(Schema.isBetweenLength(1, 255))

/**
 * Where a record comes from: our own books or the gateway's report.
 *
 * @category models
 * @since 0.1.0
 */
export type Side = "internal" | "gateway"

/**
 * One transaction as one side tells it.
 *
 * | field | meaning |
 * |---|---|
 * | `transactionId` | what both sides call it: 1 to 255 characters, compared exactly |
 * | `money` | the amount before fees. Both sides must use one convention for the sign of refunds |
 * | `status` | 1 to 64 characters, compared exactly or by {@link Policy}`.statusAliases` |
 * | `occurredAt` | when it happened, or was booked |
 * | `fee` | what the gateway kept; a side that does not state it is not compared |
 * | `kind` | charge or refund; a side that does not state it is not compared |
 * | `parent` | of a refund: the `transactionId` of its charge. A side whose parent is no charge that is known is not compared |
 *
 * @category models
 * @since 0.1.0
 */
export const TransactionRecord = Schema.Struct({
  transactionId: Id,
  money: Money.Money,
  status: Schema.String.check(Schema.isBetweenLength(1, 64)),
  occurredAt: Schema.DateTimeUtcFromString,
  fee: Schema.optionalKey(Money.Money),
  kind: Schema.optionalKey(Schema.Literals(["charge", "refund"])),
  parent: Schema.optionalKey(Id)
})

/**
 * See {@link TransactionRecord}.
 *
 * @category models
 * @since 0.1.0
 */
export type TransactionRecord = typeof TransactionRecord.Type

/**
 * A pair of records with one id, one of each side.
 *
 * @category models
 * @since 0.1.0
 */
export interface Pair {
  readonly transactionId: string
  readonly internal: TransactionRecord
  readonly gateway: TransactionRecord
}

/**
 * Something that does not agree.
 *
 * | kind | on the wire | meaning |
 * |---|---|---|
 * | `MissingInternal` | `missing_internal` | the gateway has it, we do not: usually a webhook that was missed |
 * | `MissingGateway` | `missing_gateway` | we have it, the gateway does not: almost always a bug |
 * | `AmountMismatch` | `amount_mismatch` | the amounts differ by more than the tolerance; `difference` is the gateway's less ours |
 * | `CurrencyMismatch` | `currency_mismatch` | the currencies differ; amount and fee are not compared then |
 * | `StatusMismatch` | `status_mismatch` | the status differs, or one side says charge and the other refund |
 * | `Duplicate` | `duplicate` | a further record with this id on one side; `copy` counts from 2 to `copies` |
 * | `FeeMismatch` | `fee_mismatch` | both state a fee, and they differ by more than the tolerance |
 * | `DateDrift` | `date_drift` | the times are further apart than the window; `drift` is positive where the gateway is later |
 * | `OrphanRefund` | `orphan_refund` | a refund whose charge is on neither side, nor among {@link Policy}`.knownCharges`; or of which the sides name two different charges |
 *
 * A pair that differs in several ways is reported once for each of them. Of several records with one id on a side, the one
 * that differs least from the other side is paired, and each further one is a `Duplicate`.
 *
 * @category models
 * @since 0.1.0
 */
export type Discrepancy = Data.TaggedEnum<{
  MissingInternal: { readonly transactionId: string; readonly gateway: TransactionRecord }
  MissingGateway: { readonly transactionId: string; readonly internal: TransactionRecord }
  AmountMismatch: Pair & { readonly difference: Money.Money }
  CurrencyMismatch: Pair
  StatusMismatch: Pair
  Duplicate: {
    readonly transactionId: string
    readonly side: Side
    readonly record: TransactionRecord
    readonly copy: number
    readonly copies: number
  }
  FeeMismatch: Pair
  DateDrift: Pair & { readonly drift: Duration.Duration }
  OrphanRefund: {
    readonly transactionId: string
    readonly internal: TransactionRecord | undefined
    readonly gateway: TransactionRecord | undefined
  }
}>

/**
 * The tag of a {@link Discrepancy}.
 *
 * @category models
 * @since 0.1.0
 */
export type Kind = Discrepancy["_tag"]

/**
 * All kinds, in the order in which reports count them.
 *
 * @category models
 * @since 0.1.0
 */
export const kinds: ReadonlyArray<Kind> = text.kinds

/**
 * What counts as agreeing.
 *
 * | option | meaning | default |
 * |---|---|---|
 * | `tolerance` | by how much amounts may differ, per currency, inclusive; the sign is ignored | nothing |
 * | `feeTolerance` | the same for fees | nothing |
 * | `window` | how far the times may be apart, inclusive; `"Infinity"` turns the check off | 24 hours |
 * | `statusAliases` | another word for a status, on either side: `{ settled: "captured" }`; it may have another one itself | none |
 * | `orphanRefunds` | whether refunds are traced to their charge | `true` |
 * | `knownCharges` | ids of charges of earlier days, which a refund may name | none |
 *
 * @category models
 * @since 0.1.0
 */
export interface Policy {
  readonly tolerance?: { readonly [C in Money.Currency]?: Money.Money<C> }
  readonly feeTolerance?: { readonly [C in Money.Currency]?: Money.Money<C> }
  readonly window?: Duration.Input
  readonly statusAliases?: { readonly [status: string]: string }
  readonly orphanRefunds?: boolean
  readonly knownCharges?: ReadonlySet<string>
}

/**
 * How many records, and what they sum to.
 *
 * @category models
 * @since 0.1.0
 */
export interface Tally {
  readonly records: number
  readonly sum: Money.Money
}

/**
 * What became of the records of one side and currency. A record is reported once, in however many discrepancies it
 * stands.
 *
 * @category models
 * @since 0.1.0
 */
export interface Account {
  readonly side: Side
  readonly currency: Money.Currency
  readonly read: Tally
  readonly matched: Tally
  readonly reported: Tally
}

/**
 * What {@link reconcile} finds.
 *
 * | field | meaning |
 * |---|---|
 * | `matched` | pairs that agree in everything |
 * | `total` | pairs, and records that stand alone (missing on the other side, or a duplicate) |
 * | `discrepancies` | by id, and within an id by kind with duplicates last |
 * | `byKind` | how many of each kind; kinds that do not occur are left out |
 * | `accounts` | per side and currency, internal first |
 *
 * @category models
 * @since 0.1.0
 */
export interface Report {
  readonly matched: number
  readonly total: number
  readonly discrepancies: ReadonlyArray<Discrepancy>
  readonly byKind: { readonly [K in Kind]?: number }
  readonly accounts: ReadonlyArray<Account>
}

/**
 * Compares two sets of records. Pure: the same records give the same report, in whatever order they come.
 *
 * **Details**
 *
 * Each iterable is read once. The time is linear in the number of records; ids with very many copies on both sides are
 * bounded too, since at most 64 different copies of each side are tried for the best pair.
 *
 * **Example**
 *
 * ```ts
 * import { DateTime } from "effect"
 * import { Money, Reconciliation } from "effect-payments"
 *
 * const record = (transactionId: string, amount: string, status = "captured"): Reconciliation.TransactionRecord => ({
 *   transactionId,
 *   money: Money.makeUnsafe("USD", amount),
 *   status,
 *   occurredAt: DateTime.makeUnsafe("2026-01-31T12:00:00Z")
 * })
 *
 * const report = Reconciliation.reconcile(
 *   [record("tx_1", "10.00"), record("tx_2", "20.00"), record("tx_3", "30.00")],
 *   [record("tx_3", "30.01"), record("tx_2", "20.00", "refunded"), record("tx_4", "40.00")],
 *   { tolerance: { USD: Money.makeUnsafe("USD", "0.01") } }
 * )
 *
 * Reconciliation.summary(report)
 * // => "1/4 matched, 3 discrepancies: 1 missing_internal, 1 missing_gateway, 1 status_mismatch"
 * report.discrepancies.map((discrepancy) => discrepancy._tag)
 * // => ["MissingGateway", "StatusMismatch", "MissingInternal"]
 * ```
 *
 * @see {@link handle} to act on what was found
 * @category reconciling
 * @since 0.1.0
 */
export const reconcile = (
  internal: Iterable<TransactionRecord>,
  gateway: Iterable<TransactionRecord>,
  policy: Policy = {}
): Report => match.reconcile(internal, gateway, policy)

/**
 * Whether matched and reported add up to what was read, in number and amount, for each side and currency. What is read is
 * added up where it comes in and the rest where it goes out, so `false` means that the report must not be trusted.
 *
 * @category reconciling
 * @since 0.1.0
 */
export const isConserved = (report: Report): boolean => report.accounts.every(accounts.isBalanced)

/**
 * The report in one line, always of the same form.
 *
 * **Example**
 *
 * ```ts
 * import { Reconciliation } from "effect-payments"
 *
 * Reconciliation.summary(Reconciliation.reconcile([], [])) // => "0/0 matched, 0 discrepancies"
 * ```
 *
 * @category rendering
 * @since 0.1.0
 */
export const summary: (report: Report) => string = text.summary

/**
 * What is wrong, for a person: both values and what lies between them. It holds ids, amounts and times, and no other data.
 *
 * @category rendering
 * @since 0.1.0
 */
export const detail: (discrepancy: Discrepancy) => string = text.detail

/**
 * A {@link TransactionRecord} in {@link Json}: `amount` and `fee` as decimal text, `occurredAt` in ISO 8601, UTC.
 *
 * @category rendering
 * @since 0.1.0
 */
export interface JsonRecord {
  readonly transactionId: string
  readonly amount: string
  readonly currency: string
  readonly status: string
  readonly occurredAt: string
  readonly fee?: string
  readonly feeCurrency?: string
  readonly kind?: "charge" | "refund"
  readonly parent?: string
}

/**
 * A {@link Discrepancy} in {@link Json}: `kind` in snake case, and `null` for a side that has nothing to show.
 *
 * @category rendering
 * @since 0.1.0
 */
export interface JsonDiscrepancy {
  readonly kind: string
  readonly transactionId: string
  readonly internal: JsonRecord | null
  readonly gateway: JsonRecord | null
  readonly detail: string
}

/**
 * A {@link Report} as plain data for `JSON.stringify`.
 *
 * @category rendering
 * @since 0.1.0
 */
export interface Json {
  readonly matched: number
  readonly total: number
  readonly discrepancies: ReadonlyArray<JsonDiscrepancy>
  readonly byKind: { readonly [kind: string]: number }
}

/**
 * The report for other programs.
 *
 * @see {@link toJsonDiscrepancy} for reports too large for one text
 * @category rendering
 * @since 0.1.0
 */
export const toJson: (report: Report) => Json = text.toJson

/**
 * One discrepancy for other programs, as in {@link toJson}.
 *
 * @category rendering
 * @since 0.1.0
 */
export const toJsonDiscrepancy: (discrepancy: Discrepancy) => JsonDiscrepancy = text.toJsonDiscrepancy

/**
 * What to do about one kind of discrepancy. Make it with {@link on}.
 *
 * @category handling
 * @since 0.1.0
 */
export interface Handler<out E = never, out R = never> {
  readonly kind: Kind
  readonly run: (discrepancy: Discrepancy) => Effect.Effect<unknown, E, R>
}

/**
 * Says what to do about one kind. Several handlers of a kind run in the order in which they are given.
 *
 * @category handling
 * @since 0.1.0
 */
export const on = <const K extends Kind, E, R>(
  kind: K,
  run: (discrepancy: Extract<Discrepancy, { readonly _tag: K }>) => Effect.Effect<unknown, E, R>
): Handler<E, R> => ({
  kind,
  // `handle` passes those of this kind and no others.
  run: run as unknown as Handler<E, R>["run"]
})

/**
 * | option | meaning | default |
 * |---|---|---|
 * | `concurrency` | how many handlers run at a time | 1 |
 * | `timeout` | after which a handler is stopped and counts as failed | 30 seconds |
 * | `limitPerKind` | how many discrepancies of each kind are handled; the rest is counted in `skipped` | 10,000 |
 *
 * @category handling
 * @since 0.1.0
 */
export interface HandleOptions {
  readonly concurrency?: number
  readonly timeout?: Duration.Input
  readonly limitPerKind?: number
}

/**
 * A handler that failed, was stopped by its timeout, or died, and for what.
 *
 * @category handling
 * @since 0.1.0
 */
export interface Failure<out E = never> {
  readonly discrepancy: Discrepancy
  readonly cause: Cause.Cause<E | Cause.TimeoutError>
}

/**
 * What became of the calls: how many succeeded, which failed (in the order of the report), and how many discrepancies were
 * over the limit of their kind.
 *
 * @category handling
 * @since 0.1.0
 */
export interface Handled<out E = never> {
  readonly succeeded: number
  readonly failures: ReadonlyArray<Failure<E>>
  readonly skipped: { readonly [K in Kind]?: number }
}

/**
 * Runs the handlers over a report. Each call is on its own: one that fails, hangs or dies is noted and the next one runs.
 * Interrupting the whole stops it.
 *
 * **Gotchas**
 *
 * The same report handled twice calls the handlers twice. Make them safe to repeat: page under a key of the day and the
 * transaction, replay through the inbox.
 *
 * **Example** (the on-call is paged for what the gateway does not know, missed webhooks are replayed)
 *
 * ```ts
 * import { DateTime, Effect } from "effect"
 * import { Money, Reconciliation } from "effect-payments"
 *
 * const record = (transactionId: string): Reconciliation.TransactionRecord => ({
 *   transactionId,
 *   money: Money.makeUnsafe("USD", "10.00"),
 *   status: "captured",
 *   occurredAt: DateTime.makeUnsafe("2026-01-31T12:00:00Z")
 * })
 * const paged: Array<string> = []
 *
 * const { failures, succeeded } = await Reconciliation.handle(
 *   Reconciliation.reconcile([record("tx_1")], [record("tx_2")]),
 *   [
 *     Reconciliation.on("MissingGateway", ({ internal }) => Effect.sync(() => paged.push(internal.transactionId))),
 *     Reconciliation.on("MissingInternal", () => Effect.fail("the archive is down"))
 *   ]
 * ).pipe(Effect.runPromise)
 *
 * paged // => ["tx_1"]
 * succeeded // => 1
 * failures.map(({ discrepancy }) => discrepancy.transactionId) // => ["tx_2"]
 * ```
 *
 * @category handling
 * @since 0.1.0
 */
export const handle: <const H extends ReadonlyArray<Handler<unknown, unknown>>>(
  report: Report,
  handlers: H,
  options?: HandleOptions
) => Effect.Effect<
  Handled<ErrorOf<H[number]>>,
  never,
  ServicesOf<H[number]>
> = <H extends ReadonlyArray<Handler<unknown, unknown>>>(report: Report, handlers: H, options: HandleOptions = {}) =>
  internal.handle(report, handlers as ReadonlyArray<Handler<ErrorOf<H[number]>, ServicesOf<H[number]>>>, options)

type ErrorOf<H> = H extends Handler<infer E, infer _R> ? E : never
type ServicesOf<H> = H extends Handler<infer _E, infer R> ? R : never
