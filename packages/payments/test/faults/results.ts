/** Rows of the fault matrix about how an operation ends, and what a later call gets. */
import { assert, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Equal, Exit, Fiber, Metric, Schema } from "effect"
import { Idempotency, Money, PaymentError, PaymentGateway, Resilience } from "effect-payments"
import { TestGateway } from "effect-payments/testing"
import {
  advance,
  authorize,
  type Backend,
  begin,
  charge,
  inspect,
  key,
  makeProcess,
  options,
  Payload,
  payload,
  scope,
  stateOf,
  tagOf,
  tester,
  usd,
  word
} from "./harness.ts"

const fail = (reason: PaymentError.Reason) => Effect.fail(PaymentError.make(reason))
const declined = new PaymentError.CardDeclined({
  code: "CardDeclined",
  advice: "TryAnotherMethod",
  nextKey: "new"
})

/** Runs under one key and counts. */
const makeOperation = <A>(success: Schema.Codec<A, unknown>) => {
  let runs = 0
  return {
    runs: () => runs,
    call: (
      self: Effect.Effect<A, PaymentError.PaymentError>,
      overrides: Partial<Idempotency.Options<typeof payload, A, PaymentError.PaymentError>> = {}
    ) =>
      Idempotency.idempotent(
        Effect.suspend(() => {
          runs++
          return self
        }),
        {
          scope,
          key,
          payload,
          payloadSchema: Payload,
          success,
          error: PaymentError.PaymentError,
          ...overrides,
          transactional: undefined
        }
      )
  }
}

class Line extends Schema.Class<Line>("test/Line")({ name: Schema.String, money: Money.Money }) {}

/** Something of everything that a result may hold. */
const Everything = Schema.Struct({
  id: Schema.String,
  count: Schema.Number,
  exact: Schema.BigInt,
  at: Schema.Date,
  bytes: Schema.Uint8Array,
  lines: Schema.Array(Line),
  maybe: Schema.Option(Schema.Boolean),
  note: Schema.optionalKey(Schema.NullOr(Schema.String)),
  names: Schema.ReadonlyMap(Schema.String, Schema.Finite),
  tags: Schema.ReadonlySet(Schema.Finite),
  more: Schema.Record(Schema.String, Schema.Union([Schema.Finite, Schema.BigInt]))
})

