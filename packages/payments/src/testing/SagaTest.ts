/**
 * Proves a saga of one's own: runs it against every place where its process can die, whatever its services answer.
 *
 * It prevents the undo that is forgotten because nobody thought of this one order of events: the process that dies between
 * a capture and its record, and the next one that dies while it undoes it, while the first one wakes up again.
 *
 * The steps run as they are written, over services of a simulation and time of its own, where nothing is left to chance.
 * What is shown holds for the schedules that were explored and for services that behave like those of the world: a fake
 * that forgives what the real one does not proves nothing.
 *
 * Read `Saga` first, and `TestGateway` for a gateway that counts money.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { Arbitrary } from "../internal/effect/arbitrary.ts"
import { reader } from "../internal/option/option.ts"
import type { Untyped } from "../internal/saga/step.ts"
import * as books from "../internal/testing/sagaTest/books.ts"
import { deviationsOf, type Draw, format, parse } from "../internal/testing/sagaTest/choices.ts"
import * as explorer from "../internal/testing/sagaTest/explore.ts"
import { instrumentSaga } from "../internal/testing/sagaTest/instrument.ts"
import type { Awaited, Given } from "../internal/testing/sagaTest/messages.ts"
import { refusalsOf } from "../internal/testing/sagaTest/refusal.ts"
import type { Ended, Played } from "../internal/testing/sagaTest/schedule.ts"
import { InvalidOption } from "../Resilience.ts"
import type * as Saga from "../Saga.ts"

/**
 * Something that a service of the world really did, for this step: `key` is what the service knows the call by.
 *
 * @category models
 * @since 0.1.0
 */
export type Effected = books.Effected

/**
 * What the services of a world really did: their fakes write it down here, and the explorer reads it.
 *
 * **Details**
 *
 * `done` and `undone` note what was done for a step, and answer whether that was new. With a key they behave like a service
 * that de-duplicates: a key that is known is answered as the first time. Without one each call counts. `has` tells whether
 * the step is done and not undone. What `TestGateway` did is known without it.
 *
 * @category services
 * @since 0.1.0
 */
export const Ledger = books.Ledger

/**
 * See {@link Ledger}.
 *
 * @category services
 * @since 0.1.0
 */
export type Ledger = books.Ledger

/**
 * A world of nothing but the {@link Ledger}, for steps that write to it themselves.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerLedger: Layer.Layer<Ledger, never, Ledger> = Layer.effect(Ledger, Ledger)

/**
 * How a run has ended: what its callers were told, and what its services did.
 *
 * @category models
 * @since 0.1.0
 */
export interface End<Ctx, E> {
  readonly execution: Saga.Execution<Ctx, E>
  readonly ledger: ReadonlyArray<Effected>
}

/**
 * A message that the run is sent from outside, once: see {@link signal}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Message<in Ctx, out Name extends string> {
  readonly step: Name
  readonly event: string
  readonly value: unknown
  readonly valueOf: ((ctx: Ctx) => unknown) | undefined
}

/**
 * A message of the world, for `signals`, as a sender would give it to `Saga.signal`. A `value` that is a function is made from the results
 * that the saga has come to, as a webhook that names a transaction; such a message does not come before its step.
 *
 * @category models
 * @since 0.1.0
 */
export const signal = <const Name extends string, A, Ctx = unknown>(
  signal: Saga.Signal<Name, A>,
  options: { readonly event: string; readonly value: NoInfer<A> | ((ctx: Ctx) => NoInfer<A>) }
): Message<Ctx, Name> => {
  const { event, value } = options
  return {
    step: signal.name,
    event,
    value,
    valueOf: typeof value === "function" ? value as (ctx: Ctx) => unknown : undefined
  }
}

/**
 * What a saga is explored in.
 *
 * - `layer` makes the services of its steps, new ones for each schedule. A `TestGateway` among them is found. They answer at
 *   once or after a time of Effect's clock.
 * - `signals` are the messages that come for the steps that wait, made by {@link signal}: each to the process that waits for
 *   it, unless the schedule says otherwise. Of several for one step the first comes first.
 * - `refusals` are the errors with which steps refuse, by name, where the schema of a step's errors yields none.
 * - `invariants` hold whenever a run has ended or is stuck: they succeed, and not with `false`.
 *
 * @category models
 * @since 0.1.0
 */
