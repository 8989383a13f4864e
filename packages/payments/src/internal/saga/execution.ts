/**
 * How a run has ended, in the types of its saga.
 *
 * @internal
 */
import type * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Compiled } from "./compile.ts"
import type { Failure, SagaState, Shape } from "./decide.ts"
import { statusOf } from "./decide.ts"

/**
 * Why a saga was undone.
 *
 * - `Failed`: the step ended in this error. `NotExecuted` ones carry the error of the last try, if it could be stored.
 * - `InDoubt`: nobody could tell whether the step happened, and it was undone like one that did.
 * - `Cancelled`: someone asked for it.
 *
 * `detail` names kinds of failures and holds no message.
 *
 * @category models
 * @since 0.1.0
 */
export type Cause<E> =
  | { readonly _tag: "Failed"; readonly step: string; readonly error: E | undefined; readonly detail: string }
  | { readonly _tag: "InDoubt"; readonly step: string; readonly detail: string }
  | { readonly _tag: "Cancelled" }

/**
 * What became of the undo of one step. `by` is `"engine"` where nothing was called, `"compensation"` where the step's
 * own undo said that there was nothing to do, and else the operator who has passed it over (`Skipped`) or has seen that it
 * is undone (`Forced`).
 *
 * @category models
 * @since 0.1.0
 */
export type Undo =
  | { readonly _tag: "Undone"; readonly step: string }
  | { readonly _tag: "Skipped"; readonly step: string; readonly by: string; readonly reason: string }
  | { readonly _tag: "Forced"; readonly step: string; readonly by: string; readonly evidence: string }
  | { readonly _tag: "Failed"; readonly step: string; readonly detail: string }

/**
 * How a run has ended.
 *
 * - `Completed`: `results` holds the payload and what each step answered, by name.
 * - `Compensated`: every step that may have happened is undone. `undos` are in the order in which they ran.
 * - `FailedCompensation`: at least one undo failed, all had their tries. Someone has to look.
 * - `Parked`: it can neither go on nor be undone on what is known. Nothing was undone. Someone has to look.
 *
 * @category models
 * @since 0.1.0
 */
export type Execution<Ctx, E> =
  | { readonly _tag: "Completed"; readonly results: Ctx }
  | { readonly _tag: "Compensated"; readonly cause: Cause<E>; readonly undos: ReadonlyArray<Undo> }
  | { readonly _tag: "FailedCompensation"; readonly cause: Cause<E>; readonly undos: ReadonlyArray<Undo> }
  | { readonly _tag: "Parked"; readonly step: string | undefined; readonly reason: string }

/**
 * A run that waits for someone, as `onStuck` of a layer is told of it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stuck {
  readonly saga: string
  readonly id: string
  readonly execution: Extract<Execution<unknown, unknown>, { readonly _tag: "FailedCompensation" | "Parked" }>
}

/** @internal */
export type OnStuck = (stuck: Stuck) => Effect.Effect<unknown, unknown>

/**
 * @internal Undefined while it has not ended; a failure names what could not be read. `shape` holds the steps that the run
 * had: of those that the saga does not have any more there are no results.
 */
export const executionOf = (
  compiled: Compiled,
  shape: Shape,
  state: SagaState,
  payload: unknown
): Result.Result<Execution<unknown, unknown> | undefined, string> => {
  const status = statusOf(shape, state)
  switch (status) {
    case "Parked":
      return Result.succeed({ _tag: "Parked", step: state.parked?.step, reason: state.parked?.reason ?? "" })
    case "Completed":
      return Result.map(resultsOf(compiled, shape, state, payload), (results) => ({ _tag: "Completed", results }))
    case "Compensated":
    case "FailedCompensation":
      return Result.map(
        causeOf(compiled, state.cause),
        (cause) => ({ _tag: status, cause, undos: undosOf(shape, state) })
      )
    default:
      return Result.succeed(undefined)
  }
}

/** @internal The payload and what the steps that are done have answered, by name. */
export const resultsOf = (
  compiled: Compiled,
  shape: Shape,
  state: SagaState,
  payload: unknown
): Result.Result<Readonly<Record<string, unknown>>, string> => {
  const results: Record<string, unknown> = { payload }
  for (const [index, { name }] of shape.entries()) {
    const progress = state.steps[index]?.progress
    const codec = compiled.steps.find((step) => step.name === name)?.success
    if (progress?._tag !== "Done" || codec === undefined) continue
    const result = codec.restore(progress.result)
    if (Result.isFailure(result)) return Result.fail(`the result of "${name}"`)
    define(results, name, result.success)
  }
  return Result.succeed(results)
}

/** @internal A step may have any name, also that of something every object has. */
export const define = (results: Record<string, unknown>, name: string, value: unknown): void => {
  if (name in results) {
    Object.defineProperty(results, name, { value, enumerable: true, configurable: true, writable: true })
  } else results[name] = value
}

const causeOf = (compiled: Compiled, cause: Failure | undefined): Result.Result<Cause<unknown>, string> => {
  if (cause?._tag !== "Failed") return Result.succeed(cause ?? { _tag: "Cancelled" })
  const { detail, error, step } = cause
  if (error === undefined) return Result.succeed({ _tag: "Failed", step, error: undefined, detail })
  const codec = compiled.steps.find(({ name }) => name === step)?.error
  // A step that is no more: its error cannot be read, and what has become of the run can.
  if (codec === undefined) return Result.succeed({ _tag: "Failed", step, error: undefined, detail })
  const restored = codec.restore(error)
  return Result.isSuccess(restored)
    ? Result.succeed({ _tag: "Failed", step, error: restored.success, detail })
    : Result.fail(`the error of "${step}"`)
}

// The order of the undos is that of the starts, backwards.
const undosOf = (shape: Shape, state: SagaState): ReadonlyArray<Undo> =>
  shape.flatMap(({ name }, index): ReadonlyArray<Undo> => {
    const undo = state.steps[index]?.undo
    if (undo === undefined) return []
    return [undo._tag === "Failed" ? { _tag: "Failed", step: name, detail: undo.detail } : { ...undo, step: name }]
  }).toReversed()
