/**
 * A reconciliation report as lines, for people and for programs. Lines come one by one, since a report of the wrong file
 * has millions.
 *
 * @internal
 */
import * as Money from "effect-payments/Money"
import * as Reconciliation from "effect-payments/Reconciliation"
import { align } from "./columns.ts"

const grouped = new Intl.NumberFormat("en")

/**
 * The summary, the discrepancies up to a limit, and what became of the records of each side and currency.
 *
 * @internal
 */
export function* toLines(report: Reconciliation.Report, limit: number): Iterable<string> {
  yield Reconciliation.summary(report)
  const shown = report.discrepancies.slice(0, limit)
  if (shown.length > 0) yield ""
  yield* align(shown.map((discrepancy) => {
    const { detail, kind, transactionId } = Reconciliation.toJsonDiscrepancy(discrepancy)
    return [kind, transactionId, detail]
  }))
  const left = report.discrepancies.length - shown.length
  if (left > 0) yield `... and ${grouped.format(left)} more: --limit shows them, --json lists all`
  if (report.accounts.length > 0) yield ""
  yield* align(report.accounts.map(({ currency, matched, read, reported, side }) => [
    side,
    currency,
    `${tally(read)} read`,
    `${tally(matched)} matched`,
    `${tally(reported)} reported`
  ]))
}

const tally = ({ records, sum }: Reconciliation.Tally): string =>
  `${grouped.format(records)} (${Money.formatAmount(sum)})`

/**
 * The lines of one JSON object, each discrepancy on a line of its own.
 *
 * @internal
 */
export function* toJsonLines(report: Reconciliation.Report): Iterable<string> {
  const { byKind, matched, total } = Reconciliation.toJson({ ...report, discrepancies: [] })
  yield `{"matched":${matched},"total":${total},"discrepancies":[`
  const last = report.discrepancies.length - 1
  for (const [index, discrepancy] of report.discrepancies.entries()) {
    yield `${JSON.stringify(Reconciliation.toJsonDiscrepancy(discrepancy))}${index < last ? "," : ""}`
  }
  yield `],"byKind":${JSON.stringify(byKind)}}`
}