export interface World<Ctx extends { readonly payload: unknown }, E, W> {
  readonly payload: Ctx["payload"]
  readonly layer: Layer.Layer<W, unknown, books.Ledger>
  readonly signals?: ReadonlyArray<Message<NoInfer<Ctx>, Extract<keyof NoInfer<Ctx>, string>>> | undefined
  readonly refusals?: { readonly [step: string]: unknown } | undefined
  readonly invariants?:
    | { readonly [name: string]: (end: End<Ctx, E>) => Effect.Effect<unknown, unknown, NoInfer<W>> }
    | undefined
}

/**
 * Defaults:
 *
 * | option | default | bounds | meaning |
 * |---|---|---|---|
 * | `depth` | 2 | 0 to 4 | how many processes of one run die, freeze, wake early, are shut down, or see it cancelled |
 * | `faults` | 1 | 0 to 4 | how many steps, undos and look-ups are refused, lose their request or reply, or stay down, and messages come otherwise |
 * | `schedulesMax` | 200,000 | 1 to 10,000,000 | where it stops: the report is not complete then |
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly depth?: number | undefined
  readonly faults?: number | undefined
  readonly schedulesMax?: number | undefined
}

/**
 * What was explored. `merged` of the schedules came to a crash behind which all is as behind another one, and ended there.
 * `states` counts how runs ended, `coverage` what happened at each point, by its name.
 *
 * @category models
 * @since 0.1.0
 */
export interface Report {
  readonly schedules: number
  readonly merged: number
  readonly isComplete: boolean
  readonly states: { readonly [state: string]: number }
  readonly coverage: { readonly [point: string]: { readonly [what: string]: number } }
}

/**
 * A schedule in which a promise is not kept. `schedule` is what {@link replay} takes, `trace` a Mermaid sequence diagram.
 *
 * @category errors
 * @since 0.1.0
 */
export class SagaBroken extends Data.TaggedError("SagaBroken")<{
  readonly saga: string
  readonly invariant: string
  readonly detail: string
  readonly schedule: string
  readonly trace: string
}> {
  override get message(): string {
    const { detail, invariant, saga, schedule, trace } = this
    return `saga "${saga}" breaks "${invariant}": ${detail}\nschedule: "${schedule}"\n${trace}`
  }
}

/**
 * This saga, in this world, does not come to all points of the schedule, or it cannot be read.
 *
 * @category errors
 * @since 0.1.0
 */
export class ScheduleInvalid extends Data.TaggedError("ScheduleInvalid")<{ readonly schedule: string }> {
  override get message(): string {
    return `the schedule "${this.schedule}" does not fit: explore again`
  }
}

const option = reader("SagaTest")

