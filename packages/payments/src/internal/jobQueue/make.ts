/**
 * A queue over a store, with its options read.
 *
 * @internal
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type { DeadLetter, JobQueue, Options } from "../../JobQueue.ts"
import { dayMillis, nameExpected, namePattern, reader } from "../option/option.ts"
import type { JobQueueError } from "./errors.ts"
import * as engine from "./queue.ts"
import type { Store } from "./store.ts"

/** @internal */
export const makeOn = <A>(store: Store, options: Options<A>): Effect.Effect<JobQueue<A>> =>
  Effect.gen(function*() {
    const { integer, matching, millis } = reader("JobQueue.make")
    const name = yield* matching("name", options.name, namePattern, nameExpected)
    const made = yield* engine.make<A>(store, {
      name,
      payload: options.payload,
      attemptsMax: yield* integer("attemptsMax", options.attemptsMax ?? 10, 1, 1000),
      retry: options.retry,
      payloadLimitBytes: yield* integer("payloadLimitBytes", options.payloadLimitBytes ?? 262_144, 1, 16_777_216),
      timeoutMillis: yield* millis("timeout", options.timeout ?? "5 minutes", 1, dayMillis)
    })
    return {
      name,
      offer: made.offer,
      work: (handler, options) =>
        Effect.flatMap(
          reader("JobQueue.work").integer("workers", options?.workers ?? 4, 1, 1000),
          (workers) => made.work(handler, workers)
        ),
      deadLetters: (page) => deadLetters(store, name, made, page),
      deadLetterCount: store.countDead(name),
      requeue: (id) => store.requeue(name, id),
      discard: (id) => store.discard(name, id)
    }
  })

const deadLetters = <A>(
  store: Store,
  name: string,
  { decode }: engine.Engine<A>,
  page: { readonly after?: string | undefined; readonly limit?: number | undefined } | undefined
): Effect.Effect<ReadonlyArray<DeadLetter<A>>, JobQueueError> =>
  Effect.gen(function*() {
    const limit = yield* reader("JobQueue.deadLetters").integer("limit", page?.limit ?? 100, 1, 1000)
    const dead = yield* store.dead(name, { after: page?.after, limit })
    return yield* Effect.forEach(dead, ({ attempts, cursor, element, failedAtMillis, failure, id }) =>
      Effect.map(Effect.option(decode(element)), (payload): DeadLetter<A> => ({
        id,
        payload,
        attempts,
        failure,
        failedAt: DateTime.makeUnsafe(Number.isNaN(failedAtMillis) ? 0 : failedAtMillis),
        cursor
      })))
  })
