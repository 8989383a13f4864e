/**
 * Charge once: an effect that moves money runs at most once per key, and every later call with the key gets the first
 * answer.
 *
 * The failure it prevents is the double charge: a client that retries, a process that dies between the charge and the
 * save, a timeout whose charge went through. Four rules keep it:
 *
 * - A claim is owned, fenced and leased. Every write of the record compares owner and fence.
 * - An end that nobody knows is a state of its own, `Indeterminate`. It is never freed and never run again on a guess: a
 *   resolver looks it up at the gateway first.
 * - The same key with another payload is refused, always and before anything else.
 * - Calls downstream carry a key that stays the same over retries, take-overs and processes.
 *
 * What it cannot do: a process frozen past its lease may send on waking, before anything interrupts it. There only a
 * gateway that de-duplicates the downstream key protects.
 *
 * | option | default | bounds |
 * |---|---|---|
 * | `lease` | 30 seconds | 10 milliseconds to 1 day |
 * | `ttl` (from completion) | 24 hours | 1 second to 10 years |
 * | `settle` | 5 minutes | 1 second to a year |
 * | `attemptsMax` (unresolved ends until `Parked`) | 10 | 1 to 1000 |
 * | `duplicates`, `awaitAtMost` | `"reject"`, 30 seconds | 1 millisecond to 1 day |
 * | `onInterrupt` | `"indeterminate"` | |
 * | `resolveTimeout` | 10 seconds | 1 millisecond to 1 hour |
 * | `payloadLimitBytes`, `resultLimitBytes` | 256 KiB, 256 KiB | 1 byte to 16 MiB |
 *
 * An option that is out of bounds, and a success or error schema of which a part has no stored form (`Unknown`, `Any`,
 * `Object`, `instanceOf`), is a mistake in the program: the call dies with `Resilience.InvalidOption`, and nothing is
 * claimed or run.
 *
 * Read `IdempotencyStore` for where records are kept, `Resilience` for what stands inside.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import type { IdempotencyStore, StoreUnavailable } from "./IdempotencyStore.ts"
import { Digest, type SecureRandom } from "./internal/effect/crypto.ts"
import type { Call, Policy, ResolveContext as Context_ } from "./internal/idempotency/call.ts"
import * as engine from "./internal/idempotency/engine.ts"
import type { Answered } from "./internal/idempotency/entry.ts"
import * as errors from "./internal/idempotency/errors.ts"
import * as lookup from "./internal/idempotency/lookup.ts"
import { reportSweep } from "./internal/idempotency/observe.ts"
import { defaults, isDefault, policyOf, ttlOf } from "./internal/idempotency/policy.ts"
import * as record from "./internal/idempotency/record.ts"
import { reader, yearMillis } from "./internal/option/option.ts"
import { codecOf } from "./internal/stack/canonical.ts"
import { type Claim as ClaimService, GatewayCallMustBeInsideIdempotent } from "./internal/stack/claim.ts"
import { downstreamKey as deriveDownstreamKey } from "./internal/stack/makeClaim.ts"
import type {
  BulkheadMustBeInsideIdempotent,
  CircuitBreakerMustBeInsideIdempotent,
  HedgeMustBeInsideIdempotent,
  Marker,
  RateLimitMustBeInsideIdempotent,
  RetryMustBeInsideIdempotent,
  ThrottleMustBeInsideIdempotent,
  TimeoutMustBeInsideIdempotent
} from "./internal/stack/markers.ts"
import { narrow } from "./internal/stack/narrow.ts"
import { ReadOnly } from "./internal/stack/readOnly.ts"
import type { HasDisposition, PaymentError } from "./PaymentError.ts"
import type * as PaymentGateway from "./PaymentGateway.ts"
import { InvalidOption } from "./Resilience.ts"

/**
 * The evidence that a call belongs to an idempotent operation: scope, key, fence, attempt and the downstream keys. Only
 * {@link idempotent} and saga steps provide it.
 *
 * @category models
 * @since 0.1.0
 */
export type Claim = ClaimService

