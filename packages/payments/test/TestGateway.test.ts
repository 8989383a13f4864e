import { assert, describe, it } from "@effect/vitest"
import { BigDecimal, Effect, Exit, Fiber, Option, Schema } from "effect"
import { Card, Money, PaymentError, PaymentGateway } from "effect-payments"
import { TestGateway } from "effect-payments/testing"
import { TestClock } from "effect/testing"
import { withClaim } from "./support/claim.ts"

const token = Card.CardToken.make("tok_visa")
const eur = (amount: string) => Money.makeUnsafe("EUR", amount)
const sale = { token, money: eur("12.50"), capture: true }
const key = "down:k:authorize"
const declined = new PaymentError.CardDeclined({ code: "CardDeclined", advice: "TryAnotherMethod", nextKey: "new" })
const amountOf = (money: Money.Money | undefined) => money === undefined ? undefined : BigDecimal.format(money.amount)

const seen = (test: TestGateway.TestGateway["Service"]) =>
  Effect.all({ charges: test.charges, found: Effect.map(test.gateway.lookup(key), ({ _tag }) => _tag) })

describe("TestGateway plans", () => {
  const unknown = (tag: string) => ({ tag, disposition: "Unknown" as const })
  const notExecuted = (tag: string) => ({ tag, disposition: "NotExecuted" as const })
  const cases: ReadonlyArray<{
    readonly behaviour: TestGateway.Behaviour
    readonly answer: { readonly tag: string; readonly disposition: PaymentError.Disposition }
    readonly charges: number
    readonly found: PaymentGateway.Lookup["_tag"]
    /** The same call again under the same key. */
    readonly again: string
    readonly chargesThen: number
  }> = [
    {
      behaviour: TestGateway.failBefore,
      answer: notExecuted("NetworkError"),
      charges: 0,
      found: "NeverHappened",
      again: "captured",
      chargesThen: 1
    },
    {
      behaviour: TestGateway.failAfter,
      answer: unknown("GatewayTimeout"),
      charges: 1,
      found: "Happened",
      again: "captured",
      chargesThen: 1
    },
    {
      behaviour: TestGateway.lostReply,
      answer: unknown("NetworkError"),
      charges: 1,
      found: "Happened",
      again: "captured",
      chargesThen: 1
    },
    {
      behaviour: TestGateway.lostRequest,
      answer: unknown("NetworkError"),
      charges: 0,
      found: "NeverHappened",
      again: "captured",
      chargesThen: 1
    },
    {
      behaviour: TestGateway.fault(500, { happened: false }),
      answer: unknown("GatewayFault"),
      charges: 0,
      found: "NeverHappened",
      again: "captured",
      chargesThen: 1
    },
    {
      behaviour: TestGateway.fault(500, { happened: true }),
      answer: unknown("GatewayFault"),
      charges: 1,
      found: "Happened",
      again: "captured",
      chargesThen: 1
    },
    {
      behaviour: TestGateway.rateLimit("2 seconds"),
      answer: notExecuted("RateLimited"),
      charges: 0,
      found: "NeverHappened",
      again: "captured",
      chargesThen: 1
    },
    {
      behaviour: TestGateway.refuse(declined),
      answer: { tag: "CardDeclined", disposition: "Refused" },
      charges: 0,
      found: "Refused",
      again: "CardDeclined",
      chargesThen: 0
    },
    {
      behaviour: TestGateway.decline("insufficient_funds"),
      answer: { tag: "InsufficientFunds", disposition: "Refused" },
      charges: 0,
      found: "Refused",
      again: "InsufficientFunds",
      chargesThen: 0
    },
    {
      behaviour: TestGateway.decline("duplicate_transaction"),
      answer: unknown("GatewayFault"),
      charges: 0,
      found: "NeverHappened",
      again: "captured",
      chargesThen: 1
    }
  ]
  it.effect.each(cases)("$behaviour.name: $answer.tag", (expected) =>
    Effect.gen(function*() {
      const test = yield* TestGateway.make({ plan: [expected.behaviour] })
      const charge = test.gateway.authorize(sale).pipe(withClaim("k"))
      const error = yield* Effect.flip(charge)
      assert.deepStrictEqual({ tag: error.reason._tag, disposition: error.disposition }, expected.answer)
      assert.deepStrictEqual(yield* seen(test), { charges: expected.charges, found: expected.found })
      const again = yield* Effect.match(charge, { onSuccess: ({ status }) => status, onFailure: (e) => e.reason._tag })
      assert.strictEqual(again, expected.again)
      assert.strictEqual(yield* test.charges, expected.chargesThen)
    }))

  it.effect.each([[true, "Happened", 1], [false, "NeverHappened", 0]] as const)(
    "hangs for ever, having acted or not: %s",
    ([happened, found, charges]) =>
      Effect.gen(function*() {
        const test = yield* TestGateway.make({ plan: [TestGateway.hang({ happened })] })
        const running = yield* Effect.forkChild(
          Effect.timeoutOption(test.gateway.authorize(sale).pipe(withClaim("k")), "1 hour")
        )
        yield* TestClock.adjust("1 hour")
        assert.isTrue(Option.isNone(yield* Fiber.join(running)))
        assert.deepStrictEqual(yield* seen(test), { charges, found })
      })
  )

  it.effect("executes a request that is delivered twice once, and twice when it does not de-duplicate", () =>
    Effect.gen(function*() {
      for (const [deduplicates, charges] of [["1 day", 1], [false, 2]] as const) {
        const test = yield* TestGateway.make({ deduplicates, plan: [TestGateway.duplicate] })
        yield* test.gateway.authorize(sale).pipe(withClaim("k"))
        assert.strictEqual(yield* test.charges, charges)
        assert.strictEqual(yield* test.executions(key), charges)
      }
    }))

  it.effect("delays the answer, and has acted when the caller gives up meanwhile", () =>
    Effect.gen(function*() {
      const test = yield* TestGateway.make({ plan: [TestGateway.delay("5 seconds"), TestGateway.delay("5 seconds")] })
      const patient = yield* Effect.forkChild(test.gateway.authorize(sale).pipe(withClaim("p")))
      yield* TestClock.adjust("4999 millis")
      assert.isUndefined(patient.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* Fiber.join(patient)).status, "captured")
      const hasty = yield* Effect.forkChild(test.gateway.authorize(sale).pipe(withClaim("k")))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(hasty)
      assert.deepStrictEqual(yield* seen(test), { charges: 2, found: "Happened" })
    }))

  it.effect("delivers a late request though the caller has given up and asked", () =>
    Effect.gen(function*() {
      const test = yield* TestGateway.make({ plan: [TestGateway.late("5 seconds")] })
      const running = yield* Effect.forkChild(test.gateway.authorize(sale).pipe(withClaim("k")))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(running)
      assert.deepStrictEqual(yield* seen(test), { charges: 0, found: "NeverHappened" })
      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual(yield* seen(test), { charges: 1, found: "Happened" })
    }))

  it.effect("keeps what a wrapped behaviour does", () =>
    Effect.gen(function*() {
      const test = yield* TestGateway.make({ plan: [TestGateway.delay("1 second", TestGateway.lostReply)] })
      const running = yield* Effect.forkChild(Effect.flip(test.gateway.authorize(sale).pipe(withClaim("k"))))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(running)).reason._tag, "NetworkError")
      assert.strictEqual(yield* test.charges, 1)
    }))

  it.effect("takes a list in order and a function by key, method and attempt", () =>
    Effect.gen(function*() {
      const test = yield* TestGateway.make({
        plan: [TestGateway.failBefore, TestGateway.proceed, TestGateway.failBefore]
      })
      const attempt = (name: string) => Effect.exit(test.gateway.authorize(sale).pipe(withClaim(name)))
      const exits = yield* Effect.all([attempt("1"), attempt("2"), attempt("3"), attempt("4")])
      assert.deepStrictEqual(exits.map(Exit.isSuccess), [false, true, false, true])
      yield* test.plan(({ attempt, downstreamKey, method }) =>
        method === "authorize" && downstreamKey.includes("bad") && attempt <= 2 ? TestGateway.failBefore : undefined
      )
      const later = yield* Effect.all([attempt("good"), attempt("bad"), attempt("bad"), attempt("bad")])
      assert.deepStrictEqual(later.map(Exit.isSuccess), [true, false, false, true])
      assert.deepStrictEqual((yield* test.calls).at(-1), {
        method: "authorize",
        downstreamKey: "down:bad:authorize",
        attempt: 3,
        number: 8
      })
    }))

  it.effect("answers look-ups as planned, and then with the truth", () =>
    Effect.gen(function*() {
      const fault = new PaymentError.GatewayFault({ status: 500 })
      const test = yield* TestGateway.make({ planLookups: ["stillUnknown", fault] })
      yield* test.gateway.authorize(sale).pipe(withClaim("k"))
      assert.strictEqual((yield* test.gateway.lookup(key))._tag, "StillUnknown")
      assert.strictEqual((yield* Effect.flip(test.gateway.lookup(key))).reason, fault)
      assert.strictEqual((yield* test.gateway.lookup(key))._tag, "Happened")
      yield* test.planLookups((asked, attempt) => asked === key && attempt < 5 ? "hang" : undefined)
      const hanging = yield* Effect.forkChild(Effect.timeoutOption(test.gateway.lookup(key), "1 minute"))
      yield* TestClock.adjust("1 minute")
      assert.isTrue(Option.isNone(yield* Fiber.join(hanging)))
      assert.strictEqual((yield* test.gateway.lookup(key))._tag, "Happened")
      assert.strictEqual((yield* test.gateway.lookup("another"))._tag, "NeverHappened")
      assert.strictEqual(yield* test.lookups, 6)
    }))
})

