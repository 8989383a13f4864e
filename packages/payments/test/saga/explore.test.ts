import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Schema } from "effect"
import { PaymentError, Saga } from "effect-payments"
import { SagaTest } from "effect-payments/testing"
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