/**
 * Whose key it is: tenant, operation and version, all required, so that a key of one tenant or operation never answers
 * for another. Raise the version when payload or result change shape. Names are 1 to 255 printable ASCII characters.
 *
 * **Example**
 *
 * ```ts
 * import { Idempotency } from "effect-payments"
 *
 * Idempotency.Scope.make({ tenant: "acme", operation: "charge", version: 1 }).operation // => "charge"
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export const Scope = record.Scope

/**
 * See {@link Scope}.
 *
 * @category models
 * @since 0.1.0
 */
export type Scope = typeof record.Scope.Type

/**
 * An idempotency key as a client sends it: 1 to 255 printable ASCII characters. Decode it at the boundary.
 *
 * @category models
 * @since 0.1.0
 */
export const Key = record.Key

/**
 * See {@link Key}.
 *
 * @category models
 * @since 0.1.0
 */
export type Key = typeof record.Key.Type

/**
 * What a resolver knows about the operation: see {@link Options}.
 *
 * @category models
 * @since 0.1.0
 */
export type ResolveContext = Context_

/**
 * What a resolver says. `NeverHappened` with `repeatable` means that the same downstream key may be sent again, since
 * the gateway still de-duplicates it; without, the operation runs again only after `settle`.
 *
 * @category models
 * @since 0.1.0
 */
export type Resolution<A, E> =
  | PaymentGateway.Lookup<A, E>
  | { readonly _tag: "NeverHappened"; readonly repeatable?: boolean }

/**
 * Looks up what became of an operation whose end nobody knows. A resolver that fails or hangs counts as `StillUnknown`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Resolver<A, E, R> {
  (context: ResolveContext): Effect.Effect<Resolution<A, E>, unknown, R>
  /** The phases that it asks for, if it is about gateway calls: a call under another one does not leave. */
  readonly phases?: ReadonlyArray<string> | undefined
}

/**
 * What {@link idempotent} needs to know. All schemas are required: what cannot be stored does not compile.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<P, A, E, R2 = never> {
  readonly scope: Scope
  readonly key: Key
  /** What the operation is about. Its fingerprint ties the key to it. */
  readonly payload: P
  readonly payloadSchema: Schema.Codec<P, unknown>
  readonly success: Schema.Codec<A, unknown>
  readonly error: Schema.Codec<E, unknown>
  /** Looks up an end that nobody knows. Without one such an operation answers `OutcomeUnknown` until it is resolved. */
  readonly resolve?: Resolver<A, E, R2> | undefined
  /** How long {@link resolve} may take. */
  readonly resolveTimeout?: Duration.Input | undefined
  /** The phase whose key `OutcomeUnknown` names; by default all that {@link resolve} asks for, or that have left. */
  readonly phase?: string | undefined
  /** How long a claim holds without a renewal. Renewed every third of it. */
  readonly lease?: Duration.Input | undefined
  /** How long an answer is kept, counted from completion. */
  readonly ttl?: Duration.Input | undefined
  /**
   * How long after the last lease a `NeverHappened` is believed. Longer than a request can be under way: a
   * `Resilience.timeout` inside that is longer is refused.
   */
  readonly settle?: Duration.Input | undefined
  /** After this many ends that could not be resolved the record is parked for an operator. */
  readonly attemptsMax?: number | undefined
  /** What a duplicate in flight gets: `InFlight` at once, or the answer of the first. */
  readonly duplicates?: "reject" | "await" | undefined
  readonly awaitAtMost?: Duration.Input | undefined
  /**
   * What happens to the work when everyone who waited for it is gone: interrupted and `Indeterminate`, or left to end.
   */
  readonly onInterrupt?: "indeterminate" | "detach" | undefined
  readonly payloadLimitBytes?: number | undefined
  readonly resultLimitBytes?: number | undefined
  /** See {@link TransactionalOptions}. */
  readonly transactional?: false | undefined
}

/**
 * Effect and record in one transaction of the store's database, opened after the claim has committed alone: rows and
 * record are there together or not at all. A gateway call inside does not compile, since it would leave whatever becomes
 * of the transaction. What was rolled back did not happen, so there is nothing to look up.
 *
 * The store has to have transactions, as those over SQL do. Whether an operation is transactional belongs to what it is:
 * raise the scope's version when that changes. A call with the other one meets a `KeyConflict`.
 *
 * Keep it short. Over SQLite, whose one connection it holds, it is rolled back once it has kept a renewal waiting for a
 * sixth of the lease: `StoreUnavailable` (`TransactionTooLong`), and the key is free.
 *
 * @category models
 * @since 0.1.0
 */