describe("TestGateway keys", () => {
  it.effect("answers the same key and request with the first answer, also a refusal", () =>
    Effect.gen(function*() {
      const test = yield* TestGateway.make({
        plan: [TestGateway.proceed, TestGateway.proceed, TestGateway.refuse(declined)]
      })
      const first = yield* test.gateway.authorize(sale).pipe(withClaim("k"))
      assert.strictEqual(yield* test.gateway.authorize(sale).pipe(withClaim("k")), first)
      const refused = Effect.flip(test.gateway.authorize(sale).pipe(withClaim("l")))
      assert.strictEqual((yield* refused).reason, declined)
      assert.strictEqual((yield* refused).reason, declined)
      assert.strictEqual(yield* test.charges, 1)
    }))

  it.effect("refuses the same key with another request", () =>
    Effect.gen(function*() {
      const test = yield* TestGateway.make()
      yield* test.gateway.authorize(sale).pipe(withClaim("k"))
      const error = yield* Effect.flip(test.gateway.authorize({ ...sale, money: eur("13") }).pipe(withClaim("k")))
      assert.deepStrictEqual(error.reason, new PaymentError.InvalidRequest({ code: "idempotency_key_reused" }))
      assert.strictEqual(yield* test.charges, 1)
    }))

  it.effect("forgets a key after its time, and still answers the look-up", () =>
    Effect.gen(function*() {
      const test = yield* TestGateway.make({ deduplicates: "1 hour" })
      const charge = test.gateway.authorize(sale).pipe(withClaim("k"))
      const first = yield* charge
      yield* TestClock.adjust("59 minutes")
      yield* charge
      assert.strictEqual(yield* test.charges, 1)
      yield* TestClock.adjust("1 minute")
      yield* charge
      yield* charge
      assert.strictEqual(yield* test.charges, 2)
      assert.deepStrictEqual(yield* test.gateway.lookup(key), PaymentGateway.happened(first))
    }))

  it.effect("executes each call when it does not de-duplicate, and a look-up shows what happened", () =>
    Effect.gen(function*() {
      const test = yield* TestGateway.make({ deduplicates: false, plan: [TestGateway.refuse(declined)] })
      const charge = test.gateway.authorize(sale).pipe(withClaim("k"))
      yield* Effect.flip(charge)
      assert.strictEqual((yield* test.gateway.lookup(key))._tag, "Refused")
      const first = yield* charge
      yield* charge
      assert.strictEqual(yield* test.executions(key), 2)
      assert.deepStrictEqual(yield* test.gateway.lookup(key), PaymentGateway.happened(first))
    }))

  it.effect("is bounded", () =>
    Effect.gen(function*() {
      const test = yield* TestGateway.make({ callsMax: 1 })
      yield* test.gateway.authorize(sale).pipe(withClaim("k"))
      const error = yield* Effect.flip(test.gateway.authorize(sale).pipe(withClaim("l")))
      assert.deepStrictEqual(error.reason, new PaymentError.GatewayUnavailable({ by: "gateway" }))
    }))
})

