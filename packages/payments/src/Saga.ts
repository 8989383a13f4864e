/**
 * A transaction over services that share none: named steps, each with its undo, that end all done or all undone.
 *
 * The failure it prevents is the half-done checkout: a shipment that fails after the card was charged, a process that
 * dies between the capture and its record, a timeout whose request had arrived and that nobody undoes. Five rules keep
 * it:
 *
 * - The obligation to undo a step is durable before the step's request leaves.
 * - A step that may have happened is neither failed nor done: it is verified, and undone if nobody can tell.
 * - A saga is undone for one reason alone: a durable event says so. A shutdown, a crash, a lost lease or a log that
 *   cannot be written only suspends it, and any process resumes it from its log.
 * - Every undo has its tries and exactly one recorded outcome, also when another one fails.
 * - Behind the pivot it goes forward only.
 *
 * What it cannot do: keep others from seeing what is not finished, or undo what has no undo. A process that is frozen
 * past its lease may send on waking; there only a gateway that de-duplicates the downstream key protects.
 *
 * | option | default | bounds |
 * |---|---|---|
 * | step: `timeout`, `verifyTimeout`, `undoTimeout` | 5 minutes, 10 seconds, 1 minute | 1 ms to a year |
 * | step: `schedule` | 3 tries, 2 and 4 seconds apart; a retriable step 10, from 1 second doubling up to 1 minute | 100 tries, a year between two |
 * | step: `undoSchedule`, verification | 3 tries, 2 and 4 seconds apart | 100 tries, a year between two |
 * | `layer`: `lease` | 30 seconds | 10 ms to a day |
 * | `layer`: `awaitAtMost`, `logTimeout` | 30 seconds, 10 seconds | 0 and 1 ms to a day |
 * | `layer`: `payloadLimitBytes`, `resultLimitBytes` | 256 KiB, 256 KiB | 1 byte to 16 MiB |
 * | `layer`: `entriesMax` per run, `runsMax` per process | 1000, 10 000 | 1 to 100 000, 1 to 1 000 000 |
 * | `layer`: `redefinedAfter` | 1 hour | 1 ms to a year |
 * | `layer`: `retention` of what has ended, `sweepEvery` | 30 days, 5 minutes | 1 second to 10 years, 10 ms to a year |
 * | `layerRecover`: `every`, `concurrency` | 10 seconds, 50 | 10 ms to a day, 1 to 1000 |
 *
 * A saga has 1 to 100 steps. A step that is out of bounds is refused with `SagaInvalid`; a layer dies with
 * `Resilience.InvalidOption`. Where the other side asks for patience it gets an hour at most.
 *
 * Read `SagaLog` for where sagas are written down, `PaymentGateway` for what steps call.
 *
 * @since 0.1.0
 */
import * as Cause_ from "effect/Cause"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Digest, SecureRandom } from "./internal/effect/crypto.ts"
import { dayMillis, durationFrom, millisIn, reader, yearMillis } from "./internal/option/option.ts"
import { Skip } from "./internal/saga/attempt.ts"
import { CurrentDepartures } from "./internal/saga/departures.ts"
import * as differences from "./internal/saga/diff.ts"
import * as engine from "./internal/saga/engine.ts"
import * as errors from "./internal/saga/errors.ts"
import type * as execution from "./internal/saga/execution.ts"
import { ParkRequested } from "./internal/saga/failure.ts"
import * as mermaid from "./internal/saga/mermaid.ts"
import * as operator from "./internal/saga/operator.ts"
import * as steps from "./internal/saga/step.ts"
import * as timelines from "./internal/saga/timeline.ts"
import * as tracing from "./internal/saga/trace.ts"
import { GatewayCallMustBeInsideIdempotent } from "./internal/stack/claim.ts"
import {
  dispositionOf,
  GatewayTimeout,
  type HasDisposition,
  make as makeError,
  type PaymentError
} from "./PaymentError.ts"
import * as PaymentGateway from "./PaymentGateway.ts"
import type { History, ListedRun, SagaLog } from "./SagaLog.ts"

/** @category models @since 0.1.0 */
export type Saga<Ctx, E, R, P extends steps.Phase = steps.Phase> = steps.Saga<Ctx, E, R, P>
/** @category models @since 0.1.0 */
export type Any = steps.Any
/** @category models @since 0.1.0 */
export type Outcome<A> = steps.Outcome<A>
/** @category models @since 0.1.0 */
export type InDoubt = steps.InDoubt
/** @category models @since 0.1.0 */
export type Verdict<A, E> = steps.Verdict<A, E>
/** @category models @since 0.1.0 */
export type Doubt = steps.Doubt
/** @category models @since 0.1.0 */
export type Verify<Ctx, A, E, R> = steps.Verify<Ctx, A, E, R>
/** @category models @since 0.1.0 */
export type Branch<Ctx, A, E, R, K extends "compensatable" | "retriable"> = steps.Branch<Ctx, A, E, R, K>
/** @category models @since 0.1.0 */
export type Signal<Name extends string, A> = steps.Signal<Name, A>
/** @category models @since 0.1.0 */
export type Arrival<A> = steps.Arrival<A>
/** @category models @since 0.1.0 */
export type Cause<E> = execution.Cause<E>
/** @category models @since 0.1.0 */
export type Difference = differences.Difference
/** @category models @since 0.1.0 */
export type Change = differences.Change
/** @category models @since 0.1.0 */
export type Undo = execution.Undo
/** @category models @since 0.1.0 */
export type Stuck = execution.Stuck
/** @category models @since 0.1.0 */
export type Execution<Ctx, E> = execution.Execution<Ctx, E>

/**
 * The services that the steps of a saga need.
 *
 * @category models
 * @since 0.1.0
 */
export type Services<S> = S extends Saga<infer _Ctx, infer _E, infer R, infer _P> ? R : never

// --- building