export interface TransactionalOptions<P, A, E>
  extends Omit<Options<P, A, E>, "phase" | "resolve" | "resolveTimeout" | "settle" | "transactional">
{
  readonly transactional: true
}

/**
 * An answer with where it comes from: run now, replayed from an earlier call or from one that was joined, or found by
 * the resolver.
 *
 * @category models
 * @since 0.1.0
 */
export interface Receipt<A> {
  readonly value: A
  readonly replayed: boolean
  readonly how: "executed" | "replayed" | "resolved"
  readonly fence: number
  readonly attempt: number
}

/**
 * What runs the operations of a process. Only {@link layer} makes one, and only the functions of this module read it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Runtime {
  readonly "~effect-payments/Idempotency": true
}

/**
 * Runs idempotent operations over a store. One per process and store: it renews all leases, joins local duplicates and
 * owns the fibers in which operations run.
 *
 * @category services
 * @since 0.1.0
 */
export class Idempotency extends Context.Service<Idempotency, Runtime>()("effect-payments/Idempotency") {}

const engineOf = (runtime: Runtime): engine.Engine => runtime as Runtime & engine.Engine

/**
 * Builds {@link Idempotency} over an `IdempotencyStore`. Expired records are swept in batches of `sweepLimit` every
 * `sweepEvery` (5 minutes; `false` leaves it to you). Dies with `Resilience.InvalidOption`.
 *
 * **Details**
 *
 * Take `Digest` and `SecureRandom` from `NodeCrypto.layer` of `@effect/platform-node`: WebCrypto's digest is about
 * twenty times slower for payloads of this size.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: {
  readonly sweepEvery?: Duration.Input | false | undefined
  readonly sweepLimit?: number | undefined
}): Layer.Layer<Idempotency, never, IdempotencyStore | Digest.Digest | SecureRandom.SecureRandom> =>
  Layer.effect(
    Idempotency,
    Effect.gen(function*() {
      const made = yield* engine.make
      if (options?.sweepEvery !== false) {
        const { integer, millis } = reader("Idempotency.layer")
        const every = yield* millis("sweepEvery", options?.sweepEvery ?? "5 minutes", 1, yearMillis)
        const limit = yield* integer("sweepLimit", options?.sweepLimit ?? 1000, 1, record.sweepLimitMax)
        const sweep = Effect.catchCause(made.store.sweep({ limit }), reportSweep)
        yield* Effect.forkScoped(Effect.forever(Effect.delay(sweep, Duration.millis(every))))
      }
      return made as engine.Engine & Runtime
    })
  )

type Provided = ClaimService | Marker

type NoGatewayCall<R> = GatewayCallMustBeInsideIdempotent extends R ? {
    readonly "a gateway call inside transactional: true would keep the transaction open while it waits: use two operations":
      never
  }
  : unknown

/**
 * Runs the effect at most once per key; later calls get the first answer, success or refusal, equal to the first in all
 * that its schema describes.
 *
 * **When to use**
 *
 * Around everything that moves money, outermost in the stack, right before {@link operation}.
 *
 * **Details**
 *
 * Adds `IdempotencyError` to the errors and `Idempotency` to the services, and provides the `Claim` that gateway calls
 * need. A failure is kept or not by its disposition: `Refused` is stored and replayed with its type, `NotExecuted` frees
 * the slot, and everything else is looked up by `resolve`, then `Indeterminate`. Defects and interruptions count as
 * unknown and are passed on.
 *
 * **Example**
 *
 * ```ts
 * import { NodeCrypto } from "@effect/platform-node"
 * import { Effect, Layer, Schema } from "effect"
 * import { Idempotency, IdempotencyStore, PaymentError } from "effect-payments"
 *
 * let runs = 0
 * const charge = (orderId: string) =>
 *   Effect.sync(() => ({ receipt: `${orderId}-${++runs}` })).pipe(
 *     Idempotency.idempotent({
 *       scope: Idempotency.Scope.make({ tenant: "acme", operation: "charge", version: 1 }),
 *       key: Idempotency.Key.make("8e03978e"),
 *       payload: { orderId },
 *       payloadSchema: Schema.Struct({ orderId: Schema.String }),
 *       success: Schema.Struct({ receipt: Schema.String }),
 *       error: PaymentError.PaymentError
 *     })
 *   )
 *
 * const layer = Idempotency.layer().pipe(
 *   Layer.provide(IdempotencyStore.layerStoreMemory()),
 *   Layer.provide(NodeCrypto.layer)
 * )
 * const program = Effect.all([charge("A"), charge("A"), Effect.flip(charge("B"))])
 * const [first, second, conflict] = await Effect.runPromise(Effect.provide(program, layer))
 *
 * first // => { receipt: "A-1" }
 * second // => { receipt: "A-1" }
 * conflict.message // => "this idempotency key was used with another payload: send a new key for a new operation"
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const idempotent: {
  <P, A, E extends HasDisposition>(
    options: TransactionalOptions<P, A, E>
  ): <R>(
    self: Effect.Effect<A, E, R> & NoGatewayCall<R>
  ) => Effect.Effect<A, E | IdempotencyError, Exclude<R, Marker> | Idempotency>
  <P, A, E extends HasDisposition, R2 = never>(
    options: Options<P, A, E, R2>
  ): <R>(
    self: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | IdempotencyError, Exclude<R, Provided> | R2 | Idempotency>
  <P, A, E extends HasDisposition, R>(
    self: Effect.Effect<A, E, R> & NoGatewayCall<R>,
    options: TransactionalOptions<P, A, E>
  ): Effect.Effect<A, E | IdempotencyError, Exclude<R, Marker> | Idempotency>
  <P, A, E extends HasDisposition, R, R2 = never>(
    self: Effect.Effect<A, E, R>,
    options: Options<P, A, E, R2>
  ): Effect.Effect<A, E | IdempotencyError, Exclude<R, Provided> | R2 | Idempotency>
} = dual(
  2,
  <A, E, R, P, R2>(self: Effect.Effect<A, E, R>, options: AnyOptions<P, A, E, R2>) => run(self, options, exitOf)
)

/**
 * The same as {@link idempotent}, answering with a {@link Receipt} that says whether the answer is a replay. Whether a
 * refusal is one is in the span attribute `idempotency.replayed` and in the metric
 * `effect_payments_idempotency_answers_total`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const idempotentWithReceipt: {
  <P, A, E extends HasDisposition>(
    options: TransactionalOptions<P, A, E>
  ): <R>(
    self: Effect.Effect<A, E, R> & NoGatewayCall<R>
  ) => Effect.Effect<Receipt<A>, E | IdempotencyError, Exclude<R, Marker> | Idempotency>
  <P, A, E extends HasDisposition, R2 = never>(
    options: Options<P, A, E, R2>
  ): <R>(
    self: Effect.Effect<A, E, R>
  ) => Effect.Effect<Receipt<A>, E | IdempotencyError, Exclude<R, Provided> | R2 | Idempotency>
  <P, A, E extends HasDisposition, R>(
    self: Effect.Effect<A, E, R> & NoGatewayCall<R>,
    options: TransactionalOptions<P, A, E>
  ): Effect.Effect<Receipt<A>, E | IdempotencyError, Exclude<R, Marker> | Idempotency>
  <P, A, E extends HasDisposition, R, R2 = never>(
    self: Effect.Effect<A, E, R>,
    options: Options<P, A, E, R2>
  ): Effect.Effect<Receipt<A>, E | IdempotencyError, Exclude<R, Provided> | R2 | Idempotency>
} = dual(
  2,
  <A, E, R, P, R2>(self: Effect.Effect<A, E, R>, options: AnyOptions<P, A, E, R2>) => run(self, options, receiptOf)
)

type AnyOptions<P, A, E, R2> = Options<P, A, E, R2> | TransactionalOptions<P, A, E>

const exitOf = ({ exit }: Answered): Exit.Exit<unknown, unknown> => exit

const receiptOf = ({ attempt, exit, fence, how }: Answered): Exit.Exit<Receipt<unknown>, unknown> =>
  Exit.map(exit, (value) => ({ value, replayed: how === "replayed", how, fence, attempt }))

// One primitive from the caller's fiber to the engine: this is the hot path of every replay.
const run = <A, E, R, P, R2>(
  self: Effect.Effect<A, E, R>,
  options: AnyOptions<P, A, E, R2>,
  project: (answered: Answered) => Exit.Exit<unknown, unknown>
) =>
  Effect.withFiber((caller) => {
    const policy = isDefault(options) ? defaults : policyOf(options)
    if (policy instanceof InvalidOption) return Effect.die(policy)
    const call = callOf(self, options, policy, project)
    const { errorCodec, successCodec } = call
    return successCodec.unstorable === undefined && errorCodec.unstorable === undefined
      ? engineOf(Context.getUnsafe(caller.context, Idempotency)).run(call, caller)
      : Effect.die(unstorableOf(successCodec.unstorable, errorCodec.unstorable))
  }) as Effect.Effect<never, IdempotencyError>

const unstorableOf = (success: string | undefined, error: string | undefined) =>
  new InvalidOption({
    stage: "idempotent",
    option: success === undefined ? "error" : "success",
    expected: `a schema whose values read back as they were stored, such as Schema.Json: ${success ?? error}`
  })

const callOf = <A, E, R, P, R2>(
  self: Effect.Effect<A, E, R>,
  options: AnyOptions<P, A, E, R2>,
  policy: Policy,
  project: Call["project"]
): Call => ({
  id: record.recordId(options.scope, options.key),
  payload: options.payload,
  payloadCodec: codecOf(options.payloadSchema),
  successCodec: codecOf(options.success),
  errorCodec: codecOf(options.error),
  self,
  resolve: "resolve" in options ? options.resolve : undefined,
  policy,
  project
})

/**
 * A resolver that asks the gateway for the downstream keys of all calls that the operation makes. `phases` names them,
 * each one, in the order in which they leave: the gateway's method, or what {@link phase} has made of it.
 *
 * **Details**
 *
 * | what the gateway knows | answer |
 * |---|---|
 * | the last call happened | `Happened`, with its transaction |
 * | all were refused | `Refused`, with the error of the last |
 * | none happened | `NeverHappened`, `repeatable` while the gateway de-duplicates a key of that age |
 * | some happened or were refused, the others never | `NeverHappened` while it is repeatable: the operation runs again, and each call that was answered gets its answer again. Else `StillUnknown` |
 * | one is still unknown | `StillUnknown` |
 *
 * A gateway call under a phase that is not listed dies before it leaves, unless it is a {@link bestEffort} one: what became
 * of it could not be told. An operation whose result is not the transaction of its last call needs a resolver of its own.
 *
 * `accepts` looks at the transaction that was found, such as at its amount. One that it does not accept is `StillUnknown`,
 * and logged as an error.
 *
 * **Example**
 *
 * ```ts
 * import { Idempotency } from "effect-payments"
 *
 * const charge = Idempotency.resolveByLookup({ phases: ["authorize"] })
 * const sale = Idempotency.resolveByLookup({ phases: ["authorize", "capture"] })
 * const twoCards = Idempotency.resolveByLookup({ phases: ["authorize", "second-card/authorize"] })
 * ```
 *
 * @category resolvers
 * @since 0.1.0
 */
