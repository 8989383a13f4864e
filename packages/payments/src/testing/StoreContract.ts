/**
 * What every store has to do, as cases that a store of your own can be run against.
 *
 * It prevents that a store charges twice because of what its author did not think of: a claim that reads before it writes,
 * an owner that comes back after its lease, a reply that is lost, an end that is written over. The stores of this package
 * pass the same cases, and broken ones, each with one such mistake, do not.
 *
 * It does not show what a crash, a failover or a cut connection does to a store: that is for tests of your own.
 *
 * Read `IdempotencyStore` next.
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { IdempotencyStore, type StoreUnavailable } from "../IdempotencyStore.ts"
import { claims } from "../internal/testing/storeContract/claims.ts"
import { ends } from "../internal/testing/storeContract/ends.ts"
import * as kit from "../internal/testing/storeContract/kit.ts"
import { operators } from "../internal/testing/storeContract/operators.ts"
import { races } from "../internal/testing/storeContract/races.ts"

/**
 * A store did something else than the contract says. `expected` and `actual` are texts of up to 1000 characters; the stack
 * shows where in the case.
 *
 * @category errors
 * @since 0.1.0
 */
export const ContractBroken = kit.ContractBroken

/**
 * See {@link ContractBroken}.
 *
 * @category errors
 * @since 0.1.0
 */
export type ContractBroken = kit.ContractBroken

/**
 * One case: a sentence that says what the store does, and a program that fails when it does not.
 *
 * @category models
 * @since 0.1.0
 */
export interface Case<R> {
  readonly name: string
  readonly run: Effect.Effect<void, ContractBroken | StoreUnavailable, R>
}

/**
 * How time passes for the store.
 *
 * - `advance` lets it pass without waiting: by `TestClock.adjust` for a store on Effect's clock, or by moving every time that
 *   is stored into the past. Without it the cases wait, which takes about a minute for all of them.
 * - `lease` is what all other times are measured in: 30 seconds with `advance`, 1 second without. Take a longer one where a
 *   slow machine lets a lease lapse.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<R> {
  readonly advance?: ((duration: Duration.Duration) => Effect.Effect<unknown, unknown, R>) | undefined
  readonly lease?: Duration.Input | undefined
}

// How many leases a case waits at the most where it really waits.
const waitedMax = 4

/**
 * The cases of the `IdempotencyStore`, for a test runner of your choice. Each may run alone and again, on a store that has other
 * records: the names in it are new each time. On one store they run one after another, since they sweep.
 *
 * **Details**
 *
 * A case fails with {@link ContractBroken}, or with the `StoreUnavailable` of a store that failed. When `advance` fails the case
 * dies.
 *
 * **Gotchas**
 *
 * Do not run them on records that you need: what has expired is swept. Those that come at once come from fibers of one process; run
 * them from several processes against one store too.
 *
 * **Example**
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { IdempotencyStore } from "effect-payments"
 * import { StoreContract } from "effect-payments/testing"
 * import { TestClock } from "effect/testing"
 *
 * const store = Layer.provideMerge(IdempotencyStore.layerStoreMemory(), TestClock.layer())
 * const passed: Array<string> = []
 * // With a test runner: it(name, () => Effect.runPromise(…))
 * for (const { name, run } of StoreContract.idempotencyStore({ advance: TestClock.adjust })) {
 *   await Effect.runPromise(Effect.provide(run, store))
 *   passed.push(name)
 * }
 *
 * passed.length >= 40 // => true
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const idempotencyStore = <R = never>(
  { advance, lease }: Options<R> = {}
): ReadonlyArray<Case<IdempotencyStore | R>> => {
  const length = Duration.fromInputUnsafe(lease ?? (advance === undefined ? "1 second" : "30 seconds"))
  const pass = (context: Context.Context<R>) => (leases: number): Effect.Effect<void> =>
    advance === undefined
      ? Effect.sleep(Duration.times(length, Math.min(leases, waitedMax)))
      : advance(Duration.millis(Math.round(Duration.toMillis(length) * leases))).pipe(
        Effect.provideContext(context),
        Effect.orDie,
        Effect.asVoid
      )
  return [...claims, ...ends, ...operators, ...races].map(({ name, run }) => ({
    name,
    run: Effect.gen(function*() {
      const store = yield* IdempotencyStore
      const context = yield* Effect.context<R>()
      yield* run(yield* kit.make(store, Math.ceil(Duration.toMillis(length)), pass(context)))
    })
  }))
}