/**
 * A saga without steps. The name tells its runs from those of other sagas in the log: it stays what it is.
 *
 * **When to use**
 *
 * Where one intention calls several services and none of them can be left alone: reserve, authorize, capture, ship.
 *
 * **Example**
 *
 * ```ts
 * import { NodeCrypto } from "@effect/platform-node"
 * import { Effect, Layer, Schema } from "effect"
 * import { PaymentError, Saga, SagaLog } from "effect-payments"
 *
 * class OutOfStock extends Schema.TaggedError<OutOfStock>()("OutOfStock", {}) {
 *   readonly disposition = "Refused" as const
 * }
 *
 * const released: Array<string> = []
 * const order = Saga.make("order", { payload: Schema.Struct({ sku: Schema.String }) }).pipe(
 *   Saga.step("reserve", {
 *     success: Schema.Struct({ id: Schema.String }),
 *     error: PaymentError.PaymentError,
 *     run: ({ payload }) => Effect.succeed({ id: `res-${payload.sku}` }),
 *     verify: "rerun",
 *     compensate: (outcome) =>
 *       Effect.sync(() => outcome._tag === "Done" ? released.push(outcome.result.id) : released.push("in doubt"))
 *   }),
 *   Saga.pivot("ship", {
 *     success: Schema.Struct({ parcel: Schema.String }),
 *     error: OutOfStock,
 *     run: (_): Effect.Effect<{ readonly parcel: string }, OutOfStock> => Effect.fail(new OutOfStock()),
 *     verify: "rerun"
 *   })
 * )
 *
 * const layer = Saga.layer().pipe(Layer.provide([SagaLog.layerStoreMemory(), NodeCrypto.layer]))
 * const program = Saga.execute(order, { sku: "A-1" }, { id: "order-1" })
 * const execution = await Effect.runPromise(Effect.provide(program, layer))
 *
 * execution._tag // => "Compensated"
 * released // => ["res-A-1"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <P>(
  name: string,
  options: { readonly payload: Schema.Codec<P, unknown> }
): Saga<{ readonly payload: P }, never, never, "compensatable"> =>
  steps.makeUntyped(name, options.payload as Schema.Codec<unknown, unknown>, []) as never

/**
 * Adds a step that can be undone.
 *
 * **Details**
 *
 * `run`, `verify` and `compensate` get the `Claim` that gateway calls need. Its downstream keys are derived from the
 * saga's name, the run's id, the step and the phase (and undo or not), so they are the same in every try and every
 * process. Stages of `Resilience` may stand inside; `idempotent` is not needed.
 *
 * `run` ends in one of three ways. A success, or a failure that is `Refused`, is the answer. One that is `NotExecuted`
 * is tried again by `schedule`, and then fails the saga. Everything else, a timeout, a defect, a failure that states
 * nothing, a gateway call in doubt that is caught, leaves a doubt: `verify` finds out, or with `"rerun"` the step runs again
 * under the same key. A refusal in a later run ends the doubt only where the gateway has refused the same call. What stays in
 * doubt is undone like what happened, with `InDoubt`, or parks the saga (`inDoubt: "park"`).
 *
 * `compensate` may run more than once, under the same key, and after a crash in another process: see
 * {@link onceByLookup}. One that succeeds while a gateway call of it is in doubt has failed; `Idempotency.bestEffort` takes
 * calls out of that.
 *
 * Later steps see a result as its schema keeps it, in this process as in every other.
 *
 * @category steps
 * @since 0.1.0
 */
export const step = <const Name extends string, Ctx, A, E extends HasDisposition, R, RV = never, RC = never>(
  name: Name,
  options: steps.Run<Ctx, A, E, R, RV> & steps.Fails<E> & steps.Compensates<Ctx, A, RC>
) =>
<E0, R0, P extends steps.Phase>(
  self: Saga<Ctx, E0, R0, P> & steps.Fresh<Name, Ctx> & steps.BeforePivot<P>
): Saga<steps.Extend<Ctx, Name, A>, E0 | E, R0 | Exclude<R | RV | RC, steps.Provided>, P> =>
  steps.add(self, "compensatable", name, options)

/**
 * One step of {@link parallel}: what {@link step} takes. `retriableBranch` is what {@link retriable} takes.
 *
 * @category steps
 * @since 0.1.0
 */
export const branch = <Ctx, A, E extends HasDisposition, R, RV = never, RC = never>(
  options: steps.Run<Ctx, A, E, R, RV> & steps.Fails<E> & steps.Compensates<Ctx, A, RC>
): Branch<Ctx, A, E, R | RV | RC, "compensatable"> => steps.makeBranch("compensatable", options)

/**
 * See {@link branch}.
 *
 * @category steps
 * @since 0.1.0
 */
export const retriableBranch = <Ctx, A, E, R, RV = never>(
  options: steps.Run<Ctx, A, E, R, RV>
): Branch<Ctx, A, E, R | RV, "retriable"> => steps.makeBranch("retriable", options)

/**
 * Adds steps that run at the same time. None of them is the pivot.
 *
 * **Details**
 *
 * They are intended in one commit, and undone in reverse of the order in which they are written, whatever the timing. They
 * see what stands before the group and not each other; later steps see all. When one fails the others are
 * awaited, so that each is known to have happened or not, and then all that happened is undone. With `interruptSiblings` they
 * are interrupted when the saga is to be undone, which behind the pivot it is not, and then in doubt: looked up and undone like what happened. The first failure, in the order in which they
 * are written, is the cause.
 *
 * **Example**
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { PaymentError, Saga } from "effect-payments"
 *
 * const Id = Schema.Struct({ id: Schema.String })
 * const made = (id: string) => Effect.succeed({ id })
 *
 * const order = Saga.make("order", { payload: Schema.Struct({ sku: Schema.String }) }).pipe(
 *   Saga.parallel({
 *     stock: Saga.branch({
 *       success: Id,
 *       error: PaymentError.PaymentError,
 *       run: ({ payload }) => made(`res-${payload.sku}`),
 *       verify: "rerun",
 *       compensate: (outcome) => outcome._tag === "Done" ? Effect.log(outcome.result.id) : Effect.void
 *     }),
 *     courier: Saga.branch({
 *       success: Id,
 *       error: PaymentError.PaymentError,
 *       run: () => made("slot-7"),
 *       verify: "rerun",
 *       compensate: () => Effect.void
 *     })
 *   }),
 *   Saga.pivot("ship", {
 *     success: Schema.String,
 *     error: PaymentError.PaymentError,
 *     run: (ctx) => Effect.succeed(`${ctx.stock.id} ${ctx.courier.id}`),
 *     verify: "rerun"
 *   })
 * )
 *
 * Saga.toMermaid(order).includes("courier") // => true
 * ```
 *
 * @category steps
 * @since 0.1.0
 */
export const parallel = <
  Ctx,
  const B extends Readonly<Record<string, steps.BranchOf<Ctx>>>
>(branches: B, options?: { readonly interruptSiblings?: boolean | undefined }) =>
<E0, R0, P extends steps.Phase>(
  self: Saga<Ctx, E0, R0, P> & steps.FreshAll<B, Ctx> & steps.InPlace<B, P>
): Saga<
  steps.ExtendAll<Ctx, B>,
  E0 | (P extends "retriable" ? never : steps.BranchError<B>),
  R0 | Exclude<steps.BranchServices<B>, steps.Provided>,
  P
> => steps.addGroup(self, branches, options?.interruptSiblings)

/**
 * Adds the step that decides: when it is done the saga goes forward only. A saga has at most one.
 *
 * **Details**
 *
 * It is not undone of itself. A final failure of it undoes the steps before; a doubt is verified, and when nobody can tell
 * the saga is parked and nothing is undone. `compensate` is for {@link compensate} alone.
 *
 * @category steps
 * @since 0.1.0
 */
