/**
 * Rows of cells as lines, each column as wide as its cells.
 *
 * @internal
 */

const widthMax = 40

/**
 * @internal
 */
export const align = (rows: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> => {
  const widths = rows.reduce<Array<number>>((widths, row) => {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, Math.min(widthMax, cell.length))
    return widths
  }, [])
  return rows.map((row) => row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  ").trimEnd())
}