/**
 * Runs the saga in all schedules up to these bounds, those in which the least happens first, and fails with a smallest one
 * that breaks a promise.
 *
 * **Details**
 *
 * Before and after each commit of the log and each step and undo a process dies or freezes until another one has taken the
 * run over, one of them at a time; it is shut down while a step runs; the run is cancelled. Steps are refused, their requests and replies are lost,
 * those with a `timeout` of their own also without a word until it strikes; look-ups stay without an answer. What is stuck in the end is resumed once all services work again.
 *
 * A message comes before there is a run, before the run is at its step, twice, to another process, a second too late, at the last moment of
 * the deadline, while that is decided and behind it, and its sender repeats it until there is an answer. A run that waits is
 * left by a crash, and taken over in time or behind its deadline.
 *
 * These promises are checked, whatever happens: what leaves was intended before, by the owner of the run, under one key; an
 * undo has a cause, is no undo behind the pivot, comes in reverse order, after a look, with the truth; each obligation is
 * undone at most once and has one outcome; nothing that happened is left in what is `Compensated`, no money taken or held;
 * `Completed` leaves what a run without faults leaves whose waits end so; callers are told what the log says; every run ends.
 * A wait ends once, with the first message that was kept, or when its time is up and none had come before; a message is new
 * to one sender alone.
 *
 * **Example** (a reservation whose release is forgotten when nobody knows whether it was made)
 *
 * ```ts
 * import { Context, Effect, Layer, Schema } from "effect"
 * import { PaymentError, Saga } from "effect-payments"
 * import { SagaTest } from "effect-payments/testing"
 *
 * class Stock extends Context.Service<Stock, {
 *   readonly reserve: Effect.Effect<void>
 *   readonly release: Effect.Effect<void>
 * }>()("Stock") {}
 *
 * const layer = Layer.effect(
 *   Stock,
 *   Effect.map(SagaTest.Ledger, (ledger) => ({
 *     reserve: Effect.asVoid(ledger.done("reserve", "order-1")),
 *     release: Effect.asVoid(ledger.undone("reserve", "order-1"))
 *   }))
 * )
 *
 * const order = (release: (outcome: Saga.Outcome<void>) => Effect.Effect<unknown, never, Stock>) =>
 *   Saga.make("order", { payload: Schema.Struct({}) }).pipe(
 *     Saga.step("reserve", {
 *       success: Schema.Void,
 *       error: PaymentError.PaymentError,
 *       run: () => Effect.flatMap(Stock, ({ reserve }) => reserve),
 *       verify: "rerun",
 *       compensate: release
 *     }),
 *     Saga.pivot("ship", {
 *       success: Schema.Void,
 *       error: PaymentError.PaymentError,
 *       run: () => Effect.void,
 *       verify: "rerun"
 *     })
 *   )
 *
 * const always = order(() => Effect.flatMap(Stock, ({ release }) => release))
 * const report = await Effect.runPromise(SagaTest.explore(always, { payload: {}, layer }, { depth: 1 }))
 * report.isComplete // => true
 *
 * const forgets = order((outcome) =>
 *   outcome._tag === "Done" ? Effect.flatMap(Stock, ({ release }) => release) : Effect.succeed(Saga.skip("in doubt"))
 * )
 * const broken = await Effect.runPromise(Effect.flip(SagaTest.explore(forgets, { payload: {}, layer })))
 * broken.invariant // => "nothing that happened is left"
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const explore = <Ctx extends { readonly payload: unknown }, E, R extends W, W>(
  saga: Saga.Saga<Ctx, E, R>,
  world: World<Ctx, E, W>,
  options?: Options
): Effect.Effect<Report, SagaBroken> =>
  Effect.gen(function*() {
    const schedulesMax = yield* option.integer("schedulesMax", options?.schedulesMax ?? 200_000, 1, 10_000_000)
    const explored = yield* explorer.explore(yield* setupOf(saga, world, options), { schedulesMax })
    const { broken, coverage, isComplete, merged, schedules, states } = explored
    if (broken !== undefined) return yield* brokenOf(saga, broken.played)
    return {
      schedules,
      merged,
      isComplete,
      states: Object.fromEntries(states),
      coverage: Object.fromEntries(Array.from(coverage, ([point, counts]) => [point, Object.fromEntries(counts)]))
    }
  })

/**
 * Runs one schedule again, as it was printed, and answers its trace when it breaks nothing any more.
 *
 * @category running
 * @since 0.1.0
 */
export const replay = <Ctx extends { readonly payload: unknown }, E, R extends W, W>(
  saga: Saga.Saga<Ctx, E, R>,
  world: World<Ctx, E, W>,
  schedule: string
): Effect.Effect<string, SagaBroken | ScheduleInvalid> =>
  Effect.gen(function*() {
    const deviations = parse(schedule)
    if (deviations === undefined) return yield* new ScheduleInvalid({ schedule })
    const setup = yield* setupOf(saga, world, undefined)
    const played = yield* explorer.replay({ ...setup, budget: boundless }, deviations)
    if (played.broken !== undefined) return yield* brokenOf(saga, played)
    return played.met === deviations.length ? played.trace : yield* new ScheduleInvalid({ schedule })
  })

/**
 * Things that happen to a run, drawn by chance: see {@link arbitraryFaults}.
 *
 * @category models
 * @since 0.1.0
 */
export type Faults = ReadonlyArray<Draw>

const pointsMax = 60
const draws = 24

/**
 * Crashes, freezes, cancellations, refusals and losses at any points of a run, `max` (6) at the most: for properties beyond
 * the depth to which one explores. They shrink to fewer.
 *
 * **Example** (`it` is that of `@effect/vitest`)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Saga } from "effect-payments"
 * import { SagaTest } from "effect-payments/testing"
 *
 * const holds = <Ctx extends { readonly payload: unknown }, E, R extends W, W>(
 *   saga: Saga.Saga<Ctx, E, R>,
 *   world: SagaTest.World<Ctx, E, W>
 * ) => ([faults]: readonly [SagaTest.Faults]) => SagaTest.check(saga, world, faults)
 *
 * // it.effect.prop("survives whatever happens", [SagaTest.arbitraryFaults()], holds(checkout, world))
 * typeof holds // => "function"
 * ```
 *
 * @category properties
 * @since 0.1.0
 */