export const pivot = <const Name extends string, Ctx, A, E extends HasDisposition, R, RV = never, RC = never>(
  name: Name,
  options: steps.Run<Ctx, A, E, R, RV> & steps.Fails<E> & steps.MayCompensate<Ctx, A, RC>
) =>
<E0, R0, P extends steps.Phase>(
  self: Saga<Ctx, E0, R0, P> & steps.Fresh<Name, Ctx> & steps.OnePivot<P>
): Saga<steps.Extend<Ctx, Name, A>, E0 | E, R0 | Exclude<R | RV | RC, steps.Provided>, "retriable"> =>
  steps.add(self, "pivot", name, options)

/**
 * Adds a step behind the pivot. It may not fail for good: its failures are `NotExecuted` or `Unknown`, or {@link park}
 * takes care of the others. When its tries are used up the saga is parked; {@link resume} goes on.
 *
 * @category steps
 * @since 0.1.0
 */
export const retriable = <const Name extends string, Ctx, A, E, R, RV = never>(
  name: Name,
  options: steps.Run<Ctx, A, E, R, RV>
) =>
<E0, R0, P extends steps.Phase>(
  self: Saga<Ctx, E0, R0, P> & steps.Fresh<Name, Ctx> & steps.AfterPivot<P> & steps.NoFinalError<E>
): Saga<steps.Extend<Ctx, Name, A>, E0, R0 | Exclude<R | RV, steps.Provided>, P> =>
  steps.add(self, "retriable", name, options)

/**
 * A message from outside that sagas wait for: what senders and {@link awaitSignal} agree on.
 *
 * @category signals
 * @since 0.1.0
 */
export const makeSignal = <const Name extends string, A>(
  name: Name,
  schema: Schema.Codec<A, unknown>
): Signal<Name, A> => ({ name, schema })

/**
 * Adds a step that waits for a message: the outcome of a 3-D Secure challenge, the arrival of a webhook.
 *
 * **Details**
 *
 * The message is the step's result. One that comes before the run stands at the step, or before there is a run, is kept
 * until then; of several the first counts. With `deadline` (1 ms to a year, from when the run came to the step) the result
 * is an {@link Arrival}, on which later steps branch; with `onDeadline` too, the saga fails with that error instead and is
 * undone, which is for before the pivot alone. What has come in time counts also when it is found late.
 *
 * A run that waits is held by a process like any other, without a fiber at work, and goes on in another one after a crash;
 * it can be cancelled and paused meanwhile. Processes see within a second what another one was sent.
 *
 * **Example**
 *
 * ```ts
 * import { NodeCrypto } from "@effect/platform-node"
 * import { Effect, Layer, Schema } from "effect"
 * import { PaymentError, Saga, SagaLog } from "effect-payments"
 *
 * const challenge = Saga.makeSignal("challenge", Schema.Literals(["authenticated", "failed"]))
 *
 * const order = Saga.make("order", { payload: Schema.String }).pipe(
 *   Saga.awaitSignal(challenge, { deadline: "15 minutes" }),
 *   Saga.pivot("ship", {
 *     success: Schema.String,
 *     error: PaymentError.PaymentError,
 *     run: (ctx) => Effect.succeed(ctx.challenge._tag === "Arrived" ? ctx.challenge.value : "late"),
 *     verify: "rerun"
 *   })
 * )
 *
 * const layer = Saga.layer().pipe(Layer.provide([SagaLog.layerStoreMemory(), NodeCrypto.layer]))
 * const program = Effect.gen(function*() {
 *   yield* Saga.signal(order, challenge, { id: "o-1", event: "evt_1", value: "authenticated" })
 *   return yield* Saga.execute(order, "shoes", { id: "o-1" }).pipe(Saga.assertSucceeded)
 * })
 * const results = await Effect.runPromise(Effect.provide(program, layer))
 *
 * results.ship // => "authenticated"
 * ```
 *
 * @category signals
 * @since 0.1.0
 */
export const awaitSignal: {
  <const Name extends string, A>(signal: Signal<Name, A>): <Ctx, E0, R0, P extends steps.Phase>(
    self: Saga<Ctx, E0, R0, P> & steps.Fresh<Name, Ctx>
  ) => Saga<steps.Extend<Ctx, Name, A>, E0, R0, P>
  <const Name extends string, A, Ctx, E extends HasDisposition>(
    signal: Signal<Name, A>,
    options: {
      readonly deadline: Duration.Input
      readonly error: Schema.Codec<E, unknown>
      readonly onDeadline: (ctx: Ctx) => E
    }
  ): <E0, R0, P extends steps.Phase>(
    self: Saga<Ctx, E0, R0, P> & steps.Fresh<Name, Ctx> & steps.FailsBeforePivot<P>
  ) => Saga<steps.Extend<Ctx, Name, A>, E0 | E, R0, P>
  <const Name extends string, A>(
    signal: Signal<Name, A>,
    options: { readonly deadline: Duration.Input; readonly onDeadline?: never }
  ): <Ctx, E0, R0, P extends steps.Phase>(
    self: Saga<Ctx, E0, R0, P> & steps.Fresh<Name, Ctx>
  ) => Saga<steps.Extend<Ctx, Name, Arrival<A>>, E0, R0, P>
} = (
  signal: Signal<string, unknown>,
  options?: {
    readonly deadline: Duration.Input
    readonly error?: Schema.Codec<unknown, unknown>
    readonly onDeadline?: (ctx: never) => unknown
  }
) =>
(self: unknown) => steps.addSignal(self, signal, options)

/**
 * Sends a message to a run, now or before it stands at the step that waits for it. Answers whether it is new.
 *
 * **Details**
 *
 * `event` names the message (1 to 255 printable ASCII characters): the id of a webhook's event. One that is sent again
 * under the same name is known, and nothing changes. A run keeps 1000 messages at the most (`SignalsFull`).
 * Messages of runs that never come are dropped after the `retention` of {@link layer}. Anyone who calls this moves the
 * run: check who has sent the message first.
 *
 * What the schema does not take, or could not read again, is refused (`SignalInvalid`) and not kept. A message that does not fit
 * when the run looks at it, since another version has sent it, is passed over, with a warning and an entry of the history.
 *
 * @category signals
 * @since 0.1.0
 */
export const signal = <Ctx, E, R, P extends steps.Phase, const Name extends string & keyof Ctx, A>(
  saga: Saga<Ctx, E, R, P>,
  signal: Signal<Name, A>,
  options: { readonly id: string; readonly event: string; readonly value: NoInfer<A> }
): Effect.Effect<boolean, SagaError, Sagas> =>
  run((sagas) => sagas.signal(saga as unknown as Untyped, signal.name, options.id, options.event, options.value))

/**
 * Adds a step that waits, 1 ms to a year from when the run came to it, also over crashes and deploys.
 *
 * @category steps
 * @since 0.1.0
 */
export const sleep =
  <const Name extends string>(name: Name, duration: Duration.Input) =>
  <Ctx, E0, R0, P extends steps.Phase>(
    self: Saga<Ctx, E0, R0, P> & steps.Fresh<Name, Ctx>
  ): Saga<steps.Extend<Ctx, Name, void>, E0, R0, P> => steps.addSleep(self, name, duration)

