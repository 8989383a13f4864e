/**
 * What another definition means for runs that are under way.
 *
 * @internal
 */
import { documentOf } from "./compile.ts"
import type { AnyStep, Untyped } from "./step.ts"

/**
 * What differs at one place. `place` is 0 for the payload and counts steps from 1; `before` and `after` are the steps that
 * stand there, undefined where there is none.
 *
 * @category models
 * @since 0.1.0
 */
export interface Change {
  readonly place: number
  readonly before: string | undefined
  readonly after: string | undefined
  readonly what: "payload" | "name" | "kind" | "group" | "success" | "error" | "added" | "removed"
}

/**
 * - `Same`: every run goes on.
 * - `Compatible`: runs that have come to `from`, or past it, under the old definition are parked; earlier ones go on. A
 *   change behind the old definition's last step parks none.
 * - `Incompatible`: every run is parked.
 *
 * @category models
 * @since 0.1.0
 */
export type Difference =
  | { readonly _tag: "Same" }
  | { readonly _tag: "Compatible"; readonly from: string | undefined; readonly changes: ReadonlyArray<Change> }
  | { readonly _tag: "Incompatible"; readonly changes: ReadonlyArray<Change> }

/** @internal */
export const diff = (before: Untyped, after: Untyped): Difference => {
  const changes: Array<Change> = []
  if (before.name !== after.name || documentOf(before.payload) !== documentOf(after.payload)) {
    changes.push({
      place: 0,
      before: "payload",
      after: "payload",
      what: before.name === after.name ? "payload" : "name"
    })
  }
  const length = Math.max(before.steps.length, after.steps.length)
  for (let index = 0; index < length; index++) {
    const [was, is] = [before.steps[index], after.steps[index]]
    const what = changeOf(was, is)
    if (what !== undefined) changes.push({ place: index + 1, before: was?.name, after: is?.name, what })
  }
  const [first] = changes
  if (first === undefined) return { _tag: "Same" }
  // The step that stands first has left with the run's first entry.
  return first.place <= 1 ? { _tag: "Incompatible", changes } : { _tag: "Compatible", from: first.before, changes }
}

const changeOf = (was: AnyStep | undefined, is: AnyStep | undefined): Change["what"] | undefined => {
  if (was === undefined) return is === undefined ? undefined : "added"
  if (is === undefined) return "removed"
  if (was.name !== is.name) return "name"
  if (was.kind !== is.kind) return "kind"
  if (was.group !== is.group) return "group"
  if (documentOf(was.success) !== documentOf(is.success)) return "success"
  const [error, other] = [was, is].map(({ error }) => error === undefined ? undefined : documentOf(error))
  return error === other && (was.error === undefined) === (is.error === undefined) ? undefined : "error"
}
