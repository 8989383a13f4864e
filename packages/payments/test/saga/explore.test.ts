import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Schema } from "effect"
import { PaymentError, PaymentGateway, Saga } from "effect-payments"
import { SagaTest } from "effect-payments/testing"
import { awaiting, awaitingWorld, challenge } from "./awaiting.ts"
import { Refusal } from "./checkout.ts"
import { checkout, world } from "./explored.ts"

const bounds = [{ depth: 1, faults: 1 }, { depth: 2, faults: 0 }]

describe("the checkout", () => {
  for (const { depth, faults } of [{ depth: 1, faults: 1 }, { depth: 2, faults: 1 }]) {
    it.live(
      `keeps its promises in all schedules of ${depth} crashes and ${faults} faults`,
      () =>
        Effect.gen(function*() {
          const report = yield* SagaTest.explore(checkout, world, { depth, faults })
          yield* Effect.log(`${report.schedules} schedules, ${report.merged} of them merged`)
          assert.isTrue(report.isComplete)
          assert.isAbove(report.schedules, 500)
          assert.hasAnyKeys(report.states, ["Completed"])
          assert.hasAnyKeys(report.states, ["Compensated"])
          // Each effect is left by a crash on either side, and each commit.
          for (const name of ["run reserve", "run authorize", "run capture", "run ship", "undo reserve"]) {
            assert.property(report.coverage[name], "die after")
          }
          assert.property(report.coverage["Succeeded capture, Intended ship"], "freeze after")
          // It has a time of its own.
          assert.containsAllKeys(report.coverage["run authorize"], ["time out", "time out after"])
          assert.notProperty(report.coverage["run capture"], "time out")
        }),
      300_000
    )
  }

  // A capture in doubt that was undone has closed the authorization, which then cannot be voided.
  it.live("is not stuck at an authorization that a capture in doubt has closed", () =>
    Effect.gen(function*() {
      const trace = yield* SagaTest.replay(checkout, world, "5=die after,7=down")
      assert.include(trace, "answers Compensated")
    }))

  it.effect.prop(
    "keeps them whatever happens to it",
    [SagaTest.arbitraryFaults()],
    ([faults]) => SagaTest.check(checkout, world, faults),
    { arbitrary: { runs: 60 } }
  )
})

const order = (
  compensate: (outcome: Saga.Outcome<void>) => Effect.Effect<unknown, never, SagaTest.Ledger>,
  key: string | undefined = "o1"
) =>
  Saga.make("order", { payload: Schema.Struct({}) }).pipe(
    Saga.step("reserve", {
      success: Schema.Void,
      error: PaymentError.PaymentError,
      run: () => Effect.asVoid(Effect.flatMap(SagaTest.Ledger, ({ done }) => done("reserve", key))),
      verify: "rerun",
      compensate
    }),
    Saga.pivot("ship", { success: Schema.Void, error: Refusal, run: () => Effect.void, verify: "rerun" })
  )

const small = { payload: {}, layer: SagaTest.layerLedger }
const release = Effect.flatMap(SagaTest.Ledger, ({ undone }) => undone("reserve", "o1"))
const forgetful = order((outcome) => outcome._tag === "Done" ? release : Effect.succeed(Saga.skip("in doubt")))
// A service that does not know its calls again.
const careless = order(() => Effect.flatMap(SagaTest.Ledger, ({ undone }) => undone("reserve")), "")

/** An obligation of the world, and its undo. */
const kept = (name: string) => ({
  success: Schema.Void,
  error: PaymentError.PaymentError,
  verify: "rerun" as const,
  run: () => Effect.asVoid(Effect.flatMap(SagaTest.Ledger, ({ done }) => done(name, "o1"))),
  compensate: () => Effect.flatMap(SagaTest.Ledger, ({ undone }) => undone(name, "o1"))
})
const ship = { success: Schema.Void, error: Refusal, run: () => Effect.void, verify: "rerun" as const }

const beside = Saga.make("beside", { payload: Schema.Struct({}) }).pipe(
  Saga.step("hold", kept("hold")),
  Saga.parallel({ stock: Saga.branch(kept("stock")), courier: Saga.branch(kept("courier")) }),
  Saga.pivot("ship", ship)
)

describe("steps at the same time", () => {
  for (const { depth, faults } of bounds) {
    it.live(
      `keep their promises in all schedules of ${depth} crashes and ${faults} faults`,
      () =>
        Effect.gen(function*() {
          const report = yield* SagaTest.explore(beside, small, { depth, faults })
          yield* Effect.log(`${report.schedules} schedules, ${report.merged} of them merged`)
          assert.isTrue(report.isComplete)
          assert.hasAnyKeys(report.states, ["Completed"])
          assert.hasAnyKeys(report.states, ["Compensated"])
          for (const name of ["run stock", "run courier", "undo stock", "undo courier"]) {
            assert.property(report.coverage[name], "die after")
          }
        }),
      120_000
    )
  }
})

