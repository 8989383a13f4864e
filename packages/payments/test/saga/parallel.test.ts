/** Steps that run at the same time: what is undone, in which order, and what a crash, a cancel and a pause find. */
import { NodeCrypto } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Logger, Schema } from "effect"
import { PaymentGateway, Saga, SagaLog, SagaOperator } from "effect-payments"
import { TestClock } from "effect/testing"
import { runId } from "../../src/internal/saga/record.ts"
import { Refusal, Shop, ShopError, shopLayer } from "./checkout.ts"
import { processWith } from "./process.ts"
import { over, settled } from "./time.ts"

const o1 = { id: "o1" }
const call = (name: string) => Effect.flatMap(Shop, (shop) => shop.call(name))
const calls = Effect.map(Shop, ({ calls }) => [...calls])

const branchOf = (name: string) =>
  Saga.branch({
    success: Schema.String,
    error: ShopError,
    verify: () => Effect.as(call(`find ${name}`), PaymentGateway.happened(`found ${name}`)),
    run: (ctx: { readonly first: string }) => Effect.as(call(name), `${ctx.first} ${name}`),
    compensate: (outcome) => call(`undo ${name} ${outcome._tag}`)
  })

const grouped = Saga.make("grouped", { payload: Schema.String }).pipe(
  Saga.step("first", {
    success: Schema.String,
    error: ShopError,
    verify: "rerun",
    run: () => Effect.as(call("first"), "1"),
    compensate: () => call("undo first")
  }),
  Saga.parallel({ a: branchOf("a"), b: branchOf("b"), c: branchOf("c") }),
  Saga.pivot("p", {
    success: Schema.String,
    error: ShopError,
    verify: "rerun",
    run: (ctx) => Effect.as(call("p"), `${ctx.a}, ${ctx.b}, ${ctx.c}`)
  }),
  Saga.parallel({
    mail: Saga.retriableBranch({
      success: Schema.Void,
      verify: "rerun",
      run: () => Effect.asVoid(call("mail")).pipe(Saga.park("no mail"))
    }),
    post: Saga.retriableBranch({
      success: Schema.String,
      verify: "rerun",
      run: (ctx) => Effect.as(call("post"), ctx.p).pipe(Saga.park("no post"))
    })
  })
)

const processOf = processWith(Saga.layerRecover([grouped]))

const world = Layer.mergeAll(SagaLog.layerStoreMemory(), shopLayer, NodeCrypto.layer, Logger.layer([]))
const execute = Saga.execute(grouped, "x", o1)
const entries = Effect.flatMap(
  SagaLog.SagaLog,
  (log) => Effect.map(log.read(runId("grouped", "o1")), (history) => history?.entries.map(({ events }) => events) ?? [])
)

type Branch = "a" | "b" | "c"
const branches: ReadonlyArray<Branch> = ["a", "b", "c"]

/** Each branch of the group waits until it is let go. */
const gated = Effect.gen(function*() {
  const { plan } = yield* Shop
  const gate = () => Deferred.makeUnsafe<string, Refusal>()
  const gates = { a: gate(), b: gate(), c: gate() }
  for (const name of branches) plan.set(name, Deferred.await(gates[name]))
  return {
    ends: (name: Branch) => Effect.andThen(Deferred.succeed(gates[name], name), settled),
    fails: (name: Branch) => Effect.andThen(Deferred.fail(gates[name], new Refusal({ why: name })), settled)
  }
})

const orders: ReadonlyArray<ReadonlyArray<Branch>> = branches.flatMap((first) =>
  branches.flatMap((second) =>
    branches.flatMap((third) => new Set([first, second, third]).size === 3 ? [[first, second, third]] : [])
  )
)

const namesOf = (execution: Saga.Execution<unknown, unknown>) =>
  "undos" in execution ? execution.undos.map(({ _tag, step }) => `${_tag} ${step}`) : []

