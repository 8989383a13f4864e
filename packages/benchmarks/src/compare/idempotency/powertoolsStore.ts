// Powertools' persistence layer over Redis, behind the port of this package, so that the contract of a store can be put to it.
//
// What it has is asked of it: a claim is `saveInProgress`, an end `saveSuccess`, a release `deleteRecord`, a look `getRecord`.
// What it has no place for is added where that is possible: whoever was granted a record is remembered here, and an end that is
// kept says in its result all that there is to say of it, a refusal too. Pages have a bound. The rest is what it does: an end and a release are
// written whoever asks, an end in doubt deletes the record as an error does, nothing is renewed, and nothing is listed.
import {
  IdempotencyConfig,
  IdempotencyItemAlreadyExistsError,
  IdempotencyItemNotFoundError,
  IdempotencyValidationError
} from "@aws-lambda-powertools/idempotency"
import { CachePersistenceLayer } from "@aws-lambda-powertools/idempotency/cache"
import type { IdempotencyRecord } from "@aws-lambda-powertools/idempotency/persistence"
import { Effect, Layer } from "effect"
import { IdempotencyStore } from "effect-payments"
import type { createClient } from "redis"

type Store = IdempotencyStore.IdempotencyStore["Service"]
type Record = IdempotencyStore.Record
type RecordId = IdempotencyStore.RecordId

export interface PowertoolsOptions {
  readonly client: ReturnType<typeof createClient>
  readonly expiresAfterSeconds: number
  readonly isValidating: boolean
}

const attempt = <A>(operation: string, run: () => Promise<A>) =>
  Effect.tryPromise({
    try: run,
    catch: () => new IdempotencyStore.StoreUnavailable({ operation, detail: "PersistenceLayer" })
  })

const limitMax = 10_000

const withinBound = <A>(operation: string, limit: number, answer: A) =>
  Number.isInteger(limit) && limit >= 1 && limit <= limitMax
    ? Effect.succeed(answer)
    : Effect.fail(new IdempotencyStore.StoreUnavailable({ operation, detail: "LimitExceeded" }))

/** Of somebody else, or of an end that nothing is known of. */
const stranger = "unknown"

const blank = ({ id, key, scope }: RecordId, fingerprint: string): Record => ({
  id,
  scope,
  key,
  state: "Claimed",
  fingerprint,
  owner: stranger,
  fence: 0,
  attempt: 1,
  unresolved: 0,
  leaseUntil: 0,
  unknownSince: 0,
  result: undefined,
  createdAt: 0,
  updatedAt: 0,
  expiresAt: undefined
})

const open = ({ client, expiresAfterSeconds, isValidating }: PowertoolsOptions): CachePersistenceLayer => {
  const layer = new CachePersistenceLayer({ client: client as never })
  layer.configure({
    config: new IdempotencyConfig({
      eventKeyJmesPath: "key",
      throwOnNoIdempotencyKey: true,
      expiresAfterSeconds,
      ...(isValidating ? { payloadValidationJmesPath: "payload" } : {})
    })
  })
  return layer
}

const dataOf = ({ id }: RecordId, fingerprint: string) => ({ key: id, payload: fingerprint })

/** What was granted in this process, and what of it has been freed. */
class Memory {
  readonly #granted = new Map<string, Record>()
  readonly #freed = new Map<string, Record>()
  #lastFence = 0

  recordOf(id: RecordId): Record {
    return this.#granted.get(id.id) ?? blank(id, stranger)
  }

  grant(request: IdempotencyStore.ClaimRequest, now: number): Record {
    const known = this.#granted.get(request.id) ?? this.#freed.get(request.id)
    const before = known !== undefined && (known.expiresAt ?? Infinity) > now ? known : undefined
    const isAgain = before?.owner === request.owner
    this.#lastFence = Math.max(this.#lastFence + 1, now)
    return this.keep({
      ...blank(request, request.fingerprint),
      owner: request.owner,
      fence: isAgain ? before.fence : this.#lastFence,
      attempt: (before?.attempt ?? 0) + (isAgain ? 0 : 1),
      leaseUntil: now + request.leaseMillis,
      createdAt: before?.createdAt ?? now,
      updatedAt: now
    })
  }

  keep(record: Record): Record {
    this.#granted.set(record.id, record)
    return record
  }

  free(record: Record, ttlMillis: number): void {
    this.#granted.delete(record.id)
    this.#freed.set(record.id, { ...record, owner: stranger, expiresAt: Date.now() + ttlMillis })
  }

