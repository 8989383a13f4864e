/** What is in doubt stays in doubt: operations of several calls, calls whose end is swallowed, owners that are too late. */
import { assert, describe } from "@effect/vitest"
import { Cause, type Duration, Effect, Exit, Fiber, Logger, Metric, Option, References, Schema } from "effect"
import { Card, Idempotency, IdempotencyStore, Money, PaymentError, PaymentGateway, Resilience } from "effect-payments"
import { TestGateway } from "effect-payments/testing"
import {
  advance,
  authorize,
  begin,
  charge,
  key,
  makeProcess,
  memory,
  options,
  stateOf,
  tester,
  word
} from "../faults/harness.ts"

const test = tester(memory)

const declined = new PaymentError.InsufficientFunds({ advice: "TryAnotherMethod", nextKey: "new" })
const authorization = (token: string) =>
  PaymentGateway.AuthorizeRequest.make({
    token: Card.CardToken.make(token),
    money: Money.makeUnsafe("USD", "10.00")
  })

/** Authorizes, then captures: one operation of two calls. */
const sale = Effect.gen(function*() {
  const gateway = yield* PaymentGateway.PaymentGateway
  const authorized = yield* gateway.authorize(authorization("tok_visa"))
  return yield* gateway.capture({ transactionId: authorized.id })
})
const sell = Idempotency.idempotent(sale, {
  ...options,
  resolve: Idempotency.resolveByLookup({ phases: ["authorize", "capture"] })
})

/** A second card after a refusal of the first. */
const eitherCard = Effect.gen(function*() {
  const gateway = yield* PaymentGateway.PaymentGateway
  return yield* Effect.catchIf(
    gateway.authorize(authorization("tok_visa")),
    ({ disposition }) => disposition === "Refused",
    () => Idempotency.phase(gateway.authorize(authorization("tok_mastercard")), "second-card")
  )
})
const chargeEither = Idempotency.idempotent(eitherCard, {
  ...options,
  resolve: Idempotency.resolveByLookup({ phases: ["authorize", "second-card/authorize"] })
})

