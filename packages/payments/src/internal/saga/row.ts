/**
 * Rows of the tables as runs and entries.
 *
 * @internal
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Row } from "../sql/execute.ts"
import { integer } from "../sql/integer.ts"
import { type Entry, Event, fromKey, type ListedRun, type Run, State } from "./record.ts"
import { columns } from "./tables.ts"

/** @internal The time of the store, which stands behind the columns of the run. */
export const timeOf = (row: Row): number => integer(row[columns.length])

const isState = Schema.is(State)
const isText = (value: unknown): value is string => typeof value === "string"

/** @internal Undefined when the row is none of ours. */
export const decodeRun = (row: Row): Run | undefined => {
  const [key, saga, id, fingerprint, definition, payload, state, owner] = row
  const [epoch, leaseUntil, length, cancelRequested] = row.slice(8, 12).map(integer)
  const [createdAt, updatedAt] = row.slice(13, 15).map(integer)
  const [step, pause] = row.slice(15, 17)
  return isText(key) && isText(saga) && isText(id) && isText(fingerprint) && isText(definition) && isText(payload) &&
      isState(state) && isText(owner) && isNumber(epoch) && isNumber(leaseUntil) && isNumber(length) &&
      isNumber(cancelRequested) && isNumber(createdAt) && isNumber(updatedAt) && isTextOrNull(step) &&
      isTextOrNull(pause)
    ? {
      key,
      saga,
      id,
      fingerprint,
      definition,
      payload,
      state,
      owner,
      epoch,
      leaseUntil,
      length,
      cancelRequested: cancelRequested === 1,
      pauseRequested: pause ?? undefined,
      step: step ?? undefined,
      createdAt,
      updatedAt
    }
    : undefined
}

/** @internal A row of a list, which tells of what is none of ours too. */
export const decodeListed = (row: Row): ListedRun => {
  const run = decodeRun(row)
  if (run !== undefined) return run
  const key = isText(row[0]) ? row[0] : ""
  const fault = columns.find((column, index) => !fits(column, row[index]))
  return { ...fromKey(key) ?? { key, saga: "", id: "" }, state: "Unreadable", detail: `its ${fault ?? "row"}` }
}

type Column = typeof columns[number]

const integers: ReadonlySet<Column> = new Set<Column>([
  "epoch",
  "lease_until",
  "length",
  "cancel_requested",
  "created_at",
  "updated_at"
])

const fits = (column: Column, value: unknown): boolean =>
  column === "state"
    ? isState(value)
    : column === "step" || column === "pause"
    ? isTextOrNull(value)
    : integers.has(column)
    ? !Number.isNaN(integer(value))
    : column === "tail" || isText(value)

const isTextOrNull = (value: unknown): value is string | null => value === null || isText(value)
const isNumber = (value: number | undefined): value is number => value !== undefined && !Number.isNaN(value)

/** @internal The last entry, which the row of the run holds too. */
export const tailOf = (row: Row, run: Run): Entry | undefined =>
  decodeEntry([run.key, run.length, run.epoch, run.createdAt, run.state, row[12]])

/** @internal Undefined when the row is none of ours. */
export const decodeEntry = (row: Row): Entry | undefined => {
  const seq = integer(row[1])
  const epoch = integer(row[2])
  const at = integer(row[3])
  const state = row[4]
  const events = decodeEvents(row[5])
  return !Number.isNaN(seq + epoch + at) && isState(state) && events !== undefined
    ? { seq, epoch, at, state, events }
    : undefined
}

/** @internal */
export const encodeEvents = (events: ReadonlyArray<Event>): string => JSON.stringify(events)

const decode = Schema.decodeUnknownResult(Schema.fromJsonString(Schema.Array(Event)))

const decodeEvents = (text: unknown): ReadonlyArray<Event> | undefined => {
  const events = decode(text)
  return Result.isSuccess(events) ? events.success : undefined
}
