/**
 * What every store has to do, as cases that a store of your own can be run against.
 *
 * It prevents that a store charges twice because of what its author did not think of: a claim that reads before it writes,
 * an owner that comes back after its lease, a reply that is lost, an end that is written over. The stores of this package
 * pass the same cases, and broken ones, each with one such mistake, do not.
 *
 * It does not show what a crash or a failover of the server does to a store: that is for tests of your own; nor what a cut
 * connection does, for which there is `StoreFaults`.
 *
 * | bound | |
 * |---|---|
 * | claims at once | 64, and 256 through four processes |
 * | a result | 1 MiB |
 * | processes | 4, and one more in a case that kills it |
 * | a process that has to answer | 1 minute |
 * | a line that a process prints | 8 Mi characters |
 *
 * Read `StoreFaults` next.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { IdempotencyStore, type StoreUnavailable } from "../IdempotencyStore.ts"
import type { ChildProcess, ChildProcessSpawner, Stdio } from "../internal/effect/process.ts"
import { claims } from "../internal/testing/storeContract/claims.ts"
import * as crew from "../internal/testing/storeContract/crew.ts"
import { ends } from "../internal/testing/storeContract/ends.ts"
import * as kit from "../internal/testing/storeContract/kit.ts"
import { operators } from "../internal/testing/storeContract/operators.ts"
import { processes } from "../internal/testing/storeContract/processes.ts"
import { races } from "../internal/testing/storeContract/races.ts"
import * as internalWorker from "../internal/testing/storeContract/worker.ts"

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
 * A process of {@link idempotencyStoreProcesses} did not start, ended, fell silent, or printed what is none of its answers:
 * nothing is said about the store. `detail` is a few words on it; what the process wrote on its standard error is on that of
 * the test.
 *
 * @category errors
 * @since 0.1.0
 */
export const WorkerFailed = crew.WorkerFailed

/**
 * See {@link WorkerFailed}.
 *
 * @category errors
 * @since 0.1.0
 */
export type WorkerFailed = crew.WorkerFailed

/**
 * One case: a sentence that says what the store does, and a program that fails when it does not.
 *
 * @category models
 * @since 0.1.0
 */
export interface Case<R, E = never> {
  readonly name: string
  readonly run: Effect.Effect<void, ContractBroken | StoreUnavailable | E, R>
}

/**
 * How time passes for the store.
 *
 * - `advance` lets it pass without waiting: by `TestClock.adjust` for a store on Effect's clock, or by moving every time that
 *   is stored into the past. Without it the cases wait, which takes about a minute for all of them.
 * - `lease` is what all other times are measured in: 30 seconds with `advance`, 1 second without, 3 seconds for processes. Take
 *   a longer one where a slow machine lets a lease lapse.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<R> {
  readonly advance?: ((duration: Duration.Duration) => Effect.Effect<unknown, unknown, R>) | undefined
  readonly lease?: Duration.Input | undefined
}

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
 * Do not run them on records that you need: what has expired is swept. What comes at once here comes from fibers of one process:
 * run {@link idempotencyStoreProcesses} too.
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
  options: Options<R> = {}
): ReadonlyArray<Case<IdempotencyStore | R>> => {
  const time = timeOf(options, "1 second")
  return [...claims, ...ends, ...operators, ...races].map(({ name, run }) => ({
    name,
    run: Effect.gen(function*() {
      const store = yield* IdempotencyStore
      const context = yield* Effect.context<R>()
      yield* run(yield* kit.make(store, time.lease, time.pass(context)))
    })
  }))
}

/**
 * The cases that only several processes over one store can show: what they do to a record at once, and what one that is killed
 * (SIGKILL) in the middle of an effect leaves to the others. A store that keeps records in its process, such as the memory
 * store, does not have them.
 *
 * **Details**
 *
 * They ask the store through the processes of {@link layerWorkers} alone. Where one is killed, it is one more that the case has
 * started. Each may run alone and again, also beside another.
 *
 * A case fails as those of {@link idempotencyStore} do, or with {@link WorkerFailed}.
 *
 * **Gotchas**
 *
 * They run on the real clock. In a `layer` of `@effect/vitest` that is `excludeTestServices: true`.
 *
 * **Example**
 *
 * ```ts no-run
 * import { NodeServices } from "@effect/platform-node"
 * import { layer } from "@effect/vitest"
 * import { Layer } from "effect"
 * import { StoreContract } from "effect-payments/testing"
 * import { ChildProcess } from "effect/process"
 *
 * const workers = StoreContract.layerWorkers(ChildProcess.make(process.execPath, ["storeWorker.ts"]))
 * layer(Layer.provide(workers, NodeServices.layer), { excludeTestServices: true })("my store", (it) => {
 *   for (const { name, run } of StoreContract.idempotencyStoreProcesses()) it.effect(name, () => run)
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const idempotencyStoreProcesses = <R = never>(
  options: Options<R> = {}
): ReadonlyArray<Case<Workers | R, WorkerFailed>> => {
  const time = timeOf(options, "3 seconds")
  return processes.map(({ name, run }) => ({
    name,
    run: Effect.gen(function*() {
      const { failed, spread, start, stores } = yield* Workers
      const context = yield* Effect.context<R>()
      const made = yield* kit.make(spread, time.lease, time.pass(context))
      yield* Effect.raceFirst(run({ ...made, start, stores }), failed)
    }).pipe(Effect.scoped)
  }))
}

/**
 * Four processes over one store, and how one more is started: what {@link idempotencyStoreProcesses} asks.
 *
 * @category services
 * @since 0.1.0
 */
