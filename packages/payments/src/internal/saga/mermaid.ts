/**
 * A saga as a diagram.
 *
 * @internal
 */
import type { Kind } from "./decide.ts"
import type { Untyped } from "./step.ts"

/** @internal */
export const toMermaid = ({ steps }: Untyped): string => {
  const lines = ["flowchart TD", "  start([start])"]
  const nodes = steps.map(({ kind, name }, index) => {
    const label = `"${escape(name)}"`
    return `  s${index}${boxes[kind](label)}`
  })
  lines.push(...nodes)
  const units = unitsOf(steps)
  units.forEach((unit, place) => {
    for (const from of units[place - 1]?.map((index) => `s${index}`) ?? ["start"]) {
      for (const index of unit) lines.push(`  ${from} --> s${index}`)
    }
  })
  for (const from of units.at(-1)?.map((index) => `s${index}`) ?? ["start"]) {
    lines.push(`  ${from} --> completed([completed])`)
  }
  const undoable = steps.flatMap(({ kind, name }, index) => kind === "compensatable" ? [{ index, name }] : [])
  for (const { index, name } of undoable) lines.push(`  u${index}["undo ${escape(name)}"]`)
  steps.forEach(({ error, kind }, index) => {
    if (kind === "retriable" || (kind === "wait" && error === undefined)) return
    // Of a group all are undone that happened.
    const end = units.find((unit) => unit.includes(index))?.at(-1) ?? index
    const last = undoable.findLast((undo) => undo.index <= end)
    lines.push(`  s${index} -. fails .-> ${last === undefined ? "compensated" : `u${last.index}`}`)
  })
  undoable.forEach(({ index }, place) => {
    const before = undoable[place - 1]
    lines.push(`  u${index} --> ${before === undefined ? "compensated" : `u${before.index}`}`)
  })
  if (undoable.length > 0 || steps.some(({ kind }) => kind === "pivot")) lines.push("  compensated([compensated])")
  return lines.join("\n")
}

/** The places of steps that run at the same time, in order. */
const unitsOf = (steps: Untyped["steps"]): ReadonlyArray<ReadonlyArray<number>> =>
  Array.from(Map.groupBy(steps.keys(), (index) => steps[index]?.group ?? `${index}`).values())

const boxes: { readonly [K in Kind]: (label: string) => string } = {
  compensatable: (label) => `[${label}]`,
  pivot: (label) => `{{${label}}}`,
  retriable: (label) => `([${label}])`,
  wait: (label) => `[/${label}/]`
}

/**
 * @internal Whatever Mermaid could take for markup, Markdown, a number or the end of the label becomes its code. A name may hold any
 * character here: it is checked only when the saga runs.
 */
export const escape = (name: string): string =>
  name.replace(/[^\p{L}\p{N} _-]|^[-\s]/gu, (character) => `#${character.codePointAt(0)};`)
