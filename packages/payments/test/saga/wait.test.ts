/** Steps that wait: for a message, for time, over crashes, and what others can do to a run meanwhile. */
import { NodeCrypto } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger, Schema, SchemaGetter } from "effect"
import { Saga, SagaLog, SagaOperator } from "effect-payments"
import { TestClock } from "effect/testing"
import { Refusal, Shop, ShopError, shopLayer } from "./checkout.ts"
import { processWith } from "./process.ts"
import { settled } from "./time.ts"

const o1 = { id: "o1" }
const call = (name: string) => Effect.flatMap(Shop, (shop) => shop.call(name))
const base = { success: Schema.String, error: ShopError, verify: "rerun" } as const
const challenge = Saga.makeSignal("challenge", Schema.Struct({ passed: Schema.Boolean }))
const hook = Saga.makeSignal("hook", Schema.String)

const begin = Saga.make("waiting", { payload: Schema.String }).pipe(
  Saga.step("a", { ...base, run: () => Effect.as(call("a"), "a"), compensate: () => call("undo a") })
)
const patient = begin.pipe(
  Saga.awaitSignal(challenge),
  Saga.pivot("p", { ...base, run: (ctx) => Effect.as(call(`p ${ctx.challenge.passed}`), "p") }),
  Saga.awaitSignal(hook, { deadline: "2 hours" }),
  Saga.sleep("cool down", "10 minutes"),
  Saga.retriable("r", {
    success: Schema.String,
    verify: "rerun",
    run: (ctx) => Effect.as(call("r"), ctx.hook._tag === "Arrived" ? ctx.hook.value : "late").pipe(Saga.park("refused"))
  })
)
const strict = begin.pipe(
  Saga.awaitSignal(challenge, {
    deadline: "15 minutes",
    error: Refusal,
    onDeadline: (ctx) => new Refusal({ why: `${ctx.a} waited` })
  }),
  Saga.pivot("p", { ...base, run: () => Effect.as(call("p"), "p") })
)

const calls = Effect.map(Shop, ({ calls }) => [...calls])
const passed = { ...o1, event: "evt_1", value: { passed: true } }

const processOf = processWith(Saga.layerRecover([patient]))

const world = Layer.mergeAll(SagaLog.layerStoreMemory(), shopLayer, NodeCrypto.layer, Logger.layer([]))
const pass = (duration: Parameters<typeof TestClock.adjust>[0]) =>
  Effect.andThen(settled, Effect.andThen(TestClock.adjust(duration), settled))

