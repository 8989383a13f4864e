/**
 * The scenarios of the public manifest of saga conformance of durable-workflow (suite 38, `saga_runtime_contract`), by their
 * ids, over SQLite. Where it asks for two languages there are two processes here, each with an engine of its own. The twelfth,
 * `published_artifact_install_only`, needs artifacts that are packed and installed outside of the repository: it is in
 * `scripts/consumer.ts`, which `npm run check:packages` runs there.
 */
import { SqliteClient } from "@effect-payments/sqlite"
import { NodeCrypto } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer, Logger, Schema, type Scope } from "effect"
import { Saga, SagaLog, SagaOperator } from "effect-payments"
import { Shop, shopLayer } from "./checkout.ts"
import { processWith } from "./process.ts"
import { over, settled } from "./time.ts"

class Declined extends Schema.TaggedError<Declined>()("Declined", { code: Schema.String }) {
  readonly disposition = "Refused" as const
}

const call = (name: string) => Effect.flatMap(Shop, (shop) => shop.call(name))
const calls = Effect.map(Shop, ({ calls }) => [...calls])
const Booking = Schema.Struct({ id: Schema.String, seats: Schema.Int })

const booking = (forward: string, undo: string) =>
  ({
    success: Booking,
    error: Declined,
    verify: "rerun",
    run: () => Effect.as(Effect.mapError(call(forward), () => new Declined({ code: "no" })), { id: forward, seats: 2 }),
    compensate: (outcome: Saga.Outcome<typeof Booking.Type>) =>
      call(`${undo} ${outcome._tag === "Done" ? `${outcome.result.id} ${outcome.result.seats}` : outcome.cause}`)
  }) as const

const trip = Saga.make("book-trip", { payload: Schema.Struct({ traveller: Schema.String }) }).pipe(
  Saga.step("flight", booking("reserve_flight", "cancel_flight")),
  Saga.step("hotel", booking("reserve_hotel", "cancel_hotel")),
  Saga.step("card", booking("charge_card", "refund_card")),
  Saga.pivot("confirmation", {
    success: Schema.String,
    error: Declined,
    verify: "rerun",
    run: () => Effect.as(Effect.mapError(call("send_confirmation"), () => new Declined({ code: "mail" })), "sent")
  })
)

const order = ["reserve_flight", "reserve_hotel", "charge_card", "send_confirmation"]
const undoOf = {
  card: "refund_card charge_card 2",
  hotel: "cancel_hotel reserve_hotel 2",
  flight: "cancel_flight reserve_flight 2"
}
const t1 = { id: "t1" }
const target = { saga: "book-trip", ...t1 }
const execute = Saga.execute(trip, { traveller: "ann" }, t1)
const fails = (name: string) =>
  Effect.map(Shop, ({ plan }) => void plan.set(name, Effect.fail(new Declined({ code: "no" }) as never)))

const processOf = processWith(Saga.layerRecover([trip]))

const world = Layer.mergeAll(
  SagaLog.layerStoreSql().pipe(Layer.provide(SqliteClient.layer({ filename: ":memory:" }))),
  shopLayer,
  NodeCrypto.layer,
  Logger.layer([])
)
const scenario = (id: string, self: Effect.Effect<void, unknown, Layer.Success<typeof world> | Scope.Scope>) =>
  it.effect(id, () => self.pipe(Effect.provide(world)))

/** Undoing, and at the undo of the hotel, which does not end until it is let go. */
const midway = Effect.gen(function*() {
  yield* fails("send_confirmation")
  const { plan } = yield* Shop
  const gate = yield* Deferred.make<void>()
  plan.set(undoOf.hotel, Deferred.await(gate))
  const first = yield* processOf
  yield* Effect.forkDetach(first.run(execute))
  yield* settled
  return { first, gate, plan }
})