describe("an operation of several calls", () => {
  test(
    "a capture whose reply is lost is found, and the authorization is not taken for it",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      yield* gateway.plan([TestGateway.proceed, TestGateway.lostReply])
      const result = yield* process.run(sell)
      assert.strictEqual(result.kind, "capture")
      assert.strictEqual(yield* gateway.charges, 1)
    })
  )

  test(
    "a capture that never arrived is made by the next call, under the same keys",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      yield* gateway.plan([TestGateway.proceed, TestGateway.lostRequest])
      assert.strictEqual((yield* Effect.flip(process.run(sell))).disposition, "Unknown")
      const result = yield* process.run(sell)
      assert.strictEqual(result.kind, "capture")
      const { entries } = yield* gateway.ledger
      assert.deepStrictEqual(entries.map(({ transaction }) => transaction.kind), ["authorize", "capture"])
    })
  )

  test(
    "a capture that never arrived is not guessed at where the gateway does not de-duplicate",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      yield* gateway.plan([TestGateway.proceed, TestGateway.lostRequest])
      yield* Effect.flip(process.run(sell))
      yield* advance("10 minutes")
      assert.strictEqual(yield* word(process.run(sell)), "OutcomeUnknown")
      assert.lengthOf((yield* gateway.ledger).entries, 1)
    }),
    { deduplicates: false }
  )

  test(
    "another process finds the capture of one that is gone",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const [first, second] = yield* Effect.all([makeProcess(), makeProcess()])
      yield* gateway.plan([TestGateway.proceed, TestGateway.hang({ happened: true })])
      yield* begin(word(first.run(sell)))
      yield* first.crash
      yield* advance("31 seconds")
      assert.strictEqual((yield* second.run(sell)).kind, "capture")
      assert.strictEqual(yield* gateway.charges, 1)
    })
  )

  test(
    "a second card whose reply is lost is not the refusal of the first",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const [first, second] = yield* Effect.all([makeProcess(), makeProcess()])
      yield* gateway.plan([TestGateway.refuse(declined), TestGateway.lostReply])
      yield* gateway.planLookups(["stillUnknown"])
      assert.strictEqual((yield* Effect.flip(first.run(chargeEither))).disposition, "Unknown")
      assert.strictEqual(yield* stateOf(), "Indeterminate")
      const found = yield* second.run(chargeEither)
      assert.strictEqual(found.id, (yield* gateway.ledger).entries[0]?.transaction.id)
      assert.strictEqual(yield* gateway.charges, 1)
    })
  )

  test(
    "both cards refused is a refusal",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const [first, second] = yield* Effect.all([makeProcess(), makeProcess()])
      yield* gateway.plan([TestGateway.refuse(declined), TestGateway.refuse(declined)])
      assert.strictEqual(yield* word(first.run(chargeEither)), "InsufficientFunds")
      assert.strictEqual(yield* word(second.run(chargeEither)), "InsufficientFunds")
      assert.lengthOf(yield* gateway.calls, 2)
    })
  )

  test(
    "a call under a phase that the resolver was not told of does not leave",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      const resolve = Idempotency.resolveByLookup({ phases: ["authorize"] })
      const exit = yield* Effect.exit(process.run(Idempotency.idempotent(sale, { ...options, resolve })))
      assert.isTrue(Exit.isFailure(exit) && Cause.pretty(exit.cause).includes(`"capture" was not sent`))
      assert.deepStrictEqual((yield* gateway.calls).map(({ method }) => method), ["authorize"])
      assert.strictEqual(yield* stateOf(), "Indeterminate")
      // Before anything has left, there is no reason to keep the key.
      const other = Idempotency.Key.make("other")
      const narrowed = Idempotency.phase(authorize(), "x")
      yield* Effect.exit(process.run(Idempotency.idempotent(narrowed, { ...options, resolve, key: other })))
      assert.lengthOf(yield* gateway.calls, 1)
      assert.strictEqual(yield* stateOf(other), "Vacant")
    })
  )

  for (const deduplicates of ["24 hours", false] as const) {
    test(
      `one that was not executed after one that was is not taken for nothing: ${String(deduplicates)}`,
      Effect.gen(function*() {
        const gateway = yield* TestGateway.TestGateway
        const [first, second] = yield* Effect.all([makeProcess(), makeProcess()])
        yield* gateway.plan([TestGateway.proceed, TestGateway.failBefore])
        const error = yield* Effect.flip(first.run(sell))
        assert.strictEqual(error.disposition, "Unknown")
        assert.strictEqual(yield* stateOf(), "Indeterminate")
        assert.isTrue(
          error._tag === "IdempotencyError" && error.reason._tag === "OutcomeUnknown" &&
            error.reason.others?.length === 1
        )
        yield* Effect.exit(second.run(sell))
        assert.strictEqual(yield* gateway.charges, 1)
      }),
      { deduplicates }
    )
  }

  test(
    "a retry around several calls sends none again that was answered",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      yield* gateway.plan([TestGateway.proceed, TestGateway.failBefore])
      const call = Effect.retry(sale, { times: 2 }).pipe(Idempotency.idempotent(options))
      assert.strictEqual((yield* process.run(call)).kind, "capture")
      assert.deepStrictEqual((yield* gateway.calls).map(({ method }) => method), ["authorize", "capture", "capture"])
      assert.strictEqual(yield* gateway.charges, 1)
    }),
    { deduplicates: false }
  )

  test(
    "an answer of its own does not settle an earlier request that may still arrive",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const [first, second] = yield* Effect.all([makeProcess(), makeProcess()])
      yield* gateway.plan([TestGateway.late("2 minutes")])
      const resolve = Idempotency.resolveByLookup({ phases: ["authorize"] })
      const timed = Resilience.timeout(authorize(), "10 seconds")
      const fiber = yield* begin(word(first.run(Idempotency.idempotent(timed, { ...options, resolve }))))
      yield* advance("11 seconds")
      yield* Fiber.await(fiber)
      const refuses = Idempotency.idempotent(
        Effect.fail(PaymentError.make(declined)) as ReturnType<typeof authorize>,
        { ...options, resolve }
      )
      assert.strictEqual(yield* word(second.run(refuses)), "OutcomeUnknown")
      assert.strictEqual(yield* stateOf(), "Indeterminate")
      yield* advance("2 minutes")
      assert.strictEqual(yield* word(second.run(refuses)), "test_auth_1")
    })
  )

  test(
    "a transaction that was found is looked at before it is believed",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      yield* gateway.plan([TestGateway.lostReply])
      const resolve = Idempotency.resolveByLookup({ phases: ["authorize"], accepts: () => false })
      assert.strictEqual(
        (yield* Effect.flip(process.run(Idempotency.idempotent(authorize(), { ...options, resolve })))).disposition,
        "Unknown"
      )
      assert.strictEqual(yield* stateOf(), "Indeterminate")
    })
  )

  test(
    "a resolver that throws, answers nonsense, or calls a refusal what is none, does not know",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      const notSent = PaymentError.make(new PaymentError.NetworkError({ sent: false }))
      const resolvers: ReadonlyArray<() => unknown> = [
        () => {
          throw new Error("boom")
        },
        () => Effect.succeed(undefined),
        () => Effect.succeed({ _tag: "Perhaps" }),
        () => Effect.succeed(PaymentGateway.refused(notSent))
      ]
      for (const [index, resolve] of resolvers.entries()) {
        yield* gateway.plan([TestGateway.lostReply])
        const at = Idempotency.Key.make(`k${index}`)
        const call = Idempotency.idempotent(authorize(), { ...options, key: at, resolve: resolve as never })
        assert.strictEqual((yield* Effect.flip(process.run(call))).disposition, "Unknown")
        assert.strictEqual(yield* stateOf(at), "Indeterminate", String(index))
      }
    })
  )

  test(
    "what happened inside under a key of its own is not forgotten by the operation around it",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const outer = Effect.andThen(
        charge({ key: Idempotency.Key.make("inner") }),
        Effect.fail(PaymentError.make(new PaymentError.NetworkError({ sent: false })))
      ).pipe(Idempotency.idempotent({
        ...options,
        success: Schema.Never,
        error: Schema.Union([PaymentError.PaymentError, Idempotency.IdempotencyError])
      }))
      const error = yield* Effect.flip(process.run(outer))
      assert.strictEqual(error.disposition, "Unknown")
      assert.strictEqual(yield* stateOf(), "Vacant")
    })
  )
})