export const resolveByLookup = (
  options: {
    readonly phases: readonly [string, ...ReadonlyArray<string>]
    readonly accepts?: ((transaction: PaymentGateway.Transaction) => boolean) | undefined
  }
): Resolver<PaymentGateway.Transaction, PaymentError, PaymentGateway.PaymentGateway> =>
  lookup.byPhases(options.phases, options.accepts)

/**
 * Gives the gateway calls of the effect a phase of their own, so that an operation can send a second, different request:
 * another card after a decline, the part that a challenge was about. The phase's name enters the downstream key.
 *
 * @category combinators
 * @since 0.1.0
 */
export const phase: {
  (name: string): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R | Claim>
  <A, E, R>(self: Effect.Effect<A, E, R>, name: string): Effect.Effect<A, E, R | Claim>
} = dual(
  2,
  <A, E, R>(self: Effect.Effect<A, E, R>, name: string): Effect.Effect<A, E, R | Claim> =>
    narrow(self, (claim) => ({ phase: claim.phase === undefined ? name : `${claim.phase}/${name}` }))
)

/**
 * Says that the end of these gateway calls does not decide the end of the operation: one of them that is in doubt leaves
 * the operation's answer as it is. They carry their downstream keys like all others.
 *
 * **When to use**
 *
 * For what tidies up after the answer is known, such as the void of an authorization that was a check of the card.
 *
 * **Gotchas**
 *
 * Without it a success in which a call is in doubt is not taken for one: the operation is looked up, and
 * `OutcomeUnknown` until somebody knows. So an effect cannot turn a timeout into a success by catching it. Whoever wraps
 * a call that takes money in `bestEffort` gives that up.
 *
 * @category combinators
 * @since 0.1.0
 */
