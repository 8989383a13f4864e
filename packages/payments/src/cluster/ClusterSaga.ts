/**
 * The same sagas on the workflow engine of Effect, for programs that run `effect/cluster` already.
 *
 * The failure it prevents is a saga written twice, and the one that `Workflow.withCompensation` has: an undo that waits is
 * lost or runs again at each replay, and one that dies takes the reason with it. A saga becomes one workflow here. Its
 * steps, its look-ups and each try of an undo are activities of the body, its pauses and waits durable clocks and
 * deferreds; what is decided is decided by the core that `Saga` uses, so runs end alike and send the same downstream
 * keys.
 *
 * - An activity that did not answer may have happened. When it would run a second time it does not: the step is in doubt,
 *   and is verified or run again under its key, as it says.
 * - Undoing is the second half of the body. Each undo has its tries, and exactly one outcome.
 * - A run that is parked, or whose undo failed, does not end: it waits, tells why, and {@link resume} goes on.
 *
 * What it cannot do: keep a runner that is frozen past its shard lock from sending on waking. There, as with `Saga`, only a
 * gateway that de-duplicates the downstream key protects.
 *
 * | option | default | bounds |
 * |---|---|---|
 * | `layer`: `awaitAtMost` | 1 day | 0 to a day |
 * | `layer`: `payloadLimitBytes`, `resultLimitBytes` | 256 KiB, 256 KiB | 1 byte to 16 MiB |
 *
 * A saga's name has at most 120 characters here, and a run is resumed at most 1000 times.
 *
 * Read `Saga` for how sagas are written. Do not run one saga both there and here: each keeps its own ids.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Hex from "effect/encoding/Hex"
import * as Layer from "effect/Layer"
import { Cluster } from "../internal/cluster/cluster.ts"
import { Nonces } from "../internal/cluster/nonces.ts"
import { type SagaWorkflow, workflowOf } from "../internal/cluster/protocol.ts"
import { Digest, SecureRandom } from "../internal/effect/crypto.ts"
import { WorkflowEngine } from "../internal/effect/workflow.ts"
import { dayMillis, reader } from "../internal/option/option.ts"
import type { Known, Untyped } from "../internal/saga/step.ts"
import type * as Saga from "../Saga.ts"

/**
 * Sagas on a workflow engine.
 *
 * @category services
 * @since 0.1.0
 */
export class ClusterSagas extends Context.Service<ClusterSagas, Cluster>()("effect-payments/cluster/ClusterSagas") {}

/**
 * See the table at the top of the module.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** How long a call waits for the end of a run before it fails with `InFlight`. The run goes on. */
  readonly awaitAtMost?: Duration.Input | undefined
  readonly payloadLimitBytes?: number | undefined
  readonly resultLimitBytes?: number | undefined
  /** As in `Saga.layer`; a run that is replayed may tell again. */
  readonly onStuck?: ((stuck: Saga.Stuck) => Effect.Effect<unknown, unknown>) | undefined
}

const option = reader("ClusterSaga.layer")
const limitMax = 16_777_216

/**
 * Builds {@link ClusterSagas} over a `WorkflowEngine`: `WorkflowEngine.layerMemory` in tests, `ClusterWorkflowEngine.layer`
 * over `SingleRunner` or several runners elsewhere. Take `Digest` and `SecureRandom` from `NodeCrypto.layer` of
 * `@effect/platform-node`. A process that only begins runs and asks for them needs no more.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options?: Options
): Layer.Layer<
  ClusterSagas,
  never,
  WorkflowEngine.WorkflowEngine | Digest.Digest | SecureRandom.SecureRandom
> =>
  Layer.effect(
    ClusterSagas,
    Effect.gen(function*() {
      const awaitMillis = yield* option.millis("awaitAtMost", options?.awaitAtMost ?? "1 day", 0, dayMillis)
      const payloadLimitBytes = yield* option.integer(
        "payloadLimitBytes",
        options?.payloadLimitBytes ?? 262_144,
        1,
        limitMax
      )
      const resultLimitBytes = yield* option.integer(
        "resultLimitBytes",
        options?.resultLimitBytes ?? 262_144,
        1,
        limitMax
      )
      const random = yield* SecureRandom.SecureRandom
      const host = {
        engine: yield* WorkflowEngine.WorkflowEngine,
        digest: yield* Digest.Digest,
        nonces: new Nonces(Hex.encode(yield* random.randomBytes(12))),
        resultLimitBytes,
        onStuck: options?.onStuck
      }
      return new Cluster(host, { awaitMillis, payloadLimitBytes, resultLimitBytes })
    })
  )

/**
 * Runs of these sagas may run in this process, with the services that are there: on a cluster, those of its shards.
 *
 * **Details**
 *
 * Fails with `SagaInvalid` when a saga cannot run. A run that was begun under another definition goes on when all that it
 * has started and the next step are the same, and no step is gone; otherwise it stands still, says so in the log, and calls
 * answer `Redefined`. Where the definition fits again, {@link resume} it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerRunner = <const S extends ReadonlyArray<Saga.Any>>(
  sagas: S & Known<S[number]>
): Layer.Layer<never, Saga.SagaError, Saga.Services<S[number]> | ClusterSagas> =>
  Layer.effectDiscard(
    Effect.flatMap(ClusterSagas, (cluster) =>
      Effect.forEach(sagas as unknown as ReadonlyArray<Untyped>, (saga) =>
        cluster.register(saga), { discard: true }))
  ) as Layer.Layer<
    never,
    Saga.SagaError,
    Saga.Services<S[number]> | ClusterSagas
  >

/**
 * The workflow that a saga is here, named `Saga/` and the saga's name: for `poll`, metrics and tools of the cluster. Its
 * success is the history of the run.
 *
 * **Gotchas**
 *
 * `interrupt` of the workflow undoes nothing: {@link cancel} does.
 *
 * @category converting
 * @since 0.1.0
 */