describe("a call whose end is swallowed", () => {
  const swallowed = Effect.gen(function*() {
    const gateway = yield* PaymentGateway.PaymentGateway
    const charged = yield* Effect.option(gateway.authorize(authorization("tok_visa")))
    return Option.match(charged, { onNone: () => "not charged", onSome: ({ id }) => id })
  })
  const text = { ...options, success: Schema.String }

  test(
    "does not turn a lost reply into a success",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      yield* gateway.plan([TestGateway.lostReply])
      const error = yield* Effect.flip(process.run(Idempotency.idempotent(swallowed, text)))
      assert.strictEqual(error._tag === "IdempotencyError" && error.reason._tag, "OutcomeUnknown")
      assert.strictEqual(yield* stateOf(), "Indeterminate")
    })
  )

  test(
    "does no harm when it is known: refused, or not executed",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      yield* gateway.plan([TestGateway.refuse(declined), TestGateway.failBefore])
      for (const name of ["refused", "not executed"]) {
        const call = Idempotency.idempotent(swallowed, { ...text, key: Idempotency.Key.make(name) })
        assert.strictEqual(yield* process.run(call), "not charged")
      }
    })
  )

  test(
    "leaves the answer as it is where the call is best effort, and that call alone",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      const check = Effect.gen(function*() {
        const gateway = yield* PaymentGateway.PaymentGateway
        const authorized = yield* gateway.authorize(authorization("tok_visa"))
        yield* Effect.ignore(Idempotency.bestEffort(gateway.void({ transactionId: authorized.id })))
        return authorized.id
      })
      yield* gateway.plan([TestGateway.proceed, TestGateway.lostReply])
      assert.strictEqual(yield* process.run(Idempotency.idempotent(check, text)), "test_auth_1")
      yield* gateway.plan([TestGateway.lostReply])
      const other = Idempotency.idempotent(check, { ...text, key: Idempotency.Key.make("other") })
      assert.strictEqual((yield* Effect.flip(process.run(other))).disposition, "Unknown")
    })
  )
})

