/**
 * Prepared statements of node:sqlite: bounded cache, parameters in, rows out.
 *
 * @internal
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite"
import { Refusal } from "./error.ts"

/** @internal */
export type Row = Record<string, unknown>

/**
 * How the rows of one run are read.
 *
 * @internal
 */
export type Shape = "rows" | "values" | "raw"

/** @internal */
export interface Prepared {
  readonly statement: StatementSync
  /** Whether it answers with rows; `INSERT` without `RETURNING` and the like do not. */
  readonly returns: boolean
  /** The columns, where the text alone fixes them. Undefined with a `*`, which another process can widen. */
  readonly names: ReadonlyArray<string> | undefined
  readonly changesSchema: boolean
  /** The modes the statement is in, so that they are set only when they change. */
  arrays: boolean
  bigints: boolean
}

// What may follow the one statement: white space, comments, semicolons.
const nothingMore = /^(?:[\s;]|--[^\n]*(?:\n|$)|\/\*[\s\S]*?(?:\*\/|$))*$/
const schemaChange = /^\s*(?:create|alter|drop|attach|detach|vacuum)\b/i
const countOfAll = /\bcount\s*\(\s*\*\s*\)/gi

/** @internal */
export const prepare = (db: DatabaseSync, sql: string): Prepared => {
  const statement = db.prepare(sql)
  const { sourceSQL } = statement
  // SQLite compiles the first statement and leaves the rest unread; a half-run script is worse than none.
  if (sourceSQL.length < sql.length && !nothingMore.test(sql.slice(sourceSQL.length))) {
    throw new Refusal("the text holds more than one statement; send them one by one", { syntax: true })
  }
  const names = statement.columns().map((column) => column.name)
  const fixed = !sql.replace(countOfAll, "").includes("*") && !names.includes("__proto__")
  return {
    statement,
    returns: names.length > 0,
    names: fixed ? names : undefined,
    changesSchema: schemaChange.test(sql),
    arrays: false,
    bigints: false
  }
}

/**
 * The statements used last, at most `capacity` of them; the least recently used one goes first.
 *
 * @internal
 */
export const makeCache = (db: DatabaseSync, capacity: number) => {
  const entries = new Map<string, Prepared>()
  return {
    get: (sql: string): Prepared => {
      const known = entries.get(sql)
      if (known !== undefined) {
        entries.delete(sql)
        entries.set(sql, known)
        return known
      }
      const prepared = prepare(db, sql)
      if (entries.size >= capacity) {
        for (const oldest of entries.keys()) {
          entries.delete(oldest)
          break
        }
      }
      if (capacity > 0) entries.set(sql, prepared)
      return prepared
    },
    clear: () => entries.clear(),
    size: () => entries.size
  }
}

/**
 * Booleans become 0 and 1, undefined becomes NULL. What SQLite would take for something else is refused: NaN (stored as
 * NULL), and objects, the first of which node:sqlite reads as a map of named parameters, so that a Date binds nothing.
 *
 * @internal
 */
export const toBound = (params: ReadonlyArray<unknown>): ReadonlyArray<SQLInputValue> => {
  let bound: Array<unknown> | undefined
  for (let i = 0; i < params.length; i++) {
    const value = params[i]
    switch (typeof value) {
      case "string":
      case "bigint":
        break
      case "number":
        if (Number.isNaN(value)) throw new Refusal(`parameter ${i + 1} is NaN, which SQLite stores as NULL`)
        break
      case "boolean":
        bound ??= params.slice()
        bound[i] = value ? 1 : 0
        break
      case "undefined":
        bound ??= params.slice()
        bound[i] = null
        break
      case "object":
        if (value === null || ArrayBuffer.isView(value)) break
        throw new Refusal(
          `parameter ${i + 1} is an object (${
            value.constructor?.name ?? "no prototype"
          }); encode it as text, number or bytes`
        )
      default:
        throw new Refusal(`parameter ${i + 1} is a ${typeof value}, which SQLite cannot store`)
    }
  }
  return (bound ?? params) as ReadonlyArray<SQLInputValue>
}

const setModes = (prepared: Prepared, arrays: boolean, bigints: boolean): void => {
  if (prepared.arrays !== arrays) {
    prepared.statement.setReturnArrays(arrays)
    prepared.arrays = arrays
  }
  if (prepared.bigints !== bigints) {
    prepared.statement.setReadBigInts(bigints)
    prepared.bigints = bigints
  }
}

/**
 * Runs the statement to its end.
 *
 * @internal
 */
export const run = (
  prepared: Prepared,
  params: ReadonlyArray<SQLInputValue>,
  shape: Shape,
  bigints: boolean
): ReadonlyArray<unknown> | Row => {
  const { names, returns, statement } = prepared
  if (!returns) {
    setModes(prepared, prepared.arrays, bigints)
    return shape === "raw" ? { ...statement.run(...params) } : statement.all(...params)
  }
  if (shape === "values") {
    setModes(prepared, true, bigints)
    return statement.all(...params)
  }
  setModes(prepared, names !== undefined, bigints)
  return toRows(statement.all(...params), names)
}

/**
 * A dedicated statement that hands out its rows as it goes.
 *
 * @internal
 */
export const iterate = (
  prepared: Prepared,
  params: ReadonlyArray<SQLInputValue>,
  bigints: boolean
): Iterator<unknown> => {
  setModes(prepared, prepared.names !== undefined, bigints)
  return prepared.statement.iterate(...params)
}

/**
 * node:sqlite answers with objects without prototype. Plain ones are made here: from arrays where the names are fixed
 * (half the time, and all rows share one shape), else by copying.
 *
 * @internal
 */
export const toRows = (
  found: ReadonlyArray<unknown>,
  names: ReadonlyArray<string> | undefined
): ReadonlyArray<Row> => {
  const rows: Array<Row> = []
  for (const row of found) {
    rows.push(names === undefined ? { ...(row as Row) } : toRow(row as ReadonlyArray<unknown>, names))
  }
  return rows
}

const toRow = (values: ReadonlyArray<unknown>, names: ReadonlyArray<string>): Row => {
  const row: Row = {}
  for (let i = 0; i < names.length; i++) {
    row[names[i] as string] = values[i]
  }
  return row
}
