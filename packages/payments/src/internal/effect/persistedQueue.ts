/**
 * Effect's persisted queue, which is unstable: imported here and nowhere else.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"

export * as PersistedQueue from "effect/persistence/PersistedQueue"

const tag = "~effect/persistence/PersistedQueue/DeadLetter"

/**
 * @internal A failure that the stores of Effect take for the last one, however many tries are left. They use it for
 * elements that do not decode and do not export it; one that would not know it would try again until it gives up.
 */
export const deadLetter = (cause: Cause.Cause<unknown>) => ({ _tag: tag, cause }) as const

/** @internal */
export const isDeadLetter = (error: unknown): error is { readonly cause: Cause.Cause<unknown> } =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === tag
