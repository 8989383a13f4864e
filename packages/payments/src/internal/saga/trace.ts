/**
 * A run as its log tells it, without the saga's code.
 *
 * @internal
 */
import { shapeOf } from "./compile.ts"
import { fold, initial, isObligation, type Kind, type Shape, type StepState, type Undo } from "./decide.ts"
import { toMermaid } from "./mermaid.ts"
import { definitionOf, type History } from "./record.ts"
import type { Untyped } from "./step.ts"

/**
 * How far a step of a run has come. `Intended`: it may have left. `NotDone`: it surely did not happen. `InDoubt`: nobody knows.
 * `undo` is what came of its undo; `isOwed`: the undo is still to be done if the saga unwinds.
 *
 * @category models
 * @since 0.1.0
 */
export interface StepProgress {
  readonly name: string
  readonly kind: Kind
  readonly outcome: StepState["progress"]["_tag"]
  readonly undo: Undo | undefined
  readonly isOwed: boolean
}

const read = (history: History): { readonly shape: Shape; readonly steps: ReadonlyArray<StepProgress> } | undefined => {
  const shape = shapeOf(definitionOf(history))
  if (shape === undefined) return undefined
  const state = fold(shape, initial(shape), history.entries.flatMap(({ events }) => events))
  const steps = state.steps.flatMap(({ progress, undo }, index) => {
    const step = shape[index]
    if (step === undefined) return []
    const { kind, name } = step
    return [{ name, kind, outcome: progress._tag, undo, isOwed: isObligation(shape, state, index) }]
  })
  return { shape, steps }
}

/** @internal */
export const progress = (history: History): ReadonlyArray<StepProgress> | undefined => read(history)?.steps

/** @internal */
export const trace = (history: History): string | undefined => {
  const known = read(history)
  if (known === undefined) return undefined
  const classes = known.steps.flatMap(({ isOwed, kind, outcome, undo }, index) => [
    `  class s${index} ${outcome.toLowerCase()}`,
    ...kind === "compensatable" ? [`  class u${index} ${undoClass(undo, isOwed)}`] : []
  ])
  const steps = known.shape.map(({ group, kind, name }) => ({ group, kind, name, error: undefined }))
  return [toMermaid({ steps } as unknown as Untyped), ...classes, ...styles].join("\n")
}

const undoClass = (undo: Undo | undefined, isOwed: boolean): string =>
  undo === undefined ? (isOwed ? "owed" : "waiting") : undo._tag === "Failed" ? "failed" : undo._tag.toLowerCase()

const styles = [
  "  classDef waiting stroke-dasharray: 4 4",
  "  classDef intended,owed fill:#fff3bf,stroke:#f08c00",
  "  classDef done,undone fill:#d3f9d8,stroke:#2b8a3e",
  "  classDef notdone,skipped fill:#e9ecef,stroke:#868e96",
  "  classDef indoubt,failed fill:#ffe3e3,stroke:#c92a2a",
  "  classDef forced fill:#d0ebff,stroke:#1971c2"
]
