/**
 * Many items, one call: items that come one by one go to a database or an API together, when there are enough of them or
 * when the first has waited long enough.
 *
 * It prevents what batching by hand tends to lose: the items that wait when the process stops, the caller of the one item
 * in a hundred that failed, and the memory of a process that takes items faster than it can pass them on.
 *
 * It guarantees that an item that was taken is passed on: interrupting its caller does not take it back, and when the
 * batcher's scope closes, what waits is passed on first. Each caller gets the answer to its own item. Batches start in the
 * order in which the items were taken.
 *
 * | option | default | bounds |
 * |---|---|---|
 * | `size` | 100 items | 1 to 100,000 |
 * | `interval`, from the first item of the batch | 1 second | 1 millisecond to 1 day |
 * | `capacity`: taken items that wait; as many callers may wait for a place | 10 × `size` | 1 to 1,000,000 |
 * | `waitAtMost`, for a place | 30 seconds | 1 millisecond to 1 day |
 * | `concurrency`: batches at a time | 1 | 1 to 1,000 |
 * | `closeAtMost` | 30 seconds | 1 millisecond to 1 day |
 *
 * What it cannot do: keep what is in memory when the process is killed. What must survive that goes into a `JobQueue`. And
 * a batch that had to be cut off, since it ran past `closeAtMost`, has an unknown end: its callers get `BatcherCut`.
 *
 * Read `JobQueue` next. For reads, Effect's `RequestResolver` is what you want: it batches and de-duplicates requests of
 * one fiber tree.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as batcher from "./internal/batcher/batcher.ts"
import type { BatcherError } from "./internal/batcher/errors.ts"
import { dayMillis, nameExpected, namePattern, reader } from "./internal/option/option.ts"

export {
  /**
   * @category reasons
   * @since 0.1.0
   */
  AnswersMismatched,
  /**
   * @category reasons
   * @since 0.1.0
   */
  BatcherClosed,
  /**
   * @category reasons
   * @since 0.1.0
   */
  BatcherCut,
  /**
   * @category errors
   * @since 0.1.0
   */
  BatcherError,
  /**
   * @category reasons
   * @since 0.1.0
   */
  BatcherFull
} from "./internal/batcher/errors.ts"

/**
 * Takes items of type `A` and answers each with a `B`, or an `E`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Batcher<in A, out B, out E> {
  readonly name: string
  /** Takes the item and waits for its answer. */
  readonly submit: (item: A) => Effect.Effect<B, E | BatcherError>
  /** Takes the item and does not wait for its answer. A failure is counted and logged. */
  readonly add: (item: A) => Effect.Effect<void, BatcherError>
  /** Passes on what waits now and waits until that, and what runs, is through. */
  readonly flush: Effect.Effect<void>
  /** How many items wait. */
  readonly waiting: Effect.Effect<number>
}

/**
 * See the table above.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** In metrics and logs: 1 to 100 of letters, digits, `_`, `.` and `-`. */
  readonly name: string
  readonly size?: number | undefined
  readonly interval?: Duration.Input | undefined
  readonly capacity?: number | undefined
  readonly waitAtMost?: Duration.Input | undefined
  readonly concurrency?: number | undefined
  readonly closeAtMost?: Duration.Input | undefined
}

/**
 * A batcher whose function answers for each item, in the order of the items. When the function itself fails, every item
 * of the batch fails with that. Dies with `Resilience.InvalidOption`.
 *
 * **Example**
 *
 * ```ts
 * import { Effect, Result } from "effect"
 * import { Batcher } from "effect-payments"
 *
 * const batches: Array<ReadonlyArray<number>> = []
 *
 * const program = Effect.gen(function*() {
 *   const roots = yield* Batcher.make({
 *     name: "roots",
 *     size: 3,
 *     process: (items: ReadonlyArray<number>) =>
 *       Effect.sync(() => {
 *         batches.push(items)
 *         return items.map((n) => n < 0 ? Result.fail("negative") : Result.succeed(Math.sqrt(n)))
 *       })
 *   })
 *   return yield* Effect.forEach([4, -1, 9, 16], (n) => Effect.result(roots.submit(n)), { concurrency: "unbounded" })
 * })
 *
 * const answers = await Effect.runPromise(Effect.scoped(program))
 * answers // => [Result.succeed(2), Result.fail("negative"), Result.succeed(3), Result.succeed(4)]
 * batches // => [[4, -1, 9], [16]]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <A, B, E, E2, R>(
  options: Options & {
    readonly process: (
      items: ReadonlyArray<A>
    ) => Effect.Effect<ReadonlyArray<Result.Result<B, E>>, E2, R>
  }
): Effect.Effect<Batcher<A, B, E | E2>, never, R | Scope.Scope> =>
  Effect.gen(function*() {
    const policy = yield* policyOf(options)
    const context = yield* Effect.context<R>()
    const engine = yield* batcher.make<A, B, E | E2>(
      policy,
      (items) => Effect.provideContext(options.process(items), context)
    )
    return {
      name: policy.name,
      submit: engine.submit,
      add: engine.add,
      flush: engine.flush,
      waiting: engine.waiting
    }
  })

/**
 * A batcher whose function has one answer for the whole batch, which is the answer to each of its items: a bulk insert
 * that succeeds or fails as one. Dies with `Resilience.InvalidOption`.
 *
 * **Example**
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Batcher } from "effect-payments"
 *
 * const saved: Array<number> = []
 *
 * const program = Effect.gen(function*() {
 *   const save = yield* Batcher.makeWhole({
 *     name: "readings",
 *     size: 100,
 *     interval: "5 seconds",
 *     process: (items: ReadonlyArray<number>) => Effect.sync(() => void saved.push(items.length))
 *   })
 *   // Three that do not wait for their answer: they are passed on when the scope closes.
 *   yield* Effect.forEach([1, 2, 3], (n) => save.add(n))
 * })
 *
 * await Effect.runPromise(Effect.scoped(program))
 * saved // => [3]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeWhole = <A, B, E, R>(
  options: Options & { readonly process: (items: ReadonlyArray<A>) => Effect.Effect<B, E, R> }
): Effect.Effect<Batcher<A, B, E>, never, R | Scope.Scope> =>
  make<A, B, never, E, R>({
    ...options,
    process: (items) => Effect.map(options.process(items), (answer) => items.map(() => Result.succeed(answer)))
  })

const policyOf = (options: Options): Effect.Effect<batcher.Policy> =>
  Effect.gen(function*() {
    const { integer, matching, millis } = reader("Batcher.make")
    const size = yield* integer("size", options.size ?? 100, 1, 100_000)
    return {
      name: yield* matching("name", options.name, namePattern, nameExpected),
      size,
      intervalMillis: yield* millis("interval", options.interval ?? "1 second", 1, dayMillis),
      capacity: yield* integer("capacity", options.capacity ?? Math.min(10 * size, 1_000_000), 1, 1_000_000),
      concurrency: yield* integer("concurrency", options.concurrency ?? 1, 1, 1000),
      waitAtMostMillis: yield* millis("waitAtMost", options.waitAtMost ?? "30 seconds", 1, dayMillis),
      closeAtMostMillis: yield* millis("closeAtMost", options.closeAtMost ?? "30 seconds", 1, dayMillis)
    }
  })