/**
 * Parks the saga under this reason when the step is refused, instead of failing: for retriable steps, which may not.
 *
 * @category steps
 * @since 0.1.0
 */
export const park = (reason: string) =>
<A, E extends HasDisposition, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E & { readonly disposition: "NotExecuted" | "Unknown" }, R> =>
  Effect.catch(self, (error) =>
    dispositionOf(error) === "Refused"
      ? Effect.die(new ParkRequested(reason.slice(0, reasonMax)))
      : Effect.fail(error as E & { readonly disposition: "NotExecuted" | "Unknown" }))

const reasonMax = 200

/**
 * What a `compensate` answers when there is nothing to undo, and why: recorded as `Skipped` by `"compensation"`.
 *
 * @category steps
 * @since 0.1.0
 */
export const skip = (reason: string): Skip => new Skip(reason.slice(0, reasonMax))

/**
 * What a `verify` answers when the other side has not seen the step yet and it may be sent again under the same key.
 *
 * @category steps
 * @since 0.1.0
 */
export const notSeen: Verdict<never, never> = { _tag: "NotSeen" }

/**
 * A `verify` that asks the gateway for the downstream key of a phase of the step.
 *
 * **Details**
 *
 * For a step that makes one gateway call: where another phase has been sent too, it is `StillUnknown`, for one of them does
 * not speak for both. A key that the gateway does not know is believed only after `settle` (5 minutes, 1 ms to a year)
 * without a request: one may still be under way. Until then it is `NotSeen` at a gateway that still de-duplicates the key, and `StillUnknown` elsewhere.
 *
 * @category steps
 * @since 0.1.0
 */
export const verifyByLookup = (options: {
  readonly phase: "authorize" | "capture" | "void" | "refund" | (string & {})
  readonly settle?: Duration.Input | undefined
}): (
  ctx: unknown,
  doubt: Doubt
) => Effect.Effect<
  Verdict<PaymentGateway.Transaction, PaymentError>,
  PaymentError,
  PaymentGateway.PaymentGateway | GatewayCallMustBeInsideIdempotent
> => {
  const settleMillis = settleOf(options.settle)
  const verify = Effect.fnUntraced(function*(_ctx: unknown, { age, silence }: Doubt) {
    const gateway = yield* PaymentGateway.PaymentGateway
    const claim = yield* GatewayCallMustBeInsideIdempotent
    if ((yield* CurrentDepartures)?.hasBeside(options.phase) === true) return PaymentGateway.stillUnknown
    const found = yield* gateway.lookup(yield* claim.downstreamKey(options.phase))
    if (found._tag !== "NeverHappened" || isSettled(silence, settleMillis)) return found
    const { deduplicates } = gateway.capabilities
    return deduplicates !== false && Duration.isLessThan(age, Duration.fromInputUnsafe(deduplicates))
      ? notSeen
      : PaymentGateway.stillUnknown
  })
  return settleMillis === undefined ? Object.assign(verify, { [steps.invalid]: settleExpected }) : verify
}

/** Undefined when it is out of bounds. */
const settleOf = (settle: Duration.Input | undefined): number | undefined =>
  millisIn(settle ?? "5 minutes", 1, yearMillis)

const settleExpected = `settle must be ${durationFrom(1, yearMillis)}`

const isSettled = (silence: Duration.Duration, settleMillis: number | undefined): boolean =>
  settleMillis !== undefined && Duration.toMillis(silence) >= settleMillis

/**
 * The transaction that a `compensate` has to undo: the step's result, or what the gateway has under its key when the
 * step is in doubt. None: there is none and there will be none.
 *
 * **Details**
 *
 * Fails with `GatewayTimeout` while nobody can tell, so that the undo is tried again and is not recorded as done. A key
 * that the gateway does not know is believed only after `settle` (5 minutes) without a request: give a step whose gateway
 * is slow an `undoSchedule` that lasts longer than that, or let {@link resume} finish it.
 *
 * **Example** (the undo of an authorization)
 *
 * ```ts
 * import { Effect, Option } from "effect"
 * import { PaymentGateway, Saga } from "effect-payments"
 *
 * const close = (outcome: Saga.Outcome<PaymentGateway.Transaction>) =>
 *   Effect.gen(function*() {
 *     const gateway = yield* PaymentGateway.PaymentGateway
 *     const authorized = yield* Saga.transactionOf(outcome, { phase: "authorize" })
 *     return Option.isNone(authorized)
 *       ? Saga.skip("nothing was authorized")
 *       : yield* gateway.void({ transactionId: authorized.value.id })
 *   })
 * ```
 *
 * @category steps
 * @since 0.1.0
 */
export const transactionOf = (
  outcome: Outcome<PaymentGateway.Transaction>,
  options: {
    readonly phase: "authorize" | "capture" | "void" | "refund" | (string & {})
    readonly settle?: Duration.Input | undefined
  }
): Effect.Effect<Option.Option<PaymentGateway.Transaction>, PaymentError, PaymentGateway.PaymentGateway> =>
  outcome._tag === "Done"
    ? Effect.succeedSome(outcome.result)
    : Effect.gen(function*() {
      const gateway = yield* PaymentGateway.PaymentGateway
      const found = yield* gateway.lookup(yield* outcome.downstreamKey(options.phase))
      if (found._tag === "Happened") return Option.some(found.result)
      const isGone = found._tag === "NeverHappened" && isSettled(outcome.silence, settleOf(options.settle))
      if (found._tag === "Refused" || isGone) return Option.none()
      return yield* makeError(new GatewayTimeout({}))
    })

/**
 * A gateway call in an undo that happens once, also where the gateway does not recognise its key, or not any more.
 *
 * **When to use**
 *
 * Round the refund or void of a `compensate`. An undo may run again, after a failure, after a crash, by {@link resume}
 * days later. While the gateway recognises the key it answers as the first time. After that a call that may have left is
 * held back (a defect `NotSentAgain`), and the undo would end as `Failed`, though it has happened.
 *
 * **Details**
 *
 * The first try sends. A later one asks the gateway for the key of the phase first: what has happened is the answer, what
 * was refused fails with that, and what never happened is sent again once that is settled (5 minutes without a request).
 *
 * **Example** (the undo of a capture)
 *
 * ```ts
 * import { Effect, Option } from "effect"
 * import { PaymentGateway, Saga } from "effect-payments"
 *
 * const giveBack = (outcome: Saga.Outcome<PaymentGateway.Transaction>) =>
 *   Effect.gen(function*() {
 *     const gateway = yield* PaymentGateway.PaymentGateway
 *     const captured = yield* Saga.transactionOf(outcome, { phase: "capture" })
 *     return Option.isNone(captured)
 *       ? Saga.skip("nothing was captured")
 *       : yield* gateway.refund({ transactionId: captured.value.id }).pipe(Saga.onceByLookup({ phase: "refund" }))
 *   })
 * ```
 *
 * @category steps
 * @since 0.1.0
 */