export const bestEffort = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R | Claim> =>
  narrow(self, (claim) => ({ depart: (departure) => claim.depart({ ...departure, isBestEffort: true }) }))

/**
 * The downstream key for a call of this operation, or of this step of a saga, to something that is no `PaymentGateway`: a
 * warehouse, a carrier, a service of your own that knows a key again.
 *
 * **Details**
 *
 * The same in every try, process and take-over; a step's undo has another one. `phase` tells calls of one operation apart
 * ({@link phase} is put before it); it must not be that of a gateway call of the same operation, such as `"authorize"`,
 * whose key it would be. Nobody notes that the call leaves: whether it may have happened is what its failure's
 * `disposition` says.
 *
 * **Example** (the key that a step sends, which its `verify` can ask for)
 *
 * ```ts
 * import { NodeCrypto } from "@effect/platform-node"
 * import { Effect, Layer, Schema } from "effect"
 * import { Idempotency, PaymentError, Saga, SagaLog } from "effect-payments"
 *
 * const order = Saga.make("order", { payload: Schema.String }).pipe(
 *   Saga.pivot("ship", {
 *     success: Schema.String,
 *     error: PaymentError.PaymentError,
 *     verify: "rerun",
 *     run: () => Idempotency.currentDownstreamKey("ship")
 *   })
 * )
 *
 * const layer = Saga.layer().pipe(Layer.provide([SagaLog.layerStoreMemory(), NodeCrypto.layer]))
 * const program = Saga.assertSucceeded(Saga.execute(order, "lamp", { id: "order-1" }))
 * const { ship } = await Effect.runPromise(Effect.provide(program, layer))
 *
 * ship.slice(0, 4) // => "ep1_"
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const currentDownstreamKey = (phase: string): Effect.Effect<string, never, Claim> =>
  Effect.flatMap(
    GatewayCallMustBeInsideIdempotent,
    (claim) => claim.downstreamKey(claim.phase === undefined ? phase : `${claim.phase}/${phase}`)
  )

/**
 * Marks an effect without side effects: it may be retried, limited and broken without a store. An effect that needs a
 * `Claim` moves money and is refused.
 *
 * @category combinators
 * @since 0.1.0
 */
