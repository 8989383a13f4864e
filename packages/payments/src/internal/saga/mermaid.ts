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
  steps.forEach((_, index) => lines.push(`  ${index === 0 ? "start" : `s${index - 1}`} --> s${index}`))
  lines.push(`  ${steps.length === 0 ? "start" : `s${steps.length - 1}`} --> completed([completed])`)
  const undoable = steps.flatMap(({ kind, name }, index) => kind === "compensatable" ? [{ index, name }] : [])
  for (const { index, name } of undoable) lines.push(`  u${index}["undo ${escape(name)}"]`)
  steps.forEach(({ error, kind }, index) => {
    if (kind === "retriable" || (kind === "wait" && error === undefined)) return
    const last = undoable.findLast((undo) => undo.index <= index)
    lines.push(`  s${index} -. fails .-> ${last === undefined ? "compensated" : `u${last.index}`}`)
  })
  undoable.forEach(({ index }, place) => {
    const before = undoable[place - 1]
    lines.push(`  u${index} --> ${before === undefined ? "compensated" : `u${before.index}`}`)
  })
  if (undoable.length > 0 || steps.some(({ kind }) => kind === "pivot")) lines.push("  compensated([compensated])")
  return lines.join("\n")
}

const boxes: { readonly [K in Kind]: (label: string) => string } = {
  compensatable: (label) => `[${label}]`,
  pivot: (label) => `{{${label}}}`,
  retriable: (label) => `([${label}])`,
  wait: (label) => `[/${label}/]`
}

/**
 * Whatever Mermaid could take for markup, Markdown, a number or the end of the label becomes its code. A name may hold any
 * character here: it is checked only when the saga runs.
 */
const escape = (name: string): string =>
  name.replace(/[^\p{L}\p{N} _-]|^[-\s]/gu, (character) => `#${character.codePointAt(0)};`)
