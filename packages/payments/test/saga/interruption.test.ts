import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Scheduler } from "effect"
import { Saga, SagaLog } from "effect-payments"
import { TestGateway } from "effect-payments/testing"
import { checkout, Refusal } from "./checkout.ts"
import {
  audit,
  finish,
  id,
  key,
  outlast,
  type Process,
  processOf,
  quiesce,
  type Stage,
  stage,
  suspendedAtCapture
} from "./stage.ts"

/** Counts the operations of all fibers that it runs. At one of them it yields, and tells. */
class Stopper implements Scheduler.Scheduler {
  readonly executionMode = "async"
  private readonly inner = new Scheduler.MixedScheduler()
  private operations = 0
  private readonly at: number
  private readonly tell: () => void
  constructor(at: number, tell: () => void) {
    this.at = at
    this.tell = tell
  }
  get isOver() {
    return this.operations < this.at
  }
  shouldYield(fiber: Fiber.Fiber<unknown, unknown>) {
    if (++this.operations !== this.at) return this.inner.shouldYield(fiber)
    queueMicrotask(this.tell)
    return true
  }
  makeDispatcher() {
    return this.inner.makeDispatcher()
  }
}

type Needs<S> = S extends Effect.Effect<infer _A, infer _E, infer R> ? R : never

const order = { orderId: id }
const execute = Saga.execute(checkout, order, { id })
type Call = Effect.Effect<unknown, unknown, Needs<typeof execute>>

interface Way {
  readonly name: string
  readonly call: Call
  readonly by: "leaves" | "closes"
  /** Before the call. */
  readonly arrange?: (stage: Stage) => Effect.Effect<void>
  readonly ends: ReadonlyArray<"Completed" | "Compensated">
}

const refuses = (stage: Stage) =>
  Effect.sync(() => void stage.plan.set("ship", Effect.fail(new Refusal({ why: "no" }))))

const losesReply = (stage: Stage) =>
  Effect.sync(() => {
    stage.behaviours.set("capture", TestGateway.lostReply)
  })

/** It stands at the shipment, and nobody holds it. */
const suspended = (stage: Stage) =>
  Effect.gen(function*() {
    stage.plan.set("ship", Effect.never)
    const process = yield* processOf(stage)
    yield* Effect.forkDetach(process.run(execute))
    yield* quiesce
    yield* process.close
    stage.plan.delete("ship")
  })

/** It is parked behind the pivot. */
const parked = (stage: Stage) =>
  Effect.gen(function*() {
    stage.plan.set("receipt", Effect.fail(new Refusal({ why: "no" })))
    const process = yield* processOf(stage)
    const execution = yield* Effect.orDie(process.run(execute))
    assert.strictEqual(execution._tag, "Parked")
    yield* process.close
    stage.plan.delete("receipt")
  })

const start = Saga.start(checkout, order, { id })
const ways: ReadonlyArray<Way> = (["leaves", "closes"] as const).flatMap((by) => [
  { name: "an execution", call: execute, by, ends: ["Completed"] },
  { name: "an execution that unwinds", call: execute, by, arrange: refuses, ends: ["Compensated"] },
  { name: "an execution that looks a capture up", call: execute, by, arrange: losesReply, ends: ["Completed"] },
  { name: "a start", call: start, by, ends: ["Completed"] },
  { name: "an execution that was suspended", call: execute, by, arrange: suspended, ends: ["Completed"] },
  {
    name: "a cancellation",
    call: Saga.cancel(checkout, { id }),
    by,
    arrange: suspendedAtCapture,
    // A process that stops does not stop its callers: the wish is written down.
    ends: by === "leaves" ? ["Completed", "Compensated"] : ["Compensated"]
  },
  { name: "a resumption", call: Saga.resume(checkout, { id }), by, arrange: parked, ends: ["Completed"] }
])

/** Calls and stops at this operation; whether the call was over before it. */
const callAndStop = (stage: Stage, way: Way, at: number, what: string) =>
  Effect.gen(function*() {
    const process: Process = yield* processOf(stage)
    let stopped: Fiber.Fiber<unknown, unknown> | undefined
    const scheduler = new Stopper(at, () => {
      stopped = Effect.runFork(way.by === "leaves" ? Fiber.interrupt(fiber) : process.close)
    })
    const fiber: Fiber.Fiber<unknown, unknown> = yield* Effect.forkDetach(
      Effect.provideService(process.run(way.call), Scheduler.Scheduler, scheduler)
    )
    yield* outlast(fiber, what)
    if (stopped !== undefined) yield* outlast(stopped, `${what}, stopping`)
    yield* quiesce
    if (way.call !== start || way.by === "closes") {
      assert.deepStrictEqual(process.left(), { live: 0, held: 0 }, `${what} leaves nothing behind`)
      const history = yield* stage.log.read(key)
      assert.include([undefined, 0], history?.run.leaseUntil, `${what}: the lease is given back`)
    }
    yield* process.close
    return scheduler.isOver
  })

describe("stopped at any operation", () => {
  for (const way of ways) {
    it.effect(
      `${way.name} whose ${way.by === "leaves" ? "caller leaves" : "process stops"} is finished by the next process`,
      () =>
        Effect.gen(function*() {
          const ends = new Set<string>()
          let at = 1
          for (let isOver = false; !isOver; at += way.by === "leaves" ? 1 : 3) {
            const log = yield* Effect.provide(SagaLog.SagaLog, Layer.fresh(SagaLog.layerStoreMemory()))
            const world = yield* stage(log)
            yield* way.arrange?.(world) ?? Effect.void
            isOver = yield* callAndStop(world, way, at, `${at}`)
            // What recovers it is stopped too.
            if (!isOver && at % 4 === 1) {
              yield* callAndStop(world, { ...way, call: execute }, Math.ceil(at / 2), `${at}, again`)
            }
            const execution = yield* finish(world, `${at}`)
            yield* audit(world, execution, `${at}`)
            assert.include(way.ends, execution._tag, `${at}`)
            ends.add(execution._tag)
          }
          assert.isAbove(at, 100)
          assert.strictEqual(ends.size, way.ends.length)
        }),
      60_000
    )
  }
})
