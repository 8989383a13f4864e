/**
 * What the cases of the store contract are written with.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Formatter from "effect/Formatter"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import type { ClaimRequest, IdempotencyStore, Record, RecordId, StoreUnavailable } from "../../../IdempotencyStore.ts"
import { Key, recordId, Scope } from "../../idempotency/record.ts"

type Store = IdempotencyStore["Service"]

/** @internal */
export class ContractBroken extends Schema.TaggedError<ContractBroken>()("ContractBroken", {
  expected: Schema.String,
  actual: Schema.String
}) {
  override get message(): string {
    return `expected ${this.expected}, got ${this.actual}`
  }
}

/** @internal */
export type Broken = ContractBroken | StoreUnavailable

/** @internal A case: its name, and what it does with a store. */
export interface Test {
  readonly name: string
  readonly run: (kit: Kit) => Effect.Effect<unknown, Broken>
}

/** @internal */
export const test = (name: string, run: Test["run"]): Test => ({ name, run })

/** @internal */
export type Kit = Effect.Success<ReturnType<typeof make>>

/** @internal Just behind a lease, and behind what is kept for `ttl`, in leases. */
export const afterLease = 31 / 30
export const afterTtl = 61 / 30

/** @internal `advance` lets so many leases pass. Names are new for each case and each run, so that a store may be used again. */
export const make = Effect.fnUntraced(function*(
  store: Store,
  lease: number,
  advance: (leases: number) => Effect.Effect<void>
) {
  const run = (yield* Random.nextIntBetween(0, 36 ** 8)).toString(36)
  const ttl = lease * 2
  let names = 0
  const fresh = (prefix: string): string => `${prefix}${run}-${(names++).toString(36)}`

  /** A claim of a record that nobody has claimed. */
  const requestOf = (options?: RequestOptions): ClaimRequest => {
    const { name, operation = "charge", tenant = "shop", version = 1, ...rest } = options ?? {}
    return {
      ...recordId(Scope.make({ tenant, operation, version }), Key.make(name ?? fresh("key-"))),
      fingerprint: "v1:a",
      owner: fresh("owner-"),
      leaseMillis: lease,
      canResolve: false,
      attemptsMax: 3,
      ...rest
    }
  }

  const claimed = Effect.fnUntraced(function*(options?: RequestOptions) {
    const request = requestOf(options)
    const { now, record } = yield* store.claim(request)
    return { request, record, now, mine: held(record) }
  })

  return {
    store,
    lease,
    ttl,
    advance,
    fresh,
    requestOf,
    /** The same record for another owner. */
    rival: (request: ClaimRequest, options?: Partial<ClaimRequest>): ClaimRequest => ({
      ...request,
      owner: fresh("owner-"),
      ...options
    }),
    /** A record that is not there. */
    recordIdOf: (): RecordId => {
      const { id, key, scope } = requestOf()
      return { id, key, scope }
    },
    claimed,
    stored: (id: RecordId) => Effect.map(store.inspect(id), ({ record }) => record),
    succeeded: (result = "{}", ttlMillis = ttl) => ({ _tag: "Succeeded", result, ttlMillis }) as const,
    refused: (result = "{}", ttlMillis = ttl) => ({ _tag: "Refused", result, ttlMillis }) as const
  }
})

interface RequestOptions extends Partial<ClaimRequest> {
  readonly tenant?: string
  readonly operation?: string
  readonly version?: number
  readonly name?: string
}

/** @internal The ownership of a record. */
export const held = ({ fence, id, key, owner, scope }: Record) => ({ id, scope, key, owner, fence })

/** @internal An end that nobody knows. */
export const unknown = (
  options?: { readonly ran?: boolean; readonly counted?: boolean; readonly attemptsMax?: number }
) => ({ _tag: "Indeterminate", ran: true, counted: true, attemptsMax: 3, ...options }) as const

// --- expectations

type Check = Effect.Effect<void, ContractBroken>

const shown = (value: unknown): string => {
  const text = Formatter.format(value)
  return text.length > 1_000 ? `${text.slice(0, 1_000)}…` : text
}

const check = (isSo: boolean, expected: string, actual: unknown): Check =>
  isSo ? Effect.void : Effect.fail(new ContractBroken({ expected, actual: shown(actual) }))

/** @internal */
export const equal = (actual: unknown, expected: unknown): Check =>
  check(Equal.equals(actual, expected), shown(expected), actual)

/** @internal */
export const isTrue = (actual: boolean): Check => equal(actual, true)

/** @internal */
export const isFalse = (actual: boolean): Check => equal(actual, false)

/** @internal */
export const isUndefined = (actual: unknown): Check => equal(actual, undefined)

/** @internal */
export const isAbove = (actual: number, bound: number): Check => check(actual > bound, `more than ${bound}`, actual)

/** @internal */
export const isAtLeast = (actual: number, bound: number): Check => check(actual >= bound, `at least ${bound}`, actual)

/** @internal */
export const isAtMost = (actual: number, bound: number): Check => check(actual <= bound, `at most ${bound}`, actual)

/** @internal Compares the fields that are expected, no others. */
export const hasFields = (
  record: Record | undefined,
  expected: { readonly [Name in keyof Record]?: Record[Name] | undefined }
): Check =>
  equal(
    record === undefined
      ? undefined
      : Object.fromEntries(Object.entries(record).filter(([name]) => name in expected)),
    expected
  )
