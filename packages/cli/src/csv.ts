/**
 * A strict reader of CSV by RFC 4180, from bytes, row by row, that says where something is wrong.
 *
 * What it takes: fields in quotes with `""` for a quote, rows that end in CR LF or LF, a byte order mark of UTF-8 at the
 * start, empty lines (which it skips). What it refuses: everything that other readers guess about, such as a quote inside
 * of a plain field, text after a closing quote, a lone carriage return or bytes that are not UTF-8.
 *
 * @internal
 */

/**
 * The bounds of a file. A row that is longer stops the reading before more of it is kept.
 *
 * @internal
 */
export const limits = { rowBytes: 65_536, fieldBytes: 16_384, columns: 256 } as const

/**
 * Where a file is wrong, and how. `row` counts as a spreadsheet does, the header being row 1; `line` as an editor does.
 * They differ after a field that holds a line break. `column` counts from 1.
 *
 * @internal
 */
export interface Fault {
  readonly row: number
  readonly line: number
  readonly column: number
  readonly what: string
}

/**
 * The row that was just read. It is the same object for every row: what is kept of it must be taken out by {@link text}.
 *
 * @internal
 */
export interface Row {
  readonly row: number
  readonly line: number
  readonly columns: number
  readonly buffer: Buffer
  readonly starts: Int32Array
  readonly ends: Int32Array
  readonly marks: Uint8Array
}

/**
 * Takes the chunks of a file in turn, and says when it ended.
 *
 * @internal
 */
export interface Reader {
  readonly push: (chunk: Uint8Array) => Fault | undefined
  readonly end: () => Fault | undefined
}

const quote = 34
const comma = 44
const lineFeed = 10
const carriageReturn = 13

/** What a field needs beyond being cut out. */
const mark = { wide: 1, escaped: 2 } as const

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/**
 * A field of the row, or undefined where it is not UTF-8.
 *
 * @internal
 */
export const text = ({ buffer, ends, marks, starts }: Row, column: number): string | undefined => {
  const start = starts[column] ?? 0
  const end = ends[column] ?? 0
  const marked = marks[column] ?? 0
  if (marked === 0) return buffer.toString("latin1", start, end)
  let decoded: string
  try {
    decoded = utf8.decode(buffer.subarray(start, end))
  } catch {
    return undefined
  }
  return (marked & mark.escaped) === 0 ? decoded : decoded.replaceAll(`""`, `"`)
}

/**
 * Makes a reader that hands each row to `onRow`, until that finds fault with one.
 *
 * @internal
 */
export const makeReader = (onRow: (row: Row) => Fault | undefined): Reader => {
  const state: State = {
    onRow,
    row: 1,
    line: 1,
    columns: 0,
    buffer: Buffer.alloc(0),
    starts: new Int32Array(limits.columns),
    ends: new Int32Array(limits.columns),
    marks: new Uint8Array(limits.columns),
    atStart: true,
    final: false,
    at: 0,
    lines: 1
  }
  return {
    push: (chunk) => {
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
      state.buffer = state.buffer.length === 0 ? bytes : Buffer.concat([state.buffer, bytes])
      return readRows(state)
    },
    end: () => {
      state.final = true
      return readRows(state)
    }
  }
}

interface State extends Row {
  readonly onRow: (row: Row) => Fault | undefined
  row: number
  line: number
  columns: number
  buffer: Buffer
  /** Nothing was read yet. */
  atStart: boolean
  /** Nothing more comes. */
  final: boolean
  /** Where in the buffer the reading is. */
  at: number
  /** How many lines the current row has so far. */
  lines: number
}

const faultAt = ({ line, row }: State, column: number, what: string): Fault => ({ row, line, column: column + 1, what })

