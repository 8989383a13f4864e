import { machine } from "./machine.ts"

/** One thing measured: its time per call, or calls per second, or both, and how it stands to the row it is compared with. */
export interface Row {
  readonly name: string
  /** Nanoseconds per call. */
  readonly nanoseconds?: number
  /** Calls per second. */
  readonly perSecond?: number
  /** This row's time per call through that of the row it is compared with; `note` says which. */
  readonly ratio?: number
  readonly note?: string
}

/** A promise about the numbers, and whether this run kept it. */
export interface Aim {
  readonly aim: string
  readonly value: number
  readonly met: boolean
}

export interface Report {
  readonly name: string
  readonly machine: string
  readonly rows: ReadonlyArray<Row>
  readonly aims: ReadonlyArray<Aim>
}

export const makeReport = (name: string, rows: ReadonlyArray<Row>, aims: ReadonlyArray<Aim>): Report => ({
  name,
  machine: machine(),
  rows,
  aims
})

/** An aim that is met by `value <= bound`; a value that is no number meets nothing. */
export const atMost = (aim: string, value: number, bound: number): Aim => ({
  aim: `${aim}: at most ${bound}`,
  value,
  met: value <= bound
})

/** An aim that is met by `value >= bound`. */
export const atLeast = (aim: string, value: number, bound: number): Aim => ({
  aim: `${aim}: at least ${bound}`,
  value,
  met: value >= bound
})

const time = (nanoseconds: number): string =>
  nanoseconds < 1e3
    ? `${nanoseconds.toFixed(0)} ns`
    : nanoseconds < 1e6
    ? `${(nanoseconds / 1e3).toFixed(2)} us`
    : nanoseconds < 1e9
    ? `${(nanoseconds / 1e6).toFixed(2)} ms`
    : `${(nanoseconds / 1e9).toFixed(2)} s`

const ratio = (value: number): string => `${value.toFixed(value < 10 ? 2 : 1)}x`

/** The report as a table, its aims below, each `met` or `UNMET`. */
export const format = (report: Report): string => {
  const header = ["", "per call", "per second", "ratio", ""]
  const rows = report.rows.map((row) => [
    row.name,
    row.nanoseconds === undefined ? "" : time(row.nanoseconds),
    row.perSecond === undefined ? "" : Math.round(row.perSecond).toLocaleString("en").replaceAll(",", " "),
    row.ratio === undefined ? "" : ratio(row.ratio),
    row.note ?? ""
  ])
  const shown = header.map((_, i) => i === 0 || rows.some((row) => row[i] !== ""))
  const table = [header, ...rows].map((row) => row.filter((_, i) => shown[i] === true))
  const widths = (table[0] ?? []).map((_, i) => Math.max(...table.map((row) => row[i]?.length ?? 0)))
  const lines = table.map((row) =>
    row.map((cell, i) => {
      const left = i === 0 || (shown[4] === true && i === row.length - 1)
      return left ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)
    }).join("  ").trimEnd()
  )
  const aims = report.aims.map(({ aim, met, value }) =>
    `${met ? "met  " : "UNMET"}  ${aim} (${Number.isFinite(value) ? value.toPrecision(3) : value})`
  )
  return [`${report.name} on ${report.machine}`, "", ...lines, ...(aims.length > 0 ? ["", ...aims] : [])].join("\n")
}
