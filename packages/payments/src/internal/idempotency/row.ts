/**
 * Rows of the table as records. Drivers read 64-bit integers as number, bigint or string.
 *
 * @internal
 */
import * as Schema from "effect/Schema"
import { Key, type Record, type RecordId, recordId, Scope, State } from "./record.ts"

/** @internal */
export type Row = { readonly [column: string]: unknown }

/** @internal NaN when it is none. */
export const integer = (value: unknown): number => {
  if (typeof value === "number") return Number.isSafeInteger(value) ? value : Number.NaN
  if (typeof value !== "bigint" && (typeof value !== "string" || !/^-?\d{1,16}$/.test(value))) return Number.NaN
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : Number.NaN
}

const states: ReadonlySet<unknown> = new Set(State.literals)
const isState = (value: unknown): value is Record["state"] => states.has(value)

/** @internal Undefined when the row is none of ours. Written by hand: a claim waits for it. */
export const decode = (id: RecordId, row: Row): Record | undefined => {
  const { expires_at: expiresAt, fingerprint, owner, result, state } = row
  const record = {
    id: id.id,
    scope: id.scope,
    key: id.key,
    fence: integer(row["fence"]),
    attempt: integer(row["attempt"]),
    unresolved: integer(row["unresolved"]),
    leaseUntil: integer(row["lease_until"]),
    unknownSince: integer(row["unknown_since"]),
    createdAt: integer(row["created_at"]),
    updatedAt: integer(row["updated_at"]),
    expiresAt: expiresAt === null ? undefined : integer(expiresAt)
  }
  const sum = record.fence + record.attempt + record.unresolved + record.leaseUntil + record.unknownSince +
    record.createdAt + record.updatedAt + (record.expiresAt ?? 0)
  return Number.isNaN(sum) || row["id"] !== id.id || typeof fingerprint !== "string" || typeof owner !== "string" ||
      (result !== null && typeof result !== "string") || !isState(state)
    ? undefined
    : { ...record, state, fingerprint, owner, result: result ?? undefined }
}

const isScope = Schema.is(Scope)
const isKey = Schema.is(Key)

/** @internal The same when nobody knows the scope and the key beforehand. */
export const decodeListed = (row: Row): Record | undefined => {
  const { key, operation, tenant } = row
  const scope = { tenant, operation, version: integer(row["version"]) }
  return isScope(scope) && isKey(key) ? decode(recordId(scope, key), row) : undefined
}