export const onceByLookup = (options: {
  readonly phase: "authorize" | "capture" | "void" | "refund" | (string & {})
  readonly settle?: Duration.Input | undefined
}): <E, R>(
  self: Effect.Effect<PaymentGateway.Transaction, E, R>
) => Effect.Effect<
  PaymentGateway.Transaction,
  E | PaymentError,
  R | PaymentGateway.PaymentGateway | GatewayCallMustBeInsideIdempotent
> => {
  const settleMillis = settleOf(options.settle)
  return Effect.fnUntraced(function*<E, R>(self: Effect.Effect<PaymentGateway.Transaction, E, R>) {
    const departures = yield* CurrentDepartures
    if (departures === undefined || !departures.mayHaveLeft(options.phase)) return yield* self
    const gateway = yield* PaymentGateway.PaymentGateway
    const claim = yield* GatewayCallMustBeInsideIdempotent
    const found = yield* gateway.lookup(yield* claim.downstreamKey(options.phase))
    if (found._tag === "Happened") return found.result
    if (found._tag === "Refused") return yield* Effect.fail(found.error)
    if (found._tag === "NeverHappened" && isSettled(Duration.millis(departures.silenceMillis()), settleMillis)) {
      departures.forget(options.phase)
    }
    return yield* self
  })
}

// --- running

/**
 * Runs sagas over a log. One per process and log: it renews all leases, joins local duplicates and owns the fibers in
 * which sagas run.
 *
 * @category services
 * @since 0.1.0
 */
export class Sagas extends Context.Service<Sagas, engine.Engine>()("effect-payments/Sagas") {}

/**
 * The bounds of {@link layer}: see the table at the top of the module.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** How long a run is held without a renewal; renewed every third of it. After it another process takes over. */
  readonly lease?: Duration.Input | undefined
  /** How long a call waits for a run that another process holds. */
  readonly awaitAtMost?: Duration.Input | undefined
  /** For how long an entry that cannot be written is tried again before the run is suspended. */
  readonly logTimeout?: Duration.Input | undefined
  readonly payloadLimitBytes?: number | undefined
  readonly resultLimitBytes?: number | undefined
  readonly entriesMax?: number | undefined
  readonly runsMax?: number | undefined
  /**
   * For how long after its last entry a run that another definition has begun is left to a process that knows that one,
   * before it is parked.
   */
  readonly redefinedAfter?: Duration.Input | undefined
  /**
   * Told of each run that is parked or has a failed undo, by the process that it became so in, after the entry in the log, the
   * metric and the log line at level Error: to wake somebody up. It has 10 seconds; what it fails with is logged. A process
   * that dies in between tells nobody: `SagaOperator.list` has them all.
   */
  readonly onStuck?: ((stuck: Stuck) => Effect.Effect<unknown, unknown>) | undefined
  /** How long a run that ended well or undone is kept, and answers its id. */
  readonly retention?: Duration.Input | undefined
  readonly sweepEvery?: Duration.Input | false | undefined
}

const option = reader("Saga.layer")
const limitMax = 16_777_216

/**
 * Builds {@link Sagas} over a `SagaLog`. Take `Digest` and `SecureRandom` from `NodeCrypto.layer` of
 * `@effect/platform-node`.
 *
 * **Details**
 *
 * When the layer closes, its runs are suspended and their leases given back: another process, or the next start, goes on
 * at once. Nothing is undone.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options?: Options
): Layer.Layer<Sagas, never, SagaLog | Digest.Digest | SecureRandom.SecureRandom> =>
  Layer.effect(
    Sagas,
    Effect.gen(function*() {
      const every = options?.sweepEvery ?? "5 minutes"
      const sweepMillis = every === false ? undefined : yield* option.millis("sweepEvery", every, 10, yearMillis)
      const retention = options?.retention ?? "30 days"
      const olderThanMillis = yield* option.millis("retention", retention, 1000, 10 * yearMillis)
      const made = yield* engine.make({
        leaseMillis: yield* option.millis("lease", options?.lease ?? "30 seconds", 10, dayMillis),
        awaitMillis: yield* option.millis("awaitAtMost", options?.awaitAtMost ?? "30 seconds", 0, dayMillis),
        logMillis: yield* option.millis("logTimeout", options?.logTimeout ?? "10 seconds", 1, dayMillis),
        payloadLimitBytes: yield* option.integer(
          "payloadLimitBytes",
          options?.payloadLimitBytes ?? 262_144,
          1,
          limitMax
        ),
        resultLimitBytes: yield* option.integer("resultLimitBytes", options?.resultLimitBytes ?? 262_144, 1, limitMax),
        entriesMax: yield* option.integer("entriesMax", options?.entriesMax ?? 1000, 1, 100_000),
        runsMax: yield* option.integer("runsMax", options?.runsMax ?? 10_000, 1, 1_000_000),
        redefinedMillis: yield* option.millis("redefinedAfter", options?.redefinedAfter ?? "1 hour", 1, yearMillis),
        onStuck: options?.onStuck
      })
      if (sweepMillis !== undefined) {
        yield* Effect.forkScoped(Effect.forever(Effect.delay(sweep(made.log, olderThanMillis), sweepMillis)))
      }
      return made
    })
  )

const sweepLimit = 1000
const sweepAtMost = "1 minute"

/** All that is old enough, page by page. A log that fails or hangs is asked again the next time. */
const sweep = (log: SagaLog["Service"], olderThanMillis: number): Effect.Effect<void> =>
  log.sweep({ olderThanMillis, limit: sweepLimit }).pipe(
    Effect.timeout(sweepAtMost),
    Effect.matchCauseEffect({
      onFailure: () => Effect.void,
      onSuccess: (dropped) =>
        dropped < sweepLimit ? Effect.void : Effect.andThen(Effect.yieldNow, sweep(log, olderThanMillis))
    })
  )

type Untyped = steps.Untyped

/**
 * A nested saga that did not complete, as an error of the saga around it: `Refused` when nothing of it is left, else
 * `Unknown`.
 *
 * @category errors
 * @since 0.1.0
 */
export class NestedFailed extends Schema.TaggedError<NestedFailed>()("NestedFailed", {
  saga: Schema.String,
  id: Schema.String,
  ended: Schema.Literals(["Compensated", "FailedCompensation", "Parked"])
}) {
  get disposition(): "Refused" | "Unknown" {
    return this.ended === "Compensated" ? "Refused" : "Unknown"
  }
  override get message(): string {
    return `the nested saga "${this.saga}" ended as ${this.ended}: see its run "${this.id}"`
  }
}

/**
 * Adds a step before the pivot that is a saga of its own, and is undone as one: by {@link compensate} when it has
 * completed, by {@link cancel} when it has not.
 *
 * **Details**
 *
 * The result is `{ id, results }`: the id of its run, derived from this run and step, and its results by name. Its pivot
 * needs a `compensate`, or this saga is refused (`SagaInvalid`). A nested saga that is undone of itself fails the step; one
 * that is parked leaves it in doubt. List both in {@link layerRecover}. `timeout` is a day unless set.
 *
 * @category steps
 * @since 0.1.0
 */
