/**
 * The vocabulary of the idempotency store.
 *
 * @internal
 */
import * as Schema from "effect/Schema"

/** @internal */
export const partPattern = /^[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?$/

/** @internal */
export const partExpected = "1 to 255 printable ASCII characters, no space at either end"

/** @internal */
export const Part = Schema.String.check(Schema.isPattern(partPattern, { expected: partExpected }))

/** @internal */
export const Scope = Schema.Struct({
  tenant: Part,
  operation: Part,
  version: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000 }))
}).pipe(Schema.brand("IdempotencyScope"))

/** @internal */
export const Key = Part.pipe(Schema.brand("IdempotencyKey"))

/** @internal */
export const State = Schema.Literals([
  "Vacant",
  "Claimed",
  "Resolving",
  "Succeeded",
  "Refused",
  "Indeterminate",
  "Parked"
])

/** @internal Which record: the scope, the client's key and both as one length-prefixed string. */
export interface RecordId {
  readonly id: string
  readonly scope: typeof Scope.Type
  readonly key: typeof Key.Type
}

/** @internal */
export const recordId = (scope: typeof Scope.Type, key: typeof Key.Type): RecordId => ({
  id: `${idPrefix(scope.tenant, scope.operation)}${scope.version}:${key.length}:${key}`,
  scope,
  key
})

/** @internal What the ids of a tenant, or of one of its operations, begin with, and no other id. */
export const idPrefix = (tenant: string, operation?: string): string =>
  operation === undefined
    ? `${tenant.length}:${tenant}`
    : `${tenant.length}:${tenant}${operation.length}:${operation}`

/**
 * @internal One idempotent operation as it is stored. All times are milliseconds on the store's clock.
 *
 * - `fence` grows with every change of owner and never restarts.
 * - `attempt` counts grants, `unresolved` the ends that nobody could resolve (these park the record).
 * - `unknownSince` is when the last request can have left: the base of `settle`.
 * - `expiresAt` counts from completion or release; undefined means never.
 */
export interface Record extends RecordId {
  readonly state: typeof State.Type
  readonly fingerprint: string
  readonly owner: string
  readonly fence: number
  readonly attempt: number
  readonly unresolved: number
  readonly leaseUntil: number
  readonly unknownSince: number
  readonly result: string | undefined
  readonly createdAt: number
  readonly updatedAt: number
  readonly expiresAt: number | undefined
}

/** @internal */
export interface ClaimRequest extends RecordId {
  readonly fingerprint: string
  /** New for each attempt, so that a claim whose reply was lost recognises itself. */
  readonly owner: string
  readonly leaseMillis: number
  /** Without a resolver an unresolved record is answered as it is and nothing is written. */
  readonly canResolve: boolean
  readonly attemptsMax: number
}

/** @internal What is stored after the claim, mine or not, and the store's time. */
export interface ClaimReply {
  readonly record: Record
  readonly now: number
}

/** @internal */
export interface Ownership extends RecordId {
  readonly owner: string
  readonly fence: number
}

/** @internal */
export type Completion =
  | { readonly _tag: "Succeeded" | "Refused"; readonly result: string; readonly ttlMillis: number }
  /** `ran: false` when only a look-up ran: `unknownSince` stays. `counted: false` leaves `unresolved` alone. */
  | { readonly _tag: "Indeterminate"; readonly ran: boolean; readonly counted: boolean; readonly attemptsMax: number }

/** @internal */
export interface CompleteRequest extends Ownership {
  readonly completion: Completion
}

/** @internal */
export interface ReleaseRequest extends Ownership {
  readonly ttlMillis: number
}

/** @internal */
export interface RenewRequest extends Ownership {
  readonly leaseMillis: number
}

/** @internal An operator's or completer's word on a record that nobody works on. */
export interface ResolveRequest extends RecordId {
  readonly resolution:
    | { readonly _tag: "Succeeded" | "Refused"; readonly result: string }
    | { readonly _tag: "NeverHappened" }
  readonly ttlMillis: number
  /** Only while the record still has this fence: what was inspected is what is resolved. */
  readonly fence: number
}

/** @internal */
export interface ListRequest {
  readonly tenant?: string | undefined
  readonly operation?: string | undefined
  readonly state?: typeof State.Type | undefined
  /** Only what nobody works on and nobody knows: `Indeterminate`, `Parked`, and claims whose lease has lapsed. */
  readonly stuck?: boolean | undefined
  /** 1 to 1000. */
  readonly limit: number
  /** The `id` of the last record of the page before. */
  readonly after?: string | undefined
}

/** @internal */
export type Eviction = "Evicted" | "Absent" | "Held"

/** @internal */
export const listLimitMax = 1_000

/** @internal */
export const sweepLimitMax = 10_000

/** @internal */
export const isLimit = (limit: number, max: number): boolean => Number.isInteger(limit) && limit >= 1 && limit <= max
