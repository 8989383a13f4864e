/**
 * What happened in a schedule, in words and as a Mermaid sequence diagram.
 *
 * @internal
 */
import type { Process } from "./simulation.ts"

interface Line {
  readonly from: string
  readonly to: "Log" | "Services" | undefined
  readonly text: string
}

// A diagram of more than that nobody reads.
const linesMax = 400

/** @internal */
export class Trace {
  private readonly lines: Array<Line> = []
  private readonly isKept: boolean
  private readonly startedAt: number

  /** Only what is printed is worth keeping. */
  constructor(isKept: boolean, startedAt: number) {
    this.isKept = isKept
    this.startedAt = startedAt
  }

  private add(process: Process, to: Line["to"], text: string): void {
    if (!this.isKept || this.lines.length >= linesMax) return
    const seconds = (process.simulation.now - this.startedAt) / 1000
    this.lines.push({ from: process.name, to, text: `${Math.round(seconds)} s: ${text}` })
  }

  log(process: Process, text: string): void {
    this.add(process, "Log", text)
  }

  call(process: Process, name: string, outcome: string): void {
    this.add(process, "Services", `${name}: ${outcome}`)
  }

  note(process: Process, text: string): void {
    this.add(process, undefined, text)
  }

  get mermaid(): string {
    const processes = [...new Set(this.lines.map(({ from }) => from))]
    return [
      "sequenceDiagram",
      ...processes.map((name) => `  participant ${name}`),
      "  participant Log",
      "  participant Services",
      ...this.lines.map(({ from, text, to }) =>
        to === undefined ? `  Note over ${from}: ${escape(text)}` : `  ${from}->>${to}: ${escape(text)}`
      )
    ].join("\n")
  }
}

/** Whatever Mermaid could take for the end of a line becomes its code. */
const escape = (text: string): string =>
  text.replace(/[^\p{L}\p{N} _:,.()?!'-]/gu, (character) => `#${character.codePointAt(0)};`)