export const nested = <
  const Name extends string,
  Ctx,
  C extends { readonly payload: unknown },
  E2,
  R2,
  P2 extends steps.Phase
>(
  name: Name,
  options: {
    readonly saga: Saga<C, E2, R2, P2>
    readonly payload: (ctx: Ctx) => C["payload"]
    readonly timeout?: Duration.Input | undefined
    readonly undoSchedule?: steps.Compensates<Ctx, unknown, never>["undoSchedule"]
    readonly undoTimeout?: Duration.Input | undefined
  }
) => {
  const { saga } = options
  const untyped = saga as unknown as Untyped
  const results = steps.resultsOf(untyped) as Schema.Codec<C, unknown>
  const phase = "nested"
  const failed = (id: string, ended: NestedFailed["ended"]) =>
    Effect.fail(new NestedFailed({ saga: saga.name, id, ended }))
  const run = Effect.fnUntraced(function*(ctx: Ctx) {
    const claim = yield* GatewayCallMustBeInsideIdempotent
    const id = yield* claim.downstreamKey(phase)
    const ended = yield* execute(saga, options.payload(ctx), { id })
    return ended._tag === "Completed" ? { id, results: ended.results } : yield* failed(id, ended._tag)
  })
  const undo = Effect.fnUntraced(function*(outcome: Outcome<{ readonly id: string; readonly results: C }>) {
    const id = outcome._tag === "Done" ? outcome.result.id : yield* outcome.downstreamKey(phase)
    const ended = yield* Effect.catchIf(
      cancel(saga, { id }),
      ({ reason }) => reason._tag === "NotFound",
      () => Effect.succeed(undefined)
    )
    if (ended === undefined) return skip("it never began")
    const undone = ended._tag === "Completed"
      ? yield* compensate(saga, { id, by: "the saga around it", reason: "that one is undone" })
      : ended
    return undone._tag === "Compensated"
      ? undefined
      : yield* failed(id, undone._tag === "Completed" ? "Parked" : undone._tag)
  })
  return step(name, {
    success: Schema.Struct({ id: Schema.String, results }),
    error: Schema.Union([NestedFailed, errors.SagaError]),
    run,
    verify: "rerun",
    timeout: options.timeout ?? "1 day",
    undoSchedule: options.undoSchedule,
    undoTimeout: options.undoTimeout ?? "1 day",
    compensate: undo,
    ...steps.undoableOf(untyped)
  })
}

/**
 * Runs a saga to its end and tells how it has ended.
 *
 * **Details**
 *
 * The id names the run. The same id joins a run that is under way, in this process or another, and gets the end of one
 * that has ended; with another payload it is refused (`IdConflict`). A run that was suspended or orphaned is taken over.
 * Interrupting the last caller suspends the run: nothing is undone, and the same call, {@link layerRecover} or
 * {@link result} of whoever resumed it finishes it. To undo it, {@link cancel} it.
 *
 * @category running
 * @since 0.1.0
 */
export const execute = <Ctx extends { readonly payload: unknown }, E, R, P extends steps.Phase>(
  saga: Saga<Ctx, E, R, P>,
  payload: NoInfer<Ctx["payload"]>,
  options: { readonly id: string }
): Effect.Effect<Execution<Ctx, E>, SagaError, R | Sagas> =>
  run(
    (sagas, services) => sagas.execute(saga as unknown as Untyped, payload, options.id, services)
  )

/**
 * Begins a saga and lets it go on in the background, in the fibers of the layer. Once it answers, the run is durable,
 * whoever drives it.
 *
 * @category running
 * @since 0.1.0
 */
export const start = <Ctx extends { readonly payload: unknown }, E, R, P extends steps.Phase>(
  saga: Saga<Ctx, E, R, P>,
  payload: NoInfer<Ctx["payload"]>,
  options: { readonly id: string }
): Effect.Effect<void, SagaError, R | Sagas> =>
  run((sagas, services) => sagas.start(saga as unknown as Untyped, payload, options.id, services))

/**
 * Waits for the end of a run that somebody drives, for `awaitAtMost` where that is another process.
 *
 * @category running
 * @since 0.1.0
 */
export const result = <Ctx, E, R, P extends steps.Phase>(
  saga: Saga<Ctx, E, R, P>,
  options: { readonly id: string }
): Effect.Effect<Execution<Ctx, E>, SagaError, Sagas> =>
  run((sagas) => sagas.result(saga as unknown as Untyped, options.id))

/**
 * Undoes a run for good, and tells how it has ended.
 *
 * **Details**
 *
 * The wish is durable first; whoever drives the run sees it before the next step leaves. A run that nobody drives is
 * taken over. Once the pivot may have left it is too late: the run goes forward and `cancel` answers `Completed`.
 *
 * A run that is parked is undone as far as it is known: a step in doubt by its undo, with `InDoubt`; a pivot in doubt is
 * looked up, and when it never happened the run is undone. Where that is too late or nobody can tell, nothing is sent and
 * `cancel` answers `Parked`, with the step and the reason.
 *
 * @category running
 * @since 0.1.0
 */
export const cancel = <Ctx, E, R, P extends steps.Phase>(
  saga: Saga<Ctx, E, R, P>,
  options: { readonly id: string }
): Effect.Effect<Execution<Ctx, E>, SagaError, R | Sagas> =>
  run((sagas, services) => sagas.cancel(saga as unknown as Untyped, options.id, services))

/**
 * Goes on with a run that is parked, or tries the failed undos again. What has ended otherwise is answered as it is.
 *
 * @category running
 * @since 0.1.0
 */
export const resume = <Ctx, E, R, P extends steps.Phase>(
  saga: Saga<Ctx, E, R, P>,
  options: { readonly id: string }
): Effect.Effect<Execution<Ctx, E>, SagaError, R | Sagas> =>
  run((sagas, services) => sagas.resume(saga as unknown as Untyped, options.id, services))

/**
 * Undoes a run that has completed, by the undo of each step in reverse order, the pivot's too, and tells how that ended.
 *
 * **Details**
 *
 * For a return, a complaint, a mistake: someone decides it, and `by` and `reason` stay in the history. The pivot needs a
 * `compensate`, or it is refused (`SagaInvalid`). What stands behind the pivot is not undone. Sent twice it is
 * undone once. A run that has not completed is answered as it is, and nothing happens to it: see {@link cancel} and
 * {@link resume}.
 *
 * @category running
 * @since 0.1.0
 */
export const compensate = <Ctx, E, R, P extends steps.Phase>(
  saga: Saga<Ctx, E, R, P>,
  options: { readonly id: string; readonly by: string; readonly reason: string }
): Effect.Effect<Execution<Ctx, E>, SagaError, R | Sagas> =>
  run((sagas, services) =>
    Effect.flatMap(
      operator.textOf(options.by, options.reason),
      ([by, reason]) => sagas.reverse(saga as unknown as Untyped, options.id, { by, reason }, services)
    )
  )