describe("an owner that is too late", () => {
  test(
    "says that nothing happened only while nobody else can have taken over",
    Effect.gen(function*() {
      const [first, second] = yield* Effect.all([makeProcess(), makeProcess()])
      const gateway = yield* TestGateway.TestGateway
      // The first one stands still before its request leaves; the second looks up, runs and charges.
      const slow = Effect.uninterruptible(
        Effect.andThen(
          Effect.sleep("5 seconds"),
          Effect.fail(PaymentError.make(new PaymentError.NetworkError({ sent: false })))
        )
      )
      const late = yield* begin(
        Effect.flip(first.run(Idempotency.idempotent(slow as ReturnType<typeof charge>, options)))
      )
      first.freeze()
      yield* advance("31 seconds")
      assert.strictEqual(yield* word(second.run(charge())), "test_auth_1")
      first.thaw()
      yield* advance("10 seconds")
      const error = yield* Fiber.join(late)
      assert.strictEqual(error.disposition, "Unknown")
      assert.strictEqual(yield* gateway.charges, 1)
    })
  )

  test(
    "does not free a slot that is not its own any more, whoever has it",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const taken = Effect.gen(function*() {
        // An operator drops the record by force, and another process comes first.
        yield* Idempotency.evict({ scope: options.scope, key, force: true })
        return yield* Effect.fail(PaymentError.make(new PaymentError.NetworkError({ sent: false })))
      })
      const evicting = Idempotency.idempotent(
        taken as Effect.Effect<never, PaymentError.PaymentError, Idempotency.Idempotency>,
        options
      )
      const error = yield* Effect.flip(process.run(evicting))
      assert.strictEqual(error._tag === "IdempotencyError" && error.reason._tag, "OutcomeUnknown")
    })
  )
})

describe("a call that comes too late", () => {
  test(
    "does not leave once another owner may have taken over, nor after the operation has ended",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const [first, second] = yield* Effect.all([makeProcess(), makeProcess()])
      first.plan({ renew: () => "hang" })
      const slow = Effect.uninterruptible(Effect.andThen(Effect.sleep("10 minutes"), authorize()))
      const late = yield* begin(word(first.run(Idempotency.idempotent(slow, options))))
      yield* advance("6 minutes")
      assert.strictEqual(yield* word(second.run(charge())), "test_auth_1")
      yield* advance("5 minutes")
      assert.strictEqual(yield* Fiber.join(late), "OutcomeUnknown")
      const forked = Effect.as(
        Effect.forkDetach(Effect.andThen(Effect.sleep("1 second"), authorize())),
        { id: "done" }
      )
      const detached = Idempotency.idempotent(forked, {
        ...options,
        key: Idempotency.Key.make("detached"),
        success: Schema.Struct({ id: Schema.String })
      })
      assert.strictEqual(yield* word(second.run(detached)), "done")
      yield* advance("2 seconds")
      assert.lengthOf(yield* gateway.calls, 1)
    }),
    { deduplicates: false }
  )
})

describe("duplicates that wait", () => {
  test(
    "one that has time goes on waiting when the first has not, also for another process",
    Effect.gen(function*() {
      const [other, process] = yield* Effect.all([makeProcess(), makeProcess()])
      const gateway = yield* TestGateway.TestGateway
      yield* gateway.plan([TestGateway.delay("5 seconds")])
      yield* begin(word(other.run(charge())))
      const short = yield* begin(word(process.run(charge({ duplicates: "await", awaitAtMost: "1 second" }))))
      const long = yield* begin(word(process.run(charge({ duplicates: "await", awaitAtMost: "20 seconds" }))))
      yield* advance("2 seconds")
      assert.strictEqual(yield* Fiber.join(short), "InFlight")
      assert.isUndefined(long.pollUnsafe())
      yield* advance("6 seconds")
      assert.strictEqual(yield* Fiber.join(long), "test_auth_1")
    })
  )

  test(
    "one whose time is up is told that it is in flight, and the work goes on also when the first has gone",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const gateway = yield* TestGateway.TestGateway
      yield* gateway.plan([TestGateway.delay("20 seconds")])
      const first = yield* begin(word(process.run(charge())))
      const joined = yield* begin(word(process.run(charge({ duplicates: "await", awaitAtMost: "10 seconds" }))))
      yield* Fiber.interrupt(first)
      yield* advance("10 seconds")
      assert.strictEqual(yield* Fiber.join(joined), "InFlight")
      assert.strictEqual(yield* stateOf(), "Claimed")
      yield* advance("11 seconds")
      assert.strictEqual(yield* stateOf(), "Succeeded")
      assert.strictEqual(yield* word(process.run(charge())), "test_auth_1")
    })
  )

  test(
    "one that is interrupted is the last to go, and the work ends with it",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const gateway = yield* TestGateway.TestGateway
      yield* gateway.plan([TestGateway.delay("20 seconds")])
      const first = yield* begin(word(process.run(charge())))
      const joined = yield* begin(word(process.run(charge({ duplicates: "await" }))))
      yield* Fiber.interrupt(first)
      yield* Fiber.interrupt(joined)
      assert.strictEqual(yield* stateOf(), "Indeterminate")
      assert.deepStrictEqual(process.left(), { live: 0, held: 0 })
    })
  )
})