export const readOnly = <A, E, R>(
  self:
    & Effect.Effect<A, E, R>
    & (GatewayCallMustBeInsideIdempotent extends R
      ? { readonly "readOnly cannot wrap a gateway call that moves money: use idempotent": never }
      : Idempotency extends R ? {
          readonly "readOnly cannot wrap an idempotent operation, which moves money: retry inside of idempotent": never
        }
      : unknown)
): Effect.Effect<A, E, Exclude<R, Marker>> =>
  Effect.provideService(self, ReadOnly, true) as Effect.Effect<A, E, Exclude<R, Marker>>

type Open<R> = GatewayCallMustBeInsideIdempotent extends R
  ? { readonly "a gateway call is outside idempotent(...): pipe idempotent after it": never }
  : RetryMustBeInsideIdempotent extends R
    ? { readonly "retry(...) is outside idempotent(...): pipe idempotent after it": never }
  : CircuitBreakerMustBeInsideIdempotent extends R
    ? { readonly "circuitBreaker(...) is outside idempotent(...): pipe idempotent after it": never }
  : HedgeMustBeInsideIdempotent extends R
    ? { readonly "hedge(...) is outside idempotent(...): pipe idempotent after it": never }
  : ThrottleMustBeInsideIdempotent extends R
    ? { readonly "throttle(...) is outside idempotent(...): pipe idempotent after it": never }
  : RateLimitMustBeInsideIdempotent extends R
    ? { readonly "rateLimit(...) is outside idempotent(...): pipe idempotent after it": never }
  : BulkheadMustBeInsideIdempotent extends R
    ? { readonly "bulkhead(...) is outside idempotent(...): pipe idempotent after it": never }
  : TimeoutMustBeInsideIdempotent extends R
    ? { readonly "timeout(...) is outside idempotent(...): pipe idempotent after it": never }
  : unknown

