/**
 * A store whose results are sealed before they reach the store below, and opened on the way back.
 *
 * Each seal has a nonce of its own, so a result that is sent again, because the reply was lost, reaches the store below as
 * another text and is refused there. Then what is stored is read and opened, and the plain texts are compared. A nonce
 * that follows from the text would spare the second trip, and would show whoever reads the table which results are equal.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { IdempotencyStore, StoreUnavailable } from "../../IdempotencyStore.ts"
import type { Sealer } from "../seal/seal.ts"
import { resolver } from "./machine.ts"
import type { Completion, Record, RecordId, ResolveRequest } from "./record.ts"

type Store = IdempotencyStore["Service"]
type Given = Completion | ResolveRequest["resolution"]

/** @internal */
export const make = (below: Store, sealer: Sealer): Store => {
  const seal = <A extends Given>(given: A, id: string): Effect.Effect<A> =>
    "result" in given
      ? Effect.map(sealer.seal(given.result, id), (result) => ({ ...given, result }))
      : Effect.succeed(given)

  // What does not open is left out: the caller is told that the record cannot be read, and nothing runs again.
  const open = (record: Record): Effect.Effect<Record> =>
    record.result === undefined ? Effect.succeed(record) : Effect.match(sealer.open(record.result, record.id), {
      onFailure: () => ({ ...record, result: undefined }),
      onSuccess: (result) => ({ ...record, result })
    })

  const inspect = (id: RecordId) =>
    Effect.flatMap(
      below.inspect(id),
      ({ now, record }) =>
        Effect.map(record === undefined ? Effect.undefined : open(record), (record) => ({ now, record }))
    )

  const orKept = (
    isWritten: boolean,
    id: RecordId,
    given: Given,
    isMine: (record: Record) => boolean
  ): Effect.Effect<boolean, StoreUnavailable> =>
    isWritten || !("result" in given) ? Effect.succeed(isWritten) : Effect.map(
      inspect(id),
      ({ record }) =>
        record !== undefined && isMine(record) && record.state === given._tag && record.result === given.result
    )

  return {
    claim: (request) =>
      Effect.flatMap(
        below.claim(request),
        ({ now, record }) => Effect.map(open(record), (record) => ({ now, record }))
      ),
    complete: (request) =>
      seal(request.completion, request.id).pipe(
        Effect.flatMap((completion) => below.complete({ ...request, completion })),
        Effect.flatMap((isWritten) =>
          orKept(isWritten, request, request.completion, (record) =>
            record.owner === request.owner && record.fence === request.fence)
        )
      ),
    resolve: (request) =>
      seal(request.resolution, request.id).pipe(
        Effect.flatMap((resolution) => below.resolve({ ...request, resolution })),
        Effect.flatMap((isWritten) =>
          orKept(isWritten, request, request.resolution, (record) => record.owner === resolver(request))
        )
      ),
    inspect,
    list: (request) => Effect.flatMap(below.list(request), (records) => Effect.forEach(records, open)),
    release: below.release,
    renew: below.renew,
    evict: below.evict,
    sweep: below.sweep,
    ...below.transactions === undefined ? {} : { transactions: below.transactions }
  }
}
