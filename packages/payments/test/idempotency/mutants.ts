/** Stores that are wrong in one way each, as stores are wrong in the field. */
import { Clock, Effect, Layer } from "effect"
import { IdempotencyStore } from "effect-payments"
import * as machine from "../../src/internal/idempotency/machine.ts"
import type { ClaimRequest, Record, RecordId } from "../../src/internal/idempotency/record.ts"

type Store = IdempotencyStore.IdempotencyStore["Service"]
type Transition<A> = (record: Record | undefined, request: A, now: number) => Record | undefined
type RequestOf<Name extends keyof Store> = Parameters<Extract<Store[Name], (...args: Array<never>) => unknown>>[0]

/** The machine over a map, each part of which can be replaced. */
interface Parts {
  readonly keyOf: (id: RecordId) => string
  readonly claim: (record: Record | undefined, request: ClaimRequest, now: number) => Record
  readonly complete: Transition<RequestOf<"complete">>
  readonly release: Transition<RequestOf<"release">>
  readonly renew: Transition<RequestOf<"renew">[number]>
  readonly resolve: Transition<RequestOf<"resolve">>
  readonly evict: typeof machine.evict
  readonly isExpired: typeof machine.isExpired
  readonly isListed: typeof machine.isListed
  /** Whether a write is one step. */
  readonly atomic: boolean
  readonly claimsOnClock: "caller" | "store"
  /** What the list of answers to a renewal becomes. */
  readonly renewed: (answers: ReadonlyArray<boolean>) => ReadonlyArray<boolean>
  readonly sweepsAtMost: (limit: number) => number
}

const right: Parts = {
  ...machine,
  keyOf: ({ id }) => id,
  atomic: true,
  claimsOnClock: "store",
  renewed: (answers) => answers,
  sweepsAtMost: (limit) => limit
}

const limited = (operation: string, limit: number, max: number) =>
  Number.isInteger(limit) && limit >= 1 && limit <= max
    ? Effect.void
    : Effect.fail(new IdempotencyStore.StoreUnavailable({ operation, detail: "limit" }))

const make = (parts: Parts) =>
  Effect.map(Clock.Clock, (clock): Store => {
    const records = new Map<string, Record>()
    const now = () => clock.currentTimeMillisUnsafe()
    const pause = parts.atomic ? Effect.void : Effect.yieldNow
    const update = <A extends RecordId>(transition: Transition<A>, request: A) =>
      Effect.gen(function*() {
        const record = records.get(parts.keyOf(request))
        yield* pause
        const next = transition(record, request, now())
        if (next !== undefined) records.set(parts.keyOf(request), next)
        return next !== undefined
      })
    return {
      claim: (request) =>
        Effect.gen(function*() {
          const record = records.get(parts.keyOf(request))
          yield* pause
          const time = parts.claimsOnClock === "store" ? now() : yield* Clock.currentTimeMillis
          const next = parts.claim(record, request, time)
          if (next !== record) records.set(parts.keyOf(request), next)
          return { record: next, now: time }
        }),
      complete: (request) => update(parts.complete, request),
      release: (request) => update(parts.release, request),
      renew: (requests) =>
        Effect.map(Effect.forEach(requests, (request) => update(parts.renew, request)), parts.renewed),
      resolve: (request) => update(parts.resolve, request),
      inspect: (id) => Effect.sync(() => ({ record: records.get(parts.keyOf(id)), now: now() })),
      list: (request) =>
        Effect.map(limited("list", request.limit, 1_000), () =>
          Array.from(records.values()).filter((record) => parts.isListed(record, request, now())).sort((a, b) =>
            a.id < b.id ? -1 : 1
          ).slice(0, request.limit)),
      evict: (id, { force }) =>
        Effect.sync(() => {
          const eviction = parts.evict(records.get(parts.keyOf(id)), force)
          if (eviction === "Evicted") {
            records.delete(parts.keyOf(id))
          }
          return eviction
        }),
      sweep: ({ limit }) =>
        Effect.map(limited("sweep", limit, 10_000), () => {
          const expired = Array.from(records.entries()).filter(([, record]) =>
            parts.isExpired(record, now())
          ).slice(
            0,
            parts.sweepsAtMost(limit)
          )
          for (const [key] of expired) records.delete(key)
          return expired.length
        })
    }
  })

const layerOf = (parts: Partial<Parts>) => Layer.effect(IdempotencyStore.IdempotencyStore, make({ ...right, ...parts }))

/** The same harness with nothing wrong. */
export const control = layerOf({})