describe("saga conformance", () => {
  scenario(
    "forward_success_path",
    Effect.gen(function*() {
      const { run } = yield* processOf
      assert.strictEqual((yield* run(execute))._tag, "Completed")
      assert.deepStrictEqual(yield* calls, order)
    })
  )

  scenario(
    "failure_at_d_reverse_compensation",
    Effect.gen(function*() {
      yield* fails("send_confirmation")
      const { run } = yield* processOf
      const execution = yield* run(execute)
      assert.deepInclude(execution, { _tag: "Compensated" })
      assert.deepStrictEqual(yield* calls, [...order, undoOf.card, undoOf.hotel, undoOf.flight])
    })
  )

  scenario(
    "failure_at_c_reverse_compensation",
    Effect.gen(function*() {
      yield* fails("charge_card")
      const { run } = yield* processOf
      assert.strictEqual((yield* run(execute))._tag, "Compensated")
      assert.deepStrictEqual(yield* calls, [...order.slice(0, 3), undoOf.hotel, undoOf.flight])
    })
  )

  scenario(
    "failure_at_a_no_compensation",
    Effect.gen(function*() {
      yield* fails("reserve_flight")
      const { run } = yield* processOf
      assert.deepInclude(yield* run(execute), { _tag: "Compensated", undos: [] })
      assert.deepStrictEqual(yield* calls, ["reserve_flight"])
    })
  )

  scenario(
    "compensation_retry_idempotence",
    Effect.gen(function*() {
      yield* fails("send_confirmation")
      const { plan } = yield* Shop
      let tries = 0
      plan.set(undoOf.hotel, Effect.suspend(() => ++tries === 1 ? Effect.die("down") : Effect.void))
      const { run } = yield* processOf
      const execution = yield* over(run(execute), "30 seconds")
      assert.strictEqual(execution._tag, "Compensated")
      assert.strictEqual(tries, 2)
      const { entries } = yield* SagaOperator.history(target)
      const undone = entries.flatMap(({ events }) => events).filter(({ _tag }) => _tag === "Undone")
      assert.deepStrictEqual(undone.map((event) => "step" in event && event.step), ["card", "hotel", "flight"])
    })
  )

  scenario(
    "compensation_failure_visibility",
    Effect.gen(function*() {
      yield* fails("send_confirmation")
      const { plan } = yield* Shop
      plan.set(undoOf.hotel, Effect.die("down"))
      const { run } = yield* processOf
      const execution = yield* over(run(execute), "1 minute")
      assert.strictEqual(execution._tag, "FailedCompensation")
      const { cause, undos } = execution._tag === "FailedCompensation" ? execution : { cause: undefined, undos: [] }
      assert.deepInclude(cause, { _tag: "Failed", step: "confirmation", error: new Declined({ code: "mail" }) })
      // The others go on, and what failed says how.
      assert.deepStrictEqual(undos.map(({ _tag, step }) => `${_tag} ${step}`), [
        "Undone card",
        "Failed hotel",
        "Undone flight"
      ])
      assert.isTrue(undos.some((undo) => undo._tag === "Failed" && undo.detail !== ""))
      assert.deepStrictEqual((yield* SagaOperator.list({ state: "FailedCompensation" })).map(({ id }) => id), ["t1"])
    })
  )

  scenario(
    "mid_compensation_worker_restart",
    Effect.gen(function*() {
      const { first, plan } = yield* midway
      yield* first.close
      plan.delete(undoOf.hotel)
      const second = yield* processOf
      const execution = yield* over(second.run(Saga.result(trip, t1)), "1 minute")
      assert.strictEqual(execution._tag, "Compensated")
      // What was undone is not undone again; what was under way is, under its key.
      assert.deepStrictEqual((yield* calls).slice(4), [undoOf.card, undoOf.hotel, undoOf.hotel, undoOf.flight])
    })
  )

  for (const id of ["php_workflow_python_compensation", "python_workflow_php_compensation"]) {
    scenario(
      `${id}: begun by one process, undone by another with the results of the first`,
      Effect.gen(function*() {
        const { plan } = yield* Shop
        plan.set("send_confirmation", Effect.never)
        const [first, second] = [yield* processOf, yield* processOf]
        const [begins, undoes] = id.startsWith("php") ? [first, second] : [second, first]
        yield* Effect.forkDetach(begins.run(execute))
        yield* settled
        yield* begins.close
        yield* fails("send_confirmation")
        const execution = yield* over(undoes.run(execute), "1 minute")
        assert.strictEqual(execution._tag, "Parked")
        // The pivot may have been sent: someone has to say that it was not.
        yield* SagaOperator.force({
          ...target,
          step: "confirmation",
          as: { _tag: "NeverHappened" },
          by: "ann",
          evidence: "the mail server has none"
        })
        const undone = yield* over(undoes.run(Saga.cancel(trip, t1)), "1 minute")
        assert.strictEqual(undone._tag, "Compensated")
        assert.deepStrictEqual((yield* calls).slice(-3), [undoOf.card, undoOf.hotel, undoOf.flight])
      })
    )
  }

  scenario(
    "typed_compensation_error_round_trip",
    Effect.gen(function*() {
      yield* fails("charge_card")
      const { run } = yield* processOf
      yield* run(execute)
      // As it comes out of the log, in another process.
      const second = yield* processOf
      const error = yield* Effect.flip(second.run(execute).pipe(Saga.assertSucceeded))
      assert.strictEqual(error._tag, "SagaFailed")
      const cause = error._tag === "SagaFailed" && error.reason._tag === "Compensated" ? error.reason.cause : undefined
      assert.isTrue(cause?._tag === "Failed" && cause.error instanceof Declined && cause.error.code === "no")
    })
  )

  scenario(
    "operator_visible_mid_compensation_status",
    Effect.gen(function*() {
      const { gate } = yield* midway
      const history = yield* SagaOperator.history(target)
      assert.strictEqual(history.run.state, "Compensating")
      assert.deepStrictEqual(
        Saga.progress(history)?.map(({ isOwed, name, outcome, undo }) => [name, outcome, undo?._tag, isOwed]),
        [
          ["flight", "Done", undefined, true],
          ["hotel", "Done", undefined, true],
          ["card", "Done", "Undone", false],
          ["confirmation", "NotDone", undefined, false]
        ]
      )
      yield* Deferred.succeed(gate, undefined)
      yield* settled
      assert.strictEqual((yield* SagaOperator.history(target)).run.state, "Compensated")
    })
  )
})