  /** What its record says, and what is remembered of it. */
  read(id: RecordId, { inProgressExpiryTimestamp, responseData }: IdempotencyRecord): Record {
    if (responseData !== undefined) return { ...blank(id, stranger), ...(responseData as unknown as Record) }
    return this.#granted.get(id.id) ?? { ...blank(id, stranger), leaseUntil: inProgressExpiryTimestamp ?? 0 }
  }
}

const claimWith = (layer: CachePersistenceLayer, memory: Memory) => {
  /** As its handler does: the record is compared with the payload, where it compares payloads at all. */
  const existing = async (request: IdempotencyStore.ClaimRequest, error: IdempotencyItemAlreadyExistsError) => {
    const data = dataOf(request, request.fingerprint)
    try {
      const found = error.existingRecord === undefined
        ? await layer.getRecord(data)
        : layer.processExistingRecord(error.existingRecord, data)
      return { ...memory.read(request, found), fingerprint: request.fingerprint }
    } catch (cause) {
      if (!(cause instanceof IdempotencyValidationError) || cause.existingRecord === undefined) throw cause
      const record = memory.read(request, cause.existingRecord)
      return record.fingerprint === request.fingerprint ? { ...record, fingerprint: stranger } : record
    }
  }
  return async (request: IdempotencyStore.ClaimRequest): Promise<IdempotencyStore.ClaimReply> => {
    const now = Date.now()
    try {
      await layer.saveInProgress(dataOf(request, request.fingerprint), request.leaseMillis)
    } catch (error) {
      if (!(error instanceof IdempotencyItemAlreadyExistsError)) throw error
      return { record: await existing(request, error), now }
    }
    return { record: memory.grant(request, now), now }
  }
}

const writeWith = (layer: CachePersistenceLayer, memory: Memory) => ({
  keep: async (id: RecordId, ended: Partial<Record>, ttlMillis: number): Promise<boolean> => {
    const record = memory.recordOf(id)
    const now = Date.now()
    const kept = { ...record, leaseUntil: 0, ...ended, updatedAt: now, expiresAt: now + ttlMillis }
    await layer.saveSuccess(dataOf(id, record.fingerprint), kept as never)
    memory.keep(kept)
    return true
  },
  drop: async (id: RecordId, ttlMillis = 0): Promise<boolean> => {
    const record = memory.recordOf(id)
    await layer.deleteRecord(dataOf(id, record.fingerprint))
    memory.free(record, ttlMillis)
    return true
  }
})

const lookWith =
  (layer: CachePersistenceLayer, memory: Memory) => async (id: RecordId): Promise<Record | undefined> => {
    try {
      return memory.read(id, await layer.getRecord(dataOf(id, memory.recordOf(id).fingerprint)))
    } catch (error) {
      if (error instanceof IdempotencyItemNotFoundError) return undefined
      if (error instanceof IdempotencyValidationError && error.existingRecord) {
        return memory.read(id, error.existingRecord)
      }
      throw error
    }
  }

const make = (options: PowertoolsOptions): Store => {
  const [layer, memory] = [open(options), new Memory()]
  const claim = claimWith(layer, memory)
  const { drop, keep } = writeWith(layer, memory)
  const look = lookWith(layer, memory)
  return {
    claim: (request) => attempt("claim", () => claim(request)),
    complete: ({ completion, fence, owner, ...id }) =>
      attempt("complete", () =>
        completion._tag === "Indeterminate"
          ? drop(id)
          : keep(id, { state: completion._tag, result: completion.result, owner, fence }, completion.ttlMillis)),
    release: (request) => attempt("release", () => drop(request, request.ttlMillis)),
    renew: (requests) => Effect.succeed(requests.map(() => false)),
    resolve: ({ resolution, ttlMillis, ...id }) =>
      attempt("resolve", () =>
        resolution._tag === "NeverHappened"
          ? drop(id, ttlMillis)
          : keep(id, { state: resolution._tag, result: resolution.result }, ttlMillis)),
    inspect: (id) => Effect.map(attempt("inspect", () => look(id)), (record) => ({ record, now: Date.now() })),
    list: ({ limit }) => withinBound("list", limit, []),
    evict: (id) =>
      attempt("evict", async () => {
        if (await look(id) === undefined) return "Absent"
        await drop(id)
        return "Evicted"
      }),
    // Redis drops what has expired by itself.
    sweep: ({ limit }) => withinBound("sweep", limit, 0)
  }
}

/** A process of its own, as far as it remembers. */
export const layerPowertools = (options: PowertoolsOptions): Layer.Layer<IdempotencyStore.IdempotencyStore> =>
  Layer.sync(IdempotencyStore.IdempotencyStore, () => make(options))