describe("messages", () => {
  it.live(
    "come early, late, twice, elsewhere and around crashes, and the promises are kept",
    () =>
      Effect.gen(function*() {
        for (const bounds of [{ depth: 1, faults: 1 }, { depth: 2, faults: 0 }]) {
          const report = yield* SagaTest.explore(awaiting, awaitingWorld, bounds)
          yield* Effect.log(`${report.schedules} schedules, ${report.merged} of them merged`)
          assert.isTrue(report.isComplete)
          assert.hasAllKeys(report.states, ["Completed", "Compensated"])
          assert.property(report.coverage["wait challenge"], "freeze before")
          assert.property(report.coverage["wait delivered"], "stop before")
          if (bounds.depth > 1) assert.property(report.coverage["find the run that waits"], "late")
          if (bounds.faults === 0) continue
          const early = ["comes before the run", "comes before the wait"]
          const others = [
            "comes twice",
            "comes elsewhere",
            "comes at the last moment",
            "comes a second too late",
            "comes as it is decided",
            "comes behind the deadline"
          ]
          assert.containsAllKeys(report.coverage["message evt_1 of challenge"], [...early, ...others])
          assert.containsAllKeys(report.coverage["message evt_3 of delivered"], others)
        }
      }),
    120_000
  )

  it.live("that a step behind the wait forgets are found", () =>
    Effect.gen(function*() {
      const invariants = {
        "it is closed as what it was": ({ ledger }: SagaTest.End<unknown, unknown>) =>
          Effect.succeed(!ledger.some(({ step }) => step === "close as lost"))
      }
      const broken = yield* Effect.flip(SagaTest.explore(awaiting, { ...awaitingWorld, invariants }))
      assert.strictEqual(broken.invariant, "it is closed as what it was")
      assert.strictEqual(broken.schedule, "2=comes behind the deadline")
      const again = yield* Effect.flip(SagaTest.replay(awaiting, { ...awaitingWorld, invariants }, broken.schedule))
      assert.deepStrictEqual({ ...again }, { ...broken })
    }))

  it.live("that never come leave a run behind that waits for ever", () =>
    Effect.gen(function*() {
      const endless = Saga.make("endless", { payload: Schema.Struct({}) }).pipe(Saga.awaitSignal(challenge))
      const broken = yield* Effect.flip(SagaTest.explore(endless, small))
      assert.strictEqual(broken.invariant, "every run ends")
      assert.include(broken.detail, "challenge")
      const signals = [SagaTest.signal(challenge, { event: "evt_1", value: { passed: true } })]
      assert.isTrue((yield* SagaTest.explore(endless, { ...small, signals })).isComplete)
    }))

  it.live("that nobody awaits are refused", () =>
    Effect.gen(function*() {
      const signals = [SagaTest.signal(challenge, { event: "evt_1", value: { passed: true } })] as never
      const exit = yield* Effect.exit(SagaTest.explore(order(() => release), { ...small, signals }))
      assert.isTrue(Exit.hasDies(exit))
    }))
})

describe("explore", () => {
  it.live("finds an undo that is forgotten when its step is in doubt, and plays it again", () =>
    Effect.gen(function*() {
      const broken = yield* Effect.flip(SagaTest.explore(forgetful, small))
      assert.strictEqual(broken.invariant, "nothing that happened is left")
      assert.include(broken.message, "sequenceDiagram")
      assert.isAtMost(broken.schedule.split(",").length, 2)
      const again = yield* Effect.flip(SagaTest.replay(forgetful, small, broken.schedule))
      assert.deepStrictEqual({ ...again }, { ...broken })
      assert.isTrue(Exit.isSuccess(yield* Effect.exit(SagaTest.replay(order(() => release), small, ""))))
    }))

  it.live("finds an undo that has its effect twice", () =>
    Effect.gen(function*() {
      const broken = yield* Effect.flip(SagaTest.explore(careless, small))
      assert.strictEqual(broken.invariant, "at most once")
    }))

  it.live("finds a look-up that takes a step whose time was up for one that never happened", () =>
    Effect.gen(function*() {
      // A service that does not know its calls again.
      const has = Effect.flatMap(SagaTest.Ledger, ({ has }) => has("hold"))
      const hasty = (isHasty: boolean) =>
        Saga.make("hasty", { payload: Schema.Struct({}) }).pipe(
          Saga.step("hold", {
            ...kept("hold"),
            run: () => Effect.asVoid(Effect.flatMap(SagaTest.Ledger, ({ done }) => done("hold"))),
            compensate: () =>
              Effect.gen(function*() {
                const { has, undone } = yield* SagaTest.Ledger
                return (yield* has("hold")) ? yield* undone("hold") : Saga.skip("gone")
              }),
            timeout: "5 seconds",
            verify: (_, { cause }) =>
              isHasty && cause === "timeout"
                ? Effect.succeed(PaymentGateway.neverHappened)
                : Effect.map(
                  has,
                  (happened) => happened ? PaymentGateway.happened<void>(undefined) : PaymentGateway.neverHappened
                )
          }),
          Saga.pivot("ship", ship)
        )
      assert.isTrue((yield* SagaTest.explore(hasty(false), small, { depth: 1 })).isComplete)
      const broken = yield* Effect.flip(SagaTest.explore(hasty(true), small))
      assert.strictEqual(broken.invariant, "at most once")
      assert.include(broken.schedule, "time out after")
    }))

  it.live("checks what the user says too", () =>
    Effect.gen(function*() {
      const invariants = {
        "it ships": ({ execution }: SagaTest.End<unknown, unknown>) => Effect.succeed(execution._tag === "Completed")
      }
      const broken = yield* Effect.flip(SagaTest.explore(order(() => release), { ...small, invariants }))
      assert.deepInclude({ ...broken }, { invariant: "it ships", detail: "it answers false" })
    }))

  it.live("is complete only where it came to all of them", () =>
    Effect.gen(function*() {
      const report = yield* SagaTest.explore(order(() => release), small, { schedulesMax: 5 })
      assert.deepInclude(report, { schedules: 5, isComplete: false })
    }))

  it.live("refuses a schedule that does not fit", () =>
    Effect.gen(function*() {
      for (const schedule of ["0=fly", "nonsense", "999=die before"]) {
        const error = yield* Effect.flip(SagaTest.replay(order(() => release), small, schedule))
        assert.strictEqual(error._tag, "ScheduleInvalid")
      }
    }))
})
