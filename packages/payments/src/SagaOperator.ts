/**
 * What people do to sagas that are stuck: look, try again, decide what nobody else can.
 *
 * The failure it prevents is the hand-written UPDATE: a run that is parked or whose undo has failed is changed only by an
 * entry of its log, fenced like every other, that says who did it and why. Every command may be sent twice. None
 * needs the saga's code: it is written down, and a process that has the code carries it out (`Saga.layerRecover`).
 *
 * | command | on a run that is | becomes |
 * |---|---|---|
 * | {@link retry} | parked, or with an undo that failed | under way again |
 * | {@link skip} | stuck, with an undo open or failed | that undo is `Skipped`, by whom and why |
 * | {@link force} | stuck, with an undo open or failed | that undo is `Forced`, with the evidence |
 * | {@link force} | stuck, with a step in doubt | the step has happened, or never did |
 * | {@link pause} | under way | parked, before anything more leaves |
 *
 * `by` and `reason` or `evidence` are 1 to 500 characters; card data in them is masked. A run that a process works on
 * answers `InFlight` or has to be paused first. `Saga.cancel` and `Saga.compensate` undo runs.
 *
 * **Example** (an undo that failed, settled by hand)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { SagaOperator } from "effect-payments"
 *
 * const settle = SagaOperator.force({
 *   saga: "checkout",
 *   id: "order-7",
 *   step: "capture",
 *   as: { _tag: "Undone" },
 *   by: "ann@shop.example",
 *   evidence: "refund re_42 in the gateway's dashboard"
 * }).pipe(Effect.map(({ run }) => run.state))
 * ```
 *
 * Read `Saga` and `SagaLog` first.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { SecureRandom } from "./internal/effect/crypto.ts"
import { SagaError } from "./internal/saga/errors.ts"
import * as operator from "./internal/saga/operator.ts"
import { type History, isUnfinished } from "./internal/saga/record.ts"
import { type ListedRun, SagaLog } from "./SagaLog.ts"

/** @category models @since 0.1.0 */
export type Target = operator.Target
/** @category models @since 0.1.0 */
export type Change = operator.Change
/** @category models @since 0.1.0 */
export type Filter = operator.Filter

/**
 * What an operator knows of a step: that it is undone, that it has happened, with its result as JSON in the encoded form of
 * its schema, or that it never did and never will.
 *
 * @category models
 * @since 0.1.0
 */
export type Knowledge =
  | { readonly _tag: "Undone" | "NeverHappened" }
  | { readonly _tag: "Happened"; readonly result: unknown }

/**
 * One page of runs in a stable order. What cannot be read is among them, as `Unreadable`, and hides no other.
 *
 * @category reading
 * @since 0.1.0
 */
export const list = (filter?: Filter): Effect.Effect<ReadonlyArray<ListedRun>, SagaError, SagaLog> =>
  Effect.flatMap(SagaLog, (log) => operator.list(log, filter))

/**
 * The run and all its entries, oldest first.
 *
 * @category reading
 * @since 0.1.0
 */
export const history = (target: Target): Effect.Effect<History, SagaError, SagaLog> => operator.read(target)

/**
 * Has a run that is parked go on where it stood, and failed undos tried again.
 *
 * @category commands
 * @since 0.1.0
 */
export const retry = (
  options: Target & { readonly by: string; readonly reason: string }
): Effect.Effect<Change, SagaError, SagaLog | SecureRandom.SecureRandom> =>
  Effect.flatMap(
    operator.textOf(options.by, options.reason),
    ([by, reason]) => operator.command(options, operator.resume(by, reason))
  )

/**
 * Passes over the undo of a step: it is not undone, and someone answers for that.
 *
 * @category commands
 * @since 0.1.0
 */
export const skip = (
  options: Target & { readonly step: string; readonly by: string; readonly reason: string }
): Effect.Effect<Change, SagaError, SagaLog | SecureRandom.SecureRandom> =>
  Effect.flatMap(
    operator.textOf(options.by, options.reason),
    ([by, reason]) => operator.command(options, operator.skip(options.step, by, reason))
  )

/**
 * Says what became of a step that nobody could tell of. The run stays parked until {@link retry}; one whose last undo is
 * settled by it has ended.
 *
 * @category commands
 * @since 0.1.0
 */
export const force = (
  options: Target & {
    readonly step: string
    readonly as: Knowledge
    readonly by: string
    readonly evidence: string
  }
): Effect.Effect<Change, SagaError, SagaLog | SecureRandom.SecureRandom> =>
  Effect.gen(function*() {
    const [by, evidence] = yield* operator.textOf(options.by, options.evidence)
    const { as, step } = options
    const knows = as._tag === "Happened"
      ? { _tag: as._tag, result: yield* operator.resultOf(as.result) }
      : { _tag: as._tag }
    return yield* operator.command(options, operator.force(step, knows, by, evidence))
  })

/**
 * Parks a run before anything more leaves: at once when nobody holds it, else as soon as its owner has written down the
 * step that it is at (`isChanged` is false until then). {@link retry} has it go on.
 *
 * @category commands
 * @since 0.1.0
 */
export const pause = (
  options: Target & { readonly by: string; readonly reason: string }
): Effect.Effect<Change, SagaError, SagaLog | SecureRandom.SecureRandom> =>
  Effect.gen(function*() {
    const [by, reason] = yield* operator.textOf(options.by, options.reason)
    const note = `${by}: ${reason}`
    const run = yield* operator.wish(options, (log, id) => log.pause({ ...id, note }))
    if (!isUnfinished(run.state)) return yield* operator.command(options, operator.park(note))
    return yield* operator.command(options, operator.park(note)).pipe(
      Effect.catchIf(
        ({ reason }) => reason._tag === "InFlight",
        () => Effect.succeed({ run, isChanged: false })
      )
    )
  })

/** @category errors @since 0.1.0 */
export { SagaError }
