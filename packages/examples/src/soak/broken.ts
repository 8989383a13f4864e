/**
 * Stores and engines that are wrong in one way each, as they are in the field: what the kill tests would say of them. Over
 * SQLite.
 */
import { Effect } from "effect"
import { IdempotencyStore } from "effect-payments"
import { SqlClient, type Statement } from "effect/sql"
import type { Broken, Job } from "./wire.ts"

type Store = IdempotencyStore.IdempotencyStore["Service"]

const never = 9_000_000_000_000_000

/** An owner that wakes up after its lease goes on as if nothing had been: its engine keeps no lease of its own. */
export const isUnfenced = (broken: Broken | undefined): boolean => broken === "same-fence"

export const breakStore: Readonly<
  Record<Broken, (store: Store, job: Job) => Effect.Effect<Store, never, SqlClient.SqlClient>>
> = {
  "no-fingerprint": (store) =>
    Effect.succeed({
      ...store,
      claim: (request) =>
        Effect.map(store.claim(request), (reply) => ({
          ...reply,
          record: { ...reply.record, fingerprint: request.fingerprint }
        }))
    }),

  "same-fence": (store, { leaseMillis }) =>
    Effect.map(SqlClient.SqlClient, (sql) => ({
      ...store,
      claim: Effect.fnUntraced(function*(request) {
        const before = yield* store.inspect(request)
        const reply = yield* store.claim({ ...request, leaseMillis })
        const { record } = reply
        if (before.record === undefined || record.owner !== request.owner) return reply
        const { fence } = before.record
        yield* Effect.orDie(
          sql`UPDATE effect_payments_idempotency SET fence = ${fence} WHERE id = ${request.id} AND owner = ${request.owner}`
        )
        return { ...reply, record: { ...record, fence } }
      }),
      complete: (request) => write(store, sql, request, sql`id = ${request.id} AND fence = ${request.fence}`)
    })),

  "deleting-release": (store) =>
    Effect.succeed({
      ...store,
      complete: (request) =>
        request.completion._tag === "Indeterminate" ? drop(store, request) : store.complete(request),
      release: (request) => drop(store, request)
    }),

  "read-then-write": (store) =>
    Effect.succeed({
      ...store,
      claim: Effect.fnUntraced(function*(request) {
        const { record } = yield* store.inspect(request)
        if (record === undefined) {
          yield* Effect.sleep("10 millis")
          yield* store.evict(request, { force: true })
        }
        return yield* store.claim(request)
      })
    }),

  "rerun-after-save-error": (store) =>
    Effect.sync(() => {
      const failed = new Set<string>()
      return {
        ...store,
        complete: (request) =>
          Effect.suspend(() => {
            if (request.completion._tag !== "Succeeded" || failed.has(request.id)) return store.complete(request)
            failed.add(request.id)
            const error = new IdempotencyStore.StoreUnavailable({ operation: "complete", detail: "ConnectionError" })
            return Effect.andThen(store.release({ ...request, ttlMillis: 3_600_000 }), Effect.fail(error))
          })
      }
    })
}

/**
 * What shows each: a gateway that does not de-duplicate, and owners that freeze right before they send where the fault is
 * in what they do on waking.
 */
export const trialOf = (broken: Broken) =>
  ({
    store: "sqlite",
    url: "",
    broken,
    deduplicates: false,
    kills: 0,
    stops: isUnfenced(broken) ? 12 : 0,
    keys: isUnfenced(broken) ? 60 : 20,
    at: ["sending"]
  }) as const

const drop = (store: Store, request: IdempotencyStore.ReleaseRequest | IdempotencyStore.CompleteRequest) =>
  Effect.map(store.evict(request, { force: true }), (evicted) => evicted === "Evicted")

/** Writes an answer wherever it may. */
const write = (
  store: Store,
  sql: SqlClient.SqlClient,
  request: IdempotencyStore.CompleteRequest,
  where: Statement.Fragment
) => {
  const { completion } = request
  if (completion._tag === "Indeterminate") return store.complete(request)
  const values = {
    state: completion._tag,
    result: completion.result,
    lease_until: 0,
    unknown_since: 0,
    expires_at: never
  }
  return Effect.as(Effect.orDie(sql`UPDATE effect_payments_idempotency SET ${sql.update(values)} WHERE ${where}`), true)
}