const isHeld = (record: Record) => record.state === "Claimed" || record.state === "Resolving"

/** A transition whose caller is taken for the owner. */
const asOwner = <A extends { readonly owner: string; readonly fence: number }>(
  transition: Transition<A>,
  { fence, owner }: { readonly fence: boolean; readonly owner: boolean }
): Transition<A> =>
(record, request, now) =>
  transition(
    record,
    record === undefined
      ? request
      : { ...request, ...(owner ? { owner: record.owner } : {}), ...(fence ? { fence: record.fence } : {}) },
    now
  )

const anyOwner = { fence: true, owner: true }
const anyFence = { fence: true, owner: false }
const anyOwnerOfFence = { fence: false, owner: true }

/** What a granted record is turned into. */
const granting =
  (change: (record: Record, before: Record | undefined, now: number) => Record): Parts["claim"] =>
  (record, request, now) => {
    const next = machine.claim(record, request, now)
    return next === record ? next : change(next, record, now)
  }

export const mutants: { readonly [name: string]: Layer.Layer<IdempotencyStore.IdempotencyStore> } = Object.fromEntries(
  Object.entries(
    {
      "claims by reading, then writing": { atomic: false },
      "completes whatever the record is": {
        complete: (record, request, now) =>
          machine.complete(record && { ...record, state: "Claimed" }, {
            ...request,
            owner: record?.owner ?? "",
            fence: record?.fence ?? 0
          }, now)
      },
      "goes by the clock of the caller": { claimsOnClock: "caller" },
      "lets a claim expire with its lease": {
        claim: granting((record) => ({ ...record, expiresAt: isHeld(record) ? record.leaseUntil : record.expiresAt }))
      },
      "keeps a claim for as long as a result": {
        claim: granting((record, _, now) => ({ ...record, leaseUntil: now + 24 * 3_600_000 }))
      },
      "drops the fingerprint": {
        claim: (record, request, now) =>
          machine.claim(record && { ...record, fingerprint: request.fingerprint }, request, now)
      },
      "compares the fingerprint with finished records alone": {
        claim: (record, request, now) =>
          machine.claim(
            record && isHeld(record) ? { ...record, fingerprint: request.fingerprint } : record,
            request,
            now
          )
      },
      "forgets the fingerprint of what it frees": {
        release: (record, request, now) => {
          const next = machine.release(record, request, now)
          return next && { ...next, fingerprint: "" }
        }
      },
      "shares its keys among scopes": { keyOf: ({ key }) => key },
      "joins the parts of a key without their lengths": {
        keyOf: ({ key, scope }) => `${scope.tenant}${scope.operation}${scope.version}${key}`
      },
      "tells keys apart by letters alone": { keyOf: ({ id }) => id.toLowerCase() },
      "cuts keys off": { keyOf: ({ id }) => id.slice(0, 128) },
      "compares no fence at a completion": { complete: asOwner(machine.complete, anyFence) },
      "compares no owner at a completion": { complete: asOwner(machine.complete, anyOwnerOfFence) },
      "compares no fence at a release": { release: asOwner(machine.release, anyFence) },
      "compares neither at a renewal": { renew: asOwner(machine.renew, anyOwner) },
      "compares no fence at a resolution": {
        resolve: (record, request, now) => machine.resolve(record, { ...request, fence: record?.fence ?? 0 }, now)
      },
      "frees a completed record": {
        release: (record, request, now) =>
          machine.release(
            record && machine.isUnfinished(record.state) === false ? { ...record, state: "Claimed" } : record,
            request,
            now
          )
      },
      "frees what is in doubt": {
        release: (record, request, now) =>
          machine.release(record?.state === "Indeterminate" ? { ...record, state: "Claimed" } : record, request, now)
      },
      "counts the fence from one": {
        claim: granting((record, before) => ({
          ...record,
          fence: record.owner === before?.owner ? before.fence : (before?.fence ?? 0) + 1
        }))
      },
      "keeps the fence of a record that is taken over": {
        claim: granting((record, before) => ({ ...record, fence: before?.fence ?? record.fence }))
      },
      "lets what is in doubt expire": {
        complete: (record, request, now) => {
          const next = machine.complete(record, request, now)
          return next?.state === "Indeterminate" && next !== record ? { ...next, expiresAt: now + 86_400_000 } : next
        }
      },
      "shortens a lease at a renewal": {
        renew: (record, request, now) => {
          const next = machine.renew(record, request, now)
          return next && { ...next, leaseUntil: now + request.leaseMillis }
        }
      },
      "adds a lease at each renewal": {
        renew: (record, request, now) => {
          const next = machine.renew(record, request, now)
          return next && { ...next, leaseUntil: (record?.leaseUntil ?? 0) + request.leaseMillis }
        }
      },
      "says of each renewal that it is renewed": { renewed: (answers) => answers.map(() => true) },
      "runs a lapsed claim again": {
        claim: granting((record, before) =>
          before && isHeld(before) && record.owner !== before.owner && record.state === "Resolving"
            ? { ...record, state: "Claimed" }
            : record
        )
      },
      "runs what is in doubt again": {
        claim: granting((record, before) =>
          before?.state === "Indeterminate" ? { ...record, state: "Claimed" } : record
        )
      },
      "gives a claim away while its lease runs": {
        claim: (record, request, now) =>
          machine.claim(record && isHeld(record) ? { ...record, leaseUntil: 0 } : record, request, now)
      },
      "takes over without a resolver": {
        claim: (record, request, now) => machine.claim(record, { ...request, canResolve: true }, now)
      },
      "does not know a claim that is sent again": {
        claim: (record, request, now) =>
          record?.owner === request.owner && isHeld(record)
            ? machine.claim({ ...record, state: "Vacant" }, { ...request, owner: `${request.owner}'` }, now)
            : machine.claim(record, request, now)
      },
      "does not know a completion that is sent again": {
        complete: (record, request, now) =>
          record !== undefined && !isHeld(record) && record.state !== "Indeterminate"
            ? undefined
            : machine.complete(record, request, now)
      },
      "writes a result over another": {
        complete: (record, request, now) =>
          machine.complete(
            record?.state === "Succeeded" || record?.state === "Refused" ? { ...record, state: "Claimed" } : record,
            request,
            now
          )
      },
      "keeps a result longer at each replay": {
        claim: (record, request, now) => {
          const next = machine.claim(record, request, now)
          return next.expiresAt === undefined ? next : { ...next, updatedAt: now, expiresAt: now + 60_000 }
        }
      },
      "counts the lifetime of a result from its claim": {
        complete: (record, request, now) => {
          const next = machine.complete(record, request, now)
          const { completion } = request
          return next && completion._tag !== "Indeterminate" && record?.state === "Claimed"
            ? { ...next, expiresAt: next.createdAt + completion.ttlMillis }
            : next
        }
      },
      "cuts a large result off": {
        complete: (record, request, now) => {
          const next = machine.complete(record, request, now)
          return next && { ...next, result: next.result?.slice(0, 65_535) }
        }
      },
      "never parks": {
        claim: (record, request, now) => machine.claim(record, { ...request, attemptsMax: 1_000 }, now)
      },
      "grants what is parked": {
        claim: (record, request, now) =>
          machine.claim(record?.state === "Parked" ? { ...record, state: "Indeterminate" } : record, request, now)
      },
      "takes a look-up for a departure": {
        complete: (record, request, now) =>
          machine.complete(
            record,
            request.completion._tag === "Indeterminate"
              ? { ...request, completion: { ...request.completion, ran: true } }
              : request,
            now
          )
      },
      "resolves what is in flight": {
        resolve: (record, request, now) =>
          machine.resolve(record && isHeld(record) ? { ...record, leaseUntil: 0 } : record, request, now)
      },
      "keeps the fence of what is resolved": {
        resolve: (record, request, now) => {
          const next = machine.resolve(record, request, now)
          return next && { ...next, fence: record?.fence ?? 0 }
        }
      },
      "evicts what is in doubt": { evict: (record) => record === undefined ? "Absent" : "Evicted" },
      "sweeps claims that have lapsed": {
        isExpired: (record, now) => machine.isExpired(record, now) || (isHeld(record) && record.leaseUntil <= now)
      },
      "sweeps without a bound": { sweepsAtMost: () => Number.POSITIVE_INFINITY },
      "lists a tenant with those whose names begin alike": {
        isListed: ({ scope, ...record }, { tenant, ...request }, now) =>
          machine.isListed({ ...record, scope }, request, now) && scope.tenant.startsWith(tenant ?? "")
      },
      "takes no lapsed claim for stuck": {
        isListed: (record, request, now) =>
          machine.isListed(record, request, now) && (request.stuck !== true || !isHeld(record))
      }
    } satisfies { readonly [name: string]: Partial<Parts> }
  ).map(([name, parts]) => [name, layerOf(parts)])
)
