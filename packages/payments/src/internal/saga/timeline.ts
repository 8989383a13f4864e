/**
 * A run as a diagram of what happened, in order.
 *
 * @internal
 */
import * as DateTime from "effect/DateTime"
import { escape } from "./mermaid.ts"
import type { Event, History } from "./record.ts"

/** @internal */
export const timeline = ({ entries, run }: History): string => {
  const events = entries.flatMap(({ at, epoch, events }) => events.map((event) => ({ at, epoch, event })))
  const steps = [
    ...new Set(events.flatMap(({ event }) => "step" in event && event.step !== undefined ? [event.step] : []))
  ]
  const lines = ["sequenceDiagram", `  participant run as ${escape(`${run.saga} ${run.id}`)}`]
  for (const [index, step] of steps.entries()) lines.push(`  participant s${index} as ${escape(step)}`)
  let owner: number | undefined
  for (const { at, epoch, event } of events) {
    if (owner !== undefined && owner !== epoch) lines.push("  Note over run: another process goes on")
    owner = epoch
    lines.push(`  ${lineOf(event, (step) => `s${steps.indexOf(step)}`, DateTime.formatIso(DateTime.makeUnsafe(at)))}`)
  }
  lines.push(`  Note over run: ${run.state}`)
  return lines.join("\n")
}

const lineOf = (event: Event, node: (step: string) => string, at: string): string => {
  const answer = (step: string, text: string) => `${node(step)}-->>run: ${escape(text)}`
  const fails = (step: string, text: string) => `${node(step)}--xrun: ${escape(text)}`
  const note = (text: string) => `Note over run: ${escape(text)}`
  switch (event._tag) {
    case "Intended":
      return `run->>${node(event.step)}: run ${escape(at)}`
    case "Succeeded":
      return answer(event.step, "done")
    case "Failed":
      return fails(event.step, `failed, ${event.detail}`)
    case "Doubted":
      return fails(event.step, `in doubt, ${event.detail}`)
    case "Undone":
      return answer(event.step, "undone")
    case "Skipped":
      return answer(event.step, `undo skipped by ${event.by}, ${event.reason}`)
    case "UndoFailed":
      return fails(event.step, `undo failed, ${event.detail}`)
    case "Forced":
      return answer(event.step, `${event.as._tag} by ${event.by}, ${event.evidence}`)
    case "Cancelled":
      return note("cancelled")
    case "Parked":
      return note(`parked, ${event.reason}`)
    case "Resumed":
      return note(event.by === undefined ? "resumed" : `resumed by ${event.by}, ${event.reason ?? ""}`)
    case "Reversed":
      return note(`to be undone, by ${event.by}, ${event.reason}`)
    case "Ignored":
      return fails(event.step, `message ${event.event} passed over, ${event.reason}`)
    case "Redefined":
      return note("another definition goes on")
  }
}
