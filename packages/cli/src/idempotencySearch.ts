/**
 * Finds records by what a person or a program may know of them.
 *
 * A store keeps records in the order of their ids, which are never shown. So a record that is given by its reference is
 * looked for, first among those that are stuck, of which there are few, and then among all of the given scope.
 *
 * @internal
 */
import * as Idempotency from "effect-payments/Idempotency"
import * as IdempotencyStore from "effect-payments/IdempotencyStore"
import * as Effect from "effect/Effect"
import type { Progress } from "./progress.ts"

type Record = IdempotencyStore.Record
type Store = IdempotencyStore.IdempotencyStore["Service"]

// A page also holds the results, of up to 256 KiB each.
const pageSize = 200

/** @internal */
export type Filter = Pick<IdempotencyStore.ListRequest, "operation" | "state" | "stuck" | "tenant">

/** @internal */
export const scan = Effect.fnUntraced(function*(
  { isWanted, limit, progress, store, ...request }: Filter & {
    readonly store: Store
    readonly progress: Progress
    readonly after: string | undefined
    readonly limit: number
    readonly isWanted: (record: Record) => Effect.Effect<boolean>
  }
) {
  const found: Array<Record> = []
  let { after } = request
  let read = 0
  for (;;) {
    const page = yield* store.list({ ...request, after, limit: pageSize })
    for (const record of page) {
      if (!(yield* isWanted(record))) continue
      found.push(record)
      if (found.length === limit) return found
    }
    read += page.length
    if (page.length < pageSize) return found
    after = page.at(-1)?.id
    const soFar = read
    yield* progress.show(() => `${soFar.toLocaleString("en")} records read`)
  }
})

/** @internal */
export const find = Effect.fnUntraced(function*(
  options: {
    readonly store: Store
    readonly progress: Progress
    readonly scope: Pick<Filter, "operation" | "tenant">
    readonly isWanted: (record: Record) => Effect.Effect<boolean>
  }
) {
  const { scope, ...rest } = options
  const [stuck] = yield* scan({ ...rest, ...scope, stuck: true, after: undefined, limit: 1 })
  if (stuck !== undefined) return stuck
  const [record] = yield* scan({ ...rest, ...scope, after: undefined, limit: 1 })
  return record
})

const nobody = IdempotencyStore.recordId(
  Idempotency.Scope.make({ tenant: "payctl", operation: "clock", version: 1 }),
  Idempotency.Key.make("clock")
)

/** @internal The store's time. */
export const nowOf = (store: Store) => Effect.map(store.inspect(nobody), ({ now }) => now)