export const toWorkflow = (saga: Saga.Any): SagaWorkflow => workflowOf(saga as Untyped)

/**
 * `Saga.execute` on the workflow engine: the same ids, conflicts and ends. The run goes on when the caller does not.
 *
 * @category running
 * @since 0.1.0
 */
export const execute = <Ctx extends { readonly payload: unknown }, E, R, P extends "compensatable" | "retriable">(
  saga: Saga.Saga<Ctx, E, R, P>,
  payload: NoInfer<Ctx["payload"]>,
  options: { readonly id: string }
): Effect.Effect<Saga.Execution<Ctx, E>, Saga.SagaError, ClusterSagas> =>
  ask((cluster) => cluster.execute(untyped(saga), payload, options.id))

/**
 * Begins a run and does not wait for it. Once it answers, the run is durable.
 *
 * @category running
 * @since 0.1.0
 */
export const start = <Ctx extends { readonly payload: unknown }, E, R, P extends "compensatable" | "retriable">(
  saga: Saga.Saga<Ctx, E, R, P>,
  payload: NoInfer<Ctx["payload"]>,
  options: { readonly id: string }
): Effect.Effect<void, Saga.SagaError, ClusterSagas> =>
  ask((cluster) => cluster.start(untyped(saga), payload, options.id))

/**
 * Waits for the end of a run.
 *
 * @category running
 * @since 0.1.0
 */
export const result = <Ctx, E, R, P extends "compensatable" | "retriable">(
  saga: Saga.Saga<Ctx, E, R, P>,
  options: { readonly id: string }
): Effect.Effect<Saga.Execution<Ctx, E>, Saga.SagaError, ClusterSagas> =>
  ask((cluster) => cluster.result(untyped(saga), options.id))

/**
 * `Saga.cancel` on the workflow engine: undoes a run for good, and tells how it has ended. The wish is durable; the run
 * sees it before the next step leaves, or where it waits.
 *
 * @category running
 * @since 0.1.0
 */
export const cancel = <Ctx, E, R, P extends "compensatable" | "retriable">(
  saga: Saga.Saga<Ctx, E, R, P>,
  options: { readonly id: string }
): Effect.Effect<Saga.Execution<Ctx, E>, Saga.SagaError, ClusterSagas> =>
  ask((cluster) => cluster.cancel(untyped(saga), options.id))

/**
 * Goes on with a run that is parked, or tries the failed undos again. What has ended otherwise is answered as it is.
 *
 * @category running
 * @since 0.1.0
 */
export const resume = <Ctx, E, R, P extends "compensatable" | "retriable">(
  saga: Saga.Saga<Ctx, E, R, P>,
  options: { readonly id: string }
): Effect.Effect<Saga.Execution<Ctx, E>, Saga.SagaError, ClusterSagas> =>
  ask((cluster) => cluster.resume(untyped(saga), options.id))

/**
 * `Saga.signal` on the workflow engine: sends a message to a run, now or before it waits for it, or before there is a
 * run. Answers whether it is the one that counts: of several for one step only the first is kept.
 *
 * @category signals
 * @since 0.1.0
 */
export const signal = <
  Ctx,
  E,
  R,
  P extends "compensatable" | "retriable",
  const Name extends string & keyof Ctx,
  A
>(
  saga: Saga.Saga<Ctx, E, R, P>,
  signal: Saga.Signal<Name, A>,
  options: { readonly id: string; readonly event: string; readonly value: NoInfer<A> }
): Effect.Effect<boolean, Saga.SagaError, ClusterSagas> =>
  ask((cluster) => cluster.signal(untyped(saga), signal.name, options.id, options.event, options.value))

const untyped = (saga: unknown): Untyped => saga as Untyped

const ask = <A>(f: (cluster: Cluster) => Effect.Effect<A, Saga.SagaError>) =>
  Effect.flatMap(ClusterSagas, f) as Effect.Effect<never, Saga.SagaError, ClusterSagas>