describe("a parallel group", () => {
  it.effect("is intended in one commit, runs at the same time, and answers by name", () =>
    Effect.gen(function*() {
      const { run } = yield* processOf
      const gate = yield* gated
      const fiber = yield* Effect.forkChild(run(execute))
      yield* settled
      assert.deepStrictEqual(yield* calls, ["first", "a", "b", "c"])
      assert.deepStrictEqual((yield* entries).at(-1), [
        { _tag: "Succeeded", step: "first", result: `"1"` },
        ...branches.map((step) => ({ _tag: "Intended" as const, step }))
      ])
      yield* gate.ends("b")
      assert.deepStrictEqual((yield* entries).at(-1), [{ _tag: "Succeeded", step: "b", result: `"1 b"` }])
      yield* gate.ends("a")
      yield* gate.ends("c")
      const execution = yield* Fiber.join(fiber)
      assert.deepInclude(execution._tag === "Completed" ? execution.results : execution, { post: "1 a, 1 b, 1 c" })
      assert.deepStrictEqual(yield* calls, ["first", "a", "b", "c", "p", "mail", "post"])
    }).pipe(Effect.provide(world)))

  for (const order of orders) {
    for (const failing of branches) {
      it.effect(`is undone in one order when they end as ${order.join("")} and ${failing} fails`, () =>
        Effect.gen(function*() {
          const { run } = yield* processOf
          const gate = yield* gated
          const fiber = yield* Effect.forkChild(run(execute))
          yield* settled
          for (const name of order) {
            assert.isTrue((yield* calls).every((call) => !call.startsWith("undo")))
            yield* name === failing ? gate.fails(name) : gate.ends(name)
          }
          const execution = yield* Fiber.join(fiber)
          assert.deepInclude(execution, { _tag: "Compensated" })
          assert.deepInclude("cause" in execution ? execution.cause : {}, { _tag: "Failed", step: failing })
          const undone = branches.filter((name) => name !== failing).toReversed()
          assert.deepStrictEqual(namesOf(execution), [...undone, "first"].map((name) => `Undone ${name}`))
          assert.deepStrictEqual(
            (yield* calls).slice(4),
            [...undone.map((name) => `undo ${name} Done`), "undo first"]
          )
        }).pipe(Effect.provide(world)))
    }
  }

  it.effect("has the first failure, as they are written, for its cause", () =>
    Effect.gen(function*() {
      const { run } = yield* processOf
      const gate = yield* gated
      const fiber = yield* Effect.forkChild(run(execute))
      yield* settled
      yield* gate.fails("c")
      yield* gate.ends("b")
      yield* gate.fails("a")
      const execution = yield* Fiber.join(fiber)
      assert.deepInclude("cause" in execution ? execution.cause : {}, { _tag: "Failed", step: "a" })
      assert.deepStrictEqual(namesOf(execution), ["Undone b", "Undone first"])
    }).pipe(Effect.provide(world)))

  it.effect("looks up the one that is in doubt, beside one that fails", () =>
    Effect.gen(function*() {
      const { run } = yield* processOf
      const { plan } = yield* Shop
      plan.set("a", Effect.die("lost"))
      plan.set("c", Effect.fail(new Refusal({ why: "c" })))
      const execution = yield* over(run(execute), "30 seconds")
      assert.deepStrictEqual(namesOf(execution), ["Undone b", "Undone a", "Undone first"])
      assert.includeMembers(yield* calls, ["find a", "undo a Done"])
    }).pipe(Effect.provide(world)))

  it.effect("goes on in another process with those that are not done alone", () =>
    Effect.gen(function*() {
      const first = yield* processOf
      const gate = yield* gated
      yield* Effect.forkDetach(first.run(execute))
      yield* settled
      yield* gate.ends("b")
      yield* first.close
      const second = yield* processOf
      const execution = yield* over(second.run(Saga.result(grouped, o1)), "30 seconds")
      assert.deepInclude(execution._tag === "Completed" ? execution.results : execution, {
        post: "found a, 1 b, found c"
      })
      assert.sameMembers(yield* calls, ["first", "a", "b", "c", "find a", "find c", "p", "mail", "post"])
    }).pipe(Effect.provide(world)))

  it.effect("is cancelled when its steps have ended, and the next one does not leave", () =>
    Effect.gen(function*() {
      const { run } = yield* processOf
      const gate = yield* gated
      const fiber = yield* Effect.forkChild(run(execute))
      yield* settled
      const cancel = yield* Effect.forkChild(run(Saga.cancel(grouped, o1)))
      yield* settled
      for (const name of branches) yield* gate.ends(name)
      const execution = yield* Fiber.join(fiber)
      assert.deepStrictEqual(namesOf(execution), ["Undone c", "Undone b", "Undone a", "Undone first"])
      assert.deepStrictEqual(yield* Fiber.join(cancel), execution)
      assert.notInclude(yield* calls, "p")
    }).pipe(Effect.provide(world)))

  it.effect("is cancelled before any of it has left", () =>
    Effect.gen(function*() {
      const { run } = yield* processOf
      const { plan } = yield* Shop
      const gate = yield* Deferred.make<void>()
      plan.set("first", Deferred.await(gate))
      const fiber = yield* Effect.forkChild(run(execute))
      yield* settled
      const cancel = yield* Effect.forkChild(run(Saga.cancel(grouped, o1)))
      yield* settled
      yield* Deferred.succeed(gate, undefined)
      assert.deepStrictEqual(namesOf(yield* Fiber.join(fiber)), ["Undone first"])
      yield* Fiber.join(cancel)
      assert.deepStrictEqual(yield* calls, ["first", "undo first"])
    }).pipe(Effect.provide(world)))

  it.effect("is paused when its steps have ended, and resumed without a doubt", () =>
    Effect.gen(function*() {
      const { run } = yield* processOf
      const gate = yield* gated
      const fiber = yield* Effect.forkChild(run(execute))
      yield* settled
      const target = { saga: "grouped", ...o1, by: "ann", reason: "odd" }
      yield* SagaOperator.pause(target)
      yield* gate.ends("a")
      yield* gate.ends("b")
      assert.isUndefined(fiber.pollUnsafe())
      yield* gate.ends("c")
      assert.deepInclude(yield* Fiber.join(fiber), { _tag: "Parked", step: "p" })
      yield* SagaOperator.retry(target)
      const execution = yield* over(run(Saga.result(grouped, o1)), "30 seconds")
      assert.strictEqual(execution._tag, "Completed")
      assert.deepStrictEqual(yield* calls, ["first", "a", "b", "c", "p", "mail", "post"])
    }).pipe(Effect.provide(world)))

  it.effect("behind the pivot loses none of its steps to a cancellation that comes too late", () =>
    Effect.gen(function*() {
      const { run } = yield* processOf
      const { plan } = yield* Shop
      plan.set("mail", Effect.fail(new Refusal({ why: "no" })))
      plan.set("post", Effect.fail(new Refusal({ why: "no" })))
      assert.strictEqual((yield* run(execute))._tag, "Parked")
      const target = { saga: "grouped", ...o1, by: "ann" }
      const forced = { step: "mail", as: { _tag: "NeverHappened" }, evidence: "seen" } as const
      yield* SagaOperator.force({ ...target, ...forced })
      assert.strictEqual((yield* run(Saga.cancel(grouped, o1)))._tag, "Parked")
      plan.clear()
      const execution = yield* run(Saga.resume(grouped, o1))
      assert.strictEqual(execution._tag, "Completed")
    }).pipe(Effect.provide(world)))

  it.effect("unwinds when one of them has failed, also beside one in doubt that waits for someone", () =>
    Effect.gen(function*() {
      const { run } = yield* processOf
      const { plan } = yield* Shop
      const parking = Saga.make("parking", { payload: Schema.String }).pipe(
        Saga.parallel({
          a: Saga.branch({
            success: Schema.String,
            error: ShopError,
            verify: () => Effect.succeed(PaymentGateway.stillUnknown),
            inDoubt: "park",
            run: () => Effect.as(call("a"), "a"),
            compensate: (outcome) => call(`undo a ${outcome._tag}`)
          }),
          b: Saga.branch({
            success: Schema.String,
            error: ShopError,
            verify: "rerun",
            run: () => Effect.as(call("b"), "b"),
            compensate: () => call("undo b")
          })
        })
      )
      plan.set("a", Effect.die("lost"))
      plan.set("b", Effect.fail(new Refusal({ why: "no" })))
      const execution = yield* over(run(Saga.execute(parking, "x", o1)), "1 minute")
      assert.deepInclude("cause" in execution ? execution.cause : {}, { _tag: "Failed", step: "b" })
      assert.deepStrictEqual(yield* calls, ["a", "b", "undo a InDoubt"])
    }).pipe(Effect.provide(world)))

  it.effect("behind the pivot is parked by one that is refused, after the other has ended", () =>
    Effect.gen(function*() {
      const { run } = yield* processOf
      const { plan } = yield* Shop
      const gate = yield* Deferred.make<void>()
      plan.set("mail", Effect.fail(new Refusal({ why: "no" })))
      plan.set("post", Deferred.await(gate))
      const fiber = yield* Effect.forkChild(run(execute))
      yield* settled
      yield* TestClock.adjust("1 minute")
      assert.isUndefined(fiber.pollUnsafe())
      yield* Deferred.succeed(gate, undefined)
      assert.deepStrictEqual(yield* Fiber.join(fiber), { _tag: "Parked", step: "mail", reason: "no mail" })
      plan.clear()
      const execution = yield* run(Saga.resume(grouped, o1))
      assert.strictEqual(execution._tag, "Completed")
      assert.deepStrictEqual((yield* calls).filter((name) => name === "post" || name === "mail"), [
        "mail",
        "post",
        "mail"
      ])
    }).pipe(Effect.provide(world)))
})