const run = <A>(
  f: (sagas: engine.Engine, services: Context.Context<unknown>) => Effect.Effect<A, SagaError>
): Effect.Effect<never, SagaError, never> =>
  Effect.withFiber((fiber) =>
    f(Context.getUnsafe(fiber.context, Sagas), fiber.context as Context.Context<unknown>)
  ) as Effect.Effect<never, SagaError>

/**
 * One page of runs in a stable order, as `SagaOperator.list` gives it: `Parked` and `FailedCompensation` are those that wait
 * for someone.
 *
 * **Details**
 *
 * `step` keeps those whose last entry about a step is about that one, `stuckSince` those that nobody has written to for so
 * long. A row that cannot be read is listed too, in the state `Unreadable`, with what does not fit, and hides no other; a
 * filter finds it where what it asks for can be read.
 *
 * **Example**
 *
 * ```ts
 * import { NodeCrypto } from "@effect/platform-node"
 * import { Effect, Layer } from "effect"
 * import { Saga, SagaLog } from "effect-payments"
 *
 * const stuckInDelivery = Saga.list({ saga: "order", step: "ship", stuckSince: "15 minutes" })
 *
 * const layer = Saga.layer().pipe(Layer.provide([SagaLog.layerStoreMemory(), NodeCrypto.layer]))
 * await Effect.runPromise(Effect.provide(stuckInDelivery, layer)) // => []
 * ```
 *
 * @category operators
 * @since 0.1.0
 */
export const list = (filter?: operator.Filter): Effect.Effect<ReadonlyArray<ListedRun>, SagaError, Sagas> =>
  Effect.flatMap(Sagas, ({ log }) => operator.list(log, filter))

/**
 * Takes over runs of these sagas that nobody holds, `limit` (50) at the most, and drives them in the background. Answers
 * how many. {@link layerRecover} does it again and again.
 *
 * @category recovery
 * @since 0.1.0
 */
export const recover = <const S extends ReadonlyArray<Any>>(
  sagas: S & steps.Known<S[number]>,
  options?: { readonly limit?: number | undefined }
): Effect.Effect<number, SagaError, Services<S[number]> | Sagas> =>
  run((engine, services) =>
    engine.recover(sagas as unknown as ReadonlyArray<Untyped>, options?.limit ?? 50, services)
  ) as Effect.Effect<never, SagaError, Services<S[number]> | Sagas>

/**
 * Resumes or unwinds runs of these sagas whose process has died or was shut down, from this process or any other, as
 * soon as their lease is over. Runs of sagas that it does not know are left alone.
 *
 * **Details**
 *
 * It looks when it starts and then every `every` (10 seconds), and drives at most `concurrency` (50) of them at a time.
 * There is nothing to configure about processes or versions. A run that was begun under another definition goes on when
 * all that it has started is the same. Otherwise it is left to a process that knows that one, old or new, and parked by the
 * name of what differs when none has come for `redefinedAfter`. One whose history cannot be read is parked at once.
 *
 * @category recovery
 * @since 0.1.0
 */
export const layerRecover = <const S extends ReadonlyArray<Any>>(
  sagas: S & steps.Known<S[number]>,
  options?: { readonly every?: Duration.Input | undefined; readonly concurrency?: number | undefined }
): Layer.Layer<never, never, Services<S[number]> | Sagas> => {
  const pass = (concurrency: number): Effect.Effect<void, SagaError, Services<S[number]> | Sagas> =>
    Effect.flatMap(Sagas, (engine) => {
      const limit = concurrency - engine.recovering
      if (limit <= 0) return Effect.void
      return Effect.flatMap(recover(sagas, { limit }), (found) => found < limit ? Effect.void : pass(concurrency))
    })
  return Layer.effectDiscard(Effect.gen(function*() {
    const every = yield* recovery.millis("every", options?.every ?? "10 seconds", 10, dayMillis)
    const concurrency = yield* recovery.integer("concurrency", options?.concurrency ?? 50, 1, 1000)
    const looked = Effect.catchCause(pass(concurrency), (cause) => {
      const reason = cause.reasons.find(Cause_.isFailReason)?.error.reason._tag ?? "defect"
      return Cause_.hasInterruptsOnly(cause)
        ? Effect.void
        : Effect.annotateLogs(Effect.logWarning("orphaned sagas could not be looked for"), { reason })
    })
    yield* Effect.forkScoped(Effect.andThen(looked, Effect.forever(Effect.delay(looked, every))))
  }))
}

const recovery = reader("Saga.layerRecover")

// --- ends

/**
 * A saga that did not complete.
 *
 * @category models
 * @since 0.1.0
 */
export type Unsuccessful<E> = Exclude<Execution<never, E>, { readonly _tag: "Completed" }>

/**
 * The error of {@link assertSucceeded}: `reason` is how the saga has ended instead. `Compensated` is `Refused`, for
 * nothing of it is left; the others are `Unknown`, and someone has to look.
 *
 * @category errors
 * @since 0.1.0
 */
export class SagaFailed<out E = unknown> extends Data.TaggedError("SagaFailed")<{
  readonly saga: string
  readonly reason: Unsuccessful<unknown>
}> {
  declare readonly reason: Unsuccessful<E>
  get disposition(): "Refused" | "Unknown" {
    return this.reason._tag === "Compensated" ? "Refused" : "Unknown"
  }
  override get message(): string {
    const { reason, saga } = this
    switch (reason._tag) {
      case "Compensated":
        return `saga "${saga}" was undone (${causeOf(reason.cause)})`
      case "FailedCompensation":
        return `saga "${saga}" could not be undone: ${
          reason.undos.flatMap((undo) => undo._tag === "Failed" ? [`"${undo.step}" (${undo.detail})`] : []).join(", ")
        } failed, after ${causeOf(reason.cause)}. Someone has to look`
      case "Parked":
        return `saga "${saga}" is parked${
          reason.step === undefined ? "" : ` at "${reason.step}"`
        }: ${reason.reason}. Someone has to look`
    }
  }
}

const causeOf = (cause: Cause<unknown>): string =>
  cause._tag === "Cancelled"
    ? "cancelled"
    : `"${cause.step}" ${cause._tag === "Failed" ? "failed" : "in doubt"}: ${cause.detail}`

/**
 * The results of a saga that completed; every other end is an error with all its causes.
 *
 * **Example**
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Saga } from "effect-payments"
 *
 * const parked = Effect.succeed({ _tag: "Parked", step: "ship", reason: "in doubt: timeout" } as const)
 *
 * const error = Effect.runSync(Effect.flip(Saga.assertSucceeded(parked, { saga: "checkout" })))
 * error.message // => 'saga "checkout" is parked at "ship": in doubt: timeout. Someone has to look'
 * ```
 *
 * @category ends
 * @since 0.1.0
 */
