/**
 * From what node:sqlite throws to a typed SqlError.
 *
 * @internal
 */
import { classifySqliteError, SqlError, SqlSyntaxError, UniqueViolation } from "effect/sql/SqlError"

/** @internal */
export type Operation = "open" | "prepare" | "execute" | "stream" | "backup" | "export"

/**
 * What this driver refuses by itself. Its message holds no data and is shown; the messages of SQLite may hold some and
 * stay in the cause.
 *
 * @internal
 */
export class Refusal extends Error {
  readonly syntax: boolean
  constructor(message: string, options?: { readonly syntax: boolean }) {
    super(message)
    this.name = "Refusal"
    this.syntax = options?.syntax ?? false
  }
}

const SQLITE_ERROR = 1
const SQLITE_BUSY = 5
const SQLITE_BUSY_SNAPSHOT = 517
const SQLITE_CONSTRAINT_PRIMARYKEY = 1555
const SQLITE_CONSTRAINT_ROWID = 2579

const errcodeOf = (cause: unknown): number | undefined =>
  cause instanceof Error && "errcode" in cause && typeof cause.errcode === "number" ? cause.errcode : undefined

/**
 * Whether another connection holds the lock and waiting helps. A stale snapshot (`SQLITE_BUSY_SNAPSHOT`) stays stale
 * for as long as its transaction lives.
 *
 * @internal
 */
export const isBusy = (cause: unknown): boolean => {
  const errcode = errcodeOf(cause)
  return errcode !== undefined && (errcode & 0xff) === SQLITE_BUSY && errcode !== SQLITE_BUSY_SNAPSHOT
}

/** @internal */
export const toSqlError = (cause: unknown, operation: Operation): SqlError => {
  const errcode = errcodeOf(cause)
  const props = { cause, operation, message: `sqlite ${operation}: ${explain(cause)}` }
  if (cause instanceof Refusal && cause.syntax) {
    return new SqlError({ reason: new SqlSyntaxError(props) })
  }
  if (errcode === undefined) {
    return new SqlError({ reason: classifySqliteError(cause, props) })
  }
  // SQLite has one code for each way to be unique; the classifier of Effect knows that of a UNIQUE index alone.
  if (errcode === SQLITE_CONSTRAINT_PRIMARYKEY || errcode === SQLITE_CONSTRAINT_ROWID) {
    return new SqlError({ reason: new UniqueViolation({ ...props, constraint: constraintOf(cause) }) })
  }
  if (errcode === SQLITE_ERROR && operation === "prepare") {
    return new SqlError({ reason: new SqlSyntaxError(props) })
  }
  // node:sqlite says `errcode`, the classifier reads `errno`.
  Object.assign(cause as Error, { errno: errcode })
  return new SqlError({ reason: classifySqliteError(cause, props) })
}

const explain = (cause: unknown): string => {
  if (cause instanceof Refusal) return cause.message
  if (cause instanceof Error && "errstr" in cause && typeof cause.errstr === "string") return cause.errstr
  if (cause instanceof Error && "code" in cause && typeof cause.code === "string") return cause.code
  return "unexpected failure"
}

const constraintOf = (cause: unknown): string => {
  const found = cause instanceof Error ? /UNIQUE constraint failed: (.+)$/.exec(cause.message)?.[1] : undefined
  return found ?? "unknown"
}
