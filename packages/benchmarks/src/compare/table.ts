/** What one contender did with one demand. */
export interface Verdict {
  readonly holds: boolean
  /** What was seen, in a few words that are the same in each run. */
  readonly seen: string
}

/** One demand, and what each contender did with it. */
export interface Row {
  readonly name: string
  readonly demand: string
  /** What a user of a contender that fails it loses, in a sentence. */
  readonly loss: string
  /** In the order of the contenders. */
  readonly verdicts: ReadonlyArray<Verdict>
}

/** A contract of this package, and which of its cases each contender passes. */
export interface Contract {
  readonly contenders: ReadonlyArray<string>
  readonly cases: ReadonlyArray<{
    readonly name: string
    /** In the order of the contenders. */
    readonly passes: ReadonlyArray<boolean>
  }>
}

export interface Comparison {
  readonly name: string
  /** The contenders, each with its version. */
  readonly contenders: ReadonlyArray<string>
  readonly rows: ReadonlyArray<Row>
  readonly contract?: Contract
}

const toCell = ({ holds, seen }: Verdict): string => holds ? "holds" : `**fails**: ${seen}`

const toTable = (header: ReadonlyArray<string>, body: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> => {
  const widths = header.map((_, i) => Math.max(...[header, ...body].map((cells) => cells[i]?.length ?? 0)))
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`
  return [toLine(header, widths), rule, ...body.map((cells) => toLine(cells, widths))]
}

const toLine = (cells: ReadonlyArray<string>, widths: ReadonlyArray<number>): string =>
  `| ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(" | ")} |`

// As wide as the text of the docs.
const widthMax = 125

/** A list item over as many lines as it takes. */
const wrap = (text: string): string => {
  const lines: Array<string> = []
  let line = ""
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > widthMax) {
      lines.push(line)
      line = `  ${word}`
    } else {
      line = line === "" ? word : `${line} ${word}`
    }
  }
  return [...lines, line].join("\n")
}

/**
 * As it stands in the docs: the table in Markdown, its columns padded as the formatter does, and below it what is lost by
 * each row that somebody fails.
 */
export const format = ({ contenders, rows }: Comparison): string => {
  const table = toTable(
    ["row", "demand", ...contenders],
    rows.map(({ demand, verdicts }, i) => [`${i + 1}`, demand, ...verdicts.map(toCell)])
  )
  const losses = rows.flatMap(({ loss, name, verdicts }, i) =>
    verdicts.every(({ holds }) => holds) ? [] : [wrap(`- Row ${i + 1}, ${name}: ${loss}`)]
  )
  return [...table, ...(losses.length > 0 ? ["", ...losses] : [])].join("\n")
}

/** As it stands in the docs: a line for each case, and how many each passes. */
export const formatContract = ({ cases, contenders }: Contract): string => {
  const counts = contenders.map((_, i) => `${cases.filter(({ passes }) => passes[i]).length} of ${cases.length}`)
  return toTable(
    ["the store …", ...contenders],
    [
      ...cases.map(({ name, passes }) => [name, ...passes.map((isPassed) => isPassed ? "passes" : "**fails**")]),
      ["passed", ...counts]
    ]
  ).join("\n")
}