describe("a step that waits", () => {
  it.effect("goes on when its message comes, sees its time pass, and sleeps", () =>
    Effect.gen(function*() {
      const { run } = yield* processOf
      const fiber = yield* Effect.forkChild(run(Saga.execute(patient, "x", o1)))
      yield* pass("1 hour")
      assert.deepStrictEqual(yield* calls, ["a"])
      assert.isTrue(yield* run(Saga.signal(patient, challenge, passed)))
      yield* settled
      assert.deepStrictEqual(yield* calls, ["a", "p true"])
      yield* pass("119 minutes")
      yield* pass("1 minute")
      yield* pass("599 seconds")
      assert.deepStrictEqual(yield* calls, ["a", "p true"])
      yield* pass("1 second")
      const execution = yield* Fiber.join(fiber)
      assert.deepStrictEqual(execution._tag === "Completed" ? execution.results : execution, {
        payload: "x",
        a: "a",
        challenge: { passed: true },
        p: "p",
        hook: { _tag: "DeadlinePassed" },
        "cool down": undefined,
        r: "late"
      })
    }).pipe(Effect.provide(world)))

  it.effect("takes what came before the run stood there, or before there was a run, and each message once", () =>
    Effect.gen(function*() {
      const { run } = yield* processOf
      assert.isTrue(yield* run(Saga.signal(patient, challenge, passed)))
      const other = { ...passed, value: { passed: false } }
      assert.isFalse(yield* run(Saga.signal(patient, challenge, other)))
      yield* TestClock.adjust("1 second")
      assert.isTrue(yield* run(Saga.signal(patient, challenge, { ...other, event: "evt_2" })))
      assert.isTrue(yield* run(Saga.signal(patient, hook, { ...o1, event: "evt_1", value: "early" })))
      const fiber = yield* Effect.forkChild(run(Saga.execute(patient, "x", o1)))
      yield* pass("10 minutes")
      const execution = yield* Fiber.join(fiber)
      assert.deepInclude(execution._tag === "Completed" ? execution.results : {}, {
        challenge: { passed: true },
        hook: { _tag: "Arrived", value: "early" },
        r: "early"
      })
    }).pipe(Effect.provide(world)))

  it.effect("goes on in another process after the first is gone, with the time that had passed", () =>
    Effect.gen(function*() {
      const first = yield* processOf
      yield* Effect.forkDetach(first.run(Saga.execute(patient, "x", o1)))
      yield* settled
      yield* first.run(Saga.signal(patient, challenge, passed))
      yield* pass("1 hour")
      yield* first.close
      yield* pass("55 minutes")
      const second = yield* processOf
      yield* pass("5 minutes")
      assert.deepStrictEqual(yield* calls, ["a", "p true"])
      yield* pass("10 minutes")
      assert.deepStrictEqual(yield* calls, ["a", "p true", "r"])
      const execution = yield* second.run(Saga.result(patient, o1))
      assert.deepInclude(execution._tag === "Completed" ? execution.results : {}, { r: "late" })
    }).pipe(Effect.provide(world)))

  it.effect("counts a message that came in time although nobody looked until later", () =>
    Effect.gen(function*() {
      const first = yield* processOf
      yield* Effect.forkDetach(first.run(Saga.execute(patient, "x", o1)))
      yield* settled
      yield* first.run(Saga.signal(patient, challenge, passed))
      yield* settled
      yield* first.close
      const log = yield* SagaLog.SagaLog
      const [held] = yield* log.list({ limit: 1 })
      assert.isDefined(held)
      yield* log.signal({ ...held, step: "hook", event: "e", value: `"in time"` })
      yield* TestClock.adjust("3 hours")
      const second = yield* processOf
      yield* pass("10 minutes")
      const execution = yield* second.run(Saga.result(patient, o1))
      assert.deepInclude(execution._tag === "Completed" ? execution.results : {}, { r: "in time" })
    }).pipe(Effect.provide(world)))

  it.effect("sees within a second what another process was sent", () =>
    Effect.gen(function*() {
      const first = yield* processOf
      const second = yield* processOf
      yield* Effect.forkChild(first.run(Saga.execute(patient, "x", o1)))
      yield* settled
      yield* second.run(Saga.signal(patient, challenge, passed))
      yield* settled
      assert.deepStrictEqual(yield* calls, ["a"])
      yield* pass("1 second")
      assert.deepStrictEqual(yield* calls, ["a", "p true"])
    }).pipe(Effect.provide(world)))

  it.effect("fails the saga at its deadline where it says so, and what came before is undone", () =>
    Effect.gen(function*() {
      const { run } = yield* processOf
      const fiber = yield* Effect.forkChild(run(Saga.execute(strict, "x", o1)))
      yield* pass("15 minutes")
      const execution = yield* Fiber.join(fiber)
      assert.deepStrictEqual(execution, {
        _tag: "Compensated",
        cause: { _tag: "Failed", step: "challenge", detail: "Refusal", error: new Refusal({ why: "a waited" }) },
        undos: [{ _tag: "Undone", step: "a" }]
      })
    }).pipe(Effect.provide(world)))

  it.effect("is over when it would have been, although it was paused meanwhile", () =>
    Effect.gen(function*() {
      const { run } = yield* processOf
      yield* Effect.forkChild(run(Saga.execute(strict, "x", o1)))
      yield* pass("10 minutes")
      const target = { saga: "waiting", ...o1, by: "ann", reason: "odd" }
      yield* SagaOperator.pause(target)
      yield* pass("1 minute")
      assert.deepInclude(yield* run(Saga.result(strict, o1)), { _tag: "Parked" })
      const resumed = yield* Effect.forkChild(run(Saga.resume(strict, o1)))
      yield* pass("4 minutes")
      assert.deepInclude(yield* Fiber.join(resumed), { _tag: "Compensated" })
    }).pipe(Effect.provide(world)))

  it.effect("is cancelled while it waits; behind the pivot it waits on", () =>
    Effect.gen(function*() {
      const { run } = yield* processOf
      const fiber = yield* Effect.forkChild(run(Saga.execute(patient, "x", o1)))
      yield* settled
      const cancelled = yield* run(Saga.cancel(patient, o1))
      assert.deepInclude(cancelled, { _tag: "Compensated", cause: { _tag: "Cancelled" } })
      assert.deepStrictEqual(yield* Fiber.join(fiber), cancelled)
      assert.deepStrictEqual(yield* calls, ["a", "undo a"])

      const late = { id: "o2" }
      yield* run(Saga.signal(patient, challenge, { ...passed, ...late }))
      const second = yield* Effect.forkChild(run(Saga.execute(patient, "x", late)))
      yield* settled
      const cancel = yield* Effect.forkChild(run(Saga.cancel(patient, late)))
      yield* pass("2 hours")
      yield* pass("10 minutes")
      assert.strictEqual((yield* Fiber.join(second))._tag, "Completed")
      assert.strictEqual((yield* Fiber.join(cancel))._tag, "Completed")
    }).pipe(Effect.provide(world)))

  it.effect("refuses messages that are none", () =>
    Effect.gen(function*() {
      const { run } = yield* processOf
      const send = (signal: Saga.Signal<"a", unknown>, event: string, value: unknown) =>
        Effect.map(Effect.flip(run(Saga.signal(patient, signal, { ...o1, event, value }))), ({ reason }) => reason._tag)
      const wrong = challenge as unknown as Saga.Signal<"a", unknown>
      assert.strictEqual(yield* send(wrong, "e", { passed: "yes" }), "SignalInvalid")
      assert.strictEqual(yield* send(wrong, "", { passed: true }), "SignalInvalid")
      assert.strictEqual(yield* send(Saga.makeSignal("a", Schema.String) as never, "e", "x"), "SagaInvalid")
      const big = Saga.make("big", { payload: Schema.String }).pipe(Saga.awaitSignal(hook))
      const value = "x".repeat(300_000)
      const error = yield* Effect.flip(run(Saga.signal(big, hook, { ...o1, event: "e", value })))
      assert.strictEqual(error.reason._tag, "SignalInvalid")
      const bounded = Saga.make("bounded", { payload: Schema.String }).pipe(Saga.sleep("s", 0))
      const invalid = yield* Effect.flip(run(Saga.execute(bounded, "x", o1)))
      assert.strictEqual(invalid.reason._tag, "SagaInvalid")
    }).pipe(Effect.provide(world)))

  it.effect("refuses to send what the run could not read", () =>
    Effect.gen(function*() {
      const { run } = yield* processOf
      const decode = SchemaGetter.forbidden<string, string>(() => "one way")
      const oneWay = Schema.String.pipe(
        Schema.decodeTo(Schema.String, { decode, encode: SchemaGetter.passthrough<string>() })
      )
      const lossy = Saga.makeSignal("lossy", oneWay)
      const saga = Saga.make("lossy", { payload: Schema.String }).pipe(Saga.awaitSignal(lossy))
      const error = yield* Effect.flip(run(Saga.signal(saga, lossy, { ...o1, event: "e", value: "x" })))
      assert.deepInclude(error.reason, { _tag: "SignalInvalid", detail: "it is not what its schema reads" })
      const log = yield* SagaLog.SagaLog
      const [found] = yield* log.inbox([{ ...SagaLog.runId("lossy", "o1"), step: "lossy" }])
      assert.isUndefined(found?.value)
    }).pipe(Effect.provide(world)))

  describe("passes over a message that does not fit", () => {
    /** Sent by a process of another version: it does not ask this one's schema. */
    const sendUnfit = (event: string, saga: { readonly name: string } = patient) =>
      Effect.flatMap(
        SagaLog.SagaLog,
        (log) => log.signal({ ...SagaLog.runId(saga.name, "o1"), step: "challenge", event, value: `{"passed":"yes"}` })
      )
    const passedOver = Effect.map(
      SagaOperator.history({ saga: "waiting", id: "o1" }),
      ({ entries }) =>
        entries.flatMap(({ events }) => events).flatMap((event) => event._tag === "Ignored" ? [event.event] : [])
    )

    it.effect("and waits for the next one, in every process, and says so once", () =>
      Effect.gen(function*() {
        const warned: Array<string> = []
        const logger = Logger.map(Logger.formatLogFmt, (line) => {
          if (line.includes("passed over")) warned.push(line)
        })
        const test = Effect.gen(function*() {
          yield* sendUnfit("evt_0")
          const first = yield* processOf
          yield* Effect.forkDetach(first.run(Saga.execute(patient, "x", o1)))
          yield* settled
          yield* sendUnfit("evt_00")
          yield* pass("1 second")
          assert.deepStrictEqual(yield* passedOver, ["evt_0", "evt_00"])
          assert.deepStrictEqual((yield* Saga.list().pipe(first.run)).map(({ state }) => state), ["Running"])
          yield* first.close
          const second = yield* processOf
          yield* pass("1 minute")
          assert.deepStrictEqual(yield* calls, ["a"])
          assert.isTrue(yield* second.run(Saga.signal(patient, challenge, passed)))
          yield* settled
          assert.deepStrictEqual(yield* calls, ["a", "p true"])
          assert.deepStrictEqual(yield* passedOver, ["evt_0", "evt_00"])
          const drawn = Saga.timeline(yield* SagaOperator.history({ saga: "waiting", id: "o1" }))
          assert.match(drawn, /--xrun: message evt_0 passed over#44; it does not fit its schema$/m)
        })
        yield* test.pipe(Effect.provide(Logger.layer([logger])))
        assert.lengthOf(warned, 2)
        assert.include(warned[0], "evt_0")
      }).pipe(Effect.provide(world)))

    it.effect("and its deadline comes all the same", () =>
      Effect.gen(function*() {
        const { run } = yield* processOf
        yield* sendUnfit("evt_0", strict)
        const fiber = yield* Effect.forkChild(run(Saga.execute(strict, "x", o1)))
        yield* pass("899 seconds")
        yield* sendUnfit("evt_1", strict)
        yield* pass("1 second")
        const execution = yield* Fiber.join(fiber)
        assert.deepInclude(execution, { _tag: "Compensated" })
        assert.deepInclude(execution._tag === "Compensated" ? execution.cause : {}, {
          _tag: "Failed",
          step: "challenge"
        })
        assert.deepStrictEqual(yield* calls, ["a", "undo a"])
      }).pipe(Effect.provide(world)))

    it.effect("and is cancelled and paused as before", () =>
      Effect.gen(function*() {
        const { run } = yield* processOf
        const fiber = yield* Effect.forkChild(run(Saga.execute(patient, "x", o1)))
        yield* settled
        // What is wished for comes with the message.
        yield* sendUnfit("evt_0")
        yield* Effect.flatMap(SagaLog.SagaLog, (log) => log.pause({ ...SagaLog.runId("waiting", "o1"), note: "ann" }))
        yield* pass("1 second")
        assert.deepInclude(yield* Fiber.join(fiber), { _tag: "Parked", step: "challenge" })
        const resumed = yield* Effect.forkChild(run(Saga.resume(patient, o1)))
        yield* settled
        assert.deepStrictEqual(yield* passedOver, ["evt_0"])
        yield* sendUnfit("evt_1")
        yield* Effect.flatMap(SagaLog.SagaLog, (log) => log.cancel(SagaLog.runId("waiting", "o1")))
        yield* pass("1 second")
        assert.deepInclude(yield* Fiber.join(resumed), { _tag: "Compensated", cause: { _tag: "Cancelled" } })
        assert.deepStrictEqual(yield* calls, ["a", "undo a"])
      }).pipe(Effect.provide(world)))
  })

  it.effect("does not keep others from being recovered", () =>
    Effect.gen(function*() {
      const first = yield* processOf
      for (let i = 0; i < 60; i++) yield* first.run(Saga.start(patient, "x", { id: `w${i}` }))
      yield* settled
      yield* first.close
      const second = yield* processOf
      yield* pass("10 seconds")
      yield* pass("10 seconds")
      for (let i = 0; i < 60; i++) yield* second.run(Saga.signal(patient, challenge, { ...passed, id: `w${i}` }))
      yield* settled
      assert.strictEqual((yield* calls).filter((name) => name === "p true").length, 60)
    }).pipe(Effect.provide(world)))
})

describe("a deadline that has passed while nobody looked", () => {
  it.effect("is not undone by a message that came after it", () =>
    Effect.gen(function*() {
      const first = yield* processWith(Saga.layerRecover([strict]))
      yield* Effect.forkDetach(first.run(Saga.execute(strict, "x", o1)))
      yield* settled
      yield* pass("1 minute")
      yield* first.close
      yield* pass("1 hour")
      // Takes webhooks in, and drives nothing.
      const receiver = yield* processWith(Layer.empty)
      assert.isTrue(yield* receiver.run(Saga.signal(strict, challenge, passed)))
      yield* pass("1 minute")
      const second = yield* processWith(Saga.layerRecover([strict]))
      yield* pass("2 minutes")
      const execution = yield* second.run(Saga.result(strict, o1))
      assert.strictEqual(execution._tag, "Compensated")
      assert.deepStrictEqual(yield* calls, ["a", "undo a"])
    }).pipe(Effect.provide(world)))
})