describe("a caller that is interrupted", () => {
  for (const local of [true, false]) {
    for (const awaits of [false, true]) {
      const name = `${local ? "asked without a wait" : "asked with a wait"}, ${awaits ? "waiting" : "not waiting"}`
      test(
        `leaves nothing behind, wherever it is: ${name}`,
        Effect.gen(function*() {
          const [process, other] = yield* Effect.all([makeProcess({ local }), makeProcess({ local })])
          // Another process holds one of the keys, so that this one polls for it.
          const gateway = yield* TestGateway.TestGateway
          yield* gateway.plan([TestGateway.delay("25 seconds")])
          const held = Idempotency.Key.make("held")
          yield* begin(word(other.run(charge({ key: held }))))
          for (let yieldsAt = 2; yieldsAt <= 24; yieldsAt++) {
            for (let ticks = 0; ticks <= 3; ticks++) {
              for (const at of [held, Idempotency.Key.make(`k-${yieldsAt}-${ticks}`)]) {
                const call = charge({ key: at, duplicates: awaits ? "await" : "reject", awaitAtMost: "1 second" })
                const fiber = yield* Effect.forkDetach(
                  Effect.provideService(process.run(call), References.MaxOpsBeforeYield, yieldsAt)
                )
                for (let tick = 0; tick < ticks; tick++) yield* Effect.promise(() => new Promise(setImmediate))
                fiber.interruptUnsafe()
                yield* Fiber.await(fiber)
                yield* Effect.promise(() => new Promise(setImmediate))
                // What it left behind would keep this one waiting for ever.
                const next = yield* begin(word(process.run(charge({ key: at, duplicates: "reject" }))))
                if (next.pollUnsafe() === undefined) yield* advance("1 second")
                assert.isDefined(next.pollUnsafe(), `a later call is answered: ${yieldsAt}, ${ticks}, ${at}`)
                assert.deepStrictEqual(process.left(), { live: 0, held: 0 }, `${yieldsAt}, ${ticks}, ${at}`)
              }
            }
          }
        })
      )
    }
  }
})

describe("options", () => {
  const wrong: ReadonlyArray<NonNullable<Parameters<typeof charge>[0]>> = [
    { ttl: 0 },
    { ttl: -1 },
    { ttl: Number.POSITIVE_INFINITY },
    { ttl: Number.NaN },
    { lease: 0 },
    { lease: Number.POSITIVE_INFINITY },
    { lease: Number.NaN },
    { settle: 0 },
    { settle: Number.POSITIVE_INFINITY },
    { attemptsMax: Number.NaN },
    { attemptsMax: 0 },
    { attemptsMax: 1.5 },
    { awaitAtMost: Number.NaN },
    { resolveTimeout: 0 },
    { payloadLimitBytes: Number.NaN },
    { resultLimitBytes: -1 }
  ]
  for (const given of wrong) {
    test(
      `refuse ${
        Object.entries(given).map(([name, value]) => `${name}: ${String(value)}`).join()
      }, and nothing is claimed`,
      Effect.gen(function*() {
        const process = yield* makeProcess()
        const exit = yield* Effect.exit(process.run(charge(given)))
        const defect = Exit.isFailure(exit) ? Cause.findDefect(exit.cause) : undefined
        assert.isTrue(
          defect?._tag === "Success" && defect.success instanceof Resilience.InvalidOption &&
            defect.success.option === Object.keys(given)[0]
        )
        assert.isUndefined(yield* stateOf())
      })
    )
  }

  test(
    "a timeout inside that is longer than settle is refused, and nothing leaves",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const gateway = yield* TestGateway.TestGateway
      const call = (limit: Duration.Input) =>
        authorize().pipe(Resilience.timeout(limit), Idempotency.idempotent({ ...options, settle: "40 seconds" }))
      const exit = yield* Effect.exit(process.run(call("41 seconds")))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      assert.lengthOf(yield* gateway.calls, 0)
      yield* process.run(Idempotency.evict({ scope: options.scope, key, force: true }))
      assert.strictEqual(yield* word(process.run(call("40 seconds"))), "test_auth_1")
    })
  )

  test(
    "a success or an error of which a part has no stored form is refused, and nothing runs or is claimed",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      let runs = 0
      const self = Effect.sync((): unknown => ++runs)
      const optionOf = <A>(call: Effect.Effect<A, unknown, Idempotency.Idempotency>) =>
        Effect.map(Effect.exit(process.run(call)), (exit) => {
          const defect = Exit.isFailure(exit) ? Cause.findDefect(exit.cause) : undefined
          return defect?._tag === "Success" && defect.success instanceof Resilience.InvalidOption
            ? `${defect.success.option}: ${defect.success.expected}`
            : "none"
        })
      const success = yield* optionOf(Idempotency.idempotent(self, { ...options, success: Schema.Unknown }))
      assert.match(success, /^success: .*Schema\.Json.*Unknown/u)
      const error = yield* optionOf(
        Idempotency.idempotent(self as Effect.Effect<unknown, Failed>, {
          ...options,
          success: Schema.Json,
          error: Failed
        })
      )
      assert.match(error, /^error: .* at cause$/u)
      assert.strictEqual(runs, 0)
      assert.isUndefined(yield* stateOf())
    })
  )

  test(
    "transactional needs a store with transactions",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const call = Idempotency.idempotent(Effect.succeed("done"), {
        ...options,
        success: Schema.String,
        transactional: true
      })
      const exit = yield* Effect.exit(process.run(call))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      assert.isUndefined(yield* stateOf())
    })
  )
})