describe("TestGateway money", () => {
  const open = Effect.gen(function*() {
    const test = yield* TestGateway.make()
    let calls = 0
    const run = <A, E, R>(self: Effect.Effect<A, E, R>) => self.pipe(withClaim(`k${++calls}`))
    const refusal = <A>(self: Effect.Effect<A, PaymentError.PaymentError, any>) =>
      Effect.map(Effect.flip(run(self)), ({ reason }) => reason._tag === "InvalidRequest" ? reason.code : reason._tag)
    const authorized = yield* run(test.gateway.authorize({ token, money: eur("10") }))
    return { test, gateway: test.gateway, run, refusal, transactionId: authorized.id }
  })

  it.effect("refuses a void after a capture", () =>
    Effect.gen(function*() {
      const { gateway, refusal, run, transactionId } = yield* open
      yield* run(gateway.capture({ transactionId, money: eur("1") }))
      assert.strictEqual(yield* refusal(gateway.void({ transactionId })), "already_captured")
    }))

  it.effect("refuses a void of a sale, a capture after a void, and a second void", () =>
    Effect.gen(function*() {
      const { gateway, refusal, run, transactionId } = yield* open
      const sold = yield* run(gateway.authorize(sale))
      assert.strictEqual(yield* refusal(gateway.void({ transactionId: sold.id })), "already_captured")
      yield* run(gateway.void({ transactionId }))
      assert.strictEqual(yield* refusal(gateway.capture({ transactionId })), "already_voided")
      assert.strictEqual(yield* refusal(gateway.void({ transactionId })), "already_voided")
    }))

  it.effect("refuses to capture more than authorized, in one or in parts", () =>
    Effect.gen(function*() {
      const { gateway, refusal, run, transactionId } = yield* open
      assert.strictEqual(
        yield* refusal(gateway.capture({ transactionId, money: eur("10.01") })),
        "capture_exceeds_authorized"
      )
      yield* run(gateway.capture({ transactionId, money: eur("7") }))
      assert.strictEqual(
        yield* refusal(gateway.capture({ transactionId, money: eur("3.01") })),
        "capture_exceeds_authorized"
      )
      const rest = yield* run(gateway.capture({ transactionId }))
      assert.strictEqual(amountOf(rest.money), "3")
      assert.strictEqual(yield* refusal(gateway.capture({ transactionId })), "capture_exceeds_authorized")
    }))

  it.effect("refuses to refund more than captured, in one or in parts, per capture and in sum", () =>
    Effect.gen(function*() {
      const { gateway, refusal, run, transactionId } = yield* open
      const first = yield* run(gateway.capture({ transactionId, money: eur("6") }))
      yield* run(gateway.capture({ transactionId, money: eur("4") }))
      assert.strictEqual(
        yield* refusal(gateway.refund({ transactionId: first.id, money: eur("6.01") })),
        "refund_exceeds_captured"
      )
      yield* run(gateway.refund({ transactionId: first.id, money: eur("5") }))
      assert.strictEqual(
        yield* refusal(gateway.refund({ transactionId: first.id, money: eur("2") })),
        "refund_exceeds_captured"
      )
      assert.strictEqual(
        yield* refusal(gateway.refund({ transactionId, money: eur("5.01") })),
        "refund_exceeds_captured"
      )
      const rest = yield* run(gateway.refund({ transactionId }))
      assert.strictEqual(amountOf(rest.money), "5")
      assert.strictEqual(rest.parent, transactionId)
      assert.strictEqual(yield* refusal(gateway.refund({ transactionId: first.id })), "refund_exceeds_captured")
    }))

  it.effect("refuses a refund before the capture, unknown transactions, other currencies, and no money at all", () =>
    Effect.gen(function*() {
      const { gateway, refusal, run, transactionId } = yield* open
      const unknown = PaymentGateway.TransactionId.make("nobody's")
      const usd = Money.makeUnsafe("USD", "1")
      assert.strictEqual(yield* refusal(gateway.refund({ transactionId })), "not_captured")
      for (const call of [gateway.capture, gateway.void, gateway.refund]) {
        assert.strictEqual(yield* refusal(call({ transactionId: unknown })), "unknown_transaction")
      }
      const taken = yield* run(gateway.capture({ transactionId, money: eur("2") }))
      assert.strictEqual(yield* refusal(gateway.capture({ transactionId: taken.id })), "unknown_transaction")
      assert.strictEqual(yield* refusal(gateway.capture({ transactionId, money: usd })), "currency_mismatch")
      assert.strictEqual(yield* refusal(gateway.refund({ transactionId, money: usd })), "currency_mismatch")
      assert.strictEqual(yield* refusal(gateway.authorize({ token, money: eur("0") })), "amount_not_positive")
      assert.strictEqual(yield* refusal(gateway.capture({ transactionId, money: eur("-1") })), "amount_not_positive")
      assert.strictEqual(yield* refusal(gateway.refund({ transactionId, money: eur("-1") })), "amount_not_positive")
    }))

  it.effect("counts money per currency", () =>
    Effect.gen(function*() {
      const { gateway, run, test, transactionId } = yield* open
      yield* run(gateway.capture({ transactionId, money: eur("6") }))
      yield* run(gateway.refund({ transactionId, money: eur("1.5") }))
      const other = yield* run(gateway.authorize({ token, money: eur("3") }))
      yield* run(gateway.void({ transactionId: other.id }))
      yield* run(gateway.authorize({ token, money: Money.makeUnsafe("USD", "7"), capture: true }))
      const { charges, totals } = yield* test.ledger
      assert.strictEqual(charges, 3)
      const format = (sums: TestGateway.Totals | undefined) =>
        Object.fromEntries(Object.entries(sums ?? {}).map(([name, money]) => [name, amountOf(money)]))
      assert.deepStrictEqual(format(totals.EUR), {
        charged: "13",
        captured: "6",
        voided: "3",
        refunded: "1.5",
        held: "4",
        net: "4.5"
      })
      assert.strictEqual(format(totals.USD)["net"], "7")
    }))

  it.effect.prop(
    "never gives back more than it took, nor takes more than was authorized",
    [
      Schema.Array(Schema.Struct({
        refund: Schema.Boolean,
        cents: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 900 }))
      })).check(Schema.isMaxLength(12))
    ],
    ([steps]) =>
      Effect.gen(function*() {
        const { gateway, run, test, transactionId } = yield* open
        for (const { cents, refund } of steps) {
          const request = { transactionId, money: Money.fromMinorUnits("EUR", BigInt(cents)) as Money.Money }
          yield* Effect.exit(run(refund ? gateway.refund(request) : gateway.capture(request)))
          const totals = (yield* test.ledger).totals.EUR
          assert.isDefined(totals)
          assert.isFalse(BigDecimal.isNegative(totals.net.amount))
          assert.isFalse(BigDecimal.isNegative(totals.held.amount))
          assert.isTrue(BigDecimal.isLessThanOrEqualTo(totals.refunded.amount, totals.captured.amount))
        }
      })
  )

  it.effect("repeats itself exactly", () =>
    Effect.gen(function*() {
      const run = Effect.gen(function*() {
        const { gateway, run, test, transactionId } = yield* open
        yield* run(gateway.capture({ transactionId }))
        return (yield* test.ledger).entries.map((
          { at, downstreamKey, transaction }
        ) => [at, downstreamKey, transaction.id])
      })
      assert.deepStrictEqual(yield* run, yield* run)
    }))

  it.effect("comes as a layer of the gateway and its hand", () =>
    Effect.gen(function*() {
      const gateway = yield* PaymentGateway.PaymentGateway
      yield* gateway.authorize(sale).pipe(withClaim("k"))
      const test = yield* TestGateway.TestGateway
      assert.strictEqual(yield* test.charges, 1)
    }).pipe(Effect.provide(TestGateway.layer({ name: "acquirer" }))))
})