export class Workers extends Context.Service<Workers, crew.Crew>()("effect-payments/StoreContract/Workers") {}

/**
 * Starts processes that run {@link worker}, by this command, and kills them in the end.
 *
 * **Details**
 *
 * Their standard input and output are the contract's, and their standard error is that of the test; the other options of the
 * command are kept. The layer fails when one of them does not start.
 *
 * **Gotchas**
 *
 * A process that runs TypeScript takes as long to start as it takes to load all that it imports: bundle it where that matters.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerWorkers = (
  command: ChildProcess.StandardCommand
): Layer.Layer<Workers, WorkerFailed, ChildProcessSpawner.ChildProcessSpawner> =>
  Layer.effect(Workers, crew.make(command))

/**
 * The program of a process of {@link idempotencyStoreProcesses}: it asks the store what the contract tells it to ask on standard
 * input, says on standard output what was answered, and ends when its standard input does.
 *
 * **Details**
 *
 * Each line that it prints begins with a mark; other lines, such as those of a log, are passed over. It fails when the layer
 * does, or when it is told something that is no question of the contract.
 *
 * **Example** (a file of its own)
 *
 * ```ts no-run
 * import { SqliteClient } from "@effect-payments/sqlite"
 * import { NodeRuntime, NodeServices } from "@effect/platform-node"
 * import { Effect, Layer } from "effect"
 * import { IdempotencyStore } from "effect-payments"
 * import { StoreContract } from "effect-payments/testing"
 *
 * // Yours.
 * const store = Layer.provide(IdempotencyStore.layerStoreSql(), SqliteClient.layer({ filename: "records.sqlite" }))
 *
 * NodeRuntime.runMain(Effect.provide(StoreContract.worker(store), NodeServices.layer))
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const worker = <E, R>(
  store: Layer.Layer<IdempotencyStore, E, R>
): Effect.Effect<void, E | WorkerFailed, R | Stdio.Stdio> => Effect.provide(internalWorker.worker, store)

// How many leases a case waits at the most where it really waits.
const waitedMax = 4

const timeOf = <R>({ advance, lease }: Options<R>, waited: Duration.Input) => {
  const length = Duration.fromInputUnsafe(lease ?? (advance === undefined ? waited : "30 seconds"))
  const pass = (context: Context.Context<R>) => (leases: number): Effect.Effect<void> =>
    advance === undefined
      ? Effect.sleep(Duration.times(length, Math.min(leases, waitedMax)))
      : advance(Duration.millis(Math.round(Duration.toMillis(length) * leases))).pipe(
        Effect.provideContext(context),
        Effect.orDie,
        Effect.asVoid
      )
  return { lease: Math.ceil(Duration.toMillis(length)), pass }
}
