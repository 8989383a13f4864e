/** Two ways to run the same sagas over worlds of their own: the engine over a log, and a workflow engine. */
import { NodeCrypto } from "@effect/platform-node"
import { assert } from "@effect/vitest"
import { Context, Effect, Exit, type Fiber, Layer, Logger } from "effect"
import { PaymentGateway, Saga, SagaLog } from "effect-payments"
import { ClusterSaga } from "effect-payments/cluster"
import { TestGateway } from "effect-payments/testing"
import { ClusterWorkflowEngine, TestRunner } from "effect/cluster"
import { WebCrypto } from "effect/crypto"
import { TestClock } from "effect/testing"
import { WorkflowEngine } from "effect/workflow"
import { createHash } from "node:crypto"
import { makeShop, Shop } from "../saga/checkout.ts"

type World = Shop | PaymentGateway.PaymentGateway
type AnySaga = Saga.Saga<any, any, World | Saga.Sagas, any>
type Ended = Effect.Effect<Saga.Execution<unknown, unknown>, Saga.SagaError>

/** What both can do. */
export interface Side {
  readonly name: string
  readonly execute: (saga: AnySaga, payload: unknown, id?: string) => Ended
  readonly start: (saga: AnySaga, payload: unknown, id?: string) => Effect.Effect<void, Saga.SagaError>
  readonly result: (saga: AnySaga, id?: string) => Ended
  readonly cancel: (saga: AnySaga, id?: string) => Ended
  readonly resume: (saga: AnySaga, id?: string) => Ended
  readonly signal: (
    saga: AnySaga,
    signal: Saga.Signal<any, any>,
    value: unknown,
    event?: string,
    id?: string
  ) => Effect.Effect<boolean, Saga.SagaError>
}

/** What the sagas do things to. */
export const makeWorld = Effect.gen(function*() {
  const shop = makeShop()
  const test = yield* TestGateway.make()
  return {
    shop,
    test,
    context: Context.make(Shop, shop).pipe(Context.add(PaymentGateway.PaymentGateway, test.gateway))
  }
})
export type TestWorld = Effect.Success<typeof makeWorld>

const quiet = Layer.merge(NodeCrypto.layer, Logger.layer([]))

const engineSide = ({ context: world }: TestWorld) =>
  Effect.gen(function*() {
    const layer = Saga.layer({ sweepEvery: false }).pipe(
      Layer.provide(SagaLog.layerStoreMemory()),
      Layer.provideMerge(quiet)
    )
    const context = Context.merge(yield* Layer.build(layer), world)
    const run = <A, E>(self: Effect.Effect<A, E, Saga.Sagas | World>) => Effect.provide(self, context)
    const side: Side = {
      name: "the engine",
      execute: (saga, payload, id = "o1") => run(Saga.execute(saga, payload, { id })),
      start: (saga, payload, id = "o1") => run(Saga.start(saga, payload, { id })),
      result: (saga, id = "o1") => run(Saga.result(saga, { id })),
      cancel: (saga, id = "o1") => run(Saga.cancel(saga, { id })),
      resume: (saga, id = "o1") => run(Saga.resume(saga, { id })),
      signal: (saga, signal, value, event = "evt_1", id = "o1") => run(Saga.signal(saga, signal, { id, event, value }))
    }
    return side
  })

/** The workflow engine's digests, taken at once: the clock of a test does not wait for another thread. */
const webCrypto = {
  subtle: {
    digest: (_name: string, data: Uint8Array) =>
      Promise.resolve(Uint8Array.from(createHash("sha256").update(data).digest()).buffer)
  }
} as unknown as typeof globalThis.crypto

/** The calls of the cluster with what they need. */
const sideOf = (name: string, context: Context.Context<ClusterSaga.ClusterSagas>): Side => {
  const run = <A, E>(self: Effect.Effect<A, E, ClusterSaga.ClusterSagas>) =>
    Effect.provide(self, Context.add(context, WebCrypto.WebCrypto, webCrypto))
  return {
    name,
    execute: (saga, payload, id = "o1") => run(ClusterSaga.execute(saga, payload, { id })),
    start: (saga, payload, id = "o1") => run(ClusterSaga.start(saga, payload, { id })),
    result: (saga, id = "o1") => run(ClusterSaga.result(saga, { id })),
    cancel: (saga, id = "o1") => run(ClusterSaga.cancel(saga, { id })),
    resume: (saga, id = "o1") => run(ClusterSaga.resume(saga, { id })),
    signal: (saga, signal, value, event = "evt_1", id = "o1") =>
      run(ClusterSaga.signal(saga, signal, { id, event, value }))
  }
}