export const results = (backend: Backend): void => {
  const test = tester(backend)

  test(
    "row 19: a result that cannot be stored is named, looked up and not run again",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const { call, runs } = makeOperation(Schema.String.check(Schema.isMaxLength(3)))
      const error = yield* Effect.flip(process.run(call(Effect.succeed("too long"))))
      assert.strictEqual(tagOf(error), "ResultInvalid")
      assert.strictEqual(error.disposition, "Unknown")
      assert.strictEqual(yield* stateOf(), "Indeterminate")
      assert.strictEqual(tagOf(yield* Effect.flip(process.run(call(Effect.succeed("ok"))))), "OutcomeUnknown")
      const found = { resolve: () => Effect.succeed({ _tag: "Happened" as const, result: "ok" }) }
      assert.strictEqual(yield* process.run(call(Effect.succeed("never"), found)), "ok")
      assert.strictEqual(runs(), 1)
    })
  )

  it.effect.prop(
    "row 20: a replay is equal to the first result, in this process and in another one",
    [Everything],
    ([first]) =>
      Effect.gen(function*() {
        const [here, there] = yield* Effect.all([makeProcess(), makeProcess()])
        const { call, runs } = makeOperation(Everything)
        assert.strictEqual(yield* here.run(call(Effect.succeed(first))), first)
        const isSame = Schema.toEquivalence(Everything)
        for (const process of [here, there]) {
          const again = yield* process.run(call(Effect.never))
          assert.isTrue(isSame(again, first))
          assert.isTrue(again.lines.every((line) => line instanceof Line))
        }
        assert.strictEqual(runs(), 1)
      }).pipe(Effect.scoped, Effect.provide(backend.layer)),
    { arbitrary: { runs: backend.runs }, timeout: 60_000 }
  )

  test(
    "row 21: a refusal is replayed with its type, and not run again",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const [here, there] = yield* Effect.all([makeProcess(), makeProcess()])
      yield* gateway.plan([TestGateway.refuse(declined)])
      const first = yield* Effect.flip(here.run(charge()))
      for (const process of [here, there]) {
        const again = yield* Effect.flip(process.run(charge()))
        assert.instanceOf(again, PaymentError.PaymentError)
        assert.isTrue(Equal.equals(again, first))
      }
      assert.lengthOf(yield* gateway.calls, 1)
      assert.strictEqual(yield* stateOf(), "Refused")
    })
  )

  test(
    "row 22: only what surely was not executed frees the key",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const reasons: ReadonlyArray<readonly [PaymentError.Reason, "Vacant" | "Refused" | "Indeterminate"]> = [
        [new PaymentError.NetworkError({ sent: false }), "Vacant"],
        [new PaymentError.RateLimited({ by: "gateway" }), "Vacant"],
        [new PaymentError.GatewayUnavailable({ by: "circuitBreaker" }), "Vacant"],
        [declined, "Refused"],
        [new PaymentError.InvalidRequest({ code: "amount" }), "Refused"],
        [new PaymentError.NetworkError({ sent: true }), "Indeterminate"],
        [new PaymentError.GatewayTimeout({}), "Indeterminate"],
        [new PaymentError.GatewayFault({ status: 500 }), "Indeterminate"],
        [new PaymentError.GatewayTimeout({ repeatable: true }), "Indeterminate"]
      ]
      for (const [index, [reason, state]] of reasons.entries()) {
        const at = Idempotency.Key.make(`k${index}`)
        const { call, runs } = makeOperation(Schema.Struct({ id: Schema.String }))
        assert.strictEqual(yield* word(process.run(call(fail(reason), { key: at }))), reason._tag)
        assert.strictEqual(yield* stateOf(at), state)
        yield* word(process.run(call(Effect.succeed({ id: "again" }), { key: at })))
        assert.strictEqual(runs(), state === "Vacant" ? 2 : 1, reason._tag)
      }
    })
  )

  test(
    "row 23: a charge whose reply was lost is found at once by look-up",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      for (
        const behaviour of [TestGateway.lostReply, TestGateway.failAfter, TestGateway.fault(500, { happened: true })]
      ) {
        yield* gateway.plan([behaviour])
        const at = { key: Idempotency.Key.make(behaviour.name) }
        const { id } = yield* process.run(charge(at))
        assert.strictEqual((yield* process.run(charge(at))).id, id)
      }
      assert.strictEqual(yield* gateway.charges, 3)
      assert.lengthOf(yield* gateway.calls, 3)
    })
  )

  test(
    "row 23: while the gateway cannot say, nothing runs again; when it can, its word counts",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      yield* gateway.plan([TestGateway.lostReply])
      yield* gateway.planLookups([
        "stillUnknown",
        new PaymentError.GatewayFault({ status: 500 }),
        "stillUnknown",
        "hang"
      ])
      assert.strictEqual(yield* word(process.run(charge())), "NetworkError")
      assert.strictEqual(yield* word(process.run(charge())), "OutcomeUnknown")
      assert.strictEqual(yield* word(process.run(charge())), "OutcomeUnknown")
      const hanging = yield* begin(word(process.run(charge())))
      yield* advance("11 seconds")
      assert.strictEqual(yield* Fiber.join(hanging), "OutcomeUnknown")
      assert.strictEqual(yield* word(process.run(charge())), "test_auth_1")
      assert.strictEqual(yield* gateway.charges, 1)
      assert.lengthOf(yield* gateway.calls, 1)
    })
  )

  test(
    "row 23: a refusal whose reply was lost is found as a refusal",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      yield* gateway.plan([{ ...TestGateway.lostReply, refusal: declined }])
      assert.strictEqual(yield* word(process.run(charge())), "CardDeclined")
      assert.strictEqual(yield* word(process.run(charge())), "CardDeclined")
      assert.strictEqual(yield* stateOf(), "Refused")
      assert.strictEqual(yield* gateway.charges, 0)
    })
  )

  test(
    "row 23: without a resolver an unknown outcome stays one, until an operator says what happened",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      yield* gateway.plan([TestGateway.lostReply])
      const call = charge({ resolve: undefined })
      assert.strictEqual(yield* word(process.run(call)), "NetworkError")
      for (let asked = 0; asked < 12; asked++) assert.strictEqual(yield* word(process.run(call)), "OutcomeUnknown")
      const [entry] = (yield* gateway.ledger).entries
      const record = yield* inspect()
      const resolution = {
        scope,
        key,
        fence: record?.fence ?? 0,
        success: PaymentGateway.Transaction,
        error: PaymentError.PaymentError,
        resolution: PaymentGateway.happened(entry?.transaction ?? assert.fail("nothing happened"))
      }
      assert.isFalse(yield* process.run(Idempotency.resolve({ ...resolution, fence: resolution.fence - 1 })))
      assert.isTrue(yield* process.run(Idempotency.resolve(resolution)))
      assert.strictEqual(yield* word(process.run(call)), "test_auth_1")
      assert.lengthOf(yield* gateway.calls, 1)
    })
  )

  test(
    "row 23: a retry inside the operation goes out under one key, and one that was not executed after one in doubt is in doubt",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      const idempotent = (self: ReturnType<typeof authorize>, at: Idempotency.Key) =>
        Idempotency.idempotent(self, {
          ...options,
          key: at,
          resolve: Idempotency.resolveByLookup({ phases: ["authorize"] })
        })
      const retried = (at: Idempotency.Key) =>
        authorize().pipe(
          Resilience.retry({ attempts: 3, base: "1 second", jitter: "none" }),
          Idempotency.idempotent({
            ...options,
            key: at,
            resolve: Idempotency.resolveByLookup({ phases: ["authorize"] })
          })
        )
      yield* gateway.plan([TestGateway.failAfter, TestGateway.lostReply])
      const first = yield* begin(word(process.run(retried(key))))
      yield* advance("10 seconds")
      assert.strictEqual(yield* Fiber.join(first), "test_auth_1")
      assert.strictEqual(yield* gateway.charges, 1)

      // With our retry, which tells the more uncertain of its failures, and with one that tells the last.
      const plain = Effect.retry(authorize(), { times: 2 })
      for (
        const [name, self] of [["ours", retried], ["plain", (at: Idempotency.Key) => idempotent(plain, at)]] as const
      ) {
        const other = Idempotency.Key.make(name)
        yield* gateway.plan([TestGateway.lostRequest, TestGateway.failBefore, TestGateway.failBefore])
        yield* gateway.planLookups(["stillUnknown"])
        const fiber = yield* begin(Effect.flip(process.run(self(other))))
        yield* advance("10 seconds")
        assert.strictEqual((yield* Fiber.join(fiber)).disposition, "Unknown")
        assert.strictEqual(yield* stateOf(other), "Indeterminate")
      }
    })
  )

  test(
    "row 23: a call that is still under way when the operation ends is in doubt",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      yield* gateway.plan([TestGateway.late("60 seconds")])
      const notExecuted = fail(new PaymentError.NetworkError({ sent: false }))
      const call = Effect.andThen(Effect.forkDetach(authorize(), { startImmediately: true }), notExecuted).pipe(
        Idempotency.idempotent({ ...options, resolve: Idempotency.resolveByLookup({ phases: ["authorize"] }) })
      )
      const error = yield* Effect.flip(process.run(call))
      assert.strictEqual(error.disposition, "Unknown")
      assert.strictEqual(yield* stateOf(), "Indeterminate")
      yield* advance("61 seconds")
      assert.strictEqual(yield* word(process.run(charge())), "test_auth_1")
      assert.strictEqual(yield* gateway.charges, 1)
    }),
    { deduplicates: false }
  )

  test(
    "row 23: a refusal says nothing about an earlier call, where the gateway does not take both for one",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      yield* gateway.plan([TestGateway.lostReply, TestGateway.refuse(declined)])
      const call = Effect.retry(authorize(), { times: 1 }).pipe(
        Idempotency.idempotent({ ...options, resolve: Idempotency.resolveByLookup({ phases: ["authorize"] }) })
      )
      assert.strictEqual(yield* word(process.run(call)), "test_auth_1")
      assert.strictEqual(yield* gateway.charges, 1)
    }),
    { deduplicates: false }
  )

  test(
    "row 24: a defect, also one that is no Error, is passed on, and the outcome is unknown",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      for (const [index, defect] of ["boom", 42, undefined, new Error("boom")].entries()) {
        const at = Idempotency.Key.make(`k${index}`)
        const { call, runs } = makeOperation(Schema.Struct({ id: Schema.String }))
        const exit = yield* Effect.exit(process.run(call(Effect.die(defect), { key: at })))
        const reason = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
        assert.isTrue(reason !== undefined && Cause.isDieReason(reason) && reason.defect === defect)
        assert.strictEqual(yield* stateOf(at), "Indeterminate")
        assert.strictEqual(
          yield* word(process.run(call(Effect.succeed({ id: "again" }), { key: at }))),
          "OutcomeUnknown"
        )
        assert.strictEqual(runs(), 1)
      }
    })
  )

  test(
    "row 24: several errors at once are no answer",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const { call } = makeOperation(Schema.Struct({ id: Schema.String }))
      const both = Effect.failCause(Cause.combine(
        Cause.fail(PaymentError.make(new PaymentError.NetworkError({ sent: false }))),
        Cause.fail(PaymentError.make(declined))
      ))
      yield* Effect.exit(process.run(call(both)))
      assert.strictEqual(yield* stateOf(), "Indeterminate")
    })
  )

  test(
    "row 32: a result above the limit is named, and not run again",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const { call, runs } = makeOperation(Schema.String)
      const huge = "x".repeat(300_000)
      assert.strictEqual(tagOf(yield* Effect.flip(process.run(call(Effect.succeed(huge))))), "ResultInvalid")
      assert.strictEqual(tagOf(yield* Effect.flip(process.run(call(Effect.succeed("ok"))))), "OutcomeUnknown")
      assert.strictEqual(runs(), 1)
      const sized = (name: string, resultLimitBytes: number) =>
        Effect.exit(process.run(call(Effect.succeed("\u20ac".repeat(100)), {
          key: Idempotency.Key.make(name),
          resultLimitBytes
        })))
      assert.isTrue(Exit.isSuccess(yield* sized("fits", 302)))
      assert.isTrue(Exit.isFailure(yield* sized("does not", 301)))
      const large = { key: Idempotency.Key.make("large"), resultLimitBytes: 2_000_000 }
      const largest = "x".repeat(1_000_000)
      assert.strictEqual(yield* process.run(call(Effect.succeed(largest), large)), largest)
      assert.strictEqual(yield* process.run(call(Effect.never, large)), largest)
    })
  )

  test(
    "row 32: a payload above the limit is refused before anything runs",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      const payload = { order: "x".repeat(300_000), money: usd("10.00") }
      assert.strictEqual(yield* word(process.run(charge({ payload }))), "PayloadInvalid")
      assert.strictEqual(yield* word(process.run(charge({ payload, payloadLimitBytes: 400_000 }))), "test_auth_1")
      assert.strictEqual(yield* gateway.charges, 1)
    })
  )

  test(
    "row 38: a stored result that the schema no longer reads is named, and not run again",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const before = makeOperation(Schema.Struct({ id: Schema.String }))
      yield* process.run(before.call(Effect.succeed({ id: "a" })))
      const after = makeOperation(Schema.Struct({ id: Schema.String, amount: Schema.Number }))
      const call = after.call(Effect.succeed({ id: "b", amount: 1 }))
      for (let asked = 0; asked < 2; asked++) {
        const error = yield* Effect.flip(process.run(call))
        assert.strictEqual(tagOf(error), "RecordUnreadable")
        assert.strictEqual(error.disposition, "Unknown")
      }
      assert.strictEqual(after.runs(), 0)
      assert.strictEqual((yield* process.run(before.call(Effect.never))).id, "a")
      const next = Idempotency.Scope.make({ ...scope, version: 2 })
      assert.strictEqual(
        (yield* process.run(after.call(Effect.succeed({ id: "b", amount: 1 }), { scope: next }))).id,
        "b"
      )
    })
  )

  test(
    "row 39: a replay is told from the first answer: in the receipt, on the span and in the metric",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const count = (answer: string) =>
        Effect.map(
          Metric.snapshot,
          (metrics) =>
            metrics.flatMap(({ attributes, id, state }) =>
              id === "effect_payments_idempotency_answers_total" && attributes?.["operation"] === "charge" &&
                attributes["answer"] === answer && "count" in state
                ? [Number(state.count)]
                : []
            )[0] ?? 0
        )
      const words = ["executed", "replayed", "KeyConflict", "StoreUnavailable"]
      const before = yield* Effect.forEach(words, count)
      const { call } = makeOperation(Schema.String)
      const spanOf = <A, E, R>(self: Effect.Effect<A, E, R>) =>
        Effect.withSpan(
          Effect.flatMap(
            Effect.exit(process.run(self)),
            (exit) =>
              Effect.map(Effect.currentSpan, (span) => ({ exit, attributes: Object.fromEntries(span.attributes) }))
          ),
          "charge"
        )
      const first = yield* spanOf(call(Effect.succeed("a")))
      const again = yield* spanOf(call(Effect.never))
      assert.deepInclude(first.attributes, { "idempotency.replayed": false, "idempotency.answer": "executed" })
      assert.deepInclude(again.attributes, {
        "idempotency.replayed": true,
        "idempotency.answer": "replayed",
        "idempotency.attempt": 1,
        "idempotency.fence": first.attributes["idempotency.fence"]
      })
      const receipt = Idempotency.idempotentWithReceipt(Effect.succeed("b"), {
        ...options,
        key: Idempotency.Key.make("receipt"),
        success: Schema.String
      })
      const receipts = [yield* process.run(receipt), yield* process.run(receipt)]
      assert.deepStrictEqual(receipts.map(({ how, replayed, value }) => ({ how, replayed, value })), [
        { how: "executed", replayed: false, value: "b" },
        { how: "replayed", replayed: true, value: "b" }
      ])
      yield* Effect.exit(process.run(call(Effect.never, { payload: { order: "B", money: usd("1.00") } })))
      process.plan({ claim: ["lostRequest", "lostRequest"] })
      yield* Effect.exit(process.run(call(Effect.never, { key: Idempotency.Key.make("down") })))
      const after = yield* Effect.forEach(words, count)
      assert.deepStrictEqual(after.map((value, index) => value - (before[index] ?? 0)), [2, 2, 1, 1])
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  test(
    "row 40: an operation that never ends with an answer is parked, and stays so until an operator resolves it",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const { call, runs } = makeOperation(Schema.Struct({ id: Schema.String }))
      const poison = call(Effect.die("boom"), {
        attemptsMax: 3,
        resolve: () => Effect.succeed({ _tag: "NeverHappened" as const, repeatable: true })
      })
      const words: Array<string> = []
      for (let asked = 0; asked < 5; asked++) words.push(yield* word(process.run(poison)))
      assert.deepStrictEqual(words, ["Die", "Die", "Die", "Parked", "Parked"])
      assert.strictEqual(runs(), 3)
      const parked = yield* process.run(Idempotency.list({ stuck: true }))
      assert.deepStrictEqual(parked.map((record) => [record.key as string, record.state]), [["key-1", "Parked"]])
      assert.strictEqual(yield* process.run(Idempotency.evict({ scope, key })), "Held")
      assert.isTrue(
        yield* process.run(Idempotency.resolve({
          scope,
          key,
          fence: parked[0]?.fence ?? 0,
          success: Schema.Struct({ id: Schema.String }),
          error: PaymentError.PaymentError,
          resolution: PaymentGateway.neverHappened
        }))
      )
      assert.strictEqual((yield* process.run(call(Effect.succeed({ id: "at last" })))).id, "at last")
    })
  )

  test(
    "row 40: a process that always dies on it parks it too",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      yield* gateway.plan(() => TestGateway.hang({ happened: false }))
      for (let life = 0; life < 3; life++) {
        const process = yield* makeProcess()
        yield* begin(process.run(charge({ attemptsMax: 3 })))
        yield* process.crash
        yield* advance("31 seconds")
      }
      const process = yield* makeProcess()
      assert.strictEqual(yield* word(process.run(charge({ attemptsMax: 3 }))), "Parked")
      assert.lengthOf(yield* gateway.calls, 3)
      assert.strictEqual(yield* gateway.charges, 0)
    })
  )

  test(
    "what was not executed is never counted: a key that is always rate limited is never parked",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      yield* gateway.plan(({ number }) => number <= 20 ? TestGateway.rateLimit() : undefined)
      for (let asked = 0; asked < 20; asked++) {
        assert.strictEqual(yield* word(process.run(charge({ attemptsMax: 2 }))), "RateLimited")
      }
      assert.strictEqual(yield* word(process.run(charge({ attemptsMax: 2 }))), "test_auth_1")
    })
  )
}

