/**
 * Records as they stand in Redis; `redisScripts` says how.
 *
 * @internal
 */
import * as Schema from "effect/Schema"
import { integer } from "../sql/integer.ts"
import { Key, type Record, type RecordId, recordId, Scope, State } from "./record.ts"

/** @internal A text without a line break, alike for texts that are alike. */
export const encodeLine = (text: string): string => JSON.stringify(text)

// Written by encodeLine: a JSON string, or none of ours.
const decodeLine = (line: string): string | undefined => {
  if (/^"[\x20!\x23-\x5b\x5d-\x7e]*"$/.test(line)) return line.slice(1, -1)
  const decoded = decodeJson(line)
  return decoded._tag === "Some" ? decoded.value : undefined
}

const decodeJson = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.String))

const states: ReadonlySet<unknown> = new Set(State.literals)
const isState = (value: unknown): value is Record["state"] => states.has(value)

const linesOf = (value: string): ReadonlyArray<string> => {
  const lines: Array<string> = []
  let start = 0
  for (let end = value.indexOf("\n"); end !== -1 && lines.length < 11; end = value.indexOf("\n", start)) {
    lines.push(value.slice(start, end))
    start = end + 1
  }
  return [...lines, value.slice(start)]
}

/** @internal Undefined when the text is none of ours. */
export const decode = ({ id, key, scope }: RecordId, value: string): Record | undefined => {
  const [state, expires, lease, updated, fingerprintLine = "", ownerLine = "", ...rest] = linesOf(value)
  const fingerprint = decodeLine(fingerprintLine)
  const owner = decodeLine(ownerLine)
  const expiresAt = expires === "" ? undefined : integer(expires)
  const leaseUntil = integer(lease)
  const updatedAt = integer(updated)
  const fence = integer(rest[0])
  const attempt = integer(rest[1])
  const unresolved = integer(rest[2])
  const unknownSince = integer(rest[3])
  const createdAt = integer(rest[4])
  const result = rest[5]
  const sum = fence + attempt + unresolved + leaseUntil + unknownSince + createdAt + updatedAt + (expiresAt ?? 0)
  return result === undefined || Number.isNaN(sum) || !isState(state) || fingerprint === undefined ||
      owner === undefined
    ? undefined
    : {
      id,
      scope,
      key,
      state,
      fingerprint,
      owner,
      fence,
      attempt,
      unresolved,
      leaseUntil,
      unknownSince,
      result: state === "Succeeded" || state === "Refused" ? result : undefined,
      createdAt,
      updatedAt,
      expiresAt
    }
}

const isScope = Schema.is(Scope)
const isKey = Schema.is(Key)

/** @internal Which record an id stands for; undefined when it is none of ours. */
export const parseId = (id: string): RecordId | undefined => {
  const tenant = partOf(id, 0)
  const operation = partOf(id, tenant.end)
  const version = /^\d{1,7}(?=:)/.exec(id.slice(operation.end))?.[0] ?? ""
  const key = partOf(id, operation.end + version.length + 1)
  const scope = { tenant: tenant.text, operation: operation.text, version: integer(version) }
  if (!isScope(scope) || !isKey(key.text)) return undefined
  const record = recordId(scope, key.text)
  return record.id === id ? record : undefined
}

/** The part at this place of an id, its length before it. */
const partOf = (id: string, start: number): { readonly text: string; readonly end: number } => {
  const length = /^\d{1,3}(?=:)/.exec(id.slice(start, start + 4))?.[0] ?? ""
  const from = start + length.length + 1
  const end = from + Number(length)
  return { text: id.slice(from, end), end }
}