/**
 * Closes a stack: checks that every stage stands inside `idempotent` or `readOnly`, says so in a sentence where it does
 * not, and opens one span with this name.
 *
 * @category combinators
 * @since 0.1.0
 */
export const operation = (
  name: string
): <A, E, R>(self: Effect.Effect<A, E, R> & Open<R>) => Effect.Effect<A, E, R> => {
  const withSpan = Effect.withSpan(name)
  return <A, E, R>(self: Effect.Effect<A, E, R>) => withSpan(self) as Effect.Effect<A, E, R>
}

/**
 * The record of a key, if there is one.
 *
 * @category operators
 * @since 0.1.0
 */
export const inspect = (
  id: { readonly scope: Scope; readonly key: Key }
): Effect.Effect<record.Record | undefined, IdempotencyError, Idempotency> =>
  operate((store) => Effect.map(store.inspect(record.recordId(id.scope, id.key)), ({ record }) => record))

/**
 * The key under which the gateway calls of a phase leave: what to look for at the gateway, or in logs. `phase` is that of
 * the call, by default `authorize`.
 *
 * **Example**
 *
 * ```ts
 * import { NodeCrypto } from "@effect/platform-node"
 * import { Effect } from "effect"
 * import { Idempotency } from "effect-payments"
 *
 * const scope = Idempotency.Scope.make({ tenant: "acme", operation: "charge", version: 1 })
 * const sent = Idempotency.downstreamKey({ scope, key: Idempotency.Key.make("4711"), phase: "capture" })
 *
 * await Effect.runPromise(Effect.provide(sent, NodeCrypto.layer)) // => "ep1_0255351a40f698dfa908bcfa7ebac642f2600510"
 * ```
 *
 * @category operators
 * @since 0.1.0
 */
export const downstreamKey = (
  id: { readonly scope: Scope; readonly key: Key; readonly phase?: string | undefined }
): Effect.Effect<string, never, Digest.Digest> =>
  Effect.flatMap(
    Digest.Digest,
    (digest) => deriveDownstreamKey(digest, record.recordId(id.scope, id.key), id.phase ?? "authorize")
  )

/**
 * One page of records in a stable order; `stuck` picks those that nobody works on and nobody knows.
 *
 * @category operators
 * @since 0.1.0
 */
export const list = (
  filter: Omit<record.ListRequest, "limit"> & { readonly limit?: number }
): Effect.Effect<ReadonlyArray<record.Record>, IdempotencyError, Idempotency> =>
  operate((store) => store.list({ ...filter, limit: filter.limit ?? 100 }))

/**
 * Drops a record. One in flight, `Indeterminate` or `Parked` is held back unless forced: forcing forgets that something
 * may have happened.
 *
 * @category operators
 * @since 0.1.0
 */
export const evict = (
  id: { readonly scope: Scope; readonly key: Key; readonly force?: boolean }
): Effect.Effect<record.Eviction, IdempotencyError, Idempotency> =>
  operate((store) => store.evict(record.recordId(id.scope, id.key), { force: id.force ?? false }))

/**
 * Settles a record that nobody works on (`Indeterminate`, `Parked`, or a lapsed claim) with what was found out by other
 * means. `fence` is the one that {@link inspect} showed. Answers whether it was settled.
 *
 * @category operators
 * @since 0.1.0
 */