describe("a slot that is given back", () => {
  test(
    "is asked for anew by who comes when it is under way: another process may have charged",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const [first, second] = yield* Effect.all([makeProcess(), makeProcess()])
      yield* gateway.plan([TestGateway.rateLimit()])
      first.plan({ release: [{ delayReply: "1 second" }] })
      const call = charge({ duplicates: "await" })
      const limited = yield* begin(word(first.run(call)))
      // The slot is free, and its last owner does not know yet.
      const charged = yield* word(second.run(call))
      const late = yield* begin(word(first.run(call)))
      yield* advance("2 seconds")
      assert.strictEqual(yield* Fiber.join(limited), "RateLimited")
      assert.strictEqual(charged, "test_auth_1")
      assert.strictEqual(yield* Fiber.join(late), charged)
      assert.strictEqual(yield* gateway.charges, 1)
      assert.deepStrictEqual(first.left(), { live: 0, held: 0 })
    })
  )

  test(
    "is shared by who waited before it was",
    Effect.gen(function*() {
      const gateway = yield* TestGateway.TestGateway
      const process = yield* makeProcess()
      yield* gateway.plan([TestGateway.delay("1 second", TestGateway.rateLimit())])
      const call = charge({ duplicates: "await" })
      const both = [yield* begin(word(process.run(call))), yield* begin(word(process.run(call)))]
      yield* advance("2 seconds")
      assert.deepStrictEqual(yield* Effect.forEach(both, Fiber.join), ["RateLimited", "RateLimited"])
      assert.lengthOf(yield* gateway.calls, 1)
    })
  )
})

describe("the scope of the work", () => {
  const worded = { ...options, success: Schema.String }

  test(
    "is its own: what it acquires is released when it ends, and not with the caller",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const events: Array<string> = []
      const note = (event: string) => Effect.sync(() => void events.push(event))
      const work = Effect.gen(function*() {
        yield* Effect.acquireRelease(note("acquired"), () => note("released"))
        yield* Effect.sleep("1 second")
        yield* note("ended")
        return "done"
      })
      const call = (key: string) =>
        Idempotency.idempotent(work, { ...worded, key: Idempotency.Key.make(key), onInterrupt: "detach" })
      // The caller goes with its scope while the work lasts.
      const caller = yield* begin(Effect.scoped(process.run(call("left"))))
      yield* Fiber.interrupt(caller)
      assert.deepStrictEqual(events, ["acquired"])
      yield* advance("2 seconds")
      assert.deepStrictEqual(events.splice(0), ["acquired", "ended", "released"])
      // The caller's scope stays open: the work's does not wait for it.
      yield* Effect.scoped(Effect.gen(function*() {
        const caller = yield* begin(process.run(call("kept")))
        yield* advance("2 seconds")
        assert.strictEqual(yield* Fiber.join(caller), "done")
        yield* note("caller goes on")
      }))
      assert.deepStrictEqual(events, ["acquired", "ended", "released", "caller goes on"])
    })
  )
})

