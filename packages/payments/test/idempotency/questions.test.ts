/** A store that answers by a call back, as the one over Redis does: nothing that it does or leaves undone is lost on the way. */
import { NodeCrypto } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { type Context, Effect, Exit, Fiber, Layer } from "effect"
import { Idempotency, IdempotencyStore } from "effect-payments"
import { TestClock } from "effect/testing"
import * as question from "../../src/internal/stack/question.ts"
import * as faulty from "../support/faultyStore.ts"
import { callOptions } from "./callOptions.ts"

const asQuestion = <A, E>(context: Context.Context<never>, self: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  question.make((hear) => {
    const asked = Effect.runForkWith(context)(self)
    asked.addObserver(hear)
    return () => asked.interruptUnsafe()
  })

const onStore = <A, E>(
  self: (plan: faulty.FaultyStore, store: faulty.Store) => Effect.Effect<A, E, Idempotency.Idempotency>
) =>
  Effect.gen(function*() {
    const context = yield* Effect.context<never>()
    const { local: _, ...memory } = yield* IdempotencyStore.IdempotencyStore
    const plan = faulty.make(memory)
    const store: faulty.Store = {
      ...plan.store,
      claim: (request) => asQuestion(context, plan.store.claim(request)),
      complete: (request) => asQuestion(context, plan.store.complete(request))
    }
    return yield* Effect.provide(
      self(plan, memory),
      Idempotency.layer().pipe(Layer.provide(Layer.succeed(IdempotencyStore.IdempotencyStore, store)))
    )
  }).pipe(Effect.provide([IdempotencyStore.layerStoreMemory(), NodeCrypto.layer]))

const idempotent = <R>(self: Effect.Effect<string, never, R>) =>
  Idempotency.idempotent(self, { ...callOptions, onInterrupt: "indeterminate" })

describe("a store that is asked without a fiber", () => {
  it.effect("is waited for twice the lease and no longer, and nothing runs", () =>
    onStore(({ plan }) =>
      Effect.gen(function*() {
        let runs = 0
        plan({ claim: faulty.repeat("hang", 2) })
        const call = yield* Effect.forkChild(Effect.flip(idempotent(Effect.sync(() => `${runs++}`))), {
          startImmediately: true
        })
        yield* TestClock.adjust("59 seconds")
        assert.isUndefined(call.pollUnsafe())
        yield* TestClock.adjust("1 second")
        const error = yield* Fiber.join(call)
        assert.deepStrictEqual(
          error.reason,
          new IdempotencyStore.StoreUnavailable({ operation: "claim", detail: "no answer" })
        )
        assert.strictEqual(runs, 0)
      })
    ))

  it.effect("recognises a claim and a completion whose answers were lost, and nothing runs twice", () =>
    onStore(({ calls, plan }) =>
      Effect.gen(function*() {
        let runs = 0
        plan({ claim: ["lostReply"], complete: ["lostReply", "hangAfter"] })
        const call = yield* Effect.forkChild(idempotent(Effect.sync(() => `run ${++runs}`)), { startImmediately: true })
        yield* TestClock.adjust("29 seconds")
        assert.strictEqual(yield* Fiber.join(call), "run 1")
        assert.strictEqual(yield* idempotent(Effect.sync(() => `run ${++runs}`)), "run 1")
        assert.strictEqual(calls("complete"), 3)
      })
    ))

  it.effect("gives back a claim whose caller has gone before it was answered", () =>
    onStore(({ plan }, store) =>
      Effect.gen(function*() {
        plan({ claim: ["hangAfter"] })
        const call = yield* Effect.forkChild(idempotent(Effect.succeed("first")), { startImmediately: true })
        yield* Fiber.interrupt(call)
        yield* TestClock.adjust("1 second")
        const [record] = yield* store.list({ limit: 1 })
        assert.strictEqual(record?.state, "Vacant")
        assert.strictEqual(yield* idempotent(Effect.succeed("second")), "second")
      })
    ))

  it.effect("stops work that interrupts the one caller it has, before it waits", () =>
    onStore(({ plan }, store) =>
      Effect.gen(function*() {
        plan({ claim: [{ delay: "1 second" }] })
        let caller: Fiber.Fiber<unknown, unknown> | undefined
        let ended: Exit.Exit<unknown, unknown> | undefined
        const work = Effect.andThen(Effect.sync(() => caller?.interruptUnsafe()), Effect.never).pipe(
          Effect.onExit((exit) =>
            Effect.sync(() => {
              ended = exit
            })
          )
        )
        const call = yield* Effect.forkChild(
          Effect.withFiber((fiber) => {
            caller = fiber
            return idempotent(work)
          }),
          { startImmediately: true }
        )
        yield* TestClock.adjust("2 seconds")
        const exit = call.pollUnsafe()
        assert.isTrue(exit !== undefined && Exit.hasInterrupts(exit))
        assert.isTrue(ended !== undefined && Exit.hasInterrupts(ended))
        const [record] = yield* store.list({ limit: 1 })
        assert.strictEqual(record?.state, "Indeterminate")
      })
    ))
})