export const interruptions = (backend: Backend): void => {
  const test = tester(backend)
  const Receipt = Schema.Struct({ id: Schema.String })

  /** An operation that says when it has started and whether it was interrupted. */
  const makeSlow = Effect.map(Deferred.make<void>(), (started) => {
    const seen = { interrupted: false }
    const self = Effect.andThen(
      Deferred.succeed(started, undefined),
      Effect.as(Effect.sleep("10 seconds"), { id: "slow" })
    )
    return {
      seen,
      started: Deferred.await(started),
      self: Effect.onInterrupt(self, () =>
        Effect.sync(() => {
          seen.interrupted = true
        }))
    }
  })

  test(
    "row 25: when the caller goes, the work is interrupted and its outcome unknown",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const { call, runs } = makeOperation(Receipt)
      const slow = yield* makeSlow
      const fiber = yield* begin(process.run(call(slow.self)))
      yield* slow.started
      yield* Fiber.interrupt(fiber)
      assert.isTrue(slow.seen.interrupted)
      assert.strictEqual(yield* stateOf(), "Indeterminate")
      assert.strictEqual(yield* word(process.run(call(slow.self))), "OutcomeUnknown")
      assert.strictEqual(runs(), 1)
      assert.deepStrictEqual(process.left(), { live: 0, held: 0 })
    })
  )

  test(
    "row 25: the work goes on while one of its callers waits, whoever started it",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const { call, runs } = makeOperation(Receipt)
      const slow = yield* makeSlow
      const leader = yield* begin(process.run(call(slow.self)))
      const follower = yield* begin(word(process.run(call(slow.self, { duplicates: "await" }))))
      yield* Fiber.interrupt(leader)
      assert.isFalse(slow.seen.interrupted)
      yield* advance("11 seconds")
      assert.strictEqual(yield* Fiber.join(follower), "slow")
      assert.strictEqual(runs(), 1)
    })
  )

  test(
    "row 25: it ends with the last of them",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const { call } = makeOperation(Receipt)
      const slow = yield* makeSlow
      const fibers = yield* Effect.forEach(
        [0, 1, 2],
        () => begin(process.run(call(slow.self, { duplicates: "await" })))
      )
      for (const fiber of fibers) {
        assert.isFalse(slow.seen.interrupted)
        yield* Fiber.interrupt(fiber)
      }
      assert.isTrue(slow.seen.interrupted)
      assert.strictEqual(yield* stateOf(), "Indeterminate")
    })
  )

  test(
    "row 25: detached work ends on its own, and its answer is replayed",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const { call, runs } = makeOperation(Receipt)
      const slow = yield* makeSlow
      const fiber = yield* begin(process.run(call(slow.self, { onInterrupt: "detach" })))
      yield* Fiber.interrupt(fiber)
      assert.isFalse(slow.seen.interrupted)
      assert.strictEqual(yield* word(process.run(call(slow.self))), "InFlight")
      const passing = yield* begin(process.run(call(slow.self, { duplicates: "await" })))
      yield* Fiber.interrupt(passing)
      assert.isFalse(slow.seen.interrupted)
      yield* advance("11 seconds")
      assert.strictEqual(yield* stateOf(), "Succeeded")
      assert.strictEqual(yield* word(process.run(call(slow.self))), "slow")
      assert.strictEqual(runs(), 1)
    })
  )

  test(
    "row 25: one caller that wants the work to end on its own is enough",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const { call } = makeOperation(Receipt)
      const slow = yield* makeSlow
      const leader = yield* begin(process.run(call(slow.self)))
      const follower = yield* begin(process.run(call(slow.self, { duplicates: "await", onInterrupt: "detach" })))
      yield* Fiber.interrupt(follower)
      yield* Fiber.interrupt(leader)
      yield* advance("11 seconds")
      assert.isFalse(slow.seen.interrupted)
      assert.strictEqual(yield* stateOf(), "Succeeded")
    })
  )

  test(
    "row 25: a caller that goes while it claims leaves nothing behind",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const { call, runs } = makeOperation(Receipt)
      for (const fault of ["hang", "hangAfter"] as const) {
        process.plan({ claim: [fault] })
        const fiber = yield* begin(process.run(call(Effect.succeed({ id: "a" }))))
        yield* Fiber.interrupt(fiber)
        yield* advance("1 second")
        assert.strictEqual(yield* stateOf(), "Vacant")
        assert.deepStrictEqual(process.left(), { live: 0, held: 0 })
      }
      assert.strictEqual(yield* word(process.run(call(Effect.succeed({ id: "a" })))), "a")
      assert.strictEqual(runs(), 1)
    })
  )

  test(
    "row 25: one that joined a caller who goes while it claims takes its place",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const { call, runs } = makeOperation(Receipt)
      process.plan({ claim: ["hang"] })
      const leader = yield* begin(process.run(call(Effect.succeed({ id: "a" }))))
      const followers = yield* Effect.forEach(
        [0, 1, 2],
        () => begin(word(process.run(call(Effect.succeed({ id: "a" }), { duplicates: "await" }))))
      )
      yield* Fiber.interrupt(leader)
      yield* advance("2 seconds")
      for (const follower of followers) assert.strictEqual(yield* Fiber.join(follower), "a")
      assert.strictEqual(runs(), 1)
    })
  )

  test(
    "row 25: one that takes the place of another is not cut short by its own waiting time",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const { call, runs } = makeOperation(Receipt)
      const slow = yield* makeSlow
      process.plan({ claim: ["hang"] })
      const leader = yield* begin(process.run(call(slow.self)))
      const follower = yield* begin(
        word(process.run(call(slow.self, { duplicates: "await", awaitAtMost: "3 seconds" })))
      )
      yield* advance("2 seconds")
      yield* Fiber.interrupt(leader)
      yield* advance("12 seconds")
      assert.strictEqual(yield* Fiber.join(follower), "slow")
      assert.isFalse(slow.seen.interrupted)
      assert.strictEqual(runs(), 1)
    })
  )

  test(
    "row 25: a caller that goes during the save waits for it, and the answer is kept",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const { call, runs } = makeOperation(Receipt)
      process.plan({ complete: [{ delay: "3 seconds" }] })
      const fiber = yield* begin(process.run(call(Effect.succeed({ id: "a" }))))
      const leaving = yield* begin(Fiber.interrupt(fiber))
      assert.isUndefined(leaving.pollUnsafe())
      yield* advance("4 seconds")
      yield* Fiber.join(leaving)
      assert.strictEqual(yield* stateOf(), "Succeeded")
      assert.strictEqual(yield* word(process.run(call(Effect.never))), "a")
      assert.strictEqual(runs(), 1)
    })
  )

  test(
    "row 25: a caller that goes during a look-up leaves the outcome unknown, and it is not counted",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      yield* gateway.plan([TestGateway.lostReply])
      yield* gateway.planLookups(["stillUnknown", "hang"])
      assert.strictEqual(yield* word(process.run(charge())), "NetworkError")
      const before = yield* inspect()
      const fiber = yield* begin(process.run(charge()))
      assert.strictEqual(yield* stateOf(), "Resolving")
      yield* Fiber.interrupt(fiber)
      const after = yield* inspect()
      assert.deepStrictEqual([after?.state, after?.unresolved], ["Indeterminate", before?.unresolved])
      assert.strictEqual(yield* word(process.run(charge())), "test_auth_1")
      assert.lengthOf(yield* gateway.calls, 1)
    })
  )

  test(
    "row 25: a layer that closes interrupts the work and saves that its outcome is unknown",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const { call } = makeOperation(Receipt)
      const slow = yield* makeSlow
      const fiber = yield* begin(word(process.run(call(slow.self))))
      yield* process.close
      assert.isTrue(slow.seen.interrupted)
      assert.strictEqual(yield* Fiber.join(fiber), "OutcomeUnknown")
      assert.strictEqual(yield* stateOf(), "Indeterminate")
      assert.strictEqual(yield* word(process.run(call(slow.self))), "StoreUnavailable")
    })
  )

  test(
    "row 25: a layer that closes waits for work that cannot be interrupted, and keeps its lease meanwhile",
    Effect.gen(function*() {
      const [first, second] = yield* Effect.all([makeProcess(), makeProcess()])
      const { call, runs } = makeOperation(Receipt)
      const long = Effect.uninterruptible(Effect.as(Effect.sleep("100 seconds"), { id: "long" }))
      const fiber = yield* begin(word(first.run(call(long))))
      const closing = yield* begin(first.close)
      yield* advance("90 seconds")
      assert.isUndefined(closing.pollUnsafe())
      assert.strictEqual(yield* word(second.run(call(long))), "InFlight")
      yield* advance("11 seconds")
      yield* Fiber.join(closing)
      assert.strictEqual(yield* Fiber.join(fiber), "OutcomeUnknown")
      assert.strictEqual(yield* stateOf(), "Indeterminate")
      assert.strictEqual(runs(), 1)
    })
  )

  test(
    "row 25: a layer closes within a lease, also over a store that hangs",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const { call } = makeOperation(Receipt)
      process.plan({ complete: () => "hang", renew: () => "hang" })
      yield* begin(word(process.run(call(Effect.never))))
      yield* begin(word(process.run(call(Effect.succeed({ id: "a" }), { key: Idempotency.Key.make("b") }))))
      const closing = yield* begin(process.close)
      yield* advance("31 seconds")
      assert.isDefined(closing.pollUnsafe())
    })
  )

  test(
    "a second, different request of the same phase does not leave, and the outcome is unknown",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      const twice = (
        second: Effect.Effect<
          PaymentGateway.Transaction,
          PaymentError.PaymentError,
          Idempotency.Claim | PaymentGateway.PaymentGateway
        >
      ) => Effect.andThen(authorize(), second)
      const called = (
        self: ReturnType<typeof twice>,
        name: string
      ) => Idempotency.idempotent(self, { ...options, key: Idempotency.Key.make(name) })
      const reused = yield* Effect.flip(process.run(called(twice(authorize(usd("5.00"))), "a")))
      assert.strictEqual(tagOf(reused), "DownstreamKeyReused")
      assert.strictEqual(reused.disposition, "Unknown")
      assert.strictEqual(yield* gateway.charges, 1)
      assert.strictEqual(yield* stateOf(Idempotency.Key.make("a")), "Indeterminate")
      assert.strictEqual(yield* word(process.run(called(twice(authorize()), "b"))), "test_auth_2")
      const phased = twice(Idempotency.phase(authorize(usd("5.00")), "second-card"))
      assert.strictEqual(yield* word(process.run(called(phased, "c"))), "test_auth_4")
      assert.strictEqual(yield* gateway.charges, 4)
    })
  )
}
