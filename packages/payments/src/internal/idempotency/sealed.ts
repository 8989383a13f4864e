/**
 * A store whose results are sealed before they reach the store below, and opened on the way back.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { IdempotencyStore } from "../../IdempotencyStore.ts"
import type { Sealer } from "../seal/seal.ts"
import type { CompleteRequest, Completion, Record, ResolveRequest } from "./record.ts"

type Store = IdempotencyStore["Service"]
type Resolution = ResolveRequest["resolution"]

/** @internal */
export const make = (below: Store, sealer: Sealer): Store => {
  // A write that is sent again has to say the same, and sealing twice never gives the same text.
  const sealedBefore = new WeakMap<object, string>()

  const seal = <A extends Completion | Resolution>(given: A, id: string): Effect.Effect<A> => {
    if (!("result" in given)) return Effect.succeed(given)
    const known = sealedBefore.get(given)
    const sealed = known === undefined ? sealer.seal(given.result, id) : Effect.succeed(known)
    return Effect.map(sealed, (result) => {
      sealedBefore.set(given, result)
      return { ...given, result }
    })
  }

  // What does not open is left out: the caller is told that the record cannot be read, and nothing runs again.
  const open = (record: Record): Effect.Effect<Record> =>
    record.result === undefined ? Effect.succeed(record) : Effect.match(sealer.open(record.result, record.id), {
      onFailure: () => ({ ...record, result: undefined }),
      onSuccess: (result) => ({ ...record, result })
    })

  return {
    claim: (request) =>
      Effect.flatMap(
        below.claim(request),
        ({ now, record }) => Effect.map(open(record), (record) => ({ now, record }))
      ),
    complete: (request: CompleteRequest) =>
      Effect.flatMap(
        seal(request.completion, request.id),
        (completion) => below.complete({ ...request, completion })
      ),
    resolve: (request) =>
      Effect.flatMap(seal(request.resolution, request.id), (resolution) => below.resolve({ ...request, resolution })),
    inspect: (id) =>
      Effect.flatMap(
        below.inspect(id),
        ({ now, record }) =>
          Effect.map(record === undefined ? Effect.undefined : open(record), (record) => ({ now, record }))
      ),
    list: (request) => Effect.flatMap(below.list(request), (records) => Effect.forEach(records, open)),
    release: below.release,
    renew: below.renew,
    evict: below.evict,
    sweep: below.sweep,
    ...below.transactions === undefined ? {} : { transactions: below.transactions }
  }
}