export const assertSucceeded = <Ctx, E, E2, R>(
  self: Effect.Effect<Execution<Ctx, E>, E2, R>,
  options?: { readonly saga?: string | undefined }
): Effect.Effect<Ctx, E2 | SagaFailed<E>, R> =>
  Effect.flatMap(self, (execution) =>
    execution._tag === "Completed"
      ? Effect.succeed(execution.results)
      : Effect.fail(new SagaFailed<E>({ saga: options?.saga ?? "saga", reason: execution })))

/**
 * The saga as a Mermaid flowchart: boxes are compensatable, the hexagon is the pivot, rounded ones are retriable.
 *
 * **Example**
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { PaymentError, Saga } from "effect-payments"
 *
 * const order = Saga.make("order", { payload: Schema.String }).pipe(
 *   Saga.pivot("ship", {
 *     success: Schema.Void,
 *     error: PaymentError.PaymentError,
 *     run: () => Effect.void,
 *     verify: "rerun"
 *   })
 * )
 *
 * Saga.toMermaid(order).split("\n").slice(0, 3) // => ["flowchart TD", "  start([start])", '  s0{{"ship"}}']
 * ```
 *
 * @category diagrams
 * @since 0.1.0
 */
export const toMermaid = (saga: Any): string => mermaid.toMermaid(saga as Untyped)

/** @category models @since 0.1.0 */
export type StepProgress = tracing.StepProgress

/**
 * How far each step of a run has come, and what came of its undo, as the log tells it: nothing of the saga's code is
 * needed. Undefined when the run's definition cannot be read.
 *
 * @category operators
 * @since 0.1.0
 */
export const progress: (history: History) => ReadonlyArray<StepProgress> | undefined = tracing.progress

/**
 * A run as a Mermaid flowchart: that of {@link toMermaid}, each step and each undo with a class that says what became of it.
 * Nothing of the saga's code is needed. Undefined when the run's definition cannot be read.
 *
 * **Example**
 *
 * ```ts
 * import { NodeCrypto } from "@effect/platform-node"
 * import { Effect, Layer, Schema } from "effect"
 * import { PaymentError, Saga, SagaLog } from "effect-payments"
 *
 * const order = Saga.make("order", { payload: Schema.String }).pipe(
 *   Saga.pivot("ship", {
 *     success: Schema.Void,
 *     error: PaymentError.PaymentError,
 *     verify: "rerun",
 *     run: () => Effect.void
 *   })
 * )
 *
 * const program = Effect.gen(function*() {
 *   yield* Saga.execute(order, "o-1", { id: "o-1" })
 *   const log = yield* SagaLog.SagaLog
 *   const history = yield* log.read(SagaLog.runId("order", "o-1"))
 *   return history === undefined ? undefined : Saga.trace(history)?.split("\n").find((line) => line.includes("class s0"))
 * })
 *
 * const layer = Saga.layer().pipe(
 *   Layer.provideMerge(SagaLog.layerStoreMemory()),
 *   Layer.provide(NodeCrypto.layer)
 * )
 * await Effect.runPromise(Effect.provide(program, layer)) // => "  class s0 done"
 * ```
 *
 * @category diagrams
 * @since 0.1.0
 */
export const trace: (history: History) => string | undefined = tracing.trace

/**
 * A run, as `SagaOperator.history` gives it, as a Mermaid sequence diagram: each step as it left and what came of it, undos,
 * changes of owner, what operators did.
 *
 * @category diagrams
 * @since 0.1.0
 */
export const timeline = (history: History): string => timelines.timeline(history)

/**
 * What a new definition of a saga means for runs that the old one has begun: to be asked before it is deployed.
 *
 * **Example**
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { PaymentError, Saga } from "effect-payments"
 *
 * const call = { success: Schema.String, error: PaymentError.PaymentError, verify: "rerun" } as const
 * const begin = Saga.make("order", { payload: Schema.String }).pipe(
 *   Saga.step("reserve", { ...call, run: () => Effect.succeed("r"), compensate: () => Effect.void })
 * )
 * const before = begin.pipe(Saga.pivot("ship", { ...call, run: () => Effect.succeed("s") }))
 * const after = before.pipe(
 *   Saga.retriable("mail", { success: Schema.Void, verify: "rerun", run: () => Effect.void })
 * )
 *
 * Saga.diff(before, before) // => { _tag: "Same" }
 * Saga.diff(before, after)._tag // => "Compatible"
 * Saga.diff(after, begin)._tag // => "Compatible"
 * ```
 *
 * @category diagrams
 * @since 0.1.0
 */
export const diff = (before: Any, after: Any): Difference => differences.diff(before as Untyped, after as Untyped)

// --- errors

/** @category reasons @since 0.1.0 */
export const IdConflict = errors.IdConflict
/** @category reasons @since 0.1.0 */
export const NotFound = errors.NotFound
/** @category reasons @since 0.1.0 */
export const InFlight = errors.InFlight
/** @category reasons @since 0.1.0 */
export const Suspended = errors.Suspended
/** @category reasons @since 0.1.0 */
export const InsideTransaction = errors.InsideTransaction
/** @category reasons @since 0.1.0 */
export const PayloadInvalid = errors.PayloadInvalid
/** @category reasons @since 0.1.0 */
export const SagaInvalid = errors.SagaInvalid
/** @category reasons @since 0.1.0 */
export const HistoryUnreadable = errors.HistoryUnreadable
/** @category reasons @since 0.1.0 */
export const Redefined = errors.Redefined
/** @category reasons @since 0.1.0 */
export const HistoryFull = errors.HistoryFull
/** @category reasons @since 0.1.0 */
export const TooManyRuns = errors.TooManyRuns
/** @category reasons @since 0.1.0 */
export const NotApplicable = errors.NotApplicable
/** @category reasons @since 0.1.0 */
export const SignalInvalid = errors.SignalInvalid
/** @category reasons @since 0.1.0 */
export const SignalsFull = errors.SignalsFull

/**
 * Why there is no end to tell of.
 *
 * | reason | means |
 * |---|---|
 * | `IdConflict` | the id was used with another payload |
 * | `NotFound` | there is no such run |
 * | `InFlight` | another process holds the run, or it waits to be resumed; ask again |
 * | `Suspended` | the run stopped where it was: interrupted, lease lost, log not writable. It is resumed from the log |
 * | `LogUnavailable` | the log gave no answer; no step left that is not written down |
 * | `InsideTransaction` | called inside an open transaction of the log's database |
 * | `PayloadInvalid`, `SagaInvalid` | nothing was begun |
 * | `HistoryUnreadable` | the run has ended, but what it holds does not fit the schemas any more |
 * | `Redefined` | the run was begun under another definition, and is left to a process that knows that one |
 * | `HistoryFull`, `TooManyRuns`, `SignalsFull` | a bound is reached |
 * | `NotApplicable` | what an operator asks for does not fit the run as it stands |
 * | `SignalInvalid` | the message was not kept |
 *
 * @category errors
 * @since 0.1.0
 */
export const SagaError = errors.SagaError

/**
 * See {@link SagaError}.
 *
 * @category errors
 * @since 0.1.0
 */
export type SagaError = errors.SagaError
