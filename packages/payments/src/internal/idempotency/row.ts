/**
 * Rows of the table as records. Drivers read 64-bit integers as number, bigint or string.
 *
 * @internal
 */
import * as Schema from "effect/Schema"
import type { Row } from "../sql/execute.ts"
import { integer } from "../sql/integer.ts"
import { Key, type Record, type RecordId, recordId, Scope, State } from "./record.ts"
import { columns } from "./schema.ts"

/** @internal The time of the store, which stands behind the columns of the record. */
export const timeOf = (row: Row): number => integer(row[columns.length])

const states: ReadonlySet<unknown> = new Set(State.literals)
const isState = (value: unknown): value is Record["state"] => states.has(value)

/** @internal Undefined when the row is none of ours. Written by hand, by position: every claim waits for it. */
export const decode = (id: RecordId, row: Row): Record | undefined => {
  const [state, fingerprint, owner] = [row[1], row[2], row[3]]
  const fence = integer(row[4])
  const attempt = integer(row[5])
  const unresolved = integer(row[6])
  const leaseUntil = integer(row[7])
  const unknownSince = integer(row[8])
  const result = row[9] === null ? undefined : row[9]
  const createdAt = integer(row[10])
  const updatedAt = integer(row[11])
  const expiresAt = row[12] === null ? undefined : integer(row[12])
  const sum = fence + attempt + unresolved + leaseUntil + unknownSince + createdAt + updatedAt + (expiresAt ?? 0)
  return row[0] === id.id && !Number.isNaN(sum) && isState(state) && typeof fingerprint === "string" &&
      typeof owner === "string" && (result === undefined || typeof result === "string")
    ? {
      id: id.id,
      scope: id.scope,
      key: id.key,
      state,
      fingerprint,
      owner,
      fence,
      attempt,
      unresolved,
      leaseUntil,
      unknownSince,
      result,
      createdAt,
      updatedAt,
      expiresAt
    }
    : undefined
}

const isScope = Schema.is(Scope)
const isKey = Schema.is(Key)

/** @internal The same when nobody knows the scope and the key beforehand: they stand behind the record. */
export const decodeListed = (row: Row): Record | undefined => {
  const [tenant, operation, version, key] = row.slice(columns.length)
  const scope = { tenant, operation, version: integer(version) }
  return isScope(scope) && isKey(key) ? decode(recordId(scope, key), row) : undefined
}
