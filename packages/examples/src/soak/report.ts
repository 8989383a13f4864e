/** What the soak prints: a row for each store and kind of gateway. */
import type { Report } from "./drive.ts"

const columns: ReadonlyArray<readonly [string, (report: Report) => string | number]> = [
  ["store", ({ store }) => store],
  ["gateway de-duplicates", ({ deduplicates }) => deduplicates ? "yes" : "no"],
  ["kills", ({ kills }) => kills],
  ["stops", ({ stops }) => stops],
  ["keys", ({ keys }) => keys],
  ["callers", ({ callers }) => callers],
  ["calls", ({ calls }) => calls],
  ["charges", ({ charges }) => charges],
  ["keys charged twice", ({ double }) => double],
  ["other violations", ({ double, violations }) => violations.length - double]
]

export const table = (reports: ReadonlyArray<Report>): string =>
  markdown([columns.map(([name]) => name), ...reports.map((report) => columns.map(([, of]) => String(of(report))))])

export const byTag = (violations: ReadonlyArray<{ readonly _tag: string }>): Readonly<Record<string, number>> =>
  Object.fromEntries([...Map.groupBy(violations, ({ _tag }) => _tag)].map(([tag, all]) => [tag, all.length]))

/** The first row is the heading. */
export const markdown = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)))
  const lineOf = (row: ReadonlyArray<string>) => `| ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(" | ")} |`
  const [head = [], ...body] = rows
  return [lineOf(head), lineOf(widths.map((width) => "-".repeat(width))), ...body.map(lineOf)].join("\n")
}

/** Where processes were struck, what the records say in the end, and what callers were told. */
export const details = ({ deduplicates, leaseMillis, millis, records, store, struck, told }: Report): string =>
  [
    `${store}${deduplicates ? "" : ", a gateway that does not de-duplicate"}: ${
      Math.round(millis / 1000)
    } s, leases of ${leaseMillis} ms`,
    `  struck   ${listed(struck)}`,
    `  records  ${listed(records)}`,
    `  told     ${listed(told)}`
  ].join("\n")

export const listed = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts).map(([name, count]) => `${name} ${count}`).join(", ")

/**
 * A key that is charged twice, because a process froze, at a gateway that does not de-duplicate is what can happen, and no
 * violation of ours.
 */
export const unexpected = ({ deduplicates, stops, violations }: Report) =>
  violations.filter(({ _tag }) => deduplicates || stops === 0 || _tag !== "DoubleCharge")

const shown = 20

export const faults = (report: Report): string => {
  const found = unexpected(report)
  const more = found.length > shown ? [`  and ${found.length - shown} more`] : []
  return [
    `${report.store}: ${found.length} violations`,
    ...found.slice(0, shown).map(({ _tag, detail, key }) => `  ${_tag} ${key}: ${detail}`),
    ...more
  ].join("\n")
}
