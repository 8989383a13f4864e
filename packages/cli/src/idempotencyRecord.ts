/**
 * An idempotency record as it is shown.
 *
 * The id that a store keeps a record under holds the key that the client sent. It is never shown: a record is named by a
 * digest of it, the reference, and looked for at a gateway by the downstream keys, which are digests too.
 *
 * @internal
 */
import type * as IdempotencyStore from "effect-payments/IdempotencyStore"
import * as Redaction from "effect-payments/Redaction"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import * as duration from "./duration.ts"

type Record = IdempotencyStore.Record

/** @internal */
export const referencePattern = /^rec_[0-9a-f]{24}$/

/** @internal */
export const referenceOf = ({ id }: Pick<Record, "id">): string =>
  `rec_${createHash("sha256").update(`payctl:idempotency:${id}`).digest("hex").slice(0, 24)}`

/** @internal */
export const isHeld = ({ state }: Record): boolean => state === "Claimed" || state === "Resolving"

/** @internal Nobody works on it and nobody knows what became of it. */
export const isStuck = (record: Record, now: number): boolean =>
  record.state === "Indeterminate" || record.state === "Parked" || (isHeld(record) && record.leaseUntil <= now)

/** @internal The last time at which a request can have left; 0 when none can be under way. */
export const lastDeparture = (record: Record): number => isHeld(record) ? record.leaseUntil : record.unknownSince

// As the library seals: s1.KEY.DATA.
const sealed = /^s1\.([A-Za-z0-9_-]{1,32})\.[A-Za-z0-9_-]+$/

/** @internal The id of the key under which a result is sealed. */
export const sealedUnder = (result: string): string | undefined => sealed.exec(result)?.[1]

const decodeJson = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Unknown))

/** The answer without card data. What is sealed stays sealed. */
const resultOf = (result: string): Schema.Json => {
  const key = sealedUnder(result)
  if (key !== undefined) return { sealedUnder: key }
  return Option.match(decodeJson(result), {
    onNone: () => Redaction.scrub(result),
    onSome: (value) => Redaction.scrubUnknown(value)
  })
}

const kindOf = ({ result }: Record): "none" | "sealed" | "stored" =>
  result === undefined ? "none" : sealedUnder(result) === undefined ? "stored" : "sealed"

const toIso = (millis: number | undefined): string | null =>
  millis === undefined || millis === 0 ? null : new Date(millis).toISOString()

/** @internal What `--json` prints of a record. */
export interface Shown {
  readonly reference: string
  readonly tenant: string
  readonly operation: string
  readonly version: number
  readonly state: Record["state"]
  readonly stuck: boolean
  readonly fence: number
  readonly attempt: number
  readonly unresolved: number
  readonly leaseUntil: string | null
  readonly unknownSince: string | null
  readonly createdAt: string | null
  readonly updatedAt: string | null
  readonly expiresAt: string | null
  readonly result: "none" | "sealed" | "stored"
}

/** @internal */
export const toShown = (record: Record, now: number): Shown => ({
  reference: referenceOf(record),
  tenant: Redaction.scrub(record.scope.tenant),
  operation: Redaction.scrub(record.scope.operation),
  version: record.scope.version,
  state: record.state,
  stuck: isStuck(record, now),
  fence: record.fence,
  attempt: record.attempt,
  unresolved: record.unresolved,
  leaseUntil: toIso(record.leaseUntil),
  unknownSince: toIso(record.unknownSince),
  createdAt: toIso(record.createdAt),
  updatedAt: toIso(record.updatedAt),
  expiresAt: toIso(record.expiresAt),
  result: kindOf(record)
})

/** @internal What `inspect --json` prints besides. */
export interface Details {
  readonly downstreamKeys: { readonly [phase: string]: string }
  readonly withResult: boolean
}

/** @internal */
export const toJson = (record: Record, now: number, { downstreamKeys, withResult }: Details) => ({
  ...toShown(record, now),
  fingerprint: Redaction.scrub(record.fingerprint),
  downstreamKeys,
  ...withResult ? { answer: record.result === undefined ? null : resultOf(record.result) } : {}
})

/** @internal */
export const stateOf = (record: Record, now: number): string =>
  isHeld(record) && record.leaseUntil <= now ? `${record.state}, lapsed` : record.state

/** @internal */
export const header = ["REFERENCE", "STATE", "TENANT", "OPERATION", "CHANGED", "FENCE", "ATTEMPT"]

/** @internal */
export const toRow = (record: Record, now: number): ReadonlyArray<string> => {
  const { operation, tenant, version } = toShown(record, now)
  return [
    referenceOf(record),
    stateOf(record, now),
    tenant,
    `${operation} v${version}`,
    `${duration.format(now - record.updatedAt)} ago`,
    `${record.fence}`,
    `${record.attempt}`
  ]
}

/** @internal */
export const toRows = (record: Record, now: number, details: Details): ReadonlyArray<ReadonlyArray<string>> => {
  const shown = toJson(record, now, details)
  const time = (label: string, text: string | null) => text === null ? [] : [[label, text]]
  return [
    ["reference", shown.reference],
    ["scope", `${shown.tenant}, ${shown.operation} v${shown.version}`],
    ["state", `${stateOf(record, now)}: ${meaningOf(record, now)}`],
    ["fence", `${shown.fence}`],
    ["attempt", `${shown.attempt}, unresolved ends: ${shown.unresolved}`],
    ...Object.entries(details.downstreamKeys).map(([phase, key]) => [`sent as`, `${key} (${phase})`]),
    ["fingerprint", shown.fingerprint],
    ["result", shown.result],
    ...shown.answer === undefined ? [] : [["answer", JSON.stringify(shown.answer)]],
    ...time("lease until", shown.leaseUntil),
    ...time("unknown since", shown.unknownSince),
    ...time("created", shown.createdAt),
    ...time("changed", shown.updatedAt),
    ...time("expires", shown.expiresAt)
  ]
}

const meanings: { readonly [state in Record["state"]]: string } = {
  Claimed: "its owner works on it",
  Resolving: "its owner looks up what became of it",
  Succeeded: "answered for good; the answer is replayed",
  Refused: "answered for good; the answer is replayed",
  Vacant: "surely not executed; free for the same payload",
  Indeterminate: "it may have happened, and nobody works on it",
  Parked: "unresolved too often; it waits for you"
}

const meaningOf = (record: Record, now: number): string =>
  isHeld(record) && record.leaseUntil <= now ? "its owner is gone, and it may have happened" : meanings[record.state]