/** These sagas on this workflow engine. */
export const clusterSide = <E>(
  name: string,
  sagas: ReadonlyArray<AnySaga>,
  engine: Layer.Layer<WorkflowEngine.WorkflowEngine, E>
) =>
({ context: world }: TestWorld) =>
  Effect.gen(function*() {
    const runner = ClusterSaga.layerRunner(sagas as ReadonlyArray<Saga.Saga<any, any, World>>) as Layer.Layer<
      never,
      Saga.SagaError,
      ClusterSaga.ClusterSagas | World
    >
    // Nested sagas run on our engine here too.
    const nested = Saga.layer({ sweepEvery: false }).pipe(Layer.provide([SagaLog.layerStoreMemory(), quiet]))
    const layer = runner.pipe(
      Layer.provideMerge(ClusterSaga.layer()),
      Layer.provideMerge(engine),
      Layer.provideMerge(quiet),
      Layer.provide([Layer.succeedContext(world), nested])
    )
    return sideOf(name, yield* Layer.build(layer))
  })

/** A scenario: what someone does, and what it looks like to them. */
export type Scenario = (side: Side, world: TestWorld) => Effect.Effect<unknown, unknown>

/** Until nothing but time moves anything. */
export const quiesce = Effect.promise(async () => {
  for (let i = 0; i < 8; i++) await new Promise((resolve) => setImmediate(resolve))
})

/** Lets time pass until it has ended; it has to within some hours. */
export const outlast = <A, E>(self: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const fiber: Fiber.Fiber<A, E> = yield* Effect.forkChild(self)
    for (let steps = 0; steps < 1000; steps++) {
      yield* quiesce
      const exit = fiber.pollUnsafe()
      if (exit !== undefined) return yield* exit
      yield* TestClock.adjust(steps < 60 ? "5 seconds" : "30 seconds")
    }
    return assert.fail("it hangs")
  })

/** What is left in the world, and what was asked of it in which order under which keys. */
const effects = ({ shop, test }: TestWorld) =>
  Effect.gen(function*() {
    const { charges, totals } = yield* test.ledger
    const calls = yield* test.calls
    return {
      shop: [...shop.calls],
      gateway: calls.map(({ downstreamKey, method }) => `${method} ${downstreamKey}`),
      charges,
      net: totals["EUR"]?.net.amount.value ?? 0n,
      held: totals["EUR"]?.held.amount.value ?? 0n
    }
  })

const played = <E>(
  make: (world: TestWorld) => Effect.Effect<Side, E, any>,
  scenario: Scenario,
  isConcurrent: boolean
) =>
  Effect.gen(function*() {
    const world = yield* makeWorld
    const side = yield* make(world)
    const outcome = yield* Effect.exit(outlast(scenario(side, world)))
    const done = yield* effects(world)
    return {
      outcome: Exit.isSuccess(outcome) ? outcome.value : String(outcome.cause),
      ...done,
      shop: isConcurrent ? done.shop.toSorted() : done.shop
    }
  }).pipe(Effect.scoped)

const engines: ReadonlyArray<readonly [name: string, engine: () => Layer.Layer<WorkflowEngine.WorkflowEngine>]> = [
  ["the engine in memory", () => WorkflowEngine.layerMemory],
  ["a cluster in memory", () => ClusterWorkflowEngine.layer.pipe(Layer.provide(TestRunner.layer))]
]

/** It goes the same way on all sides; answers how. */
export const same = (sagas: ReadonlyArray<AnySaga>, scenario: Scenario, isConcurrent = false) =>
  Effect.gen(function*() {
    const expected = yield* played(engineSide, scenario, isConcurrent)
    for (const [name, engine] of engines) {
      const actual = yield* played(clusterSide(name, sagas, engine()), scenario, isConcurrent)
      assert.deepStrictEqual({ name, ...actual }, { name, ...expected })
    }
    return expected
  })