/** Reads the rows that are complete, and keeps what is left of the last one. */
const readRows = (state: State): Fault | undefined => {
  let from = 0
  if (state.atStart) {
    if (state.buffer.length < 3 && !state.final) return undefined
    state.atStart = false
    const mark = byteOrderMark(state.buffer)
    if (mark === "utf-16") return faultAt(state, 0, "the file is in UTF-16; save it as UTF-8")
    from = mark
  }
  while (from < state.buffer.length) {
    const outcome = readRow(state, from)
    if (outcome === "incomplete") break
    if (outcome !== undefined) return outcome
    from = state.at
  }
  // A copy: what is left must not hold on to the whole chunk.
  state.buffer = Buffer.from(state.buffer.subarray(from))
  return undefined
}

const byteOrderMark = (buffer: Buffer): number | "utf-16" => {
  const [a, b, c] = buffer
  if ((a === 0xff && b === 0xfe) || (a === 0xfe && b === 0xff)) return "utf-16"
  return a === 0xef && b === 0xbb && c === 0xbf ? 3 : 0
}

/** Reads the row at `from`, and leaves `at` where the next one begins. */
const readRow = (state: State, from: number): Fault | "incomplete" | undefined => {
  const { buffer } = state
  state.at = from
  state.lines = 1
  for (let column = 0; column < limits.columns; column++) {
    const outcome = buffer[state.at] === quote ? readQuoted(state, column) : readPlain(state, column)
    if (state.at - from > limits.rowBytes) return faultAt(state, column, `a row of more than ${limits.rowBytes} bytes`)
    if (outcome !== undefined) return outcome
    if (buffer[state.at] === comma) state.at++
    else return readEnd(state, column)
  }
  return faultAt(state, limits.columns - 1, `more than ${limits.columns} columns`)
}

const readPlain = (state: State, column: number): Fault | "incomplete" | undefined => {
  const { buffer } = state
  const start = state.at
  let at = start
  let bits = 0
  let byte = buffer[at]
  while (byte !== undefined && byte !== comma && byte !== lineFeed && byte !== carriageReturn) {
    if (byte === quote) return faultAt(state, column, "a quote inside of a field that does not begin with one")
    bits |= byte
    byte = buffer[++at]
  }
  state.at = at
  if (byte === undefined && !state.final) return "incomplete"
  return keep(state, column, start, at, bits > 127 ? mark.wide : 0)
}

const readQuoted = (state: State, column: number): Fault | "incomplete" | undefined => {
  const { buffer } = state
  const start = state.at + 1
  let at = start
  let bits = 0
  let escaped = 0
  for (;; at++) {
    const byte = buffer[at]
    if (byte === undefined) {
      state.at = at
      return state.final ? faultAt(state, column, "a quote that is opened and never closed") : "incomplete"
    }
    if (byte === lineFeed) state.lines++
    else if (byte === quote) {
      if (buffer[at + 1] !== quote) break
      escaped = mark.escaped
      at++
    }
    bits |= byte
  }
  state.at = at + 1
  // Whether it is the closing quote is known by what follows.
  if (state.at === buffer.length && !state.final) return "incomplete"
  return keep(state, column, start, at, (bits > 127 ? mark.wide : 0) | escaped)
}

const keep = (state: State, column: number, start: number, end: number, marks: number): Fault | undefined => {
  if (end - start > limits.fieldBytes) return faultAt(state, column, `a field of more than ${limits.fieldBytes} bytes`)
  state.starts[column] = start
  state.ends[column] = end
  state.marks[column] = marks
  return undefined
}

/** After the last field of a row: its end, and the row to whom it is for. */
const readEnd = (state: State, column: number): Fault | "incomplete" | undefined => {
  const { buffer } = state
  const byte = buffer[state.at]
  if (byte === carriageReturn) {
    if (state.at + 1 === buffer.length && !state.final) return "incomplete"
    if (buffer[state.at + 1] !== lineFeed) {
      return faultAt(state, column, "a carriage return that no line feed follows")
    }
    state.at += 2
  } else if (byte === lineFeed) state.at++
  else if (byte !== undefined) return faultAt(state, column, "text after the closing quote")
  state.columns = column + 1
  const isEmpty = column === 0 && state.starts[0] === state.ends[0]
  const found = isEmpty ? undefined : state.onRow(state)
  state.row++
  state.line += state.lines
  return found
}