describe("what an operator is told", () => {
  test(
    "an end in doubt, a parked record and a look-up that fails are logged and counted",
    Effect.gen(function*() {
      const process = yield* makeProcess()
      const [logs, logger] = recorder()
      const gateway = yield* TestGateway.TestGateway
      yield* gateway.plan([TestGateway.lostReply])
      const secret = "4111111111111111"
      const call = charge({ attemptsMax: 2, resolve: () => Effect.die(new Error(secret)) })
      const run = word(Effect.provide(process.run(call), logger))
      const registry = yield* Metric.snapshot
      assert.strictEqual(yield* run, "NetworkError")
      assert.strictEqual(yield* run, "OutcomeUnknown")
      assert.strictEqual(yield* run, "Parked")
      const messages = logs.map(({ level, message }) => `${level} ${message}`)
      assert.isTrue(messages.some((line) => line.startsWith("Warn") && line.includes("nobody knows how")))
      assert.isTrue(messages.some((line) => line.startsWith("Error") && line.includes("parked")))
      assert.isTrue(messages.some((line) => line.startsWith("Warn") && line.includes("look-up")))
      assert.notInclude(JSON.stringify(logs), secret)
      const counted = (incident: string, snapshot: ReadonlyArray<Metric.Metric.Snapshot>) =>
        snapshot.flatMap((entry) =>
          entry.id === "effect_payments_idempotency_incidents_total" && entry.type === "Counter" &&
            entry.attributes?.["incident"] === incident
            ? [Number(entry.state.count)]
            : []
        ).reduce((sum, count) => sum + count, 0)
      const after = yield* Metric.snapshot
      for (const incident of ["indeterminate", "parked", "look-up-failed"]) {
        assert.isAbove(counted(incident, after), counted(incident, registry), incident)
      }
    })
  )

  test(
    "a record whose owners have all vanished is parked by the claim that counts the last, and that is logged once",
    Effect.gen(function*() {
      const [logs, logger] = recorder()
      const gateway = yield* TestGateway.TestGateway
      const call = charge({ attemptsMax: 2, resolve: () => Effect.never })
      yield* gateway.plan([TestGateway.hang({ happened: true })])
      for (let owner = 0; owner < 2; owner++) {
        const process = yield* makeProcess()
        yield* begin(word(process.run(call)))
        yield* process.crash
        yield* advance("31 seconds")
      }
      const process = yield* makeProcess()
      const run = word(Effect.provide(process.run(call), logger))
      assert.strictEqual(yield* run, "Parked")
      yield* advance("1 second")
      assert.strictEqual(yield* run, "Parked")
      const errors = logs.filter(({ level }) => level === "Error")
      assert.lengthOf(errors, 1)
      assert.include(errors[0]?.message, "parked")
      assert.deepInclude(errors[0]?.annotations, { tenant: options.scope.tenant, operation: options.scope.operation })
      assert.match(String(errors[0]?.annotations["downstreamKeys"]), /^ep1_[0-9a-f]{40}$/u)
    })
  )

  test(
    "a sweep that fails is logged",
    Effect.gen(function*() {
      const [logs, logger] = recorder()
      const store = yield* IdempotencyStore.IdempotencyStore
      const broken = Effect.fail(new IdempotencyStore.StoreUnavailable({ operation: "sweep", detail: "down" }))
      yield* Effect.forkScoped(
        Effect.never.pipe(
          Effect.provide(Idempotency.layer({ sweepEvery: "1 minute" })),
          Effect.provideService(IdempotencyStore.IdempotencyStore, { ...store, sweep: () => broken }),
          Effect.provide(logger)
        )
      )
      yield* advance("61 seconds")
      assert.isTrue(logs.some(({ message }) => message.includes("swept")))
    })
  )
})

class Failed extends Schema.TaggedError<Failed>()("Failed", { cause: Schema.Unknown }) {
  readonly disposition = "Refused" as const
}

/** Keeps what is logged. */
function recorder() {
  const logs: Array<
    { readonly level: string; readonly message: string; readonly annotations: Readonly<Record<string, unknown>> }
  > = []
  const logger = Logger.layer([
    Logger.make(({ fiber, logLevel, message }) => {
      const annotations = fiber.getRef(References.CurrentLogAnnotations)
      logs.push({ level: logLevel, message: String(message), annotations })
    })
  ])
  return [logs, logger] as const
}