export const resolve = <A, E>(options: {
  readonly scope: Scope
  readonly key: Key
  readonly fence: number
  readonly success: Schema.Codec<A, unknown>
  readonly error: Schema.Codec<E, unknown>
  readonly resolution: Exclude<PaymentGateway.Lookup<A, E>, { readonly _tag: "StillUnknown" }>
  readonly ttl?: Duration.Input | undefined
}): Effect.Effect<boolean, IdempotencyError, Idempotency> => {
  const { resolution } = options
  const stored = resolution._tag === "Happened"
    ? codecOf(options.success).store(resolution.result, resultLimitBytes)
    : resolution._tag === "Refused"
    ? codecOf(options.error).store(resolution.error, resultLimitBytes)
    : Result.succeed("")
  if (Result.isFailure(stored)) {
    return Effect.fail(
      new IdempotencyError({ reason: new ResultInvalid({ detail: stored.failure, downstreamKey: "" }) })
    )
  }
  const ttlMillis = ttlOf(options.ttl)
  if (ttlMillis instanceof InvalidOption) return Effect.die(ttlMillis)
  return operate((store) =>
    store.resolve({
      ...record.recordId(options.scope, options.key),
      fence: options.fence,
      ttlMillis,
      resolution: resolution._tag === "NeverHappened"
        ? { _tag: "NeverHappened" }
        : { _tag: resolution._tag === "Happened" ? "Succeeded" : "Refused", result: stored.success }
    })
  )
}

const resultLimitBytes = 262_144

const operate = <A>(
  f: (store: IdempotencyStore["Service"]) => Effect.Effect<A, StoreUnavailable>
): Effect.Effect<A, IdempotencyError, Idempotency> =>
  Effect.flatMap(
    Idempotency,
    (runtime) => Effect.mapError(f(engineOf(runtime).store), (reason) => new IdempotencyError({ reason }))
  )

/**
 * The same key came with another payload.
 *
 * @category reasons
 * @since 0.1.0
 */
export const KeyConflict = errors.KeyConflict

/**
 * The operation is running, here or elsewhere; ask again with the same key, at the latest after `retryAfter`.
 *
 * @category reasons
 * @since 0.1.0
 */
export const InFlight = errors.InFlight

/**
 * It may have happened and nobody can tell yet. Nothing is run again; each later call tries to look it up.
 *
 * @category reasons
 * @since 0.1.0
 */
export const OutcomeUnknown = errors.OutcomeUnknown

/**
 * Too many attempts ended unresolved: an operator has to look.
 *
 * @category reasons
 * @since 0.1.0
 */
export const Parked = errors.Parked

/**
 * A stored answer does not fit the schemas any more.
 *
 * @category reasons
 * @since 0.1.0
 */
export const RecordUnreadable = errors.RecordUnreadable

/**
 * Called inside an open transaction of the store's database.
 *
 * @category reasons
 * @since 0.1.0
 */
export const InsideTransaction = errors.InsideTransaction

/**
 * A second, different request was about to leave under the same downstream key. It did not leave.
 *
 * @category reasons
 * @since 0.1.0
 */
export const DownstreamKeyReused = errors.DownstreamKeyReused

/**
 * The payload cannot be fingerprinted: not encodable, not a finite number, a lone surrogate, too deep, too large.
 *
 * @category reasons
 * @since 0.1.0
 */
export const PayloadInvalid = errors.PayloadInvalid

/**
 * The operation ended, but its result cannot be stored (not encodable, too large). It is not run again.
 *
 * @category reasons
 * @since 0.1.0
 */
export const ResultInvalid = errors.ResultInvalid

/**
 * The one error that {@link idempotent} adds. Its `disposition` is what is known about the operation: `Refused` for a
 * misuse; `NotExecuted` where its transaction was rolled back; `Unknown` otherwise, also when the store could not be asked,
 * since an earlier call with the key may have happened. `InFlight` and `StoreUnavailable` are `repeatable`: ask again with
 * the same key, and with no other.
 *
 * @category errors
 * @since 0.1.0
 */
export const IdempotencyError = errors.IdempotencyError

/**
 * See {@link IdempotencyError}.
 *
 * @category errors
 * @since 0.1.0
 */
export type IdempotencyError = errors.IdempotencyError
