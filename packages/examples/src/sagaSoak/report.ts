/** What the saga soak prints: a row for each store. */
import { listed, markdown } from "../soak/report.ts"
import type { Report } from "./drive.ts"
import type { Violation } from "./verify.ts"

const doubles: ReadonlySet<Violation["_tag"]> = new Set(["DoubleCharge", "DoubleCapture"])

const count = ({ violations }: Report, is: (tag: Violation["_tag"]) => boolean): number =>
  violations.filter(({ _tag }) => is(_tag)).length

const isOther = (tag: Violation["_tag"]): boolean => tag !== "LostCompensation" && tag !== "Stuck" && !doubles.has(tag)

const columns: ReadonlyArray<readonly [string, (report: Report) => string | number]> = [
  ["store", ({ store }) => store],
  ["kills", ({ kills }) => kills],
  ["stops", ({ stops }) => stops],
  ["restarts", ({ restarts }) => restarts],
  ["cuts", ({ cuts }) => cuts],
  ["sagas", ({ sagas }) => sagas],
  ["undone", ({ states }) => states["Compensated"] ?? 0],
  ["lost compensations", (report) => count(report, (tag) => tag === "LostCompensation")],
  ["charged or captured twice", (report) => count(report, (tag) => doubles.has(tag))],
  ["stuck without a reason", (report) => count(report, (tag) => tag === "Stuck")],
  ["other violations", (report) => count(report, isOther)]
]

export const table = (reports: ReadonlyArray<Report>): string =>
  markdown([columns.map(([name]) => name), ...reports.map((report) => columns.map(([, of]) => String(of(report))))])

/** Where processes were struck, how the sagas ended, and what callers were told. */
export const details = ({ acts, leaseMillis, millis, states, store, struck, told }: Report): string =>
  [
    `${store}: ${Math.round(millis / 1000)} s, leases of ${leaseMillis} ms`,
    `  struck   ${listed(struck)}`,
    `  states   ${listed(states)}`,
    `  acts     ${listed(acts)}`,
    `  told     ${listed(told)}`
  ].join("\n")

const shown = 20

export const faults = ({ store, violations }: Report): string => {
  const more = violations.length > shown ? [`  and ${violations.length - shown} more`] : []
  return [
    `${store}: ${violations.length} violations`,
    ...violations.slice(0, shown).map(({ _tag, detail, orderId }) => `  ${_tag} ${orderId}: ${detail}`),
    ...more
  ].join("\n")
}