export const arbitraryFaults = (options?: { readonly max?: number | undefined }): Arbitrary.Arbitrary<Faults> =>
  Arbitrary.array(Arbitrary.all({ at: below(pointsMax), draw: below(draws) }), { maxLength: options?.max ?? 6 })

const below = (bound: number): Arbitrary.Arbitrary<number> =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: bound - 1 })))

/**
 * Runs the saga once with these faults and checks the same promises as {@link explore}.
 *
 * @category properties
 * @since 0.1.0
 */
export const check = <Ctx extends { readonly payload: unknown }, E, R extends W, W>(
  saga: Saga.Saga<Ctx, E, R>,
  world: World<Ctx, E, W>,
  faults: Faults
): Effect.Effect<void, SagaBroken> =>
  Effect.gen(function*() {
    const setup = yield* setupOf(saga, world, undefined)
    const played = yield* explorer.replay({ ...setup, budget: boundless }, faults)
    if (played.broken !== undefined) return yield* brokenOf(saga, played)
  })

const boundless = { crash: Number.POSITIVE_INFINITY, fault: Number.POSITIVE_INFINITY }

const setupOf = <Ctx extends { readonly payload: unknown }, E, R extends W, W>(
  saga: Saga.Saga<Ctx, E, R>,
  world: World<Ctx, E, W>,
  options: Options | undefined
): Effect.Effect<explorer.Setup> =>
  Effect.gen(function*() {
    const untyped = saga as unknown as Untyped
    const awaited = yield* awaitedOf(untyped)
    const messages = yield* messagesOf(awaited, (world.signals ?? []) as ReadonlyArray<Message<never, string>>)
    const refusals = yield* refusalsOf(untyped, world.refusals ?? {})
    return {
      saga: instrumentSaga(untyped),
      payload: world.payload,
      layer: world.layer as Layer.Layer<unknown, unknown, books.Ledger>,
      invariants: Object.entries(world.invariants ?? {}) as ReadonlyArray<
        readonly [string, (end: Ended) => Effect.Effect<unknown, unknown, unknown>]
      >,
      refusalOf: (step) => refusals.get(step),
      awaited,
      messages,
      budget: {
        crash: yield* option.integer("depth", options?.depth ?? 2, 0, 4),
        fault: yield* option.integer("faults", options?.faults ?? 1, 0, 4)
      }
    }
  })

/** A year is the longest that a saga waits. */
const waitMaxMillis = 366 * 24 * 60 * 60 * 1000

const awaitedOf = (saga: Untyped): Effect.Effect<ReadonlyArray<Awaited>> =>
  Effect.forEach(
    saga.steps.flatMap(({ name, wait }) => wait === undefined ? [] : [{ name, wait }]),
    ({ name, wait }) =>
      Effect.map(
        wait.deadline === undefined
          ? Effect.succeed(Number.POSITIVE_INFINITY)
          : option.millis("deadline", wait.deadline, 1, waitMaxMillis),
        (millis) => ({ name, millis, isArrival: wait.message === undefined ? undefined : wait.isArrival })
      )
  )

const messagesOf = (
  awaited: ReadonlyArray<Awaited>,
  messages: ReadonlyArray<Message<never, string>>
): Effect.Effect<ReadonlyArray<Given>> =>
  Effect.forEach(
    messages,
    ({ event, step, value, valueOf }) =>
      awaited.some(({ isArrival, name }) => name === step && isArrival !== undefined)
        ? Effect.succeed({
          step,
          event,
          valueOf: valueOf === undefined ? () => value : (ctx: never) => valueOf(ctx),
          isFromResults: valueOf !== undefined
        } as Given)
        : Effect.die(
          new InvalidOption({ stage: "SagaTest", option: "signals", expected: "messages that the saga awaits" })
        )
  )

const brokenOf = (saga: Saga.Any, { broken, points, trace }: Played): SagaBroken =>
  new SagaBroken({
    saga: saga.name,
    invariant: broken?.invariant ?? "",
    detail: broken?.detail ?? "",
    schedule: format(deviationsOf(points)),
    trace
  })
