import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Saga, SagaLog } from "effect-payments"
import { TestGateway } from "effect-payments/testing"
import { checkout, Refusal } from "./checkout.ts"
import { audit, finish, id, type Log, outlast, processOf, type Stage, stage, suspendedAtCapture } from "./stage.ts"

/** What the log does with one operation: whether it is done, and what is said of it. */
const faults = {
  fails: { isDone: false, answers: true },
  "fails after it has written": { isDone: true, answers: true },
  hangs: { isDone: false, answers: false },
  "hangs after it has written": { isDone: true, answers: false }
}

type Fault = typeof faults[keyof typeof faults]

/** A log that misbehaves at one of its operations, or at all from that on. */
const faulty = (log: Log, fault: Fault, at: number, isForEver: boolean) => {
  let operations = 0
  const meet = <A>(operation: string, self: Effect.Effect<A, SagaLog.LogUnavailable>) =>
    Effect.suspend(() => {
      const number = ++operations
      if (number !== at && !(isForEver && number > at)) return self
      const end = fault.answers
        ? Effect.fail(new SagaLog.LogUnavailable({ operation, detail: "Fault" }))
        : Effect.never
      return fault.isDone ? Effect.andThen(Effect.ignore(self), end) : end
    })
  const proxy: Log = {
    claim: (request) => meet("claim", log.claim(request)),
    append: (request) => meet("append", log.append(request)),
    renew: (requests) => meet("renew", log.renew(requests)),
    release: (request) => meet("release", log.release(request)),
    cancel: (id) => meet("cancel", log.cancel(id)),
    pause: (request) => meet("pause", log.pause(request)),
    signal: (request) => meet("signal", log.signal(request)),
    inbox: (requests) => meet("inbox", log.inbox(requests)),
    orphans: (request) => meet("orphans", log.orphans(request)),
    read: (id) => meet("read", log.read(id)),
    list: (request) => meet("list", log.list(request)),
    sweep: (request) => meet("sweep", log.sweep(request))
  }
  return { proxy, isOver: () => operations < at }
}

const execute = Saga.execute(checkout, { orderId: id }, { id })

const refuses = (stage: Stage) =>
  Effect.sync(() => void stage.plan.set("ship", Effect.fail(new Refusal({ why: "no" }))))

const calls = [
  { name: "an execution", call: execute, arrange: () => Effect.void },
  { name: "an execution that unwinds", call: execute, arrange: refuses },
  {
    name: "an execution in doubt",
    call: execute,
    arrange: (stage: Stage) => Effect.sync(() => void stage.behaviours.set("capture", TestGateway.lostReply))
  },
  { name: "a cancellation", call: Saga.cancel(checkout, { id }), arrange: suspendedAtCapture }
]

const gateways: ReadonlyArray<TestGateway.Options> = [{}, { deduplicates: false }]

describe("a log with a fault", () => {
  for (const { arrange, call, name } of calls) {
    for (const [word, fault] of Object.entries(faults)) {
      it.effect(
        `that ${word} at any of its operations, or from then on, costs ${name} nothing`,
        () =>
          Effect.gen(function*() {
            const ends = new Set<string>()
            for (const options of gateways) {
              for (const isForEver of [false, true]) {
                for (let at = 1, isOver = false; !isOver; at++) {
                  const what = `${at}${isForEver ? " and on" : ""}${options.deduplicates === false ? ", no keys" : ""}`
                  const log = yield* Effect.provide(SagaLog.SagaLog, Layer.fresh(SagaLog.layerStoreMemory()))
                  const world = yield* stage(log, options)
                  yield* arrange(world)
                  const { isOver: isThrough, proxy } = faulty(log, fault, at, isForEver)
                  const process = yield* processOf(world, proxy, { awaitAtMost: "1 second" })
                  yield* outlast(yield* Effect.forkDetach(process.run(call)), what)
                  isOver = isThrough()
                  assert.deepStrictEqual(process.left(), { live: 0, held: 0 }, what)
                  yield* outlast(yield* Effect.forkDetach(process.close), `${what}, closing`)
                  const execution = yield* finish(world, what)
                  yield* audit(world, execution, what)
                  // A gateway that knows its keys leaves nothing for people to do.
                  if (options.deduplicates !== false) assert.deepStrictEqual(world.resumed, [], what)
                  ends.add(execution._tag)
                }
              }
            }
            assert.isTrue(
              ends.has(name === "an execution" || name === "an execution in doubt" ? "Completed" : "Compensated")
            )
          }),
        60_000
      )
    }
  }
})
